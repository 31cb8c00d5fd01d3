import pickle

import numpy as np
import pandas as pd
import pytest
from scipy.spatial.transform import Rotation
from sklearn.base import clone
from sklearn.pipeline import FeatureUnion

from smilefusion.clips import check_clips, read_clip, read_fps
from smilefusion.dmarkers._transformer import DMarkerTransformer
from smilefusion.exceptions import InvalidClipError, MissingFramesWarning, NoSmileWarning
from smilefusion.landmarks import MEDIAPIPE_478, face_geometry

SMILE = ([20, 45, 70, 100], [0, 0.3, 0.3, 0])
NAMES = DMarkerTransformer().get_feature_names_out().tolist()
EXACT = {"pose": None, "smoothing": None}


def make_clip(knots=SMILE, n_frames=120, jitter=0.0, seed=0):
    geometry = face_geometry()
    smile = np.interp(np.arange(n_frames), *knots)[:, None, None]
    clip = geometry["neutral"] + smile * geometry["smile"].astype(np.float64)
    return clip + np.random.default_rng(seed).normal(0, jitter, clip.shape)


def extract(clip, **parameters):
    features = DMarkerTransformer(**parameters).fit_transform([clip])
    return dict(zip(NAMES, features[0].tolist(), strict=True))


@pytest.fixture(scope="module")
def clips():
    knots = ([10, 30, 60, 85], [0, 0.2, 0.25, 0.02])
    return [make_clip(jitter=1e-3), make_clip(knots, 100, jitter=1e-3, seed=1)]


@pytest.mark.parametrize("fps", [25.0, 50.0])
def test_dmarkers_of_a_trapezoid_are_known(fps):
    features = extract(make_clip(), fps=fps, **EXACT)
    durations = [features[f"lip__{phase}__duration"] for phase in ("onset", "apex", "offset")]
    assert durations == pytest.approx([25 / fps, 25 / fps, 30 / fps])
    rise = features["lip__apex__max_amplitude"]
    assert rise > 0.2
    assert features["lip__onset__net_amplitude"] == pytest.approx(rise)
    assert features["lip__offset__net_amplitude"] == pytest.approx(-rise)
    assert features["lip__onset__net_amplitude_per_second"] == pytest.approx(rise * fps / 25)
    assert features["lip__offset__mean_speed_falling"] == pytest.approx(rise * fps / 30)


def test_dmarkers_frame_rate_scales_by_unit():
    slow, fast, frames = (extract(make_clip(), fps=fps, **EXACT) for fps in (25.0, 50.0, None))
    assert fast["lip__onset__duration"] == pytest.approx(slow["lip__onset__duration"] / 2)
    assert fast["lip__onset__max_speed_rising"] == pytest.approx(
        2 * slow["lip__onset__max_speed_rising"]
    )
    assert frames["lip__onset__duration"] == 25
    assert frames["lip__onset__max_amplitude"] == slow["lip__onset__max_amplitude"]


def test_dmarkers_fps_may_differ_by_clip():
    clip = make_clip(jitter=1e-3)
    both = DMarkerTransformer(fps=[25.0, 50.0]).fit_transform([clip, clip])
    alone = [DMarkerTransformer(fps=fps).fit_transform([clip])[0] for fps in (25.0, 50.0)]
    np.testing.assert_array_equal(both, alone)


@pytest.mark.parametrize("definition", ["standard", "hadasmilenet"])
def test_dmarkers_do_not_depend_on_other_clips(clips, definition):
    transformer = DMarkerTransformer(fps=50, definition=definition)
    together = transformer.fit_transform(clips[::-1])
    alone = [transformer.fit_transform([clip])[0] for clip in clips]
    np.testing.assert_array_equal(together[::-1], alone)


def as_objects(clips, folder):
    array = np.empty(len(clips), dtype=object)
    array[:] = clips
    return array


def as_paths(clips, folder):
    for index, clip in enumerate(clips):
        np.save(folder / f"{index}.npy", clip)
    return np.array([str(folder / f"{index}.npy") for index in range(len(clips))])


def as_series(clips, folder):
    return pd.Series(clips, index=[7, 8])


@pytest.mark.parametrize("convert", [as_objects, as_paths, as_series])
def test_dmarkers_do_not_depend_on_the_container(clips, tmp_path, convert):
    transformer = DMarkerTransformer(fps=50)
    converted = transformer.fit_transform(convert(clips, tmp_path))
    np.testing.assert_array_equal(converted, transformer.fit_transform(clips))


def test_dmarkers_leave_the_clips_alone(clips):
    before = [clip.copy() for clip in clips]
    DMarkerTransformer(fps=50).fit_transform(clips)
    assert all(np.array_equal(clip, old) for clip, old in zip(clips, before, strict=True))


def transform_rigidly(clip, *, angle=0.0, n_frames=1):
    rng = np.random.default_rng(3)
    rotation = Rotation.from_euler("xyz", rng.normal(0, angle, (n_frames, 3)), degrees=True)
    return 40 * (clip @ rotation.as_matrix()) + rng.normal(size=(n_frames, 1, 3))


@pytest.mark.parametrize("n_frames", [1, 120])
def test_dmarkers_ignore_where_the_head_is(clips, n_frames):
    expected = extract(clips[0], fps=50)
    moved = transform_rigidly(clips[0], angle=10, n_frames=n_frames)
    assert extract(moved, fps=50) == pytest.approx(expected, rel=1e-6, abs=1e-9)


@pytest.mark.parametrize("pose", ["rigid", "eyes", None])
def test_dmarkers_ignore_scale_and_place(clips, pose):
    expected = extract(clips[0], fps=50, pose=pose)
    moved = transform_rigidly(clips[0])
    assert extract(moved, fps=50, pose=pose) == pytest.approx(expected, rel=1e-6, abs=1e-9)


@pytest.mark.parametrize("pose", ["rigid", "eyes"])
def test_dmarkers_of_the_mirrored_clip_are_the_same(clips, pose):
    mirrored = clips[0][:, MEDIAPIPE_478.mirror] * [-1, 1, 1]
    expected = extract(clips[0], fps=50, pose=pose)
    assert extract(mirrored, fps=50, pose=pose) == pytest.approx(expected, rel=1e-5, abs=1e-7)


def test_dmarkers_time_reversal_swaps_onset_and_offset():
    clip = make_clip()
    forwards, backwards = extract(clip, fps=50), extract(clip[::-1], fps=50)
    for name in ("duration", "total_{}", "mean_speed_{}", "duration_{}", "max_speed_{}"):
        onset = forwards[f"lip__onset__{name.format('rise' if 'total' in name else 'rising')}"]
        offset = backwards[f"lip__offset__{name.format('fall' if 'total' in name else 'falling')}"]
        assert onset > 0
        assert offset == pytest.approx(onset)


@pytest.mark.parametrize("segmentation", ["steepest_path", "longest_run"])
@pytest.mark.parametrize("smoothing", ["savgol", "median"])
def test_dmarkers_smoothing_keeps_the_phases(segmentation, smoothing):
    features = extract(make_clip(), fps=50, segmentation=segmentation, smoothing=smoothing)
    assert features["lip__onset__duration"] == pytest.approx(0.5, abs=0.2)
    assert features["lip__offset__duration"] == pytest.approx(0.6, abs=0.2)


def test_dmarkers_lopsided_smile_has_a_left_right_difference():
    clip = make_clip()
    right = [index for index in range(478) if face_geometry()["neutral"][index, 0] < 0]
    clip[:, right] = clip[0, right]
    lopsided = extract(clip, fps=50)["lip__apex__left_right_difference"]
    even = extract(make_clip(), fps=50)["lip__apex__left_right_difference"]
    assert even < 1e-3
    assert lopsided > 0.1


def test_dmarkers_head_motion_is_no_smile():
    neutral = make_clip(([0], [0.0]))
    angles = 15 * np.sin(np.arange(120) / 10)[:, None] * [1, 0.7, 0.4]
    turning = neutral @ Rotation.from_euler("xyz", angles, degrees=True).as_matrix()
    with pytest.warns(NoSmileWarning, match="Clip 0 shows no smile"):
        features = DMarkerTransformer(fps=50).fit_transform([turning])
    assert not features.any()


@pytest.mark.parametrize(("missing_phase", "value"), [("zero", 0.0), ("nan", np.nan)])
def test_dmarkers_absent_phase_value(missing_phase, value):
    features = extract(make_clip()[:60], fps=50, missing_phase=missing_phase)
    offset = [features[name] for name in NAMES if "__offset__" in name]
    np.testing.assert_array_equal(offset, np.full(75, value))
    assert features["lip__apex__duration"] > 0


def test_dmarkers_warning_names_clips_and_caller(clips):
    still = make_clip(([0], [0.0]))
    with pytest.warns(NoSmileWarning, match="Clip 1, .* and 2 more show no smile") as caught:
        DMarkerTransformer(fps=50).fit_transform([clips[0], *[still] * 7])
    assert len(caught) == 1
    assert "Clip 0" not in str(caught[0].message)


def test_dmarkers_warning_points_at_the_call():
    transformer = DMarkerTransformer(fps=50)
    with pytest.warns(NoSmileWarning) as caught:
        transformer.transform([make_clip(([0], [0.0]))])
    assert caught[0].filename == __file__


def test_dmarkers_short_gap_is_bridged():
    clip = make_clip()
    clip[30:34] = np.nan
    complete, bridged = extract(make_clip(), fps=50), extract(clip, fps=50)
    assert bridged == pytest.approx(complete, rel=1e-6, abs=1e-6)


def test_dmarkers_long_gap_leaves_the_longest_part():
    clip = make_clip()
    longer = np.concatenate([clip[:8], np.full((11, 478, 3), np.nan), clip])
    with pytest.warns(MissingFramesWarning, match="Clip 0 has gaps of more than max_gap=10"):
        features = extract(longer, fps=50)
    assert features == pytest.approx(extract(clip, fps=50))


def test_dmarkers_missing_ends_are_no_gap():
    clip = np.pad(make_clip(), ((15, 12), (0, 0), (0, 0)), constant_values=np.nan)
    assert extract(clip, fps=50) == pytest.approx(extract(make_clip(), fps=50))


def test_dmarkers_scattered_faces_are_an_error():
    clip = make_clip()
    clip[np.arange(120) % 8 > 3] = np.nan
    with pytest.raises(InvalidClipError, match="Clip 0 has 4 frames in a row with a face"):
        extract(clip, fps=50, max_gap=2)


def test_dmarkers_short_clip_is_an_error():
    with pytest.raises(InvalidClipError, match="Clip 0 has 4 frames; at least 5 are needed"):
        DMarkerTransformer().fit([make_clip()[:4]])


@pytest.mark.parametrize("n_landmarks", [68, 100])
def test_dmarkers_other_landmarks_are_an_error(n_landmarks):
    clip = np.random.default_rng(0).normal(size=(30, n_landmarks, 3))
    with pytest.raises(InvalidClipError, match=r"no point 'right_cheek'|100 landmarks"):
        DMarkerTransformer().fit([clip])


@pytest.mark.parametrize(
    ("fps", "match"),
    [
        ([25.0], r"one number or one per clip; got shape \(1,\) for 2 clips"),
        ([25.0, 0.0], "fps must be positive"),
        ([25.0, np.nan], "fps must be positive"),
        (["a", "b"], "fps must be a number, one number per clip"),
        (0.0, "'fps' parameter"),
        (-5, "'fps' parameter"),
        (np.nan, "'fps' parameter"),
        (np.inf, "'fps' parameter"),
        ("25", "'fps' parameter"),
    ],
)
def test_dmarkers_bad_fps_is_an_error(clips, fps, match):
    with pytest.raises(ValueError, match=match):
        DMarkerTransformer(fps=fps).fit(clips)
    with pytest.raises(ValueError, match=match):
        DMarkerTransformer(fps=fps).transform(clips)


@pytest.mark.parametrize(
    "parameters",
    [
        {"definition": "published"},
        {"pose": "affine"},
        {"smoothing": "mean"},
        {"segmentation": "best"},
        {"missing_phase": 0},
        {"max_gap": -1},
    ],
)
def test_dmarkers_bad_parameter_is_an_error(clips, parameters):
    with pytest.raises(ValueError, match=f"The '{next(iter(parameters))}' parameter"):
        DMarkerTransformer(**parameters).fit(clips)


def test_dmarkers_names_are_225_and_ordered():
    assert len(set(NAMES)) == 225
    assert NAMES[0] == "eyelid__onset__duration_rising"
    assert NAMES[-1] == "lip__offset__left_right_difference"
    assert [name.split("__")[:2] for name in NAMES[::25]] == [
        [signal, phase]
        for signal in ("eyelid", "cheek", "lip")
        for phase in ("onset", "apex", "offset")
    ]


def test_dmarkers_set_output_names_the_columns(clips):
    transformer = DMarkerTransformer(fps=50).set_output(transform="pandas")
    table = transformer.fit_transform(pd.Series(clips, index=["a", "b"]))
    assert table.columns.tolist() == NAMES
    assert table.index.tolist() == ["a", "b"]


def test_dmarkers_join_a_feature_union(clips):
    union = FeatureUnion([("first", DMarkerTransformer()), ("second", DMarkerTransformer(fps=25))])
    assert union.fit_transform(clips).shape == (2, 450)
    assert union.get_feature_names_out()[225] == f"second__{NAMES[0]}"


def test_dmarkers_clone_and_pickle(clips):
    transformer = DMarkerTransformer(fps=50, missing_phase="nan")
    expected = transformer.fit_transform(clips)
    for copy in (clone(transformer), pickle.loads(pickle.dumps(transformer))):
        np.testing.assert_array_equal(copy.transform(clips), expected)


def test_dmarkers_dtype_by_definition(clips):
    assert DMarkerTransformer().fit_transform(clips).dtype == np.float64
    assert DMarkerTransformer(definition="hadasmilenet").fit_transform(clips).dtype == np.float32


def test_dmarkers_float32_is_enough(clips):
    expected = extract(clips[0], fps=50)
    got = extract(clips[0].astype(np.float32), fps=50)
    names = ["lip__onset__duration", "lip__apex__mean_amplitude", "lip__offset__max_speed_falling"]
    assert [got[name] for name in names] == pytest.approx(
        [expected[name] for name in names], rel=1e-3
    )


def test_dmarkers_of_two_dimensions(clips):
    flat = extract(clips[0][:, :, :2], fps=50)
    solid = extract(clips[0], fps=50)
    assert flat["lip__onset__duration"] == pytest.approx(solid["lip__onset__duration"], abs=0.05)


def test_dmarkers_of_a_real_smile(shared):
    path = shared / "clips" / "landmarks" / "smile.npz"
    clip, fps = read_clip(path), read_fps(path)
    features = extract(clip, fps=fps, segmentation="steepest_path")
    assert fps == 30
    assert 0.3 < features["lip__onset__duration"] < 1.2
    assert 0.2 < features["lip__onset__net_amplitude"] < 0.4
    assert features["lip__apex__duration"] > 0.5
    assert features["lip__offset__net_amplitude"] < -0.1


def test_dmarkers_of_real_clips_are_finite(shared):
    folder = shared / "clips" / "landmarks"
    names = ("smile", "no_face_then_smile_vfr", "small_face_please")
    paths = [folder / f"{name}.npz" for name in names]
    features = DMarkerTransformer(fps=[read_fps(path) for path in paths]).fit_transform(paths)
    assert np.isfinite(features).all()
    onset = features[:, NAMES.index("lip__onset__net_amplitude")]
    assert onset[0] == pytest.approx(onset[1], rel=0.05)
    assert onset[2] < onset[0] / 2


def test_dmarkers_real_clip_without_face_is_named(shared):
    path = shared / "clips" / "landmarks" / "no_face.npz"
    with pytest.raises(InvalidClipError, match=r"Clip 0 \(no_face.npz\) shows no face"):
        DMarkerTransformer().fit_transform(check_clips([path]))
