"""Data sets at another frame rate."""

import numpy as np
import pytest
from sklearn.utils import Bunch

from smilefusion import DMarkerTransformer
from smilefusion.clips import check_clips
from smilefusion.datasets import make_smiles, resample
from smilefusion.exceptions import InvalidDataError


def make_line(n_frames, rate, slope=1.0):
    """Return a clip all of whose coordinates are slope times seconds."""
    return np.broadcast_to((slope * np.arange(n_frames) / rate)[:, None, None], (n_frames, 5, 2))


def test_resample_keeps_motion_in_seconds():
    data = Bunch(clips=[make_line(60, 29.0), make_line(50, 25.0)], fps=np.array([29.0, 25.0]))
    for clip, seconds in zip(resample(data, 25).clips, (59 / 29, 49 / 25), strict=True):
        np.testing.assert_allclose(clip[:, 0, 0], np.arange(len(clip)) / 25)
        assert (len(clip) - 1) / 25 == pytest.approx(seconds, abs=1 / 25)


def test_resample_to_half_the_rate_drops_every_other_frame(smiles):
    clips = resample(smiles, smiles.fps / 2).clips
    missing = np.isnan(smiles.clips[0][::2, 0, 0])
    np.testing.assert_array_equal(clips[0][~missing], smiles.clips[0][::2][~missing])


def test_resample_tells_lengths_without_reading(tmp_path):
    np.save(tmp_path / "clip.npy", make_line(61, 30))
    data = resample(Bunch(clips=[tmp_path / "clip.npy"], fps=30.0), 20)
    (tmp_path / "clip.npy").unlink()
    assert data.clips.n_frames.tolist() == [41]


def test_resample_lengths_are_those_of_the_clips():
    for rate in (24, 25, 29, 29.97, 30, 50, 60):
        for n_frames in (1, 2, 7, 100, 101):
            data = Bunch(clips=[make_line(n_frames, rate)], fps=rate)
            for fps in (10, 25, 29, 50):
                clips = resample(data, fps).clips
                assert clips.n_frames[0] == len(clips[0])


def test_resampled_smiles_have_nearly_the_same_durations():
    smiles = make_smiles(12, n_subjects=6, fps=50, jitter=0, head_motion=0, random_state=0)
    names = DMarkerTransformer().get_feature_names_out()
    column = list(names).index("lip__onset__duration")
    slow = resample(smiles, 25)
    before = DMarkerTransformer(fps=50).fit_transform(smiles.clips)[:, column]
    after = DMarkerTransformer(fps=25).fit_transform(slow.clips)[:, column]
    np.testing.assert_allclose(after, before, atol=0.11)
    assert check_clips(slow.clips) is slow.clips


@pytest.mark.parametrize("fps", [None, np.array([25.0, np.nan])])
def test_resample_refuses_unknown_rates(fps):
    data = Bunch(clips=[make_line(10, 25)] * 2, fps=fps, name="toy")
    with pytest.raises(
        InvalidDataError, match="'toy' does not state the frame rate of every clip"
    ):
        resample(data, 25)


def test_resample_refuses_a_rate_that_is_none():
    with pytest.raises(ValueError, match="fps must be between 1 and 1000"):
        resample(Bunch(clips=[make_line(10, 25)], fps=25.0), 0)
