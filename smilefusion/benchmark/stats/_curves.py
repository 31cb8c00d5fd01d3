"""Curves of two conditions: simultaneous bands and a cluster permutation test over subjects."""

from collections.abc import Iterator

import numpy as np
import pandas as pd
from scipy.stats import t as student

_THRESHOLD = 0.05  # two-sided level of the t values that form clusters


def simultaneous_band(
    curves: np.ndarray, *, confidence: float, n_resamples: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the mean of curves (n_subjects, n_times) and the lower and upper end of its band."""
    # The band covers the whole curve: its half-width, in standard errors, is a quantile of the
    # largest t value over time in bootstrap samples of the subjects.
    mean, error = _mean_and_error(np.ones((1, len(curves))), curves)
    drawn = rng.multinomial(len(curves), np.full(len(curves), 1 / len(curves)), size=n_resamples)
    means, errors = _mean_and_error(drawn.astype(float), curves)
    with np.errstate(invalid="ignore", divide="ignore"):
        values = np.abs(means - mean) / errors
    largest = np.where(np.isfinite(values), values, 0.0).max(axis=1)
    factor = np.quantile(largest, confidence)
    return mean[0], mean[0] - factor * error[0], mean[0] + factor * error[0]


def cluster_test(
    first: np.ndarray,
    second: np.ndarray,
    times: np.ndarray,
    *,
    n_resamples: int,
    rng: np.random.Generator,
) -> pd.DataFrame:
    """Test in which periods the curves of two conditions differ.

    `first` and `second` are curves of the same subjects, (n_subjects, n_times). A row is NaN if
    the subject has no clips of the condition. If all subjects have both conditions, the test
    exchanges the conditions within subjects. Otherwise, it exchanges them between subjects.
    """
    has = [np.isfinite(each).any(axis=1) for each in (first, second)]
    if (has[0] & has[1]).all():
        difference = first - second
        signs = rng.choice([-1.0, 1.0], size=(n_resamples, len(difference)))
        signs = np.concatenate([np.ones((1, len(difference))), signs])
        values = _paired_t(signs, difference)
        freedom = len(difference) - 1
    else:
        pooled = np.concatenate([first[has[0]], second[has[1]]])
        member = np.r_[np.ones(has[0].sum()), np.zeros(has[1].sum())]
        order = np.argsort(rng.random((n_resamples, len(member))), axis=1)
        members = np.concatenate([member[None], member[order]])
        values = _unpaired_t(members, pooled)
        freedom = len(member) - 2
    limit = student.ppf(1 - _THRESHOLD / 2, freedom)
    largest = np.array([max(_masses(row, limit), default=0.0) for row in values[1:]])
    rows = []
    for start, stop, mass in _clusters(values[0], limit):
        p = (1 + (largest >= abs(mass)).sum()) / (1 + n_resamples)
        rows.append((times[start], times[stop - 1], mass, p))
    return pd.DataFrame(rows, columns=["start_s", "stop_s", "mass", "p_value"])


def _mean_and_error(weights: np.ndarray, curves: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return weighted means and their standard errors over time, (n_draws, n_times)."""
    known = np.isfinite(curves)
    values = np.where(known, curves, 0.0)
    count = weights @ known
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = weights @ values / count
        variance = (weights @ values**2 - count * mean**2) / (count - 1)
        return mean, np.sqrt(np.maximum(variance, 0.0) / count)


def _paired_t(signs: np.ndarray, difference: np.ndarray) -> np.ndarray:
    """Return the t values of differences with the given signs, (n_draws, n_times)."""
    known = np.isfinite(difference)
    values, count = np.where(known, difference, 0.0), known.sum(axis=0)
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = signs @ values / count
        variance = ((values**2).sum(axis=0) - count * mean**2) / (count - 1)
        return np.nan_to_num(mean / np.sqrt(variance / count))


def _unpaired_t(members: np.ndarray, curves: np.ndarray) -> np.ndarray:
    """Return Welch's t values of the members against the others, (n_draws, n_times)."""
    first, first_error = _mean_and_error(members, curves)
    second, second_error = _mean_and_error(1 - members, curves)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.nan_to_num((first - second) / np.hypot(first_error, second_error))


def _clusters(values: np.ndarray, limit: float) -> Iterator[tuple[int, int, float]]:
    """Yield start, stop and signed mass of each run of t values beyond the limit."""
    for sign in (1.0, -1.0):
        beyond = np.concatenate([[False], sign * values > limit, [False]])
        starts, stops = np.flatnonzero(np.diff(beyond.astype(int))).reshape(-1, 2).T
        for start, stop in zip(starts, stops, strict=True):
            yield int(start), int(stop), float(values[start:stop].sum())


def _masses(values: np.ndarray, limit: float) -> Iterator[float]:
    """Yield the absolute mass of each cluster."""
    for *_, mass in _clusters(values, limit):
        yield abs(mass)
