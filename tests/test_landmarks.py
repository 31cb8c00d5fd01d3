import numpy as np
import pytest

from smilefusion.exceptions import InvalidClipError
from smilefusion.landmarks import IBUG_68, MEDIAPIPE_478, face_geometry, landmark_scheme

SCHEMES = [MEDIAPIPE_478, IBUG_68]


@pytest.mark.parametrize("scheme", SCHEMES, ids=lambda scheme: scheme.name)
def test_scheme_is_found_by_its_size(scheme):
    assert landmark_scheme(scheme.n_landmarks) is scheme


def test_landmark_scheme_unknown_size_lists_known_ones():
    with pytest.raises(InvalidClipError, match=r"468 landmarks.*478 \(MediaPipe 478\).*68"):
        landmark_scheme(468)


@pytest.mark.parametrize("scheme", SCHEMES, ids=lambda scheme: scheme.name)
def test_mirror_is_an_involution(scheme):
    assert np.array_equal(scheme.mirror[scheme.mirror], np.arange(scheme.n_landmarks))


@pytest.mark.parametrize("scheme", SCHEMES, ids=lambda scheme: scheme.name)
def test_mirror_swaps_right_and_left_names(scheme):
    names = [name for name in scheme.points if name.startswith("right_")]
    assert names
    for name in names:
        if "published" not in name:
            twins = scheme.mirror[list(scheme.points[name])]
            assert set(twins.tolist()) == set(scheme.points[name.replace("right", "left")])


@pytest.mark.parametrize("scheme", SCHEMES, ids=lambda scheme: scheme.name)
def test_stable_points_come_in_mirror_pairs(scheme):
    assert {int(scheme.mirror[index]) for index in scheme.stable} == set(scheme.stable)
    assert scheme.stable_reference.shape == (len(scheme.stable), 3)
    assert len(set(scheme.stable)) == len(scheme.stable)


@pytest.mark.parametrize("scheme", SCHEMES, ids=lambda scheme: scheme.name)
def test_mirrored_points_correspond_to_mirrored_points_of_the_mesh(scheme):
    in_mesh = np.array(scheme.in_mesh)
    assert len(set(scheme.in_mesh)) == scheme.n_landmarks
    assert np.array_equal(MEDIAPIPE_478.mirror[in_mesh], in_mesh[scheme.mirror])


def test_named_points_correspond_to_points_of_the_same_name():
    neutral = face_geometry()["neutral"]
    for name in IBUG_68.points:
        twin = IBUG_68.locate(neutral[list(IBUG_68.in_mesh)], name)
        assert np.linalg.norm(twin - MEDIAPIPE_478.locate(neutral, name)) < 0.12, name


def test_stable_points_hardly_move_in_a_smile():
    geometry = face_geometry()
    moved = np.linalg.norm(geometry["smile"], axis=1)
    assert moved[list(MEDIAPIPE_478.stable)].max() < 0.11
    assert moved[[61, 291]] == pytest.approx([1, 1], rel=1e-3)


def test_right_is_at_image_left():
    neutral = face_geometry()["neutral"]
    for name in ("right_eye_outer", "right_cheek", "right_lip_corner"):
        assert MEDIAPIPE_478.locate(neutral, name)[0] < 0


def test_locate_takes_the_mean_of_several_points():
    clip = np.random.default_rng(0).normal(size=(4, 68, 2))
    lid = IBUG_68.locate(clip, "right_eye_upper")
    np.testing.assert_allclose(lid, (clip[:, 37] + clip[:, 38]) / 2)


def test_locate_unknown_point_is_named():
    with pytest.raises(InvalidClipError, match="iBUG 68 has no point 'right_cheek'"):
        IBUG_68.locate(np.zeros((68, 2)), "right_cheek")


def test_face_geometry_is_read_only():
    with pytest.raises(ValueError, match="read-only"):
        face_geometry()["neutral"][0] = 0


def test_face_geometry_equals_its_source(shared):
    with np.load(shared / "geometry" / "face_geometry.npz", allow_pickle=False) as source:
        assert set(source.files) == set(face_geometry())
        assert all(np.array_equal(source[key], face_geometry()[key]) for key in source.files)
