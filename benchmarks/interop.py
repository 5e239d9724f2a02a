"""Checks that transformers reads a model directory of ours and finds the same tags.

    python interop.py --model DIR --sentences FILE.conll --predictions FILE.conll [--limit 200] [--logits PROGRAM]

`--predictions` is what `apprentice predict --model DIR FILE.conll` wrote. Ours is the best well-formed tag sequence, so
transformers' logits are decoded in the same way here; how many words differ from the plain argmax is printed beside it.
`--logits` is the program that `cargo build -p apprentice-encoder --example logits` makes; then the logits of all tokens are
compared too. Exits with 1 if a tag differs, or a logit by more than 1e-4.
"""

import argparse
import json
import subprocess

import torch
from transformers import AutoModelForTokenClassification, AutoTokenizer

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


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--model", required=True)
    p.add_argument("--sentences", required=True)
    p.add_argument("--predictions", required=True)
    p.add_argument("--limit", type=int, default=200)
    p.add_argument("--logits")
    a = p.parse_args()
    tokenizer = AutoTokenizer.from_pretrained(a.model)
    model = AutoModelForTokenClassification.from_pretrained(a.model).eval()
    names = [model.config.id2label[i] for i in range(model.config.num_labels)]
    sentences = read_conll(a.sentences)[: a.limit]
    ours = read_conll(a.predictions)[: a.limit]
    assert len(sentences) == len(ours) > 0, f"{len(sentences)} sentences, {len(ours)} predictions"
    words, different, plain = 0, 0, 0
    all_ids, all_logits = [], []
    for (tokens, _), (our_tokens, our_tags) in zip(sentences, ours):
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
    print(f"{len(sentences)} sentences, {words} words: {different} tags differ ({plain} from the plain argmax)")
    largest = 0.0
    if a.logits:
        out = subprocess.run([a.logits, a.model], input=json.dumps(all_ids), capture_output=True, text=True, check=True)
        pairs = zip(all_logits, json.loads(out.stdout), strict=True)
        largest = max((theirs.flatten() - torch.tensor(ours)).abs().max().item() for theirs, ours in pairs)
        print(f"largest difference of a logit: {largest:.1e}")
    raise SystemExit(different > 0 or not largest < 1e-4)


if __name__ == "__main__":
    main()
