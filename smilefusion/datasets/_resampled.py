"""Data sets at another frame rate."""

from collections.abc import Mapping
from typing import Any

from smilefusion.clips._rates import check_fps
from smilefusion.clips._sequence import check_clips, resample_clips
from smilefusion.datasets._data_set import ClipBunch
from smilefusion.exceptions import InvalidDataError


def resample(data: Mapping[str, Any], fps: float) -> ClipBunch:
    """Return a data set with all clips at one frame rate.

    Use this before training or testing on clips of several frame rates, as in MMI or in several
    data sets. Choose the lowest rate: interpolation adds no information.

    Parameters
    ----------
    data : Bunch
        A data set with `clips`. Their rates are those that the clips state, or the entry `fps`.
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
        If `fps` is not a number between 1 and 1000.

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
    (25.0, 133, 67)
    """
    fps = float(check_fps(fps, 1)[0])
    clips = check_clips(data["clips"], fps=data.get("fps"))
    if clips.time_unit == "frames":
        raise InvalidDataError(
            f"The data set {data.get('name', '')!r} does not state the frame rate of every clip, "
            "so the clips cannot be resampled. Set its fps."
        )
    return ClipBunch(**(dict(data) | {"clips": resample_clips(clips, fps), "fps": fps}))
