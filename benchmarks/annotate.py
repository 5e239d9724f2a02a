#!/usr/bin/env python3
"""How fast `apprentice annotate` asks a local server, and in how much memory.

    python3 benchmarks/annotate.py --apprentice target/release/apprentice --sentences 20000
    python3 benchmarks/annotate.py --apprentice target/release/apprentice --sentences 20000 --per-minute 60000

The server answers at once, in OpenAI's protocol, and shares the cores with the client. With --per-minute the share of the
allowed rate that is used is given, over the time in which requests came in.
"""

import argparse
import asyncio
import json
import os
import pathlib
import subprocess
import tempfile
import threading
import time

import process

ANSWER = json.dumps({"entities": [{"text": "Ann", "type": "PER"}]})
BODY = json.dumps({
    "model": "fake",
    "choices": [{"message": {"role": "assistant", "content": ANSWER}, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 600, "completion_tokens": 20},
}).encode()
REPLY = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n" % len(BODY) + BODY


class Server:
    """Counts requests and notes when the first and the last came in."""

    def __init__(self):
        self.count, self.first, self.last = 0, None, None
        self.port = None
        started = threading.Event()
        threading.Thread(target=lambda: asyncio.run(self.serve(started)), daemon=True).start()
        started.wait()

    async def serve(self, started):
        server = await asyncio.start_server(self.talk, "127.0.0.1", 0, backlog=512)
        self.port = server.sockets[0].getsockname()[1]
        started.set()
        await server.serve_forever()

    async def talk(self, reader, writer):
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = next(int(line[15:]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))
                await reader.readexactly(length)
                self.last = time.monotonic()
                self.first = self.first or self.last
                self.count += 1
                writer.write(REPLY)
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--apprentice", required=True, help="the program")
    p.add_argument("--sentences", type=int, default=20_000)
    p.add_argument("--concurrency", type=int, default=64)
    p.add_argument("--per-minute", type=float, help="the allowed rate")
    a = p.parse_args()
    server = Server()
    with tempfile.TemporaryDirectory() as temporary:
        folder = pathlib.Path(temporary)
        (folder / "in.txt").write_text("".join(f"Ann wrote {n} letters .\n" for n in range(a.sentences)))
        command = [os.path.abspath(a.apprentice), "-q", "annotate", "--provider", "openai", "--model", "fake",
                   "--base-url", f"http://127.0.0.1:{server.port}/v1", "--input", "in.txt", "-o", "out.conll",
                   "--concurrency", str(a.concurrency), "--json"]
        if a.per_minute:
            command += ["--requests-per-minute", str(a.per_minute)]
        start = time.monotonic()
        usage, peak = process.run(command, cwd=folder, stdout=subprocess.DEVNULL)
        wall = time.monotonic() - start
        size = (folder / "out.conll.store").stat().st_size
    asking = server.last - server.first
    cpu = usage.ru_utime + usage.ru_stime
    print(f"{a.sentences:,} sentences, {server.count:,} requests in {asking:.1f} s: {server.count / asking:,.0f} a second; "
          f"{wall:.1f} s in all, {cpu:.1f} s of CPU ({1e3 * cpu / server.count:.2f} ms a request), "
          f"{peak / 1024:.1f} MiB of memory, store {size / 2**20:.0f} MiB")
    if a.per_minute:
        print(f"allowed: {a.per_minute / 60:,.0f} a second; used: {100 * server.count / asking / (a.per_minute / 60):.1f} %")


if __name__ == "__main__":
    main()
