"""The 25 descriptors of a phase of a signal: names, units, formulas, values."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np

# Smaller changes are rounding, not movement: landmarks of real clips jitter by about 1e-4.
ROUNDING = 1e-10


def ratio(numerator: np.ndarray, denominator: np.ndarray, empty: float = np.nan) -> np.ndarray:
    """Divide; return `empty` where the denominator is not positive."""
    out = np.full(numerator.shape, empty)
    return np.divide(numerator, denominator, out=out, where=denominator > 0)


class PhaseSums:
    """Sums, means and maxima of signals over phases, (..., n_clips, n_phases)."""

    # A step d(t) belongs to the phase a ... b with a < t <= b. If all clips are concatenated, the
    # phases are consecutive segments, and one call of numpy.ufunc.reduceat sums all of them.
    def __init__(
        self,
        amplitude: np.ndarray,
        right: np.ndarray,
        left: np.ndarray,
        frames: np.ndarray,
        fps: float,
    ) -> None:
        self.fps = fps
        self._n_columns = amplitude.shape[-1] + 1  # one more than frames: an end for each segment
        rows = np.arange(len(frames))[:, None] * self._n_columns
        self._cuts = (rows + frames + 1).ravel()
        self._firsts = (rows + frames[:, :-1]).ravel()
        self._shape = (*amplitude.shape[:-2], len(frames), frames.shape[1] - 1)
        n_steps = np.diff(frames, axis=1)
        self._empty = n_steps == 0
        self.n_steps = np.broadcast_to(n_steps, self._shape)

        self.amplitude = self._flatten(amplitude)
        self.difference = self._flatten(left - right)
        self.steps = self._flatten(np.diff(amplitude, axis=-1, prepend=amplitude[..., :1]))
        self.steps[np.abs(self.steps) < ROUNDING] = 0
        self.rising, self.falling = self.steps > 0, self.steps < 0
        self.n_rising, self.n_falling = self.sum(self.rising), self.sum(self.falling)
        self.total_rise = self.sum(np.maximum(self.steps, 0))
        self.total_fall = self.sum(np.maximum(-self.steps, 0))

    @cached_property
    def acceleration(self) -> np.ndarray:
        """Change of each step from the previous one; 0 for the first step of a phase."""
        change = np.diff(self.steps, axis=-1, prepend=0)
        change[..., self._firsts + 1] = 0
        change[np.abs(change) < ROUNDING] = 0
        return change * self.fps**2

    @cached_property
    def mean_amplitude(self) -> np.ndarray:
        """Mean amplitude over the frames a ... b."""
        return self.mean(self.amplitude)

    def variance(self) -> np.ndarray:
        """Return the population variance of the amplitude over the frames a ... b."""
        # The first frame of a phase is not in its segment and is added separately.
        first = self._first(self.amplitude) - self.mean_amplitude
        lengths = np.diff(self._cuts, append=self.amplitude.shape[-1])
        means = np.concatenate(
            [self.mean_amplitude, np.zeros((*self._shape[:-1], 1))], axis=-1
        ).reshape(*self._shape[:-2], -1)
        centred = np.array(self.amplitude)
        centred[..., self._cuts[0] :] -= np.repeat(means, lengths, axis=-1)
        return (self.sum(centred * centred) + first**2) / (self.n_steps + 1)

    def sum(self, values: np.ndarray) -> np.ndarray:
        """Sum over the steps of each phase."""
        return self._reduce(np.add, values, 0)

    def mean(self, values: np.ndarray) -> np.ndarray:
        """Average over the frames a ... b of each phase."""
        return (self.sum(values) + self._first(values)) / (self.n_steps + 1)

    def max(self, values: np.ndarray) -> np.ndarray:
        """Return the maximum over the frames a ... b of each phase."""
        return np.maximum(self._reduce(np.maximum, values, -np.inf), self._first(values))

    def mean_positive(self, values: np.ndarray) -> np.ndarray:
        """Average the positive values over the steps of each phase; NaN if there are none."""
        return ratio(self.sum(np.maximum(values, 0)), self.sum(values > 0))

    def max_positive(self, values: np.ndarray) -> np.ndarray:
        """Return the largest positive value over the steps of each phase; NaN if there is none."""
        greatest = self._reduce(np.maximum, values, 0)
        return np.where(greatest > 0, greatest, np.nan)

    def _flatten(self, values: np.ndarray) -> np.ndarray:
        """Concatenate the clips, with a zero after each."""
        flat = np.zeros((*values.shape[:-1], self._n_columns))
        flat[..., :-1] = values
        return flat.reshape(*values.shape[:-2], -1)

    def _first(self, values: np.ndarray) -> np.ndarray:
        """Return the values in the first frame of each phase."""
        return values[..., self._firsts].reshape(self._shape)

    def _reduce(self, ufunc: np.ufunc, values: np.ndarray, empty: float) -> np.ndarray:
        dtype = np.intp if values.dtype == bool else None
        segments = ufunc.reduceat(values, self._cuts, axis=-1, dtype=dtype)
        segments = segments.reshape(*self._shape[:-1], -1)[..., :-1]
        return np.where(self._empty, empty, segments)


@dataclass(frozen=True)
class Descriptor:
    """One number that describes a phase of a signal."""

    name: str
    unit: str  # "s" (or frames), "1", "D" (amplitude) or a combination
    formula: str
    compute: Callable[[PhaseSums], np.ndarray]


# A(t) is the amplitude in the frames a ... b, n = b - a, d(t) = A(t) - A(t-1), R and F the rising
# and falling steps, V = d fps the speed, V' = (V(t) - V(t-1)) fps the acceleration. The order is
# that of Dibeklioglu, Salah, Gevers, IEEE TMM 17(3), 2015.
DESCRIPTORS = (
    Descriptor("duration_rising", "s", "|R| / fps", lambda p: p.n_rising / p.fps),
    Descriptor("duration_falling", "s", "|F| / fps", lambda p: p.n_falling / p.fps),
    Descriptor("duration", "s", "n / fps", lambda p: p.n_steps / p.fps),
    Descriptor("duration_ratio_rising", "1", "|R| / n", lambda p: ratio(p.n_rising, p.n_steps)),
    Descriptor("duration_ratio_falling", "1", "|F| / n", lambda p: ratio(p.n_falling, p.n_steps)),
    Descriptor("max_amplitude", "D", "max A", lambda p: p.max(p.amplitude)),
    Descriptor("mean_amplitude", "D", "mean A", lambda p: p.mean_amplitude),
    Descriptor(
        "mean_amplitude_rising",
        "D",
        "mean of A over R",
        lambda p: ratio(p.sum(p.amplitude * p.rising), p.n_rising),
    ),
    Descriptor(
        "mean_amplitude_falling",
        "D",
        "mean of A over F",
        lambda p: ratio(p.sum(p.amplitude * p.falling), p.n_falling),
    ),
    Descriptor("std_amplitude", "D", "population SD of A", lambda p: np.sqrt(p.variance())),
    Descriptor("total_rise", "D", "sum of d over R", lambda p: p.total_rise),
    Descriptor("total_fall", "D", "sum of |d| over F", lambda p: p.total_fall),
    Descriptor(
        "net_amplitude", "D", "total_rise - total_fall", lambda p: p.total_rise - p.total_fall
    ),
    Descriptor(
        "amplitude_ratio_rising",
        "1",
        "total_rise / (total_rise + total_fall)",
        lambda p: ratio(p.total_rise, p.total_rise + p.total_fall),
    ),
    Descriptor(
        "amplitude_ratio_falling",
        "1",
        "total_fall / (total_rise + total_fall)",
        lambda p: ratio(p.total_fall, p.total_rise + p.total_fall),
    ),
    Descriptor(
        "max_speed_rising", "D/s", "max of V over R", lambda p: p.fps * p.max_positive(p.steps)
    ),
    Descriptor(
        "max_speed_falling", "D/s", "max of |V| over F", lambda p: p.fps * p.max_positive(-p.steps)
    ),
    Descriptor(
        "mean_speed_rising",
        "D/s",
        "mean of V over R",
        lambda p: p.fps * ratio(p.total_rise, p.n_rising),
    ),
    Descriptor(
        "mean_speed_falling",
        "D/s",
        "mean of |V| over F",
        lambda p: p.fps * ratio(p.total_fall, p.n_falling),
    ),
    Descriptor(
        "max_acceleration_positive",
        "D/s^2",
        "max of V' where V' > 0",
        lambda p: p.max_positive(p.acceleration),
    ),
    Descriptor(
        "max_acceleration_negative",
        "D/s^2",
        "max of |V'| where V' < 0",
        lambda p: p.max_positive(-p.acceleration),
    ),
    Descriptor(
        "mean_acceleration_positive",
        "D/s^2",
        "mean of V' where V' > 0",
        lambda p: p.mean_positive(p.acceleration),
    ),
    Descriptor(
        "mean_acceleration_negative",
        "D/s^2",
        "mean of |V'| where V' < 0",
        lambda p: p.mean_positive(-p.acceleration),
    ),
    Descriptor(
        "net_amplitude_per_second",
        "D/s",
        "net_amplitude · fps / n",
        lambda p: p.fps * ratio(p.total_rise - p.total_fall, p.n_steps),
    ),
    Descriptor(
        "left_right_difference",
        "D",
        "|mean of A_left - mean of A_right|",
        lambda p: np.abs(p.mean(p.difference)),
    ),
)


def describe_phases(sums: PhaseSums) -> np.ndarray:
    """Compute the descriptors of phases, (..., n_clips, n_phases, 25), NaN for empty sets."""
    return np.stack([descriptor.compute(sums) for descriptor in DESCRIPTORS], axis=-1)
