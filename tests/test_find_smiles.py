import warnings

import numpy as np
import pytest
from faces import as_ibug, make_clip

from smilefusion import DMarkerTransformer
from smilefusion.clips import check_clips
from smilefusion.dmarkers._smile import MARGIN_S, find_smiles
from smilefusion.exceptions import InvalidClipError
from smilefusion.landmarks import face_geometry


def find(*clips, fps=50):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return find_smiles(check_clips(clips, fps=fps)).tolist()


@pytest.mark.parametrize("n_dims", [2, 3])
@pytest.mark.parametrize("convert", [np.asarray, as_ibug])
def test_smile_extends_from_onset_to_offset_with_margins(convert, n_dims):
    clip = convert(make_clip(n_frames=150, jitter=1e-4))[..., :n_dims]
    row = DMarkerTransformer(fps=50).phases([clip]).iloc[0]
    margin = round(MARGIN_S * 50)
    expected = [row["onset_start"] - margin, row["offset_end"] + margin]
    assert find(clip) == [expected]


def test_smile_does_not_depend_on_still_frames_around_it():
    clip = make_clip(n_frames=150)
    longer = np.concatenate([clip[:1]] * 70 + [clip] + [clip[-1:]] * 70)
    (before, after), still = find(clip, longer)
    assert still == [before + 70, after + 70]


def test_smile_stays_within_the_usable_part():
    clip = make_clip()
    clip[:15] = clip[105:] = np.nan
    assert find(clip, clip[15:]) == [[15, 104], [0, 89]]


def test_smile_that_the_clip_cuts_extends_to_its_end():
    clip = make_clip()
    starts, stops = np.transpose(find(clip[:60], clip[50:], clip[50:60]))
    assert (stops[0], starts[1]) == (59, 0)


def test_clip_without_a_smile_is_used_whole():
    still = make_clip(([0], [0.0]), jitter=1e-4)
    assert find(still, still[:3]) == [[0, 119], [0, 2]]


def test_clip_with_too_few_faces_is_used_whole():
    clip, few = make_clip(), make_clip()
    few[3:] = np.nan
    assert find(few, clip) == [[0, 119], *find(clip)]


def test_smile_of_unknown_rate_is_found_at_the_nominal_rate():
    assert find(make_clip(), make_clip(), fps=[np.nan, 30])[0] == find(make_clip(), fps=30)[0]


def test_face_without_a_pose_is_an_error():
    flat = np.zeros((60, 478, 3)) + face_geometry()["neutral"][0]
    with pytest.raises(InvalidClipError, match="Clip 0"):
        find(flat)
