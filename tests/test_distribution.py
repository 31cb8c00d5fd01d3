"""DistributionChecker: clips that it flags, and reasons."""

import numpy as np
import pytest

from smilefusion import DistributionChecker
from smilefusion.datasets import make_smiles
from smilefusion.exceptions import InvalidClipError
from smilefusion.landmarks import face_geometry

FPS = 25
NAMES = [
    "frame_rate",
    "too_short",
    "too_long",
    "jitter",
    "no_smile",
    "starts_late",
    "ends_early",
    "face_size",
    "head_pose",
    "missing_frames",
]


@pytest.fixture(scope="module")
def train():
    return make_smiles(60, n_subjects=30, fps=FPS, jitter=0.0075, random_state=0)


@pytest.fixture(scope="module")
def checker(train):
    return DistributionChecker(fps=FPS).fit(train.clips)


@pytest.fixture(scope="module")
def new():
    return make_smiles(24, n_subjects=12, fps=FPS, jitter=0.0075, random_state=1)


def still_face(n_frames=100):
    """Return a face without movement or noise."""
    return np.repeat(face_geometry()["neutral"][None], n_frames, axis=0)


def smiling_face(n_frames=100, height=0.3):
    """Return a face that smiles for the middle half, without noise."""
    shape = np.sin(np.pi * np.clip(np.linspace(-0.5, 1.5, n_frames), 0, 1)) ** 2
    return still_face(n_frames) + height * shape[:, None, None] * face_geometry()["smile"]


def measure(clip, fps=None):
    return DistributionChecker(fps=fps).fit([clip]).measure([clip]).iloc[0]


def turned(clip, degrees, axis):
    """Return a clip rotated about an axis: 0 pitch, 1 yaw, 2 roll."""
    angle = np.deg2rad(degrees)
    first, second = (k for k in range(3) if k != axis)
    matrix = np.eye(3)
    matrix[first, first] = matrix[second, second] = np.cos(angle)
    matrix[first, second], matrix[second, first] = -np.sin(angle), np.sin(angle)
    return clip @ matrix.T


def middles(truth):
    return ((truth["apex_start"] + truth["offset_start"]) / 2).astype(int)


@pytest.fixture(scope="module")
def rate_checker(train):
    """A checker that takes the rates that clips state."""
    return DistributionChecker().fit(train.clips)


def raised(checker, clips):
    """Return the share of clips that each flag is raised for."""
    return checker.flags(clips).mean()


def test_clips_like_the_training_clips_are_not_flagged(checker, new):
    assert (checker.predict(new.clips) == -1).mean() < 0.2


def test_training_clips_are_not_flagged(checker, train):
    assert not checker.flags(train.clips).to_numpy().any()
    assert (checker.fit_predict(train.clips) == 1).all()


def test_flags_are_a_table_of_reasons(checker, new):
    flags = checker.flags(new.clips)
    assert list(flags.columns) == NAMES
    assert len(flags) == len(new.clips)
    assert set(flags.dtypes) == {np.dtype(bool)}


@pytest.mark.parametrize("rate", [15, 50, [15, 50] * 12])
def test_other_frame_rate_is_flagged(rate_checker, new, rate):
    assert rate_checker.flags(new.clips.replace(fps=rate))["frame_rate"].all()


@pytest.mark.parametrize("rate", [25.0, 25.5])
def test_rate_of_the_training_is_not_flagged(rate_checker, new, rate):
    assert not rate_checker.flags(new.clips.replace(fps=rate))["frame_rate"].any()


def test_jitter_is_flagged(checker):
    rough = make_smiles(16, n_subjects=8, fps=FPS, jitter=0.12, random_state=2)
    flags = raised(checker, rough.clips)
    assert flags["jitter"] > 0.6
    assert flags.drop("jitter").max() < 0.3


def test_clips_without_a_smile_are_flagged(checker, new):
    still = []
    for clip, onset in zip(new.clips, new.truth["onset_start"], strict=True):
        rest = clip[: max(int(onset), 5)]
        still.append(np.resize(np.concatenate([rest, rest[::-1]]), clip.shape))
    assert raised(checker, still)["no_smile"] > 0.95


def test_cut_clips_are_flagged(checker, new):
    middle = middles(new.truth)
    ends = [clip[:stop] for clip, stop in zip(new.clips, middle, strict=True)]
    starts = [clip[start:] for clip, start in zip(new.clips, middle, strict=True)]
    assert raised(checker, ends)["ends_early"] > 0.9
    assert raised(checker, starts)["starts_late"] > 0.9


def test_length_is_flagged_on_its_own_side(checker, new):
    long = [np.concatenate([clip, np.repeat(clip[-1:], 1000, axis=0)]) for clip in new.clips[:5]]
    short = [smiling_face(12) for _ in range(2)]
    assert raised(checker, long)[["too_long", "too_short"]].tolist() == [1, 0]
    assert raised(checker, short)[["too_long", "too_short"]].tolist() == [0, 1]


def test_unit_of_coordinates_is_flagged(checker, new):
    for factor in (720, 0.1):
        flags = raised(checker, [factor * clip for clip in new.clips[:10]])
        assert flags["face_size"] == 1
        assert flags.drop("face_size").equals(raised(checker, new.clips[:10]).drop("face_size"))


def test_turned_heads_are_flagged(checker, new):
    for axis in range(3):
        flags = raised(checker, [turned(clip, 35, axis) for clip in new.clips[:10]])
        assert flags["head_pose"] == 1


def test_missing_frames_are_flagged(checker, new):
    clips = [clip.copy() for clip in new.clips[:10]]
    for clip in clips:
        clip[2:-2:2] = np.nan
    assert raised(checker, clips)["missing_frames"] == 1


def test_prediction_follows_flags_and_decision(checker, new):
    clips = [*new.clips[:5], 720 * new.clips[0]]
    decision, flags = checker.decision_function(clips), checker.flags(clips).any(axis=1)
    np.testing.assert_array_equal(decision < 0, flags)
    np.testing.assert_array_equal(checker.predict(clips), np.where(flags, -1, 1))
    assert checker.predict(clips)[-1] == -1


def test_decision_falls_with_the_distance(checker, new):
    found = [checker.decision_function([factor * new.clips[0]])[0] for factor in (3, 30, 300)]
    assert 0 > found[0] > found[1] > found[2]


def test_wider_margin_flags_less(train, new):
    counts = [
        (DistributionChecker(fps=FPS, margin=margin).fit(train.clips[:30]).predict(new.clips) < 0)
        for margin in (0.0, 0.2, 2.0)
    ]
    assert counts[0].sum() > counts[1].sum() >= counts[2].sum() == 0


def test_contamination_excludes_outliers_from_the_ranges(train):
    clips = [*train.clips, 720 * train.clips[0]]
    odd = [720 * train.clips[1]]
    assert not DistributionChecker(fps=FPS).fit(clips).flags(odd)["face_size"].any()
    careful = DistributionChecker(fps=FPS, contamination=0.04).fit(clips)
    assert careful.flags(odd)["face_size"].all()


def test_without_frame_rate_frames_are_counted(train, new):
    checker, clips = DistributionChecker().fit(list(train.clips)), list(new.clips)
    assert not checker.flags(clips)["frame_rate"].any()
    assert checker.measure(clips)["fps"].isna().all()
    assert checker.measure(clips)["duration"].tolist() == [len(clip) for clip in clips]
    assert np.isfinite(checker.decision_function(clips)).all()


def test_rates_of_each_training_clip_make_a_range(train, new):
    rates = np.where(np.arange(60) % 2, 25.0, 50.0)
    checker = DistributionChecker().fit(train.clips.replace(fps=rates))
    for fps, expected in ((25, False), (40, False), (50, False), (10, True), (120, True)):
        flags = checker.flags(new.clips[:3].replace(fps=fps))
        assert flags["frame_rate"].tolist() == [expected] * 3


def test_measures_of_a_face_without_noise():
    found = measure(smiling_face(), fps=50)
    assert found["fps"] == 50
    assert found["duration"] == 2
    assert found["jitter"] < 1e-3
    assert found["missing"] == 0
    assert found["head_angle"] < 1
    assert found["smile"] > 0.1
    assert abs(found["start_level"]) < 0.01
    assert abs(found["end_level"]) < 0.01


def test_measure_of_the_smile_is_proportional_to_it():
    single, double = (measure(smiling_face(height=height))["smile"] for height in (0.15, 0.3))
    assert double == pytest.approx(2 * single, rel=0.1)
    assert measure(still_face())["smile"] == pytest.approx(0, abs=1e-9)


def test_measure_of_jitter_is_the_standard_deviation():
    rng = np.random.default_rng(0)
    face = still_face(400)
    eyes = measure(face)["eye_distance"]
    noisy = face + rng.normal(0, 0.01 * eyes, face.shape)
    assert measure(noisy)["jitter"] == pytest.approx(0.01, rel=0.15)


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_measure_of_the_pose_is_the_angle(axis):
    assert measure(turned(smiling_face(), 20, axis))["head_angle"] == pytest.approx(20, abs=1)


def test_measures_of_flat_clips_contain_only_tilt():
    tilted = turned(smiling_face(), 20, 2)[..., :2]
    assert measure(tilted)["head_angle"] == pytest.approx(20, abs=1)


def test_measure_of_size_has_the_unit_of_the_coordinates():
    clip = smiling_face()
    assert measure(3 * clip)["eye_distance"] == pytest.approx(3 * measure(clip)["eye_distance"])


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"margin": -0.1}, "'margin' parameter"),
        ({"contamination": 0.5}, "'contamination' parameter"),
        ({"fps": 0}, "'fps' parameter"),
        ({"fps": [25.0, 50.0]}, "'fps' parameter"),
    ],
)
def test_parameters_are_checked_in_fit(train, params, message):
    with pytest.raises(ValueError, match=message):
        DistributionChecker(**params).fit(train.clips)


def test_rate_without_a_rate_of_the_training_is_refused(train):
    checker = DistributionChecker().fit(list(train.clips[:10]))
    with pytest.raises(ValueError, match="state a frame rate, but those of fit did not"):
        checker.predict(train.clips[:2])


def test_other_landmarks_are_refused(checker, new):
    for clip in (new.clips[0][:, :68], new.clips[0][..., :2]):
        with pytest.raises(ValueError, match="fitted to clips of 478 landmarks with 3 coord"):
            checker.predict([clip])


def test_clip_without_enough_frames_is_refused(checker):
    with pytest.raises(InvalidClipError, match="Clip 0 has only 4 consecutive frames"):
        checker.predict([smiling_face(4)])
