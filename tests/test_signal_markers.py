"""Markers of named signals: the same as D-Markers, sides, absent signals and errors."""

import pickle

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GroupKFold, cross_val_score
from sklearn.pipeline import FeatureUnion, make_pipeline
from sklearn.preprocessing import StandardScaler

from smilefusion import DMarkerTransformer, SignalMarkerTransformer, load_model, save_model
from smilefusion.clips import SignalSequence, check_clips, check_signals
from smilefusion.datasets import make_smiles
from smilefusion.dmarkers import amplitude_signals
from smilefusion.exceptions import DataWarning, FrameRateWarning, InvalidClipError
from smilefusion.video import blendshapes

CANONICAL = ("eyelid", "cheek", "lip")
SIDES = {name: (f"{name}_left", f"{name}_right") for name in CANONICAL}
ACTION_UNITS = {"signals": ["AU12_r", "AU06_r"]}


@pytest.fixture(scope="module")
def data():
    """Simulated clips without missing frames."""
    return make_smiles(24, n_subjects=8, fps=25, missing_rate=0, random_state=0)


@pytest.fixture(scope="module")
def canonical(data):
    """The nine amplitude signals of the clips."""
    clips = data.clips
    names = [*CANONICAL, *(side for pair in SIDES.values() for side in pair)]
    tables = [amplitude_signals(clips[[i]]) for i in range(len(clips))]
    return check_signals(tables, signals=names, subjects=clips.subjects)


def action_units(n_clips=3, scale=1.0):
    """Smiles in AU12, to intensity 3, and half of that in AU06; at 50 frames per second."""
    smile = np.interp(np.arange(150), [30, 60, 90, 120], [0, 3, 3, 0]) * scale
    tables = [pd.DataFrame({"AU12_r": smile, "AU06_r": smile / 2}) for _ in range(n_clips)]
    return check_signals(tables, fps=50)


def describe(X, **parameters):
    """Return the markers as a table."""
    return SignalMarkerTransformer(**parameters).set_output(transform="pandas").fit_transform(X)


@pytest.mark.filterwarnings("ignore:.* shows no:smilefusion.exceptions.DataWarning")
@pytest.mark.parametrize(
    "parameters",
    [
        {},
        {"smoothing": "median"},
        {"smoothing": None, "missing_phase": "nan"},
        {"segmentation": "longest_run", "smoothing": "4253h_twice"},
    ],
)
def test_canonical_signals_give_the_dmarkers_exactly(data, canonical, parameters):
    markers = SignalMarkerTransformer(
        CANONICAL, phases="lip", sides=SIDES, windows={"eyelid": 0.34}, **parameters
    )
    dmarkers = DMarkerTransformer(**parameters)
    found, expected = markers.fit_transform(canonical), dmarkers.fit_transform(data.clips)
    assert np.array_equal(found, expected, equal_nan=True)
    assert markers.get_feature_names_out().tolist() == dmarkers.get_feature_names_out().tolist()


def test_phases_are_those_of_the_lip_signal(data, canonical):
    markers = SignalMarkerTransformer(["lip"]).fit(canonical)
    expected = DMarkerTransformer().phases(data.clips).drop(columns=["n_blinks", "n_jumps"])
    pd.testing.assert_frame_equal(markers.find_phases(canonical), expected, check_exact=True)


def test_one_signal_defines_the_phases_of_all(canonical):
    table = describe(canonical, signals=["cheek", "lip"], phases="lip")
    durations = table.filter(like="__duration").filter(regex="duration$")
    assert (durations.filter(like="cheek").to_numpy() == durations.filter(like="lip")).all().all()


def test_markers_have_the_unit_of_the_signal():
    one, ten = (
        describe(action_units(scale=scale), min_amplitude=0.02 * scale) for scale in (1, 10)
    )
    ratio = (ten / one).iloc[0]
    assert ratio["AU12_r__onset__duration"] == 1
    assert ratio["AU12_r__onset__max_speed_rising"] == pytest.approx(10)
    assert one.loc[0, "AU12_r__onset__mean_speed_rising"] == pytest.approx(5, abs=0.1)
    assert one.loc[0, "AU06_r__apex__max_amplitude"] == pytest.approx(1.5, abs=0.02)


def test_all_signals_are_described_by_default():
    assert SignalMarkerTransformer().fit(action_units()).signals_ == ("AU12_r", "AU06_r")


def test_paired_sides_are_described_as_one_signal(canonical):
    assert SignalMarkerTransformer(sides=SIDES).fit(canonical).signals_ == CANONICAL
    mouth = {"mouth": SIDES["lip"]}
    names = SignalMarkerTransformer(sides=mouth).fit(canonical).signals_
    assert "mouth" in names
    assert not {*names} & {*SIDES["lip"]}


def test_a_new_name_is_the_mean_of_both_sides():
    smile = action_units(1)[0][:, 0]
    table = pd.DataFrame({"right": 0.5 * smile, "left": smile})
    features = describe([table], sides={"mouth": ("left", "right")}, fps=50)
    assert features.loc[0, "mouth__apex__max_amplitude"] == pytest.approx(2.25, abs=0.02)
    assert features.loc[0, "mouth__apex__left_right_difference"] == pytest.approx(1.5, abs=0.02)


@pytest.mark.parametrize(("missing_phase", "value"), [("zero", 0), ("nan", np.nan)])
def test_signals_without_sides_have_no_left_right_difference(missing_phase, value):
    features = describe(action_units(), missing_phase=missing_phase)
    found = features.filter(like="left_right_difference").to_numpy()
    assert np.array_equal(found, np.full((3, 6), value), equal_nan=True)


@pytest.mark.parametrize("smoothing", ["savgol", "median", "4253h_twice", None])
def test_absent_signals_do_not_change_other_clips(smoothing):
    signals = action_units()
    values = signals[1].copy()
    values[:, 1] = np.nan
    gappy = SignalSequence([signals[0], values, signals[2]], signals.signals, fps=50)
    whole, found = (
        describe(each, smoothing=smoothing, missing_phase="nan") for each in (signals, gappy)
    )
    assert found.filter(like="AU06_r").loc[1].isna().all()
    found.loc[1] = whole.loc[1]
    pd.testing.assert_frame_equal(found, whole, check_exact=True)


def test_short_gaps_are_interpolated():
    signals = action_units(1)
    values = signals[0].copy()
    values[40:44] = np.nan
    gappy = check_signals([values], signals=signals.signals, fps=50)
    pd.testing.assert_frame_equal(describe(gappy), describe(signals), atol=1e-9)


def test_long_gaps_cut_the_clip():
    signals = action_units(1)
    values = signals[0].copy()
    values[5:20] = np.nan
    with pytest.warns(DataWarning, match="Clip 0 has gaps of more than max_gap=10"):
        describe(check_signals([values], signals=signals.signals, fps=50))


def test_a_signal_that_does_not_move_has_no_phases():
    with pytest.warns(DataWarning, match="Clip 0, Clip 1, Clip 2 show no clear rise .* 'AU12_r'"):
        features = describe(action_units(), min_amplitude=4)
    assert (features == 0).all().all()


def test_unknown_rates_count_frames():
    with pytest.warns(FrameRateWarning, match="state no frame rate"):
        features = describe(action_units().replace(fps=[np.nan] * 3))
    assert features.loc[0, "AU12_r__onset__duration"] == pytest.approx(30, abs=4)


def test_only_the_described_signals_are_needed():
    markers = SignalMarkerTransformer(["AU12_r"]).fit(action_units())
    part = check_signals(action_units(), signals=["AU12_r"])
    assert np.array_equal(markers.transform(part), markers.transform(action_units()))
    with pytest.raises(InvalidClipError, match="Clip 0 has no signal 'AU12_r'; it has AU06_r"):
        markers.transform(check_signals(action_units(), signals=["AU06_r"]))


def test_tables_may_have_other_columns(data):
    tables = [amplitude_signals(data.clips[[i]]) for i in range(3)]  # blinks are not numbers
    assert describe(tables, signals=["lip"]).shape == (3, 75)


def lip_signals(clips):
    """Measure the lips of clips."""
    clips = check_clips(clips)
    tables = [amplitude_signals(clips[[i]]) for i in range(len(clips))]
    return check_signals(tables, signals=["lip"])


def test_signals_can_be_measured_from_clips(data, canonical):
    markers = SignalMarkerTransformer(measure=lip_signals)
    expected = SignalMarkerTransformer(["lip"]).fit_transform(canonical)
    assert np.array_equal(markers.fit_transform(data.clips), expected)
    streams = FeatureUnion([("clips", DMarkerTransformer()), ("signals", markers)])
    table = streams.set_output(transform="pandas").fit_transform(data.clips)
    assert table.columns[-1] == "signals__lip__offset__left_right_difference"


def test_arrays_are_described_by_position():
    signals = action_units()
    markers = SignalMarkerTransformer(["x1"], phases="x0", fps=50).fit([*signals])
    expected = SignalMarkerTransformer(["AU06_r"], phases="AU12_r").fit_transform(signals)
    assert np.array_equal(markers.transform([*signals]), expected)


def test_clone_and_pickle_keep_the_transformer():
    markers = SignalMarkerTransformer(**ACTION_UNITS, windows={"AU12_r": 0.3}).fit(action_units())
    assert clone(markers).get_params() == markers.get_params()
    copy = pickle.loads(pickle.dumps(markers))
    assert np.array_equal(copy.transform(action_units()), markers.transform(action_units()))


def test_pipeline_is_cross_validated_and_saved(data, canonical, tmp_path):
    model = make_pipeline(
        SignalMarkerTransformer(["lip", "cheek"]), StandardScaler(), LogisticRegression()
    )
    scores = cross_val_score(
        model, canonical, data.target, groups=canonical.subjects, cv=GroupKFold(2)
    )
    assert np.isfinite(scores).all()
    save_model(model.fit(canonical, data.target), tmp_path / "model")
    loaded = load_model(tmp_path / "model")
    assert np.array_equal(loaded.predict_proba(canonical), model.predict_proba(canonical))


def test_names_need_fit():
    with pytest.raises(NotFittedError):
        SignalMarkerTransformer(["AU12_r"]).get_feature_names_out()


@pytest.mark.parametrize(
    ("parameters", "match"),
    [
        ({"signals": ["AU45_r"]}, "no signal 'AU45_r', .* 'signals' .* are AU12_r, AU06"),
        ({"signals": ["AU12_r", "AU12_r"]}, "signals must be one or more different names"),
        ({"signals": []}, "signals must be one or more different names"),
        ({"signals": "AU12_r"}, "'signals' parameter"),
        ({"phases": "lip"}, "no signal 'lip', but the parameter 'phases' refers"),
        ({"sides": {"mouth": ("AU12_r", "AU12_l")}}, "no signal 'AU12_l', .* 'sides'"),
        ({"sides": {"mouth": "AU12_r"}}, "sides must map each name to a left and a right"),
        ({"windows": {"lip": 0.2}}, "no signal 'lip', .* 'windows'"),
        ({"windows": {"AU12_r": 0}}, "windows must be numbers of seconds above 0"),
        ({"min_amplitude": -1}, "'min_amplitude' parameter"),
        ({"smoothing": "mean"}, "'smoothing' parameter"),
        ({"fps": 0}, "'fps' parameter"),
    ],
)
def test_wrong_parameters_are_refused(parameters, match):
    with pytest.raises(ValueError, match=match):
        SignalMarkerTransformer(**parameters).fit(action_units())


def test_signals_that_cannot_be_described_are_refused():
    signals = action_units(1)
    values = signals[0].copy()
    values[:, 0] = np.nan
    absent = check_signals([values], signals=signals.signals, fps=50)
    with pytest.raises(InvalidClipError, match="Clip 0 has no values of 'AU12_r', which defines"):
        SignalMarkerTransformer().fit(absent)
    with pytest.raises(InvalidClipError, match="Clip 0 has 4 frames, but at least 5"):
        SignalMarkerTransformer().fit([signals[0][:4]])
    with pytest.raises(InvalidClipError, match=r"State the rate with check_signals"):
        SignalMarkerTransformer().fit(signals).transform(signals.replace(fps=[np.nan]))


@pytest.mark.filterwarnings("ignore:no_face_then.* not equally spaced")
def test_blendshapes_find_the_phases_of_the_lip_signal(shared, monkeypatch):
    # mouthSmile saturates, so the apex starts up to three frames earlier than that of the lips.
    monkeypatch.setenv("SMILEFUSION_FACE_MODEL", str(shared / "models" / "face_landmarker.task"))
    paths = [
        shared / "clips" / "landmarks" / name
        for name in ("smile.npz", "no_face_then_smile_vfr.npz")
    ]
    for path in paths:
        signals = blendshapes([path])
        sides = {"mouthSmile": ("mouthSmileLeft", "mouthSmileRight")}
        markers = SignalMarkerTransformer(["mouthSmile"], sides=sides).fit(signals)
        limits = ["onset_start", "apex_start", "offset_start", "offset_end"]
        found, expected = markers.find_phases(signals), DMarkerTransformer().phases([path])
        difference = (found[limits] - expected[limits]).loc[0]
        assert (difference.drop("apex_start").abs() <= 2).all()
        assert -3 <= difference["apex_start"] <= 0
