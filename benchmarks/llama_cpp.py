#!/usr/bin/env python3
"""What happens between `apprentice annotate` and llama-cpp-python's server, with a tiny model of random weights.

    python3 -m venv VENV && VENV/bin/pip install 'llama-cpp-python[server]' gguf
    VENV/bin/python benchmarks/llama_cpp.py --apprentice target/debug/apprentice

The model knows nothing: its answers are noise, or noise in the form that the server holds it to. What is looked at is the
protocol: which form was asked for, with which status the server answered, and why answers ended. The exit code is 1 if a
sentence was not answered, but where --form schema was asked of a server that does not know it (version 0.3.36 says so with
status 500), or if an answer under the schema is neither what it asks for nor cut off.
"""

import argparse
import collections
import json
import os
import pathlib
import socket
import sqlite3
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request

import gguf
import numpy

WIDTH, LAYERS, HEADS, INNER, CONTEXT = 64, 2, 4, 128, 8192


def vocabulary():
    """Three special tokens, one for each byte, and the printable characters of ASCII."""
    special = [("<unk>", gguf.TokenType.UNKNOWN), ("<s>", gguf.TokenType.CONTROL), ("</s>", gguf.TokenType.CONTROL)]
    every_byte = [(f"<0x{byte:02X}>", gguf.TokenType.BYTE) for byte in range(256)]
    characters = [("\u2581", gguf.TokenType.NORMAL)] + [(chr(c), gguf.TokenType.NORMAL) for c in range(33, 127)]
    return special + every_byte + characters


def write_model(path):
    """A llama of random weights."""
    random = numpy.random.default_rng(1)
    tokens = vocabulary()
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_context_length(CONTEXT)
    writer.add_embedding_length(WIDTH)
    writer.add_block_count(LAYERS)
    writer.add_feed_forward_length(INNER)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(HEADS)
    writer.add_rope_dimension_count(WIDTH // HEADS)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_file_type(gguf.LlamaFileType.ALL_F32)
    writer.add_tokenizer_model("llama")
    writer.add_token_list([text for text, _ in tokens])
    writer.add_token_scores([0.0] * len(tokens))
    writer.add_token_types([kind for _, kind in tokens])
    writer.add_unk_token_id(0)
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)

    def add(name, *shape):
        writer.add_tensor(name, random.normal(0, shape[-1] ** -0.5, shape).astype(numpy.float32))

    add("token_embd.weight", len(tokens), WIDTH)
    add("output.weight", len(tokens), WIDTH)
    writer.add_tensor("output_norm.weight", numpy.ones(WIDTH, numpy.float32))
    for layer in range(LAYERS):
        for name in ["attn_norm", "ffn_norm"]:
            writer.add_tensor(f"blk.{layer}.{name}.weight", numpy.ones(WIDTH, numpy.float32))
        for name in ["attn_q", "attn_k", "attn_v", "attn_output"]:
            add(f"blk.{layer}.{name}.weight", WIDTH, WIDTH)
        for name in ["ffn_gate", "ffn_up"]:
            add(f"blk.{layer}.{name}.weight", INNER, WIDTH)
        add(f"blk.{layer}.ffn_down.weight", WIDTH, INNER)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def start_server(model, log):
    """The server and its base URL, once it answers."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "llama_cpp.server", "--model", model, "--port", str(port), "--n_ctx", str(CONTEXT)]
    server = subprocess.Popen(command, stdout=log, stderr=log)
    url = f"http://127.0.0.1:{port}/v1"
    for _ in range(240):
        try:
            urllib.request.urlopen(f"{url}/models", timeout=5).read()
            return server, url
        except (urllib.error.URLError, ConnectionError):
            if server.poll() is not None:
                break
            time.sleep(0.5)
    server.kill()
    sys.exit("the server does not start: see what it says with --log FILE")


def annotate(arguments, url, sentences, folder, form):
    """Runs one job; prints what happened; whether that is as it should be."""
    name = form or "found out"
    output = folder / f"{name}.conll"
    command = [arguments.apprentice, "annotate", "--provider", "openai", "--model", "tiny", "--base-url", url]
    command += ["--input", sentences, "-o", output, "--max-tokens", str(arguments.max_tokens), "--skip-failed"]
    command += ["--concurrency", "1", "--attempts", "2", "--timeout", "300"] + (["--form", form] if form else [])
    started = time.monotonic()
    done = subprocess.run(command, capture_output=True, text=True)
    print(f"--- form {name}: exit code {done.returncode}, {time.monotonic() - started:.1f} s\n{done.stderr.strip()}")
    counts, answers, sound = collections.Counter(), 0, True
    query = "SELECT request, status, body, outcome, error FROM attempt ORDER BY id"
    for request, status, body, outcome, error in sqlite3.connect(f"{output}.store").execute(query):
        asked = (json.loads(request).get("response_format") or {}).get("type", "text")
        finish = "none"
        if status == 200:
            choice = json.loads(body)["choices"][0]
            finish = choice["finish_reason"]
            answers += 1
            sound &= asked != "json_schema" or finish == "length" or is_answer(choice["message"]["content"])
        counts[f"asked for {asked}: status {status}, finish {finish}, {outcome} {error or ''}".strip()] += 1
    for what, count in counts.items():
        print(f"{count} x {what}")
    return sound and (answers == arguments.sentences or form == "schema")


def is_answer(text):
    try:
        return isinstance(json.loads(text)["entities"], list)
    except (ValueError, KeyError, TypeError):
        return False


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--apprentice", required=True)
    parser.add_argument("--sentences", type=int, default=4)
    parser.add_argument("--max-tokens", type=int, default=200)
    parser.add_argument("--log", default=os.devnull)
    arguments = parser.parse_args()
    sample = pathlib.Path(__file__).parent.parent / "data/newsroom/dev.conll"
    with tempfile.TemporaryDirectory() as folder, open(arguments.log, "w") as log:
        folder = pathlib.Path(folder)
        sentences = folder / "sentences.conll"
        sentences.write_text("\n\n".join(sample.read_text().split("\n\n")[: arguments.sentences]) + "\n")
        write_model(folder / "tiny.gguf")
        server, url = start_server(folder / "tiny.gguf", log)
        try:
            sound = [annotate(arguments, url, sentences, folder, form) for form in ["text", "json", "schema", None]]
        finally:
            server.kill()
            server.wait()
    sys.exit(0 if all(sound) else 1)


if __name__ == "__main__":
    main()
