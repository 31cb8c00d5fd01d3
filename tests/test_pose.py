import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from smilefusion.exceptions import InvalidClipError
from smilefusion.landmarks import IBUG_68, MEDIAPIPE_478, face_geometry
from smilefusion.pose import align_eyes, align_rigid, fill_missing, longest_part


def face(seed=0):
    neutral = face_geometry()["neutral"].astype(np.float64)
    return neutral + np.random.default_rng(seed).normal(0, 0.03, neutral.shape)


def move(face_or_clip, n_frames=30, *, angle=15, in_plane=False, seed=1):
    rng = np.random.default_rng(seed)
    angles = rng.normal(0, angle, (n_frames, 3)) * ([0, 0, 1] if in_plane else 1)
    rotations = Rotation.from_euler("xyz", angles, degrees=True).as_matrix()
    scale = rng.uniform(0.5, 2, (n_frames, 1, 1))
    return scale * (face_or_clip @ rotations) + rng.normal(size=(n_frames, 1, 3))


def test_align_rigid_removes_rigid_motion():
    aligned = align_rigid(move(face()), MEDIAPIPE_478)
    np.testing.assert_allclose(aligned, np.broadcast_to(aligned[0], aligned.shape), atol=1e-12)


def test_align_rigid_restores_the_frontal_face():
    neutral = face_geometry()["neutral"].astype(np.float64)
    aligned = align_rigid(move(neutral), MEDIAPIPE_478)
    eyes = [aligned[0, list(corners)].mean(axis=0) for corners in ((33, 133), (263, 362))]
    assert np.linalg.norm(eyes[1] - eyes[0]) == pytest.approx(1)
    np.testing.assert_allclose(aligned[0, 1] - aligned[0, 10], neutral[1] - neutral[10], atol=2e-3)


def test_align_rigid_keeps_the_smile():
    geometry = face_geometry()
    amount = np.linspace(0, 0.3, 30)[:, None, None]
    aligned = align_rigid(move(face() + amount * geometry["smile"]), MEDIAPIPE_478)
    width = np.linalg.norm(aligned[:, 291] - aligned[:, 61], axis=1)
    still = align_rigid(face() + amount * geometry["smile"], MEDIAPIPE_478)
    expected = np.linalg.norm(still[:, 291] - still[:, 61], axis=1)
    np.testing.assert_allclose(width, expected, rtol=1e-9)
    assert width[-1] > 1.2 * width[0]


@pytest.mark.parametrize("align", [align_rigid, align_eyes])
def test_align_2d_removes_motion_in_the_plane(align):
    clip = move(face(), in_plane=True)[:, :, :2]
    aligned = align(clip, MEDIAPIPE_478)
    np.testing.assert_allclose(aligned, np.broadcast_to(aligned[0], aligned.shape), atol=1e-12)


@pytest.mark.parametrize("align", [align_rigid, align_eyes])
def test_align_accepts_ibug(align):
    shape = np.random.default_rng(0).normal(size=(68, 2))
    shape[list(IBUG_68.stable)] = IBUG_68.stable_reference[:, :2]
    aligned = align(np.stack([shape, 3 * shape + 1]), IBUG_68)
    np.testing.assert_allclose(aligned[1], aligned[0], atol=1e-12)


@pytest.mark.parametrize("scale", [1, 250])
def test_align_eyes_puts_eye_centres_at_one_half(scale):
    aligned = align_eyes(scale * move(face()), MEDIAPIPE_478)
    right, left = aligned[:, [33, 133]].mean(axis=1), aligned[:, [263, 362]].mean(axis=1)
    np.testing.assert_allclose(right[:, :2], np.broadcast_to([-0.5, 0], (30, 2)), atol=1e-12)
    np.testing.assert_allclose(left[:, :2], np.broadcast_to([0.5, 0], (30, 2)), atol=1e-12)


@pytest.mark.parametrize("align", [align_rigid, align_eyes])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_align_chosen_landmarks_equal_all(align, dtype):
    clip = move(face()).astype(dtype)
    clip[3:5] = np.nan
    aligned = align(clip, MEDIAPIPE_478)
    assert aligned.dtype == dtype
    assert np.isnan(aligned).all(axis=(1, 2)).nonzero()[0].tolist() == [3, 4]
    chosen = align(clip, MEDIAPIPE_478, landmarks=[61, 291])
    np.testing.assert_array_equal(chosen, aligned[:, [61, 291]])


@pytest.mark.parametrize("align", [align_rigid, align_eyes])
def test_align_degenerate_frame_is_an_error(align):
    clip = move(face())
    clip[4] = 0.5
    with pytest.raises(InvalidClipError, match="Clip 7 has a frame whose .* coincide"):
        align(clip, MEDIAPIPE_478, name="Clip 7")


def gappy(*values):
    return np.array(values, dtype=np.float64)[:, None, None] * np.ones((1, 5, 2))


def test_fill_missing_interpolates_linearly():
    clip = gappy(0, np.nan, np.nan, 6, 7)
    np.testing.assert_allclose(fill_missing(clip, max_gap=2), gappy(0, 2, 4, 6, 7))


def test_fill_missing_leaves_long_gaps_and_ends():
    clip = gappy(np.nan, 1, np.nan, 3, np.nan, np.nan, 6, np.nan)
    expected = gappy(np.nan, 1, 2, 3, np.nan, np.nan, 6, np.nan)
    np.testing.assert_array_equal(fill_missing(clip, max_gap=1), expected)


def test_fill_missing_changes_no_input():
    clip = gappy(0, np.nan, 2)
    fill_missing(clip, max_gap=1)
    assert np.isnan(clip[1]).all()
    complete = gappy(0, 1, 2)
    assert fill_missing(complete, max_gap=1) is complete


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ((1, 2, 3), slice(0, 3)),
        ((np.nan, 2, np.nan, 4, 5), slice(3, 5)),
        ((1, 2, np.nan, 4, 5), slice(0, 2)),
        ((np.nan, np.nan), slice(0, 0)),
    ],
)
def test_longest_part_is_the_first_longest_run(values, expected):
    assert longest_part(gappy(*values)) == expected
