"""Predicts with `apprentice`, transformers, ONNX Runtime and candle by turns, with the same student, and prints a table.

    python prediction.py --apprentice PROGRAM --model DIR --train FILE.conll --test FILE.conll [--pairs 5] [--candle PROGRAM]

The program of candle is that of the folder candle (`cargo build --release` there); without it candle is left out.

Ratios are of runs directly after each other, medians and ranges over the pairs. Tokens are real sub-words with [CLS] and
[SEP]. Times of ours are those of the whole command: starting, loading the model, tokenising, decoding, writing; the rivals'
leave all that out but the padding of batches. Memory is resident memory at its peak.
"""

import argparse
import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

from seqeval.metrics import f1_score
from transformers import AutoConfig, AutoTokenizer

import process
from speed import tokens_of
from transformers_ner import encode, filled_up, read_conll

HERE = pathlib.Path(__file__).parent


def ours(a, precision, folder, tokens):
    output = f"{folder}/{precision}.conll"
    started = time.perf_counter()
    _, memory = process.run(
        [a.apprentice, "-q", "predict", "--model", a.model, a.test, "--threads", a.threads, "--precision", precision,
         "-o", output, "--overwrite"],
        stdout=subprocess.DEVNULL,
    )
    seconds = time.perf_counter() - started
    gold, guessed = ([tags for _, tags in read_conll(path)] for path in (a.test, output))
    return tokens / seconds, memory, float(f1_score(gold, guessed))


def script(arguments, folder):
    with open(f"{folder}/rival.json", "w") as out:
        _, memory = process.run([sys.executable, HERE / arguments[0], *arguments[1:]], stdout=out)
    return json.load(open(f"{folder}/rival.json")), memory


def transformers(a, precision, folder):
    result, memory = script(
        ["transformers_ner.py", "--encoder", a.model, "--train", a.train, "--test", a.test, "--max-steps", 0,
         "--threads", a.threads, "--precision", precision], folder)
    return result["predict_tokens_per_s"], memory, None


def onnx(a, precision, folder):
    result, memory = script(
        ["onnx_ner.py", "--model", a.model, "--test", a.test, "--precision", precision, "--folder", folder,
         "--threads", a.threads], folder)
    return result["predict_tokens_per_s"], memory, result["f1"]


def candle(a, folder):
    """Of candle's classes, as those of the other rivals, the most probable ones of first sub-words are scored."""
    tokenizer, model = AutoTokenizer.from_pretrained(a.model), AutoConfig.from_pretrained(a.model)
    sentences = read_conll(a.test)
    data = encode(sentences, tokenizer, model.label2id, 512)
    pathlib.Path(f"{folder}/ids.json").write_text(json.dumps([ids for ids, _ in data]))
    with open(f"{folder}/candle.json", "w") as out:
        _, memory = process.run([a.candle, a.model, f"{folder}/ids.json", 64], stdout=out,
                                env={**os.environ, "RAYON_NUM_THREADS": str(a.threads)})
    result = json.load(open(f"{folder}/candle.json"))
    gold, guessed = [tags for _, tags in sentences], []
    for tags, classes, (_, targets) in zip(gold, result["classes"], data):
        row = [model.id2label[c] for c, target in zip(classes, targets) if target != -100]
        guessed.append(filled_up(row, tags))
    tokens = sum(len(ids) for ids, _ in data)
    return tokens / result["seconds"], memory, float(f1_score(gold, guessed))


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--apprentice", required=True)
    p.add_argument("--model", required=True)
    p.add_argument("--train", required=True, help="for transformers' label names")
    p.add_argument("--test", required=True)
    p.add_argument("--pairs", type=int, default=5)
    p.add_argument("--threads", type=int, default=2)
    p.add_argument("--candle")
    a = p.parse_args()
    tokens = tokens_of(a.test, a.model)
    with tempfile.TemporaryDirectory() as folder:
        runs = {
            "apprentice f32": lambda: ours(a, "f32", folder, tokens),
            "transformers f32, length-sorted": lambda: transformers(a, "f32", folder),
            "ONNX Runtime f32": lambda: onnx(a, "f32", folder),
            "candle f32": lambda: candle(a, folder),
            "apprentice bf16": lambda: ours(a, "bf16", folder, tokens),
            "transformers bf16, length-sorted": lambda: transformers(a, "bf16", folder),
            "apprentice int8": lambda: ours(a, "int8", folder, tokens),
            "ONNX Runtime dynamic int8": lambda: onnx(a, "int8", folder),
        }
        if not a.candle:
            del runs["candle f32"]
        onnx(a, "int8", folder)
        measured = {name: [] for name in runs}
        for _ in range(a.pairs):
            for name, run in runs.items():
                measured[name].append(run())
    print("| | tokens/s | f32 of ours is faster by | bf16 | int8 | memory, MiB | F1 |\n|---|---|---|---|---|---|---|")
    for name, rows in measured.items():
        cells = [name, f"{statistics.median(row[0] for row in rows):.0f}"]
        for mine in ("apprentice f32", "apprentice bf16", "apprentice int8"):
            ratios = [one[0] / row[0] for one, row in zip(measured[mine], rows)]
            middle = f"{statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})"
            cells.append("" if name == mine else middle)
        cells.append(f"{statistics.median(row[1] for row in rows) / 1024:.0f}")
        cells.append("" if rows[0][2] is None else f"{rows[0][2]:.4f}")
        print("| " + " | ".join(cells) + " |")


if __name__ == "__main__":
    main()
