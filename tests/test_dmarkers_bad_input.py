from functools import partial

import faces
import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from smilefusion import DMarkerTransformer
from smilefusion.dmarkers import amplitude_signals
from smilefusion.exceptions import (
    DataWarning,
    InvalidClipError,
)

make_clip = partial(faces.make_clip, jitter=1e-4)
NAMES = DMarkerTransformer().get_feature_names_out().tolist()
MISSING = np.full((478, 3), np.nan)
every_pose = pytest.mark.parametrize("pose", ["rigid", "eyes", None])
# Every warning that is not expected is an error here, NumPy's above all.


def extract(clip, **parameters):
    features = DMarkerTransformer(**{"fps": 25} | parameters).fit_transform([clip])
    return dict(zip(NAMES, features[0].tolist(), strict=True))


def find(clip, **parameters):
    return DMarkerTransformer(**{"fps": 25} | parameters).phases([clip]).iloc[0]


@pytest.mark.parametrize("n_frames", [1, 2, 4])
@pytest.mark.parametrize("method", ["fit", "transform", "phases"])
def test_clip_of_few_frames_is_an_error(n_frames, method):
    clips = [make_clip(), make_clip(n_frames=n_frames)]
    with pytest.raises(InvalidClipError, match=f"Clip 1 has {n_frames} frames?, but at least 5"):
        getattr(DMarkerTransformer(), method)(clips)


@every_pose
@pytest.mark.parametrize("segmentation", ["transitions", "longest_run"])
@pytest.mark.parametrize("smoothing", ["savgol", "median", "4253h_twice", None])
def test_shortest_clip_and_constant_signal_have_finite_features(pose, segmentation, smoothing):
    constant = np.repeat(make_clip()[:1], 30, axis=0)
    parameters = {"pose": pose, "segmentation": segmentation, "smoothing": smoothing}
    transformer = DMarkerTransformer(fps=25, **parameters)
    with pytest.warns(DataWarning, match="Clip 0, Clip 1 show no smile") as caught:
        features = transformer.fit_transform([make_clip()[:5], constant])
    assert len(caught) == 1
    assert not features.any()


def test_smile_from_the_first_frame_on_is_described():
    clip = make_clip(([0, 30, 60, 90], [0, 0.3, 0.3, 0]))
    row, features = find(clip), extract(clip)
    assert row["onset_start"] < 3
    assert not row["no_onset"]
    assert features["lip__onset__duration"] == pytest.approx(30 / 25, rel=0.1)
    assert features["lip__onset__net_amplitude"] > 0.2


def test_apex_from_the_first_frame_on_has_no_onset():
    clip = make_clip(([0, 60, 90], [0.3, 0.3, 0]))
    row, features = find(clip), extract(clip, missing_phase="nan")
    assert row["no_onset"]
    assert np.isnan([value for name, value in features.items() if "__onset__" in name]).all()
    assert features["lip__offset__net_amplitude"] < -0.1


def test_short_gap_is_bridged():
    clip = make_clip(jitter=0)
    clip[30:34] = np.nan
    assert extract(clip) == pytest.approx(extract(make_clip(jitter=0)), rel=1e-5, abs=1e-5)


def test_face_missing_every_other_frame_is_bridged_and_flagged():
    clip = make_clip()
    clip[1::2] = np.nan
    assert find(clip)["too_many_missing"]
    got, expected = extract(clip), extract(make_clip())
    for name in ("onset__duration", "apex__mean_amplitude", "offset__mean_speed_falling"):
        assert got[f"lip__{name}"] == pytest.approx(expected[f"lip__{name}"], rel=0.05)


def test_face_missing_half_the_clip_leaves_the_longest_part():
    clip = np.concatenate([make_clip()[:8], np.repeat(MISSING[None], 100, axis=0), make_clip()])
    with pytest.warns(DataWarning, match="Clip 0 has gaps of more than max_gap=10"):
        features = extract(clip)
    assert features == pytest.approx(extract(make_clip()))
    row = find(clip)
    assert (row["n_missing"], row["cut"], row["too_many_missing"]) == (100, True, True)


@pytest.mark.parametrize(("before", "after"), [(15, 0), (0, 15), (40, 3)])
def test_face_missing_at_the_ends_is_no_gap(before, after):
    clip = np.pad(make_clip(), ((before, after), (0, 0), (0, 0)), constant_values=np.nan)
    assert extract(clip) == extract(make_clip())
    assert find(clip)["n_missing"] == before + after
    assert not find(clip)["cut"]


@pytest.mark.parametrize("method", ["transform", "phases"])
def test_scattered_faces_are_an_error(method):
    clip = make_clip()
    clip[np.arange(120) % 8 > 3] = np.nan
    transformer = DMarkerTransformer(max_gap=2)
    with pytest.raises(InvalidClipError, match="Clip 0 has only 4 consecutive frames"):
        getattr(transformer, method)([clip])


@every_pose
@pytest.mark.parametrize("frames", [slice(None), 60])
@pytest.mark.parametrize(
    ("points", "match"),
    [((33, 133), "eye corners"), ((362, 263), "eye corners"), ((61, 291), "lip corners")],
)
def test_eye_or_mouth_width_of_zero_is_an_error(points, match, frames, pose):
    clip = make_clip()
    clip[frames, points[0]] = clip[frames, points[1]]
    clips = [make_clip(n_frames=115), clip, make_clip(n_frames=110)]
    with pytest.raises(InvalidClipError, match=f"Clip 1 has {match} that coincide"):
        DMarkerTransformer(fps=25, pose=pose).fit_transform(clips)


@pytest.mark.parametrize("frames", [slice(None), 60])
@pytest.mark.parametrize(
    ("pose", "match"),
    [
        ("rigid", "head pose is undefined"),
        ("eyes", "head pose is undefined"),
        (None, "eye corners that coincide"),
    ],
)
def test_face_in_one_point_is_an_error(frames, pose, match):
    clip = make_clip()
    clip[frames] = 0.3
    with pytest.raises(InvalidClipError, match=f"Clip 0 has .*{match}"):
        extract(clip, pose=pose)
    with pytest.raises(InvalidClipError, match=f"Clip 0 has .*{match}"):
        amplitude_signals(clip, pose=pose)


@pytest.mark.parametrize("frames", [slice(None), 60])
def test_face_on_a_line_in_space_is_an_error(frames):
    clip = make_clip(jitter=0)
    clip[frames, :, 1:] = 0
    with pytest.raises(InvalidClipError, match="head pose is undefined"):
        extract(clip, pose="rigid")


JUMPS = {
    "another face": lambda clip: clip[60:] + np.array([3, 0, 0]),
    "a cut to a wider picture": lambda clip: clip[60:] / 1.6,
    "a cut to a closer picture": lambda clip: clip[60:] * 1.6,
}


@pytest.mark.parametrize("jump", JUMPS)
def test_jump_leaves_the_longest_part_and_is_flagged(jump):
    clip = make_clip(n_frames=119)
    jumping = np.concatenate([clip[:60], JUMPS[jump](clip)])
    with pytest.warns(DataWarning, match="Clip 0 shows a face that jumps") as caught:
        features = extract(jumping)
    assert len(caught) == 1
    assert features == extract(clip[:60])
    row = find(jumping)
    assert (row["n_jumps"], row["cut"], row["no_offset"]) == (1, True, True)
    assert amplitude_signals(jumping)["lip"].last_valid_index() == 59


def test_jump_for_a_moment_leaves_out_both_sides():
    clip = make_clip()
    clip[10:13] += 3
    with pytest.warns(DataWarning):
        features = extract(clip)
    assert features == extract(clip[13:])
    assert find(clip)["n_jumps"] == 2


MOTIONS = {  # degrees about the neck, and eye distances; each takes 0.3 s
    "turn": ((50, 0, 0), (0, 0, 0)),
    "nod": ((0, 25, 0), (0, 0, 0)),
    "tilt": ((0, 0, 30), (0, 0, 0)),
    "duck": ((0, 0, 0), (0, 1.2, 0)),
    "sway": ((0, 10, 10), (1.2, 0.3, 0)),
}


@pytest.mark.parametrize("fps", [12.5, 25, 50])
@pytest.mark.parametrize("motion", MOTIONS)
def test_quick_head_motion_is_no_jump(motion, fps):
    clip = make_clip(n_frames=120, jitter=1e-3)
    angles, shift = MOTIONS[motion]
    course = np.interp(np.arange(120) / fps, [1, 1.3], [0, 1])[:, None]
    turns = Rotation.from_euler("yxz", course * angles, degrees=True).as_matrix()
    neck = np.array([0, 1.2, 0.9])
    moving = (clip - neck) @ turns + neck + (course * shift)[:, None]
    row = find(moving, fps=fps)
    assert (row["n_jumps"], row["cut"]) == (0, False)


@pytest.mark.parametrize(("fps", "n_jumps"), [(50, 1), (25, 1), (10, 0)])
def test_slow_frames_allow_for_longer_steps(fps, n_jumps):
    clip = make_clip()
    clip[60:] += [0.8, 0, 0]
    assert find(clip, fps=fps)["n_jumps"] == n_jumps


@pytest.mark.parametrize(
    "parameters",
    [
        {"definition": "published"},
        {"pose": "affine"},
        {"smoothing": "mean"},
        {"segmentation": "steepest_path"},
        {"segmentation": None},
        {"bridge_blinks": "yes"},
        {"missing_phase": 0},
        {"max_gap": -1},
        {"max_gap": 1.5},
    ],
    ids=str,
)
def test_bad_parameter_is_an_error(parameters):
    with pytest.raises(ValueError, match=f"The '{next(iter(parameters))}' parameter"):
        DMarkerTransformer(**parameters).fit([make_clip()])


@pytest.mark.parametrize(
    "parameter", [{"pose": "eye"}, {"smoothing": "mean"}, {"bridge_blinks": 2}, {"max_gap": -1}]
)
def test_amplitude_signals_reject_invalid_parameters(parameter):
    (name,) = parameter
    with pytest.raises(ValueError, match=f"The '{name}' parameter of amplitude_signals"):
        amplitude_signals(np.zeros((9, 478, 3)), **parameter)
