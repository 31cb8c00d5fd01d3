"""The 25 descriptors of a phase of a signal: names, units, formulas, values."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np


class PhaseOfSignals:
    """Hold what the descriptors of one phase are computed from, for several signals at once.

    Parameters
    ----------
    amplitude : ndarray of shape (n_frames, n_signals)
        A(t) of both sides in the frames a ... b of the phase, at least one.
    right, left : ndarray of shape (n_frames, n_signals)
        A(t) of each side.
    fps : float
        Frames per unit of time.
    """

    def __init__(self, amplitude, right, left, fps):
        self.amplitude = amplitude
        self.right, self.left = right, left
        self.fps = fps
        self.n_steps = np.full(amplitude.shape[1], len(amplitude) - 1)
        self.steps = np.diff(amplitude, axis=0)
        self.rising, self.falling = self.steps > 0, self.steps < 0
        self.n_rising, self.n_falling = self.rising.sum(axis=0), self.falling.sum(axis=0)

    @cached_property
    def total_rise(self):
        """Sum of the rising steps."""
        return np.where(self.rising, self.steps, 0.0).sum(axis=0)

    @cached_property
    def total_fall(self):
        """Sum of the falling steps, as a positive number."""
        return -np.where(self.falling, self.steps, 0.0).sum(axis=0)

    @cached_property
    def acceleration(self):
        """Change of speed per unit of time, shape (n_frames - 2, n_signals)."""
        return np.diff(self.steps, axis=0) * self.fps**2


def _ratio(numerator, denominator):
    """Divide counts or sums of each column, giving NaN where the denominator is 0."""
    empty = np.full(numerator.shape, np.nan)
    return np.divide(numerator, denominator, out=empty, where=denominator != 0)


def _mean(values, chosen):
    """Return the mean of the chosen values of each column, NaN for none."""
    return _ratio(np.where(chosen, values, 0.0).sum(axis=0), chosen.sum(axis=0))


def _max(values, chosen):
    """Return the maximum of the chosen values of each column, all positive; NaN for none."""
    largest = np.where(chosen, values, 0.0).max(axis=0, initial=0.0)
    return np.where(largest > 0, largest, np.nan)


@dataclass(frozen=True)
class Descriptor:
    """Describe a phase by one number per signal.

    Parameters
    ----------
    name : str
        Name, the last part of the feature's name.
    unit : str
        Unit: "s" (frames where no frame rate is given), "1", "D" (amplitude) or combined.
    formula : str
        The formula, in the symbols of `DESCRIPTORS`.
    compute : callable
        Maps a PhaseOfSignals to an array of shape (n_signals,).
    """

    name: str
    unit: str
    formula: str
    compute: Callable[[PhaseOfSignals], np.ndarray]


# A(t) amplitude in the frames a ... b, n = b - a, d(t) = A(t) - A(t-1), R and F the rising and
# falling steps, V = d fps the speed, V' = (V(t) - V(t-1)) fps the acceleration. The 25 and their
# order: Dibeklioglu, Salah, Gevers, IEEE TMM 17(3), 2015.
DESCRIPTORS = (
    Descriptor("duration_rising", "s", "|R| / fps", lambda p: p.n_rising / p.fps),
    Descriptor("duration_falling", "s", "|F| / fps", lambda p: p.n_falling / p.fps),
    Descriptor("duration", "s", "n / fps", lambda p: np.full(p.n_rising.shape, p.n_steps / p.fps)),
    Descriptor("duration_ratio_rising", "1", "|R| / n", lambda p: _ratio(p.n_rising, p.n_steps)),
    Descriptor("duration_ratio_falling", "1", "|F| / n", lambda p: _ratio(p.n_falling, p.n_steps)),
    Descriptor("max_amplitude", "D", "max A", lambda p: p.amplitude.max(axis=0)),
    Descriptor("mean_amplitude", "D", "mean A", lambda p: p.amplitude.mean(axis=0)),
    Descriptor(
        "mean_amplitude_rising",
        "D",
        "mean of A over R",
        lambda p: _mean(p.amplitude[1:], p.rising),
    ),
    Descriptor(
        "mean_amplitude_falling",
        "D",
        "mean of A over F",
        lambda p: _mean(p.amplitude[1:], p.falling),
    ),
    Descriptor("std_amplitude", "D", "population SD of A", lambda p: p.amplitude.std(axis=0)),
    Descriptor("total_rise", "D", "sum of d over R", lambda p: p.total_rise),
    Descriptor("total_fall", "D", "sum of |d| over F", lambda p: p.total_fall),
    Descriptor(
        "net_amplitude", "D", "total_rise - total_fall", lambda p: p.total_rise - p.total_fall
    ),
    Descriptor(
        "amplitude_ratio_rising",
        "1",
        "total_rise / (total_rise + total_fall)",
        lambda p: _ratio(p.total_rise, p.total_rise + p.total_fall),
    ),
    Descriptor(
        "amplitude_ratio_falling",
        "1",
        "total_fall / (total_rise + total_fall)",
        lambda p: _ratio(p.total_fall, p.total_rise + p.total_fall),
    ),
    Descriptor(
        "max_speed_rising", "D/s", "max of V over R", lambda p: p.fps * _max(p.steps, p.rising)
    ),
    Descriptor(
        "max_speed_falling",
        "D/s",
        "max of |V| over F",
        lambda p: p.fps * _max(-p.steps, p.falling),
    ),
    Descriptor(
        "mean_speed_rising",
        "D/s",
        "mean of V over R",
        lambda p: p.fps * _ratio(p.total_rise, p.n_rising),
    ),
    Descriptor(
        "mean_speed_falling",
        "D/s",
        "mean of |V| over F",
        lambda p: p.fps * _ratio(p.total_fall, p.n_falling),
    ),
    Descriptor(
        "max_acceleration_positive",
        "D/s^2",
        "max of V' where V' > 0",
        lambda p: _max(p.acceleration, p.acceleration > 0),
    ),
    Descriptor(
        "max_acceleration_negative",
        "D/s^2",
        "max of |V'| where V' < 0",
        lambda p: _max(-p.acceleration, p.acceleration < 0),
    ),
    Descriptor(
        "mean_acceleration_positive",
        "D/s^2",
        "mean of V' where V' > 0",
        lambda p: _mean(p.acceleration, p.acceleration > 0),
    ),
    Descriptor(
        "mean_acceleration_negative",
        "D/s^2",
        "mean of |V'| where V' < 0",
        lambda p: _mean(-p.acceleration, p.acceleration < 0),
    ),
    Descriptor(
        "net_amplitude_per_second",
        "D/s",
        "net_amplitude fps / n",
        lambda p: p.fps * _ratio(p.total_rise - p.total_fall, p.n_steps),
    ),
    Descriptor(
        "left_right_difference",
        "D",
        "|mean of A_left - mean of A_right|",
        lambda p: np.abs(p.left.mean(axis=0) - p.right.mean(axis=0)),
    ),
)


def describe_phase(phase):
    """Compute the 25 descriptors of a phase.

    Parameters
    ----------
    phase : PhaseOfSignals
        The phase.

    Returns
    -------
    values : ndarray of shape (n_signals, 25)
        Descriptors in the order of `DESCRIPTORS`; NaN for the mean, maximum or ratio of an
        empty set of steps.
    """
    return np.stack([descriptor.compute(phase) for descriptor in DESCRIPTORS], axis=1)
