"""`compare`: differences, tests and verdicts."""

from functools import partial
from itertools import combinations

import numpy as np
import pandas as pd
import predictions as predictions_table
import pytest
from predictions import STRENGTHS
from scipy import stats

from smilefusion.benchmark import (
    adjust_holm,
    compare,
    corrected_resampled_ttest,
    correlated_bayesian_ttest,
    mcnemar_test,
    permutation_test,
    score_predictions,
)

make_predictions = partial(predictions_table.make_predictions, n_groups=40, n_repeats=2)


@pytest.fixture(scope="module")
def predictions():
    return make_predictions()


@pytest.fixture(scope="module")
def comparison(predictions):
    return compare(predictions, metric="accuracy")


def clip_differences(predictions, first, second):
    """Return the clips with the difference in hits of two estimators."""
    hit = predictions.assign(hit=predictions["target"] == predictions["prediction"])
    sides = [
        hit[hit["estimator"] == name].set_index(["repeat", "clip"]) for name in (first, second)
    ]
    return sides[0].assign(difference=sides[0]["hit"].astype(int) - sides[1]["hit"]).reset_index()


def test_comparison_has_all_pairs_or_all_against_the_reference(predictions, comparison):
    pairs = comparison[["first", "second"]].itertuples(index=False, name=None)
    assert list(pairs) == list(combinations(STRENGTHS, 2))
    against = compare(predictions, reference="weak")
    assert against["first"].tolist() == ["strong", "coin"]
    assert against["second"].tolist() == ["weak"] * 2


@pytest.mark.parametrize("metric", ["balanced_accuracy", "accuracy", "log_loss", "brier_score"])
def test_differences_are_those_of_the_scores(predictions, metric):
    scores = score_predictions(predictions, n_resamples=5).set_index("estimator")[metric]
    for row in compare(predictions, metric=metric, n_permutations=199).itertuples():
        assert row.difference == pytest.approx(scores[row.first] - scores[row.second])


def test_tests_over_clips_equal_those_of_plain_functions(predictions, comparison):
    row = comparison.iloc[1]
    clips = clip_differences(predictions, row["first"], row["second"])
    expected = permutation_test(clips["difference"], clips["group"])
    assert row["p_permutation"] == expected
    wins = np.sign(clips.groupby("clip")["difference"].sum())
    assert row["p_mcnemar"] == mcnemar_test((wins > 0).sum(), (wins < 0).sum()).p_value


def test_tests_over_folds_equal_those_of_plain_functions(predictions, comparison):
    row = comparison.iloc[1]
    clips = clip_differences(predictions, row["first"], row["second"])
    folds = clips.groupby(["repeat", "fold"])["difference"].mean()
    expected = corrected_resampled_ttest(folds, test_share=0.2)
    assert row["p_resampled"] == pytest.approx(expected.p_value)
    names = [f"probability_{name}" for name in ("first", "equivalent", "second")]
    expected = correlated_bayesian_ttest(folds, test_share=0.2, rope=0.01)
    assert row[names].tolist() == pytest.approx(list(expected))


def test_adjusted_p_values_are_holms(comparison):
    assert comparison["p_holm"].tolist() == adjust_holm(comparison["p_permutation"]).tolist()


def test_effect_size_is_cohens_d_of_subjects(predictions, comparison):
    clips = clip_differences(predictions, "strong", "coin")
    sums = clips.groupby("group")["difference"].sum()
    expected = stats.ttest_1samp(sums, 0).statistic / np.sqrt(len(sums))
    assert comparison["effect_size"][1] == pytest.approx(expected)


def test_interval_of_subjects_with_equal_clips_is_scipys_t_interval(predictions, comparison):
    means = clip_differences(predictions, "strong", "coin").groupby("group")["difference"].mean()
    ends = comparison.loc[1, ["difference_low", "difference_high"]]
    assert tuple(ends) == pytest.approx(stats.ttest_1samp(means, 0).confidence_interval())


def test_effect_size_of_what_never_differs_is_zero():
    predictions = make_predictions({"one": 1.0})
    same = pd.concat([predictions, predictions.assign(estimator="same")])
    row = compare(same).iloc[0]
    assert row[["effect_size", "difference", "p_permutation"]].tolist() == [0, 0, 1]
    assert row["verdict"] == "equivalent"


@pytest.mark.parametrize("metric", ["accuracy", "log_loss"])
def test_verdict_names_the_better_estimator(predictions, metric):
    better = compare(predictions, metric=metric).set_index(["first", "second"])
    assert better.loc[("strong", "coin"), "verdict"] == "first better"
    assert better.loc[("strong", "coin"), "probability_first"] > 0.95
    reverse = compare(predictions, reference="strong", metric=metric)
    assert set(reverse["verdict"]) == {"second better"}


@pytest.mark.parametrize(
    ("strength", "options", "remark"),
    [
        (0.5, {"n_groups": 20, "per_group": 1, "n_repeats": 1}, "below 30 points can"),
        (9.0, {"n_groups": 5}, "no difference can be"),
    ],
)
def test_verdict_on_few_clips_or_subjects_is_undecided_and_remarked(strength, options, remark):
    comparison = compare(make_predictions({"one": strength, "coin": 0.0}, **options))
    assert comparison["verdict"].tolist() == ["undecided"]
    assert remark in comparison.attrs["remarks"][0]


def test_interval_is_paired(predictions):
    copy = predictions[predictions["estimator"] == "weak"].assign(estimator="copy")
    first = copy.index[copy["target"] != copy["prediction"]][0]
    copy.loc[first, "prediction"] = copy.loc[first, "target"]
    both = pd.concat([predictions, copy])
    row = compare(both, metric="accuracy", reference="copy", rope=0.02).iloc[1]
    assert row["first"] == "weak"
    assert row["difference_high"] - row["difference_low"] < 0.02
    assert row["verdict"] == "equivalent"


def test_comparison_does_not_depend_on_the_order_of_rows(predictions):
    shuffled = predictions.sample(frac=1, random_state=0)
    shuffled = shuffled.sort_values(
        "estimator", key=lambda names: names.map(list(STRENGTHS).index)
    )
    plain, other = (compare(p, n_permutations=199) for p in (predictions, shuffled))
    pd.testing.assert_frame_equal(plain, other, check_exact=False)


@pytest.mark.parametrize(("column", "value"), [("dataset", "small"), ("protocol", "published")])
def test_comparison_keeps_data_sets_and_protocols_apart(predictions, column, value):
    both = pd.concat([predictions, make_predictions(n_groups=20).assign(**{column: value})])
    table, alone = (compare(each, n_permutations=199) for each in (both, predictions))
    first = "toy" if column == "dataset" else "honest"
    assert table[column].tolist() == [first] * 3 + [value] * 3
    pd.testing.assert_frame_equal(table[:3], alone, check_like=True)


def test_single_folds_leave_the_tests_over_folds_undefined():
    comparison = compare(make_predictions(n_folds=1))
    assert comparison.filter(regex="p_resampled|probability").isna().all(axis=None)
    assert comparison["p_permutation"].notna().all()


@pytest.mark.parametrize(
    ("damage", "match"),
    [
        (lambda p: p[p["estimator"] == "coin"], "one estimator, 'coin'"),
        (lambda p: p.drop(index=3), "'strong' has 319 predictions on 'toy'"),
        (lambda p: p.assign(fold=p["fold"].where(p.index != 3, 4)), "a different fold"),
        (lambda p: p.assign(group=p["group"].where(p.index != 200, 9)), "'clip_040'.*group"),
        (lambda p: p.assign(prediction=p["prediction"].where(p.index != 3)), "failed on 1 of 320"),
    ],
)
def test_comparison_refuses_other_clips(predictions, damage, match):
    with pytest.raises(ValueError, match=match):
        compare(damage(predictions))


@pytest.mark.parametrize(
    ("parameters", "match"),
    [
        ({"reference": "strnog"}, "reference must be one of .*'strong'.*got 'strnog'"),
        ({"metric": "roc_auc"}, "mean over clips.*got 'roc_auc'"),
        ({"rope": -0.1}, "rope"),
        ({"n_permutations": 50}, "cannot make any of 3 pairs significant.*at least 60"),
        ({"confidence": 95}, "between 0 and 1"),
    ],
)
def test_comparison_refuses_parameters(predictions, parameters, match):
    with pytest.raises(ValueError, match=match):
        compare(predictions, **parameters)
