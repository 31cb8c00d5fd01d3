"""Clips of facial landmarks: checking, lazy reading, frame sampling and padding."""

import os
import warnings
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
from sklearn.utils._param_validation import InvalidParameterError

from smilefusion._clip_files import (
    FPS_RANGE,
    as_floating,
    as_item,
    check_values,
    checked_header,
    clip_name,
    read_frame_rate,
    read_values,
)
from smilefusion._messages import abridge, count, printable
from smilefusion.exceptions import DataWarning, FrameRateWarning, InvalidClipError

_WRAP = "Wrap it in a list, [clip], if you mean one clip."


class ClipSequence(Sequence):
    """Hold checked clips; clips given as paths are read when they are asked for.

    Made by `check_clips`. Indexing with an int gives a clip, an array of shape
    (n_frames, n_landmarks, n_dims), float32 or float64, with NaN throughout a frame without a
    face. Indexing with a slice gives a ClipSequence.

    Parameters
    ----------
    items : list of ndarray or Path
        Clips, or paths of the files that hold them.
    shapes : list of tuple of int
        The shape (n_frames, n_landmarks, n_dims) of each clip.
    indices : sequence of int, default=None
        The numbers of the clips in messages; None counts from 0.

    Attributes
    ----------
    n_frames : ndarray of shape (n_clips,)
        Number of frames of each clip, missing ones counted.
    n_landmarks : int
        Number of landmarks of a frame.
    n_dims : int
        Number of coordinates of a landmark, 2 or 3.

    Examples
    --------
    >>> import numpy as np
    >>> from smilefusion.clips import check_clips
    >>> clips = check_clips([np.zeros((50, 478, 3)), np.zeros((70, 478, 3))])
    >>> clips.n_frames.tolist()
    [50, 70]
    >>> clips[1].shape
    (70, 478, 3)
    """

    def __init__(self, items, shapes, *, indices=None):
        self._items = items
        self._shapes = shapes
        self._indices = range(len(items)) if indices is None else indices
        self.n_frames = np.array([shape[0] for shape in shapes], dtype=int)
        self.n_landmarks, self.n_dims = shapes[0][1:] if shapes else (0, 0)

    def __len__(self) -> int:
        return len(self._items)

    def __getitem__(self, index):
        if isinstance(index, slice):
            return ClipSequence(
                self._items[index], self._shapes[index], indices=self._indices[index]
            )
        item = self._items[index]
        if isinstance(item, Path):
            name = self.name(index)
            return check_values(read_values(item, name), name)
        return as_floating(item)

    def __iter__(self) -> Iterator[np.ndarray]:
        return (self[index] for index in range(len(self)))

    def take(self, rows):
        """Return the sequence of some clips, which keep their names; nothing is read.

        Parameters
        ----------
        rows : sequence of int
            Positions of the clips.

        Returns
        -------
        clips : ClipSequence
            The clips in this order.
        """
        parts = (self._items, self._shapes, self._indices)
        items, shapes, indices = ([part[row] for row in rows] for part in parts)
        return ClipSequence(items, shapes, indices=indices)

    def name(self, index):
        """Return the name of a clip in messages.

        Parameters
        ----------
        index : int
            Position of the clip.

        Returns
        -------
        name : str
            Such as "Clip 3", or "Clip 3 (smile.npz)" for a clip that was given as a path. A
            slice keeps the numbers of the sequence that it was taken from.
        """
        return clip_name(self._indices[index], self._items[index])


def check_clips(X, *, min_frames=1):
    """Check clips of landmarks and give uniform access to them.

    Clips in memory are neither copied nor changed, and their values are checked at once. If
    clips are given as paths, only the headers are read; values are checked when a clip is read.

    Parameters
    ----------
    X : sequence of array-like or path of length n_clips
        The clips: a list, a tuple, a one-dimensional object array, a pandas Series, an array
        of shape (n_clips, n_frames, n_landmarks, n_dims), or a sequence of paths to ``.npy``
        or ``.npz`` files (key ``landmarks``). A clip has shape (n_frames, n_landmarks, n_dims)
        with n_dims 2 or 3, real numbers, and NaN throughout each frame without a face. Clips
        may differ in length only. Masked values count as NaN. If a ``.npz`` file also holds
        ``width`` and ``height`` of the image (and ``sar``, the pixel aspect ratio, if it is not
        1), its coordinates are fractions of the image size and become isotropic in units of the
        image height.
    min_frames : int, default=1
        Smallest number of frames of a clip, including frames without a face.

    Returns
    -------
    clips : ClipSequence
        The checked clips.

    Raises
    ------
    InvalidClipError
        If a clip breaks a rule; the message names the clip, the rule and the remedy.

    Warns
    -----
    DataWarning
        If files state different landmark models (entry ``model_sha256``).
    FrameRateWarning
        If the frames of a file are not equally spaced in time (entry ``timestamps_s``).

    Examples
    --------
    >>> import numpy as np
    >>> from smilefusion.clips import check_clips
    >>> len(check_clips(np.zeros((4, 50, 478, 3), dtype=np.float32)))
    4
    """
    if isinstance(X, ClipSequence):
        clips = X
    else:
        items = _list_clips(X)
        headers = [checked_header(item, clip_name(i, item)) for i, item in enumerate(items)]
        shapes, models, uneven = zip(*headers, strict=True)
        clips = ClipSequence(items, list(shapes))
        _warn_of_models(items, models)
        _warn_of_uneven(items, uneven)
    _check_uniform(clips)
    for index in np.flatnonzero(clips.n_frames < min_frames)[:1]:
        raise InvalidClipError(
            f"{clips.name(index)} has {count(clips.n_frames[index], 'frame')}, but at least "
            f"{min_frames} are needed. Remove it or use a longer clip."
        )
    return clips


def read_clip(path):
    """Read one clip from a ``.npy`` or ``.npz`` file.

    Parameters
    ----------
    path : str or path-like
        The file, as described in `check_clips`.

    Returns
    -------
    clip : ndarray of shape (n_frames, n_landmarks, n_dims)
        Coordinates in isotropic units, NaN where a frame has no face. Of a ``.npy`` file, the
        array is mapped from the disk, read-only.

    Raises
    ------
    InvalidClipError
        If the file is absent, damaged, or breaks a rule of `check_clips`.
    """
    path = Path(path)
    name = f"The clip {printable(path.name)}"
    checked_header(path, name)
    return check_values(read_values(path, name), name)


def read_fps(path):
    """Read the frame rate that a clip's file states.

    Parameters
    ----------
    path : str or path-like
        A ``.npy`` or ``.npz`` file.

    Returns
    -------
    fps : float or None
        Frames per second, the entry ``fps`` of a ``.npz`` file; None if there is none.

    Raises
    ------
    InvalidClipError
        If the file is absent or damaged, or the entry is not a number between 1 and 1000.
    """
    path = Path(path)
    return read_frame_rate(path, f"The clip {printable(path.name)}")


def check_fps(fps, n_clips):
    """Check a frame rate and spread it over clips.

    Parameters
    ----------
    fps : float, array-like of shape (n_clips,) or None
        Frames per second of all clips, or of each clip; None counts in frames.
    n_clips : int
        Number of clips.

    Returns
    -------
    rates : ndarray of shape (n_clips,)
        Frames per second of each clip; 1 if `fps` is None.

    Raises
    ------
    InvalidParameterError
        If a frame rate is not a number between 1 and 1000, or if there is not one rate per
        clip. This error is a ValueError.

    Examples
    --------
    >>> from smilefusion.clips import check_fps
    >>> check_fps(25, 2).tolist()
    [25.0, 25.0]
    """
    if fps is None:
        return np.ones(n_clips)
    try:
        rates = np.asarray(fps)
    except ValueError:  # lists of different lengths
        rates = np.asarray("")
    if rates.dtype.kind not in "fiu":
        raise InvalidParameterError(
            f"fps must be a number, one number per clip, or None; got {fps!r}."
        )
    if rates.ndim > 1 or (rates.ndim == 1 and len(rates) != n_clips):
        raise InvalidParameterError(
            f"fps must be one number or one per clip; got shape {rates.shape} for {n_clips} "
            "clips. Give a single number if clips are split or added later."
        )
    slowest, fastest = FPS_RANGE
    for index in np.flatnonzero(~((rates >= slowest) & (rates <= fastest)))[:1]:
        clip = f" for clip {index}" if rates.ndim else ""
        raise InvalidParameterError(
            f"fps must be between {slowest:g} and {fastest:g} frames per second; got "
            f"{rates.flat[index]:g}{clip}. Correct it, or pass None to count in frames."
        )
    return np.broadcast_to(rates, n_clips).astype(np.float64)


def sample_frames(n_frames, n_samples):
    """Choose frames evenly spaced over a clip.

    Parameters
    ----------
    n_frames : int
        Number of frames of the clip.
    n_samples : int
        Number of frames wanted, at least 1.

    Returns
    -------
    indices : ndarray of shape (min(n_frames, n_samples),)
        Strictly increasing frame numbers, first and last frame among them; the middle frame
        for one sample; all frames of a clip that is not longer than wanted.

    Examples
    --------
    >>> from smilefusion.clips import sample_frames
    >>> sample_frames(9, 3).tolist()
    [0, 4, 8]
    """
    if n_samples >= n_frames:
        return np.arange(n_frames)
    if n_samples == 1:
        return np.array([n_frames // 2])
    n_steps = n_samples - 1
    # Rounding in integers keeps the choice strictly increasing and the same on every machine.
    return (2 * np.arange(n_samples) * (n_frames - 1) + n_steps) // (2 * n_steps)


def pad_clips(clips, n_frames):
    """Stack clips of different length into one array, padded with zeros.

    Parameters
    ----------
    clips : sequence of ndarray
        Clips (up to `n_frames` frames, n_landmarks, n_dims) of uniform n_landmarks and n_dims.
    n_frames : int
        Number of frames of the result.

    Returns
    -------
    batch : ndarray of shape (n_clips, n_frames, n_landmarks, n_dims)
        Coordinates, float32; zero in missing frames and after a clip's end.
    mask : ndarray of shape (n_clips, n_frames)
        True where a frame holds a face.

    Raises
    ------
    InvalidClipError
        If a clip is longer than `n_frames`.

    Examples
    --------
    >>> import numpy as np
    >>> from smilefusion.clips import pad_clips
    >>> batch, mask = pad_clips([np.ones((2, 478, 3)), np.ones((3, 478, 3))], 3)
    >>> mask.sum(axis=1).tolist()
    [2, 3]
    """
    batch = np.zeros((len(clips), n_frames, *clips[0].shape[1:]), dtype=np.float32)
    mask = np.zeros((len(clips), n_frames), dtype=bool)
    for index, clip in enumerate(clips):
        if len(clip) > n_frames:
            raise InvalidClipError(
                f"Clip {index} has {len(clip)} frames; at most n_frames={n_frames} fit. "
                "Choose frames with sample_frames first."
            )
        has_face = ~np.isnan(clip[:, 0, 0])
        mask[index, : len(clip)] = has_face
        batch[index, : len(clip)][has_face] = clip[has_face]
    return batch, mask


def _list_clips(X):
    """List the clips of X: arrays and Paths, not yet checked."""
    if isinstance(X, (str, bytes, os.PathLike)):
        raise InvalidClipError(
            f"X is one path, {str(X)!r}; a sequence of clips is needed. {_WRAP}"
        )
    if isinstance(X, Mapping) or not hasattr(X, "__len__") or hasattr(X, "columns"):
        raise InvalidClipError(
            f"X is of type {type(X).__name__}; a sequence of clips is needed, such as a list of "
            "arrays (n_frames, n_landmarks, n_dims) or of paths. List the clips."
        )
    if isinstance(X, np.ndarray) and X.ndim not in (1, 4):
        one_clip = f" {_WRAP}" if X.ndim == 3 else " Give a list of clips."
        raise InvalidClipError(
            f"X is an array with {X.ndim} axes; one of 4 axes (n_clips, n_frames, n_landmarks, "
            f"n_dims) or a sequence of clips is needed.{one_clip}"
        )
    if len(X) == 0:
        raise InvalidClipError("X holds no clips; at least one is needed. Give a non-empty list.")
    return [as_item(item, f"Clip {index}") for index, item in enumerate(X)]


def _warn_of_models(items, models):
    """Warn if files state different landmark models."""
    stated = {model: item for item, model in zip(items, models, strict=True) if model is not None}
    if len(stated) > 1:
        examples = [
            f"{printable(item.name)} ({printable(model[:8])})" for model, item in stated.items()
        ]
        warnings.warn(
            f"The clips come from {len(stated)} landmark models: {', '.join(examples)}. Their "
            "points differ by about 1 % of the inter-ocular distance, which a classifier can "
            "mistake for the class. Extract all clips with one model.",
            DataWarning,
            stacklevel=3,
        )


def _warn_of_uneven(items, uneven):
    """Warn if frames are not equally spaced in time."""
    names = [item.name for item, is_uneven in zip(items, uneven, strict=True) if is_uneven]
    if names:
        warnings.warn(
            f"{abridge(names)}: the frames are not equally spaced in time, but speeds and "
            "durations are computed as if they were. To resample the frames, extract the "
            "landmarks again with fps=30 or smilefusion landmarks --fps 30.",
            FrameRateWarning,
            stacklevel=3,
        )


def _check_uniform(clips):
    """Check that the clips differ in length only."""
    layouts = [shape[1:] for shape in clips._shapes]
    for index, layout in enumerate(layouts):
        if layout != layouts[0]:
            raise InvalidClipError(
                f"{clips.name(index)} has {layout[0]} landmarks of {layout[1]} coordinates, but "
                f"{clips.name(0)} has {layouts[0][0]} of {layouts[0][1]}; all clips must share "
                "one landmark scheme. Give them in separate calls."
            )
