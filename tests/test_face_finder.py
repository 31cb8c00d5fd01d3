"""Choose a face and search small ones; faces are squares, so MediaPipe is not needed."""

from functools import partial

import numpy as np
import pytest
from made_videos import EYE_CORNERS, LIP_CORNERS, find_squares, picture

from smilefusion.video._face_finder import FaceFinder, UprightCheck

SMALL, LARGE = (20, 30, 20), (100, 40, 40)  # left, top, side in an image of 160 x 120


def left_of(face):
    return face[:, 0].min()


def finder(face="largest", *, second_look=True, least_share=0.0):
    detect = partial(find_squares, least_share=least_share)
    return FaceFinder(detect, face=face, second_look=second_look)


def test_largest_face_is_chosen_and_all_are_counted():
    n_faces, face, size = finder().find(picture(SMALL, LARGE), 0.0)
    assert (n_faces, left_of(face), size) == (2, 100, 40)


def test_nearest_face_follows_the_previous_face_for_a_second():
    follow = finder("nearest")
    assert left_of(follow.find(picture(SMALL), 0.0)[1]) == 20
    assert left_of(follow.find(picture((25, 30, 20), LARGE), 0.1)[1]) == 25
    assert follow.find(picture(), 0.2)[:2] == (0, None)
    assert left_of(follow.find(picture(SMALL, LARGE), 1.2)[1]) == 100


@pytest.mark.parametrize("square", [(0, 0, 20), (70, 50, 20), (140, 100, 20), (5, 95, 20)])
def test_second_look_finds_small_faces_anywhere(square):
    assert finder(least_share=0.2, second_look=False).find(picture(square), 0.0)[0] == 0
    n_faces, face, size = finder(least_share=0.2).find(picture(square), 0.0)
    assert (n_faces, size) == (1, 20)
    np.testing.assert_allclose(face[[0, -1], :2], [square[:2], np.add(square[:2], 20)])


def test_second_look_counts_a_face_of_two_tiles_once():
    assert finder(least_share=0.2).find(picture((65, 50, 20)), 0.0)[0] == 1


def test_second_look_stays_around_the_last_place():
    looks = []

    def detect(image):
        looks.append(image.shape[:2])
        return find_squares(image, least_share=0.2)

    find = FaceFinder(detect, face="largest", second_look=True).find
    find(picture((70, 50, 20)), 0.0)
    looks.clear()
    assert find(picture((72, 50, 20)), 0.1)[0] == 1
    assert looks == [(120, 160), (60, 60), (60, 60)]  # searched there, then seen to be small


def test_small_face_is_found_again_in_a_crop():
    shift = np.array([3, 0, 0])

    def detect(image):  # off by three pixels in the whole image
        is_wide = image.shape[1] == 160
        return [face + shift * is_wide for face in find_squares(image)]

    find = FaceFinder(detect, face="largest", second_look=True).find
    assert left_of(find(picture(SMALL), 0.0)[1]) == 20
    assert left_of(find(picture(LARGE), 0.1)[1]) == 103


def test_search_without_success_becomes_rare():
    looks = []

    def detect(image):
        looks.append(image.shape)
        return []

    find = FaceFinder(detect, face="largest", second_look=True).find
    is_searched = []
    for time_s in np.arange(90) / 30:
        looks.clear()
        find(picture(), time_s)
        is_searched.append(len(looks) > 1)
    assert all(is_searched[:31])
    assert sum(is_searched[31:]) == pytest.approx(8, abs=1)


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


@pytest.mark.parametrize("n_quarters", range(4))
def test_rotation_is_found_if_the_detector_mistakes_upside_down_for_upright(n_quarters):
    image = picture((50, 30, 60))
    image[60:90, 50:110, 1] = 128
    image = np.rot90(image, n_quarters)  # counter-clockwise
    check = UprightCheck(find_half_green_face)
    for time_s in (0.0, 0.1, 0.3):
        check.look(image, find_half_green_face(image)[0], time_s)
    assert (check.rotation, check.is_decided) == (90 * n_quarters, True)


@pytest.mark.parametrize("first", [0, 2])
def test_one_look_of_each_kind_does_not_reject_a_video(first):
    image = picture((50, 30, 60))
    image[60:90, 50:110, 1] = 128
    check = UprightCheck(find_half_green_face)
    for n_quarters, time_s in ((first, 0.0), (2 - first, 0.3)):
        turned = np.rot90(image, n_quarters)
        check.look(turned, find_half_green_face(turned)[0], time_s)
    assert (check.rotation, check.is_decided) == (0, False)
