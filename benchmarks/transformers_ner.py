"""Fine-tunes a Hugging Face encoder for named-entity recognition, as the rival of `apprentice train`.

The recipe: AdamW (learning rate 1e-4, weight decay 0), linear decay to 0 without warm-up, gradient norm clipped to 1.0,
dropout as in the encoder's config, labels on first sub-words, loss averaged over the labelled words of a batch, the
weights of the last epoch. Scored with seqeval in its default (lenient) mode.

`--batching padded` is what most scripts do: shuffled batches padded to their longest sentence. `--batching split` cuts
each such batch into length-sorted quarters and accumulates their gradients: the same sentences in every optimiser step
and the same loss, with less padding, so it serves to measure F1 sooner. `--batching grouped` sorts by length within
chunks of 50 batches before batching and uses the fused optimiser: the usual tuning for speed.

Prints one JSON object per seed: {"seed", "f1", "precision", "recall", "steps", "train_tokens_per_s", ...}; tokens are
real sub-words including [CLS] and [SEP], never padding.
"""

import argparse
import json
import random
import time

import numpy as np
import torch
from seqeval.metrics import f1_score, precision_score, recall_score
from transformers import AutoModelForTokenClassification, AutoTokenizer
from transformers.utils import logging


def read_conll(path):
    sentences, words, tags = [], [], []
    for line in open(path, encoding="utf-8"):
        line = line.rstrip("\n")
        if not line.strip() or line.startswith("-DOCSTART-"):
            if words:
                sentences.append((words, tags))
            words, tags = [], []
        elif not line.startswith(("# id =", "# newdoc id =")):
            columns = line.split()
            words.append(columns[0])
            tags.append(columns[-1])
    if words:
        sentences.append((words, tags))
    return sentences


def encode(sentences, tokenizer, labels, max_length):
    out = []
    for words, tags in sentences:
        encoded = tokenizer(words, is_split_into_words=True, truncation=True, max_length=max_length)
        targets, previous = [], None
        for word in encoded.word_ids():
            targets.append(-100 if word is None or word == previous else labels[tags[word]])
            previous = word
        out.append((encoded["input_ids"], targets))
    return out


def collate(batch):
    longest = max(len(ids) for ids, _ in batch)
    ids = torch.zeros(len(batch), longest, dtype=torch.long)
    mask = torch.zeros(len(batch), longest, dtype=torch.long)
    targets = torch.full((len(batch), longest), -100, dtype=torch.long)
    for row, (i, t) in enumerate(batch):
        ids[row, : len(i)] = torch.tensor(i)
        mask[row, : len(i)] = 1
        targets[row, : len(t)] = torch.tensor(t)
    return ids, mask, targets


def batches(data, size, batching, rng):
    order = list(range(len(data)))
    rng.shuffle(order)
    if batching == "grouped":
        chunk = size * 50
        order = [
            i
            for start in range(0, len(order), chunk)
            for i in sorted(order[start : start + chunk], key=lambda i: len(data[i][0]))
        ]
    made = [[data[i] for i in order[s : s + size]] for s in range(0, len(order), size)]
    if batching == "grouped":
        rng.shuffle(made)
    return made


def arithmetic(precision):
    """The context in which the model computes."""
    return torch.autocast("cpu", dtype=torch.bfloat16, enabled=precision == "bf16")


def predict(model, data, precision, size=64):
    """The most probable label ids of the first sub-words, in the order of `data`."""
    model.eval()
    order = sorted(range(len(data)), key=lambda i: len(data[i][0]))
    out = [None] * len(data)
    with torch.inference_mode(), arithmetic(precision):
        for start in range(0, len(order), size):
            chosen = order[start : start + size]
            ids, mask, targets = collate([data[i] for i in chosen])
            best = model(input_ids=ids, attention_mask=mask).logits.argmax(-1)
            for row, i in enumerate(chosen):
                out[i] = best[row][targets[row] != -100].tolist()
    return out


def filled_up(row, tags):
    """The tags of a sentence, of which words beyond the longest length were given none."""
    return row + ["O"] * (len(tags) - len(row))


def backward(model, batch, labelled, precision):
    """Adds the gradients of the loss, summed over the batch and divided by `labelled`; the loss."""
    ids, mask, targets = collate(batch)
    with arithmetic(precision):
        logits = model(input_ids=ids, attention_mask=mask).logits
        loss = torch.nn.functional.cross_entropy(
            logits.view(-1, logits.shape[-1]), targets.view(-1), ignore_index=-100, reduction="sum"
        )
        loss = loss / labelled
    loss.backward()
    return loss.item()


def compiled(model, train, test, batch, precision):
    """Has the passes compiled for any shape, on batches that are not alike; those back only where there is `train`."""
    model.compile(dynamic=True)
    for size in (batch + 2, batch + 1, batch):
        model.train()
        if train:
            backward(model, train[:size], 1, precision)
        predict(model, test[:size], precision)
    model.zero_grad()


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--encoder", required=True)
    p.add_argument("--train", required=True)
    p.add_argument("--test", required=True)
    p.add_argument("--epochs", type=int, default=3)
    p.add_argument("--batch", type=int, default=32)
    p.add_argument("--lr", type=float, default=1e-4)
    p.add_argument("--seeds", type=int, nargs="+", default=[1])
    p.add_argument("--threads", type=int, default=2)
    p.add_argument("--max-length", type=int, default=512)
    p.add_argument("--max-steps", type=int, help="stop early (for timing), with 0 only predict; the schedule stays that of all steps")
    p.add_argument("--batching", choices=["padded", "split", "grouped"], default="padded")
    p.add_argument("--precision", choices=["f32", "bf16"], default="f32", help="bf16: autocast")
    p.add_argument("--compile", action="store_true", help="torch.compile with dynamic shapes, warmed up before time is taken")
    a = p.parse_args()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    torch.set_num_threads(a.threads)

    tokenizer = AutoTokenizer.from_pretrained(a.encoder)
    train, test = read_conll(a.train), read_conll(a.test)
    types = sorted({t[2:] for _, tags in train for t in tags if t != "O"})
    names = ["O"] + [f"{prefix}-{t}" for t in types for prefix in "BI"]
    labels = {n: i for i, n in enumerate(names)}
    train_data = encode(train, tokenizer, labels, a.max_length)
    test_data = encode(test, tokenizer, labels, a.max_length)

    for seed in a.seeds:
        torch.manual_seed(seed)
        np.random.seed(seed)
        rng = random.Random(seed)
        model = AutoModelForTokenClassification.from_pretrained(a.encoder, num_labels=len(names))
        optimiser = torch.optim.AdamW(
            model.parameters(), lr=a.lr, weight_decay=0.0, fused=True if a.batching == "grouped" else None
        )
        if a.compile:
            compiled(model, train_data if a.max_steps != 0 else [], test_data, a.batch, a.precision)
        total = a.epochs * -(-len(train_data) // a.batch)
        schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda s: max(0.0, 1 - s / total))
        steps, tokens, loss_value, started = 0, 0, 0.0, time.perf_counter()
        limit = total if a.max_steps is None else min(total, a.max_steps)
        while steps < limit:
            for batch in batches(train_data, a.batch, a.batching, rng):
                model.train()
                labelled = sum(t != -100 for _, targets in batch for t in targets)
                parts = [batch]
                if a.batching == "split":
                    batch = sorted(batch, key=lambda x: len(x[0]))
                    quarter = -(-len(batch) // 4)
                    parts = [batch[s : s + quarter] for s in range(0, len(batch), quarter)]
                loss_value = 0.0
                for part in parts:
                    loss_value += backward(model, part, labelled, a.precision)
                torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
                optimiser.step()
                schedule.step()
                optimiser.zero_grad()
                steps += 1
                tokens += sum(len(i) for i, _ in batch)
                if steps >= limit:
                    break
        train_s = time.perf_counter() - started
        started = time.perf_counter()
        predicted = predict(model, test_data, a.precision)
        predict_s = time.perf_counter() - started
        gold, guessed = [], []
        for (_, tags), row in zip(test, predicted):
            gold.append(tags)
            guessed.append(filled_up([names[i] for i in row], tags))
        print(
            json.dumps(
                {
                    "seed": seed,
                    "batching": a.batching,
                    "f1": round(float(f1_score(gold, guessed)), 4),
                    "precision": round(float(precision_score(gold, guessed)), 4),
                    "recall": round(float(recall_score(gold, guessed)), 4),
                    "steps": steps,
                    "loss": round(loss_value, 4),
                    "train_s": round(train_s, 2),
                    "train_tokens_per_s": round(tokens / train_s) if steps else 0,
                    "predict_s": round(predict_s, 2),
                    "predict_tokens_per_s": round(sum(len(i) for i, _ in test_data) / predict_s),
                }
            ),
            flush=True,
        )


if __name__ == "__main__":
    main()
