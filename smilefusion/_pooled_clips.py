"""Clips of several sequences as one, each read when it is asked for."""

from numbers import Integral

import numpy as np

from smilefusion.clips import ClipSequence, check_clips


class PooledClips(ClipSequence):
    """Hold the clips of several sequences one after another; reading is left to each.

    An int gives a clip; a slice, a mask or an array of ints gives a PooledClips, so that
    scikit-learn's splits read nothing.

    Parameters
    ----------
    parts : list of ClipSequence
        The sequences.
    places : list of (int, int), default=None
        The number of the sequence and the row in it of each clip; None takes all.
    indices : sequence of int, default=None
        The numbers of the clips in messages; None counts from 0.

    Attributes
    ----------
    shape : tuple
        The number of clips, (n_clips,).
    """

    def __init__(self, parts, places=None, *, indices=None):
        if places is None:
            places = [(i, row) for i, part in enumerate(parts) for row in range(len(part))]
        items = [parts[i]._items[row] for i, row in places]
        shapes = [parts[i]._shapes[row] for i, row in places]
        super().__init__(items, shapes, indices=indices)
        self._parts, self._places = parts, places
        self.shape = (len(items),)

    def __getitem__(self, index):
        if isinstance(index, Integral):
            part, row = self._places[index]
            return self._parts[part][row]
        if isinstance(index, tuple):  # scikit-learn indexes what has a shape by (rows, ...)
            index = index[0]
        rows = np.arange(len(self))[index]
        places, indices = (
            [column[row] for row in rows] for column in (self._places, self._indices)
        )
        return PooledClips(self._parts, places, indices=indices)


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
