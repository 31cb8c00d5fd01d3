"""Sequences of clips that know their frame rates and subjects, and read files lazily."""

import os
import warnings
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import ArrayLike

from smilefusion._messages import abridge, count, printable
from smilefusion.clips._clip_files import (
    ChangedItem,
    Facts,
    FractionsFile,
    HeldFile,
    Recording,
    as_item,
    check_item,
    clip_name,
    read_facts,
    read_item,
    read_recording,
    read_whole,
)
from smilefusion.clips._facts import FactSequence
from smilefusion.clips._resampling import count_resampled, resample_clip
from smilefusion.clips._signals import SignalSequence, check_signals, pool_signals
from smilefusion.exceptions import DataWarning, FrameRateWarning, InvalidClipError

_Sequence = TypeVar("_Sequence", bound=FactSequence)
_WRAP = "Wrap it in a list, [clip], if you mean one clip."


class ClipSequence(FactSequence):
    """Sequence of checked clips with their frame rates and subjects.

    `check_clips`, the data set loaders and `FaceMeshExtractor` return one. An integer index
    returns a clip: a float32 or float64 array of shape (n_frames, n_landmarks, n_dims) with NaN
    throughout frames without a face. A file is read only then. A slice, a mask or an array of
    integers returns a ClipSequence and reads nothing, so scikit-learn can split a sequence
    without reading clips or losing their frame rates and subjects.

    Parameters
    ----------
    items : sequence of ndarray, Path or object with ``read``
        The clips, or objects to read them from.
    shapes : sequence of tuple of int
        The shape (n_frames, n_landmarks, n_dims) of each clip.
    fps : float or array-like of shape (n_clips,), default=None
        Frames per second; None and NaN mean unknown.
    subjects : array-like of shape (n_clips,), default=None
        The person in each clip; None if unknown.
    names : sequence of str, default=None
        Names of the clips in messages; None gives names such as "Clip 3 (smile.npz)".
    signals : SignalSequence or None, default=None
        Signals of the same frames (see `with_signals`).

    Attributes
    ----------
    fps, subjects, names, signals
        As given, one entry per clip. A subset keeps them.
    shape : tuple
        (n_clips,).
    n_frames : ndarray of shape (n_clips,)
        Number of frames of each clip, including missing ones.
    n_landmarks, n_dims : int
        Number of landmarks per frame, and of coordinates per landmark.

    Examples
    --------
    >>> import numpy as np
    >>> from smilefusion.clips import check_clips
    >>> clips = check_clips([np.zeros((50, 478, 3)), np.zeros((70, 478, 3))], fps=25)
    >>> clips
    2 clips, 478 landmarks, 25 fps, 50–70 frames
    >>> clips[1].shape
    (70, 478, 3)
    """

    def __init__(
        self,
        items: Sequence[Any],
        shapes: Sequence[tuple[int, ...]],
        *,
        fps: ArrayLike | None = None,
        subjects: ArrayLike | None = None,
        names: Sequence[str] | None = None,
        signals: SignalSequence | None = None,
    ) -> None:
        self._items = list(items)
        self._shapes = list(shapes)
        self.signals = signals
        super().__init__(
            [shape[0] for shape in self._shapes],
            fps=fps,
            subjects=subjects,
            names=[*map(clip_name, range(len(items)), items)] if names is None else names,
        )
        self.n_landmarks, self.n_dims = self._shapes[0][1:] if self._shapes else (0, 0)

    def load(self) -> "ClipSequence":
        """Read all clips.

        Returns
        -------
        clips : ClipSequence
            The same clips in memory.
        """
        return ClipSequence(
            list(self),
            self._shapes,
            fps=self.fps,
            subjects=self.subjects,
            names=self.names,
            signals=self.signals,
        )

    def with_signals(self, signals: Any) -> "ClipSequence":
        """Return the same clips with signals of the same frames, such as action units.

        `SignalMarkerTransformer` accepts such clips, so a pipeline can use both landmarks and
        signals. Clips that are cut, resampled or changed lose their signals.

        Parameters
        ----------
        signals : SignalSequence or sequence of DataFrame or array-like of length n_clips
            Signals in a form that `check_signals` accepts. The frame rates and subjects of the
            clips replace theirs.

        Returns
        -------
        clips : ClipSequence
            The clips with the attribute ``signals``. No file is read.

        Raises
        ------
        InvalidClipError
            If the signals of a clip break a rule, or do not have as many frames as the clip.
        """
        checked = check_signals(signals)
        if len(checked) != len(self):
            raise InvalidClipError(
                f"There are {count(len(self), 'clip')}, but the signals are those of "
                f"{count(len(checked), 'clip')}. Pass the signals of every clip, in the same "
                "order."
            )
        for index in np.flatnonzero(checked.n_frames != self.n_frames)[:1]:
            raise InvalidClipError(
                f"{self.names[index]} has {count(self.n_frames[index], 'frame')}, but its signals "
                f"have {checked.n_frames[index]}. Pass signals of the same frames."
            )
        rows = np.arange(len(self))
        taken = checked._take(rows, fps=self.fps, subjects=self.subjects)
        return ClipSequence(
            self._items,
            self._shapes,
            fps=self.fps,
            subjects=self.subjects,
            names=self.names,
            signals=taken,
        )

    def file(self, index: int) -> Path | None:
        """Return the file that holds exactly the values of a clip.

        Parameters
        ----------
        index : int
            Position of the clip.

        Returns
        -------
        path : Path or None
            The file; None for a clip in memory or one that is converted when it is read.
        """
        item = self._items[index]
        return item if isinstance(item, Path) else None

    def _read(self, index: int) -> np.ndarray:
        return read_item(self._items[index], self.names[index])

    def _take(
        self, rows: np.ndarray, *, fps: ArrayLike, subjects: ArrayLike | None
    ) -> "ClipSequence":
        items, shapes, names = (
            [part[row] for row in rows] for part in (self._items, self._shapes, self.names)
        )
        signals = self.signals
        if signals is not None:
            signals = signals._take(rows, fps=fps, subjects=subjects)
        return ClipSequence(
            items, shapes, fps=fps, subjects=subjects, names=names, signals=signals
        )

    def _describe_layout(self) -> list[str]:
        signals = [] if self.signals is None else self.signals._describe_layout()
        return [count(self.n_landmarks, "landmark"), *signals]


def check_clips(
    X: Any,
    *,
    min_frames: int = 1,
    fps: ArrayLike | None = None,
    subjects: ArrayLike | None = None,
) -> ClipSequence:
    """Check clips of landmarks and return them as a ClipSequence.

    Clips in memory are neither copied nor changed, and their values are checked at once. If
    clips are given as paths, only the headers are read; values are checked when a clip is read.

    Parameters
    ----------
    X : sequence of array-like or path of length n_clips
        The clips: a list, a tuple, a one-dimensional object array, a pandas Series, an array
        of shape (n_clips, n_frames, n_landmarks, n_dims), a ClipSequence, or a sequence of
        paths to ``.npy`` or ``.npz`` files (key ``landmarks``). A clip has shape (n_frames,
        n_landmarks, n_dims) with n_dims 2 or 3, real numbers, and NaN throughout each frame
        without a face. Clips may differ only in length. Masked values count as NaN. If a
        ``.npz`` file also holds ``width`` and ``height`` of the image (and ``sar``, the pixel
        aspect ratio, if it is not 1), its coordinates are fractions of the image size and
        become isotropic in units of the image height, unless ``is_isotropic`` is true.
    min_frames : int, default=1
        Minimum number of frames of a clip, including frames without a face.
    fps : float or array-like of shape (n_clips,), default=None
        Frames per second. None takes what the clips state: the rates of a ClipSequence and the
        entry ``fps`` of ``.npz`` files.
    subjects : array-like of shape (n_clips,), default=None
        The person in each clip. None takes the subjects of a ClipSequence.

    Returns
    -------
    clips : ClipSequence
        The checked clips.

    Raises
    ------
    InvalidClipError
        If a clip breaks a rule; the message names the clip, the rule and the remedy.
    ValueError
        If `fps` or `subjects` does not fit the clips.

    Warns
    -----
    DataWarning
        If files state different landmark models (entries ``model_sha256``,
        ``backend`` and ``mode``).
    FrameRateWarning
        If the frames of a file are not equally spaced in time (entry ``timestamps_s``).

    Examples
    --------
    >>> import numpy as np
    >>> from smilefusion.clips import check_clips
    >>> check_clips(np.zeros((4, 50, 478, 3), dtype=np.float32))
    4 clips, 478 landmarks, unknown fps, 50 frames
    """
    if isinstance(X, ClipSequence):
        clips = X
    else:
        items = _list_clips(X)
        facts = [check_item(item, clip_name(i, item)) for i, item in enumerate(items)]
        clips = gather_clips(items, facts)
    if fps is not None or subjects is not None:
        clips = clips.replace(fps=fps, subjects=subjects)
    for index in np.flatnonzero(clips.n_frames < min_frames)[:1]:
        raise InvalidClipError(
            f"{clips.names[index]} has {count(clips.n_frames[index], 'frame')}, but at least "
            f"{min_frames} are needed. Remove it or use a longer clip."
        )
    return clips


def settle_fps(
    clips: _Sequence, fps: float | None, *, fitted_unit: str | None = None
) -> _Sequence:
    """Return clips with frame rates `fps`, or those that they state; check the unit of time."""
    if fps is not None:
        clips = clips.replace(fps=fps)
    check = "check_clips" if isinstance(clips, ClipSequence) else "check_signals"
    unknown = np.flatnonzero(np.isnan(clips.fps))
    if 0 < len(unknown) < len(clips):
        raise InvalidClipError(
            f"{abridge([clips.names[index] for index in unknown])}: no frame rate is stated, but "
            "other clips state one, so durations would mix seconds and frames. Give fps= for all "
            f"clips, or state the rate of each with {check}(X, fps=...)."
        )
    if fitted_unit not in (None, clips.time_unit):
        seconds = fitted_unit == "s"
        raise InvalidClipError(
            f"The clips state {'no' if seconds else 'a'} frame rate, but those of fit did"
            f"{'' if seconds else ' not'}, so durations would be in a different unit. "
            + (
                f"State the rate with {check}(X, fps=...)."
                if seconds
                else "Fit to clips with known frame rates, or pass these as a list of arrays."
            )
        )
    if len(unknown):
        warnings.warn(
            "The clips state no frame rate, so durations are in frames and speeds per frame. "
            "Give fps= to measure in seconds.",
            FrameRateWarning,
            stacklevel=1,  # the same for all steps of a pipeline, so it is shown once
        )
    return clips


def pool_clips(several: Sequence[Any]) -> Any:
    """Return the clips or signals of several sequences, or the rows of several tables, as one.

    Parameters
    ----------
    several : list of sequences of clips, of SignalSequence, or of ndarray (n_rows, n_columns)
        Clips as `check_clips` accepts them, signals with the same names, or tables with the same
        columns.

    Returns
    -------
    pooled : ClipSequence, SignalSequence, list or ndarray
        A ClipSequence if any of the inputs is one. It has subjects if all inputs have them, and
        the signals that all inputs have. Otherwise a SignalSequence, an array of rows or a list of
        clips. No files are read.

    Raises
    ------
    InvalidClipError
        If the clips have different numbers of landmarks or dimensions, or if the inputs are
        signals with different names.
    """
    if all(isinstance(each, np.ndarray) and each.ndim == 2 for each in several):
        return np.concatenate(several)
    if several and all(isinstance(each, SignalSequence) for each in several):
        return pool_signals(several)
    if not any(isinstance(each, ClipSequence) for each in several):
        return [clip for each in several for clip in each]
    parts = [check_clips(each) for each in several]
    known = [part.subjects for part in parts if part.subjects is not None]
    names = [[] if part.signals is None else part.signals.signals for part in parts]
    shared = [name for name in names[0] if all(name in each for each in names)]
    pooled = ClipSequence(
        [item for part in parts for item in part._items],
        [shape for part in parts for shape in part._shapes],
        fps=np.concatenate([part.fps for part in parts]),
        subjects=np.concatenate(known) if len(known) == len(parts) else None,
        signals=pool_signals([check_signals(part, signals=shared) for part in parts])
        if shared
        else None,
    )
    _check_uniform(pooled)
    return pooled


def resample_clips(clips: ClipSequence, fps: float) -> ClipSequence:
    """Return clips that are interpolated to one frame rate when they are read."""
    changes = [partial(resample_clip, fps=float(rate), new_fps=fps) for rate in clips.fps]
    seconds = (clips.n_frames - 1) / clips.fps
    n_frames = [count_resampled(duration, fps) for duration in seconds]
    return change_clips(clips, changes, n_frames=n_frames, fps=fps)


def change_clips(
    clips: ClipSequence,
    changes: Sequence[Callable[[np.ndarray], np.ndarray]],
    *,
    n_frames: ArrayLike | None = None,
    fps: ArrayLike | None = None,
) -> ClipSequence:
    """Return clips that are changed when they are read, each by its own function."""
    lengths = clips.n_frames if n_frames is None else np.asarray(n_frames)
    return ClipSequence(
        [*map(ChangedItem, clips._items, changes)],
        [(int(n), *shape[1:]) for n, shape in zip(lengths, clips._shapes, strict=True)],
        fps=clips.fps if fps is None else fps,
        subjects=clips.subjects,
        names=clips.names,
    )


def fraction_clips(
    paths: Sequence[Path], shapes: Sequence[tuple[int, ...]], aspects: Sequence[float]
) -> ClipSequence:
    """Return the clips of files in fractions of images with these aspect ratios."""
    return ClipSequence([*map(FractionsFile, paths, aspects)], shapes)


def recording_of(clips: ClipSequence, index: int) -> Recording:
    """Return what the file of a clip states about the recording."""
    item = clips._items[index]
    if isinstance(item, Path):
        return read_recording(item, clips.names[index])
    return item.recording if isinstance(item, HeldFile) else Recording()


def path_of(clips: ClipSequence, index: int) -> Path | None:
    """Return the file that a clip comes from, even if its values are converted or in memory."""
    item = clips._items[index]
    return item if isinstance(item, Path) else getattr(item, "path", None)


def read_clip(path: str | os.PathLike) -> np.ndarray:
    """Read one clip from a ``.npy`` or ``.npz`` file.

    Parameters
    ----------
    path : str or path-like
        The file, as described in `check_clips`.

    Returns
    -------
    clip : ndarray of shape (n_frames, n_landmarks, n_dims)
        Coordinates in isotropic units, NaN in frames without a face. A ``.npy`` file is
        memory-mapped, read-only.

    Raises
    ------
    InvalidClipError
        If the file is absent, damaged, or breaks a rule.
    """
    path = Path(path)
    return read_whole(path, f"The clip {printable(path.name)}")[1].clip


def read_fps(path: str | os.PathLike) -> float | None:
    """Read the frame rate that a clip file states.

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
    fps = read_facts(path, f"The clip {printable(path.name)}").fps
    return None if np.isnan(fps) else fps


def _list_clips(X: Any) -> list[np.ndarray | Path]:
    """Return the unchecked clips of X: arrays and Paths."""
    if isinstance(X, (str, bytes, os.PathLike)):
        raise InvalidClipError(
            f"X is one path, {str(X)!r}; a sequence of clips is needed. {_WRAP}"
        )
    if isinstance(X, Mapping) or not hasattr(X, "__len__") or hasattr(X, "columns"):
        raise InvalidClipError(
            f"X is of type {type(X).__name__}; a sequence of clips is needed, such as a list of "
            "arrays (n_frames, n_landmarks, n_dims) or of paths. Pass a list of clips."
        )
    if isinstance(X, np.ndarray) and X.ndim not in (1, 4):
        one_clip = f" {_WRAP}" if X.ndim == 3 else " Pass a list of clips."
        raise InvalidClipError(
            f"X is an array with {X.ndim} axes; one of 4 axes (n_clips, n_frames, n_landmarks, "
            f"n_dims) or a sequence of clips is needed.{one_clip}"
        )
    if len(X) == 0:
        raise InvalidClipError("X holds no clips; at least one is needed. Pass a non-empty list.")
    return [as_item(item, f"Clip {index}") for index, item in enumerate(X)]


def gather_clips(
    items: Sequence[Any], facts: Sequence[Facts], *, files: Sequence[Path] | None = None
) -> ClipSequence:
    """Return a ClipSequence from clips and their facts; messages name the clips or `files`."""
    shapes, fps, models, uneven = zip(*facts, strict=True)
    named = items if files is None else files
    names = [*map(clip_name, range(len(items)), named)]
    clips = ClipSequence(items, shapes, fps=np.array(fps), names=names)
    _check_uniform(clips)
    _warn_of_models(named, models)
    _warn_of_uneven(named, uneven)
    return clips


def _warn_of_models(items: Sequence[Any], models: Sequence[str | None]) -> None:
    stated = {model: item for item, model in zip(items, models, strict=True) if model is not None}
    if len(stated) > 1:
        examples = [
            f"{printable(item.name)} ({printable(model)})" for model, item in stated.items()
        ]
        warnings.warn(
            f"The clips come from {len(stated)} landmark models: {', '.join(examples)}. Their "
            "points differ by about 1 % of the inter-ocular distance, and a classifier can "
            "mistake this for the class. Extract all clips with one model, program and mode.",
            DataWarning,
            stacklevel=4,
        )


def _warn_of_uneven(items: Sequence[Any], uneven: Sequence[bool]) -> None:
    names = [item.name for item, is_uneven in zip(items, uneven, strict=True) if is_uneven]
    if names:
        warnings.warn(
            f"{abridge(names)}: the frames are not equally spaced in time, but speeds and "
            "durations are computed as if they were. To resample the frames, extract the "
            "landmarks again with fps=30 or smilefusion landmarks --fps 30.",
            FrameRateWarning,
            stacklevel=4,
        )


def _check_uniform(clips: ClipSequence) -> None:
    groups: dict[tuple[int, int], list[str]] = {}
    for name, (_, n_landmarks, n_dims) in zip(clips.names, clips._shapes, strict=True):
        groups.setdefault((n_landmarks, n_dims), []).append(name)
    if len(groups) > 1:
        found = [f"{n} landmarks in {d} dimensions ({abridge(groups[n, d])})" for n, d in groups]
        raise InvalidClipError(
            f"Some clips have {', others '.join(found)}, but all must have the same number of "
            "landmarks and dimensions. Process each group separately."
        )
