"""Scores many sentences with `apprentice score` and in the usual Python way, seqeval, and prints a table.

    python score.py --apprentice PROGRAM --conll CONLL2003/test.txt [--sentences 1000000] [--repeat 3]

The sentences are those of the file, repeated, as two columns, word and tag, in a temporary folder (--folder keeps them);
the predictions are the same with some entities dropped, renamed, cut short or invented. The Python way reads both files
line by line and calls seqeval's `classification_report`. Each runs as a process of its own: the table has its whole wall
time (the shortest of --repeat for ours; Python runs once) and its peak memory. Needs seqeval, and about 2 GB of disk and
6 GB of memory for a million sentences. Fails if the two micro F1 differ by more than 1e-9.
"""

import argparse
import json
import os
import pathlib
import random
import subprocess
import sys
import tempfile
import time


def read_columns(path):
    """Words and tags, sentence by sentence."""
    sentences, words, tags = [], [], []
    for line in open(path, encoding="utf-8"):
        columns = line.split()
        if columns and columns[0] != "-DOCSTART-":
            words.append(columns[0])
            tags.append(columns[-1])
        elif words:
            sentences.append((words, tags))
            words, tags = [], []
    return sentences + [(words, tags)] if words else sentences


def with_errors(tags, rng):
    """Tags of which some are wrong: one in ten tokens of entities, one in a hundred of the others."""
    types = ["PER", "LOC", "ORG", "MISC"]
    wrong = []
    for tag in tags:
        if tag == "O":
            wrong.append(f"{rng.choice('BI')}-{rng.choice(types)}" if rng.random() < 0.01 else "O")
        elif rng.random() < 0.1:
            wrong.append(rng.choice(["O", f"{tag[0]}-{rng.choice(types)}", "B" + tag[1:]]))
        else:
            wrong.append(tag)
    return wrong


def write_files(conll, sentences, folder):
    corpus = read_columns(conll)
    rng = random.Random(1)
    paths = [folder / "gold.conll", folder / "predicted.conll"]
    tokens = 0
    with open(paths[0], "w", encoding="utf-8") as gold, open(paths[1], "w", encoding="utf-8") as predicted:
        for i in range(sentences):
            words, tags = corpus[i % len(corpus)]
            tokens += len(words)
            for file, labels in ((gold, tags), (predicted, with_errors(tags, rng))):
                file.write("\n".join(f"{word} {tag}" for word, tag in zip(words, labels)) + "\n\n")
    return paths, tokens


def python_way(gold, predicted):
    from seqeval.metrics import classification_report

    started = time.perf_counter()
    gold, predicted = ([tags for _, tags in read_columns(path)] for path in (gold, predicted))
    read = time.perf_counter() - started
    report = classification_report(gold, predicted, output_dict=True)
    json.dump({"f1": float(report["micro avg"]["f1-score"]), "read_s": read}, sys.stdout)


def measured(command):
    """What a command prints, as JSON, with its wall time in seconds and its peak memory in GB."""
    started = time.perf_counter()
    child = subprocess.Popen(command, stdout=subprocess.PIPE)
    out = child.stdout.read()
    _, status, usage = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    wall = time.perf_counter() - started
    if child.returncode != 0:
        sys.exit(f"{command[0]} failed with {child.returncode}")
    return json.loads(out), wall, usage.ru_maxrss / 1e6


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--apprentice", help="the program")
    p.add_argument("--conll", help="the sentences to repeat")
    p.add_argument("--sentences", type=int, default=1_000_000)
    p.add_argument("--repeat", type=int, default=3)
    p.add_argument("--folder", type=pathlib.Path, help="write the files here and keep them")
    p.add_argument("--only-ours", action="store_true", help="leave Python out")
    p.add_argument("--python-way", nargs=2, help=argparse.SUPPRESS)
    a = p.parse_args()
    if a.python_way:
        return python_way(*a.python_way)
    with tempfile.TemporaryDirectory() as temporary:
        folder = a.folder or pathlib.Path(temporary)
        (gold, predicted), tokens = write_files(a.conll, a.sentences, folder)
        print(f"{a.sentences:,} sentences, {tokens:,} tokens; load average {os.getloadavg()[0]:.1f}", flush=True)
        command = [a.apprentice, "score", "--gold", gold, "--predicted", predicted, "--resamples", "0", "--json"]
        ours = [measured(command) for _ in range(a.repeat)]
        f1 = ours[0][0]["systems"][0]["f1"]["mean"]
        rows = [("apprentice score", min(wall for _, wall, _ in ours), max(memory for *_, memory in ours))]
        if not a.only_ours:
            theirs, wall, memory = measured([sys.executable, __file__, "--python-way", gold, predicted])
            if abs(f1 - theirs["f1"]) > 1e-9:
                sys.exit(f"micro F1 is {f1} here and {theirs['f1']} in seqeval")
            rows.append((f"Python, seqeval ({theirs['read_s']:.1f} s of it reading)", wall, memory))
    print(f"micro F1 {f1:.10f}\n\n| | seconds | times ours | peak memory, GB |\n|---|---:|---:|---:|")
    for name, wall, memory in rows:
        print(f"| {name} | {wall:.2f} | {wall / rows[0][1]:.1f} | {memory:.2f} |")


if __name__ == "__main__":
    main()
