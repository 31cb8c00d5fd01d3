"""Confidence intervals over subjects, against SciPy and published examples."""

import numpy as np
import pytest
from scipy import stats

from smilefusion.benchmark.stats._intervals import (
    bootstrap_interval,
    calibration_interval,
    jackknife_interval,
    studentized_interval,
)


def draw_subjects(n_subjects, n_draws):
    """Return all ones, then how often each draw takes each subject."""
    rng = np.random.default_rng(0)
    drawn = rng.multinomial(n_subjects, np.full(n_subjects, 1 / n_subjects), size=n_draws)
    return np.vstack([np.ones(n_subjects), drawn])


def test_bootstrap_interval_is_scipys_bca_interval_with_widened_tails():
    sample = np.random.default_rng(0).exponential(size=25)
    figures = draw_subjects(25, 20000) @ sample / 25
    left_out = (sample.sum() - sample) / 24
    ours = bootstrap_interval(figures[0], figures[1:], left_out, 0.95)
    level = 2 * stats.norm.cdf(np.sqrt(25 / 24) * stats.t.ppf(0.975, 24)) - 1
    scipys = stats.bootstrap(
        (sample,),
        np.mean,
        confidence_level=level,
        n_resamples=20000,
        random_state=np.random.default_rng(0),
    )
    assert ours == pytest.approx(scipys.confidence_interval, rel=0.02)


def test_studentized_interval_is_that_of_the_published_example():
    # Survival of nine mice in days, Efron and Tibshirani (1993), section 12.5: 90 % interval
    # (35.82, 116.74) from 1000 draws
    mice = np.array([52, 104, 146, 10, 51, 30, 40, 27, 46])
    ends = studentized_interval(mice, np.ones(9), draw_subjects(9, 20000), 0.9)
    assert ends == pytest.approx((35.82, 116.74), rel=0.02)


def test_studentized_interval_equals_that_of_repeated_subjects():
    rng = np.random.default_rng(0)
    sizes = rng.integers(1, 8, 15)
    sums, counts = rng.exponential(sizes), draw_subjects(15, 400)
    rows = [np.repeat(np.arange(15), times.astype(int)) for times in counts]
    means = [sums[row].sum() / sizes[row].sum() for row in rows]
    pairs = list(zip(rows, means, strict=True))
    errors = [np.linalg.norm(sums[row] - m * sizes[row]) / sizes[row].sum() for row, m in pairs]
    distances = (np.array(means) - means[0])[1:] / errors[1:]
    expected = means[0] - errors[0] * np.quantile(distances, [0.975, 0.025])
    assert studentized_interval(sums, sizes, counts, 0.95) == pytest.approx(expected, rel=0.02)


def test_jackknife_interval_of_unequal_subjects_has_fewer_degrees_of_freedom():
    sums, sizes = np.array([1.0, 0.5, 2.0]), np.array([1, 2, 3])
    figure = sums.sum() / sizes.sum()
    without_one = (sums.sum() - sums) / (sizes.sum() - sizes)
    error = np.sqrt(2 / 3 * ((without_one - without_one.mean()) ** 2).sum())
    # (1 + 4 + 9)² / (1 + 16 + 81) = 2 subjects, hence one degree of freedom, the Cauchy law
    expected = figure + np.tan(np.pi * 0.475) * error * np.array([-1, 1])
    assert jackknife_interval(figure, without_one, sizes, 0.95) == pytest.approx(tuple(expected))


def test_lower_end_of_the_calibration_error_is_that_of_a_search():
    rng = np.random.default_rng(3)
    gaps = np.linspace(0.01, 0.05, 10) + 0.015 * np.vstack(
        [np.zeros(10), rng.normal(size=(300, 10))]
    )
    level = stats.norm.cdf(np.sqrt(150 / 149) * stats.t.ppf(0.975, 149))
    error = np.abs(gaps[0]).sum()
    shares = np.linspace(0, 1, 501)
    errors = [np.abs(share * gaps[0] + gaps[1:] - gaps[0]).sum(axis=1) for share in shares]
    within = np.quantile(errors, level, axis=1) >= error
    low, _ = calibration_interval(gaps, 150, 0.95)
    assert low == pytest.approx(shares[within][0] * error, abs=0.003 * error)
    assert 0.2 * error < low < 0.95 * error
