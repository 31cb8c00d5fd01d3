"""Data sets at another frame rate."""

import numpy as np
from sklearn.utils import Bunch

from smilefusion._lazy_clips import ResampledClips
from smilefusion.clips import check_clips, check_fps
from smilefusion.exceptions import InvalidDataError


def resample(data: Bunch, fps: float) -> Bunch:
    """Return a data set with all clips at one frame rate.

    Use this before training or testing on clips of several frame rates, as in MMI or in several
    data sets. Choose the lowest rate: interpolation adds no information.

    Parameters
    ----------
    data : Bunch
        A data set with `clips` and `fps`, as the readers and `make_smiles` return it.
    fps : float
        Frames per second of all clips.

    Returns
    -------
    resampled : Bunch
        The same data set. Its clips are interpolated linearly in time when they are read. A
        frame is missing if a neighbour in time is missing.

    Raises
    ------
    InvalidDataError
        If the frame rate of a clip is unknown.
    ValueError
        If `fps` is not a positive number.

    Notes
    -----
    From 50 to 25 frames per second, every other frame is dropped. From 29 to 25, new frames lie
    between the old ones, which slightly lowers the peak speeds. Nothing is smoothed.

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
            f"The data set {data.get('name', '')!r} does not state the frame rate of every "
            "clip. Set its fps."
        )
    clips = check_clips(data["clips"])
    rates = check_fps(given, len(clips)).tolist()
    return Bunch(**(data | {"clips": ResampledClips(clips, rates, fps), "fps": fps}))
