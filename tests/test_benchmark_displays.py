"""Displays of benchmark results."""

import numpy as np
import pandas as pd
import pytest
from predictions import STRENGTHS, both_protocols, make_predictions
from scipy import stats
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from smilefusion.benchmark import friedman_nemenyi_test, score_predictions, summarize
from smilefusion.inspection import (
    CriticalDifferenceDisplay,
    FusionComparisonDisplay,
    LearningCurveDisplay,
    OptimismDisplay,
    ReliabilityDisplay,
)

plt = pytest.importorskip("matplotlib.pyplot")
plt.switch_backend("Agg")

OPTIMISTIC = "published (optimistic)"


@pytest.fixture(autouse=True)
def no_figure_stays_open():
    yield
    plt.close("all")


@pytest.fixture(scope="module")
def summary():
    return summarize(both_protocols(), n_resamples=9)


def texts(ax):
    return [text.get_text() for text in ax.texts]


def titles(display):
    return [ax.get_title(loc="left") for ax in display.axes_]


def legend_labels(figure):
    return [text.get_text() for legend in figure.legends for text in legend.get_texts()]


def hand_made_summary():
    return pd.DataFrame(
        {
            "dataset": "simulated data",
            "estimator": ["majority", "film", "broken"],
            "n_clips": 60,
            "n_groups": 20,
            "balanced_accuracy": [0.5, 0.8, np.nan],
            "balanced_accuracy_low": [0.5, 0.7, np.nan],
            "balanced_accuracy_high": [0.5, 0.9, np.nan],
        }
    )


def test_comparison_draws_scores_and_intervals():
    display = FusionComparisonDisplay(hand_made_summary(), n_classes=4)
    assert display.plot() is display
    (ax,) = display.axes_
    assert set(ax.lines[0].get_xdata()) == {0.25}
    np.testing.assert_allclose(ax.lines[1].get_xydata()[:2], [[0.5, 0], [0.8, 1]])
    segments = [path.vertices for path in ax.collections[0].get_paths()]
    np.testing.assert_allclose(segments[1], [[0.7, 1], [0.9, 1]])
    assert texts(ax) == ["0.500", "0.800", "failed"]
    assert [label.get_text() for label in ax.get_yticklabels()] == ["majority", "film", "broken"]
    assert ax.yaxis_inverted()


@pytest.mark.parametrize(
    ("metric", "chance"), [("log_loss", np.log(2)), ("roc_auc", 0.5), ("brier_score", 0.25)]
)
def test_comparison_draws_the_score_of_a_coin(metric, chance):
    predictions = make_predictions({"even": 0.0})
    predictions[["probability_0", "probability_1"]] = 0.5
    display = FusionComparisonDisplay.from_predictions(predictions, metric=metric, n_resamples=9)
    coin, points = display.axes_[0].lines[:2]
    assert coin.get_xdata()[0] == pytest.approx(chance)
    assert points.get_xdata()[0] == pytest.approx(chance)


def test_comparison_has_a_panel_per_data_set_with_the_same_rows():
    other = make_predictions({"coin": 0.0, "new": 1.0}, dataset="other", n_groups=10)
    predictions = pd.concat([make_predictions(), other])
    display = FusionComparisonDisplay.from_predictions(predictions, n_resamples=9)
    assert titles(display) == ["toy\n80 clips of 20 subjects", "other\n40 clips of 10 subjects"]
    heights = [ax.lines[1].get_ydata().tolist() for ax in display.axes_]
    assert heights == [[0, 1, 2], [2, 3]]


@pytest.mark.parametrize(
    "make",
    [
        lambda p: FusionComparisonDisplay.from_predictions(p, n_resamples=9),
        lambda p: FusionComparisonDisplay.from_predictions(
            p[p["protocol"] == "published"], n_resamples=9
        ),
        lambda p: OptimismDisplay.from_predictions(p, n_resamples=9),
        lambda p: CriticalDifferenceDisplay.from_predictions(p[p["protocol"] == "published"]),
        lambda p: ReliabilityDisplay.from_predictions(p),
        lambda p: LearningCurveDisplay.from_predictions([p, p], n_resamples=9),
    ],
    ids=["comparison", "only published", "optimism", "ranks", "reliability", "learning curve"],
)
def test_every_display_labels_optimistic_scores(make):
    figure = make(both_protocols()).figure_
    words = [text.get_text() for text in figure.findobj(plt.Text)]
    assert any(OPTIMISTIC in text for text in words)


def test_comparison_labels_optimistic_scores_on_given_axes(summary):
    _, ax = plt.subplots()
    display = FusionComparisonDisplay(summary).plot(ax=ax)
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["honest", OPTIMISTIC]
    assert display.axes_[0].lines[2].get_markerfacecolor() == "none"


def test_comparison_refuses_a_metric(summary):
    with pytest.raises(ValueError, match=r"metric must be one of .*; got 'f1'"):
        FusionComparisonDisplay(summary, metric="f1").plot()


@pytest.fixture(scope="module")
def search():
    """A search whose strong regularisation is worse."""
    rng = np.random.default_rng(0)
    y = np.arange(90) % 2
    pipeline = make_pipeline(StandardScaler(), LogisticRegression())
    grid = {
        "logisticregression__C": [1e-9, 1.0],
        "logisticregression__class_weight": [None, {0: 1e-6}],
    }
    return GridSearchCV(pipeline, grid, scoring="balanced_accuracy", cv=3).fit(
        rng.normal(size=(90, 2)) + y[:, None], y
    )


def test_comparison_of_a_search_draws_the_best_setting_of_each_value(search):
    display = FusionComparisonDisplay.from_cv_results(search, parameter="C", title="My search")
    table = pd.DataFrame(search.cv_results_)
    best = table.sort_values("mean_test_score").groupby("param_logisticregression__C").tail(1)
    best = best.sort_values("param_logisticregression__C")
    (ax,) = display.axes_
    chance, points = ax.lines
    assert set(chance.get_xdata()) == {0.5}
    np.testing.assert_allclose(points.get_xdata(), best["mean_test_score"])
    low, high = ax.collections[0].get_segments()[1][:, 0]
    assert high - low == pytest.approx(2 * best["std_test_score"].iloc[1])
    assert [label.get_text() for label in ax.get_yticklabels()] == ["1e-09", "1.0"]
    assert titles(display) == ["My search: mean of 3 folds"]
    assert "one standard deviation of the folds" in ax.get_xlabel()
    assert repr(display) == "<FusionComparisonDisplay: My search>"


def test_comparison_takes_the_results_of_a_search_as_a_dict(search):
    results = search.cv_results_ | {"mean_test_score": np.array([np.nan, 0.5, 0.7, np.nan])}
    display = FusionComparisonDisplay.from_cv_results(results, parameter="C")
    assert display.summary["score"].tolist() == [0.5, 0.7]  # a failed setting is not the best
    assert display.axes_[0].get_xlabel().startswith("score\n")


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({}, "parameter must be one of .*logisticregression__C.*; got 'fusion'"),
        ({"parameter": "C", "metric": "f1"}, "metric must be one of .*score.*; got 'f1'"),
    ],
)
def test_comparison_of_a_search_refuses_names(search, options, match):
    with pytest.raises(ValueError, match=match):
        FusionComparisonDisplay.from_cv_results(search, **options)


def test_optimism_draws_and_writes_the_differences(summary):
    (ax,) = OptimismDisplay(summary).plot().axes_
    scores = summary.set_index(["protocol", "estimator"])["accuracy"]
    differences = scores["published"] - scores["honest"]
    assert texts(ax) == [f"{value:+.3f}" for value in differences]
    bars = np.array([path.vertices[:, 0] for path in ax.collections[0].get_paths()])
    np.testing.assert_allclose(bars, np.stack([scores["honest"], scores["published"]], axis=1))


def test_optimism_marks_failed_estimators():
    display = OptimismDisplay.from_predictions(both_protocols(failed=["weak"]), n_resamples=9)
    assert texts(display.axes_[0])[1] == "failed"


def test_optimism_needs_both_protocols():
    with pytest.raises(ValueError, match="no scores of the published protocol"):
        OptimismDisplay.from_predictions(make_predictions(), n_resamples=9)


def test_ranks_over_subjects_are_those_of_the_test():
    predictions = make_predictions()
    hits = predictions["prediction"] == predictions["target"]
    scores = predictions.assign(hit=hits.astype(float)).pivot_table(
        index="group", columns="estimator", values="hit", sort=False
    )[list(STRENGTHS)]
    expected = friedman_nemenyi_test(scores)
    display = CriticalDifferenceDisplay.from_predictions(predictions, metric="accuracy")
    np.testing.assert_allclose(display.mean_ranks[list(STRENGTHS)], expected.mean_ranks)
    assert display.critical_difference == pytest.approx(expected.critical_difference)


def test_ranks_of_a_loss_put_the_lowest_first():
    display = CriticalDifferenceDisplay.from_predictions(make_predictions(), metric="log_loss")
    assert display.mean_ranks.idxmin() == "strong"


@pytest.mark.parametrize(
    ("blocks", "words"), [("subject", "40 subjects"), ("dataset", "2 data sets")]
)
def test_ranks_name_their_blocks(blocks, words):
    parts = [make_predictions(dataset=name) for name in ("a", "b")]
    display = CriticalDifferenceDisplay.from_predictions(pd.concat(parts), blocks=blocks)
    assert f"over {words}" in display.note
    assert display.note.splitlines()[0] in texts(display.ax_)[-1].replace("\n", " ")


@pytest.mark.parametrize(
    "predictions",
    [
        make_predictions(STRENGTHS | {"other": 2.0}, failed=["other"]),
        pd.concat(
            [make_predictions(), make_predictions(STRENGTHS | {"other": 2.0}, dataset="new")]
        ),
    ],
    ids=["failed", "not tested on every data set"],
)
def test_ranks_exclude_and_name_estimators_without_scores(predictions):
    display = CriticalDifferenceDisplay.from_predictions(predictions)
    assert "other" not in display.mean_ranks
    assert "Not ranked, because scores are missing: other." in display.note


def test_bars_join_runs_that_do_not_differ():
    ranks = pd.Series([1.0, 1.5, 2.2, 4.0, 4.1], index=list("abcde"))
    ax = CriticalDifferenceDisplay(ranks, 1.0).plot().ax_
    bars = [lines.get_segments()[0] for lines in ax.collections if lines.get_linewidth() == 3.5]
    ends = [bar[:, 0] for bar in bars]
    np.testing.assert_allclose(ends, [(1.0, 1.5), (1.5, 2.2), (4.0, 4.1)], atol=0.02)
    heights = [bar[0, 1] for bar in bars]
    assert heights[0] == heights[2] < heights[1]  # bars that touch are not at the same height


@pytest.mark.parametrize(
    ("predictions", "options", "match"),
    [
        (make_predictions(), {"metric": "roc_auc"}, "metric must be a mean over clips"),
        (make_predictions(), {"blocks": "clip"}, "blocks must be one of"),
        (both_protocols(), {}, "ranks need a single one"),
    ],
)
def test_ranks_refuse_parameters(predictions, options, match):
    with pytest.raises(ValueError, match=match):
        CriticalDifferenceDisplay.from_predictions(predictions, **options)


def test_reliability_error_is_that_of_the_scores():
    predictions = make_predictions(failed=["weak"])
    display = ReliabilityDisplay.from_predictions(predictions)
    scores = score_predictions(predictions, n_resamples=9)["calibration_error"]
    expected = [f"strong\ncalibration error {scores.iloc[0]:.3f}", "weak\nfailed"]
    assert titles(display)[:2] == expected
    assert display.curves["n_clips"].tolist() == [8] * 20  # bins of equal size


def test_reliability_interval_is_wilsons():
    predictions = make_predictions({"one": 0.0}, n_groups=20, per_group=1)
    predictions["probability_1"] = np.repeat([0.2, 0.8], 10)
    predictions["probability_0"] = 1 - predictions["probability_1"]
    predictions["target"] = [1] * 3 + [0] * 7 + [1] * 10
    curves = ReliabilityDisplay.from_predictions(predictions, n_bins=2).curves
    ends = curves[["share_low", "share_high"]].to_numpy()[0]
    expected = stats.binomtest(3, 10).proportion_ci(method="wilson")
    np.testing.assert_allclose(ends, expected, rtol=1e-6)


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"label": 2}, r"label must be one of the classes \['0', '1'\]"),
        ({"n_bins": 1}, "n_bins must be an integer of at least 2"),
        ({"confidence": 95}, "confidence must lie between 0 and 1"),
    ],
)
def test_reliability_refuses_parameters(options, match):
    with pytest.raises(ValueError, match=match):
        ReliabilityDisplay.from_predictions(make_predictions(), **options)


def make_sizes(**options):
    predictions = make_predictions(**options)
    return [predictions.assign(n_train=size, n_subjects=size / 4) for size in (80, 20, 40)]


def test_learning_curve_draws_the_scores_by_size():
    parts = make_sizes(failed=["coin"])
    display = LearningCurveDisplay.from_predictions(parts, metric="roc_auc", n_resamples=9)
    middle = display.axes_[0].lines[1]  # of three: not shifted
    assert middle.get_label() == "weak"
    assert middle.get_xdata().tolist() == [20, 40, 80]
    expected = score_predictions(parts[0], n_resamples=9)["roc_auc"].iloc[1]
    assert middle.get_ydata().tolist() == [expected] * 3
    assert texts(display.axes_[0]) == ["failed: coin"]


def test_learning_curve_of_many_estimators_has_a_panel_each():
    many = {f"model {i}": float(i) for i in range(7)}
    part = make_predictions(many)
    part = pd.concat([part, part.assign(dataset="other")])
    display = LearningCurveDisplay.from_predictions([part], n_resamples=9)
    assert titles(display) == list(many)
    assert legend_labels(display.figure_) == ["toy", "other"]


MANY = pd.concat(
    [
        make_predictions({f"model {i}": 1.0 for i in range(7)}, n_groups=4, dataset=f"data {i}")
        for i in range(7)
    ]
)


@pytest.mark.parametrize(
    ("parts", "match"),
    [
        (make_predictions(), "parts must be a list of tables"),
        ([], "parts is empty"),
        ([make_predictions().drop(columns="n_train")], "Table 0 of parts has no column 'n_train'"),
        ([MANY], "7 estimators and 7 pairs of protocol and data set"),
    ],
)
def test_learning_curve_refuses_parts(parts, match):
    with pytest.raises(ValueError, match=match):
        LearningCurveDisplay.from_predictions(parts, n_resamples=9)
