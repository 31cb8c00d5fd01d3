import builtins

import numpy as np
import pandas as pd
import pytest

from smilefusion.inspection import BenchmarkDisplay

plt = pytest.importorskip("matplotlib.pyplot")
plt.switch_backend("Agg")


def make_summary():
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


@pytest.fixture
def ax():
    figure, axes = plt.subplots()
    yield axes
    plt.close(figure)


def texts(ax):
    return [text.get_text() for text in ax.texts]


def test_display_draws_the_figures_at_their_rows(ax):
    BenchmarkDisplay(make_summary()).plot(ax=ax)
    dots = ax.lines[1].get_xydata()
    np.testing.assert_allclose(dots[:2], [[0.5, 0], [0.8, 1]])
    segments = [path.vertices for path in ax.collections[0].get_paths()]
    np.testing.assert_allclose(segments[1], [[0.7, 1], [0.9, 1]])


def test_display_lists_the_estimators_from_the_top(ax):
    BenchmarkDisplay(make_summary()).plot(ax=ax)
    assert [label.get_text() for label in ax.get_yticklabels()] == ["majority", "film", "broken"]
    bottom, top = ax.get_ylim()
    assert bottom > top


def test_display_marks_failed_estimators(ax):
    BenchmarkDisplay(make_summary()).plot(ax=ax)
    assert texts(ax) == ["0.500", "0.800", "failed"]


@pytest.mark.parametrize(("n_classes", "chance"), [(2, 0.5), (4, 0.25)])
def test_display_draws_chance(ax, n_classes, chance):
    BenchmarkDisplay(make_summary(), n_classes=n_classes).plot(ax=ax)
    assert set(ax.lines[0].get_xdata()) == {chance}


def test_display_names_the_data(ax):
    BenchmarkDisplay(make_summary()).plot(ax=ax)
    assert ax.get_title(loc="left") == "simulated data: 60 clips of 20 subjects"


def test_display_makes_a_figure_and_returns_itself():
    display = BenchmarkDisplay(make_summary())
    assert display.plot() is display
    assert display.figure_ is display.ax_.figure
    plt.close(display.figure_)


def test_display_scores_predictions(ax):
    target = np.arange(20) % 2
    predictions = pd.DataFrame(
        {
            "dataset": "toy",
            "estimator": "oracle",
            "repeat": 0,
            "fold": 0,
            "clip": np.arange(20),
            "group": np.arange(20) // 4,
            "target": target,
            "prediction": target,
            "probability_0": 1.0 - target,
            "probability_1": 1.0 * target,
            "fit_seconds": 1.0,
            "n_parameters": 1.0,
        }
    )
    display = BenchmarkDisplay.from_predictions(predictions, n_resamples=20, ax=ax)
    assert display.summary["balanced_accuracy"].tolist() == [1.0]
    assert texts(ax) == ["1.000"]


def test_display_refuses_several_data_sets(ax):
    summary = make_summary().assign(dataset=["a", "b", "b"])
    with pytest.raises(ValueError, match="a picture shows one"):
        BenchmarkDisplay(summary).plot(ax=ax)


def test_display_names_the_extra_that_is_missing(monkeypatch):
    real_import = builtins.__import__

    def without_matplotlib(name, *args, **kwargs):
        if name.startswith("matplotlib"):
            raise ImportError(name)
        return real_import(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without_matplotlib)
    with pytest.raises(ImportError, match=r"BenchmarkDisplay.plot .* 'smilefusion\[plot\]'"):
        BenchmarkDisplay(make_summary()).plot()
