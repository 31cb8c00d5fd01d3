"""Measure how optimistic it is to report the best epoch on the test clips.

Run ``python benchmarks/coin_flipping.py SPLITS`` with the label files of the four published data
sets (``SPLITS/uva-nemo/labels/1/train.json`` ...); it takes about five minutes. Classifiers of
known accuracy guess again in each of 300 epochs: a coin (.50) and a fair classifier (.75).
``published`` is the mean accuracy over folds and seeds under the published protocol, next to its
exact expectation, that of the maximum of 300 binomial shares. ``honest`` uses subject-disjoint
folds and the last epoch; ``held`` is the share of seeds whose 95 % interval over subjects
contains the true accuracy. In MMI and BBC, whose files do not name subjects, each clip counts as
one person.
"""

import json
from pathlib import Path

import joblib
import numpy as np
import pandas as pd
from common import read_options
from scipy.stats import binom
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils import Bunch

from smilefusion.benchmark import run_benchmark, score_predictions
from smilefusion.datasets import PublishedFolds

# Patterns of a file's name whose group is the subject, or the clip if the name has no subject.
SUBJECTS = {"uva-nemo": r"^(\d{3})_", "mmi": "(.*)", "spos": "_([^-_]+)-", "bbc": "(.*)"}
N_EPOCHS = 300


class Coin(ClassifierMixin, BaseEstimator):
    """Guess with a known accuracy; the first column of X holds the labels."""

    def __init__(self, accuracy=0.5, random_state=0):
        self.accuracy = accuracy
        self.random_state = random_state

    def fit(self, X, y):
        """Store the classes."""
        self.classes_ = np.unique(y)
        return self

    def staged_predict_proba(self, X):
        """Yield the probabilities of each epoch."""
        rng = np.random.default_rng([self.random_state, int(joblib.hash(X), 16)])
        for _ in range(N_EPOCHS):
            second = (X[:, 0] == 1) ^ (rng.random(len(X)) >= self.accuracy)
            probability = np.where(second, 0.75, 0.25)
            yield np.column_stack([1 - probability, probability])

    def predict_proba(self, X):
        """Return the probabilities of the last epoch."""
        *_, last = self.staged_predict_proba(X)
        return last

    def predict(self, X):
        """Return the classes of the last epoch."""
        return self.classes_[self.predict_proba(X).argmax(axis=1)]


def load_labels(folder):
    """Return labels, subjects and published folds; the clips are the labels and a number."""
    rows = [
        (name, label, int(path.parent.name) - 1)
        for path in sorted(folder.glob("labels/*/test.json"))
        for name, label in json.loads(path.read_text()).items()
    ]
    table = pd.DataFrame(rows, columns=["name", "label", "fold"]).sort_values("name")
    target = table["label"].to_numpy()
    return Bunch(
        clips=np.column_stack([target, np.arange(len(target))]),
        target=target,
        groups=table["name"].str.extract(SUBJECTS[folder.name])[0].to_numpy(),
        folds=PublishedFolds(table["fold"].to_numpy()),
        name=folder.name,
    )


def expected_maximum(data, accuracy):
    """Return the mean over folds of the expected best of 300 shares of correct guesses."""
    means = []
    for size in np.bincount(data.folds.test_fold):
        correct = np.arange(size + 1)
        below = binom.cdf(correct, size, accuracy) ** N_EPOCHS
        means.append(np.diff(below, prepend=0) @ correct / size)
    return np.mean(means)


def measure(data, accuracy, n_seeds):
    """Return the published and the honest accuracy, and the coverage of the honest interval."""
    coins = {f"{seed}": Coin(accuracy, random_state=seed) for seed in range(n_seeds)}
    published = run_benchmark(coins, data, protocol="published")
    correct = published["prediction"] == published["target"]
    means = correct.groupby([published["estimator"], published["fold"]]).mean()
    honest = score_predictions(run_benchmark(coins, data), n_resamples=1000)
    held = (honest["accuracy_low"] <= accuracy) & (accuracy <= honest["accuracy_high"])
    return means.mean(), honest["accuracy"].mean(), held.mean()


def main():
    options = read_options(__doc__, splits=Path, n_seeds=100)
    print("data set   accuracy  expected  published  honest   held")
    for key in SUBJECTS:
        data = load_labels(options.splits / key)
        for accuracy in (0.5, 0.75):
            found = expected_maximum(data, accuracy), *measure(data, accuracy, options.n_seeds)
            cells = "".join(f"{value:10.3f}" for value in found)
            print(f"{key:10}{accuracy:9.2f}{cells}")


if __name__ == "__main__":
    main()
