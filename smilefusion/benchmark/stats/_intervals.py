"""Confidence intervals of metrics where subjects, not clips, are independent."""

import numpy as np
from scipy.optimize import brentq
from scipy.special import ndtr, ndtri, stdtrit


def bootstrap_interval(figure, draws, left_out, confidence):
    """Return the ends of the BCa interval of the defined draws, NaN without one."""
    draws, left_out = draws[~np.isnan(draws)], left_out[~np.isnan(left_out)]
    n_subjects = len(left_out)
    if len(draws) == 0 or n_subjects < 2:
        return np.nan, np.nan
    below = ((draws < figure).mean() + (draws <= figure).mean()) / 2
    bias = ndtri(np.clip(below, 0.5 / len(draws), 1 - 0.5 / len(draws)))
    influence = left_out.mean() - left_out
    size = (influence**2).sum() ** 1.5
    acceleration = (influence**3).sum() / (6 * size) if size > 0 else 0.0
    z = bias + _widened_limits(n_subjects, confidence)
    return np.quantile(draws, ndtr(bias + z / (1 - acceleration * z)))


def studentized_interval(sums, sizes, counts, confidence):
    """Return the ends of the bootstrap-t interval of a mean over the clips of all subjects.

    Subjects have sums (n_subjects,) over their sizes (n_subjects,), the numbers of their clips,
    and count once and as drawn (1 + n_draws, n_subjects).
    """
    n_clips = counts @ sizes
    figures = counts @ sums / n_clips
    residuals = sums - figures[:, None] * sizes
    errors = np.sqrt((counts * residuals**2).sum(axis=1)) / n_clips
    if errors[0] == 0:
        return figures[0], figures[0]
    # Subjects that are all alike have no spread but for rounding: such a draw is infinitely far.
    errors[errors < 1e-9 * errors[0]] = 0
    with np.errstate(divide="ignore", invalid="ignore"):
        distances = (figures[1:] - figures[0]) / errors[1:]
    levels = (1 + confidence) / 2, (1 - confidence) / 2
    # Quantiles that are draws, since between a finite and an infinite one there is nothing.
    far = np.quantile(distances[~np.isnan(distances)], levels, method="inverted_cdf")
    return figures[0] - far * errors[0]


def jackknife_interval(figure, left_out, sizes, confidence):
    """Return the ends of Student's t interval from the figures without each subject.

    Its degrees of freedom are the effective number of subjects less one: with sizes
    (n_subjects,), the numbers of their clips, as unequal as they are, fewer count.
    """
    left_out = left_out[~np.isnan(left_out)]
    n_subjects = len(left_out)
    if n_subjects < 2:
        return np.nan, np.nan
    squares = ((left_out - left_out.mean()) ** 2).sum()
    error = np.sqrt((n_subjects - 1) / n_subjects * squares)
    n_effective = (sizes**2.0).sum() ** 2 / (sizes**4.0).sum()
    half = stdtrit(max(n_effective - 1, 1), (1 + confidence) / 2) * error
    return figure - half, figure + half


def calibration_interval(gaps, n_subjects, confidence):
    """Return the ends of the interval of a sum of absolute gaps, (1 + n_draws, n_bins)."""
    error, noise = np.abs(gaps[0]).sum(), gaps[1:] - gaps[0]
    level = ndtr(_widened_limits(n_subjects, confidence)[1])

    def excess(share):
        """Say by how much chance can exceed the error if the true gaps are a share of these."""
        return np.quantile(np.abs(share * gaps[0] + noise).sum(axis=1), level) - error

    bias = np.abs(gaps[1:]).sum(axis=1).mean() - error
    high = error + excess(1) - max(bias, 0)
    if excess(0) >= 0:
        return 0.0, high
    smallest = brentq(excess, 0, 1, xtol=1e-4) if excess(1) > 0 else 1.0
    return smallest * error, high


def _widened_limits(n_subjects, confidence):
    """Return the normal limits that give the width of Student's t interval, (2,)."""
    half = np.sqrt(n_subjects / (n_subjects - 1)) * stdtrit(n_subjects - 1, (1 + confidence) / 2)
    return np.array([-half, half])
