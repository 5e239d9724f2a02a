"""Checks that `apprentice` and the Python libraries share the cache of models, with a hub on this machine.

    python hub.py --apprentice BIN --model DIR

DIR is a model directory of ours, which the hub offers as org/tiny. What `apprentice models fetch` fetched, transformers
loads offline, and online it fetches no content again; what transformers fetched, `apprentice` finds; and a content that a
Python process has locked, `apprentice` waits for. Exits with 1 if one of these does not hold.
"""

import argparse
import hashlib
import http.server
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import threading

COMMIT = "0123456789abcdef0123456789abcdef01234567"
NAME = "org/tiny"


def etag(name, content):
    if name.endswith(".safetensors"):
        return hashlib.sha256(content).hexdigest()
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


class Hub(http.server.BaseHTTPRequestHandler):
    files = {}
    contents = []
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def reply(self, status, body=b"", **headers):
        self.send_response(status)
        headers.setdefault("Content-Length", str(len(body)))
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)

    def do_GET(self):
        path = self.path.split("?")[0]
        file = path.rsplit("/", 1)[-1]
        if path in (f"/api/models/{NAME}/revision/main", f"/api/models/{NAME}/revision/{COMMIT}", f"/api/models/{NAME}"):
            siblings = [{"rfilename": name} for name in self.files]
            body = json.dumps({"id": NAME, "modelId": NAME, "sha": COMMIT, "siblings": siblings, "tags": []})
            return self.reply(200, body.encode(), Content_Type="application/json")
        if path.startswith("/store/"):
            self.contents.append(file)
            return self.reply(200, self.files[file])
        if not path.startswith(f"/{NAME}/resolve/") or file not in self.files:
            return self.reply(404, X_Error_Code="EntryNotFound", X_Repo_Commit=COMMIT)
        content = self.files[file]
        tag = f'"{etag(file, content)}"'
        if file.endswith(".safetensors"):
            linked = {"X_Linked_Etag": tag, "X_Linked_Size": str(len(content))}
            # Another host by name, as the hub's own store is.
            location = f"http://localhost:{self.server.server_address[1]}/store/{file}"
            return self.reply(302, X_Repo_Commit=COMMIT, Location=location, **linked)
        if self.command == "GET":
            self.contents.append(file)
        self.reply(200, content, ETag=tag, X_Repo_Commit=COMMIT)

    do_HEAD = do_GET


def run(command, home, url, **more):
    env = {name: value for name, value in os.environ.items() if not name.startswith(("HF_", "HUGGING", "TRANSFORMERS_"))}
    env |= {"HF_HOME": str(home), "HF_ENDPOINT": url, "NO_PROXY": "*", "HF_HUB_DISABLE_TELEMETRY": "1"} | more
    return subprocess.run(command, env=env, check=True, stdout=subprocess.PIPE, text=True).stdout.strip()


LOAD = f"""
import os
from transformers import AutoModelForTokenClassification, AutoTokenizer
model = AutoModelForTokenClassification.from_pretrained("{NAME}")
AutoTokenizer.from_pretrained("{NAME}")("hello")
from huggingface_hub import scan_cache_dir, try_to_load_from_cache
assert not scan_cache_dir().warnings, scan_cache_dir().warnings
print(os.path.dirname(try_to_load_from_cache("{NAME}", "config.json")))
"""


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--apprentice", required=True)
    p.add_argument("--model", required=True)
    a = p.parse_args()
    Hub.files = {f.name: f.read_bytes() for f in pathlib.Path(a.model).iterdir() if f.is_file()}
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    url = f"http://127.0.0.1:{server.server_address[1]}"
    python, fetch = [sys.executable, "-c", LOAD], [a.apprentice, "models", "fetch", NAME]
    with tempfile.TemporaryDirectory() as directory:
        ours, theirs, locked = (pathlib.Path(directory) / name for name in ("ours", "theirs", "locked"))

        snapshot = run(fetch, ours, url)
        fetched = sorted(Hub.contents)
        assert run(python, ours, url, HF_HUB_OFFLINE="1") == snapshot
        assert run(python, ours, url) == snapshot
        assert sorted(Hub.contents) == fetched, "transformers fetched again what was there"
        print(f"transformers loads what apprentice fetched, offline and online ({', '.join(fetched)})")

        snapshot = run(python, theirs, url)
        assert run(fetch, theirs, url, HF_HUB_OFFLINE="1") == snapshot
        listed = json.loads(run([a.apprentice, "models", "list", "--json"], theirs, url))
        assert [(m["name"], m["path"], m["problem"]) for m in listed] == [(NAME, snapshot, None)], listed
        before = len(Hub.contents)
        assert run(fetch, theirs, url) == snapshot
        again = set(Hub.contents[before:])
        assert "model.safetensors" not in again, "apprentice fetched again what was there"
        print(f"apprentice finds what transformers fetched, and online fetches {', '.join(sorted(again)) or 'nothing'} more")

        from huggingface_hub.utils import WeakFileLock

        hash = etag("model.safetensors", Hub.files["model.safetensors"])
        lock = locked / "hub" / ".locks" / "models--org--tiny" / f"{hash}.lock"
        lock.parent.mkdir(parents=True)
        env = os.environ | {"HF_HOME": str(locked), "HF_ENDPOINT": url, "NO_PROXY": "*"}
        with WeakFileLock(lock):
            before = Hub.contents.count("model.safetensors")
            process = subprocess.Popen(fetch, env=env, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True)
            said = process.stderr.readline()
            assert "another process fetches model.safetensors" in said, said
            assert Hub.contents.count("model.safetensors") == before
        assert process.wait(timeout=60) == 0
        assert Hub.contents.count("model.safetensors") == before + 1
        print("apprentice waits for a content that Python has locked")


if __name__ == "__main__":
    main()
