"""Measure what choosing the epoch by the test clips makes of classifiers of known accuracy.

Run ``python benchmarks/coin_flipping.py SPLITS``, where SPLITS holds the label files of the four
published data sets (``SPLITS/uva-nemo/labels/1/train.json`` …); it takes about five minutes.

Classifiers that are right with a known probability, two coins (.50) and a fair one (.75), guess
anew in each of 300 epochs. Under ``"published"`` the best epoch of each fold is reported: figures
are means of the folds' accuracies, over many seeds with their standard error, beside the exact
expectation of the maximum of 300 binomial shares. Under ``"honest"`` the last epoch is reported
on five subject-disjoint folds: the mean accuracy over the seeds, and in how many per cent of them
the 95 % interval over subjects holds the truth, for accuracy and for balanced accuracy. Where the
names do not tell the subjects (MMI, BBC), each clip counts as one.
"""

import argparse
from pathlib import Path

import joblib
import numpy as np
from scipy.stats import binom
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils import Bunch

from smilefusion.benchmark import run_benchmark, score_predictions
from smilefusion.datasets.published._folds import PublishedFolds, read_label_files
from smilefusion.datasets.published._readers import BBC, MMI, SPOS, UVA_NEMO

SETS = {"uva-nemo": UVA_NEMO, "mmi": MMI, "spos": SPOS, "bbc": BBC}
CLASSIFIERS = {"coin 1": (0.5, 0), "coin 2": (0.5, 1_000), "fair": (0.75, 2_000)}
N_EPOCHS = 300


class Coin(ClassifierMixin, BaseEstimator):
    """Guess anew in every epoch; above chance, the first column of X holds the labels."""

    def __init__(self, accuracy=0.5, *, n_epochs=300, random_state=0):
        self.accuracy = accuracy
        self.n_epochs = n_epochs
        self.random_state = random_state

    def fit(self, X, y):
        """Store the classes."""
        self.classes_ = np.unique(y)
        return self

    def staged_predict_proba(self, X):
        """Yield the guesses of every epoch."""
        truth = X[:, 0] == 1
        rng = np.random.default_rng([self.random_state, int(joblib.hash(X), 16)])
        for _ in range(self.n_epochs):
            second = truth ^ (rng.random(len(X)) >= self.accuracy)
            chance = np.where(second, 0.75, 0.25)
            yield np.column_stack([1 - chance, chance])

    def predict_proba(self, X):
        """Return the guesses of the last epoch."""
        *_, last = self.staged_predict_proba(X)
        return last

    def predict(self, X):
        """Return the classes guessed in the last epoch."""
        return self.classes_[self.predict_proba(X).argmax(axis=1)]


def load_labels(splits, key):
    """Return labels, subjects and published folds of a data set; its clips tell the labels."""
    published = SETS[key]
    parts, problems = read_label_files(splits / key / "labels", len(published.test_sizes))
    if any(problems):
        raise SystemExit("; ".join(filter(None, problems)))
    labels = {name: label for part in parts.values() for name, label in part.items()}
    fold_of = {name: fold for fold, part in parts if part == "test" for name in parts[fold, part]}
    names = sorted(labels)
    target = np.array([labels[name] for name in names])
    subjects = [published.subject_of(name) if published.subject else name for name in names]
    folds = PublishedFolds([fold_of[name] - 1 for name in names])
    # The second column tells clips apart: equal ones would get equal guesses.
    clips = np.column_stack([target, np.arange(len(target))])
    return Bunch(clips=clips, target=target, groups=np.array(subjects), folds=folds, name=key)


def expected_maximum(data, accuracy):
    """Return the mean over folds of the expected best of 300 shares of right guesses."""
    means = []
    for size in np.bincount(data.folds.test_fold):
        hits = np.arange(size + 1)
        below = binom.cdf(hits, size, accuracy) ** N_EPOCHS
        means.append(np.diff(below, prepend=0) @ hits / size)
    return np.mean(means)


def fold_means(predictions):
    """Return for each estimator the mean over folds of the accuracy."""
    right = predictions["prediction"] == predictions["target"]
    keys = [predictions["estimator"], predictions["fold"]]
    return right.groupby(keys).mean().groupby("estimator").mean()


def honest_figures(predictions, accuracy):
    """Return the mean accuracy and how often its and balanced accuracy's interval holds it."""
    scores = score_predictions(predictions, n_resamples=1000)
    holds = [
        ((scores[f"{m}_low"] <= accuracy) & (accuracy <= scores[f"{m}_high"])).mean()
        for m in ("accuracy", "balanced_accuracy")
    ]
    return scores["accuracy"].mean(), *holds


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("splits", type=Path)
    parser.add_argument("--n-seeds", type=int, default=100)
    arguments = parser.parse_args()
    print(f"{'':22}published{'':22}honest")
    print(
        f"{'data set':10}{'classifier':12}{'expected':>9}{'mean':>7}{'s.e.':>7}{'one seed':>10}"
        f"{'mean':>9}{'interval holds truth, %':>26}"
    )
    for key in SETS:
        data = load_labels(arguments.splits, key)
        for name, (accuracy, first) in CLASSIFIERS.items():
            coins = {
                str(seed): Coin(accuracy, n_epochs=N_EPOCHS, random_state=first + seed)
                for seed in range(arguments.n_seeds)
            }
            means = fold_means(run_benchmark(coins, data, protocol="published"))
            error = means.std(ddof=1) / np.sqrt(len(means))
            honest = run_benchmark(coins, data, protocol="honest")
            mean, *holds = honest_figures(honest, accuracy)
            shares = " and ".join(f"{100 * share:.0f}" for share in holds)
            print(
                f"{key:10}{name:12}{expected_maximum(data, accuracy):9.3f}{means.mean():7.3f}"
                f"{error:7.3f}{means['0']:10.3f}{mean:9.3f}{shares:>26}"
            )


if __name__ == "__main__":
    main()
