"""Movements of a simulated face over time: phases, rises and blinks."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.random import Generator
from numpy.typing import ArrayLike

from smilefusion.clips._changes import BLINK_SECONDS

# Mean and SD of ln seconds, (posed, spontaneous), measured on the 1240 UvA-NEMO clips at 50 fps
# (Dibeklioglu, Salah & Gevers, "Are You Really Smiling at Me?", ECCV 2012).
_Pair = tuple[float, float]
_Classes = tuple[_Pair, _Pair]  # (mean, SD): posed, spontaneous
_LN_SECONDS: dict[str, _Classes] = {
    "clip": ((1.090, 0.262), (1.507, 0.423)),
    "lead": ((-1.577, 0.617), (-1.311, 0.723)),
    "onset": ((-0.36, 0.44), (0.09, 0.58)),
    # The measured posed mean is -0.13, but then the lips would move too briefly in the apex.
    "apex": ((0.20, 0.63), (0.31, 0.79)),
    "offset": ((0.09, 0.41), (0.41, 0.54)),
}
# Same source: mean and SD of ln lip amplitude, its correlation with ln onset duration, and mean
# and SD of the eyelid's narrowing in eye widths. The SD is smaller than measured, because the
# measured SD includes blinks, which are simulated separately.
_LN_AMPLITUDE = ((-1.741, 0.408), (-2.010, 0.550))
_AMPLITUDE_ON_ONSET = (0.40, 0.55)
_NARROWING = ((0.0203, 0.018), (0.0275, 0.018))
_NARROWING_KEPT = ((0.65, 0.30), (0.52, 0.30))
# Chosen to match speeds, apex travel and the accuracy of lip descriptors on real clips.
_LN_BURST_SECONDS = ((-1.70, 0.50), (-1.44, 0.50))
_DIPS_PER_SECOND = (0.90, 1.00)
_OFFSET_SHARE = ((0.96, 0.07), (0.935, 0.08))
# An assumption: no measurements of the other regions are published.
_COORDINATION = ((-0.55, 1.0), (0.55, 1.0))

# What differs between the classes.
CUES = ("duration", "speed", "amplitude", "repeated rises", "eyelids", "coordination")

_SUBJECT_PACE = 0.12  # variance share of the subject in ln clip duration
_SUBJECT_SIZE = 0.30  # variance share of the subject in ln amplitude
_AMPLITUDE_LIMITS = (0.03, 0.45)
# Share of clips that end during the smile, measured on the same clips.
_CUT_SHARE = (0.48, 0.57)
_MOST_HIDDEN = 0.35  # largest fraction of the offset that such a clip does not show; an assumption
_TAIL_SECONDS = (0.04, 0.30)  # minimum, and mean excess over it
_MOST_CUT = 0.8  # largest fraction of an onset or offset that is cut
_BURST_SHARE = 0.6
_BLINK_IN_ONSET = 0.1
_BLINK_IN_OFFSET = 0.15
_BLINKS_PER_SECOND = 0.10


@dataclass(frozen=True)
class Smile:
    """Timing, amplitudes and events of one smile; times in seconds from the clip's start."""

    # A cut clip starts after the smile starts, or ends before the smile ends.
    duration: float  # of the clip
    onset_start: float
    apex_start: float
    offset_start: float
    offset_end: float
    amplitude: float
    onset_burst: _Pair
    offset_burst: _Pair
    offset_share: float
    dips: np.ndarray
    narrowing: float
    narrowing_kept: float
    eyelid_lag: float
    blinks: np.ndarray
    coordination: float


def mix_classes(posed: _Pair, spontaneous: _Pair, weight: float) -> _Pair:
    """Interpolate (mean, SD) from posed (weight 0) to spontaneous (1), the SD geometrically."""
    mean = posed[0] + weight * (spontaneous[0] - posed[0])
    return mean, posed[1] * (spontaneous[1] / posed[1]) ** weight


def draw_smile(
    rng: Generator,
    weights: Mapping[str, float],
    *,
    pace: float,
    size: float,
    lead: float | None = None,
    tail: float | None = None,
) -> Smile:
    """Draw a smile, given the class weight of each cue and the deviates of the subject."""
    # A weight of 0 is posed, 1 spontaneous. Lead-in and tail are in seconds; None draws them, and
    # negative values start or end the clip during the smile.
    limits, duration, onset_deviate = _draw_phases(rng, weights["duration"], pace, lead, tail)
    onset_start, apex_start, offset_start, offset_end = limits
    recovery = _draw_normal(rng, _NARROWING_KEPT, weights["eyelids"])
    share = _draw_normal(rng, _OFFSET_SHARE, weights["amplitude"])
    return Smile(
        duration=duration,
        onset_start=onset_start,
        apex_start=apex_start,
        offset_start=offset_start,
        offset_end=offset_end,
        amplitude=_draw_amplitude(rng, weights["amplitude"], onset_deviate, size),
        onset_burst=_draw_burst(rng, weights["speed"], onset_start, apex_start),
        offset_burst=_draw_burst(rng, weights["speed"], offset_start, offset_end),
        offset_share=float(np.clip(share, 0.6, 1.0)),
        dips=_draw_dips(rng, weights["repeated rises"], apex_start, offset_start),
        narrowing=_draw_normal(rng, _NARROWING, weights["eyelids"]),
        narrowing_kept=float(np.clip(recovery, 0.0, 1.0)),
        eyelid_lag=float(rng.normal(0.03, 0.05)),
        blinks=_draw_blinks(rng, duration, (onset_start, apex_start), (offset_start, offset_end)),
        coordination=_draw_normal(rng, _COORDINATION, weights["coordination"]),
    )


def minimum_jerk(x: ArrayLike) -> np.ndarray:
    """Rise from 0 (x <= 0) to 1 (x >= 1) with least jerk (Flash & Hogan, J. Neurosci. 1985)."""
    x = np.clip(x, 0.0, 1.0)
    return x * x * x * (10.0 + x * (6.0 * x - 15.0))


def lip_curve(smile: Smile, seconds: np.ndarray) -> np.ndarray:
    """Return the lip amplitude at the given times, in mouth widths at rest."""
    curve = _travel(seconds, smile.onset_start, smile.apex_start, smile.onset_burst)
    curve -= smile.offset_share * _travel(
        seconds, smile.offset_start, smile.offset_end, smile.offset_burst
    )
    for start, width, depth in smile.dips:
        curve -= depth * _pulse(seconds, start, width / 2, width / 2)
    return smile.amplitude * curve


def eyelid_curve(smile: Smile, seconds: np.ndarray) -> np.ndarray:
    """Return the narrowing of the eyes at the given times without blinks, in eye widths."""
    late = seconds - smile.eyelid_lag
    curve = _travel(late, smile.onset_start, smile.apex_start, smile.onset_burst)
    back = _travel(late, smile.offset_start, smile.offset_end, smile.offset_burst)
    return smile.narrowing * (curve - (1.0 - smile.narrowing_kept) * back)


def blink_curve(smile: Smile, seconds: np.ndarray) -> np.ndarray:
    """Return the closure of the eyes by blinks at the given times, from 0 (open) to 1 (shut)."""
    curve = np.zeros_like(seconds)
    for start in smile.blinks:
        curve += _pulse(seconds, start, *BLINK_SECONDS)
    return curve


def pause_blinks(rng: Generator, start: float, stop: float, seconds: np.ndarray) -> np.ndarray:
    """Return the closure of the eyes by random blinks of a neutral face between two times."""
    blink = sum(BLINK_SECONDS)
    curve = np.zeros_like(seconds)
    free = start
    for time in sorted(rng.uniform(start, stop, rng.poisson(_BLINKS_PER_SECOND * (stop - start)))):
        if free < time < stop - blink:
            curve += _pulse(seconds, time, *BLINK_SECONDS)
            free = time + blink
    return curve


def coordination_curve(smile: Smile, seconds: np.ndarray) -> np.ndarray:
    """Return the signed movement of brows and chin with the lips, in SDs of the population."""
    curve = _travel(seconds, smile.onset_start, smile.apex_start, smile.onset_burst)
    curve -= _travel(seconds, smile.offset_start, smile.offset_end, smile.offset_burst)
    return smile.coordination * curve


def _draw_normal(rng: Generator, classes: _Classes, weight: float) -> float:
    """Draw from the normal distribution between two classes' (mean, SD)."""
    return float(rng.normal(*mix_classes(*classes, weight)))


def _draw_phases(
    rng: Generator, weight: float, pace: float, lead: float | None, tail: float | None
) -> tuple[list[float], float, float]:
    """Draw the limits of the phases, the clip's length and the deviate of ln onset duration."""
    mean, spread = mix_classes(*_LN_SECONDS["clip"], weight)
    deviate = np.sqrt(_SUBJECT_PACE) * pace + np.sqrt(1 - _SUBJECT_PACE) * rng.normal()
    duration = float(np.exp(mean + spread * deviate))
    real_lead = min(np.exp(_draw_normal(rng, _LN_SECONDS["lead"], weight)), 0.25 * duration)
    real_tail = min(_TAIL_SECONDS[0] + rng.exponential(_TAIL_SECONDS[1]), 0.2 * duration)
    is_cut = rng.random() < _CUT_SHARE[0] + weight * (_CUT_SHARE[1] - _CUT_SHARE[0])
    real_tail = 0.0 if is_cut else real_tail
    names = ("onset", "apex", "offset")
    lengths = np.exp([_draw_normal(rng, _LN_SECONDS[name], weight) for name in names])
    lengths *= (duration - real_lead - real_tail) / lengths.sum()
    hidden = rng.uniform(0.0, _MOST_HIDDEN) * lengths[2]
    if is_cut and tail is None:
        # Measured durations end with the clip, so the hidden part is added to them.
        lengths[2] += hidden
        real_tail = -hidden
    lead = real_lead if lead is None else max(lead, -_MOST_CUT * lengths[0])
    tail = real_tail if tail is None else max(tail, -_MOST_CUT * lengths[2])
    limits = lead + np.concatenate([[0.0], np.cumsum(lengths)])
    mean, spread = mix_classes(*_LN_SECONDS["onset"], weight)
    return limits.tolist(), float(limits[3] + tail), float((np.log(lengths[0]) - mean) / spread)


def _draw_amplitude(rng: Generator, weight: float, onset_deviate: float, size: float) -> float:
    """Draw the lip amplitude, larger for longer onsets and for subjects who smile broadly."""
    mean, spread = mix_classes(*_LN_AMPLITUDE, weight)
    posed, spontaneous = np.arctanh(_AMPLITUDE_ON_ONSET)
    correlation = np.tanh(posed + weight * (spontaneous - posed))
    own = np.sqrt(_SUBJECT_SIZE) * size + np.sqrt(1 - _SUBJECT_SIZE) * rng.normal()
    deviate = correlation * onset_deviate + np.sqrt(1 - correlation**2) * own
    return float(np.clip(np.exp(mean + spread * deviate), *_AMPLITUDE_LIMITS))


def _draw_burst(rng: Generator, weight: float, start: float, stop: float) -> _Pair:
    """Draw start and length of the fast part of a rise or fall that lasts from start to stop."""
    length = np.exp(_draw_normal(rng, _LN_BURST_SECONDS, weight))
    length = min(length, stop - start)
    return float(start + rng.uniform(0.0, 0.7) * (stop - start - length)), float(length)


def _draw_dips(rng: Generator, weight: float, start: float, stop: float) -> np.ndarray:
    """Draw partial falls within the apex, each followed by a rise: start (s), width (s), depth."""
    posed, spontaneous = _DIPS_PER_SECOND
    rate = posed * (spontaneous / posed) ** weight
    count = rng.poisson(rate * (stop - start))
    widths = np.minimum(rng.uniform(0.3, 0.9, count), stop - start)
    starts = start + rng.uniform(0.0, 1.0, count) * (stop - start - widths)
    depths = np.minimum(np.exp(rng.normal(np.log(0.12), 0.6, count)), 0.5)
    return np.column_stack([starts, widths, depths])


def _draw_blinks(rng: Generator, duration: float, onset: _Pair, offset: _Pair) -> np.ndarray:
    """Draw the starts of the blinks: within smile onset and offset, and at random."""
    blink = sum(BLINK_SECONDS)
    starts = list(rng.uniform(0.0, duration, rng.poisson(_BLINKS_PER_SECOND * duration)))
    for probability, (start, stop) in ((_BLINK_IN_ONSET, onset), (_BLINK_IN_OFFSET, offset)):
        if rng.uniform() < probability:
            starts.append(rng.uniform(start, max(start, stop - blink)))
    kept: list[float] = []
    for start in sorted(starts):
        apart = not kept or start > kept[-1] + blink
        if apart and 0.1 < start < duration - blink:
            kept.append(start)
    return np.array(kept)


def _travel(seconds: np.ndarray, start: float, stop: float, burst: _Pair) -> np.ndarray:
    """Rise from 0 to 1 between start and stop, mostly within the burst."""
    burst_start, burst_length = burst
    fast = minimum_jerk((seconds - burst_start) / burst_length)
    slow = minimum_jerk((seconds - start) / (stop - start))
    return _BURST_SHARE * fast + (1.0 - _BURST_SHARE) * slow


def _pulse(seconds: np.ndarray, start: float, rise: float, fall: float) -> np.ndarray:
    """Rise from 0 to 1 and fall back to 0."""
    up = minimum_jerk((seconds - start) / rise)
    return up - minimum_jerk((seconds - start - rise) / fall)
