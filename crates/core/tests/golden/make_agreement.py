"""Agreement between labellers of random sentences, by the usual packages: golden data for `tests/it/agreement.rs`.

    python make_agreement.py > agreement.json

Needs numpy, scikit-learn (made with 1.9.1), statsmodels (0.15.0), krippendorff (0.9.0) and seqeval (1.2.2).

A set has for each labeller the tags of each sentence, `null` where the labeller has not labelled it. `pairs` are [first,
second, F1 of entities, Cohen's kappa of token labels] over what both have labelled; Fleiss' kappa is over the tokens that
all have labelled, Krippendorff's alpha (nominal) over all. `null` is a value that the package has none for.
"""

import itertools
import json
import math
import random
import warnings

import krippendorff
import numpy as np
from seqeval.metrics import f1_score
from sklearn.metrics import cohen_kappa_score
from statsmodels.stats.inter_rater import aggregate_raters, fleiss_kappa

warnings.filterwarnings("ignore")
TYPES = ["PER", "LOC", "ORG"]


def truth(rng, length):
    tags = []
    while len(tags) < length:
        if rng.random() < 0.7:
            tags.append("O")
        else:
            kind = rng.choice(TYPES)
            tags += ["B-" + kind, *["I-" + kind] * rng.choice([0, 0, 1, 2])]
    return tags[:length]


def labelled(rng, tags, noise):
    """The truth with some entities of another type, and some tokens' labels gone."""
    result = []
    for tag in tags:
        if tag[0] == "B":
            kind = rng.choice(TYPES) if rng.random() < noise else tag[2:]
        if tag == "O" or rng.random() < noise:
            result.append("O")
        else:
            begins = tag[0] == "B" or result[-1] == "O"
            result.append(("B-" if begins else "I-") + kind)
    return result


def number(value):
    return None if value is None or not math.isfinite(value) else float(f"{value:.12g}")


def labels(tags):
    return [tag[2:] or "O" for tag in tags]


def item(rng):
    lengths = [rng.choice([1, 2, 3, 5, 8]) for _ in range(rng.randint(1, 6))]
    noise, missing = rng.choice([0.05, 0.2, 0.5]), rng.choice([0, 0, 0.2])
    gold = [truth(rng, length) for length in lengths]
    labellers = [[None if rng.random() < missing else labelled(rng, tags, noise) for tags in gold]
                 for _ in range(rng.randint(2, 4))]
    pairs = []
    for (i, first), (j, second) in itertools.combinations(enumerate(labellers), 2):
        both = [(a, b) for a, b in zip(first, second) if a is not None and b is not None]
        flat = [[label for tags in side for label in labels(tags)] for side in zip(*both)] or [[], []]
        entities = any(tag != "O" for pair in both for tags in pair for tag in tags)
        f1 = f1_score(*[list(side) for side in zip(*both)]) if entities else None
        kappa = cohen_kappa_score(*flat) if flat[0] else None
        pairs.append([i, j, number(f1), number(kappa)])

    rows = []
    for sentence, length in enumerate(lengths):
        sides = [labels(tags[sentence]) if tags[sentence] is not None else [None] * length for tags in labellers]
        rows += zip(*sides)
    everyone = [row for row in rows if None not in row]
    fleiss = fleiss_kappa(aggregate_raters(np.array(everyone))[0]) if everyone else None
    numbers = {"O": 0, "PER": 1, "LOC": 2, "ORG": 3, None: np.nan}
    try:
        alpha = krippendorff.alpha(np.array([[numbers[label] for label in row] for row in rows]).T,
                                   level_of_measurement="nominal")
    except ValueError:
        alpha = None
    joined = [[None if tags is None else " ".join(tags) for tags in one] for one in labellers]
    return {"labellers": joined, "pairs": pairs, "fleiss": number(fleiss), "alpha": number(alpha)}


if __name__ == "__main__":
    rng = random.Random(20240214)
    items = [json.dumps(item(rng), separators=(",", ":")) for _ in range(120)]
    print("[\n" + ",\n".join(items) + "\n]")
