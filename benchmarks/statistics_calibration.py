"""Measure whether 95 % intervals cover the truth and tests keep their 5 % level.

Run ``python benchmarks/statistics_calibration.py``; the defaults take about ten minutes on one
core. The data are simulated predictions, clustered by subject: each person has one to seven
clips, which share a difficulty and a tendency to look spontaneous, to which each estimator adds
its own.

1. Coverage of the intervals of each metric and of paired differences, for a weak estimator and a
   stronger, overconfident one. The truth is that of very many people.
2. False positives of tests on estimators that are equally good: tests over clips on the same
   simulation; tests over folds on the cross-validation of two nearest-centroid classifiers; tests
   over blocks on normal scores of five estimators. McNemar's test on several clips per person is
   a misuse that the documentation warns about.
"""

from functools import partial

import numpy as np
import pandas as pd
from common import calibration_error, read_options
from scipy.special import expit
from sklearn.metrics import (
    accuracy_score,
    balanced_accuracy_score,
    brier_score_loss,
    log_loss,
    roc_auc_score,
)

from smilefusion.benchmark import (
    compare,
    corrected_resampled_ttest,
    friedman_nemenyi_test,
    mcnemar_test,
    score_predictions,
)

MOST_CLIPS = 7  # of a subject
UNLIKE = {"weak": (1.0, 1.0), "strong": (1.4, 2.5)}  # signal, confidence
ALIKE = (1.2, 1.0)
PAIRED = ("balanced_accuracy", "log_loss", "accuracy", "brier_score")
METRICS = (*PAIRED, "roc_auc", "calibration_error")


def simulate(estimators, n_subjects, rng, most_clips=MOST_CLIPS):
    """Return tidy predictions of estimators given as {name: (signal, confidence)}."""
    subject = np.repeat(np.arange(n_subjects), rng.integers(1, most_clips + 1, n_subjects))
    target = rng.integers(0, 2, len(subject))
    side = 2 * target - 1
    tendency, ease = rng.normal(0, 0.7, (2, n_subjects))[:, subject]
    common = tendency + side * ease + rng.normal(0, 0.7, len(subject))
    parts = []
    for name, (signal, confidence) in estimators.items():
        tendency, ease = rng.normal(0, 0.6, (2, n_subjects))[:, subject]
        own = tendency + side * ease + rng.normal(0, 0.5, len(subject))
        probability = expit(confidence * (side * signal + common + own))
        columns = {
            "dataset": "simulated",
            "estimator": name,
            "repeat": 0,
            "fold": 0,
            "clip": np.arange(len(subject)),
            "group": subject,
            "target": target,
            "prediction": (probability > 0.5).astype(int),
            "probability_0": 1 - probability,
            "probability_1": probability,
        }
        parts.append(pd.DataFrame(columns))
    return pd.concat(parts, ignore_index=True)


def find_truths(n_subjects, rng):
    """Return the metrics of both estimators over very many subjects, as a table."""
    truths = {}
    for name, part in simulate(UNLIKE, n_subjects, rng).groupby("estimator"):
        y, guess, p = (part[c].to_numpy() for c in ("target", "prediction", "probability_1"))
        truths[name] = {
            "balanced_accuracy": balanced_accuracy_score(y, guess),
            "accuracy": accuracy_score(y, guess),
            "roc_auc": roc_auc_score(y, p),
            "log_loss": log_loss(y, p),
            "brier_score": brier_score_loss(y, p),
            "calibration_error": calibration_error(y, p),
        }
    return truths


def measure_coverage(n_subjects, n_repetitions, n_resamples, truths, rng):
    """Return how often intervals contain the truth in per cent, (metrics, estimators)."""
    held = []
    for seed in range(n_repetitions):
        predictions = simulate(UNLIKE, n_subjects, rng)
        scores = score_predictions(predictions, n_resamples=n_resamples, random_state=seed)
        for row in scores.to_dict("records"):
            truth = truths[row["estimator"]]
            for name in METRICS:
                is_held = row[f"{name}_low"] <= truth[name] <= row[f"{name}_high"]
                held.append((name, row["estimator"], is_held))
        for name in PAIRED:
            row = compare(predictions, metric=name, n_permutations=20).iloc[0]
            truth = truths[row["first"]][name] - truths[row["second"]][name]
            is_held = row["difference_low"] <= truth <= row["difference_high"]
            held.append((name, "difference", is_held))
    table = pd.DataFrame(held, columns=["metric", "of", "held"])
    return 100 * table.groupby(["metric", "of"])["held"].mean().unstack()


def test_clips(n_subjects, most_clips, rng):
    """Return whether the tests over clips reject for two equally good estimators."""
    predictions = simulate({"one": ALIKE, "other": ALIKE}, n_subjects, rng, most_clips)
    correct = predictions["prediction"] == predictions["target"]
    one, other = (
        correct[predictions["estimator"] == name].to_numpy() for name in ("one", "other")
    )
    wins = (one & ~other).sum(), (other & ~one).sum()
    p_values = {f"McNemar, {m}": mcnemar_test(*wins, method=m).p_value for m in ("exact", "mid-p")}
    for metric in ("accuracy", "log_loss"):
        table = compare(predictions, metric=metric, random_state=rng.integers(2**31))
        p_values[f"permutation, {metric}"] = table["p_permutation"][0]
    return {name: p_value <= 0.05 for name, p_value in p_values.items()}


def test_family(n_subjects, rng):
    """Return whether any of ten pairs of five equally good estimators is found different."""
    predictions = simulate({f"{i}": ALIKE for i in range(5)}, n_subjects, rng)
    table = compare(predictions, metric="accuracy", random_state=rng.integers(2**31))
    return {"permutation, Holm": table["p_holm"].min() <= 0.05}


def test_blocks(n_blocks, rng):
    """Return whether Friedman's and Nemenyi's tests reject."""
    scores = rng.normal(size=(n_blocks, 1)) + rng.normal(size=(n_blocks, 5))
    result = friedman_nemenyi_test(scores)
    return {"Friedman": result.p_value <= 0.05, "Nemenyi": result.pair_p_values.min() <= 0.05}


def test_folds(n_subjects, n_folds, n_repeats, rng):
    """Return whether the corrected t-test rejects for two classifiers on features of one kind."""
    subject = np.repeat(np.arange(n_subjects), 3)
    target = rng.integers(0, 2, len(subject))
    noise = rng.normal(size=(n_subjects, 6))[subject] / 2 + rng.normal(size=(len(subject), 6))
    features = (0.4 * (2 * target - 1)[:, None] + noise).reshape(-1, 2, 3)
    differences = []
    for _ in range(n_repeats):
        fold = (rng.permutation(n_subjects) % n_folds)[subject]
        for test in (fold == k for k in range(n_folds)):
            train = features[~test], target[~test]
            centres = [train[0][train[1] == k].mean(axis=0) for k in (0, 1)]
            slope, middle = centres[1] - centres[0], (centres[1] + centres[0]) / 2
            guesses = ((features[test] - middle) * slope).sum(axis=2) > 0
            hits = guesses == target[test, None]
            differences.append(hits[:, 0].mean() - hits[:, 1].mean())
    p_value = corrected_resampled_ttest(differences, test_share=1 / n_folds).p_value
    return {"corrected t-test": p_value <= 0.05}


def main():
    options = read_options(
        __doc__,
        n_subjects=(20, 60, 200),
        n_repetitions=200,  # of the intervals
        n_tests=2000,  # repetitions of the tests
        n_resamples=2000,
        n_many=100_000,  # subjects that define the truth
    )
    rng = np.random.default_rng(0)
    print(f"1. Coverage of 95 % intervals in {options.n_repetitions} repetitions, %")
    truths = find_truths(options.n_many, rng)
    for n_subjects in options.n_subjects:
        found = measure_coverage(
            n_subjects, options.n_repetitions, options.n_resamples, truths, rng
        )
        print(f"{n_subjects} subjects\n{found.round(1).to_string(na_rep='-')}")
    print(f"\n2. False positives at the 5 % level in {options.n_tests} repetitions, %")
    for title, test in {
        "1240 people, one clip each": partial(test_clips, 1240, 1),
        "300 people": partial(test_clips, 300, MOST_CLIPS),
        "80 people": partial(test_clips, 80, MOST_CLIPS),
        "10 people": partial(test_clips, 10, MOST_CLIPS),
        "80 people, 10 pairs": partial(test_family, 80),
        "14 blocks of 5 estimators": partial(test_blocks, 14),
        "100 blocks of 5 estimators": partial(test_blocks, 100),
        "60 people, 10 repeats of 10 folds": partial(test_folds, 60, 10, 10),
        "60 people, 5 repeats of 5 folds": partial(test_folds, 60, 5, 5),
        "60 people, 1 repeat of 10 folds": partial(test_folds, 60, 10, 1),
    }.items():
        rejected = pd.DataFrame([test(rng) for _ in range(options.n_tests)]).mean()
        print(
            "\n".join(f"{title}: {name:40s}{100 * share:6.1f}" for name, share in rejected.items())
        )


if __name__ == "__main__":
    main()
