"""Metrics of out-of-fold predictions under many weightings of the subjects."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

N_CALIBRATION_BINS = 10


@dataclass(frozen=True)
class ClipOutcomes:
    """Predictions of one estimator for n clips, with the subjects of the clips."""

    target: np.ndarray  # (n,) position of the true class among the classes
    correct: np.ndarray  # (n,) whether the prediction is the true class
    probability: np.ndarray  # (n, n_classes)
    subject: np.ndarray  # (n,) position of the clip's subject in a row of counts
    cell: np.ndarray  # (n,) number of the repeat and fold
    answered: np.ndarray  # (n,) whether the prediction is a class, not an abstention

    def sum_subjects(self, values: np.ndarray, n_subjects: int) -> np.ndarray:
        """Sum values (n,) or (n, k) over the clips of each subject: (n_subjects,) or (…, k)."""
        sums = np.zeros((n_subjects, *values.shape[1:]))
        np.add.at(sums, self.subject, values)
        return sums

    def total(self, values: np.ndarray, counts: np.ndarray) -> np.ndarray:
        """Sum values (n,) or (n, k) weighted by counts: (n_draws,) or (n_draws, k)."""
        return counts @ self.sum_subjects(values, counts.shape[1])

    def mean(self, values: np.ndarray, counts: np.ndarray) -> np.ndarray:
        """Return the mean of values (n,) weighted by counts, (n_draws,)."""
        return self.total(values, counts) / self.total(np.ones(len(values)), counts)

    def of_classes(self, metric: Callable, counts: np.ndarray) -> list[np.ndarray]:
        """Return a metric of each class against the rest (two classes: the second only)."""
        n_classes = self.probability.shape[1]
        positives = [1] if n_classes == 2 else range(n_classes)
        return [metric(self, self.target == k, self.probability[:, k], counts) for k in positives]


def hits(outcomes: ClipOutcomes) -> np.ndarray:
    """Return 1 for each correctly classified clip, otherwise 0, (n,)."""
    return outcomes.correct.astype(float)


def balanced_hits(outcomes: ClipOutcomes) -> np.ndarray:
    """Return hits (n,), weighted so that their mean is the mean recall of the classes."""
    n_per_class = np.bincount(outcomes.target)
    weights = len(outcomes.target) / (np.count_nonzero(n_per_class) * n_per_class[outcomes.target])
    return weights * outcomes.correct


def log_losses(outcomes: ClipOutcomes) -> np.ndarray:
    """Return the negative logarithm of the true class's probability, (n,), in nats."""
    eps = np.finfo(float).eps
    chosen = outcomes.probability[np.arange(len(outcomes.target)), outcomes.target]
    return -np.log(np.clip(chosen, eps, 1 - eps))


def squared_errors(outcomes: ClipOutcomes) -> np.ndarray:
    """Return the squared errors of the probabilities (two classes: the second only), (n,)."""
    n_classes = outcomes.probability.shape[1]
    errors = outcomes.probability - np.eye(n_classes)[outcomes.target]
    return (errors**2).sum(axis=1) / (2 if n_classes == 2 else 1)


# Scores per clip whose mean is the metric, for paired tests.
CLIP_SCORES = {
    "balanced_accuracy": balanced_hits,
    "log_loss": log_losses,
    "accuracy": hits,
    "brier_score": squared_errors,
}


def balanced_accuracy(outcomes: ClipOutcomes, counts: np.ndarray) -> np.ndarray:
    """Return the mean recall of the classes, NaN if a class was not drawn, (n_draws,)."""
    of_class = np.eye(outcomes.probability.shape[1])[outcomes.target]
    n_right = outcomes.total(of_class * outcomes.correct[:, None], counts)
    with np.errstate(invalid="ignore"):
        return (n_right / outcomes.total(of_class, counts)).mean(axis=1)


def roc_auc(outcomes: ClipOutcomes, counts: np.ndarray) -> np.ndarray:
    """Return the area under the ROC curve over the pairs of clips within a cell, (n_draws,)."""
    return np.mean(outcomes.of_classes(_pairwise_auc, counts), axis=0)


def log_loss(outcomes: ClipOutcomes, counts: np.ndarray) -> np.ndarray:
    """Return the mean log loss in nats, (n_draws,)."""
    return outcomes.mean(log_losses(outcomes), counts)


def accuracy(outcomes: ClipOutcomes, counts: np.ndarray) -> np.ndarray:
    """Return the share of correctly classified clips, (n_draws,)."""
    return outcomes.mean(hits(outcomes), counts)


def brier_score(outcomes: ClipOutcomes, counts: np.ndarray) -> np.ndarray:
    """Return the mean squared error of the probabilities, (n_draws,)."""
    return outcomes.mean(squared_errors(outcomes), counts)


def calibration_error(outcomes: ClipOutcomes, counts: np.ndarray) -> np.ndarray:
    """Return the expected calibration error in bins of equal mass, (n_draws,)."""
    return np.abs(calibration_gaps(outcomes, counts)).sum(axis=1)


def calibration_gaps(outcomes: ClipOutcomes, counts: np.ndarray) -> np.ndarray:
    """Return the signed contribution of each bin and class to the calibration error."""
    gaps = outcomes.of_classes(_binned_gaps, counts)
    return np.concatenate(gaps, axis=1) / len(gaps)


METRICS = {
    "balanced_accuracy": balanced_accuracy,
    "roc_auc": roc_auc,
    "log_loss": log_loss,
    "accuracy": accuracy,
    "brier_score": brier_score,
    "calibration_error": calibration_error,
}


def answered(outcomes: ClipOutcomes, counts: np.ndarray) -> np.ndarray:
    """Return the coverage, the share of clips answered, (n_draws,)."""
    return outcomes.mean(outcomes.answered.astype(float), counts)


def accuracy_answered(outcomes: ClipOutcomes, counts: np.ndarray) -> np.ndarray:
    """Return the accuracy on the answered clips, NaN if there are none, (n_draws,)."""
    with np.errstate(invalid="ignore"):
        n_answered = outcomes.total(outcomes.answered.astype(float), counts)
        return outcomes.total(hits(outcomes), counts) / n_answered


# Scored only if an estimator abstains.
SELECTIVE_METRICS = {"answered": answered, "accuracy_answered": accuracy_answered}
LOSSES = ("log_loss", "brier_score", "calibration_error")


def _pairwise_auc(
    outcomes: ClipOutcomes, positive: np.ndarray, score: np.ndarray, counts: np.ndarray
) -> np.ndarray:
    """Area under the ROC curve (n_draws,) over the pairs within a cell, weighted by counts."""
    concordant = np.zeros(len(counts))
    n_pairs = np.zeros(len(counts))
    for label in np.unique(outcomes.cell):
        rows = np.flatnonzero(outcomes.cell == label)
        rows = rows[np.argsort(score[rows], kind="stable")]
        weight = counts[:, outcomes.subject[rows]]
        ties = np.flatnonzero(np.diff(score[rows], prepend=-np.inf))
        n_positive = np.add.reduceat(weight * positive[rows], ties, axis=1)
        n_negative = np.add.reduceat(weight * ~positive[rows], ties, axis=1)
        below = np.cumsum(n_negative, axis=1) - n_negative / 2
        concordant += (n_positive * below).sum(axis=1)
        n_pairs += n_positive.sum(axis=1) * n_negative.sum(axis=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        return concordant / n_pairs


def _binned_gaps(
    outcomes: ClipOutcomes, positive: np.ndarray, score: np.ndarray, counts: np.ndarray
) -> np.ndarray:
    """Return the sum of class minus probability in each bin, per clip, (n_draws, n_bins)."""
    edges = np.quantile(score, np.arange(1, N_CALIBRATION_BINS) / N_CALIBRATION_BINS)
    in_bin = np.eye(N_CALIBRATION_BINS)[np.searchsorted(edges, score)]  # equal scores share one
    gaps = outcomes.total(in_bin * (positive - score)[:, None], counts)
    return gaps / outcomes.total(np.ones(len(score)), counts)[:, None]
