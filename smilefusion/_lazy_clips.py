"""Sequences of clips that are made of others, each clip read when it is asked for."""

from numbers import Integral

import numpy as np

from smilefusion._resampling import count_resampled, resample_by_time
from smilefusion.clips import ClipSequence, check_clips


class LazyClips(ClipSequence):
    """Base of sequences whose subsets read nothing; they define `_read` and `take`.

    An int gives a clip; a slice, a mask or an array of ints gives a sequence of the same kind, so
    that scikit-learn's splits read nothing.

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
    shape : tuple
        The number of clips, (n_clips,).
    """

    def __init__(self, items, shapes, *, indices=None):
        super().__init__(items, shapes, indices=indices)
        self.shape = (len(items),)

    def __getitem__(self, index):
        if isinstance(index, Integral):
            return self._read(index)
        if isinstance(index, tuple):  # scikit-learn indexes what has a shape by (rows, ...)
            index = index[0]
        return self.take(np.arange(len(self))[index])

    def _read(self, index):
        """Return one clip."""
        return super().__getitem__(index)

    def take(self, rows):
        """Return the sequence of some clips, given by their positions."""
        raise NotImplementedError


class PooledClips(LazyClips):
    """Hold the clips of several sequences one after another; reading is left to each.

    Parameters
    ----------
    parts : list of ClipSequence
        The sequences.
    places : list of (int, int), default=None
        The number of the sequence and the row in it of each clip; None takes all.
    indices : sequence of int, default=None
        The numbers of the clips in messages; None counts from 0.
    """

    def __init__(self, parts, places=None, *, indices=None):
        if places is None:
            places = [(i, row) for i, part in enumerate(parts) for row in range(len(part))]
        items = [parts[i]._items[row] for i, row in places]
        shapes = [parts[i]._shapes[row] for i, row in places]
        super().__init__(items, shapes, indices=indices)
        self._parts, self._places = parts, places

    def _read(self, index):
        """Return one clip, as its own sequence reads it."""
        part, row = self._places[index]
        return self._parts[part][row]

    def take(self, rows):
        """Return the sequence of some clips, given by their positions."""
        places, indices = ([each[row] for row in rows] for each in (self._places, self._indices))
        return PooledClips(self._parts, places, indices=indices)


class ResampledClips(LazyClips):
    """Hold clips of another sequence at one frame rate; each is interpolated when it is read.

    Parameters
    ----------
    clips : ClipSequence
        The clips.
    rates : sequence of float
        Frames per second of each clip.
    fps : float
        Frames per second as read.
    rows : list of int, default=None
        Which clips; None takes all.
    indices : sequence of int, default=None
        The numbers of the clips in messages; None counts from 0.
    """

    def __init__(self, clips, rates, fps, *, rows=None, indices=None):
        rows = range(len(clips)) if rows is None else rows
        items = [clips._items[row] for row in rows]
        shapes = [
            (count_resampled((n_frames - 1) / rates[row], fps), *layout)
            for row, (n_frames, *layout) in ((row, clips._shapes[row]) for row in rows)
        ]
        super().__init__(items, shapes, indices=indices)
        self._clips, self._rates, self._fps, self._rows = clips, rates, fps, rows

    def _read(self, index):
        """Return one clip at the new rate."""
        row = self._rows[index]
        clip, rate = self._clips[row], self._rates[row]
        if len(clip) == 1 or rate == self._fps:
            return clip
        return resample_by_time(clip, np.arange(len(clip)) / rate, self._fps)[0]

    def take(self, rows):
        """Return the sequence of some clips, given by their positions."""
        kept, indices = ([each[row] for row in rows] for each in (self._rows, self._indices))
        return ResampledClips(self._clips, self._rates, self._fps, rows=kept, indices=indices)


def pool_clips(several):
    """Return the clips of several sequences, or the rows of several tables, as one.

    Parameters
    ----------
    several : list of sequences of clips or of tables (n_rows, n_columns)
        Clips as `smilefusion.clips.check_clips` takes them, or tables of the same columns.

    Returns
    -------
    pooled : list, ndarray or PooledClips
        What estimators take. Nothing is read that was not in memory.
    """
    if all(isinstance(each, np.ndarray) and each.ndim == 2 for each in several):
        return np.concatenate(several)
    if any(isinstance(each, ClipSequence) for each in several):
        return PooledClips([check_clips(each) for each in several])
    return [clip for each in several for clip in each]
