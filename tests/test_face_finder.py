"""Choose, follow and search faces, which are squares here."""

import numpy as np
import pytest
from made_videos import (
    EYE_CORNERS,
    LIP_CORNERS,
    SquareLandmarker,
    as_frame,
    find_in,
    picture,
)

from smilefusion.video._face_finder import FaceFinder, UprightCheck

SMALL, LARGE = (20, 30, 20), (100, 40, 40)  # left, top, side in an image of 160 x 120


def left_of(face):
    return face[:, 0].min()


def make_finder(face="largest", *, second_look=True, tracking=False, least_share=0.0):
    """Return a function from squares and a time to what is found, and its landmarker."""
    landmarker = SquareLandmarker(least_share=least_share)
    finder = FaceFinder(landmarker, face=face, second_look=second_look, tracking=tracking)
    return lambda squares, time_s=0.0: finder.find(as_frame(picture(*squares), time_s)), landmarker


def test_largest_face_is_chosen_and_all_are_counted():
    n_faces, face, size = make_finder()[0]([SMALL, LARGE])
    assert (n_faces, left_of(face), size) == (2, 100, 40)


def test_nearest_face_follows_the_previous_face_for_a_second():
    find, _ = make_finder("nearest")
    assert left_of(find([SMALL], 0.0)[1]) == 20
    assert left_of(find([(25, 30, 20), LARGE], 0.1)[1]) == 25
    assert find([], 0.2)[:2] == (0, None)
    assert left_of(find([SMALL, LARGE], 1.2)[1]) == 100


@pytest.mark.parametrize("square", [(0, 0, 20), (70, 50, 20), (140, 100, 20), (5, 95, 20)])
def test_second_look_finds_small_faces_anywhere(square):
    assert make_finder(least_share=0.2, second_look=False)[0]([square])[0] == 0
    n_faces, face, size = make_finder(least_share=0.2)[0]([square])
    assert (n_faces, size) == (1, pytest.approx(20, abs=1))
    np.testing.assert_allclose(face[[0, -1], :2], [square[:2], np.add(square[:2], 20)], atol=1)


def test_second_look_counts_a_face_of_two_tiles_once():
    assert make_finder(least_share=0.2)[0]([(65, 50, 20)])[0] == 1


def test_second_look_stays_around_the_last_place():
    find, landmarker = make_finder(least_share=0.2)
    find([(70, 50, 20)], 0.0)
    landmarker.looks.clear()
    assert find([(72, 50, 20)], 0.1)[0] == 1
    assert landmarker.looks == [160, 60, 60]  # searched there, then seen to be small


def test_small_face_is_found_again_in_a_crop():
    class Misplaced(SquareLandmarker):
        def find(self, frame, square, known=None):  # off by three pixels in the whole image
            faces = super().find(frame, square)
            return [face + np.array([3 * (square.size > 100), 0, 0]) for face in faces]

    finder = FaceFinder(Misplaced(), face="largest", second_look=True, tracking=False)
    assert left_of(finder.find(as_frame(picture(SMALL), 0.0))[1]) == 20
    assert left_of(finder.find(as_frame(picture(LARGE), 0.1))[1]) == 103


def test_search_without_success_becomes_rare():
    find, landmarker = make_finder()
    is_searched = []
    for time_s in np.arange(90) / 30:
        landmarker.looks.clear()
        find([], time_s)
        is_searched.append(len(landmarker.looks) > 1)
    assert all(is_searched[:31])
    assert sum(is_searched[31:]) == pytest.approx(8, abs=1)


def test_tracking_detects_once_a_second_and_follows_in_between():
    find, landmarker = make_finder(tracking=True)
    lefts = [left_of(find([(20 + i, 30, 40)], i / 10)[1]) for i in range(25)]
    assert lefts == list(range(20, 45))
    assert len(landmarker.looks) == 3


def test_tracking_detects_in_every_frame_without_a_face():
    find, landmarker = make_finder(tracking=True, second_look=False)
    shown = [1, 0, 0, 0, 1, 1]
    assert [find([LARGE] * n, i / 10)[0] for i, n in enumerate(shown)] == shown
    assert len(landmarker.looks) == 5


@pytest.mark.parametrize("square", [(60, 30, 40), (45, 25, 60)])
def test_tracking_detects_again_when_the_face_jumps_or_changes_its_size(square):
    find, landmarker = make_finder(tracking=True)
    find([(48, 30, 40)], 0.0)
    assert left_of(find([square], 0.1)[1]) == square[0]
    assert len(landmarker.looks) == 2


def test_tracking_changes_to_a_larger_face_at_the_next_check():
    find, _ = make_finder(tracking=True)
    find([SMALL], 0.0)
    found = [find([SMALL, LARGE], time_s) for time_s in (0.5, 0.9, 1.1)]
    assert [left_of(face) for _, face, _ in found] == [20, 20, 100]
    assert [n_faces for n_faces, _, _ in found] == [1, 1, 2]


def test_tracking_keeps_a_small_face_that_only_a_second_look_finds():
    find, _ = make_finder(tracking=True, least_share=0.2)
    assert [find([(70, 50, 20)], time_s)[0] for time_s in (0.0, 0.5, 1.1)] == [1, 1, 1]
    without, _ = make_finder(tracking=True, least_share=0.2, second_look=False)
    assert without([(70, 50, 20)], 0.0)[0] == 0


def find_half_green_face(image):
    """Find a face with its mouth on the green side; mistake upside down for upright."""
    rows, columns = np.nonzero(image[..., 1])
    green = image[..., 1] == 128
    centre = np.array([columns.mean(), rows.mean()])
    down = np.flip(np.mean(np.nonzero(green), axis=1)) - centre
    down[1] = abs(down[1])
    face = np.zeros((478, 3))
    face[:, :2] = centre + np.linspace(-30, 30, 478)[:, None]
    face[EYE_CORNERS, :2], face[LIP_CORNERS, :2] = centre - down, centre + down
    return [face]


class HalfGreenLandmarker:
    def find(self, frame, square, known=None):
        return find_in(frame, square, find_half_green_face)


def check_rotations(*images):
    """Return the check after looking at images, 0.3 s apart."""
    check, landmarker = UprightCheck(HalfGreenLandmarker()), HalfGreenLandmarker()
    for index, image in enumerate(images):
        frame = as_frame(image, 0.3 * index)
        check.look(frame, landmarker.find(frame, frame.square)[0])
    return check


def half_green_image(n_quarters):
    """Return a face turned counter-clockwise by quarters."""
    image = picture((50, 30, 60))
    image[60:90, 50:110, 1] = 128
    return np.rot90(image, n_quarters)


@pytest.mark.parametrize("n_quarters", range(4))
def test_rotation_is_found_if_the_detector_mistakes_upside_down_for_upright(n_quarters):
    check = check_rotations(*[half_green_image(n_quarters)] * 2)
    assert (check.rotation, check.is_decided) == (90 * n_quarters, True)


@pytest.mark.parametrize("first", [0, 2])
def test_one_look_of_each_kind_does_not_reject_a_video(first):
    check = check_rotations(half_green_image(first), half_green_image(2 - first))
    assert (check.rotation, check.is_decided) == (0, False)
