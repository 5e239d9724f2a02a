"""Checks that transformers reads a model directory of ours and finds the same tags.

    python interop.py --model DIR --sentences FILE.conll --predictions FILE.conll --groups FILE.jsonl [--limit 200] \
        [--logits PROGRAM]

`--predictions` is what `apprentice predict --model DIR FILE.conll` wrote, `--groups` what it writes with `--to pipeline`.
Ours is the best well-formed tag sequence, so transformers' logits are decoded in the same way here; how many words differ
from the plain argmax is printed beside it.
The scores of entities must be their shares of all well-formed sequences. Where the plain argmax is well-formed and the
pipeline of transformers takes the same characters for words, its groups (aggregation strategy `first`) must be ours.
`--logits` is the program that `cargo build -p apprentice-encoder --example logits` makes; then the logits of all tokens are
compared too. Exits with 1 if a tag or a group differs, a logit by more than 1e-4, or a score by more than 1e-3.
"""

import argparse
import json
import math
import subprocess

import torch
from transformers import AutoModelForTokenClassification, AutoTokenizer, pipeline

from transformers_ner import read_conll


def allowed(previous, tag):
    return not tag.startswith("I-") or (previous != "O" and previous[2:] == tag[2:])


def decode(logits, names):
    """The well-formed IOB2 sequence with the largest sum of logits."""
    score = [value if not names[c].startswith("I-") else float("-inf") for c, value in enumerate(logits[0])]
    back = []
    for row in logits[1:]:
        best = [max((p for p in range(len(names)) if allowed(names[p], n)), key=lambda p: score[p]) for n in names]
        back.append(best)
        score = [score[best[c]] + row[c] for c in range(len(names))]
    path = [max(range(len(names)), key=lambda c: score[c])]
    for best in reversed(back):
        path.append(best[path[-1]])
    return [names[c] for c in reversed(path)]


def log_sum(logits, names, keep=lambda word, tag: True):
    """ln of the sum, over the well-formed sequences of tags that `keep` takes, of the exponential of their logits."""
    sums = {"O": 0.0}
    for word, row in enumerate(logits):
        reached = {}
        for tag, logit in zip(names, row):
            before = [value for previous, value in sums.items() if allowed(previous, tag)]
            if keep(word, tag) and before:
                largest = max(before)
                reached[tag] = logit + largest + math.log(sum(math.exp(value - largest) for value in before))
        sums = reached
    largest = max(sums.values())
    return largest + math.log(sum(math.exp(value - largest) for value in sums.values()))


def score(logits, names, first, end, label):
    """The share of the sequences in which the words from `first` to before `end` are an entity."""

    def keep(word, tag):
        if first <= word < end:
            return tag == ("B-" if word == first else "I-") + label
        return word != end or tag != "I-" + label

    return math.exp(log_sum(logits, names, keep) - log_sum(logits, names))


def spans(tags):
    """The first word, the word behind the last, and the type of each entity of well-formed tags."""
    starts = [i for i, tag in enumerate(tags) if tag.startswith("B-")]
    for start in starts:
        inside = (i for i in range(start + 1, len(tags)) if not tags[i].startswith("I-"))
        yield start, next(inside, len(tags)), tags[start][2:]


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--model", required=True)
    p.add_argument("--sentences", required=True)
    p.add_argument("--predictions", required=True)
    p.add_argument("--groups", required=True)
    p.add_argument("--limit", type=int, default=200)
    p.add_argument("--logits")
    a = p.parse_args()
    tokenizer = AutoTokenizer.from_pretrained(a.model)
    model = AutoModelForTokenClassification.from_pretrained(a.model).eval()
    names = [model.config.id2label[i] for i in range(model.config.num_labels)]
    sentences = read_conll(a.sentences)[: a.limit]
    ours = read_conll(a.predictions)[: a.limit]
    assert len(sentences) == len(ours) > 0, f"{len(sentences)} sentences, {len(ours)} predictions"
    groups = [json.loads(line) for line in open(a.groups, encoding="utf-8")][: a.limit]
    pipe = pipeline("token-classification", model=model, tokenizer=tokenizer, aggregation_strategy="first")
    words, different, plain = 0, 0, 0
    entities, farthest, compared, compared_groups, other = 0, 0.0, 0, 0, 0
    # As the pipeline itself finds out whether a piece begins a word.
    prefix = getattr(tokenizer._tokenizer.model, "continuing_subword_prefix", None)
    all_ids, all_logits = [], []
    for (tokens, _), (our_tokens, our_tags), our_groups in zip(sentences, ours, groups, strict=True):
        assert tokens == our_tokens
        encoded = tokenizer(tokens, is_split_into_words=True, return_tensors="pt")
        with torch.inference_mode():
            logits = model(**encoded).logits[0]
        all_ids.append(encoded.input_ids[0].tolist())
        all_logits.append(logits)
        ids, first = encoded.word_ids(), {}
        for position, word in enumerate(ids):
            if word is not None:
                first.setdefault(word, position)
        assert len(first) == len(tokens), f"transformers gives no sub-word to a word of {tokens}"
        rows = [logits[first[w]].tolist() for w in range(len(tokens))]
        theirs = decode(rows, names)
        argmax = [names[max(range(len(names)), key=row.__getitem__)] for row in rows]
        words += len(tokens)
        different += sum(x != y for x, y in zip(theirs, our_tags))
        plain += sum(x != y for x, y in zip(argmax, our_tags))
        found = list(spans(our_tags))
        assert [label for *_, label in found] == [group["entity_group"] for group in our_groups]
        for span, group in zip(found, our_groups):
            entities += 1
            farthest = max(farthest, abs(score(rows, names, *span) - group["score"]))
        # What follows within a word must be a part of it to them, too: marks are words of their own in BERT.
        pieces = tokenizer.convert_ids_to_tokens(encoded.input_ids[0])
        later = [piece for position, (word, piece) in enumerate(zip(ids, pieces)) if first.get(word, position) != position]
        text = " ".join(tokens)
        assert all(text[group["start"] : group["end"]] == group["word"] for group in our_groups)
        if argmax == our_tags and (not prefix or all(piece.startswith(prefix) for piece in later)):
            key = [(group["entity_group"], group["start"], group["end"]) for group in our_groups]
            compared += 1
            compared_groups += len(key)
            other += [(group["entity_group"], group["start"], group["end"]) for group in pipe(text)] != key
    print(f"{len(sentences)} sentences, {words} words: {different} tags differ ({plain} from the plain argmax)")
    print(f"{entities} entities, largest difference of a score: {farthest:.1e}")
    print(f"{compared} sentences of {compared_groups} groups as the pipeline reads them: {other} differ")
    assert compared, "no sentence is read alike: nothing was compared"
    largest = 0.0
    if a.logits:
        out = subprocess.run([a.logits, a.model], input=json.dumps(all_ids), capture_output=True, text=True, check=True)
        pairs = zip(all_logits, json.loads(out.stdout), strict=True)
        largest = max((theirs.flatten() - torch.tensor(ours)).abs().max().item() for theirs, ours in pairs)
        print(f"largest difference of a logit: {largest:.1e}")
    raise SystemExit(different > 0 or other > 0 or not farthest < 1e-3 or not largest < 1e-4)


if __name__ == "__main__":
    main()
