"""Displays of benchmark results."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from smilefusion.benchmark import friedman_nemenyi_test, score_predictions, summarize
from smilefusion.inspection import (
    CriticalDifferenceDisplay,
    FusionComparisonDisplay,
    LearningCurveDisplay,
    OptimismDisplay,
    ReliabilityDisplay,
)
from smilefusion.inspection._critical_difference import _level_bars

plt = pytest.importorskip("matplotlib.pyplot")
plt.switch_backend("Agg")

STRENGTHS = {"strong": 4.0, "weak": 1.0, "coin": 0.0}
OPTIMISTIC = "published (optimistic)"


@pytest.fixture(autouse=True)
def no_figure_stays_open():
    yield
    plt.close("all")


def make_predictions(
    strengths=STRENGTHS, n_groups=20, per_group=4, n_repeats=1, failed=(), **all_
):
    n_clips = n_groups * per_group
    target = np.arange(n_clips) % 2
    parts = []
    for repeat in range(n_repeats):
        for i, (name, strength) in enumerate(strengths.items()):
            logit = np.random.default_rng([i, repeat]).normal(size=n_clips)
            probability = 1 / (1 + np.exp(-logit - strength * (target - 0.5)))
            if name in failed:
                probability[:] = np.nan
            columns = {
                "dataset": "toy",
                "estimator": name,
                "repeat": repeat,
                "fold": np.arange(n_clips) // per_group % 5,
                "clip": np.arange(n_clips),
                "group": np.arange(n_clips) // per_group,
                "target": target,
                "prediction": (probability > 0.5).astype(int),
                "probability_0": 1 - probability,
                "probability_1": probability,
                "fit_seconds": 1.0,
                "n_parameters": 1.0,
                "n_train": 60,
            }
            parts.append(pd.DataFrame(columns | all_))
    return pd.concat(parts, ignore_index=True)


def both_protocols(**options):
    honest = make_predictions(**options)
    published = make_predictions({"strong": 9.0, "weak": 3.0, "coin": 1.0}, **options)
    return pd.concat([honest.assign(protocol="honest"), published.assign(protocol="published")])


def texts(ax):
    return [text.get_text() for text in ax.texts]


def legend_labels(figure):
    return [text.get_text() for legend in figure.legends for text in legend.get_texts()]


def test_comparison_has_a_panel_per_data_set():
    predictions = pd.concat([make_predictions(), make_predictions(dataset="other", n_groups=10)])
    display = FusionComparisonDisplay.from_predictions(predictions, n_resamples=20)
    titles = [ax.get_title(loc="left") for ax in display.axes_]
    assert titles == ["toy\n80 clips of 20 subjects", "other\n40 clips of 10 subjects"]


def test_comparison_has_the_same_rows_in_all_panels():
    other = make_predictions({"coin": 0.0, "new": 1.0}, dataset="other")
    summary = summarize(pd.concat([make_predictions(), other]), n_resamples=20)
    display = FusionComparisonDisplay(summary).plot()
    heights = [ax.lines[1].get_ydata().tolist() for ax in display.axes_]
    assert heights == [[0, 1, 2], [2, 3]]


def test_comparison_labels_optimistic_scores():
    display = FusionComparisonDisplay.from_predictions(both_protocols(), n_resamples=20)
    assert legend_labels(display.figure_) == ["honest", OPTIMISTIC]
    assert display.axes_[0].lines[2].get_markerfacecolor() == "none"


def test_comparison_labels_optimistic_scores_without_honest_ones():
    predictions = make_predictions(protocol="published")
    display = FusionComparisonDisplay.from_predictions(predictions, n_resamples=20)
    assert legend_labels(display.figure_) == [OPTIMISTIC]


def test_comparison_labels_optimistic_scores_on_given_axes():
    _, ax = plt.subplots()
    predictions = make_predictions(protocol="published")
    FusionComparisonDisplay.from_predictions(predictions, n_resamples=20, ax=ax)
    assert [text.get_text() for text in ax.get_legend().get_texts()] == [OPTIMISTIC]


@pytest.mark.parametrize(
    ("metric", "chance"), [("log_loss", np.log(2)), ("roc_auc", 0.5), ("brier_score", 0.25)]
)
def test_comparison_draws_the_score_of_a_coin(metric, chance):
    predictions = make_predictions({"even": 0.0})
    predictions[["probability_0", "probability_1"]] = 0.5
    display = FusionComparisonDisplay.from_predictions(predictions, metric=metric, n_resamples=20)
    coin, points = display.axes_[0].lines[:2]
    assert coin.get_xdata()[0] == pytest.approx(chance)
    assert points.get_xdata()[0] == pytest.approx(chance)


def test_comparison_refuses_a_metric():
    summary = summarize(make_predictions(), n_resamples=9)
    with pytest.raises(ValueError, match=r"metric must be one of .*; got 'f1'"):
        FusionComparisonDisplay(summary, metric="f1").plot()


def test_comparison_refuses_too_few_axes():
    summary = summarize(make_predictions(), n_resamples=9)
    both = pd.concat([summary, summary.assign(dataset="other")])
    with pytest.raises(ValueError, match=r"one axes per panel, 2; got 1"):
        FusionComparisonDisplay(both).plot(ax=plt.subplots()[1])


def test_optimism_writes_the_differences():
    summary = summarize(both_protocols(), n_resamples=9)
    display = OptimismDisplay(summary).plot()
    figures = summary.set_index(["protocol", "estimator"])["accuracy"]
    differences = figures["published"] - figures["honest"]
    assert texts(display.axes_[0]) == [f"{value:+.3f}" for value in differences]


def test_optimism_joins_both_scores():
    summary = summarize(both_protocols(), n_resamples=9)
    ax = OptimismDisplay(summary).plot().axes_[0]
    honest, published = (line.get_xdata() for line in ax.lines)
    bars = np.array([path.vertices[:, 0] for path in ax.collections[0].get_paths()])
    np.testing.assert_allclose(bars, np.stack([honest, published], axis=1))


def test_optimism_labels_the_published_scores():
    display = OptimismDisplay.from_predictions(both_protocols(), n_resamples=9)
    assert legend_labels(display.figure_) == ["honest", OPTIMISTIC]


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
    ("blocks", "words"),
    [("subject", "40 subjects"), ("dataset", "2 data sets")],
)
def test_ranks_name_their_blocks(blocks, words):
    parts = [make_predictions(n_repeats=2, dataset=name) for name in ("a", "b")]
    display = CriticalDifferenceDisplay.from_predictions(pd.concat(parts), blocks=blocks)
    assert f"over {words}" in display.note
    assert display.note.splitlines()[0] in texts(display.ax_)[-1].replace("\n", " ")


def test_ranks_leave_out_and_name_failed_estimators():
    predictions = make_predictions(STRENGTHS | {"broken": 2.0}, failed=["broken"])
    display = CriticalDifferenceDisplay.from_predictions(predictions)
    assert "broken" not in display.mean_ranks
    assert "Not ranked, because scores are missing: broken." in display.note


def test_ranks_leave_out_estimators_not_tested_on_every_data_set():
    more = make_predictions(STRENGTHS | {"late": 2.0}, dataset="other")
    display = CriticalDifferenceDisplay.from_predictions(pd.concat([make_predictions(), more]))
    assert "late" not in display.mean_ranks
    assert "Not ranked, because scores are missing: late." in display.note


@pytest.mark.parametrize("display", [FusionComparisonDisplay, CriticalDifferenceDisplay])
def test_labels_of_many_estimators_stay_inside_the_figure(display):
    names = {f"factorized_bilinear_hadamard {i}": i / 5 for i in range(20)}
    figure = display.from_predictions(make_predictions(names)).figure_
    figure.draw_without_rendering()
    width, margin = figure.get_size_inches()[0], 0.05
    box = figure.get_tightbbox()
    assert margin < box.x0 < box.x1 < width - margin


def test_ranks_label_optimistic_scores():
    display = CriticalDifferenceDisplay.from_predictions(make_predictions(protocol="published"))
    assert f"{OPTIMISTIC} protocol" in display.note


def test_ranks_are_written_next_to_the_names():
    ranks = pd.Series([2.5, 1.0, 2.5], index=["a", "b", "c"])
    display = CriticalDifferenceDisplay(ranks, 1.0).plot()
    assert {"b  1.00", "a  2.50", "2.50  c"} <= set(texts(display.ax_))


def test_bars_join_runs_that_do_not_differ():
    ranks = np.array([1.0, 1.5, 2.2, 4.0, 4.1])
    assert _level_bars(ranks, 1.0) == [(0, 1, 0), (1, 2, 1), (3, 4, 0)]


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"metric": "roc_auc"}, "metric must be a mean over clips"),
        ({"blocks": "clip"}, "blocks must be one of"),
    ],
)
def test_ranks_refuse_parameters(options, match):
    with pytest.raises(ValueError, match=match):
        CriticalDifferenceDisplay.from_predictions(make_predictions(), **options)


def test_ranks_refuse_to_mix_protocols():
    with pytest.raises(ValueError, match="ranks need a single one"):
        CriticalDifferenceDisplay.from_predictions(both_protocols())


def test_reliability_error_is_that_of_the_scores():
    predictions = make_predictions({"strong": 4.0}, n_repeats=2)
    display = ReliabilityDisplay.from_predictions(predictions)
    expected = score_predictions(predictions, n_resamples=9)["calibration_error"].iloc[0]
    title = display.axes_[0].get_title(loc="left")
    assert title == f"strong\ncalibration error {expected:.3f}"


def test_reliability_bins_hold_equally_many_clips():
    curves = ReliabilityDisplay.from_predictions(make_predictions({"strong": 4.0})).curves
    assert curves["n_clips"].tolist() == [8] * 10


def test_reliability_interval_is_wilsons():
    predictions = make_predictions({"one": 0.0}, n_groups=20, per_group=1)
    predictions["probability_1"] = np.repeat([0.2, 0.8], 10)
    predictions["probability_0"] = 1 - predictions["probability_1"]
    predictions["target"] = [1] * 3 + [0] * 7 + [1] * 10
    curves = ReliabilityDisplay.from_predictions(predictions, n_bins=2).curves
    ends = curves[["share_low", "share_high"]].to_numpy()[0]
    expected = stats.binomtest(3, 10).proportion_ci(method="wilson")
    np.testing.assert_allclose(ends, expected, rtol=1e-6)


def test_reliability_counts_a_subject_once():
    once = ReliabilityDisplay.from_predictions(make_predictions(n_repeats=1), n_bins=2).curves
    predictions = make_predictions()
    repeated = pd.concat([predictions, predictions.assign(repeat=1)])
    twice = ReliabilityDisplay.from_predictions(repeated, n_bins=2).curves
    pd.testing.assert_frame_equal(once.drop(columns="n_clips"), twice.drop(columns="n_clips"))


def test_reliability_marks_failed_estimators():
    display = ReliabilityDisplay.from_predictions(make_predictions(failed=["weak"]))
    assert display.axes_[1].get_title(loc="left") == "weak\nfailed"


def test_reliability_labels_optimistic_scores():
    display = ReliabilityDisplay.from_predictions(make_predictions(protocol="published"))
    title = display.axes_[0].get_title(loc="left")
    assert title.startswith(f"toy, {OPTIMISTIC}\nstrong")


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
    return [make_predictions(**options).assign(n_train=size) for size in (80, 20, 40)]


def test_learning_curve_draws_sizes_in_order():
    display = LearningCurveDisplay.from_predictions(make_sizes(), n_resamples=9)
    middle = display.axes_[0].lines[1]  # of three: not shifted
    assert middle.get_label() == "weak"
    assert middle.get_xdata().tolist() == [20, 40, 80]


def test_learning_curve_draws_the_scores():
    display = LearningCurveDisplay.from_predictions(make_sizes(), metric="roc_auc", n_resamples=9)
    expected = score_predictions(make_predictions(), n_resamples=9)["roc_auc"]
    drawn = [line.get_ydata()[0] for line in display.axes_[0].lines]
    assert drawn == expected.tolist()


def test_learning_curve_of_many_estimators_has_a_panel_each():
    many = {f"model {i}": float(i) for i in range(7)}
    parts = [pd.concat([p, p.assign(dataset="other")]) for p in make_sizes(strengths=many)]
    display = LearningCurveDisplay.from_predictions(parts, n_resamples=9)
    assert [ax.get_title(loc="left") for ax in display.axes_] == list(many)
    assert legend_labels(display.figure_) == ["toy", "other"]


def test_learning_curve_names_failed_estimators():
    display = LearningCurveDisplay.from_predictions(make_sizes(failed=["weak"]), n_resamples=9)
    assert texts(display.axes_[0]) == ["failed: weak"]


def test_learning_curve_labels_optimistic_scores():
    parts = make_sizes(protocol="published")
    display = LearningCurveDisplay.from_predictions(parts, n_resamples=9)
    assert display.axes_[0].get_title(loc="left") == f"toy, {OPTIMISTIC}"


def test_learning_curve_takes_another_column_as_size():
    parts = [part.assign(n_subjects=part["n_train"] / 4) for part in make_sizes()]
    display = LearningCurveDisplay.from_predictions(
        parts, size="n_subjects", size_label="training subjects", n_resamples=9
    )
    assert display.axes_[0].lines[1].get_xdata().tolist() == [5, 10, 20]
    assert display.axes_[0].get_xlabel() == "training subjects"


@pytest.mark.parametrize(
    ("parts", "match"),
    [
        (make_predictions(), "parts must be a list of tables"),
        ([], "parts is empty"),
        ([make_predictions().drop(columns="n_train")], "Table 0 of parts has no column 'n_train'"),
    ],
)
def test_learning_curve_refuses_parts(parts, match):
    with pytest.raises(ValueError, match=match):
        LearningCurveDisplay.from_predictions(parts)


def test_learning_curve_refuses_too_many_lines():
    many = {f"model {i}": 1.0 for i in range(7)}
    parts = [
        pd.concat([make_predictions(many, dataset=f"data {i}") for i in range(7)])
        for _ in range(2)
    ]
    with pytest.raises(ValueError, match="7 estimators and 7 pairs"):
        LearningCurveDisplay.from_predictions(parts, n_resamples=9)
