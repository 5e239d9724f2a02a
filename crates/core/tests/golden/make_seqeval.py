"""Scores that seqeval 1.2.2 gives to random tag sequences: golden data for `tests/it/seqeval.rs`.

    python make_seqeval.py > seqeval.json

The sequences are not stored. Both sides make them from the same random numbers, and a hash of the decoded entities
shows that they are the same:

    state = number of the set; for each number: state = (1664525 * state + 1013904223) mod 2**32
    below(n) = (state >> 16) mod n, with the new state

Set k is written in the scheme SCHEMES[k mod 6]. A third of the sets is drawn tag by tag, so that most entities are
malformed; in the others the gold is well-formed and the prediction is the gold with some tags changed. A set is scored
in seqeval's default mode (L- and U- as E- and S-, which alone it knows there) and strictly with each scheme that has
the same letters. Each score has, by type and for "/micro": precision, recall, F1, support; for "/macro" and "/weighted"
no support; and the hash of the entities. The default mode also has the accuracy of the decoded entities, written in
IOB2.
"""

import json
import sys
import warnings

from seqeval.metrics import accuracy_score
from seqeval.metrics.sequence_labeling import get_entities, precision_recall_fscore_support as lenient
from seqeval.metrics.v1 import precision_recall_fscore_support as strict
from seqeval.scheme import BILOU, IOB1, IOB2, IOBES, IOE1, IOE2, Entities

warnings.filterwarnings("ignore")
SETS = 420
SENTENCES = 60
TYPES = ["PER", "LOC", "ORG", "a-b", "X"]
SCHEMES = [IOB1, IOB2, IOE1, IOE2, IOBES, BILOU]
LETTERS = {IOB1: "BI", IOB2: "BI", IOE1: "IE", IOE2: "IE", IOBES: "BIES", BILOU: "BILU"}


class Random:
    def __init__(self, seed):
        self.state = seed

    def below(self, n):
        self.state = (1664525 * self.state + 1013904223) % 2**32
        return (self.state >> 16) % n


def any_tag(rng, types, letters):
    if rng.below(4) == 0:
        return "O"
    letter = letters[rng.below(len(letters))]
    return letter + "-" + types[rng.below(len(types))]


def any_entities(rng, types, length):
    entities, at = [], 0
    while at < length:
        if rng.below(5) < 2:
            at += 1
        else:
            kind = types[rng.below(len(types))]
            end = min(length, at + [1, 1, 2, 2, 3, 4][rng.below(6)])
            entities.append((kind, at, end))
            at = end
    return entities


def encode(entities, length, scheme):
    tags = ["O"] * length
    for kind, start, end in entities:
        tags[start:end] = ["I-" + kind] * (end - start)
    touching = {(a[0], a[2]) for a in entities}  # an entity of this type ends here
    starting = {(a[0], a[1]) for a in entities}
    for kind, start, end in entities:
        if scheme is IOB2 or scheme is IOB1 and (kind, start) in touching:
            tags[start] = "B-" + kind
        elif scheme is IOE2 or scheme is IOE1 and (kind, end) in starting:
            tags[end - 1] = "E-" + kind
        elif scheme in (IOBES, BILOU):
            last, single = "ES" if scheme is IOBES else "LU"
            tags[start] = "B-" + kind
            tags[end - 1] = (last if end - start > 1 else single) + "-" + kind
    return tags


def sentences(rng, scheme):
    types = TYPES[: 1 + rng.below(len(TYPES))]
    malformed = rng.below(3) == 0
    letters = LETTERS[scheme]
    for _ in range(SENTENCES):
        length = [0, 1, 2, 3, 5, 8, 13][rng.below(7)]
        if malformed:
            gold = [any_tag(rng, types, letters) for _ in range(length)]
            predicted = [any_tag(rng, types, letters) for _ in range(length)]
        else:
            gold = encode(any_entities(rng, types, length), length, scheme)
            predicted = [any_tag(rng, types, letters) if rng.below(7) == 0 else tag for tag in gold]
        yield gold, predicted


def decoded(side, scheme):
    """The entities of each sentence as (type, start, end), the end exclusive."""
    if scheme is None:
        return [[(kind, start, end + 1) for kind, start, end in get_entities(tags)] for tags in side]
    return [[entity.to_tuple()[1:] for entity in sentence] for sentence in Entities(side, scheme).entities]


def digest(*sides):
    """FNV-1a with 32 bits of `sentence:start:end:type;` for all entities of the gold, then of the predictions."""
    text = "".join(
        f"{n}:{start}:{end}:{kind};" for side in sides for n, found in enumerate(side) for kind, start, end in found)
    value = 0x811C9DC5
    for byte in text.encode():
        value = (value ^ byte) * 0x01000193 % 2**32
    return value


def scores(gold, predicted, scheme):
    entities = [decoded(side, scheme) for side in (gold, predicted)]
    types = sorted({kind for side in entities for found in side for kind, _, _ in found})
    call = (lambda **kw: lenient(gold, predicted, **kw)) if scheme is None else (
        lambda **kw: strict(gold, predicted, scheme=scheme, **kw))
    result = {}
    if types:
        for kind, *row in zip(types, *call(average=None)):
            result[kind] = row
    for average in ("micro", "macro", "weighted"):
        # Without any type numpy has nothing to average; seqeval fails there, and 0 is ours.
        row = call(average=average) if types else (0.0, 0.0, 0.0, 0)
        result["/" + average] = row if average == "micro" else row[:3]
    result = {key: [round(float(value), 6) for value in row] for key, row in result.items()}
    result["/digest"] = [digest(*entities)]
    if scheme is None:
        written = [
            [encode(found, len(tags), IOB2) for found, tags in zip(decoded(side, None), side)]
            for side in (gold, predicted)]
        result["/accuracy"] = [round(float(accuracy_score(*written)), 6)] if any(gold) else [0]
    return result


def main():
    sets = []
    for number in range(SETS):
        scheme = SCHEMES[number % len(SCHEMES)]
        gold, predicted = [list(side) for side in zip(*sentences(Random(number), scheme))]
        item = {"lenient": scores(*[
            [[{"L": "E", "U": "S"}.get(tag[0], tag[0]) + tag[1:] for tag in tags] for tags in side]
            for side in (gold, predicted)], None)}
        for other in SCHEMES:
            if LETTERS[other] == LETTERS[scheme]:
                item[other.__name__.lower()] = scores(gold, predicted, other)
        sets.append(json.dumps(item, separators=(",", ":")).replace(".0,", ",").replace(".0]", "]"))
    sys.stdout.write("[\n" + ",\n".join(sets) + "\n]\n")


if __name__ == "__main__":
    main()
