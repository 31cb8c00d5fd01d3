"""The table of phases: limits, quality, counts and flags of each clip."""

import numpy as np
import pandas as pd
from scipy.signal import find_peaks

from smilefusion.dmarkers._blinks import count_blinks
from smilefusion.dmarkers._phases import between, until

BOUNDARIES = ("onset_start", "apex_start", "offset_start", "offset_end")
# A dip and a recovery of the lip signal by this fraction of the smile part two peaks.
PEAK_PROMINENCE = 0.2


def tabulate_phases(batch, phases, lip, fine, blinks):
    """Tabulate the phases of a batch of clips.

    Parameters
    ----------
    batch : ClipBatch
        The clips.
    phases : Phases
        Their phases.
    lip, fine : ndarray of shape (n_clips, n_frames)
        Lip amplitude as measured, and smoothed lightly.
    blinks : bool ndarray of shape (n_clips, n_frames)
        The frames of a blink.

    Returns
    -------
    table : DataFrame with n_clips rows
        One row per clip, at its position in the sequence: the limits in frames of the clip as
        given, quality, counts and flags.
    """
    frames = (phases.frames + batch.starts[:, None]).astype(float)
    has_onset, _, has_offset = phases.present.T
    frames[~phases.is_smile] = np.nan
    frames[~has_onset, 0] = np.nan
    frames[~has_offset, 3] = np.nan
    n_peaks = _count_peaks(fine, phases)
    return pd.DataFrame(frames, columns=BOUNDARIES, index=batch.indices).assign(
        amplitude=phases.amplitude,
        phase_quality=rate_phases(lip, fine, phases, batch.lengths),
        n_peaks=n_peaks,
        n_blinks=count_blinks(blinks & until(blinks, batch.lengths - 1)),
        n_missing=batch.n_missing,
        n_jumps=batch.n_jumps,
        no_smile=~phases.is_smile,
        no_onset=~has_onset,
        no_offset=~has_offset,
        several_peaks=n_peaks > 1,
        cut=batch.is_cut,
    )


def rate_phases(lip, fine, phases, lengths):
    r"""Rate how well a rise, a hold and a fall describe the lip signal.

    Parameters
    ----------
    lip, fine : ndarray of shape (n_clips, n_frames)
        Lip amplitude as measured, and smoothed lightly.
    phases : Phases
        The phases found.
    lengths : ndarray of shape (n_clips,)
        Number of frames of each clip.

    Returns
    -------
    quality : ndarray of shape (n_clips,)
        Share of the signal's variance, 0 to 1, that the description explains: constant before
        the onset, in the apex and after the offset, monotone in between. 0 without a smile.

    Notes
    -----
    The description is the mean of A in the constant parts and the running maximum of the fine
    signal, forwards in the onset and backwards in the offset, in the others. Jitter, drift,
    further smiles and hesitant rises all lower the figure.
    """
    start, onset_end, offset_start, stop = phases.frames.T
    inside = until(lip, lengths - 1)
    zero = np.zeros_like(start)
    rising, falling = between(lip, start, onset_end), between(lip, offset_start, stop)
    highest = np.maximum.accumulate(np.where(rising, fine, -np.inf), axis=1)
    fit = np.where(rising, highest, 0)
    highest = np.maximum.accumulate(np.where(falling, fine, -np.inf)[:, ::-1], axis=1)[:, ::-1]
    fit = np.where(falling, highest, fit)
    for first, last in ((zero, start), (onset_end, offset_start), (stop, lengths - 1)):
        level = between(lip, first, last)
        mean = np.where(level, lip, 0).sum(axis=1) / level.sum(axis=1)
        fit = np.where(level, mean[:, None], fit)
    mean = np.where(inside, lip, 0).sum(axis=1) / lengths
    left = np.where(inside, (lip - fit) ** 2, 0).sum(axis=1)
    total = np.where(inside, (lip - mean[:, None]) ** 2, 0).sum(axis=1)
    return np.where(phases.is_smile, 1 - left / np.where(total > 0, total, np.inf), 0).clip(0, 1)


def _count_peaks(lip, phases):
    """Count the peaks of each clip's smile."""
    counts = np.zeros(len(lip), dtype=int)
    for index in np.flatnonzero(phases.is_smile):
        first, *_, last = phases.frames[index]
        prominence = PEAK_PROMINENCE * phases.amplitude[index]
        smile = lip[index, first : last + 1]
        # Of equal peaks one must be higher for its prominence to be the dip between them.
        smile = smile + np.linspace(0, 1e-9 * phases.amplitude[index], len(smile))
        # A level below all others at both ends makes a peak of a rise that the clip cuts.
        smile = np.pad(smile, 1, constant_values=-np.inf)
        counts[index] = len(find_peaks(smile, prominence=prominence)[0])
    return counts
