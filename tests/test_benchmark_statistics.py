"""Scores and their confidence intervals."""

from functools import partial

import numpy as np
import pandas as pd
import predictions as predictions_table
import pytest
from sklearn import metrics
from sklearn.calibration import calibration_curve

from smilefusion.benchmark import score_predictions

make_predictions = partial(
    predictions_table.make_predictions, {"model": 1.2}, n_groups=30, n_folds=1
)


def probabilities(predictions):
    return predictions.filter(like="probability_").to_numpy()


@pytest.mark.parametrize("n_classes", [2, 3])
def test_scores_equal_scikit_learn(n_classes):
    predictions = make_predictions(n_classes=n_classes)
    scores = score_predictions(predictions, n_resamples=10).iloc[0]
    truth, guess, probability = (
        predictions["target"],
        predictions["prediction"],
        probabilities(predictions),
    )
    score = probability[:, 1] if n_classes == 2 else probability
    expected = {
        "accuracy": metrics.accuracy_score(truth, guess),
        "balanced_accuracy": metrics.balanced_accuracy_score(truth, guess),
        "log_loss": metrics.log_loss(truth, probability),
        "roc_auc": metrics.roc_auc_score(truth, score, multi_class="ovr"),
        "brier_score": np.mean((probability - np.eye(n_classes)[truth]) ** 2) * n_classes,
    }
    if n_classes == 2:
        expected["brier_score"] = metrics.brier_score_loss(truth, score)
    assert scores[list(expected)].to_dict() == pytest.approx(expected)


def test_roc_auc_is_the_mean_of_scikit_learns_over_folds_weighted_by_pairs():
    predictions = make_predictions(n_groups=31, n_folds=3)
    folds = [part for _, part in predictions.groupby("fold")]
    areas = [metrics.roc_auc_score(fold["target"], fold["probability_1"]) for fold in folds]
    n_pairs = [fold["target"].sum() * (1 - fold["target"]).sum() for fold in folds]
    area = score_predictions(predictions, n_resamples=5)["roc_auc"][0]
    assert area == pytest.approx(np.average(areas, weights=n_pairs))


def test_roc_auc_of_constant_predictor_is_one_half_across_folds():
    predictions = make_predictions(n_folds=3)
    prior = predictions["fold"].map({0: 0.4, 1: 0.5, 2: 0.6})
    predictions = predictions.assign(probability_0=1 - prior, probability_1=prior)
    scores = score_predictions(predictions, n_resamples=50).iloc[0]
    assert [scores["roc_auc_low"], scores["roc_auc"], scores["roc_auc_high"]] == [0.5] * 3


def test_log_loss_of_two_subjects_is_bounded_only_by_zero():
    scores = score_predictions(make_predictions(n_groups=2), n_resamples=200).iloc[0]
    assert (scores["log_loss_low"], scores["log_loss_high"]) == (0, np.inf)


def test_log_loss_of_a_constant_has_an_interval_of_zero_width():
    predictions = make_predictions().assign(probability_0=0.5, probability_1=0.5)
    scores = score_predictions(predictions, n_resamples=50).iloc[0]
    assert scores[["log_loss_low", "log_loss_high"]].tolist() == pytest.approx([np.log(2)] * 2)


def test_interval_of_the_calibration_error_of_perfect_probabilities_reaches_zero():
    predictions = make_predictions(n_groups=400)
    probability = np.random.default_rng(0).uniform(size=len(predictions))
    target = (np.random.default_rng(1).uniform(size=len(predictions)) < probability).astype(int)
    perfect = predictions.assign(
        target=target, probability_0=1 - probability, probability_1=probability
    )
    scores = score_predictions(perfect, n_resamples=300).iloc[0]
    assert scores["calibration_error_low"] == 0 < scores["calibration_error"]
    assert scores["calibration_error_high"] < 0.06


def test_calibration_error_is_that_of_scikit_learns_calibration_curve():
    predictions = make_predictions(n_groups=50)  # 200 clips without ties: bins hold 20 each
    truth, score = predictions["target"], predictions["probability_1"]
    shares, means = calibration_curve(truth, score, n_bins=10, strategy="quantile")
    error = score_predictions(predictions, n_resamples=5)["calibration_error"][0]
    assert error == pytest.approx(np.abs(shares - means).mean())


def test_scores_do_not_depend_on_the_order_of_rows():
    predictions = make_predictions(n_folds=3)
    by_clip = score_predictions(predictions.sort_values("clip"), n_resamples=50)
    folds_first = score_predictions(predictions.sort_values(["fold", "clip"]), n_resamples=50)
    pd.testing.assert_frame_equal(by_clip, folds_first)


def test_scores_accept_string_labels():
    predictions = make_predictions()
    names = {0: "posed", 1: "spontaneous"}
    named = predictions.rename(
        columns={f"probability_{k}": f"probability_{name}" for k, name in names.items()}
    )
    named = named.replace({"target": names, "prediction": names})
    pd.testing.assert_frame_equal(
        score_predictions(named, n_resamples=20), score_predictions(predictions, n_resamples=20)
    )


def test_scores_of_failed_estimator_are_missing():
    good = make_predictions()
    bad = good.assign(estimator="broken")
    bad.loc[bad["fold"] == 0, ["probability_0", "probability_1"]] = np.nan
    scores = score_predictions(pd.concat([good, bad]), n_resamples=20)
    assert scores.set_index("estimator").loc["broken"].filter(like="accuracy").isna().all()
    assert scores.set_index("estimator").loc["model"].notna().all()


@pytest.mark.parametrize(
    ("damage", "match"),
    [
        (lambda p: p.drop(columns="group"), r"have no columns \['group'\]"),
        (lambda p: p.iloc[:0], "empty"),
        (lambda p: pd.concat([p, p.iloc[:1]]), "more than once"),
        (lambda p: p.assign(group="anna"), "one subject"),
        (lambda p: p[p["target"] == 0], "only the class '0'"),
        (lambda p: p.assign(probability_1=1.5), "outside 0 to 1"),
        (lambda p: p.drop(columns="probability_1"), "one column per class"),
        (lambda p: pd.concat([p, p.iloc[1:].assign(estimator="other")]), "'other' has 119"),
    ],
)
def test_scores_refuse_broken_predictions(damage, match):
    with pytest.raises(ValueError, match=match):
        score_predictions(damage(make_predictions()), n_resamples=5)


@pytest.mark.parametrize(
    ("parameters", "match"),
    [({"n_resamples": 0}, "n_resamples"), ({"confidence": 95}, "between 0 and 1; got 95")],
)
def test_scores_refuse_parameters(parameters, match):
    with pytest.raises(ValueError, match=match):
        score_predictions(make_predictions(), **parameters)


def test_scores_survive_a_csv_file_with_missing_predictions(tmp_path):
    good = make_predictions()
    bad = good.assign(estimator="bad", prediction=np.nan)
    bad[[name for name in bad if name.startswith("probability_")]] = np.nan
    pd.concat([good, bad]).to_csv(tmp_path / "predictions.csv", index=False)
    read = pd.read_csv(tmp_path / "predictions.csv")
    assert read["prediction"].dtype == float  # 1 has become 1.0
    scores, expected = (score_predictions(each, n_resamples=20) for each in (read, good))
    assert "answered" not in scores
    assert scores["accuracy"][0] == expected["accuracy"][0] > 0.5
