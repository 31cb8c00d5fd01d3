"""Find the onset, apex and offset of smiles in the lip signal, and rate and tabulate them."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.signal import find_peaks

from smilefusion.clips._resampling import run_lengths
from smilefusion.dmarkers._blinks import count_blinks
from smilefusion.dmarkers._clip_batches import ClipBatch
from smilefusion.dmarkers._descriptors import ratio
from smilefusion.dmarkers._smoothing import smooth

PHASES = ("onset", "apex", "offset")
BOUNDARIES = ("onset_start", "apex_start", "offset_start", "offset_end")

# Smoothing windows in seconds. At 25 and 50 frames per second they span 4 and 8 frames on either
# side for the limits of the phases, and 6 and 12 for their first estimate and for jitter.
FINE_WINDOW_S = 0.32
COARSE_WINDOW_S = 0.5
# Minimum spread of the lip corners in a smile, in mouth widths at rest. Real smiles spread them by
# 0.15 on average (SD 0.08), slow landmark jitter by 0.003.
MIN_AMPLITUDE = 0.02
# Minimum amplitude of a smile in standard deviations of the frame-to-frame jitter.
MIN_JITTERS = 4.0
# A rise or fall below this fraction of the other one is not an onset or offset: the clip starts
# after the onset, or ends before the offset.
MIN_FRACTION = 0.1
# A clip starts or ends during the smile if it shows less rest than this, or if the rise or the
# fall is less than this fraction of the other one. Among simulated clips, this holds for 3 % of
# uncut clips, for 91 % (start) or 67 % (end) of the clips that miss a tenth to a quarter of the
# movement, and for 97 % of the clips that miss more than half.
MIN_REST_S = 0.1
MIN_WHOLE_FRACTION = 0.5
# Cost of a second of onset or offset in the steepest path, as a fraction of the signal's range.
# Slower changes are drift.
COST_PER_SECOND = 0.2
# The levels of rest and apex are a quartile and a tercile of the signal there, so half-finished
# movements and dips of the apex do not shift them.
REST_QUANTILE = 1 / 4
APEX_QUANTILE = 2 / 3
# A transition lasts from 4 to 96 % of the change. Strong jitter moves these limits to four of its
# standard deviations from the levels of rest and apex, but not beyond 15 and 85 %.
MIN_LEVEL = 0.04
MAX_LEVEL = 0.15
LEVEL_IN_JITTERS = 4.0
# Two peaks of the lip signal are separated by a dip of at least this fraction of the smile.
PEAK_PROMINENCE = 0.2
MAD_TO_SD = 1.4826  # of normal jitter


@dataclass(frozen=True, eq=False)
class Phases:
    """Phases of smiles; neighbouring phases share their end frame."""

    frames: np.ndarray  # (n_clips, 4), increasing limits; an absent onset or offset is empty
    has_onset: np.ndarray
    has_offset: np.ndarray
    is_smile: np.ndarray
    rise: np.ndarray
    fall: np.ndarray

    @property
    def amplitude(self) -> np.ndarray:
        """Change of the lip signal: the greater of rise and fall."""
        return np.maximum(self.rise, self.fall)

    @property
    def present(self) -> np.ndarray:
        """Whether each phase is present, (n_clips, 3)."""
        ones = np.ones_like(self.has_onset)
        return np.stack([self.has_onset, ones, self.has_offset], axis=1) & self.is_smile[:, None]


def segment(
    lip: np.ndarray,
    lengths: np.ndarray,
    fps: float,
    *,
    smoothing: str | None,
    method: str,
    min_amplitude: float = MIN_AMPLITUDE,
) -> tuple[Phases, np.ndarray]:
    """Find the phases of smiles in lip signals; return them and the lightly smoothed signals."""
    held = np.minimum(np.arange(lip.shape[1]), lengths[:, None] - 1)
    coarse, fine = (
        # Filters leave the padding undefined, so the last value is repeated.
        np.take_along_axis(smooth(lip, lengths, method=smoothing, window=window, fps=fps), held, 1)
        for window in (COARSE_WINDOW_S, FINE_WINDOW_S)
    )
    jitter = _jitter(lip - fine, lip, lengths)
    frames, rise, fall = SEGMENTATIONS[method](lip, coarse, fine, lengths, fps)
    has_onset, has_offset = rise > MIN_FRACTION * fall, fall > MIN_FRACTION * rise
    frames[:, :2] = np.where(has_onset[:, None], frames[:, :2], 0)
    frames[:, 2:] = np.where(has_offset[:, None], frames[:, 2:], lengths[:, None] - 1)
    phases = Phases(
        frames=frames,
        has_onset=has_onset,
        has_offset=has_offset,
        is_smile=np.maximum(rise, fall) >= np.maximum(min_amplitude, MIN_JITTERS * jitter),
        rise=rise,
        fall=fall,
    )
    return phases, fine


_Segments = tuple[np.ndarray, np.ndarray, np.ndarray]  # limits (n_clips, 4), rise, fall


def segment_transitions(
    lip: np.ndarray, coarse: np.ndarray, fine: np.ndarray, lengths: np.ndarray, fps: float
) -> _Segments:
    """Find where the lip signal leaves and reaches the levels of rest and apex."""
    # The steepest path gives the levels before, during and after the smile. As in IEEE Std
    # 181-2011, a rise starts at the last crossing of its lower reference level before half of the
    # change and ends at the first crossing of the upper level after it. A fall is the reverse.
    path = np.minimum(steepest_path(coarse, fps), lengths[:, None] - 1)
    before, top, after = _levels(lip, path, lengths)
    rise, fall = np.maximum(top - before, 0), np.maximum(top - after, 0)
    jitter = _jitter(fine - coarse, lip, lengths)
    level = ratio(LEVEL_IN_JITTERS * jitter, np.maximum(rise, fall), np.inf)
    level = level.clip(MIN_LEVEL, MAX_LEVEL)

    first = np.where(rise > MIN_FRACTION * fall, path[:, 0], 0)
    last = np.where(fall > MIN_FRACTION * rise, path[:, 3], lengths - 1)
    inside = _between(lip, first, last)
    half_up = _first(inside & _reaches(fine, before + rise / 2), fine, inside)
    inside &= _between(lip, half_up, last)
    half_down = _last(inside & _reaches(fine, after + fall / 2), half_up)

    low, high = before + level * rise, top - level * rise
    start = _last(_until(lip, half_up) & ~_exceeds(fine, low), 0)
    inside = _between(lip, half_up, half_down)
    onset_end = _first(inside & _reaches(fine, high), fine, inside)
    start, onset_end = _nearest(fine, start, low, onset_end, high)

    low, high = after + level * fall, top - level * fall
    inside = _between(lip, onset_end, half_down)
    offset_start = _last(inside & _reaches(fine, high), onset_end)
    settled = _between(lip, half_down, lengths - 1) & ~_exceeds(fine, low)
    stop = np.where(settled.any(axis=1), settled.argmax(axis=1), lengths - 1)
    offset_start, stop = _nearest(fine, offset_start, high, stop, low)
    return np.stack([start, onset_end, offset_start, stop], axis=1), rise, fall


def segment_longest_run(
    lip: np.ndarray, coarse: np.ndarray, fine: np.ndarray, lengths: np.ndarray, fps: float
) -> _Segments:
    """Find the longest pair of a strict increase and a later strict decrease of `fine`."""
    # H. Dibeklioglu, A. A. Salah, T. Gevers, "Are You Really Smiling at Me?", ECCV 2012.
    frames = _best_pair(fine, _runs)
    values = np.take_along_axis(fine, frames, axis=1)
    return frames, values[:, 1] - values[:, 0], values[:, 2] - values[:, 3]


SEGMENTATIONS = {
    "transitions": segment_transitions,
    "longest_run": segment_longest_run,
}


def steepest_path(signals: np.ndarray, fps: float) -> np.ndarray:
    """Find the rise and later fall with the greatest change minus a cost for their duration."""
    # They maximise the sum of d - c over the rise and -d - c over the fall, with steps d and cost
    # c per frame. With P(t) = A(t) - c t the first sum is P(end) - P(start), so running minima and
    # maxima find the best pair in linear time (Bentley, Communications of the ACM 27(9), 1984).
    cost = COST_PER_SECOND * np.ptp(signals, axis=1, keepdims=True) / fps
    return _best_pair(signals, lambda values: _rises(values, cost))


def find_cuts(phases: Phases, lengths: np.ndarray, fps: float) -> tuple[np.ndarray, np.ndarray]:
    """Return whether each clip starts during the smile, and whether it ends during the smile."""
    least = MIN_REST_S * fps
    short_rise = phases.rise < MIN_WHOLE_FRACTION * phases.fall
    short_fall = phases.fall < MIN_WHOLE_FRACTION * phases.rise
    at_start = ~phases.has_onset | (phases.frames[:, 0] < least) | short_rise
    at_end = ~phases.has_offset | (lengths - 1 - phases.frames[:, 3] < least) | short_fall
    return at_start & phases.is_smile, at_end & phases.is_smile


def tabulate_phases(
    batch: ClipBatch,
    phases: Phases,
    lip: np.ndarray,
    fine: np.ndarray,
    blinks: np.ndarray,
    fps: float,
) -> pd.DataFrame:
    """Tabulate limits, quality, counts and flags, one row per clip at its index."""
    frames = (phases.frames + batch.starts[:, None]).astype(float)
    has_onset, _, has_offset = phases.present.T
    frames[~phases.is_smile] = np.nan
    frames[~has_onset, 0] = np.nan
    frames[~has_offset, 3] = np.nan
    n_peaks = _count_peaks(fine, phases)
    cut_at_start, cut_at_end = find_cuts(phases, batch.lengths, fps)
    return pd.DataFrame(frames, columns=list(BOUNDARIES), index=batch.indices).assign(
        amplitude=phases.amplitude,
        phase_quality=_rate_phases(lip, fine, phases, batch.lengths),
        n_peaks=n_peaks,
        n_blinks=count_blinks(blinks & _until(blinks, batch.lengths - 1)),
        n_missing=batch.n_missing,
        n_jumps=batch.n_jumps,
        no_smile=~phases.is_smile,
        no_onset=~has_onset,
        no_offset=~has_offset,
        cut_at_start=cut_at_start,
        cut_at_end=cut_at_end,
        several_peaks=n_peaks > 1,
        cut=batch.is_cut,
    )


def _rate_phases(
    lip: np.ndarray, fine: np.ndarray, phases: Phases, lengths: np.ndarray
) -> np.ndarray:
    """Return the share of the variance of the lip signal that its phases explain, 0 to 1."""
    # The fit is the mean before the onset, in the apex and after the offset, and the running
    # maximum of the fine signal in the onset (forwards) and in the offset (backwards).
    start, onset_end, offset_start, stop = phases.frames.T
    inside = _until(lip, lengths - 1)
    zero = np.zeros_like(start)
    rising, falling = _between(lip, start, onset_end), _between(lip, offset_start, stop)
    highest = np.maximum.accumulate(np.where(rising, fine, -np.inf), axis=1)
    fit = np.where(rising, highest, 0)
    highest = np.maximum.accumulate(np.where(falling, fine, -np.inf)[:, ::-1], axis=1)[:, ::-1]
    fit = np.where(falling, highest, fit)
    for first, last in ((zero, start), (onset_end, offset_start), (stop, lengths - 1)):
        level = _between(lip, first, last)
        mean = np.where(level, lip, 0).sum(axis=1) / level.sum(axis=1)
        fit = np.where(level, mean[:, None], fit)
    mean = np.where(inside, lip, 0).sum(axis=1) / lengths
    residual = np.where(inside, (lip - fit) ** 2, 0).sum(axis=1)
    total = np.where(inside, (lip - mean[:, None]) ** 2, 0).sum(axis=1)
    explained = 1 - residual / np.where(total > 0, total, np.inf)
    return np.where(phases.is_smile, explained, 0).clip(0, 1)


def _count_peaks(lip: np.ndarray, phases: Phases) -> np.ndarray:
    counts = np.zeros(len(lip), dtype=int)
    for index in np.flatnonzero(phases.is_smile):
        first, *_, last = phases.frames[index]
        prominence = PEAK_PROMINENCE * phases.amplitude[index]
        smile = lip[index, first : last + 1]
        # A slight slope breaks ties, because two equal peaks would both be fully prominent.
        smile = smile + np.linspace(0, 1e-9 * phases.amplitude[index], len(smile))
        # Low values at both ends turn a rise that the end of the clip cuts into a peak.
        smile = np.pad(smile, 1, constant_values=-np.inf)
        counts[index] = len(find_peaks(smile, prominence=prominence)[0])
    return counts


def _best_pair(
    signals: np.ndarray, find: Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]
) -> np.ndarray:
    """Return the limits of the rise and the later fall with the greatest total score."""
    # `find` returns the score and the start of the best rise that ends in each frame.
    score_up, start, end = _best_until(*find(signals))
    score_down, last, first = (part[:, ::-1] for part in _best_until(*find(signals[:, ::-1])))
    split = (score_up + score_down).argmax(axis=1)[:, None]
    rise = [np.take_along_axis(part, split, axis=1) for part in (start, end)]
    fall = [np.take_along_axis(part, split, axis=1) for part in (first, last)]
    return np.hstack([*rise, *(signals.shape[1] - 1 - part for part in fall)])


def _best_until(score: np.ndarray, start: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return score, start and end of the best rise that ends no later than each frame."""
    frames = np.arange(score.shape[1])
    best = np.maximum.accumulate(score, axis=1)
    improves = np.ones(score.shape, dtype=bool)
    improves[:, 1:] = score[:, 1:] > best[:, :-1]
    end = np.maximum.accumulate(np.where(improves, frames, 0), axis=1)
    return best, np.take_along_axis(start, end, axis=1), end


def _rises(signals: np.ndarray, cost: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return gain and start of the best rise that ends in each frame."""
    frames = np.arange(signals.shape[1])
    score = signals - cost * frames
    lowest = np.minimum.accumulate(score, axis=1)
    start = np.maximum.accumulate(np.where(score == lowest, frames, 0), axis=1)
    return score - lowest, start


def _runs(signals: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return length and start of the strict increase that ends in each frame."""
    frames = np.arange(signals.shape[1])
    breaks = np.diff(signals, axis=1, prepend=np.inf) <= 0
    lengths = run_lengths(~breaks)
    return lengths, frames - lengths


def _levels(
    lip: np.ndarray, path: np.ndarray, lengths: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the resting level before, apex level and resting level after a rough location."""
    zero, moving = np.zeros(len(lip), dtype=int), _moving(lip)
    parts = (
        (zero, path[:, 0], REST_QUANTILE),
        (path[:, 1], path[:, 2], APEX_QUANTILE),
        (path[:, 3], lengths - 1, REST_QUANTILE),
    )
    before, top, after = (
        _quantile(lip, _prefer(_between(lip, first, last), moving), quantile)
        for first, last, quantile in parts
    )
    return before, top, after


def _moving(lip: np.ndarray) -> np.ndarray:
    """Mark frames that differ from a neighbour; the others are still or repeats added later."""
    moves = np.pad(np.diff(lip, axis=1) != 0, ((0, 0), (1, 1)), constant_values=True)
    return moves[:, :-1] | moves[:, 1:]


def _prefer(chosen: np.ndarray, preferred: np.ndarray) -> np.ndarray:
    """Keep the preferred frames among those chosen in each row, or all if none is preferred."""
    both = chosen & preferred
    return np.where(both.any(axis=1, keepdims=True), both, chosen)


def _jitter(residuals: np.ndarray, lip: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """Return the robust standard deviation of the residuals of each clip."""
    chosen = _until(lip, lengths - 1) & _moving(lip)
    return MAD_TO_SD * _quantile(np.abs(residuals), chosen, 0.5)


def _quantile(values: np.ndarray, chosen: np.ndarray, quantile: float) -> np.ndarray:
    """Return a quantile of the chosen values of each row; at least one must be chosen."""
    ordered = np.sort(np.where(chosen, values, np.inf), axis=1)
    position = quantile * (chosen.sum(axis=1) - 1)
    below = position.astype(int)
    rows = np.arange(len(values))
    low, high = ordered[rows, below], ordered[rows, np.ceil(position).astype(int)]
    return low + (position - below) * (high - low)


def _until(values: np.ndarray, last: np.ndarray) -> np.ndarray:
    """Mark the frames of each row up to the last one."""
    return np.arange(values.shape[1]) <= last[:, None]


def _between(values: np.ndarray, first: np.ndarray, last: np.ndarray) -> np.ndarray:
    """Mark the frames of each row from the first to the last one."""
    return _until(values, last) & (np.arange(values.shape[1]) >= first[:, None])


def _reaches(values: np.ndarray, level: np.ndarray) -> np.ndarray:
    return values >= level[:, None]


def _exceeds(values: np.ndarray, level: np.ndarray) -> np.ndarray:
    return values > level[:, None]


def _first(holds: np.ndarray, values: np.ndarray, inside: np.ndarray) -> np.ndarray:
    """Return the first True frame of each row, or the frame of the greatest value inside."""
    greatest = np.where(inside, values, -np.inf).argmax(axis=1)
    return np.where(holds.any(axis=1), holds.argmax(axis=1), greatest)


def _last(holds: np.ndarray, otherwise: np.ndarray | int) -> np.ndarray:
    """Return the last True frame of each row, or `otherwise` if there is none."""
    last = holds.shape[1] - 1 - holds[:, ::-1].argmax(axis=1)
    return np.where(holds.any(axis=1), last, otherwise)


def _nearest(
    values: np.ndarray,
    first: np.ndarray,
    first_level: np.ndarray,
    last: np.ndarray,
    last_level: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """Move first and last frames inwards by one if that is nearer to their levels."""
    inner = _neighbour(values, first, 1, first_level)
    first = np.where(inner < last, inner, first)
    inner = _neighbour(values, last, -1, last_level)
    return first, np.where(inner > first, inner, last)


def _neighbour(values: np.ndarray, frames: np.ndarray, step: int, level: np.ndarray) -> np.ndarray:
    """Return the next frame of each row if it is across the level and nearer to it."""
    neighbours = (frames + step).clip(0, values.shape[1] - 1)
    rows = np.arange(len(values))
    here, there = values[rows, frames] - level, values[rows, neighbours] - level
    return np.where((here * there <= 0) & (np.abs(there) < np.abs(here)), neighbours, frames)
