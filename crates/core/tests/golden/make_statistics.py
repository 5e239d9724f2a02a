"""Statistics by scipy and statsmodels on random data: golden data for `tests/it/uncertainty.rs`.

    python make_statistics.py > statistics.json

Needs numpy, scipy (made with 1.17.1) and statsmodels (made with 0.15.0).

`seeds`: scores of two settings over seeds, Welch's and (for equally many) the paired t test, each as
[t, degrees of freedom, p, low, high] at the level given. `holm`: p-values and the adjusted ones. `bootstrap`: one system's
units as [true positives, predicted, gold], and scipy's percentile intervals for precision, recall and F1 from 200,000
resamples, so up to their own noise. `swaps`: two systems' units, [true positives, predicted] each and the gold, and the
exact p-value of the difference in F1 over all ways to swap.
"""

import json
import warnings

import numpy as np
from scipy import stats
from statsmodels.stats.multitest import multipletests

warnings.filterwarnings("ignore")
rng = np.random.default_rng(20240214)


def rounded(values, digits=12):
    return [float(f"{value:.{digits}g}") for value in values]


def test_row(result, level):
    low, high = result.confidence_interval(level)
    return rounded([result.statistic, result.df, result.pvalue, low, high])


def seeds():
    for n, m in [(2, 2), (2, 5), (3, 3), (5, 5), (5, 8), (10, 10), (20, 20), (50, 7)]:
        for gap in [0.0, 0.5, 3.0, 30.0]:
            level = float(rng.choice([0.5, 0.9, 0.95, 0.99, 0.9999]))
            spread = 10.0 ** rng.uniform(-5, 1, size=2)
            center = rng.uniform(-1, 1)
            first = rounded(center + gap * spread[0] + spread[0] * rng.standard_normal(n), 15)
            second = rounded(center + spread[1] * rng.standard_normal(m), 15)
            item = {"first": first, "second": second, "level": level}
            item["welch"] = test_row(stats.ttest_ind(first, second, equal_var=False), level)
            if n == m:
                item["paired"] = test_row(stats.ttest_rel(first, second), level)
            mean = stats.t.interval(level, n - 1, np.mean(first), stats.sem(first))
            item["mean"] = rounded([np.mean(first), np.std(first, ddof=1), *mean])
            yield item


def holm():
    for count in [1, 2, 3, 5, 10, 20]:
        p = rounded(rng.uniform(0, 1, count) ** 3, 6)
        if count > 3:
            p[1] = p[2]
        yield {"p": p, "adjusted": rounded(multipletests(p, method="holm")[1])}


def f1(tp, predicted, gold, axis=-1):
    return 2 * np.sum(tp, axis) / (np.sum(predicted, axis) + np.sum(gold, axis))


def output(gold, recall):
    tp = rng.binomial(gold, recall)
    return tp, tp + rng.binomial(2, 0.2, size=len(gold))


def bootstrap():
    for units, recall in [(30, 0.6), (100, 0.85)]:
        gold = rng.binomial(4, 0.4, size=units)
        tp, predicted = output(gold, recall)
        data = (tp, predicted, gold)
        measures = [
            lambda t, p, g, axis=-1: np.sum(t, axis) / np.sum(p, axis),
            lambda t, p, g, axis=-1: np.sum(t, axis) / np.sum(g, axis),
            f1,
        ]
        rows = []
        for measure in measures:
            result = stats.bootstrap(data, measure, paired=True, vectorized=True, method="percentile",
                                     n_resamples=200_000, batch=10_000, confidence_level=0.95, rng=rng)
            rows.append(rounded(result.confidence_interval, 6))
        yield {"units": np.transpose(data).tolist(), "intervals": rows}


def swaps():
    for units, better, worse in [(6, 0.9, 0.2), (10, 0.8, 0.5), (14, 0.7, 0.6)]:
        gold = rng.binomial(3, 0.6, size=units)
        first, second = output(gold, better), output(gold, worse)
        # scipy swaps scalars, so both counts of an output go into one.
        packed = [tp * 100 + predicted for tp, predicted in (first, second)]

        def difference(a, b, axis=-1):
            return f1(a // 100, a % 100, gold, axis) - f1(b // 100, b % 100, gold, axis)

        result = stats.permutation_test(packed, difference, permutation_type="samples", vectorized=True,
                                        n_resamples=np.inf, alternative="two-sided")
        units = np.transpose([*first, *second, gold]).tolist()
        yield {"units": units, "difference": rounded([result.statistic])[0], "p": rounded([result.pvalue])[0]}


if __name__ == "__main__":
    parts = [(name, list(make())) for name, make in
             [("seeds", seeds), ("holm", holm), ("bootstrap", bootstrap), ("swaps", swaps)]]
    lines = [f'"{name}":[\n' + ",\n".join(json.dumps(item, separators=(",", ":")) for item in items) + "\n]"
             for name, items in parts]
    print("{\n" + ",\n".join(lines) + "\n}")
