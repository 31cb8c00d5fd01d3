"""Paired tests, multiple comparisons and power."""

import numpy as np
import pytest
from scipy import stats

from smilefusion.benchmark import (
    adjust_holm,
    corrected_resampled_ttest,
    correlated_bayesian_ttest,
    friedman_nemenyi_test,
    mcnemar_test,
    permutation_test,
    smallest_detectable_difference,
)

# Heights of crossed less self-fertilized maize of 15 pairs, in eighths of an inch (Darwin 1876);
# Fisher (1935, section 21) counts 1726 of 2^15 patterns of signs whose sum is as far from 0.
MAIZE = [49, -67, 8, 16, 6, 23, 28, 41, 14, 29, 56, 24, 75, 60, -48]
# AUC of four C4.5 variants on 14 data sets, Demšar (2006), table 6. His ranks of the data set
# "voting" distinguish the third value, 0.975, from the fourth.
C45 = [
    (0.763, 0.768, 0.771, 0.798),
    (0.599, 0.591, 0.590, 0.569),
    (0.954, 0.971, 0.968, 0.967),
    (0.628, 0.661, 0.654, 0.657),
    (0.882, 0.888, 0.886, 0.898),
    (0.936, 0.931, 0.916, 0.931),
    (0.661, 0.668, 0.609, 0.685),
    (0.583, 0.583, 0.563, 0.625),
    (0.775, 0.838, 0.866, 0.875),
    (1.000, 1.000, 1.000, 1.000),
    (0.940, 0.962, 0.965, 0.962),
    (0.619, 0.666, 0.614, 0.669),
    (0.972, 0.981, 0.97501, 0.975),
    (0.957, 0.978, 0.946, 0.970),
]
FOLDS = [0.021, -0.013, 0.034, 0.008, 0.027, 0.015, -0.006, 0.041, 0.019, 0.003]


@pytest.mark.parametrize("counts", [(0, 5), (3, 11), (40, 65)])
def test_mcnemar_exact_equals_scipys_binomial_test(counts):
    expected = stats.binomtest(counts[0], sum(counts)).pvalue
    assert mcnemar_test(*counts, method="exact").p_value == pytest.approx(expected)


def test_mcnemar_mid_p_is_that_of_the_published_example():
    # Fagerland, Lydersen and Laake (2013): airway hyper-responsiveness, 1 against 7
    assert mcnemar_test(1, 7).p_value == pytest.approx(0.0390625)
    assert [mcnemar_test(k, k).p_value for k in (0, 6)] == pytest.approx([1, 1])


def test_mcnemar_is_symmetric_except_for_the_odds_ratio():
    there, back = mcnemar_test(12, 31), mcnemar_test(31, 12)
    assert there.p_value == back.p_value
    assert there.odds_ratio == pytest.approx(1 / back.odds_ratio) == pytest.approx(12 / 31)


def test_mcnemar_odds_ratio_without_losses_is_infinite_and_without_both_undefined():
    assert mcnemar_test(3, 0).odds_ratio == np.inf
    assert np.isnan(mcnemar_test(0, 0).odds_ratio)


def test_permutation_equals_fishers_count():
    p_value = permutation_test(MAIZE, np.arange(15), n_permutations=2**15)
    assert p_value == 1726 / 2**15
    assert permutation_test(np.zeros(8), np.arange(8)) == 1


def test_drawn_permutations_approach_the_exact_count():
    p_value = permutation_test(MAIZE, np.arange(15), n_permutations=2**15 - 1)
    assert p_value != 1726 / 2**15
    assert permutation_test(np.ones(100), np.arange(100), n_permutations=99) == 0.01
    assert p_value == pytest.approx(1726 / 2**15, abs=4 * np.sqrt(0.05 / 2**15))


def test_permutation_over_subjects_equals_scipys():
    rng = np.random.default_rng(1)
    scores, groups = rng.normal([[0.6], [0]], 1, (2, 30)), np.repeat(np.arange(10), 3)
    sums = [[side[groups == k].sum() for k in range(10)] for side in scores]
    expected = stats.permutation_test(
        sums,
        lambda first, second, axis: np.abs((first - second).sum(axis=axis)),
        permutation_type="samples",
        alternative="greater",
    )
    assert permutation_test(scores[0] - scores[1], groups) == pytest.approx(expected.pvalue)


def test_permutation_of_pairs_equals_that_of_each():
    differences = np.random.default_rng(0).normal(0.3, 1, (60, 3))
    groups = np.repeat(np.arange(30), 2)
    together = permutation_test(differences, groups)
    alone = [permutation_test(column, groups) for column in differences.T]
    assert together.tolist() == alone


@pytest.mark.parametrize(
    ("test_share", "expected"), [(0.1, 0.04570193537797196), (0.2, 0.08814875856258675)]
)
def test_resampled_ttest_is_twice_the_tail_of_baycomp(test_share, expected):
    # baycomp 1.0.3, CorrelatedTTest.probs(FOLDS, zeros, rope=0, runs=10 * test_share)
    p_value = corrected_resampled_ttest(FOLDS, test_share=test_share).p_value
    assert p_value == pytest.approx(2 * expected)


def test_resampled_ttest_of_constant_differences():
    assert corrected_resampled_ttest([0.0] * 5, test_share=0.2) == (0, 1)
    assert corrected_resampled_ttest([-0.1] * 5, test_share=0.2) == (-np.inf, 0)


@pytest.mark.parametrize(
    ("test_share", "expected"),
    [
        (0.1, (0.7251223352720728, 0.2690809816909595, 0.005796683036967676)),
        (0.2, (0.6795492203830233, 0.30214439777421054, 0.018306381842766117)),
    ],
)
def test_bayesian_ttest_equals_baycomp(test_share, expected):
    # baycomp 1.0.3, CorrelatedTTest.probs(FOLDS, zeros, rope=0.01, runs=10 * test_share)
    posterior = correlated_bayesian_ttest(FOLDS, test_share=test_share, rope=0.01)
    assert posterior == pytest.approx(expected)


@pytest.mark.parametrize(
    ("value", "expected"), [(0, (0, 1, 0)), (0.2, (1, 0, 0)), (-0.2, (0, 0, 1))]
)
def test_bayesian_ttest_of_constant_differences(value, expected):
    assert correlated_bayesian_ttest([value] * 4, test_share=0.25) == expected


def test_holm_equals_statsmodels():
    # statsmodels 0.15.0, multitest.multipletests(method="holm")
    adjusted = adjust_holm([0.001, 0.2, 0.013, 0.04, 0.04, 0.9, 0.009])
    assert adjusted == pytest.approx([0.007, 0.4, 0.065, 0.16, 0.16, 0.9, 0.054])


def test_friedman_ranks_and_critical_differences_are_demsars():
    five, ten = (friedman_nemenyi_test(C45, confidence=c) for c in (0.95, 0.9))
    assert five.mean_ranks.round(3).tolist() == [3.143, 2.0, 2.893, 1.964]
    # q_0.05 = 2.569 and q_0.10 = 2.291 of his table 5
    unit = np.sqrt(4 * 5 / (6 * 14))
    assert five.critical_difference == pytest.approx(2.569 * unit, abs=5e-4)
    assert ten.critical_difference == pytest.approx(2.291 * unit, abs=5e-4)


def test_friedman_statistic_is_demsars_except_for_ties():
    result = friedman_nemenyi_test(C45)
    # 9.28 in the paper, without the correction for one tie of four and three of two
    assert result.statistic * (1 - (60 + 3 * 6) / (14 * 60)) == pytest.approx(9.28, abs=5e-3)


def test_nemenyi_equals_scikit_posthocs():
    # scikit-posthocs 0.17.1, posthoc_nemenyi_friedman
    expected = [0.0886727, 0.9561772, 0.0741848, 0.2592281, 0.9998594, 0.2266969]
    p_values = friedman_nemenyi_test(C45).pair_p_values
    assert p_values[np.triu_indices(4, k=1)] == pytest.approx(expected, abs=1e-6)
    assert np.array_equal(p_values, p_values.T)


def test_friedman_of_losses_equals_that_of_negated_scores():
    losses = friedman_nemenyi_test(-np.array(C45), greater_is_better=False)
    assert np.array_equal(losses.mean_ranks, friedman_nemenyi_test(C45).mean_ranks)


def test_friedman_of_only_ties_finds_nothing():
    result = friedman_nemenyi_test(np.ones((5, 3)))
    assert (result.statistic, result.p_value) == (0, 1)
    assert result.pair_p_values == pytest.approx(np.ones((3, 3)))


def test_smallest_difference_of_twenty_clips_is_25_points():
    assert smallest_detectable_difference(20) == 0.25
    assert smallest_detectable_difference(20, method="exact") == 0.3
    assert mcnemar_test(5, 0).p_value <= 0.05 < mcnemar_test(4, 0).p_value


def test_smallest_difference_of_all_pairs_of_fifteen_needs_twelve_clips():
    assert smallest_detectable_difference(1240, n_pairs=105) == 12 / 1240
    assert 2.0**-12 <= 0.05 / 105 < 2.0**-11


def test_smallest_difference_of_too_few_clips_is_infinite():
    assert smallest_detectable_difference(4) == np.inf
    assert smallest_detectable_difference(20, power=0.8, discordance=0.3) == np.inf


def test_smallest_difference_is_found_with_the_requested_power():
    difference = smallest_detectable_difference(150, power=0.8, discordance=0.3)
    shares = [(0.3 + difference) / 2, (0.3 - difference) / 2, 0.7]
    counts = np.random.default_rng(0).multinomial(150, shares, size=2000)
    found = [mcnemar_test(a, b).p_value <= 0.05 and a > b for a, b, _ in counts]
    assert np.mean(found) == pytest.approx(0.8, abs=0.03)


@pytest.mark.parametrize(
    ("call", "match"),
    [
        (lambda: mcnemar_test(-1, 2), "n_first must be a count"),
        (lambda: mcnemar_test(1, 2, method="chi2"), "'mid-p', 'exact'"),
        (lambda: permutation_test([1, 2], [0]), "one row per clip"),
        (lambda: permutation_test([1, np.nan], [0, 1]), "NaN or infinity"),
        (lambda: permutation_test([1, 2], [0, 1], n_permutations=0), "at least 1; got 0"),
        (lambda: corrected_resampled_ttest([0.1], test_share=0.1), "at least two folds"),
        (lambda: corrected_resampled_ttest([0.1, 0.2], test_share=1), "test_share"),
        (lambda: correlated_bayesian_ttest(FOLDS, test_share=0.1, rope=-1), "rope must be"),
        (lambda: adjust_holm([0.1, np.nan]), "from 0 to 1"),
        (lambda: friedman_nemenyi_test(np.ones((4, 2))), r"at least 2 x 3; got shape \(4, 2\)"),
        (lambda: friedman_nemenyi_test([[1, 2, np.nan]] * 3), "NaN or infinity"),
        (lambda: friedman_nemenyi_test(C45, confidence=95), "between 0 and 1; got 95"),
        (lambda: smallest_detectable_difference(0), "n_clips"),
        (lambda: smallest_detectable_difference(20, alpha=5), "alpha"),
        (lambda: smallest_detectable_difference(20, power=0.01), "power"),
        (lambda: smallest_detectable_difference(20, discordance=0.3), "needs a power"),
    ],
)
def test_paired_tests_refuse(call, match):
    with pytest.raises(ValueError, match=match):
        call()
