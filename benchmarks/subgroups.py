"""Measure how often 95 % intervals of scores by group of people contain the true value.

Run ``python benchmarks/subgroups.py``; the defaults take about 25 minutes on one core. The
predictions are those of ``statistics_calibration.py``: each person has one to seven clips, which
share a difficulty and a tendency to look spontaneous. The true values are the scores of very many
people. The intervals of the largest gap between groups are also measured.

1. Two groups of people. The estimator is better for women, but overconfident.
2. Two groups for which the estimator is equally good, so the true gap is 0.
3. Two groups for which the estimator is nearly perfect (97 % and 96 % correct). A small group may
   contain none of the rare errors with large losses.
4. Five groups. The largest gap is chosen from ten pairs. The true gap is the difference between
   the two groups that were chosen.

Groups that are too small for an interval in `summarize` are also measured.
"""

import numpy as np
import pandas as pd
from common import read_options
from sklearn.metrics import accuracy_score, balanced_accuracy_score, log_loss, roc_auc_score
from statistics_calibration import simulate

from smilefusion.benchmark import summarize
from smilefusion.benchmark.stats import _subgroups

LARGEST_GAP = _subgroups.LARGEST_GAP
# Signal and confidence of the estimator for each group of people.
WOMEN, MEN = (1.4, 2.5), (1.0, 1.0)
CASES = {
    "different": {"women": WOMEN, "men": MEN},
    "equal": {"A": MEN, "B": MEN},
    "nearly-perfect": {"A": (3.0, 1.5), "B": (2.7, 1.5)},
    "five-groups": {"A": MEN, "B": MEN, "C": MEN, "D": MEN, "E": WOMEN},
}
METRICS = ("balanced_accuracy", "accuracy", "roc_auc", "log_loss")


def simulate_groups(groups, n_people, rng):
    """Return predictions for groups of people given as {name: (signal, confidence)}."""
    parts = []
    for name, strength in groups.items():
        part = simulate({"estimator": strength}, n_people, rng)
        names = {column: name + part[column].astype(str) for column in ("clip", "group")}
        parts.append(part.assign(metadata_people=name, **names))
    return pd.concat(parts, ignore_index=True)


def find_truths(groups, n_people, rng):
    """Return the metrics of each group over very many people."""
    found = {}
    for strength in dict.fromkeys(groups.values()):
        part = simulate({"estimator": strength}, n_people, rng)
        y, guess, p = (part[name] for name in ("target", "prediction", "probability_1"))
        found[strength] = {
            "balanced_accuracy": balanced_accuracy_score(y, guess),
            "accuracy": accuracy_score(y, guess),
            "roc_auc": roc_auc_score(y, p),
            "log_loss": log_loss(y, p),
        }
    return {name: found[strength] for name, strength in groups.items()}


def measure_coverage(groups, truths, n_people, options, rng):
    """Return how often the intervals contain the truth in per cent, (groups, metrics)."""
    held = []
    for seed in range(options.n_repetitions):
        predictions = simulate_groups(groups, n_people, rng)
        scores = summarize(
            predictions, by="people", n_resamples=options.n_resamples, random_state=seed
        ).set_index("subgroup")
        for metric in METRICS:
            own = scores[metric].drop(LARGEST_GAP).dropna()  # without groups of one class
            gap = truths[own.idxmax()][metric] - truths[own.idxmin()][metric]
            truth = {name: truths[name][metric] for name in own.index} | {LARGEST_GAP: gap}
            for name, low, high in scores[[f"{metric}_low", f"{metric}_high"]].itertuples():
                if name in truth:
                    held.append((name, metric, low <= truth[name] <= high))
    table = pd.DataFrame(held, columns=["group", "metric", "held"])
    return 100 * table.groupby(["group", "metric"], sort=False)["held"].mean().unstack()


def main():
    options = read_options(
        __doc__,
        cases=tuple(CASES),
        n_people=(7, 10, 30, 100),  # of each group
        n_repetitions=1000,
        n_resamples=1000,
        n_many=100_000,  # people that define the truth
    )
    _subgroups.FEWEST_PEOPLE = 2
    print(f"Coverage of 95 % intervals in {options.n_repetitions} repetitions, %")
    for case in options.cases:
        rng = np.random.default_rng(list(CASES).index(case))
        truths = find_truths(CASES[case], options.n_many, rng)
        print(f"\n{case}; truth:\n{pd.DataFrame(truths).T.round(3).to_string()}")
        for n_people in options.n_people:
            found = measure_coverage(CASES[case], truths, n_people, options, rng)
            print(f"{n_people} people in each group\n{found.round(1).to_string()}", flush=True)


if __name__ == "__main__":
    main()
