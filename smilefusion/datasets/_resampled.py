"""Data sets at another frame rate."""

import numpy as np
from sklearn.utils import Bunch

from smilefusion._lazy_clips import ResampledClips
from smilefusion.clips import check_clips, check_fps
from smilefusion.exceptions import InvalidDataError


def resample(data, fps):
    """Return a data set with all clips at one frame rate.

    Estimators know one frame rate. Clips of several rates, as in MMI or in several data sets at
    once, are brought to one before they are trained on or tested; best to the lowest, since
    what lay between the frames is not known.

    Parameters
    ----------
    data : Bunch
        A data set with `clips` and `fps`, as the readers and `make_smiles` return it.
    fps : float
        Frames per second that all clips shall have.

    Returns
    -------
    resampled : Bunch
        The same data set; its clips are interpolated linearly in time, each when it is read.
        Gaps stay gaps: a frame is missing where a neighbour in time is.

    Raises
    ------
    InvalidDataError
        If the data set does not tell the frame rates of its clips.
    ValueError
        If `fps` is not a positive number.

    Notes
    -----
    From 50 to 25 frames per second every other frame is dropped, from 29 to 25 new frames lie
    between the old ones, which takes a little off the fastest movements. Nothing is smoothed.

    Examples
    --------
    >>> from smilefusion.datasets import make_smiles, resample
    >>> smiles = make_smiles(2, n_subjects=1, fps=50, random_state=0)
    >>> slower = resample(smiles, 25)
    >>> slower.fps, len(smiles.clips[0]), len(slower.clips[0])
    (25.0, 146, 73)
    """
    fps = float(check_fps(fps, 1)[0])
    given = data.get("fps")
    if given is None or np.isnan(np.asarray(given, dtype=float)).any():
        raise InvalidDataError(
            f"The data set {data.get('name', '')!r} does not tell the frame rate of every clip; "
            "it must be known to be changed. Set its fps."
        )
    clips = check_clips(data["clips"])
    rates = check_fps(given, len(clips)).tolist()
    return Bunch(**(data | {"clips": ResampledClips(clips, rates, fps), "fps": fps}))
