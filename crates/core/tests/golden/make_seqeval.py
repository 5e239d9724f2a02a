"""Random tag sequences with the scores that seqeval 1.2.2 gives them: golden data for `tests/it/seqeval.rs`.

    python make_seqeval.py > seqeval.json

A set is a list of sentences; a sentence is `gold|predicted`, tags separated by blanks, both possibly empty. Types may
contain a hyphen. A third of the sets is drawn tag by tag, so that most entities are malformed; in the others the gold is
well-formed IOB1 or IOB2, and the prediction is the gold with some tags changed.
"""

import json
import random
import sys
import warnings

import numpy as np
from seqeval.metrics.sequence_labeling import get_entities, precision_recall_fscore_support as lenient
from seqeval.metrics.v1 import precision_recall_fscore_support as strict
from seqeval.scheme import IOB1, IOB2, Entities

warnings.filterwarnings("ignore")
TYPES = ["PER", "LOC", "ORG", "a-b", "X"]


def any_tags(rng, types, length):
    tags = ["O", *("B-" + t for t in types), *("I-" + t for t in types)]
    return [rng.choice(tags) for _ in range(length)]


def iob2_tags(rng, types, length):
    tags = []
    while len(tags) < length:
        if rng.random() < 0.6:
            tags.append("O")
        else:
            kind = rng.choice(types)
            tags += ["B-" + kind, *["I-" + kind] * rng.choice([0, 0, 1, 1, 2, 3])]
    return tags[:length]


def as_iob1(tags):
    """B- only where an entity directly follows another of its type."""
    pairs = zip(["O", *tags], tags)
    return ["I" + tag[1:] if tag[0] == "B" and before[1:] != tag[1:] else tag for before, tag in pairs]


def changed(rng, tags, types):
    return [any_tags(rng, types, 1)[0] if rng.random() < 0.15 else tag for tag in tags]


def sentences(rng):
    types = rng.sample(TYPES, rng.randint(1, len(TYPES)))
    kind = rng.choice(["random", "iob1", "iob2"])
    for _ in range(rng.randint(1, 11)):
        length = rng.choice([0, 1, 2, 3, 5, 8, 13])
        if kind == "random":
            yield any_tags(rng, types, length), any_tags(rng, types, length)
            continue
        gold = iob2_tags(rng, types, length)
        gold = as_iob1(gold) if kind == "iob1" else gold
        yield gold, changed(rng, gold, types)


def types_of(gold, predicted, scheme):
    if scheme is None:
        return sorted({entity[0] for entity in get_entities(gold) + get_entities(predicted)})
    return sorted(Entities(gold, scheme).unique_tags | Entities(predicted, scheme).unique_tags)


def scores(gold, predicted, scheme):
    """Per type and then micro, macro, weighted: [precision, recall, f1]; per type and micro with the support too."""
    types = types_of(gold, predicted, scheme)
    call = (lambda **kw: lenient(gold, predicted, **kw)) if scheme is None else (
        lambda **kw: strict(gold, predicted, scheme=scheme, **kw))
    result = {}
    if types:
        for kind, *row in zip(types, *call(average=None)):
            result[kind] = row
    for average in ("micro", "macro", "weighted"):
        # Without any type numpy has nothing to average; seqeval fails there, and 0 is ours.
        row = call(average=average) if types else (0.0, 0.0, 0.0, 0)
        result["/" + average] = [*row[:3], int(row[3])] if average == "micro" else row[:3]
    return result


def compact(value):
    if isinstance(value, dict):
        return {key: compact(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [compact(inner) for inner in value]
    if isinstance(value, np.generic):
        value = value.item()
    return round(value, 10) if isinstance(value, float) and value != int(value) else int(value)


def main():
    rng = random.Random(20240214)
    sys.stdout.write("[\n")
    for number in range(420):
        pairs = list(sentences(rng))
        gold, predicted = [list(side) for side in zip(*pairs)]
        item = {"sentences": [" ".join(g) + "|" + " ".join(p) for g, p in pairs]}
        for name, scheme in ("lenient", None), ("iob1", IOB1), ("iob2", IOB2):
            item[name] = compact(scores(gold, predicted, scheme))
        sys.stdout.write((",\n" if number else "") + json.dumps(item, separators=(",", ":")))
    sys.stdout.write("\n]\n")


if __name__ == "__main__":
    main()
