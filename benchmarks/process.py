"""Runs a program and says how much memory it took."""

import os
import pathlib
import subprocess
import time


def run(command, **options):
    """Runs the command to its end; its resource usage and its peak resident memory in KiB. Fails if it fails.

    The peak that the system counts for a child (`ru_maxrss`) is that of this process where that is larger, so the child's
    own high-water mark is read while it runs.
    """
    child = subprocess.Popen([str(part) for part in command], **options)
    peak = 0
    while (ended := os.wait4(child.pid, os.WNOHANG))[0] == 0:
        status = pathlib.Path(f"/proc/{child.pid}/status").read_text()
        peak = max([peak] + [int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM")])
        time.sleep(0.02)
    _, status, usage = ended
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode != 0:
        raise SystemExit(f"exit code {child.returncode}: {' '.join(map(str, command))}")
    return usage, peak
