"""Trains and predicts with `apprentice` and with transformers by turns, on the same sentences, and prints a table.

    python speed.py --apprentice PROGRAM --encoder DIR --train FILE.conll --test FILE.conll [--pairs 3] [--steps 40]
        [--batch 32] [--precision bf16] [--window 256] [--random 12x768x12] [--rivals NAME...]

With --window, sentences are joined into ones of just under so many sub-words; with --random, the encoder is one of layers x width
x heads with random weights and the vocabulary of --encoder: speed does not depend on what an encoder knows.

Each pair is one run of ours and one of each rival, directly after each other; the table has the medians over the pairs
and the range of the ratios, since a shared machine's speed drifts; memory is resident memory at its peak. Tokens are
real sub-words with [CLS] and [SEP]. Prediction times of ours include tokenisation and loading the model; those of the rivals do not.
"""

import argparse
import json
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

import transformers
from transformers import AutoTokenizer

import process
from transformers_ner import read_conll

HERE = pathlib.Path(__file__).parent
RIVALS = {
    "transformers, padded": ["--batching", "padded"],
    "transformers, length-grouped, fused AdamW": ["--batching", "grouped"],
    "transformers, length-grouped, torch.compile": ["--batching", "grouped", "--compile"],
}


def ours(a, test_tokens, folder):
    _, train_memory = process.run(
        [a.apprentice, "-q", "train", "--encoder", a.encoder, "--original", a.train, "--epochs", "1",
         "--epoch-size", a.batch * a.steps, "--batch-size", a.batch, "--precision", a.precision, "--threads", a.threads,
         "-o", f"{folder}/run", "--overwrite"],
        stdout=subprocess.DEVNULL,
    )
    train = json.load(open(f"{folder}/run/result.json"))["tokens_per_second"]
    started = time.perf_counter()
    _, predict_memory = process.run(
        [a.apprentice, "-q", "predict", "--model", f"{folder}/run", a.test, "--precision", a.precision, "--threads", a.threads],
        stdout=subprocess.DEVNULL,
    )
    return train, test_tokens / (time.perf_counter() - started), train_memory, predict_memory


def tokens_of(path, encoder):
    tokenizer = AutoTokenizer.from_pretrained(encoder)
    words = [tokens for tokens, _ in read_conll(path)]
    return sum(len(ids) for ids in tokenizer(words, is_split_into_words=True)["input_ids"])


def join(path, encoder, window, output):
    """Sentences put together into ones of just under so many sub-words."""
    tokenizer = AutoTokenizer.from_pretrained(encoder)
    sentences = read_conll(path)
    encoded = tokenizer([words for words, _ in sentences], is_split_into_words=True, add_special_tokens=False)
    lengths = map(len, encoded["input_ids"])
    joined, room = [], 0
    for (words, tags), length in zip(sentences, lengths):
        if length > window - 2:
            continue
        if length > room:
            joined.append([])
            room = window - 2
        joined[-1] += zip(words, tags)
        room -= length
    pathlib.Path(output).write_text("\n\n".join("\n".join(f"{word} {tag}" for word, tag in words) for words in joined) + "\n")
    return output


def random_encoder(shape, encoder, folder):
    layers, width, heads = map(int, shape.split("x"))
    tokenizer = AutoTokenizer.from_pretrained(encoder)
    config = transformers.BertConfig(vocab_size=len(tokenizer), hidden_size=width, num_hidden_layers=layers,
                                     num_attention_heads=heads, intermediate_size=4 * width)
    output = pathlib.Path(folder, "encoder")
    transformers.BertModel(config, add_pooling_layer=False).save_pretrained(output)
    tokenizer.save_pretrained(output)
    return output


def rival(a, flags, folder):
    def script(data, steps):
        with open(f"{folder}/rival.json", "w") as out:
            _, memory = process.run(
                [sys.executable, HERE / "transformers_ner.py", "--encoder", a.encoder, "--train", a.train, "--test", data,
                 "--max-steps", steps, "--batch", a.batch, "--precision", a.precision, "--threads", a.threads, *flags],
                stdout=out,
            )
        return json.load(open(f"{folder}/rival.json")), memory

    # A process each, as with ours, so that each has a peak of its own; the one that trains predicts one sentence.
    train, train_memory = script(f"{folder}/one.conll", a.steps)
    predict, predict_memory = script(a.test, 0)
    return train["train_tokens_per_s"], predict["predict_tokens_per_s"], train_memory, predict_memory


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--apprentice", required=True)
    p.add_argument("--encoder", required=True)
    p.add_argument("--train", required=True)
    p.add_argument("--test", required=True)
    p.add_argument("--pairs", type=int, default=3)
    p.add_argument("--steps", type=int, default=40)
    p.add_argument("--threads", type=int, default=2)
    p.add_argument("--batch", type=int, default=32)
    p.add_argument("--precision", choices=["f32", "bf16"], default="f32")
    p.add_argument("--window", type=int)
    p.add_argument("--random", metavar="LAYERSxWIDTHxHEADS")
    p.add_argument("--rivals", nargs="+", choices=RIVALS, default=[name for name in RIVALS if "compile" not in name])
    a = p.parse_args()
    measured = {"apprentice": [], **{name: [] for name in a.rivals}}
    with tempfile.TemporaryDirectory() as folder:
        if a.random:
            a.encoder = random_encoder(a.random, a.encoder, folder)
        if a.window:
            a.train = join(a.train, a.encoder, a.window, f"{folder}/train.conll")
            a.test = join(a.test, a.encoder, a.window, f"{folder}/test.conll")
        test_tokens = tokens_of(a.test, a.encoder)
        pathlib.Path(f"{folder}/one.conll").write_text("Rome B-LOC\n")
        for _ in range(a.pairs):
            measured["apprentice"].append(ours(a, test_tokens, folder))
            for name in a.rivals:
                measured[name].append(rival(a, RIVALS[name], folder))
    print("| | train, tokens/s | ours is faster by | predict, tokens/s | ours is faster by | memory of train, MiB | "
          "of predict |\n|---|---|---|---|---|---|---|")
    for name, rows in measured.items():
        cells = [name]
        for kind in (0, 1):
            ratios = [mine[kind] / row[kind] for mine, row in zip(measured["apprentice"], rows)]
            cells.append(f"{statistics.median(row[kind] for row in rows):.0f}")
            middle = f"{statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})"
            cells.append("" if name == "apprentice" else middle)
        cells += [f"{statistics.median(row[kind] for row in rows) / 1024:.0f}" for kind in (2, 3)]
        print("| " + " | ".join(cells) + " |")


if __name__ == "__main__":
    main()
