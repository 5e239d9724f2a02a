"""Scores that nervaluate 1.2.1 gives to random entities: golden data for `tests/it/semeval.rs`.

    python make_nervaluate.py > nervaluate.json

No entity overlaps two others, because there nervaluate depends on the order. The entities are not stored: both sides
make them from the random numbers of `make_seqeval.py`. A sentence is up to six fields of eight tokens, and a field has
one of: nothing; the same entity on both sides; one with a wrong type; one with other boundaries; both wrong; one that
is missed; a spurious one.

A set has `overall`: for each measure [correct, incorrect, partial, missed, spurious, possible, actual, precision,
recall, F1]; and `types`: for each type, and there for the two measures that mean the same by type on both sides,
[possible, actual, precision, recall, F1].
"""

import json
import sys

from make_seqeval import TYPES, Random
from nervaluate import Evaluator

SETS = 300
SENTENCES = 40
FIELD = 8


def other(rng, types, kind):
    others = [t for t in types if t != kind]
    return others[rng.below(len(others))] if others else kind


def field(rng, types, at, gold, predicted):
    case = rng.below(8)
    kind = types[rng.below(len(types))]
    start = at + 1 + rng.below(3)
    end = start + 1 + rng.below(3)
    if case == 0:
        return
    if case != 6:
        gold.append((kind, start, end))
    if case == 5:
        return
    if case in (2, 4):
        kind = other(rng, types, kind)
    if case in (3, 4):
        # Farther at one end, nearer or farther at the other; at least the last or the first token is shared.
        if rng.below(2) == 0:
            start, end = start - 1, start + 1 + rng.below(end - start)
        else:
            start, end = start + rng.below(end - start), end + 1
    predicted.append((kind, start, end))


def sentences(rng):
    types = TYPES[: 1 + rng.below(len(TYPES))]
    for _ in range(SENTENCES):
        gold, predicted = [], []
        for number in range(rng.below(7)):
            field(rng, types, FIELD * number, gold, predicted)
        yield gold, predicted


def row(result, counts):
    fractions = [round(getattr(result, name), 6) for name in ("precision", "recall", "f1")]
    return [*(getattr(result, name) for name in counts), *fractions]


def main():
    sets = []
    for number in range(SETS):
        as_dicts = lambda side: [[{"label": k, "start": s, "end": e - 1} for k, s, e in found] for found in side]
        gold, predicted = map(as_dicts, zip(*sentences(Random(number))))
        result = Evaluator(gold, predicted, tags=TYPES, loader="dict").evaluate()
        measures = ["strict", "exact", "partial", "ent_type"]
        counts = ["correct", "incorrect", "partial", "missed", "spurious", "possible", "actual"]
        item = {
            "overall": {name: row(result["overall"][name], counts) for name in measures},
            "types": {
                kind: {name: row(of_type[name], ["possible", "actual"]) for name in ("strict", "ent_type")}
                for kind, of_type in sorted(result["entities"].items())
            },
        }
        sets.append(json.dumps(item, separators=(",", ":")).replace(".0,", ",").replace(".0]", "]"))
    sys.stdout.write("[\n" + ",\n".join(sets) + "\n]\n")


if __name__ == "__main__":
    main()
