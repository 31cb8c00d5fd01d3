"""Multiple comparisons: Holm's correction, the Friedman and Nemenyi tests, and power."""

from typing import Any, NamedTuple

import numpy as np
from scipy.optimize import brentq
from scipy.stats import binom, friedmanchisquare, rankdata, studentized_range

from smilefusion.benchmark.stats._paired_tests import sign_p_values
from smilefusion.benchmark.stats._scores import check_confidence


class FriedmanResult(NamedTuple):
    """Outcome of `friedman_nemenyi_test`."""

    statistic: float
    p_value: float
    mean_ranks: np.ndarray
    critical_difference: float
    pair_p_values: np.ndarray


def adjust_holm(p_values: Any) -> np.ndarray:
    """Adjust p values for multiple comparisons (Holm).

    Parameters
    ----------
    p_values : array-like of shape (n_tests,)
        P values of all tests.

    Returns
    -------
    adjusted : ndarray of shape (n_tests,)
        Adjusted p values in the same order. If all hypotheses with values up to α are rejected,
        the probability of any false rejection is at most α, for any dependence between the tests.

    Raises
    ------
    ValueError
        If a p value is not between 0 and 1.

    Notes
    -----
    With p_(1) ≤ … ≤ p_(m), the adjusted p_(i) is the largest (m − j + 1) p_(j) for j ≤ i, at most
    1 [1]_. Fifteen strategies have m = 105 pairs.

    References
    ----------
    .. [1] S. Holm, "A simple sequentially rejective multiple test procedure", Scandinavian
       Journal of Statistics 6(2), 1979.

    Examples
    --------
    >>> from smilefusion.benchmark import adjust_holm
    >>> adjust_holm([0.01, 0.04, 0.03, 0.005])
    array([0.03, 0.06, 0.06, 0.02])
    """
    p_values = np.asarray(p_values, dtype=float)
    if p_values.ndim != 1 or not ((p_values >= 0) & (p_values <= 1)).all():
        raise ValueError(
            f"p_values must be a list of numbers from 0 to 1; got {p_values.tolist()}."
        )
    order = np.argsort(p_values)
    factors = np.arange(len(p_values), 0, -1)
    adjusted = np.empty_like(p_values)
    adjusted[order] = np.minimum(np.maximum.accumulate(factors * p_values[order]), 1)
    return adjusted


def friedman_nemenyi_test(
    scores: Any, *, confidence: float = 0.95, greater_is_better: bool = True
) -> FriedmanResult:
    """Rank estimators over blocks; test whether any (Friedman) and which (Nemenyi) differ.

    Parameters
    ----------
    scores : array-like of shape (n_blocks, n_estimators)
        Scores of three or more estimators on the same blocks. Blocks must be independent:
        data sets, or subjects. Folds of one data set share their training clips, so p values over
        them are too small.
    confidence : float, default=0.95
        Probability, between 0 and 1, that no pair differs by the critical difference if all
        estimators are equal.
    greater_is_better : bool, default=True
        Whether the highest score has rank 1; otherwise the lowest has.

    Returns
    -------
    result : FriedmanResult
        ``statistic`` and ``p_value`` of Friedman's test; ``mean_ranks`` (n_estimators), where 1
        is best and ties share their mean rank; ``critical_difference`` of the mean ranks of a
        pair; ``pair_p_values`` (n_estimators, n_estimators) of Nemenyi's test, adjusted for the
        number of pairs. If all scores of each block are equal, the statistic is 0 and the p
        value 1.

    Raises
    ------
    ValueError
        If there are fewer than three estimators or two blocks, a score is not finite or
        `confidence` is out of range.

    Notes
    -----
    With N blocks and k estimators, two mean ranks differ at level α if they are at least
    q_α sqrt(k (k + 1) / (6 N)) apart, where q_α is the quantile of the Studentized range with
    infinite degrees of freedom divided by sqrt(2) [1]_ [2]_.

    References
    ----------
    .. [1] P. B. Nemenyi, "Distribution-free multiple comparisons", PhD thesis, Princeton
       University, 1963.
    .. [2] J. Demšar, "Statistical comparisons of classifiers over multiple data sets", Journal
       of Machine Learning Research 7, 2006.

    Examples
    --------
    >>> from smilefusion.benchmark import friedman_nemenyi_test
    >>> scores = [[0.9, 0.8, 0.7], [0.8, 0.9, 0.6], [0.7, 0.6, 0.5], [0.9, 0.8, 0.6]]
    >>> result = friedman_nemenyi_test(scores)
    >>> result.mean_ranks
    array([1.25, 1.75, 3.  ])
    >>> round(result.critical_difference, 2)
    1.66
    """
    scores = np.asarray(scores, dtype=float)
    _check_scores(scores, confidence)
    n_blocks, n_estimators = scores.shape
    ranks = rankdata(-scores if greater_is_better else scores, axis=1)
    mean_ranks = ranks.mean(axis=0)
    statistic, p_value = (0.0, 1.0) if np.ptp(ranks) == 0 else friedmanchisquare(*ranks.T)
    unit = np.sqrt(n_estimators * (n_estimators + 1) / (12 * n_blocks))
    critical = unit * studentized_range.ppf(confidence, n_estimators, np.inf)
    apart = np.abs(mean_ranks[:, None] - mean_ranks)
    pairs = np.triu_indices(n_estimators, k=1)
    pair_p_values = np.eye(n_estimators)
    pair_p_values[pairs] = studentized_range.sf(apart[pairs] / unit, n_estimators, np.inf)
    pair_p_values = np.maximum(pair_p_values, pair_p_values.T)
    return FriedmanResult(
        float(statistic), float(p_value), mean_ranks, float(critical), pair_p_values
    )


def smallest_detectable_difference(
    n_clips: int,
    *,
    power: float | None = None,
    discordance: float | None = None,
    alpha: float = 0.05,
    n_pairs: int = 1,
    method: str = "mid-p",
) -> float:
    """Return the smallest detectable difference between two accuracies on the same clips.

    Parameters
    ----------
    n_clips : int
        Number of independent clips. If clips of a subject are similar, use the number of
        subjects.
    power : float or None, default=None
        None: the smallest observed difference that can be significant. A number between 0 and
        1: the smallest true difference that is detected with that probability.
    discordance : float or None, default=None
        Share of clips on which exactly one of the two is correct. None assumes the best case: it
        is always the same one. Only used with `power`.
    alpha : float, default=0.05
        Level of the test, between 0 and 1.
    n_pairs : int, default=1
        Number of compared pairs; `alpha` is divided by it.
    method : {"mid-p", "exact"}, default="mid-p"
        Form of McNemar's test, see `mcnemar_test`.

    Returns
    -------
    difference : float
        Difference in accuracy, from 0 to 1; infinite if no difference is detectable.

    Raises
    ------
    ValueError
        If a parameter is out of range.

    Notes
    -----
    If one estimator is never the only correct one, the p value of m discordant clips is 2^−m
    (mid-p) or 2^(1 − m) (exact). The 5 % level needs five or six such clips: 25 or 30 percentage
    points with 20 clips. With `power`, the numbers of clips that only one of the two classifies
    correctly are trinomial, and the power is summed over these numbers.

    Examples
    --------
    >>> from smilefusion.benchmark import smallest_detectable_difference
    >>> smallest_detectable_difference(20)
    0.25
    >>> round(smallest_detectable_difference(1240, power=0.8, discordance=0.2), 3)
    0.035
    """
    _check_power(n_clips, power, discordance, alpha, n_pairs)
    level = alpha / n_pairs
    if power is None:
        significant = sign_p_values(np.arange(n_clips + 1), 0, method) <= level
        return float(np.argmax(significant) / n_clips) if significant.any() else np.inf
    n_discordant = np.arange(n_clips + 1)
    # Largest number of clips that only the worse estimator gets right; −1 if 0 is too many.
    most = binom.ppf(level / 2, n_discordant, 0.5)
    most -= sign_p_values(most, n_discordant - most, method) > level

    def excess(difference: float) -> float:
        """Return the power at a true difference minus the requested power."""
        share = difference if discordance is None else discordance
        loser = (share - difference) / (2 * share)
        found = binom.cdf(most, n_discordant, loser)
        return binom.pmf(n_discordant, n_clips, share) @ found - power

    largest = 1.0 if discordance is None else discordance
    if excess(largest) < 0:
        return np.inf
    return float(brentq(excess, 1e-9, largest))


def _check_scores(scores: np.ndarray, confidence: float) -> None:
    """Raise if scores cannot be ranked."""
    if scores.ndim != 2 or scores.shape[0] < 2 or scores.shape[1] < 3:
        raise ValueError(
            "scores must have a row per block and a column per estimator, at least 2 x 3; got "
            f"shape {scores.shape}. Compare two estimators with permutation_test."
        )
    if not np.isfinite(scores).all():
        raise ValueError(
            "The scores contain a NaN or infinity, but every estimator needs a score on every "
            "block. Remove estimators that failed."
        )
    check_confidence(confidence)


def _check_power(
    n_clips: int, power: float | None, discordance: float | None, alpha: float, n_pairs: int
) -> None:
    """Raise if a parameter of the power is out of range."""
    for name, count in (("n_clips", n_clips), ("n_pairs", n_pairs)):
        if not (isinstance(count, (int, np.integer)) and count >= 1):
            raise ValueError(f"{name} must be an integer of at least 1; got {count!r}.")
    if not 0 < alpha < 1:
        raise ValueError(f"alpha must be between 0 and 1; got {alpha!r}.")
    if power is not None and not alpha < power < 1:
        raise ValueError(f"power must be between alpha={alpha} and 1, or None; got {power!r}.")
    if discordance is not None and (power is None or not 0 < discordance <= 1):
        raise ValueError(
            "discordance must be a share above 0 and up to 1, and needs a power; got "
            f"discordance={discordance!r}, power={power!r}."
        )
