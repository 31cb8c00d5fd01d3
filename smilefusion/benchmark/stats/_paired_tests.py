"""Paired tests of two estimators on the same clips."""

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from scipy.stats import binom, t
from sklearn.utils import check_random_state

_METHODS = ("mid-p", "exact")
_BATCH = 1000  # sign patterns held in memory at a time


class McNemarResult(NamedTuple):
    """Outcome of `mcnemar_test`."""

    p_value: float
    odds_ratio: float


class TTestResult(NamedTuple):
    """Outcome of `corrected_resampled_ttest`."""

    statistic: float
    p_value: float


class PosteriorResult(NamedTuple):
    """Posterior probabilities of `correlated_bayesian_ttest`."""

    first: float
    equivalent: float
    second: float


def mcnemar_test(n_first: int, n_second: int, *, method: str = "mid-p") -> McNemarResult:
    """Test whether two estimators err equally often on independent clips (McNemar).

    Parameters
    ----------
    n_first : int
        Number of clips that only the first estimator classified correctly.
    n_second : int
        Number of clips that only the second estimator classified correctly.
    method : {"mid-p", "exact"}, default="mid-p"
        Whether the observed split counts half in the tail ("mid-p", close to the level) or fully
        ("exact", never above the level, but with less power).

    Returns
    -------
    result : McNemarResult
        ``p_value``, two-sided, and ``odds_ratio``, ``n_first / n_second``: the effect size,
        infinite if the second estimator was never the only correct one, NaN if neither was.

    Raises
    ------
    ValueError
        If a count is negative or not an integer, or the method is unknown.

    Notes
    -----
    Given n = n_first + n_second, the smaller count k is binomial, K ~ B(n, 1/2), under the
    null hypothesis; the exact p value is 2 P(K ≤ k), mid-p is 2 P(K < k) + P(K = k) [1]_ [2]_.
    Several clips of one subject are not independent, so the test rejects too often. Use
    `permutation_test` in that case.

    References
    ----------
    .. [1] Q. McNemar, "Note on the sampling error of the difference between correlated
       proportions or percentages", Psychometrika 12, 1947.
    .. [2] M. W. Fagerland, S. Lydersen and P. Laake, "The McNemar test for binary
       matched-pairs data: mid-p and asymptotic are better than exact conditional", BMC
       Medical Research Methodology 13, 2013.

    Examples
    --------
    >>> from smilefusion.benchmark import mcnemar_test
    >>> round(mcnemar_test(1, 7).p_value, 3)
    0.039
    """
    for name, count in (("n_first", n_first), ("n_second", n_second)):
        if count != int(count) or count < 0:
            raise ValueError(f"{name} must be a count of clips, 0 or more; got {count!r}.")
    odds_ratio = n_first / n_second if n_second else (np.inf if n_first else np.nan)
    return McNemarResult(float(sign_p_values(n_first, n_second, method)), odds_ratio)


def sign_p_values(n_first: Any, n_second: Any, method: str) -> np.ndarray:
    """Return McNemar's two-sided p values for arrays of counts."""
    if method not in _METHODS:
        raise ValueError(f"method must be one of {list(_METHODS)}; got {method!r}.")
    total, fewer = np.add(n_first, n_second), np.minimum(n_first, n_second)
    p_values = 2 * binom.cdf(fewer, total, 0.5)
    if method == "mid-p":
        p_values = p_values - binom.pmf(fewer, total, 0.5)
    return np.minimum(p_values, 1)


def permutation_test(
    differences: Any,
    groups: Any,
    *,
    n_permutations: int = 9999,
    random_state: int | np.random.RandomState | None = 0,
) -> float | np.ndarray:
    """Test whether two estimators have equal scores, with all clips of a subject as one unit.

    Parameters
    ----------
    differences : array-like of shape (n_clips,) or (n_clips, n_pairs)
        Score of the first estimator minus that of the second for each clip. For accuracy, 1 if
        only the first is correct and −1 if only the second is. One column per pair of
        estimators.
    groups : array-like of shape (n_clips,)
        Subject of each clip.
    n_permutations : int, default=9999
        Number of random sign patterns. If there are no more than that many patterns, all are
        used and the p value is exact.
    random_state : int, RandomState instance or None, default=0
        Seed of the patterns.

    Returns
    -------
    p_value : float or ndarray of shape (n_pairs,)
        Two-sided p values, at least 1 / (n_permutations + 1) for random patterns.

    Raises
    ------
    ValueError
        If differences and groups differ in length, a difference is not finite or
        `n_permutations` is below 1.

    Notes
    -----
    If the estimators are equal, exchanging them on all clips of a subject changes nothing, so
    the sum of differences of the subject has the same distribution as its negative [1]_. The
    statistic is the absolute value of the sum over all clips; all pairs use the same patterns.
    Random patterns include the observed one [2]_. Subjects with sums of 0 are ignored.

    References
    ----------
    .. [1] R. A. Fisher, "The design of experiments", Oliver & Boyd, 1935, section 21.
    .. [2] B. Phipson and G. K. Smyth, "Permutation p-values should never be zero",
       Statistical Applications in Genetics and Molecular Biology 9(1), 2010.

    Examples
    --------
    >>> from smilefusion.benchmark import permutation_test
    >>> permutation_test([1, 1, 0, 1, 1, 1, 0, 1], ["a", "a", "b", "b", "c", "d", "e", "f"])
    0.0625
    """
    differences, groups = np.asarray(differences, dtype=float), np.asarray(groups)
    _check_differences(differences, groups, n_permutations)
    sums = sum_within(differences.reshape(len(groups), -1), groups)
    sums = sums[np.any(sums != 0, axis=1)]
    observed = np.abs(sums.sum(axis=0)) * (1 - 1e-9)  # rounding must not break ties
    exact = 2 ** len(sums) <= n_permutations
    patterns = (
        _all_signs(len(sums)) if exact else _drawn_signs(len(sums), n_permutations, random_state)
    )
    n_drawn = 0 if exact else 1  # random patterns include the observed one
    n_patterns, n_extreme = n_drawn, np.full(sums.shape[1], n_drawn)
    for signs in patterns:
        n_patterns += len(signs)
        n_extreme = n_extreme + (np.abs(signs @ sums) >= observed).sum(axis=0)
    p_values = n_extreme / n_patterns
    return p_values if differences.ndim == 2 else float(p_values[0])


def sum_within(values: np.ndarray, groups: np.ndarray) -> np.ndarray:
    """Sum values (n_clips, n_pairs) over the clips of each group, (n_groups, n_pairs)."""
    names, position = np.unique(groups, return_inverse=True)
    sums = np.zeros((len(names), values.shape[1]))
    np.add.at(sums, position, values)
    return sums


def _all_signs(n_subjects: int) -> Iterator[np.ndarray]:
    """Yield all patterns of signs, (n_patterns, n_subjects), in batches."""
    for start in range(0, 2**n_subjects, _BATCH):
        numbers = np.arange(start, min(start + _BATCH, 2**n_subjects))
        yield 2.0 * (numbers[:, None] >> np.arange(n_subjects) & 1) - 1


def _drawn_signs(
    n_subjects: int, n_patterns: int, random_state: int | np.random.RandomState | None
) -> Iterator[np.ndarray]:
    """Yield random patterns of signs, (n_patterns, n_subjects), in batches."""
    rng = check_random_state(random_state)
    for start in range(0, n_patterns, _BATCH):
        size = min(_BATCH, n_patterns - start), n_subjects
        yield 2.0 * rng.randint(2, size=size, dtype=np.int8) - 1


def corrected_resampled_ttest(differences: Any, *, test_share: float) -> TTestResult:
    """Test whether two estimators have equal scores over the folds of a cross-validation.

    Parameters
    ----------
    differences : array-like of shape (n_folds,)
        Score of the first estimator minus that of the second, for each fold of all repeats.
    test_share : float
        Share of the clips in a test fold, between 0 and 1: 0.1 with ten folds.

    Returns
    -------
    result : TTestResult
        ``statistic`` (t with n_folds - 1 degrees of freedom) and two-sided ``p_value``. If all
        differences are equal, the statistic is infinite; if they are 0, the p value is 1.

    Raises
    ------
    ValueError
        If there are fewer than two folds, a difference is not finite or `test_share` is out
        of range.

    Notes
    -----
    The training parts of folds overlap, so the variance of the mean exceeds s² / J. Nadeau and
    Bengio [1]_ use s² (1 / J + ρ / (1 − ρ)) instead, with J folds, s² the variance of the
    differences and ρ the `test_share`, so that ρ / (1 − ρ) = n_test / n_train. Unlike the tests
    over clips, this test accounts for the choice of training clips. It is too conservative for a
    single repeat of few folds; ten repeats of ten folds work well [2]_.

    References
    ----------
    .. [1] C. Nadeau and Y. Bengio, "Inference for the generalization error", Machine Learning
       52(3), 2003.
    .. [2] R. R. Bouckaert and E. Frank, "Evaluating the replicability of significance tests for
       comparing learning algorithms", PAKDD, 2004.

    Examples
    --------
    >>> from smilefusion.benchmark import corrected_resampled_ttest
    >>> result = corrected_resampled_ttest([0.02, 0.05, 0.01, 0.04, 0.03], test_share=0.2)
    >>> f"t = {result.statistic:.2f}, p = {result.p_value:.3f}"
    't = 2.83, p = 0.047'
    """
    mean, scale, n_free = _fold_posterior(differences, test_share)
    if scale == 0:
        return TTestResult(float(np.sign(mean) * np.inf) if mean else 0.0, 0.0 if mean else 1.0)
    statistic = float(mean / scale)
    return TTestResult(statistic, float(2 * t.sf(abs(statistic), n_free)))


def correlated_bayesian_ttest(
    differences: Any, *, test_share: float, rope: float = 0.01
) -> PosteriorResult:
    """Estimate the probability that the first, the second or neither estimator is better.

    Parameters
    ----------
    differences : array-like of shape (n_folds,)
        Score of the first estimator minus that of the second, for each fold of all repeats;
        higher is better.
    test_share : float
        Share of the clips in a test fold, between 0 and 1: 0.1 with ten folds.
    rope : float, default=0.01
        Half the width of the region of practical equivalence, in units of the differences.
        Smaller differences do not matter.

    Returns
    -------
    posterior : PosteriorResult
        Probabilities that the difference is above `rope` (``first``), within ±`rope`
        (``equivalent``) and below −`rope` (``second``).

    Raises
    ------
    ValueError
        If there are fewer than two folds, a difference is not finite or a parameter is out
        of range.

    Notes
    -----
    With a flat prior, the mean difference has Student's t distribution with n_folds - 1 degrees of
    freedom, centre and scale as in `corrected_resampled_ttest` [1]_ [2]_; at ``rope=0`` the
    smaller of ``first`` and ``second`` is half the p value of that test.

    References
    ----------
    .. [1] G. Corani and A. Benavoli, "A Bayesian approach for comparing cross-validated
       algorithms on multiple data sets", Machine Learning 100, 2015.
    .. [2] A. Benavoli, G. Corani, J. Demšar and M. Zaffalon, "Time for a change: a tutorial for
       comparing multiple classifiers through Bayesian analysis", Journal of Machine Learning
       Research 18(77), 2017.

    Examples
    --------
    >>> from smilefusion.benchmark import correlated_bayesian_ttest
    >>> differences = [0.02, 0.05, 0.01, 0.04, 0.03]
    >>> posterior = correlated_bayesian_ttest(differences, test_share=0.2, rope=0.01)
    >>> f"{posterior.first:.2f} {posterior.equivalent:.2f} {posterior.second:.2f}"
    '0.93 0.06 0.01'
    """
    if not rope >= 0:
        raise ValueError(f"rope must be 0 or more, in units of the differences; got {rope!r}.")
    mean, scale, n_free = _fold_posterior(differences, test_share)
    if scale == 0:
        first, second = float(mean > rope), float(mean < -rope)
    else:
        first, second = (float(t.sf((rope - side * mean) / scale, n_free)) for side in (1, -1))
    return PosteriorResult(first, 1 - first - second, second)


def _fold_posterior(differences: Any, test_share: float) -> tuple[float, float, int]:
    """Return mean, corrected standard error and degrees of freedom of the differences."""
    differences = np.asarray(differences, dtype=float)
    if differences.ndim != 1 or len(differences) < 2 or not np.isfinite(differences).all():
        raise ValueError(
            "differences must be one finite number per fold, for at least two folds; got "
            f"{differences.tolist()}. Test on more folds."
        )
    if not 0 < test_share < 1:
        raise ValueError(
            f"test_share must be between 0 and 1, such as 0.1 with ten folds; got {test_share!r}."
        )
    n_folds = len(differences)
    variance = differences.var(ddof=1) * (1 / n_folds + test_share / (1 - test_share))
    constant = np.ptp(differences) == 0  # its computed variance may differ from 0
    return differences.mean(), 0.0 if constant else np.sqrt(variance), n_folds - 1


def _check_differences(differences: np.ndarray, groups: np.ndarray, n_permutations: int) -> None:
    """Raise if differences and groups cannot be tested."""
    if groups.ndim != 1 or differences.ndim not in (1, 2) or len(differences) != len(groups):
        raise ValueError(
            f"differences have shape {differences.shape} and groups {groups.shape}, but both "
            "need one row per clip."
        )
    if not np.isfinite(differences).all():
        raise ValueError(
            "The differences contain a NaN or infinity, but both estimators need a finite score "
            "on every clip. Remove estimators that failed."
        )
    if not (isinstance(n_permutations, (int, np.integer)) and n_permutations >= 1):
        raise ValueError(
            f"n_permutations must be an integer of at least 1; got {n_permutations!r}."
        )
