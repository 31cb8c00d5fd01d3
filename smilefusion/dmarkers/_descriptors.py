"""The 25 descriptors of a phase of a signal: names, units, formulas, values."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np

# Smaller changes are rounding, not movement: landmarks of real clips jitter by some 1e-4.
ROUNDING = 1e-10


class PhaseSums:
    """Sums and maxima over the phases of signals, from which the descriptors are computed.

    Every array has the shape (..., n_clips, n_phases).

    Parameters
    ----------
    amplitude : ndarray of shape (..., n_clips, n_frames)
        A(t) of both sides.
    right, left : ndarray of shape (..., n_clips, n_frames)
        A(t) of each side.
    frames : int ndarray of shape (n_clips, n_phases + 1)
        Limits of the phases, in rising order; neighbours share their end frame.
    fps : float
        Frames per unit of time.

    Notes
    -----
    A step d(t) belongs to one phase, a ... b, where a < t <= b. So the steps of all clips one
    after another fall into consecutive segments, and one pass of `numpy.ufunc.reduceat` sums a
    quantity over all phases of all clips.
    """

    def __init__(self, amplitude, right, left, frames, fps):
        self.fps = fps
        self._n_columns = amplitude.shape[-1] + 1  # one more than frames: an end for each segment
        rows = np.arange(len(frames))[:, None] * self._n_columns
        self._cuts = (rows + frames + 1).ravel()
        self._firsts = (rows + frames[:, :-1]).ravel()
        self._shape = (*amplitude.shape[:-2], len(frames), frames.shape[1] - 1)
        n_steps = np.diff(frames, axis=1)
        self._empty = n_steps == 0
        self.n_steps = np.broadcast_to(n_steps, self._shape)

        self._amplitude = self._flatten(amplitude)
        self._difference = self._flatten(left - right)
        steps = self._flatten(np.diff(amplitude, axis=-1, prepend=amplitude[..., :1]))
        steps[np.abs(steps) < ROUNDING] = 0
        self._rising, self._falling = steps > 0, steps < 0
        self._steps = steps
        self.n_rising, self.n_falling = self._add(self._rising), self._add(self._falling)
        self.total_rise = self._add(np.maximum(steps, 0))
        self.total_fall = self._add(np.maximum(-steps, 0))

    @cached_property
    def max_amplitude(self):
        """Greatest amplitude."""
        first = self._amplitude[..., self._firsts].reshape(self._shape)
        return np.maximum(self._max(self._amplitude, -np.inf), first)

    @cached_property
    def mean_amplitude(self):
        """Mean amplitude over the frames a ... b."""
        return self._mean(self._amplitude)

    @cached_property
    def mean_amplitude_rising(self):
        """Mean amplitude where it rises."""
        return _ratio(self._add(self._amplitude * self._rising), self.n_rising)

    @cached_property
    def mean_amplitude_falling(self):
        """Mean amplitude where it falls."""
        return _ratio(self._add(self._amplitude * self._falling), self.n_falling)

    @cached_property
    def variance(self):
        """Population variance of the amplitude over the frames a ... b."""
        # Against the mean of each phase, and of its first frame apart, which its steps leave out.
        first = self._amplitude[..., self._firsts].reshape(self._shape) - self.mean_amplitude
        lengths = np.diff(self._cuts, append=self._amplitude.shape[-1])
        means = np.concatenate(
            [self.mean_amplitude, np.zeros((*self._shape[:-1], 1))], axis=-1
        ).reshape(*self._shape[:-2], -1)
        centred = np.array(self._amplitude)
        centred[..., self._cuts[0] :] -= np.repeat(means, lengths, axis=-1)
        return (self._add(centred * centred) + first**2) / (self.n_steps + 1)

    @cached_property
    def mean_difference(self):
        """Mean over the frames a ... b of left less right."""
        return self._mean(self._difference)

    @cached_property
    def max_rise(self):
        """Greatest rising step; NaN without one."""
        return _positive(self._max(self._steps, 0))

    @cached_property
    def max_fall(self):
        """Greatest falling step; NaN without one."""
        return _positive(self._max(-self._steps, 0))

    @cached_property
    def _acceleration(self):
        """Change of each step against the one before; 0 for the first one of a phase."""
        change = np.diff(self._steps, axis=-1, prepend=0)
        change[..., self._firsts + 1] = 0
        change[np.abs(change) < ROUNDING] = 0
        return change * self.fps**2

    @cached_property
    def max_acceleration(self):
        """Greatest positive acceleration; NaN without one."""
        return _positive(self._max(self._acceleration, 0))

    @cached_property
    def max_deceleration(self):
        """Greatest negative acceleration, as a positive number; NaN without one."""
        return _positive(self._max(-self._acceleration, 0))

    @cached_property
    def mean_acceleration(self):
        """Mean positive acceleration; NaN without one."""
        return self._mean_positive(self._acceleration)

    @cached_property
    def mean_deceleration(self):
        """Mean negative acceleration, as a positive number; NaN without one."""
        return self._mean_positive(-self._acceleration)

    def _flatten(self, values):
        """Put the clips one after another, with a zero after each."""
        flat = np.zeros((*values.shape[:-1], self._n_columns))
        flat[..., :-1] = values
        return flat.reshape(*values.shape[:-2], -1)

    def _add(self, values):
        """Sum over the steps of each phase."""
        return self._reduce(np.add, values, 0)

    def _max(self, values, empty):
        """Take the maximum over the steps of each phase."""
        return self._reduce(np.maximum, values, empty)

    def _reduce(self, ufunc, values, empty):
        dtype = {"dtype": np.intp} if values.dtype == bool else {}
        segments = ufunc.reduceat(values, self._cuts, axis=-1, **dtype)
        segments = segments.reshape(*self._shape[:-1], -1)[..., :-1]
        return np.where(self._empty, empty, segments)

    def _mean(self, values):
        """Average over the frames of each phase, its first one included."""
        first = values[..., self._firsts].reshape(self._shape)
        return (self._add(values) + first) / (self.n_steps + 1)

    def _mean_positive(self, values):
        """Average the positive values over the steps of each phase; NaN without one."""
        return _ratio(self._add(np.maximum(values, 0)), self._add(values > 0))


def _ratio(numerator, denominator):
    """Divide, giving NaN where the denominator is 0."""
    empty = np.full(numerator.shape, np.nan)
    return np.divide(numerator, denominator, out=empty, where=denominator != 0)


def _positive(values):
    """Return values, NaN in place of 0."""
    return np.where(values > 0, values, np.nan)


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
        Maps `PhaseSums` to an array of shape (..., n_clips, n_phases).
    """

    name: str
    unit: str
    formula: str
    compute: Callable[[PhaseSums], np.ndarray]


# A(t) amplitude in the frames a ... b, n = b - a, d(t) = A(t) - A(t-1), R and F the rising and
# falling steps, V = d fps the speed, V' = (V(t) - V(t-1)) fps the acceleration. The 25 and their
# order: Dibeklioglu, Salah, Gevers, IEEE TMM 17(3), 2015.
DESCRIPTORS = (
    Descriptor("duration_rising", "s", "|R| / fps", lambda p: p.n_rising / p.fps),
    Descriptor("duration_falling", "s", "|F| / fps", lambda p: p.n_falling / p.fps),
    Descriptor("duration", "s", "n / fps", lambda p: p.n_steps / p.fps),
    Descriptor("duration_ratio_rising", "1", "|R| / n", lambda p: _ratio(p.n_rising, p.n_steps)),
    Descriptor("duration_ratio_falling", "1", "|F| / n", lambda p: _ratio(p.n_falling, p.n_steps)),
    Descriptor("max_amplitude", "D", "max A", lambda p: p.max_amplitude),
    Descriptor("mean_amplitude", "D", "mean A", lambda p: p.mean_amplitude),
    Descriptor(
        "mean_amplitude_rising",
        "D",
        "mean of A over R",
        lambda p: p.mean_amplitude_rising,
    ),
    Descriptor(
        "mean_amplitude_falling",
        "D",
        "mean of A over F",
        lambda p: p.mean_amplitude_falling,
    ),
    Descriptor("std_amplitude", "D", "population SD of A", lambda p: np.sqrt(p.variance)),
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
    Descriptor("max_speed_rising", "D/s", "max of V over R", lambda p: p.fps * p.max_rise),
    Descriptor(
        "max_speed_falling",
        "D/s",
        "max of |V| over F",
        lambda p: p.fps * p.max_fall,
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
        lambda p: p.max_acceleration,
    ),
    Descriptor(
        "max_acceleration_negative",
        "D/s^2",
        "max of |V'| where V' < 0",
        lambda p: p.max_deceleration,
    ),
    Descriptor(
        "mean_acceleration_positive",
        "D/s^2",
        "mean of V' where V' > 0",
        lambda p: p.mean_acceleration,
    ),
    Descriptor(
        "mean_acceleration_negative",
        "D/s^2",
        "mean of |V'| where V' < 0",
        lambda p: p.mean_deceleration,
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
        lambda p: np.abs(p.mean_difference),
    ),
)


def describe_phases(sums):
    """Compute the 25 descriptors of phases.

    Parameters
    ----------
    sums : PhaseSums
        Sums over the phases of signals.

    Returns
    -------
    values : ndarray of shape (..., n_clips, n_phases, 25)
        Descriptors in the order of `DESCRIPTORS`; NaN for the mean, maximum or ratio of an
        empty set of steps.
    """
    return np.stack([descriptor.compute(sums) for descriptor in DESCRIPTORS], axis=-1)
