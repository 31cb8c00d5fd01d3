"""Scores by group of people, and metadata in a benchmark."""

import numpy as np
import pandas as pd
import pytest
from predictions import make_predictions
from sklearn.dummy import DummyClassifier
from sklearn.metrics import balanced_accuracy_score, log_loss, roc_auc_score
from sklearn.utils import Bunch

from smilefusion.benchmark import (
    format_table,
    load_results,
    run_benchmark,
    score_predictions,
    summarize,
)
from smilefusion.exceptions import InvalidDataError

GAP = "largest gap"


def make_groups(*names, n_people=12, strength=1.0):
    """Return predictions for groups of people in the metadata column "sex"."""
    table = make_predictions({"model": strength}, n_groups=n_people * len(names), n_folds=1)
    return table.assign(metadata_sex=np.array(names)[table["group"] % len(names)])


def score(predictions, by="sex", **options):
    return summarize(predictions, by=by, n_resamples=200, **options).set_index("subgroup")


def make_data(metadata, n_clips=48):
    rng = np.random.default_rng(0)
    target = np.arange(n_clips) % 2
    return Bunch(
        clips=rng.normal(size=(n_clips, 2)) + target[:, None],
        target=target,
        groups=np.arange(n_clips) // 2,
        metadata=metadata,
    )


def test_scores_of_a_group_are_those_of_scikit_learn():
    predictions = make_groups("f", "m")
    scores = score(predictions)
    for name, own in predictions.groupby("metadata_sex"):
        truth, p = own["target"], own["probability_1"]
        expected = [
            balanced_accuracy_score(truth, own["prediction"]),
            roc_auc_score(truth, p),
            log_loss(truth, p),
        ]
        found = scores.loc[name, ["balanced_accuracy", "roc_auc", "log_loss"]].tolist()
        assert found == pytest.approx(expected)
        assert scores.loc[name, ["n_clips", "n_subjects"]].tolist() == [48, 12]


def test_log_loss_of_a_group_has_the_interval_of_its_own_clips():
    predictions = make_groups("f", "m")
    alone = score_predictions(predictions[predictions["metadata_sex"] == "m"], n_resamples=200)
    columns = ["log_loss", "log_loss_low", "log_loss_high"]
    assert score(predictions).loc["m", columns].tolist() == alone.loc[0, columns].tolist()


def test_intervals_are_clustered_by_subject():
    predictions = make_groups("f", "m", n_people=20)
    copy = predictions.assign(clip="copy " + predictions["clip"])
    of_same = pd.concat([predictions, copy])
    of_others = pd.concat([predictions, copy.assign(group=copy["group"] + 100)])
    width, same, others = (
        (scores["accuracy_high"] - scores["accuracy_low"])["f"]
        for scores in map(score, (predictions, of_same, of_others))
    )
    assert same == pytest.approx(width)  # more clips of the same people add nothing
    assert others < 0.75 * width


def test_largest_gap_is_the_largest_difference_of_two_groups():
    predictions = make_groups("a", "b", "c", n_people=30)
    is_bad = (predictions["metadata_sex"] == "b") & (predictions["group"] % 2 == 0)
    predictions.loc[is_bad, "prediction"] = 1 - predictions["target"]
    scores = score(predictions)
    groups = scores.drop(GAP)["accuracy"]
    assert scores.loc[GAP, "accuracy"] == pytest.approx(groups.max() - groups.min())
    assert 0 < scores.loc[GAP, "accuracy_low"] < scores.loc[GAP, "accuracy"]
    assert scores.loc[GAP, "accuracy_high"] < 1


def test_interval_of_a_gap_between_equal_groups_contains_zero():
    predictions = make_predictions({"model": 1.0}, n_groups=20, n_folds=1)
    copy = predictions.assign(clip="copy " + predictions["clip"], group=predictions["group"] + 20)
    both = pd.concat([predictions.assign(metadata_sex="f"), copy.assign(metadata_sex="m")])
    scores = score(both)
    low, gap, high = scores.loc[GAP, ["log_loss_low", "log_loss", "log_loss_high"]]
    assert gap == 0
    width = scores["log_loss_high"] - scores["log_loss_low"]
    assert max(width["f"], -low, high) == width["f"]
    assert low == pytest.approx(-high)
    assert f"0.000 [−{-low:.3f}".replace("−0", "−") in format_table(scores.reset_index())


def test_interval_of_the_gap_is_wider_if_it_is_chosen_among_more_pairs():
    two = make_groups("a", "b", n_people=20)
    copy = two.assign(clip="copy " + two["clip"], group=two["group"] + 100)
    copy["metadata_sex"] = copy["metadata_sex"].map({"a": "c", "b": "d"})
    pair, pairs = (score(each).loc[GAP] for each in (two, pd.concat([two, copy])))
    assert pairs["accuracy"] == pair["accuracy"]
    assert pairs["accuracy_high"] > pair["accuracy_high"]


def test_group_without_an_error_has_the_exact_interval():
    scores = score(make_groups("f", "m", strength=9.0))
    assert scores.loc["f", "accuracy"] == 1
    assert scores.loc["f", "accuracy_low"] == pytest.approx(0.025 ** (1 / 12))
    assert scores.loc["f", "accuracy_high"] == 1


def test_small_groups_have_no_interval_and_are_not_compared():
    predictions = make_groups("f", "m", n_people=20)
    is_other = predictions["group"].isin([0, 1, 2])
    three = predictions.assign(metadata_sex=predictions["metadata_sex"].mask(is_other, "other"))
    scores = score(three)
    ends = scores.filter(regex="_low|_high")
    assert ends.loc["other"].isna().all()
    assert ends.drop("other").notna().all(axis=None)
    groups = scores.loc[["f", "m"], "accuracy"]
    assert scores.loc[GAP, "accuracy"] == pytest.approx(abs(groups["f"] - groups["m"]))
    row = next(line for line in format_table(scores.reset_index()).splitlines() if "other" in line)
    assert [cell.strip() for cell in row.split("|")[3:6]] == ["3", "too few people to tell", ""]


def test_gap_is_unknown_if_all_groups_are_small():
    scores = score(make_groups("f", "m", n_people=9))
    assert scores.loc[GAP].filter(like="accuracy").isna().all()


def test_table_of_groups_has_their_scores_and_no_p_value():
    text = format_table(summarize(make_groups("f", "m"), by="sex", n_resamples=9))
    header, _, first, _, gap = text.splitlines()[:5]
    names = [cell.strip() for cell in header.strip("|").split("|")]
    assert names[:4] == ["estimator", "sex", "people", "balanced accuracy [95 %]"]
    assert first.split("|")[2].strip() == "f"
    assert gap.split("|")[2].strip() == GAP
    assert " p " not in text


def test_groups_are_in_the_order_of_the_bins():
    predictions = make_groups("f", "m")
    predictions["age"] = pd.cut(predictions["group"], [-1, 11, 12, 99], labels=["9", "x", "10"])
    predictions["age"] = predictions["age"].where(predictions["age"] != "x")
    scores = summarize(predictions, by="age", n_resamples=9)
    assert scores["subgroup"].tolist() == ["9", "10", GAP]
    assert scores.attrs["remarks"] == ["toy: 4 clips without a value of 'age' excluded."]


def test_group_with_clips_of_one_class_has_only_an_accuracy_and_a_log_loss():
    predictions = make_groups("f", "m")
    is_left_out = (predictions["metadata_sex"] == "f") & (predictions["target"] == 0)
    scores = score(predictions[~is_left_out])
    assert np.isnan(scores.loc["f", "roc_auc"])
    assert scores.loc["f", ["accuracy", "log_loss_low", "log_loss_high"]].notna().all()
    assert np.isnan(scores.loc[GAP, "roc_auc"])


def test_failed_estimator_has_no_scores_by_group():
    predictions = make_predictions({"good": 1.0, "bad": 1.0}, failed=("bad",))
    predictions["metadata_sex"] = np.where(predictions["group"] % 2, "f", "m")
    scores = summarize(predictions, by="sex", n_resamples=9).set_index("estimator")
    assert scores.loc["bad"].filter(like="accuracy").isna().all(axis=None)
    assert scores.loc["good", "accuracy_low"].notna().all()


@pytest.mark.parametrize(
    ("values", "match"),
    [
        (lambda group: np.where(group == 3, "x", "y"), "'x' of the column 'c' has one person"),
        (lambda group: "x", "the value 'x' in the column 'c', so there are no groups"),
        (lambda group: group, "24 different values on 'toy', .* pandas.cut"),
        (lambda group: " ", "'c' has no values, so there are no groups"),
        (lambda group: np.nan, "'c' has no values, so there are no groups"),
    ],
)
def test_groups_that_cannot_be_compared_are_refused(values, match):
    predictions = make_groups("f", "m")
    predictions["c"] = values(predictions["group"])
    with pytest.raises(ValueError, match=match):
        summarize(predictions, by="c")


def test_unknown_column_of_groups_is_refused_with_the_known_ones():
    with pytest.raises(ValueError, match=r"by must be .*, \['sex'\]; got 'gender'"):
        summarize(make_groups("f", "m"), by="gender")


def test_own_columns_come_before_metadata_and_metadata_before_columns_of_the_result():
    predictions = make_groups("f", "m").assign(metadata_fold="x", sex="of my own")
    with pytest.raises(ValueError, match="the value 'of my own' in the column 'sex'"):
        summarize(predictions, by="sex")
    with pytest.raises(ValueError, match="the value 'x' in the column 'fold'"):
        summarize(predictions, by="fold")


def test_scores_of_groups_are_not_sorted():
    with pytest.raises(ValueError, match="sort_by must be None for scores by group"):
        format_table(summarize(make_groups("f", "m"), by="sex"), sort_by="log_loss")


def test_metadata_survive_a_results_folder(tmp_path):
    metadata = pd.DataFrame({"sex": ["f", None] * 24, "age": [20.5, np.nan] * 24, "fold": 7})
    data, model = make_data(metadata), {"prior": DummyClassifier()}
    run = run_benchmark(model, data, cv=3, results=tmp_path)
    pd.testing.assert_frame_equal(load_results(tmp_path), run)
    assert run["metadata_sex"].tolist() == ["f", ""] * 24
    np.testing.assert_array_equal(run["metadata_age"], metadata["age"])
    assert run["metadata_fold"].tolist() == [7] * 48
    assert set(run["fold"]) == {0, 1, 2}


def test_metadata_stay_with_their_clips():
    metadata = pd.DataFrame({"group": np.arange(48) // 2}).iloc[::-1]
    data = make_data(metadata.iloc[::-1])
    run = run_benchmark({"prior": DummyClassifier()}, data, cv=4, n_repeats=2)
    assert (run["metadata_group"] == run["group"]).all()


def test_metadata_of_other_data_sets_are_empty_across_data_sets():
    with_sex = make_data(pd.DataFrame({"sex": ["f", "f", "m", "m"] * 12}))
    data = {"a": with_sex, "b": make_data(None)}
    run = run_benchmark({"prior": DummyClassifier()}, data, protocol="cross-dataset")
    assert set(run.loc[run["dataset"] == "b", "metadata_sex"]) == {""}
    scores = summarize(run, by="sex", n_resamples=9)
    assert scores["dataset"].unique().tolist() == ["a"]


def test_metadata_of_another_length_are_refused():
    data = make_data(pd.DataFrame({"sex": ["f"] * 47}))
    with pytest.raises(InvalidDataError, match="metadata .* has 47 rows for 48 clips"):
        run_benchmark({"prior": DummyClassifier()}, data)
