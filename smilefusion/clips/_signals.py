"""Sequences of signals: named time series per clip, with frame rates and subjects."""

import os
import re
import warnings
from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from smilefusion._messages import abridge, count, printable
from smilefusion.clips._facts import FactSequence
from smilefusion.clips._resampling import mean_rate
from smilefusion.exceptions import FrameRateWarning, InvalidClipError

_NUMBER = re.compile(r"^Clip \d+")  # at the start of a name
TIME = "time_s"  # column or index of a table that holds times, not a signal


class SignalSequence(FactSequence):
    """Sequence of the signals of clips with their names, frame rates and subjects.

    `check_signals`, `smilefusion.video.blendshapes` and `smilefusion.readers.read_clips` return
    one. An integer index returns the signals of a clip: a float32 or float64 array of shape
    (n_frames, n_signals). A slice, a mask or an array of integers returns a SignalSequence, so
    scikit-learn can split a sequence without losing the names, frame rates and subjects.

    A frame without a face is NaN in all signals. A signal that was not measured in a clip is
    NaN in all of its frames.

    Parameters
    ----------
    items : sequence of ndarray of shape (n_frames, n_signals)
        The checked signals of each clip.
    signals : sequence of str
        The name of each signal, the same for all clips.
    fps : float or array-like of shape (n_clips,), default=None
        Frames per second; None and NaN mean unknown.
    subjects : array-like of shape (n_clips,), default=None
        The person in each clip; None if unknown.
    names : sequence of str, default=None
        Names of the clips in messages; None gives "Clip 0", "Clip 1" and so on.

    Attributes
    ----------
    signals : tuple of str
        The name of each signal.
    fps, subjects, names
        As given, one entry per clip. A subset keeps them.
    shape : tuple
        (n_clips,).
    n_frames : ndarray of shape (n_clips,)
        Number of frames of each clip, including missing ones.

    Examples
    --------
    >>> import numpy as np
    >>> from smilefusion.clips import check_signals
    >>> signals = check_signals([np.zeros((50, 2))], signals=["AU06_r", "AU12_r"], fps=25)
    >>> signals
    1 clip, 2 signals, 25 fps, 50 frames
    >>> signals[0].shape
    (50, 2)
    """

    def __init__(
        self,
        items: Sequence[np.ndarray],
        signals: Sequence[str],
        *,
        fps: ArrayLike | None = None,
        subjects: ArrayLike | None = None,
        names: Sequence[str] | None = None,
    ) -> None:
        self._items = list(items)
        self.signals = tuple(signals)
        super().__init__(
            [len(item) for item in self._items],
            fps=fps,
            subjects=subjects,
            names=[f"Clip {i}" for i in range(len(self._items))] if names is None else names,
        )

    def table(self, index: int) -> pd.DataFrame:
        """Return the signals of a clip as a table.

        Parameters
        ----------
        index : int
            Position of the clip.

        Returns
        -------
        table : DataFrame with n_frames rows
            One column per signal. The index ``time_s`` is the time since the first frame in
            seconds. If the frame rate is unknown, the index ``frame`` is the number of the
            frame, starting at 0.
        """
        frames = np.arange(self.n_frames[index])
        fps = self.fps[index]
        rows = (
            pd.Index(frames, name="frame") if np.isnan(fps) else pd.Index(frames / fps, name=TIME)
        )
        return pd.DataFrame(self[index], index=rows, columns=list(self.signals))

    def _read(self, index: int) -> np.ndarray:
        return self._items[index]

    def _take(
        self, rows: np.ndarray, *, fps: ArrayLike, subjects: ArrayLike | None
    ) -> "SignalSequence":
        items, names = ([part[row] for row in rows] for part in (self._items, self.names))
        return SignalSequence(items, self.signals, fps=fps, subjects=subjects, names=names)

    def _describe_layout(self) -> list[str]:
        return [count(len(self.signals), "signal")]


def check_signals(
    X: Any,
    *,
    signals: Sequence[str] | None = None,
    min_frames: int = 1,
    fps: ArrayLike | None = None,
    subjects: ArrayLike | None = None,
    names: Sequence[str] | None = None,
) -> SignalSequence:
    """Check signals of clips and return them as a SignalSequence.

    Parameters
    ----------
    X : SignalSequence, ClipSequence or sequence of DataFrame or array-like, n_clips entries
        The signals of each clip, or clips with signals (`ClipSequence.with_signals`). The signals
        of a clip are a table with one row per frame and one column per signal, or an array of
        shape (n_frames, n_signals). They are real numbers. All signals are NaN in a frame
        without a face, and a signal that was not measured is NaN throughout the clip. If a table
        has a column or index ``time_s`` of times in seconds, it determines the frame rate.
    signals : sequence of str, default=None
        The columns of tables or of a SignalSequence to keep, or a name for each column of
        arrays. None keeps all columns and names the columns of arrays "x0", "x1" and so on.
    min_frames : int, default=1
        Minimum number of frames of a clip, including frames without a face.
    fps : float or array-like of shape (n_clips,), default=None
        Frames per second. None uses the rates of a SignalSequence, or computes them from the
        times in tables.
    subjects : array-like of shape (n_clips,), default=None
        The person in each clip. None uses the subjects of a SignalSequence.
    names : sequence of str, default=None
        Names of the clips in messages. None uses the names of a SignalSequence.

    Returns
    -------
    sequence : SignalSequence
        The checked signals.

    Raises
    ------
    InvalidClipError
        If the signals of a clip break a rule; the message names the clip, the rule and the
        remedy.
    ValueError
        If `fps`, `subjects` or `names` does not fit the clips.

    Warns
    -----
    FrameRateWarning
        If the times in a table are not equally spaced.

    Examples
    --------
    >>> import pandas as pd
    >>> from smilefusion.clips import check_signals
    >>> table = pd.DataFrame({"time_s": [0, 0.04, 0.08], "AU12_r": [0.0, 0.5, 1.2]})
    >>> check_signals([table])
    1 clip, 1 signal, 25 fps, 3 frames
    """
    X = _signals_of(X)
    if isinstance(signals, str):
        raise InvalidClipError(
            f"signals must be a sequence of names; got the string {signals!r}. Pass [{signals!r}]."
        )
    chosen = None if signals is None else _check_names(list(signals), "signals")
    people = None
    if isinstance(X, SignalSequence):
        titles = X.names if names is None else list(names)
        arrays, kept = _choose(X, chosen)
        rates, people = X.fps, X.subjects
    else:
        items = _list_items(X)
        titles = [f"Clip {i}" for i in range(len(items))] if names is None else list(names)
        arrays, kept, rates = _read_items(items, titles, chosen)
    sequence = SignalSequence(
        arrays,
        kept,
        fps=rates if fps is None else fps,
        subjects=people if subjects is None else subjects,
        names=titles,
    )
    for index in np.flatnonzero(sequence.n_frames < min_frames)[:1]:
        raise InvalidClipError(
            f"{sequence.names[index]} has {count(sequence.n_frames[index], 'frame')}, but at "
            f"least {min_frames} are needed. Remove it or use a longer clip."
        )
    return sequence


def list_signals(X: Any) -> tuple[str, ...]:
    """Return the names of the signals that check_signals finds in X, unchecked."""
    X = _signals_of(X)
    return X.signals if isinstance(X, SignalSequence) else _name_signals(_list_items(X)[0], "X")


def select_signals(X: Any, chosen: Sequence[str], *, min_frames: int = 1) -> SignalSequence:
    """Check the chosen signals of X, which may be a sequence, tables or arrays."""
    X = _signals_of(X)
    has_names = isinstance(X, SignalSequence) or isinstance(_list_items(X)[0], pd.DataFrame)
    named = X if has_names else check_signals(X)
    return check_signals(named, signals=chosen, min_frames=min_frames)


def pool_signals(several: Sequence[SignalSequence]) -> SignalSequence:
    """Join several sequences whose signals have the same names."""
    first = several[0].signals
    for each in several:
        for name in set(each.signals).symmetric_difference(first):
            raise InvalidClipError(
                f"Some sequences have the signal {printable(name)!r}, but others do not. All must "
                "have the same signals. Select them with check_signals(X, signals=[...])."
            )
    known = [each.subjects for each in several if each.subjects is not None]
    names = [name for each in several for name in each.names]
    return SignalSequence(
        [item for each in several for item in check_signals(each, signals=first)._items],
        first,
        fps=np.concatenate([each.fps for each in several]),
        subjects=np.concatenate(known) if len(known) == len(several) else None,
        names=[_NUMBER.sub(f"Clip {i}", name) for i, name in enumerate(names)],
    )


def _signals_of(X: Any) -> Any:
    """Return the signals of a ClipSequence; return other inputs unchanged."""
    if not isinstance(X, FactSequence) or isinstance(X, SignalSequence):
        return X
    found = getattr(X, "signals", None)
    if found is None:
        raise InvalidClipError(
            "The clips contain landmarks, but signals are needed. Add them with "
            "clips.with_signals(signals)."
        )
    return found


def _choose(
    sequence: SignalSequence, chosen: tuple[str, ...] | None
) -> tuple[list[np.ndarray], tuple[str, ...]]:
    """Return the arrays of chosen signals of a sequence, and their names."""
    found = sequence.signals
    if chosen is None or chosen == found:
        return sequence._items, found
    _require(chosen, found, sequence.names[0] if len(sequence) else "The sequence")
    columns = [found.index(name) for name in chosen]
    return [item[:, columns] for item in sequence._items], chosen


def _list_items(X: Any) -> list[Any]:
    """Return the unchecked tables or arrays of the clips."""
    if isinstance(X, (str, bytes, os.PathLike, Mapping, pd.DataFrame)) or not hasattr(
        X, "__len__"
    ):
        raise InvalidClipError(
            f"X is of type {type(X).__name__}; a sequence with the signals of each clip is "
            "needed, such as a list of DataFrames or arrays (n_frames, n_signals). Wrap the "
            "signals of one clip in a list."
        )
    if isinstance(X, np.ndarray) and X.ndim not in (1, 3):
        raise InvalidClipError(
            f"X is an array with {X.ndim} axes; an array of shape (n_clips, n_frames, n_signals) "
            "or a list of arrays is needed. Wrap the signals of one clip in a list."
        )
    if len(X) == 0:
        raise InvalidClipError("X holds no clips; at least one is needed. Pass a non-empty list.")
    return [*map(_as_pandas, X)]


def _as_pandas(item: Any) -> Any:
    """Return a table of another library, such as polars, as a DataFrame; return others as is."""
    if isinstance(item, pd.DataFrame) or not hasattr(item, "columns"):
        return item
    return pd.DataFrame({name: np.asarray(item[name]) for name in item.columns})


def _name_signals(first: Any, title: str) -> tuple[str, ...]:
    """Return the names of the signals of a clip."""
    if isinstance(first, pd.DataFrame):
        return _check_names([name for name in first.columns if name != TIME], title)
    array = np.asarray(first)
    return tuple(f"x{i}" for i in range(array.shape[-1] if array.ndim == 2 else 0))


def _check_names(found: list[Any], where: str) -> tuple[str, ...]:
    """Check that names of signals are unique strings."""
    bad = [name for name in found if not isinstance(name, str) or found.count(name) > 1]
    if bad or not found:
        problem = f"the name {bad[0]!r}" if bad else "no signals"
        raise InvalidClipError(
            f"{where} has {problem}, but a clip needs one or more signals, whose names are unique "
            "strings. Rename or remove such columns."
        )
    return tuple(found)


def _read_items(
    items: list[Any], titles: list[str], chosen: tuple[str, ...] | None
) -> tuple[list[np.ndarray], tuple[str, ...], np.ndarray]:
    """Return checked arrays (n_frames, n_signals), the names of the signals and frame rates."""
    kept = _name_signals(items[0], titles[0] if titles else "Clip 0") if chosen is None else chosen
    arrays, rates, uneven = [], np.full(len(items), np.nan), []
    for index, item in enumerate(items):
        title = titles[index] if index < len(titles) else f"Clip {index}"
        if isinstance(item, pd.DataFrame):
            rates[index], is_uneven = _read_rate(item, title)
            uneven += [title] if is_uneven else []
            array = _read_columns(item, title, kept, is_selection=chosen is not None)
        else:
            array = _read_array(item, title, kept)
        arrays.append(_check_values(array, kept, title))
    if uneven:
        warnings.warn(
            f"{abridge(uneven)}: the frames are not equally spaced in time, but speeds and "
            "durations are computed as if they were. Resample the tables to equal steps.",
            FrameRateWarning,
            stacklevel=3,
        )
    return arrays, kept, rates


def _read_columns(
    table: pd.DataFrame, title: str, chosen: tuple[str, ...], *, is_selection: bool
) -> np.ndarray:
    """Return the chosen columns of a table."""
    found = _check_names([name for name in table.columns if name != TIME], title)
    _require(chosen, found, title)
    extra = set(found).difference(chosen)
    if extra and not is_selection:
        raise InvalidClipError(
            f"{title} has the signals {abridge(sorted(extra))}, which the first clip does not "
            "have, but all clips must have the same signals. Choose common signals with "
            "signals=[...]."
        )
    for name in chosen:
        dtype = table[name].dtype
        if dtype.kind not in "fiu":
            raise InvalidClipError(
                f"{title} has the column {printable(name)!r} of dtype {dtype}, but signals must "
                "be real numbers. Convert it, or choose other columns with signals=[...]."
            )
    single = all(table[name].dtype == np.float32 for name in chosen)
    return table[list(chosen)].to_numpy(np.float32 if single else np.float64, na_value=np.nan)


def _require(chosen: Sequence[Hashable], found: Sequence[Hashable], title: str) -> None:
    """Raise if a clip does not have all chosen signals."""
    absent = [name for name in chosen if name not in found]
    if absent:
        asked = str(absent[0])
        similar = [name for name in map(str, found) if asked.lower() in name.lower()]
        remedy = (
            f"Did you mean {abridge(similar)}?"
            if similar
            else "Choose signals that all clips have."
        )
        raise InvalidClipError(
            f"{title} has no signal {printable(asked)!r}; it has {abridge(found, 10)}. {remedy}"
        )


def _read_array(item: Any, title: str, chosen: tuple[str, ...]) -> np.ndarray:
    """Return an array of signals, float32 or float64."""
    try:
        array = np.ma.filled(item, np.nan) if np.ma.isMaskedArray(item) else np.asarray(item)
    except (ValueError, TypeError):  # rows of different lengths, or masked integers
        array = np.asarray("")
    if array.dtype.kind not in "fiu" or array.ndim != 2 or array.shape[1] != len(chosen):
        raise InvalidClipError(
            f"{title} is an array of shape {array.shape} and dtype {array.dtype}, but the signals "
            f"of a clip must be real numbers of shape (n_frames, {len(chosen) or 'n_signals'}). "
            "Pass an array with one row per frame and one column per signal."
        )
    return array if array.dtype == np.float32 else array.astype(np.float64, copy=False)


def _read_rate(table: pd.DataFrame, title: str) -> tuple[float, bool]:
    """Return the frame rate from the times of a table, and whether its steps are uneven."""
    if TIME in table.columns:
        times = table[TIME]
    elif table.index.name == TIME:
        times = table.index.to_series()
    else:
        return np.nan, False
    try:
        values = times.to_numpy(dtype=np.float64)
    except (ValueError, TypeError):
        values = np.full(len(times), np.nan)
    if not (np.diff(values) > 0).all():
        raise InvalidClipError(
            f"{title} has times in {TIME!r} that are not numbers or do not increase, but they "
            "must be the times of the frames in seconds. Sort the rows, or rename the column."
        )
    if len(values) < 2:
        return np.nan, False
    rate, is_uneven = mean_rate(values)
    return float(f"{rate:.9g}"), is_uneven  # 25 despite rounded times


def _check_values(array: np.ndarray, chosen: tuple[str, ...], title: str) -> np.ndarray:
    """Check the values of a clip and return them."""
    if 0 in array.shape:
        raise InvalidClipError(
            f"{title} has {array.shape[0]} frames of {count(array.shape[1], 'signal')}, but at "
            "least one frame and one signal are needed. Remove the clip."
        )
    for frame, column in np.argwhere(np.isinf(array))[:1]:
        raise InvalidClipError(
            f"{title} has an infinite value of {printable(chosen[column])!r} in frame {frame}, "
            "but signals must be finite, or NaN if the frame shows no face. Set it to NaN."
        )
    known = ~np.isnan(array)
    if not known.any():
        raise InvalidClipError(
            f"{title} shows no face: all {count(len(array), 'frame')} are missing, but at least "
            "one frame must have signals. Remove the clip."
        )
    partial = ~known & known.any(axis=1, keepdims=True) & known.any(axis=0)
    for frame, column in np.argwhere(partial)[:1]:
        raise InvalidClipError(
            f"{title} has no value of {printable(chosen[column])!r} in frame {frame}, but a frame "
            "must have all signals, or none if it shows no face. Set all signals of the frame to "
            "NaN, or fill in the value."
        )
    return array
