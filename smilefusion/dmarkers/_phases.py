"""Onset, apex and offset of smiles, found in the lip signal."""

from dataclasses import dataclass

import numpy as np

from smilefusion.clips._resampling import run_lengths

PHASES = ("onset", "apex", "offset")

# A lip corner pair that spreads by less is no smile: in units of the mouth's width at rest,
# of which real smiles gain 0.15 in the mean (SD 0.08) and slow landmark jitter 0.003.
MIN_AMPLITUDE = 0.02
# A smile also stands out of the frame-to-frame jitter by this many standard deviations.
MIN_JITTERS = 4.0
# A rise or fall below this fraction of the other one means that the clip starts after the
# onset, or ends before the offset.
MIN_FRACTION = 0.1
# What a second of onset or offset costs in the steepest path, as a fraction of the signal's
# range: slower changes are drift.
COST_PER_SECOND = 0.2
# Levels of rest and apex are a quartile and a tercile of the signal there: half-done movements
# and dips of the apex lie on the other side of them.
REST_QUANTILE = 1 / 4
APEX_QUANTILE = 2 / 3
# A transition lasts from 4 to 96 % of the change, or to where it leaves four standard deviations
# of the jitter, but no further in than 15 and 85 %.
MIN_LEVEL = 0.04
MAX_LEVEL = 0.15
LEVEL_IN_JITTERS = 4.0


@dataclass(frozen=True, eq=False)
class Phases:
    """Phases of smiles; neighbours share their end frame.

    Parameters
    ----------
    frames : int ndarray of shape (n_clips, 4)
        First frame of onset, apex and offset, and last frame of the offset, in rising order. An
        absent onset or offset has no extent.
    has_onset, has_offset : bool ndarray of shape (n_clips,)
        False where the clip starts after the onset, or ends before the offset.
    is_smile : bool ndarray of shape (n_clips,)
        False where there is no smile and hence no phase.
    amplitude : ndarray of shape (n_clips,)
        Greater one of rise and fall.
    """

    frames: np.ndarray
    has_onset: np.ndarray
    has_offset: np.ndarray
    is_smile: np.ndarray
    amplitude: np.ndarray

    @property
    def present(self):
        """Which phases there are, bool ndarray of shape (n_clips, 3)."""
        ones = np.ones_like(self.has_onset)
        return np.stack([self.has_onset, ones, self.has_offset], axis=1) & self.is_smile[:, None]


def segment(lip, coarse, fine, lengths, fps, *, method):
    """Find the phases of smiles.

    Parameters
    ----------
    lip, coarse, fine : ndarray of shape (n_clips, n_frames)
        Lip amplitude as measured, and smoothed more and less strongly.
    lengths : ndarray of shape (n_clips,)
        Number of frames of each clip; `lip` is padded by its last value.
    fps : float
        Frames per second.
    method : {"transitions", "longest_run"}
        A key of `SEGMENTATIONS`.

    Returns
    -------
    phases : Phases
        The phases, in order. A clip shows a smile where onset or offset changes the lip
        amplitude by at least 0.02 of the mouth's width at rest and by four standard deviations
        of the frame-to-frame jitter.
    """
    last = lengths - 1
    held = np.minimum(np.arange(lip.shape[1]), last[:, None])  # filters leave padding undefined
    coarse, fine = (np.take_along_axis(values, held, axis=1) for values in (coarse, fine))
    jitter = 1.4826 * _quantile(np.abs(lip - fine), until(lip, last), 0.5)
    frames, rise, fall = SEGMENTATIONS[method](lip, coarse, fine, lengths, fps)
    amplitude = np.maximum(rise, fall)
    has_onset, has_offset = rise > MIN_FRACTION * fall, fall > MIN_FRACTION * rise
    frames[:, :2] = np.where(has_onset[:, None], frames[:, :2], 0)
    frames[:, 2:] = np.where(has_offset[:, None], frames[:, 2:], last[:, None])
    return Phases(
        frames=frames,
        has_onset=has_onset,
        has_offset=has_offset,
        is_smile=amplitude >= np.maximum(MIN_AMPLITUDE, MIN_JITTERS * jitter),
        amplitude=amplitude,
    )


def segment_transitions(lip, coarse, fine, lengths, fps):
    r"""Find where the lip signal leaves and reaches its levels.

    Parameters
    ----------
    lip, coarse, fine : ndarray of shape (n_clips, n_frames)
        Lip amplitude as measured, and smoothed more and less strongly.
    lengths : ndarray of shape (n_clips,)
        Number of frames of each clip.
    fps : float
        Frames per second.

    Returns
    -------
    frames : int ndarray of shape (n_clips, 4)
        Limits of onset, apex and offset.
    rise, fall : ndarray of shape (n_clips,)
        Change of the lip amplitude over onset and offset, at least 0.

    Notes
    -----
    First, roughly, with d(t) = A(t) - A(t-1) of the coarse signal, the onset (t0, t1] and the
    offset (t2, t3] maximise

    .. math:: \sum_{t=t_0+1}^{t_1} [d(t) - c] + \sum_{t=t_2+1}^{t_3} [-d(t) - c],
              \qquad t_0 \le t_1 \le t_2 \le t_3,

    a pair of maximal-scoring segments, the steepest monotone path under a penalty: jitter and
    pauses inside a rise cost what they take back plus c per frame, so several rises make one
    onset when together they gain more than each alone. c is 0.2 of the signal's range a
    second. The sums telescope: with P(t) = A(t) - c t the first is P(t1) - P(t0), so the best
    onset that ends by frame t is a running maximum of P minus its running minimum, and the best
    pair the maximum over t of such a rise before and such a fall after: linear in the frames.

    Its ends are ill-defined, since a smile sets off and settles gently. So, second, the levels
    are estimated, of the rest before and after by the lower quartile and of the apex by the
    upper tercile of the signal there (half-done movements and dips of the apex lie on the other
    side), and the limits are where the fine signal crosses the reference levels of a fraction x
    of the change, to the nearest frame: the onset lasts from the last crossing of x before half
    of the rise is made to the first of 1 - x after it; the offset likewise. x is 0.04, or four
    standard deviations of the jitter, that is of the difference between the two smoothed
    signals, over the change, at most 0.15: at a lower level jitter would decide.

    References
    ----------
    IEEE Std 181-2011, "IEEE Standard for Transitions, Pulses, and Related Waveforms": state
    levels, reference levels, transition duration.

    J. Bentley, "Programming pearls: algorithm design techniques", Communications of the ACM
    27(9), 1984.
    """
    path = np.minimum(steepest_path(coarse, fps), lengths[:, None] - 1)
    before, top, after = _levels(lip, path, lengths)
    rise, fall = np.maximum(top - before, 0), np.maximum(top - after, 0)
    jitter = 1.4826 * _quantile(np.abs(fine - coarse), until(lip, lengths - 1), 0.5)
    level = _divide(LEVEL_IN_JITTERS * jitter, np.maximum(rise, fall))
    level = level.clip(MIN_LEVEL, MAX_LEVEL)

    first = np.where(rise > MIN_FRACTION * fall, path[:, 0], 0)
    last = np.where(fall > MIN_FRACTION * rise, path[:, 3], lengths - 1)
    inside = between(lip, first, last)
    half_up = _first(inside & _reaches(fine, before + rise / 2), fine, inside)
    inside &= between(lip, half_up, last)
    half_down = _last(inside & _reaches(fine, after + fall / 2), half_up)

    low, high = before + level * rise, top - level * rise
    start = _last(until(lip, half_up) & ~_exceeds(fine, low), 0)
    inside = between(lip, half_up, half_down)
    onset_end = _first(inside & _reaches(fine, high), fine, inside)
    start, onset_end = _nearest(fine, start, low, onset_end, high)

    low, high = after + level * fall, top - level * fall
    inside = between(lip, onset_end, half_down)
    offset_start = _last(inside & _reaches(fine, high), onset_end)
    settled = between(lip, half_down, lengths - 1) & ~_exceeds(fine, low)
    stop = np.where(settled.any(axis=1), settled.argmax(axis=1), lengths - 1)
    offset_start, stop = _nearest(fine, offset_start, high, stop, low)
    return np.stack([start, onset_end, offset_start, stop], axis=1), rise, fall


def segment_longest_run(lip, coarse, fine, lengths, fps):
    """Find the longest continuous increase and, after it, decrease.

    Parameters
    ----------
    lip, coarse, fine : ndarray of shape (n_clips, n_frames)
        Lip amplitude as measured, and smoothed more and less strongly; only `fine` is used.
    lengths : ndarray of shape (n_clips,)
        Number of frames of each clip.
    fps : float
        Frames per second; the runs do not depend on it.

    Returns
    -------
    frames : int ndarray of shape (n_clips, 4)
        Limits of onset, apex and offset: of all runs of strict increase, each with a later run
        of strict decrease, the pair that is longest in all.
    rise, fall : ndarray of shape (n_clips,)
        Change of the lip amplitude over onset and offset.

    References
    ----------
    H. Dibeklioglu, A. A. Salah, T. Gevers, "Are You Really Smiling at Me? Spontaneous versus
    Posed Enjoyment Smiles", ECCV 2012.
    """
    frames = _best_pair(fine, _runs)
    values = np.take_along_axis(fine, frames, axis=1)
    return frames, values[:, 1] - values[:, 0], values[:, 2] - values[:, 3]


SEGMENTATIONS = {
    "transitions": segment_transitions,
    "longest_run": segment_longest_run,
}


def steepest_path(signals, fps):
    """Find the rise and, after it, the fall that together gain most under a penalty on time.

    Parameters
    ----------
    signals : ndarray of shape (n_clips, n_frames)
        Smoothed lip amplitude.
    fps : float
        Frames per second.

    Returns
    -------
    frames : int ndarray of shape (n_clips, 4)
        Start and end of the rise, start and end of the fall.
    """
    cost = COST_PER_SECOND * np.ptp(signals, axis=1, keepdims=True) / fps
    return _best_pair(signals, lambda values: _rises(values, cost))


def _best_pair(signals, find):
    """Return the limits of a rise and a later fall of greatest common score.

    `find` returns for every frame the score and the start of the best rise that ends there.
    """
    score_up, start, end = _bestuntil(*find(signals))
    score_down, last, first = (part[:, ::-1] for part in _bestuntil(*find(signals[:, ::-1])))
    split = (score_up + score_down).argmax(axis=1)[:, None]
    rise = [np.take_along_axis(part, split, axis=1) for part in (start, end)]
    fall = [np.take_along_axis(part, split, axis=1) for part in (first, last)]
    return np.hstack([*rise, *(signals.shape[1] - 1 - part for part in fall)])


def _bestuntil(score, start):
    """Return, for every frame, score, start and end of the best rise that ends by then."""
    frames = np.arange(score.shape[1])
    best = np.maximum.accumulate(score, axis=1)
    improves = np.ones(score.shape, dtype=bool)
    improves[:, 1:] = score[:, 1:] > best[:, :-1]
    end = np.maximum.accumulate(np.where(improves, frames, 0), axis=1)
    return best, np.take_along_axis(start, end, axis=1), end


def _rises(signals, cost):
    """Return, for every frame, gain and start of the best rise that ends there."""
    frames = np.arange(signals.shape[1])
    score = signals - cost * frames
    lowest = np.minimum.accumulate(score, axis=1)
    start = np.maximum.accumulate(np.where(score == lowest, frames, 0), axis=1)
    return score - lowest, start


def _runs(signals):
    """Return, for every frame, length and start of the run of strict increase that ends there."""
    frames = np.arange(signals.shape[1])
    breaks = np.diff(signals, axis=1, prepend=np.inf) <= 0
    lengths = run_lengths(~breaks)
    return lengths, frames - lengths


def _levels(lip, path, lengths):
    """Return the levels of the rest before, the apex and the rest after a rough smile."""
    zero = np.zeros(len(lip), dtype=int)
    return (
        _quantile(lip, between(lip, zero, path[:, 0]), REST_QUANTILE),
        _quantile(lip, between(lip, path[:, 1], path[:, 2]), APEX_QUANTILE),
        _quantile(lip, between(lip, path[:, 3], lengths - 1), REST_QUANTILE),
    )


def _quantile(values, chosen, quantile):
    """Return a quantile of the chosen values of each row, of which there is at least one."""
    ordered = np.sort(np.where(chosen, values, np.inf), axis=1)
    position = quantile * (chosen.sum(axis=1) - 1)
    below = position.astype(int)
    rows = np.arange(len(values))
    low, high = ordered[rows, below], ordered[rows, np.ceil(position).astype(int)]
    return low + (position - below) * (high - low)


def until(values, last):
    """Tell which frames of each row come no later than one.

    Parameters
    ----------
    values : ndarray of shape (n_clips, n_frames)
        Any values; only their shape counts.
    last : ndarray of shape (n_clips,)
        The frame.

    Returns
    -------
    chosen : bool ndarray of shape (n_clips, n_frames)
        True up to that frame, included.
    """
    return np.arange(values.shape[1]) <= last[:, None]


def between(values, first, last):
    """Tell which frames of each row lie between two.

    Parameters
    ----------
    values : ndarray of shape (n_clips, n_frames)
        Any values; only their shape counts.
    first, last : ndarray of shape (n_clips,)
        The frames.

    Returns
    -------
    chosen : bool ndarray of shape (n_clips, n_frames)
        True from the one to the other, both included.
    """
    frames = np.arange(values.shape[1])
    return (frames >= first[:, None]) & (frames <= last[:, None])


def _reaches(values, level):
    return values >= level[:, None]


def _exceeds(values, level):
    return values > level[:, None]


def _divide(numerator, denominator):
    """Divide, giving infinity where the denominator is 0."""
    out = np.full(numerator.shape, np.inf)
    return np.divide(numerator, denominator, out=out, where=denominator > 0)


def _first(holds, values, inside):
    """Return the first frame of each row that holds, or that of the greatest value inside."""
    greatest = np.where(inside, values, -np.inf).argmax(axis=1)
    return np.where(holds.any(axis=1), holds.argmax(axis=1), greatest)


def _nearest(values, first, first_level, last, last_level):
    """Return first and last frames, moved inwards by one where that is nearer to their levels."""
    inner = _neighbour(values, first, 1, first_level)
    first = np.where(inner < last, inner, first)
    inner = _neighbour(values, last, -1, last_level)
    return first, np.where(inner > first, inner, last)


def _neighbour(values, frames, step, level):
    """Return the frame or, across the level and nearer to it, its neighbour of each row."""
    neighbours = (frames + step).clip(0, values.shape[1] - 1)
    rows = np.arange(len(values))
    here, there = values[rows, frames] - level, values[rows, neighbours] - level
    return np.where((here * there <= 0) & (np.abs(there) < np.abs(here)), neighbours, frames)


def _last(holds, otherwise):
    """Return the last frame of each row that holds, or another one."""
    last = holds.shape[1] - 1 - holds[:, ::-1].argmax(axis=1)
    return np.where(holds.any(axis=1), last, otherwise)
