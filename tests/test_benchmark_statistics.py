"""Scores and their confidence intervals."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from sklearn import metrics
from sklearn.calibration import calibration_curve

from smilefusion.benchmark import score_predictions
from smilefusion.benchmark.stats._intervals import (
    bootstrap_interval,
    calibration_interval,
    jackknife_interval,
    studentized_interval,
)
from smilefusion.benchmark.stats._metrics import CLIP_SCORES, METRICS, calibration_gaps
from smilefusion.benchmark.stats._scores import (
    collect_outcomes,
    split_draws,
    subject_counts,
)


def make_predictions(n_groups=30, per_group=4, n_classes=2, n_folds=1, seed=0):
    rng = np.random.default_rng(seed)
    n_clips = n_groups * per_group
    target = np.tile(np.arange(n_classes), n_clips)[:n_clips]
    logits = rng.normal(size=(n_clips, n_classes)) + 1.2 * np.eye(n_classes)[target]
    probability = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    group = np.repeat(np.arange(n_groups), per_group)
    return pd.DataFrame(
        {
            "dataset": "toy",
            "estimator": "model",
            "repeat": 0,
            "fold": group % n_folds,
            "clip": np.arange(n_clips),
            "group": group,
            "target": target,
            "prediction": probability.argmax(axis=1),
            **{f"probability_{k}": probability[:, k] for k in range(n_classes)},
        }
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


def test_interval_width_is_the_closed_form_for_equal_clusters():
    predictions = make_predictions(n_groups=400, per_group=5)
    scores = score_predictions(predictions, n_resamples=4000).iloc[0]
    right = predictions["target"] == predictions["prediction"]
    subject_means = right.groupby(predictions["group"]).mean()
    standard_error = subject_means.std(ddof=0) / np.sqrt(400)
    width = scores["accuracy_high"] - scores["accuracy_low"]
    assert width == pytest.approx(2 * 1.96 * standard_error, rel=0.08)


def collect(predictions):
    classes = [name.removeprefix("probability_") for name in predictions.filter(like="probab")]
    return collect_outcomes(predictions, classes, np.unique(predictions["group"]))


@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize("metric", sorted(set(METRICS) - {"calibration_error"}))
def test_metrics_of_draws_equal_those_of_repeated_rows(metric, n_classes):
    predictions = make_predictions(n_groups=12, n_classes=n_classes, n_folds=2)
    counts = subject_counts(12, 20, 3)
    drawn = METRICS[metric](collect(predictions), counts)
    for value, weights in zip(drawn, counts.astype(int), strict=True):
        sample = predictions.loc[predictions.index.repeat(weights[predictions["group"]])]
        assert value == pytest.approx(METRICS[metric](collect(sample), np.ones((1, 12)))[0])


@pytest.mark.parametrize("metric", CLIP_SCORES)
def test_metric_is_the_mean_of_its_clip_scores(metric):
    outcomes = collect(make_predictions(n_classes=3, n_groups=31))
    expected = METRICS[metric](outcomes, np.ones((1, 31)))[0]
    assert CLIP_SCORES[metric](outcomes).mean() == pytest.approx(expected)


def test_interval_is_scipys_bca_interval_with_widened_tails():
    sample = np.random.default_rng(0).exponential(size=25)
    counts = subject_counts(25, 20000, 0)
    figures = counts @ sample / counts.sum(axis=1)
    ours = bootstrap_interval(*split_draws(figures, 25), 0.95)
    level = 2 * stats.norm.cdf(np.sqrt(25 / 24) * stats.t.ppf(0.975, 24)) - 1
    scipys = stats.bootstrap(
        (sample,),
        np.mean,
        confidence_level=level,
        n_resamples=20000,
        random_state=np.random.default_rng(0),
    )
    assert ours == pytest.approx(scipys.confidence_interval, rel=0.02)


def test_interval_of_constant_draws_is_the_score():
    assert bootstrap_interval(0.5, np.full(9, 0.5), np.full(4, 0.5), 0.95) == (0.5, 0.5)


def draw_subjects(n_subjects, n_draws):
    return subject_counts(n_subjects, n_draws, 0)[:-n_subjects]


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


def test_log_loss_of_two_subjects_is_bounded_only_by_zero():
    scores = score_predictions(make_predictions(n_groups=2), n_resamples=200).iloc[0]
    assert (scores["log_loss_low"], scores["log_loss_high"]) == (0, np.inf)


def test_log_loss_of_a_constant_has_an_interval_of_zero_width():
    predictions = make_predictions().assign(probability_0=0.5, probability_1=0.5)
    scores = score_predictions(predictions, n_resamples=50).iloc[0]
    assert scores[["log_loss_low", "log_loss_high"]].tolist() == pytest.approx([np.log(2)] * 2)


def jackknife(sums, sizes):
    """Return the ratio and the ratios without each subject."""
    return sums.sum() / sizes.sum(), (sums.sum() - sums) / (sizes.sum() - sizes)


def test_jackknife_interval_takes_a_subject_as_one_unit():
    sample = np.random.default_rng(0).exponential(size=12)
    ends = jackknife_interval(*jackknife(5 * sample, np.full(12, 5)), np.full(12, 5), 0.9)
    assert ends == pytest.approx(stats.ttest_1samp(sample, 0).confidence_interval(0.9))


def test_jackknife_interval_of_unequal_subjects_has_fewer_degrees_of_freedom():
    sums, sizes = np.array([1.0, 0.5, 2.0]), np.array([1, 2, 3])
    figure, without_one = jackknife(sums, sizes)
    error = np.sqrt(2 / 3 * ((without_one - without_one.mean()) ** 2).sum())
    # (1 + 4 + 9)² / (1 + 16 + 81) = 2 subjects, hence one degree of freedom, the Cauchy law
    expected = figure + np.tan(np.pi * 0.475) * error * np.array([-1, 1])
    assert jackknife_interval(figure, without_one, sizes, 0.95) == pytest.approx(tuple(expected))


def test_lower_end_of_the_calibration_error_is_that_of_a_search():
    predictions = make_predictions(n_groups=150, seed=3)
    outcomes = collect(predictions.assign(target=predictions["prediction"]))
    gaps = calibration_gaps(outcomes, draw_subjects(150, 300))
    level = stats.norm.cdf(np.sqrt(150 / 149) * stats.t.ppf(0.975, 149))
    error = np.abs(gaps[0]).sum()
    shares = np.linspace(0, 1, 501)
    errors = [np.abs(share * gaps[0] + gaps[1:] - gaps[0]).sum(axis=1) for share in shares]
    within = np.quantile(errors, level, axis=1) >= error
    low, _ = calibration_interval(gaps, 150, 0.95)
    assert low == pytest.approx(shares[within][0] * error, abs=0.003 * error)
    assert 0.2 * error < low < 0.95 * error


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


def test_interval_of_the_calibration_error_of_constant_draws_is_the_score():
    predictions = make_predictions(n_groups=400).assign(probability_0=0.3, probability_1=0.7)
    scores = score_predictions(predictions, n_resamples=300).iloc[0]
    ends = scores["calibration_error_low"], scores["calibration_error_high"]
    assert ends == pytest.approx((0.2, 0.2))


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
