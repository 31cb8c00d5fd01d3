"""SignalMarkerTransformer: 75 markers of each named signal."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from numbers import Real
from typing import Any, Self

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator, TransformerMixin, _fit_context
from sklearn.utils import InputTags
from sklearn.utils._param_validation import Interval
from sklearn.utils.validation import check_is_fitted

from smilefusion._documentation import DocumentedEstimator
from smilefusion._messages import abridge, printable
from smilefusion.clips._sequence import settle_fps
from smilefusion.clips._signals import SignalSequence, list_signals, select_signals
from smilefusion.dmarkers._amplitude import MIN_FRAMES
from smilefusion.dmarkers._clip_batches import ClipBatch, iterate_batches
from smilefusion.dmarkers._markers import (
    MARKER_CONSTRAINTS,
    PROBLEMS,
    describe_batches,
    join_phases,
    marker_names,
    warn_of_clips,
)
from smilefusion.dmarkers._phases import (
    COARSE_WINDOW_S,
    MIN_AMPLITUDE,
    Phases,
    segment,
    tabulate_phases,
)
from smilefusion.dmarkers._signals import SmileSignals
from smilefusion.exceptions import InvalidClipError

WINDOW_S = 0.18  # default smoothing window, as for the lip signal
MAX_WINDOW_S = 10.0
_PROBLEMS = PROBLEMS | {
    "no smile": (
        ("shows", "show"),
        "no clear rise or fall of {phases!r}, which defines the phases, so all phases are absent "
        "from the features. Remove such clips, choose another signal with phases=..., or lower "
        "min_amplitude={min_amplitude:g}.",
    ),
}


class SignalMarkerTransformer(TransformerMixin, DocumentedEstimator, BaseEstimator):
    """Compute 75 markers of each named signal, like D-Markers.

    The features are the 25 descriptors of `DMarkerTransformer` in the three phases (onset, apex,
    offset) of each signal, such as an action unit or a blendshape. One signal defines the phases
    of all signals. The transformer learns only the names of the signals.

    Parameters
    ----------
    signals : sequence of str or None, default=None
        The signals to describe: signals of X or keys of `sides`. None describes all signals, and
        each pair in `sides` as one signal.
    phases : str or None, default=None
        The signal of X or key of `sides` that defines the phases. It must rise to an apex, fall
        from it, or both. None uses the first of `signals`.
    sides : dict of str to (str, str) or None, default=None
        The left and right signals of movements, such as ``{"mouthSmile": ("mouthSmileLeft",
        "mouthSmileRight")}``. If the key is not a signal of X, its signal is the mean of both
        sides. ``left_right_difference`` compares the sides. For signals without sides, it has
        the value that `missing_phase` sets.
    measure : callable or None, default=None
        Function that computes signals from X, for example `smilefusion.video.blendshapes`, which
        computes them from clips of landmarks. None if X contains the signals.
    fps : float or None, default=None
        Frames per second of all clips. None uses the rates that the signals state
        (`SignalSequence.fps`). If they state no rate, times are in frames, with a
        FrameRateWarning, and filters and segmentation assume 30 frames per second.
    smoothing : {"savgol", "median", "4253h_twice"} or None, default="savgol"
        Filter of the signals, as for `DMarkerTransformer`.
    windows : dict of str to float or None, default=None
        Smoothing windows of individual signals for their descriptors, in seconds. The default for
        each signal is 0.18 s. Phases are found with windows of 0.32 s and 0.5 s.
    segmentation : {"transitions", "longest_run"}, default="transitions"
        Rule that finds onset and offset, as for `DMarkerTransformer`.
    min_amplitude : float, default=0.02
        Minimum change of the signal that defines the phases, in the unit of this signal. A clip
        also has no phases if the change is below four times the jitter. The default is the value
        for the lip signal. For intensities from 0 to 5, 0.5 is a useful value.
    missing_phase : {"zero", "nan"}, default="zero"
        Value of the descriptors of an absent phase or signal, and of means, maxima and ratios of
        an empty set of steps.
    max_gap : int, default=10
        Longest gap of missing frames to interpolate over, in frames. If a gap is longer, only the
        longest part of the clip without such a gap is described, with a DataWarning.

    Attributes
    ----------
    signals_in_ : tuple of str
        The signals of X.
    signals_ : tuple of str
        The signals that are described.
    phases_ : str
        The signal that defines the phases.
    n_features_out_ : int
        Number of features, 75 for each signal.
    time_unit_ : {"s", "frames"}
        Unit of time of the signals given to `fit`. `transform` raises an error for signals with
        another unit.

    Notes
    -----
    The definitions are those of `DMarkerTransformer`. In particular, A(t) is a signal minus its
    value at rest, the median of the last 0.2 s before the onset. The units are those of the
    signals: amplitudes of action units are intensities, and their speeds are intensities per
    second. They cannot be compared with amplitudes of landmarks.
    :doc:`The user guide </guide/signals>` explains what action units measure.

    For the eyelid, cheek and lip signals of `amplitude_signals`, the features are the D-Markers
    if ``windows`` is ``{"eyelid": 0.34}`` and the clips have no missing frames.

    Examples
    --------
    >>> import numpy as np
    >>> import pandas as pd
    >>> from smilefusion import SignalMarkerTransformer
    >>> smile = np.interp(np.arange(120), [20, 50, 70, 100], [0, 3, 3, 0])
    >>> table = pd.DataFrame({"AU12_r": smile, "AU06_r": smile / 2})
    >>> markers = SignalMarkerTransformer(fps=50).set_output(transform="pandas")
    >>> features = markers.fit_transform([table])
    >>> features.shape
    (1, 150)
    >>> round(float(features.loc[0, "AU06_r__apex__max_amplitude"]), 2)
    1.51
    """

    _parameter_constraints: dict = {
        "signals": ["array-like", None],
        "phases": [str, None],
        "sides": [dict, None],
        "measure": [callable, None],
        "windows": [dict, None],
        "min_amplitude": [Interval(Real, 0, None, closed="left")],
        **MARKER_CONSTRAINTS,
    }

    def __init__(
        self,
        signals: Sequence[str] | None = None,
        *,
        phases: str | None = None,
        sides: Mapping[str, tuple[str, str]] | None = None,
        measure: Callable[[Any], Any] | None = None,
        fps: float | None = None,
        smoothing: str | None = "savgol",
        windows: Mapping[str, float] | None = None,
        segmentation: str = "transitions",
        min_amplitude: float = MIN_AMPLITUDE,
        missing_phase: str = "zero",
        max_gap: int = 10,
    ) -> None:
        self.signals = signals
        self.phases = phases
        self.sides = sides
        self.measure = measure
        self.fps = fps
        self.smoothing = smoothing
        self.windows = windows
        self.segmentation = segmentation
        self.min_amplitude = min_amplitude
        self.missing_phase = missing_phase
        self.max_gap = max_gap

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X: Any, y: None = None) -> Self:
        """Validate parameters and signals, and learn the names of the signals.

        Parameters
        ----------
        X : SignalSequence or sequence of DataFrame or array-like of length n_clips
            Signals in a form that `check_signals` accepts, or the input of `measure`. `fit`
            measures only the first clip of such an input.
        y : None
            Ignored.

        Returns
        -------
        self : SignalMarkerTransformer
            The transformer.

        Raises
        ------
        InvalidClipError
            If the signals of a clip break a rule.
        ValueError
            If a parameter is invalid, or names a signal that X does not have.
        """
        signals = X if self.measure is None else self.measure(X[:1])
        self.signals_in_ = list_signals(signals)
        self.signals_, self.phases_ = self._resolve()
        self.time_unit_ = self._check(signals, None).time_unit
        self.n_features_out_ = len(marker_names(self.signals_))
        return self

    def transform(self, X: Any) -> np.ndarray:
        """Compute the markers of signals.

        Parameters
        ----------
        X : SignalSequence or sequence of DataFrame or array-like of length n_clips
            Signals in a form that `check_signals` accepts, or the input of `measure`.
            Signals that are not described are ignored.

        Returns
        -------
        features : ndarray of shape (n_clips, n_features_out)
            Markers, float64.

        Raises
        ------
        InvalidClipError
            If the signals of a clip break a rule.
        """
        sequence = self._read(X)
        batches = (
            (batch, fps, signals, self._segment(leading, batch.lengths, fps)[0])
            for batch, fps, signals, leading in self._measure(sequence)
        )
        windows_s = [(self.windows or {}).get(name, WINDOW_S) for name in self.signals_]
        features, found = describe_batches(batches, sequence, windows_s, smoothing=self.smoothing)
        warn_of_clips(
            sequence.names,
            found,
            _PROBLEMS,
            max_gap=self.max_gap,
            phases=self.phases_,
            min_amplitude=self.min_amplitude,
        )
        return np.nan_to_num(features, copy=False) if self.missing_phase == "zero" else features

    def find_phases(self, X: Any) -> pd.DataFrame:
        """Find the phases of each clip, with quality measures and flags.

        Parameters
        ----------
        X : SignalSequence or sequence of DataFrame or array-like of length n_clips
            Signals in a form that `check_signals` accepts, or the input of `measure`.

        Returns
        -------
        phases : DataFrame with n_clips rows
            The columns of `DMarkerTransformer.phases` except ``n_blinks`` and ``n_jumps``.
            ``amplitude`` is in the unit of the signal that defines the phases.

        Raises
        ------
        InvalidClipError
            If the signals of a clip break a rule.
        """
        sequence = self._read(X)
        tables = []
        for batch, fps, _, leading in self._measure(sequence):
            phases, fine = self._segment(leading, batch.lengths, fps)
            no_blinks = np.zeros(leading.shape, dtype=bool)
            tables.append(tabulate_phases(batch, phases, leading, fine, no_blinks, fps))
        return join_phases(tables, sequence).drop(columns=["n_blinks", "n_jumps"])

    def get_feature_names_out(self, input_features: Any = None) -> np.ndarray:
        """Return the names of the features.

        Parameters
        ----------
        input_features : None
            Ignored.

        Returns
        -------
        names : ndarray of str objects of shape (n_features_out,)
            Signal, phase and descriptor, such as "AU12_r__onset__duration_rising".
        """
        check_is_fitted(self)
        return marker_names(self.signals_)

    def _resolve(self) -> tuple[tuple[str, ...], str]:
        """Return the signals to describe and the one that defines the phases."""
        found, sides, windows_s = self.signals_in_, self.sides or {}, self.windows or {}
        _check_values(sides, windows_s)
        paired = [side for pair in sides.values() for side in pair]
        known = [*found, *(name for name in sides if name not in found)]
        chosen = [name for name in known if name not in paired]
        if self.signals is not None:
            chosen = list(self.signals)
            if not chosen or len(set(chosen)) < len(chosen):
                raise ValueError(
                    f"signals must be one or more different names; got {chosen!r}. List each "
                    "signal once."
                )
        leading = chosen[0] if self.phases is None else self.phases
        _check_known("sides", paired, found)
        _check_known("signals", chosen, known)
        _check_known("phases", [leading], known)
        _check_known("windows", windows_s, known)
        return tuple(chosen), leading

    def _sources(self, name: str) -> tuple[list[str], list[str]]:
        """Return the columns whose mean is the signal, and the columns of its two sides."""
        pair = list((self.sides or {}).get(name, ()))
        return ([name] if name in self.signals_in_ else pair), pair

    def _read(self, X: Any) -> SignalSequence:
        """Return the checked signals of X, for the fitted transformer."""
        check_is_fitted(self)
        self._validate_params()
        signals = X if self.measure is None else self.measure(X)
        return self._check(signals, self.time_unit_)

    def _check(self, signals: Any, fitted_unit: str | None) -> SignalSequence:
        """Return the checked signals with frame rates, starting with those of the phases."""
        columns = [
            column
            for name in (self.phases_, *self.signals_)
            for part in self._sources(name)
            for column in part
        ]
        sequence = select_signals(signals, list(dict.fromkeys(columns)), min_frames=MIN_FRAMES)
        n_leading = len(self._sources(self.phases_)[0])
        for index, values in enumerate(sequence):
            if np.isnan(values[:, :n_leading]).all(axis=0).any():
                raise InvalidClipError(
                    f"{sequence.names[index]} has no values of {self.phases_!r}, which defines "
                    "the phases. Choose another signal with phases=..., or remove the clip."
                )
        return settle_fps(sequence, self.fps, fitted_unit=fitted_unit)

    def _measure(
        self, sequence: SignalSequence
    ) -> Iterator[tuple[ClipBatch, float, SmileSignals, np.ndarray]]:
        """Yield batches, frame rates, signals, and the signal that defines the phases."""
        row = {name: position for position, name in enumerate(sequence.signals)}
        sources = [self._sources(name) for name in self.signals_]
        batches = iterate_batches(
            sequence,
            range(len(row)),
            corners=None,
            max_gap=self.max_gap,
            min_frames=MIN_FRAMES,
            window=COARSE_WINDOW_S,
        )
        for batch, fps in batches:
            (paths,) = batch.paths
            absent = np.full(paths.shape[1:], np.nan)
            both = [_mean(paths, row, own) for own, _ in sources]
            left, right = (
                [paths[row[pair[side]]] if pair else absent for _, pair in sources]
                for side in (0, 1)
            )
            signals = SmileSignals(np.stack(both), right=np.stack(right), left=np.stack(left))
            yield batch, fps, signals, _mean(paths, row, self._sources(self.phases_)[0])

    def _segment(
        self, leading: np.ndarray, lengths: np.ndarray, fps: float
    ) -> tuple[Phases, np.ndarray]:
        """Return the phases and the lightly smoothed signal that defines them."""
        return segment(
            leading,
            lengths,
            fps,
            smoothing=self.smoothing,
            method=self.segmentation,
            min_amplitude=self.min_amplitude,
        )

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags = InputTags(two_d_array=False, three_d_array=True, allow_nan=True)
        return tags


def _check_values(sides: Mapping[str, Any], windows_s: Mapping[str, Any]) -> None:
    """Check that sides are pairs and windows are numbers of seconds."""
    for name, pair in sides.items():
        if not isinstance(pair, (tuple, list)) or len(pair) != 2:
            raise ValueError(
                f"sides must map each name to a left and a right signal; got {pair!r} for "
                f"{name!r}. Pass a pair of names."
            )
    for name, window in windows_s.items():
        if not isinstance(window, (int, float)) or not 0 < window <= MAX_WINDOW_S:
            raise ValueError(
                f"windows must be numbers of seconds above 0 and at most {MAX_WINDOW_S:g}; got "
                f"{window!r} for {name!r}. Correct the number."
            )


def _check_known(parameter: str, names: Iterable[Any], known: Sequence[str]) -> None:
    """Raise if X does not have the signals in a parameter."""
    for name in names:
        if name not in known:
            raise ValueError(
                f"X has no signal {printable(repr(name))}, but the parameter {parameter!r} refers "
                f"to it. The signals are {abridge(known, 10)}. Choose one of them."
            )


def _mean(paths: np.ndarray, row: Mapping[str, int], names: Iterable[str]) -> np.ndarray:
    """Return the mean of named rows of paths (n_signals, n_clips, n_frames)."""
    return paths[[row[name] for name in names]].mean(axis=0)
