"""Confidence intervals of metrics for independent subjects with several clips each."""

import numpy as np
from scipy.optimize import brentq
from scipy.special import expit, logit, ndtr, ndtri, stdtrit


def bootstrap_interval(
    score: float, draws: np.ndarray, left_out: np.ndarray, confidence: float
) -> tuple[float, float]:
    """Return the BCa interval from the draws that are not NaN; NaN if there are none."""
    draws, left_out = draws[~np.isnan(draws)], left_out[~np.isnan(left_out)]
    n_subjects = len(left_out)
    if len(draws) == 0 or n_subjects < 2:
        return np.nan, np.nan
    below = ((draws < score).mean() + (draws <= score).mean()) / 2
    bias = ndtri(np.clip(below, 0.5 / len(draws), 1 - 0.5 / len(draws)))
    influence = left_out.mean() - left_out
    size = (influence**2).sum() ** 1.5
    acceleration = (influence**3).sum() / (6 * size) if size > 0 else 0.0
    z = bias + _widened_limits(n_subjects, confidence)
    low, high = np.quantile(draws, ndtr(bias + z / (1 - acceleration * z)))
    return low, high


def studentized_interval(
    sums: np.ndarray, sizes: np.ndarray, counts: np.ndarray, confidence: float
) -> tuple[float, float]:
    """Return the bootstrap-t interval of a mean, from sums and numbers of clips of subjects."""
    n_clips = counts @ sizes
    means = counts @ sums / n_clips
    residuals = sums - means[:, None] * sizes
    errors = np.sqrt((counts * residuals**2).sum(axis=1)) / n_clips
    if errors[0] == 0:
        return means[0], means[0]
    # If all drawn subjects are identical, the error is only rounding; the distance is infinite.
    errors[errors < 1e-9 * errors[0]] = 0
    with np.errstate(divide="ignore", invalid="ignore"):
        distances = (means[1:] - means[0]) / errors[1:]
    levels = (1 + confidence) / 2, (1 - confidence) / 2
    # The quantiles are draws, because a finite and an infinite draw have no value in between.
    far = np.quantile(distances[~np.isnan(distances)], levels, method="inverted_cdf")
    low, high = means[0] - far * errors[0]
    return low, high


def jackknife_interval(
    score: float, left_out: np.ndarray, sizes: np.ndarray, confidence: float
) -> tuple[float, float]:
    """Return Student's t interval from the scores without each subject; sizes are of subjects."""
    left_out = left_out[~np.isnan(left_out)]
    n_subjects = len(left_out)
    if n_subjects < 2:
        return np.nan, np.nan
    n_effective = (sizes**2.0).sum() ** 2 / (sizes**4.0).sum()  # fewer if sizes are unequal
    half = stdtrit(max(n_effective - 1, 1), (1 + confidence) / 2) * _jackknife_error(left_out)
    return score - half, score + half


def logit_interval(score: float, left_out: np.ndarray, confidence: float) -> tuple[float, float]:
    """Return the interval of a share: Student's t on the logit scale, or exact for 0 and 1."""
    left_out = left_out[~np.isnan(left_out)]
    n_subjects = len(left_out)
    if np.isnan(score) or n_subjects < 2:
        return np.nan, np.nan
    if min(score, 1 - score) < 1e-12:  # all subjects agree, so their spread is unknown
        far = ((1 - confidence) / 2) ** (1 / n_subjects)
        return (0.0, 1 - far) if score < 0.5 else (far, 1.0)
    half = stdtrit(n_subjects - 1, (1 + confidence) / 2) * _jackknife_error(left_out)
    half /= score * (1 - score)
    return expit(logit(score) - half), expit(logit(score) + half)


def calibration_interval(
    gaps: np.ndarray, n_subjects: int, confidence: float
) -> tuple[float, float]:
    """Return the interval of a sum of absolute gaps (1 + n_draws, n_bins)."""
    error, noise = np.abs(gaps[0]).sum(), gaps[1:] - gaps[0]
    level = ndtr(_widened_limits(n_subjects, confidence)[1])

    def excess(share: float) -> float:
        """Return the quantile of the error minus the observed one, with gaps scaled by `share`."""
        return np.quantile(np.abs(share * gaps[0] + noise).sum(axis=1), level) - error

    bias = np.abs(gaps[1:]).sum(axis=1).mean() - error
    high = error + excess(1) - max(bias, 0)
    if excess(0) >= 0:
        return 0.0, high
    smallest = brentq(excess, 0, 1, xtol=1e-4) if excess(1) > 0 else 1.0
    return smallest * error, high


def _jackknife_error(left_out: np.ndarray) -> float:
    """Return the jackknife standard error of a score, given its value without each subject."""
    n_subjects = len(left_out)
    squares = ((left_out - left_out.mean()) ** 2).sum()
    return np.sqrt((n_subjects - 1) / n_subjects * squares)


def _widened_limits(n_subjects: int, confidence: float) -> np.ndarray:
    """Return the normal limits with the width of Student's t interval, (2,)."""
    half = np.sqrt(n_subjects / (n_subjects - 1)) * stdtrit(n_subjects - 1, (1 + confidence) / 2)
    return np.array([-half, half])
