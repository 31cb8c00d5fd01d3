"""Displays of D-Markers: importance of groups, and dynamics of a clip."""

import builtins

import numpy as np
import pandas as pd
import pytest
from sklearn.inspection import permutation_importance
from sklearn.linear_model import LogisticRegression, RidgeClassifier
from sklearn.pipeline import FeatureUnion, Pipeline, make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from smilefusion import DMarkerTransformer
from smilefusion.clips import read_fps
from smilefusion.dmarkers import amplitude_signals
from smilefusion.inspection import DMarkerImportanceDisplay, SmileDynamicsDisplay

plt = pytest.importorskip("matplotlib.pyplot")
plt.switch_backend("Agg")

NAMES = list(DMarkerTransformer().get_feature_names_out())
SPEED = NAMES.index("lip__onset__max_speed_rising")


@pytest.fixture(autouse=True)
def no_figure_stays_open():
    yield
    plt.close("all")


def texts(ax):
    return [text.get_text() for text in ax.texts]


def test_displays_name_the_extra_that_is_missing(monkeypatch):
    importances = pd.DataFrame({"phase": ["apex"], "importance_mean": 0.1, "importance_std": 0.0})
    displays = [
        DMarkerImportanceDisplay(importances, score=0.9),
        SmileDynamicsDisplay(make_signals(), make_phases()),
    ]
    real_import = builtins.__import__

    def without_matplotlib(name, *args, **kwargs):
        if name.startswith("matplotlib"):
            raise ImportError(name)
        return real_import(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without_matplotlib)
    for display in displays:
        name = type(display).__name__
        with pytest.raises(ImportError, match=rf"{name}.plot .* 'smilefusion\[plot\]'"):
            display.plot()


def make_table(n_clips=60):
    """Random D-Markers whose classes differ only in the lip's onset speed."""
    X = np.random.default_rng(0).normal(size=(n_clips, len(NAMES)))
    return X, (X[:, SPEED] > 0).astype(int)


class SignOfSpeed(RidgeClassifier):
    """Predict the classes from the sign of one column."""

    def predict(self, X):
        return (np.asarray(X)[:, SPEED] > 0).astype(int)


@pytest.fixture(scope="module")
def speed_model():
    return SignOfSpeed().fit(*make_table())


def importances_of(*args, **options):
    options = {"n_repeats": 2, "random_state": 0} | options
    return DMarkerImportanceDisplay.from_estimator(*args, **options).importances


@pytest.mark.parametrize(
    ("by", "n_groups"),
    [(("signal", "phase", "family"), 45), ("phase", 3), (["family", "signal"], 15)],
)
def test_importance_groups_are_the_product_of_the_axes(speed_model, by, n_groups):
    importances = importances_of(speed_model, *make_table(), by=by, n_repeats=1)
    assert len(importances) == n_groups
    assert importances["n_columns"].sum() == len(NAMES)


def test_importance_lies_in_the_group_that_the_model_uses(speed_model):
    importances = importances_of(speed_model, *make_table())
    largest = importances.loc[importances["importance_mean"].idxmax()]
    assert largest[["signal", "phase", "family"]].tolist() == ["lip", "onset", "speed"]
    assert largest["importance_mean"] == pytest.approx(0.5, abs=0.15)
    others = importances.drop(index=largest.name)
    assert (others[["importance_mean", "importance_std"]] == 0).all(axis=None)


def test_importance_of_single_columns_is_that_of_scikit_learn():
    X, y = make_table(20)
    X = X[:, SPEED - 5 : SPEED + 5]
    model = LogisticRegression(max_iter=500).fit(X, y)
    options = {"scoring": "neg_log_loss", "n_repeats": 2, "random_state": 0}
    expected = permutation_importance(model, X, y, **options)
    display = DMarkerImportanceDisplay.from_estimator(
        model,
        X,
        y,
        by=("signal", "phase", "descriptor"),
        feature_names=NAMES[SPEED - 5 : SPEED + 5],
        **options,
    )
    found = display.importances
    np.testing.assert_array_equal(found["importance_mean"], expected.importances_mean)
    np.testing.assert_array_equal(found["importance_std"], expected.importances_std)


def test_importance_shuffles_the_columns_of_a_group_together():
    X, _ = make_table()
    X[:, SPEED + 1] = X[:, SPEED]  # of the same family, so that their difference stays 0
    difference = FunctionTransformer(lambda X: X[:, [SPEED]] - X[:, [SPEED + 1]])
    model = make_pipeline(difference, LogisticRegression()).fit(X, np.arange(len(X)) % 2)
    model[-1].coef_[:] = 1000.0
    y = model.predict(X)
    assert (importances_of(model, X, y)["importance_mean"] == 0).all()
    alone = importances_of(model, X, y, by="descriptor")
    assert (alone["importance_mean"] > 0).sum() == 2


def test_importance_shuffles_only_dmarkers_of_a_copy(speed_model):
    X, y = make_table()
    frame = pd.DataFrame(X, columns=NAMES)[NAMES[:10]].assign(camera="a", answer=y)
    before = frame.copy()

    def scoring(model, table, y):
        assert table[["camera", "answer"]].equals(before[["camera", "answer"]])
        return float((table["eyelid__onset__duration"] == before["eyelid__onset__duration"]).all())

    importances = importances_of(speed_model, frame, y, by="family", scoring=scoring)
    assert importances["importance_mean"].tolist() == [1.0, 0.0]
    pd.testing.assert_frame_equal(frame, before)


@pytest.mark.parametrize("output", ["default", "pandas"])
def test_importance_of_clips_is_that_of_their_table(smiles, output):
    first = FeatureUnion(
        [
            ("length", FunctionTransformer(count_frames, feature_names_out=lambda *_: ["length"])),
            ("dmarker", DMarkerTransformer(fps=25)),
        ]
    ).set_output(transform=output)
    tail = [("scale", StandardScaler()), ("regress", LogisticRegression())]
    model = Pipeline([("features", first), *tail]).fit(smiles.clips, smiles.target)
    options = {"scoring": "neg_log_loss", "by": "family"}
    found = importances_of(model, smiles.clips, smiles.target, **options)
    table = first.transform(smiles.clips)
    names = ["length", *NAMES]
    expected = importances_of(model[1:], table, smiles.target, feature_names=names, **options)
    pd.testing.assert_frame_equal(found, expected)
    assert found["n_columns"].sum() == len(NAMES)


def count_frames(clips):
    return pd.DataFrame({"length": [len(clip) for clip in clips]})


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"by": "region"}, "by must name .* got 'region'"),
        ({"by": ()}, r"by must name .* got \(\)"),
        ({"by": ("phase", "phase")}, "each once"),
        ({"feature_names": NAMES[:-1]}, "225 columns but 224 names"),
        ({"feature_names": range(225)}, "None of the 225 columns .* the first is 0"),
        ({"scoring": ["accuracy", "roc_auc"]}, "scoring must give one number"),
    ],
)
def test_importance_refuses_what_it_cannot_compute(speed_model, options, message):
    with pytest.raises(ValueError, match=message):
        DMarkerImportanceDisplay.from_estimator(speed_model, *make_table(), **options)


def test_importance_of_clips_needs_a_pipeline(speed_model, smiles):
    with pytest.raises(ValueError, match="read as clips, but the estimator is a SignOfSpeed"):
        DMarkerImportanceDisplay.from_estimator(speed_model, smiles.clips, smiles.target)


def test_heat_map_shows_the_importances():
    X, y = make_table()
    model = LogisticRegression(C=0.01).fit(X, y)
    options = {"scoring": "roc_auc", "n_repeats": 2, "random_state": 0}
    display = DMarkerImportanceDisplay.from_estimator(model, X, y, **options)
    ax, shown = display.ax_, display.ax_.images[0].get_array()
    columns = [label.get_text() for label in ax.get_xticklabels()]
    rows = [label.get_text() for label in ax.get_yticklabels()]
    for group in display.importances.itertuples():
        row, column = rows.index(f"{group.signal}, {group.phase}"), columns.index(group.family)
        assert shown[row, column] == group.importance_mean
        assert texts(ax)[5 * row + column].endswith(f"±{group.importance_std:.3f}")
    low, high = ax.images[0].get_clim()
    assert low == -high < 0


def test_heat_map_of_an_idle_model_is_all_neutral():
    X, y = make_table()
    model = LogisticRegression().fit(X, y)
    model.coef_[:] = 0.0
    options = {"by": ("signal", "descriptor"), "n_repeats": 1}
    display = DMarkerImportanceDisplay.from_estimator(model, X, y, **options)
    assert set(display.ax_.images[0].get_array().ravel()) == {0.0}
    assert display.ax_.images[0].get_clim() == (-1.0, 1.0)


def test_bars_show_the_importances(speed_model):
    display = DMarkerImportanceDisplay.from_estimator(
        speed_model, *make_table(), by="phase", scoring="balanced_accuracy", ax=plt.subplots()[1]
    )
    ax = display.ax_
    widths = [bar.get_width() for bar in ax.patches]
    assert widths == display.importances["importance_mean"].tolist()
    assert [label.get_text() for label in ax.get_yticklabels()] == ["onset", "apex", "offset"]
    assert ax.get_xlabel().startswith("drop in balanced accuracy")
    assert ax.get_title(loc="left").startswith("balanced accuracy 1.000")


SIGNAL_NAMES = ("lip", "cheek", "eyelid")
LIMITS = ("onset_start", "apex_start", "offset_start", "offset_end")


def make_signals(n_frames=20, fps=10.0):
    """Signals that differ everywhere, with a blink in frames 5 to 7 and no face in 12 and 13."""
    values = np.arange(9.0 * n_frames).reshape(n_frames, 9)
    values[12:14] = np.nan
    names = [name + side for side in ("", "_right", "_left") for name in SIGNAL_NAMES]
    signals = pd.DataFrame(values, columns=names)
    frames = np.arange(n_frames)
    return signals.assign(blink=(frames >= 5) & (frames <= 7), time_s=frames / fps)


def make_phases(*, frames=(3.0, 8.0, 11.0, 16.0), fps=10.0, **flags):
    row = dict(zip(LIMITS, frames, strict=True))
    row |= {f"{name}_s": frame / fps for name, frame in row.items()}
    return pd.Series(row | {"phase_quality": 0.876, "n_peaks": 1, "no_smile": False} | flags)


def spans(panel, *, hatched=False):
    """Return the ends of the shaded or hatched spans of a panel by label."""
    return {
        patch.get_label(): (patch.get_x(), patch.get_x() + patch.get_width())
        for patch in panel.patches
        if bool(patch.get_hatch()) is hatched
    }


@pytest.fixture(scope="module")
def drawn():
    """Display of a clip that blinks in frames 0, 5 to 7 and 19."""
    signals = make_signals()
    signals.loc[[0, 19], "blink"] = True
    return SmileDynamicsDisplay(signals, make_phases(), title="Clip 3").plot()


def test_dynamics_shade_the_phases_in_every_panel(drawn):
    for panel in drawn.axes_:
        assert list(spans(panel)) == ["onset", "apex", "offset"]
        expected = [(0.3, 0.8), (0.8, 1.1), (1.1, 1.6)]
        np.testing.assert_allclose(list(spans(panel).values()), expected)
    assert drawn.axes_[-1].get_xlabel() == "time (s)"


def test_dynamics_hatch_whole_frames_of_blinks_on_the_eyelid(drawn):
    hatched = [patch for patch in drawn.axes_[2].patches if patch.get_hatch()]
    ends = [(patch.get_x(), patch.get_x() + patch.get_width()) for patch in hatched]
    np.testing.assert_allclose(ends, [(-0.05, 0.05), (0.45, 0.75), (1.85, 1.95)])
    assert all(spans(panel, hatched=True) == {} for panel in drawn.axes_[:2])


def test_dynamics_draw_the_signals_with_their_gaps(drawn):
    for panel, name in zip(drawn.axes_, SIGNAL_NAMES, strict=True):
        lines = {line.get_label(): line.get_ydata() for line in panel.lines}
        for label, column in (
            ("right", f"{name}_right"),
            ("left", f"{name}_left"),
            ("mean", name),
        ):
            np.testing.assert_array_equal(lines[label], drawn.signals[column])
        assert panel.get_ylabel().startswith(name)


def test_dynamics_title_states_quality_and_flags(drawn):
    assert drawn.axes_[0].get_title(loc="left") == "Clip 3: phase quality 0.88"
    phases = make_phases(no_offset=True, cut=np.True_)
    display = SmileDynamicsDisplay(make_signals(), phases).plot()
    assert display.axes_[0].get_title(loc="left") == "phase quality 0.88\nno offset, cut"


def test_dynamics_without_frame_rate_count_frames():
    signals = make_signals().drop(columns="time_s")
    display = SmileDynamicsDisplay(signals, make_phases(fps=np.nan)).plot()
    assert spans(display.axes_[0])["onset"] == (3, 8)
    assert display.axes_[0].get_xlim() == (0, 19)
    assert display.axes_[-1].get_xlabel() == "time (frames)"


@pytest.mark.parametrize(
    ("frames", "found"),
    [
        ((3.0, 8.0, 19.0, np.nan), ["onset", "apex"]),
        ((np.nan, 0.0, 11.0, 16.0), ["apex", "offset"]),
        ([np.nan] * 4, []),
    ],
)
def test_dynamics_shade_only_phases_that_were_found(frames, found):
    display = SmileDynamicsDisplay(make_signals(), make_phases(frames=frames)).plot()
    assert list(spans(display.axes_[0])) == found


def test_dynamics_state_which_points_are_missing():
    signals = make_signals().assign(cheek=np.nan, cheek_right=np.nan, cheek_left=np.nan)
    axes = SmileDynamicsDisplay(signals, make_phases()).plot().axes_
    assert [texts(panel) for panel in axes] == [[], ["these landmarks have no cheek points"], []]


def test_dynamics_need_three_axes(drawn):
    with pytest.raises(ValueError, match=r"one axes per panel, 3; got 1.*subplots\(3, 1\)"):
        drawn.plot(ax=plt.subplots()[1])


@pytest.mark.parametrize(
    "parameters",
    [
        {},
        {"pose": "eyes", "smoothing": None, "segmentation": "longest_run"},
        {"bridge_blinks": False, "max_gap": 0},
    ],
)
def test_dynamics_of_a_clip_are_those_of_the_transformer(smiles, parameters):
    dmarkers = DMarkerTransformer(fps=25, **parameters)
    clip = smiles.clips[3]
    display = SmileDynamicsDisplay.from_clip(clip, dmarkers=dmarkers)
    pd.testing.assert_series_equal(display.phases, dmarkers.phases([clip]).iloc[0])
    shared = ("pose", "smoothing", "bridge_blinks", "max_gap")
    options = {name: getattr(dmarkers, name) for name in shared}
    expected = amplitude_signals(clip, fps=25, **options)
    pd.testing.assert_frame_equal(display.signals, expected)


def test_dynamics_of_a_real_smile_are_where_the_eye_sees_them(shared):
    path = shared / "clips" / "landmarks" / "smile.npz"
    display = SmileDynamicsDisplay.from_clip(path, fps=read_fps(path))
    limits = spans(display.axes_[0])
    assert limits["onset"][0] == pytest.approx(0.5, abs=0.1)
    assert limits["offset"][0] == pytest.approx(2.2, abs=0.1)
    start, end = spans(display.axes_[2], hatched=True)["blink"]
    assert start < 0.9 < end


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"fps": 0}, "fps must be between 1 and 1000"),
        ({"dmarkers": DMarkerTransformer(fps=[25, 25])}, "one number or one per clip"),
        ({"dmarkers": DMarkerTransformer(definition="hadasmilenet")}, 'definition="standard"'),
    ],
)
def test_dynamics_refuse_parameters_without_phases(smiles, options, message):
    with pytest.raises(ValueError, match=message):
        SmileDynamicsDisplay.from_clip(smiles.clips[0], **options)
