"""Pretrains small encoders in several ways and fine-tunes each: which choices matter for the encoder in the program.

    python pretraining.py --apprentice PROGRAM --shared DIR -o DIR [--only NAME …]

Each way gets about the same time of one core, on every fifteenth document of the corpora; then a student learns from 1,000
human-labelled sentences of CoNLL-2003, twice with other seeds. Prints a table with the F1 on 500 sentences of the dev set, on
which the choice is made. What is there already is not done again. Two at a time, one thread each.
"""

import argparse
import concurrent.futures
import json
import pathlib
import re
import statistics
import subprocess

from reproduction import run

BASE = ["--architecture", "4x256x4", "--vocabulary", "8192", "--learning-rate", "1e-3", "--batch-tokens", "4096"]
IMITATE = ["--imitate", "{minilm}", "--imitate-layers", "4", "--imitation-weight", "10", "--batch-tokens", "2048"]
# The best of the trials before it.
BETTER = [*IMITATE, "--imitation-weight", "100", "--batch-tokens", "1024", "--dropout", "0"]
# Passes over the sample: a step in which another encoder has to be asked takes longer.
ALONE, IMITATING = ["--epochs", "1"], ["--epochs", "0.7"]
TRIALS = {
    "base": ALONE,
    "half of the batch": ["--batch-tokens", "2048", *ALONE],
    "imitating": [*IMITATE, "--imitation-weight", "1", "--batch-tokens", "4096", *IMITATING],
    "imitating, weight 10": [*IMITATE, "--batch-tokens", "4096", *IMITATING],
    "imitating, weight 10, half of the batch": [*IMITATE, *IMITATING],
    "- no dropout": [*IMITATE, "--dropout", "0", *IMITATING],
    "- weight 100": [*IMITATE, "--imitation-weight", "100", *IMITATING],
    "- quarter of the batch": [*IMITATE, "--batch-tokens", "1024", *IMITATING],
    "these three together": [*BETTER, *IMITATING],
    "= twice the learning rate": [*BETTER, "--learning-rate", "2e-3", *IMITATING],
    "= four times the learning rate": [*BETTER, "--learning-rate", "4e-3", *IMITATING],
    "= 30 % hidden": [*BETTER, "--mask-share", "0.3", *IMITATING],
    "= vocabulary of 16,384": [*BETTER, "--vocabulary", "16384", *IMITATING],
    "= 7 layers of 192": [*BETTER, "--architecture", "7x192x3", *IMITATING],
    "= 2 layers of 384": [*BETTER, "--architecture", "2x384x6", *IMITATING],
    "= all 6 layers of MiniLM": [*BETTER, "--imitate-layers", "6", "--epochs", "0.6"],
}
SEEDS = [1, 2]


def sample(a):
    """Every fifteenth document."""
    path = a.output / "sample.txt"
    if not path.exists():
        documents = []
        for corpus in sorted((a.shared / "corpora").glob("*.txt.zst")):
            text = subprocess.run(["zstd", "-dcq", corpus], check=True, capture_output=True).stdout.decode()
            documents += [document for document in text.split("\n\n") if document.strip()][::15]
        path.write_text("\n\n".join(documents), encoding="utf-8")
    return path


def flags(settings):
    """The last value of each flag."""
    return [part for pair in dict(zip(settings[::2], settings[1::2])).items() for part in pair]


def trial(a, text, name):
    folder = a.output / re.sub(r"\W+", "-", name).strip("-")
    if not (folder / "result.json").exists():
        more = ["--resume"] if folder.with_name(folder.name + ".unfinished").exists() else [
            "--corpus", text, *flags([*BASE, *TRIALS[name]])]
        more = [str(part).format(minilm=a.shared / "models/all-minilm-l6-v2") for part in more]
        run(a.apprentice, "-q", "pretrain", "--threads", 1, "-o", folder, *more)
    scores = []
    for seed in SEEDS:
        student = folder / f"student.{seed}"
        if not (student / "result.json").exists():
            run(a.apprentice, "-q", "train", "--encoder", folder / "model", "--original",
                a.shared / "data/conll2003/original-1000.conll", "--dev", a.output / "dev.conll", "--epochs", 12,
                "--learning-rate", "5e-4", "--warmup-share", "0.1", "--seed", seed, "--threads", 1, "-o", student,
                "--overwrite")
        scores.append(json.loads((student / "result.json").read_text())["dev"]["micro"]["f1"])
    result = json.loads((folder / "result.json").read_text())
    metrics = [json.loads(line) for line in (folder / "metrics.jsonl").open()]
    tokens = sum(step["tokens"] for step in metrics)
    held_out = result["held_out"]
    row = (f"| {name} | {tokens / 1e6:.2f} M | {result['tokens_per_second']:.0f} | {held_out['perplexity']:.1f} | "
           f"{held_out['accuracy']:.3f} | {statistics.mean(scores):.4f} ({', '.join(f'{s:.4f}' for s in scores)}) |")
    print(row, flush=True)
    return row


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--apprentice", required=True)
    p.add_argument("--shared", type=pathlib.Path, required=True)
    p.add_argument("--only", nargs="+", choices=TRIALS, default=list(TRIALS))
    p.add_argument("-o", "--output", type=pathlib.Path, required=True)
    a = p.parse_args()
    a.output.mkdir(parents=True, exist_ok=True)
    text = sample(a)
    if not (a.output / "dev.conll").exists():
        run(a.apprentice, "-q", "data", "sample", a.shared / "data/conll2003/valid.txt", "-n", 500, "--seed", 1, "-o",
            a.output / "dev.conll")
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        rows = list(pool.map(lambda name: trial(a, text, name), a.only))
    print("\n| | sub-words | per second | perplexity | found | F1 on dev |\n|---|---|---|---|---|---|", *rows, sep="\n")


if __name__ == "__main__":
    main()
