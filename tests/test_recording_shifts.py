"""Recording shifts: what each changes and keeps, and scores under all of them."""

import numpy as np
import pytest
from sklearn.dummy import DummyClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss, roc_auc_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from smilefusion import DMarkerTransformer
from smilefusion.benchmark import evaluate_shifts, format_table, recording_shifts
from smilefusion.clips import check_clips
from smilefusion.datasets import make_smiles
from smilefusion.exceptions import InvalidClipError
from smilefusion.landmarks import IBUG_68, face_geometry, landmark_scheme

SMILES = make_smiles(60, n_subjects=30, fps=25, missing_rate=0.03, jitter=0.0075, random_state=0)
FEW = SMILES.clips[:3]
IN_MESH = list(IBUG_68.in_mesh)
NAMES = [name for name in recording_shifts(FEW) if name != "as recorded"]


def as_68_points(clips):
    """The same clips with 68 points in two dimensions and double precision."""
    points = [clip[:, IN_MESH, :2].astype(np.float64) for clip in clips]
    return check_clips(points, fps=clips.fps, subjects=clips.subjects)


LAYOUTS = [FEW, as_68_points(FEW)]
IDS = ["478x3", "68x2"]


def change(clips, name, random_state=0):
    return recording_shifts(clips, random_state=random_state)[name]


def still_face(seconds, fps=25.0, n_dims=3):
    """A clip of the neutral face."""
    neutral = face_geometry()["neutral"][:, :n_dims]
    return check_clips([np.tile(neutral, (int(seconds * fps), 1, 1))], fps=fps)


@pytest.mark.parametrize("clips", LAYOUTS, ids=IDS)
@pytest.mark.parametrize("name", NAMES)
def test_shift_keeps_facts_and_inputs_and_repeats_exactly(clips, name):
    before = [clip.copy() for clip in clips]
    changed, again = change(clips, name), change(clips, name)
    assert changed.names == clips.names
    assert changed.subjects.tolist() == clips.subjects.tolist()
    for i, clip in enumerate(clips):
        assert np.array_equal(clip, before[i], equal_nan=True)
        assert changed[i].shape == (changed.n_frames[i], *clip.shape[1:])
        assert changed[i].dtype == clip.dtype
        assert np.array_equal(changed[i], again[i], equal_nan=True)
        assert not np.array_equal(changed[i], clip, equal_nan=True)


@pytest.mark.parametrize("clips", LAYOUTS, ids=IDS)
@pytest.mark.parametrize("name", [name for name in NAMES if "missing" not in name])
def test_missing_frames_stay_missing(clips, name):
    parts = {"still before": np.s_[35:], "still after": np.s_[:-35], "cut": np.s_[:]}
    part = next((each for words, each in parts.items() if name.endswith(words)), np.s_[:])
    kept = {"first 0.4 s cut": np.s_[10:], "last 0.4 s cut": np.s_[:-10]}
    kept["half the frame rate"] = np.s_[::2]
    changed = change(clips, name)
    for i, clip in enumerate(clips):
        missing = np.isnan(changed[i][part]).all(axis=(1, 2))
        assert np.array_equal(missing, np.isnan(clip[kept.get(name, np.s_[:])]).all(axis=(1, 2)))


def test_still_frames_repeat_the_nearest_face():
    clip = FEW[0].copy()
    clip[:2] = clip[-3:] = np.nan
    first, *_, last = np.flatnonzero(~np.isnan(clip[:, 0, 0]))
    shifted = recording_shifts([clip], fps=25)
    before, after = shifted["1.4 s still before"][0], shifted["1.4 s still after"][0]
    assert np.array_equal(before[35:], clip, equal_nan=True)
    assert np.array_equal(after[:-35], clip, equal_nan=True)
    assert (before[:35] == clip[first]).all()
    assert (after[-35:] == clip[last]).all()


def test_cuts_and_half_rate_select_frames():
    shifted, clip = recording_shifts(FEW), FEW[1]
    assert np.array_equal(shifted["first 0.4 s cut"][1], clip[10:], equal_nan=True)
    assert np.array_equal(shifted["last 0.4 s cut"][1], clip[:-10], equal_nan=True)
    halved = shifted["half the frame rate"]
    assert np.array_equal(halved[1], clip[::2], equal_nan=True)
    assert halved.fps.tolist() == [12.5] * 3


@pytest.mark.parametrize("clips", LAYOUTS, ids=IDS)
def test_mirrored_swaps_the_sides_and_twice_is_the_identity(clips):
    mirrored = change(clips, "mirrored")
    np.testing.assert_allclose(change(mirrored, "mirrored")[0], clips[0], atol=2e-6)
    right, left = (
        landmark_scheme(clips.n_landmarks).locate(clips[0], f"{side}_lip_corner")
        for side in ("right", "left")
    )
    swapped = landmark_scheme(clips.n_landmarks).locate(mirrored[0], "right_lip_corner")
    np.testing.assert_allclose(swapped[:, 1], left[:, 1])
    assert (swapped - right)[~np.isnan(right)].any()


def eye_axis(clip):
    """From the right to the left eye in the image plane, (n_frames, 2)."""
    scheme = landmark_scheme(clip.shape[1])
    return (scheme.locate(clip, "left_eye_outer") - scheme.locate(clip, "right_eye_outer"))[:, :2]


@pytest.mark.parametrize("clips", LAYOUTS, ids=IDS)
def test_scaling_and_roll_change_size_and_angle_only(clips):
    shifted = recording_shifts(clips)
    plain, scaled, rolled = (
        eye_axis(shifted[name][0])
        for name in ("as recorded", "scaled by 1.5 and moved", "rolled by 20 degrees")
    )
    np.testing.assert_allclose(scaled, 1.5 * plain, atol=1e-5)
    angle = np.radians(20)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    np.testing.assert_allclose(rolled, plain @ turn.T, atol=1e-5)


@pytest.mark.parametrize(("name", "share"), [("noise of 5 %", 0.05), ("face of 72", 0.09)])
@pytest.mark.parametrize("n_dims", [2, 3])
def test_noise_has_the_stated_spread(name, share, n_dims):
    clips = still_face(120, n_dims=n_dims)
    (shift,) = (each for each in NAMES if each.startswith(name))
    noise = change(clips, shift)[0] - clips[0]
    assert noise.std() == pytest.approx(share * 0.20, rel=0.05)
    assert np.corrcoef(noise[:, 61, 0], noise[:, 146, 0])[0, 1] > 0.8  # neighbours
    assert abs(np.corrcoef(noise[:, 61, 0], noise[:, 263, 0])[0, 1]) < 0.4


def test_two_dimensional_head_motion_stays_in_the_image_plane():
    clips = still_face(10, n_dims=2)
    moved = change(clips, "6 degrees of head motion")[0]
    width, height = (
        np.linalg.norm(moved[:, a] - moved[:, b], axis=1) for a, b in [(33, 263), (10, 152)]
    )
    np.testing.assert_allclose(height / width, np.full(250, height[0] / width[0]), rtol=1e-5)
    angle = np.degrees(np.arctan2(*eye_axis(moved).T[::-1]))
    assert 2 < angle.std() < 12


def test_head_motion_turns_three_dimensional_faces():
    clips = still_face(10)
    moved = change(clips, "6 degrees of head motion")[0]
    distances = np.linalg.norm(moved[:, [61]] - moved, axis=2)
    shape = np.linalg.norm(clips[0][:, [61]] - clips[0], axis=2)
    ratio = distances[:, 1:60] / shape[:, 1:60]
    np.testing.assert_allclose(ratio, np.tile(ratio[:, :1], 59), rtol=1e-5)
    assert eye_axis(moved)[:, 0].std() > 0.005  # yaw


def test_missing_frames_come_in_short_gaps_within_the_clip():
    missing = np.isnan(change(still_face(400), "10 % of frames missing")[0][:, 0, 0])
    assert missing.mean() == pytest.approx(0.1, abs=0.02)
    assert not missing[[0, -1]].any()


@pytest.mark.parametrize("n_landmarks", [478, 68])
def test_blinks_shut_the_eyes_once_in_two_seconds_and_move_nothing_else(n_landmarks):
    clips = still_face(20, fps=100)
    if n_landmarks == 68:
        clips = as_68_points(clips.replace(subjects=[0]))
    scheme, changed = landmark_scheme(n_landmarks), change(clips, "a blink every 2 s")[0]
    outer, inner, lid = (
        scheme.locate(changed, f"left_eye_{point}")[:, :2] for point in ("outer", "inner", "upper")
    )
    normal = (inner - outer)[:, ::-1] * (1, -1)
    opening = np.abs(((lid - outer) * normal).sum(axis=1)) / (normal**2).sum(axis=1)
    closed = opening.reshape(10, 200).min(axis=1)
    assert (closed < 0.1 * opening.max()).all()
    assert (opening == opening.max()).mean() == pytest.approx(1 - 0.3 / 2, abs=0.01)
    lips = scheme.locate(changed, "left_lip_corner")
    assert (lips == lips[0]).all()


def test_seed_changes_the_noise():
    one, other = (change(FEW, "noise of 5 % of a smile", seed)[0] for seed in (0, 1))
    assert not np.array_equal(one, other, equal_nan=True)


def test_clip_that_is_too_short_to_cut_is_named():
    clips = check_clips([FEW[0], FEW[1][:10]], fps=25)
    with pytest.raises(InvalidClipError, match="Clip 1 has 10 frames, .*cut 0.4 s"):
        recording_shifts(clips)


def test_unknown_frame_rate_is_refused():
    with pytest.raises(InvalidClipError, match="Clip 0.*no frame rate is stated.*fps="):
        recording_shifts(list(FEW))


def log_seconds(clips):
    return np.log(clips.n_frames / clips.fps)[:, None]


def fit(features, penalty=0.1):
    model = make_pipeline(features, StandardScaler(), LogisticRegression(C=penalty))
    return model.fit(SMILES.clips[:40], SMILES.target[:40])


@pytest.fixture(scope="module")
def of_durations():
    return fit(FunctionTransformer(log_seconds), penalty=10)


def test_still_frames_change_a_model_of_durations_but_not_of_dmarkers(of_durations):
    clips, y = SMILES.clips[40:], SMILES.target[40:]
    name = "1.4 s still before"
    shifts = {name: recording_shifts(clips)[name]}
    scores = evaluate_shifts(of_durations, clips, y, shifts=shifts)
    assert scores.index.tolist() == ["as recorded", name]
    assert scores.loc[name, "log_loss_change"] > 0.05
    scores = evaluate_shifts(fit(DMarkerTransformer()), clips, y, shifts=shifts)
    assert abs(scores.loc[name, "log_loss_change"]) < 0.05


def test_scores_under_shifts_become_a_table(of_durations):
    shifts = {"other subjects": FEW.replace(subjects=["a", "b", "c"])}
    scores = evaluate_shifts(of_durations, FEW, [0, 1, 0], shifts=shifts)
    head, _, *rows = format_table(scores).strip().splitlines()
    assert head.split(" |")[1].strip() == "log loss (change)"
    assert f"{scores['log_loss'].iloc[0]:.3f} (+0.000)" in rows[0]
    assert rows[1].startswith("| other subjects")


def test_scores_agree_with_scikit_learn(of_durations):
    clips, y = SMILES.clips[40:], SMILES.target[40:]
    scores = evaluate_shifts(of_durations, clips, y)
    assert scores.index.tolist() == ["as recorded", *NAMES]
    probability = of_durations.predict_proba(change(clips, "1.4 s still after"))
    row = scores.loc["1.4 s still after"]
    assert row["log_loss"] == pytest.approx(log_loss(y, probability))
    assert row["roc_auc"] == pytest.approx(roc_auc_score(y, probability[:, 1]))
    plain = log_loss(y, of_durations.predict_proba(clips))
    assert row["log_loss_change"] == pytest.approx(row["log_loss"] - plain)


def test_own_shifts_and_more_than_two_classes():
    y = np.array(["a", "b", "c"])
    model = DummyClassifier(strategy="prior").fit(np.zeros((3, 1)), y)
    scores = evaluate_shifts(model, FEW, y, shifts={"backwards": lambda clips: clips[:]})
    assert scores["log_loss"].tolist() == pytest.approx([np.log(3)] * 2)
    assert scores["roc_auc"].tolist() == [0.5, 0.5]
    one_class = evaluate_shifts(model, FEW, ["a"] * 3, shifts={})
    assert np.isnan(one_class["roc_auc"].iloc[0])


def test_errors_name_clip_and_shift(of_durations):
    def shorten(clips):
        return check_clips([clip[:3] for clip in clips], fps=clips.fps)

    with pytest.raises(InvalidClipError, match="With the shift 'three frames': Clip 0"):
        evaluate_shifts(
            fit(DMarkerTransformer()), FEW, [0, 1, 0], shifts={"three frames": shorten}
        )
    with pytest.raises(ValueError, match="'one less' gives 2 clips for 3 clips"):
        evaluate_shifts(of_durations, FEW, [0, 1, 0], shifts={"one less": lambda clips: clips[1:]})


def test_wrong_labels_are_refused(of_durations):
    with pytest.raises(ValueError, match="y has the class 2, .*knows only"):
        evaluate_shifts(of_durations, FEW, [0, 1, 2])
    with pytest.raises(ValueError, match="one class per clip"):
        evaluate_shifts(of_durations, FEW, [0, 1])
    with pytest.raises(ValueError, match="no predict_proba"):
        evaluate_shifts(DMarkerTransformer(), FEW, [0, 1, 0])


def test_fixed_frame_rate_of_an_estimator_is_refused():
    model = fit(DMarkerTransformer(fps=25))
    with pytest.raises(ValueError, match="'half the frame rate'.*dmarkertransformer__fps=25"):
        evaluate_shifts(model, FEW, [0, 1, 0])
