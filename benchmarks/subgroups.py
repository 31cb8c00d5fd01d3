"""Measure whether 95 % intervals of groups of people and of their gap cover the truth.

Run ``python benchmarks/subgroups.py``; the defaults take about five minutes on one core. The
predictions are those of ``statistics_calibration.py``: each person has one to seven clips, which
share a difficulty and a tendency to look spontaneous.

1. Two groups of people. An overconfident estimator is better on "women" than on "men". "Equal" is
   the gap of two groups like "men". The truth is that of very many people.
2. Five groups, of which four are equal: the interval of the largest gap, which is chosen among ten
   pairs of groups. A second row shows the interval without the correction for this choice.
3. Limits: an estimator with an accuracy of 97 %, and groups of fewer people than have an interval.
"""

from itertools import combinations

import numpy as np
import pandas as pd
from common import read_options
from sklearn.metrics import accuracy_score, balanced_accuracy_score, log_loss, roc_auc_score
from statistics_calibration import simulate

from smilefusion.benchmark import summarize
from smilefusion.benchmark.stats import _subgroups

# Signal and confidence of the estimator in each group.
WOMEN, MEN, EASY = (1.4, 2.5), (1.0, 1.0), (3.0, 1.5)
METRICS = {
    "balanced_accuracy": lambda y, guess, p: balanced_accuracy_score(y, guess),
    "accuracy": lambda y, guess, p: accuracy_score(y, guess),
    "roc_auc": lambda y, guess, p: roc_auc_score(y, p),
    "log_loss": lambda y, guess, p: log_loss(y, p),
}


def simulate_groups(groups, n_people, rng):
    """Return predictions for groups of people given as {name: (signal, confidence)}."""
    parts = []
    for name, strength in groups.items():
        part = simulate({"estimator": strength}, n_people, rng)
        labels = {column: name + part[column].astype(str) for column in ("clip", "group")}
        parts.append(part.assign(metadata_sex=name, fit_seconds=0, n_parameters=0, **labels))
    return pd.concat(parts, ignore_index=True)


def find_truth(strength, n_people, rng):
    """Return the metrics over very many people."""
    part = simulate({"estimator": strength}, n_people, rng)
    columns = [part[name].to_numpy() for name in ("target", "prediction", "probability_1")]
    return {name: metric(*columns) for name, metric in METRICS.items()}


def measure_coverage(groups, truths, options, n_people, rng):
    """Return how often intervals of groups and gap contain the truth in per cent."""
    gaps = {
        metric: max(abs(truths[a][metric] - truths[b][metric]) for a, b in combinations(groups, 2))
        for metric in METRICS
    }
    truths = {name: truths[name] for name in groups} | {_subgroups.LARGEST_GAP: gaps}
    held = []
    for seed in range(options.n_repetitions):
        predictions = simulate_groups(groups, n_people, rng)
        if predictions.groupby("metadata_sex")["target"].nunique().min() < 2:
            continue
        scores = summarize(
            predictions, by="sex", n_resamples=options.n_resamples, random_state=seed
        )
        for row in scores.to_dict("records"):
            for metric, truth in truths[row["subgroup"]].items():
                low, high = (row[f"{metric}_{end}"] for end in ("low", "high"))
                held.append((metric, row["subgroup"], low <= truth <= high))
    table = pd.DataFrame(held, columns=["metric", "of", "held"])
    return 100 * table.groupby(["of", "metric"], sort=False)["held"].mean().unstack()
