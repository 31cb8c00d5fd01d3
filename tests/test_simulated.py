import warnings

import numpy as np
import pandas as pd
import pytest
from scipy.spatial import procrustes
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.metrics import accuracy_score, roc_auc_score
from sklearn.model_selection import GroupKFold, StratifiedGroupKFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from smilefusion import DMarkerTransformer
from smilefusion.clips import check_clips
from smilefusion.datasets import make_smiles, make_varied_smiles
from smilefusion.exceptions import SmileFusionWarning
from smilefusion.landmarks import IBUG_68, MEDIAPIPE_478, face_geometry

CLEAN = {"jitter": 0.0, "head_motion": 0.0, "missing_rate": 0.0}
LIMITS = ["onset_start", "apex_start", "offset_start", "offset_end"]


@pytest.fixture(scope="module")
def noisy():
    return make_smiles(30, n_subjects=10, fps=25, missing_rate=0.1, random_state=0)


@pytest.fixture(scope="module")
def clean():
    return make_smiles(20, n_subjects=7, random_state=1, **CLEAN)


@pytest.fixture(scope="module")
def by_effect():
    """Many clips at a low frame rate, by the size of the difference between the classes."""
    options = {"n_subjects": 200, "fps": 5, "random_state": 0, **CLEAN}
    return {effect: make_smiles(400, effect=effect, **options) for effect in (0, 1)}


def point(clip, name):
    return MEDIAPIPE_478.locate(clip, name)[..., :2].astype(float)


def lip_signal(clip):
    right, left = point(clip, "right_lip_corner"), point(clip, "left_lip_corner")
    middle, width = (right[0] + left[0]) / 2, np.linalg.norm(right[0] - left[0])
    reach = np.linalg.norm(right - middle, axis=1) + np.linalg.norm(left - middle, axis=1)
    return reach / (2 * width) - 0.5


def eye_opening(clip):
    outer, inner, upper = (point(clip, f"left_eye_{name}") for name in ("outer", "inner", "upper"))
    width = np.linalg.norm(outer - inner, axis=1)
    return ((outer + inner) / 2 - upper)[:, 1] / width


def eye_distance(clip):
    right, left = (
        (point(clip, f"{side}_eye_outer") + point(clip, f"{side}_eye_inner")) / 2
        for side in ("right", "left")
    )
    return np.linalg.norm(right - left, axis=-1)


def test_clips_have_documented_form(noisy):
    assert len(noisy.clips) == len(noisy.target) == len(noisy.groups) == len(noisy.truth) == 30
    assert {clip.dtype for clip in noisy.clips} == {np.dtype(np.float32)}
    assert {clip.shape[1:] for clip in noisy.clips} == {(478, 3)}
    assert [len(clip) for clip in noisy.clips] == noisy.truth["n_frames"].tolist()
    assert all(clip.flags.c_contiguous for clip in noisy.clips)
    np.testing.assert_array_equal(check_clips(noisy.clips).n_frames, noisy.truth["n_frames"])


@pytest.mark.parametrize(("n_clips", "n_subjects"), [(2, 1), (40, 13), (41, 20), (7, 7)])
def test_design_is_balanced(n_clips, n_subjects):
    data = make_smiles(n_clips, n_subjects=n_subjects, fps=5, random_state=0)
    counts = np.bincount(data.groups, minlength=n_subjects)
    assert abs(np.diff(np.bincount(data.target)))[0] <= 1
    assert counts.max() - counts.min() <= 1
    classes = pd.Series(data.target).groupby(data.groups).nunique()
    assert (classes[counts >= 2] == 2).all()


def test_same_seed_gives_same_bytes():
    options = {"n_clips": 4, "n_subjects": 2, "fps": 10}
    first, second, third = (
        make_smiles(**options, random_state=seed) for seed in (5, np.random.RandomState(5), 6)
    )
    for one, other in zip(first.clips, second.clips, strict=True):
        assert one.tobytes() == other.tobytes()
    pd.testing.assert_frame_equal(first.truth, second.truth)
    assert not np.isclose(first.truth["amplitude"], third.truth["amplitude"]).any()


def test_frame_rate_only_samples_the_same_smile():
    fast, slow = (
        make_smiles(4, n_subjects=2, fps=fps, random_state=0, **CLEAN) for fps in (50, 25)
    )
    for one, other in zip(fast.clips, slow.clips, strict=True):
        n_common = min(len(one[::2]), len(other))
        assert n_common >= len(other) - 1
        np.testing.assert_allclose(one[::2][:n_common], other[:n_common], atol=1e-6)


def test_lip_signal_of_clean_clip_gains_true_amplitude(clean):
    for clip, truth in zip(clean.clips, clean.truth.itertuples(), strict=True):
        signal = lip_signal(clip)
        gain = signal[truth.apex_start] - signal[truth.onset_start]
        assert gain == pytest.approx(truth.amplitude, abs=0.002)


def test_lips_of_clean_clip_rest_then_rise_in_onset_and_fall_in_offset(clean):
    for clip, truth in zip(clean.clips, clean.truth.itertuples(), strict=True):
        signal = lip_signal(clip)
        assert np.abs(signal[: truth.onset_start]).max() < 1e-4
        steps = np.diff(signal)
        # A limit lies within half a frame of its frame, so the steps next to the apex may differ.
        assert (steps[truth.onset_start : truth.apex_start - 1] > -1e-5).all()
        assert (steps[truth.offset_start + 1 : truth.offset_end] < 1e-5).all()


def test_truth_limits_are_sorted_rounded_seconds_inside_the_clip(noisy):
    limits = noisy.truth[LIMITS].to_numpy()
    assert (np.diff(limits, axis=1) >= 0).all()
    assert (limits[:, 0] > 0).all()
    assert (limits[:, 3] < noisy.truth["n_frames"]).all()
    seconds = noisy.truth[[f"{name}_s" for name in LIMITS]].to_numpy()
    np.testing.assert_allclose(limits / noisy.fps, seconds, atol=0.5 / noisy.fps)


def test_faces_have_equal_units_along_both_axes(clean):
    neutral = face_geometry()["neutral"][:, :2]
    for clip in clean.clips:
        face = clip[0, :, :2] / eye_distance(clip[0])
        extent = np.ptp(face, axis=0) / np.ptp(neutral, axis=0)
        np.testing.assert_allclose(extent, 1.0, atol=0.25)


def test_subjects_differ_in_shape_and_keep_it(clean):
    faces = [clip[0] for clip in clean.clips]
    same, other = clean.groups[0] == clean.groups, clean.groups[0] != clean.groups
    distances = np.array([procrustes(faces[0], face)[2] for face in faces])
    assert distances[same].max() < 1e-6
    assert distances[other].min() > 1e-4


def test_blinks_shut_the_eyes(clean):
    for clip, n_blinks in zip(clean.clips, clean.truth["n_blinks"], strict=True):
        opening = eye_opening(clip)
        shut = opening < 0.25 * opening[0]
        assert np.count_nonzero(np.diff(shut.astype(int)) == 1) == n_blinks


def test_missing_frames_are_whole_short_and_inside(noisy):
    for clip, n_missing in zip(noisy.clips, noisy.truth["n_missing"], strict=True):
        missing = np.isnan(clip)
        assert (missing.all(axis=(1, 2)) == missing.any(axis=(1, 2))).all()
        missing = missing[:, 0, 0]
        assert missing.sum() == n_missing
        assert not missing[[0, -1]].any()
        gaps = np.diff(np.flatnonzero(~missing)) - 1
        assert gaps.max() <= 8
    rate = noisy.truth["n_missing"].sum() / noisy.truth["n_frames"].sum()
    assert rate == pytest.approx(0.1, abs=0.03)


def test_head_motion_keeps_the_shape():
    data = make_smiles(2, n_subjects=1, random_state=0, **{**CLEAN, "head_motion": 10.0})
    still = make_smiles(2, n_subjects=1, random_state=0, **CLEAN)
    for moved, clip in zip(data.clips, still.clips, strict=True):
        assert eye_distance(moved).std() > 10 * eye_distance(clip).std()
        frame = len(clip) // 2
        assert procrustes(moved[frame], clip[frame])[2] < 1e-8


def test_jitter_has_documented_size_and_is_mostly_slow():
    data = make_smiles(80, n_subjects=10, fps=25, random_state=0, **{**CLEAN, "jitter": 0.01})
    still = make_smiles(80, n_subjects=10, fps=25, random_state=0, **CLEAN)
    sizes, steps = [], []
    for clip, truth in zip(data.clips, still.clips, strict=True):
        noise = (clip - truth)[:, ::7] / eye_distance(truth[0])
        sizes.append(np.sqrt(np.mean(noise**2)))
        steps.append(np.sqrt(np.mean(np.diff(noise, axis=0) ** 2)))
    assert np.median(sizes) == pytest.approx(0.01 * 0.20, rel=0.2)
    assert np.median(np.divide(steps, sizes)) < 0.6  # white noise: 1.41


def test_effect_scales_the_difference_between_the_classes(by_effect):
    data = by_effect[0]
    for name in ("duration", "amplitude", "n_rises", "n_blinks", "narrowing", "coordination"):
        assert roc_auc_score(data.target, data.truth[name]) == pytest.approx(0.5, abs=0.08)
    double = make_smiles(200, n_subjects=100, fps=5, effect=2, random_state=0, **CLEAN)
    areas = [
        roc_auc_score(each.target, each.truth["duration"]) for each in (data, by_effect[1], double)
    ]
    assert np.all(np.diff(areas) > 0.05)


def test_clip_length_follows_the_measurements(by_effect):
    data = by_effect[1]
    logs = np.log(data.truth["duration"])
    for label, mean, spread in ((0, 1.090, 0.262), (1, 1.507, 0.423)):
        assert logs[data.target == label].mean() == pytest.approx(mean, abs=0.08)
        assert logs[data.target == label].std() == pytest.approx(spread, abs=0.06)
    assert roc_auc_score(data.target, logs) == pytest.approx(0.80, abs=0.05)


def test_amplitude_follows_the_measurements(by_effect):
    data = by_effect[1]
    truth = data.truth.assign(onset=np.log(data.truth.eval("apex_start_s - onset_start_s")))
    for label, mean, correlation in ((0, 0.169, 0.40), (1, 0.144, 0.55)):
        chosen = truth[data.target == label]
        assert chosen["amplitude"].mean() == pytest.approx(mean, abs=0.02)
        measured = np.corrcoef(np.log(chosen["amplitude"]), chosen["onset"])[0, 1]
        assert measured == pytest.approx(correlation, abs=0.2)


def test_coordination_shows_in_brows_and_chin(by_effect):
    data = by_effect[1]
    brows, chin = [70, 105, 107, 336, 334, 300], [152, 148, 377]
    measured = []
    for clip, truth in zip(data.clips, data.truth.itertuples(), strict=True):
        height = np.linalg.norm(clip[:, chin].mean(axis=1) - clip[:, brows].mean(axis=1), axis=1)
        height /= eye_distance(clip)
        apex = np.nanmean(height[truth.apex_start : truth.offset_start + 1])
        measured.append(apex - height[0])
    assert 0.70 < roc_auc_score(data.target, measured) < 0.84


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"n_clips": 1}, "'n_clips'"),
        ({"n_clips": 10.0}, "'n_clips'"),
        ({"n_subjects": 0}, "'n_subjects'"),
        ({"n_clips": 10, "n_subjects": 11}, r"n_subjects must be at most n_clips \(10\), got 11"),
        ({"fps": 0}, "'fps'"),
        ({"fps": float("nan")}, "'fps'"),
        ({"effect": -0.1}, "'effect'"),
        ({"jitter": -1}, "'jitter'"),
        ({"missing_rate": 0.9}, "'missing_rate'"),
        ({"head_motion": "much"}, "'head_motion'"),
        ({"random_state": "seed"}, "'random_state'"),
    ],
)
def test_bad_parameter_is_refused(parameters, message):
    with pytest.raises(ValueError, match=message):
        make_smiles(**parameters)


@pytest.fixture(scope="module")
def features():
    data = make_smiles(300, n_subjects=100, fps=25, jitter=0.0075, random_state=0)
    transformer = DMarkerTransformer(fps=data.fps).set_output(transform="pandas")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SmileFusionWarning)  # faint smiles have no phases
        return data, transformer.fit_transform(data.clips)


def accuracy(data, columns):
    model = make_pipeline(StandardScaler(), LogisticRegression(C=0.01))
    folds = StratifiedGroupKFold(10, shuffle=True, random_state=0)
    predicted = cross_val_predict(model, columns, data.target, groups=data.groups, cv=folds)
    return accuracy_score(data.target, predicted)


@pytest.mark.slow
@pytest.mark.parametrize(("signal", "real"), [("lip", 0.79), ("eyelid", 0.76)])
def test_dmarkers_are_about_as_accurate_as_on_real_clips(features, signal, real):
    data, table = features
    assert accuracy(data, table.filter(regex=f"^{signal}__")) == pytest.approx(real, abs=0.08)


@pytest.mark.slow
def test_dmarkers_do_not_contain_the_coordination(features):
    data, table = features
    table = table.assign(target=data.target)
    coordination = data.truth["coordination"]
    wanted = coordination - coordination.groupby(data.target).transform("mean")
    model = make_pipeline(StandardScaler(), Ridge(1000.0))
    predicted = cross_val_predict(model, table, wanted, groups=data.groups, cv=GroupKFold(10))
    assert abs(np.corrcoef(predicted, wanted)[0, 1]) < 0.15


@pytest.mark.slow
def test_onset_found_by_dmarkers_agrees_with_truth(features):
    data, table = features
    onset = data.truth.eval("apex_start_s - onset_start_s")
    found = table["lip__onset__duration"].to_numpy()
    assert np.corrcoef(np.log(onset[found > 0]), np.log(found[found > 0]))[0, 1] > 0.85


# What can be switched off and drawn from ranges.


def test_cues_switched_off_are_equal_in_both_classes():
    options = {"n_subjects": 200, "fps": 5, "random_state": 0, **CLEAN}
    columns = {"duration": "duration", "amplitude": "amplitude", "coordination": "coordination"}
    alone = {cue: make_smiles(400, cues=[cue], **options) for cue in columns}
    for cue, data in alone.items():
        for name, column in columns.items():
            score = roc_auc_score(data.target, data.truth[column])
            assert (abs(score - 0.5) > 0.08) == (name == cue), (cue, name)


def test_no_cue_and_no_effect_give_the_same_clips():
    options = {"n_clips": 4, "n_subjects": 2, "fps": 10, "random_state": 0}
    nothing, none = make_smiles(effect=0, **options), make_smiles(cues=(), **options)
    for one, other in zip(nothing.clips, none.clips, strict=True):
        np.testing.assert_array_equal(one, other)


def test_lead_in_and_tail_cut_the_smile(clean):
    data = make_smiles(20, n_subjects=7, lead_in=-0.1, tail=(0.1, 0.5), random_state=1, **CLEAN)
    assert data.truth["cut_at_start"].all()
    assert not data.truth["cut_at_end"].any()
    assert (data.truth["onset_start"] == 0).all()
    assert not clean.truth["cut_at_start"].any()
    assert 0.2 < clean.truth["cut_at_end"].mean() < 0.8


def test_both_landmark_schemes_show_the_same_smiles():
    mesh, points = (
        make_smiles(4, n_subjects=2, fps=10, n_landmarks=n, random_state=0) for n in (478, 68)
    )
    for one, other in zip(mesh.clips, points.clips, strict=True):
        np.testing.assert_array_equal(one[:, list(IBUG_68.in_mesh), :2], other)
    pd.testing.assert_frame_equal(mesh.truth, points.truth)


def test_varied_smiles_differ_in_their_recordings_but_not_by_class():
    data = make_varied_smiles(120, n_subjects=60, random_state=0)
    sizes = np.array([np.nanmedian(eye_distance(clip)) for clip in data.clips])
    assert (data.fps.min(), data.fps.max()) == (pytest.approx(25, abs=2), pytest.approx(60, abs=2))
    np.testing.assert_array_equal(data.clips.fps, data.fps)
    assert sizes.max() / sizes.min() > 4
    truth = data.truth
    for values in (data.fps, sizes, truth["cut_at_start"], truth["cut_at_end"]):
        assert 0.35 < roc_auc_score(data.target, values) < 0.65
    assert 0.05 < truth["cut_at_start"].mean() < 0.3
    assert 0.15 < truth["cut_at_end"].mean() < 0.5


@pytest.mark.parametrize(
    ("settings", "match"),
    [
        ({"jitter": (0.2, 0.1)}, "jitter must be a number or an increasing pair"),
        ({"fps": (1.0, 50.0)}, "fps must be a number or an increasing pair"),
        ({"cues": ["sped"]}, "speed"),
    ],
)
def test_wrong_ranges_and_cues_are_named(settings, match):
    with pytest.raises(ValueError, match=match):
        make_smiles(4, n_subjects=2, **settings)
