"""SmileCurvesDisplay: mean curves of two conditions, aligned at the onset."""

from dataclasses import KW_ONLY, dataclass
from typing import Any, Self

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from sklearn.utils import check_consistent_length, check_random_state, column_or_1d

from smilefusion.benchmark.stats._curves import cluster_test, simultaneous_band
from smilefusion.clips._sequence import ClipSequence, check_clips
from smilefusion.dmarkers._amplitude import amplitude_signals
from smilefusion.dmarkers._signals import REST_S
from smilefusion.dmarkers._transformer import DMarkerTransformer
from smilefusion.inspection._display import Display
from smilefusion.inspection._dynamics import UNITS
from smilefusion.inspection._pyplot import COLORS, MUTED, clear_frame

_RATE = 50.0  # of the common time axis, per second
_MIN_SHARE = 0.8  # of the subjects of each condition that must have values at a time
_MIN_SUBJECTS = 5
_START_S = 0.1  # over which the initial acceleration is measured
_MAX_LAG_S = 0.2


@dataclass(eq=False, repr=False)
class SmileCurvesDisplay(Display):
    """Show mean curves of smiles in two conditions, aligned at the onset.

    The bands are simultaneous: they cover the whole curves with the given confidence. A bar at the
    bottom marks the periods in which the conditions differ (p < .05). Use `from_clips` to create a
    display.

    Parameters
    ----------
    curves : DataFrame
        ``time_s`` since the onset, ``condition``, ``mean``, and the ends of the band, ``low`` and
        ``high``.
    clusters : DataFrame
        Periods in which the t values are beyond the 5 % level: ``start_s``, ``stop_s``, ``mass``
        (sum of the t values, positive if the first condition is higher) and ``p_value``.
    measures : DataFrame
        One row per ``measure`` ("left_right_lag_s" or "initial_acceleration") and ``condition``:
        the ``mean`` over subjects, the ends of its 95 % interval, ``low`` and ``high``, and
        ``n_subjects``.
    label : str, default="amplitude"
        Label of the vertical axis.
    title : str or None, default=None
        Title of the picture. None: no title.

    Attributes
    ----------
    ax_, figure_ : Axes, Figure
        Axes and figure that `plot` drew on.

    Notes
    -----
    First, the clips of each subject and condition are averaged. The width of the bands comes from
    a bootstrap of the largest t value over subjects [1]_. The test sums the t values of
    neighbouring times that are beyond the 5 % level. It compares these sums with those after
    the conditions of subjects are exchanged [2]_. It shows that the conditions differ, but not
    exactly when the difference starts or ends [3]_.

    ``left_right_lag_s`` is positive if the left corner of the mouth (or eye or cheek) moves later.
    ``initial_acceleration`` is twice the coefficient of t² over the first 0.1 s.

    References
    ----------
    .. [1] Degras, "Simultaneous confidence bands for the mean of functional data", WIREs
       Computational Statistics, 2017.
    .. [2] Maris, Oostenveld, "Nonparametric statistical testing of EEG- and MEG-data", Journal of
       Neuroscience Methods, 2007.
    .. [3] Sassenhagen, Draschkow, "Cluster-based permutation tests of MEG/EEG data do not
       establish significance of effect latency or location", Psychophysiology, 2019.
    """

    curves: pd.DataFrame
    clusters: pd.DataFrame
    measures: pd.DataFrame
    _: KW_ONLY
    label: str = "amplitude"
    title: str | None = None

    @classmethod
    def from_clips(
        cls,
        X: Any,
        y: ArrayLike,
        groups: ArrayLike | None = None,
        *,
        signal: str = "lip",
        speed: bool = False,
        window_s: tuple[float, float] = (-0.5, 3.0),
        confidence: float = 0.95,
        n_resamples: int = 1000,
        random_state: int | np.random.RandomState | None = None,
        title: str | None = None,
        ax: Any = None,
    ) -> Self:
        """Measure clips of two conditions and draw the picture.

        Parameters
        ----------
        X : sequence of clips
            Clips in a form that `check_clips` accepts, with known frame rates.
        y : array-like of shape (n_clips,)
            Condition of each clip, such as "posed" and "spontaneous".
        groups : array-like of shape (n_clips,), default=None
            Subject of each clip. None uses the subjects that the clips state.
        signal : {"lip", "cheek", "eyelid"}, default="lip"
            The signal.
        speed : bool, default=False
            Whether to show the speed instead of the amplitude.
        window_s : (float, float), default=(-0.5, 3.0)
            Start and end of the curves in seconds since the onset. Times at which fewer than 80 %
            of the subjects of a condition have values are omitted.
        confidence : float, default=0.95
            Confidence of the bands, between 0 and 1.
        n_resamples : int, default=1000
            Number of bootstrap samples and of permutations.
        random_state : int, RandomState instance or None, default=None
            Seed.
        title : str or None, default=None
            Title of the picture. None: no title.
        ax : matplotlib.axes.Axes or None, default=None
            Axes to draw on; None creates a figure.

        Returns
        -------
        display : SmileCurvesDisplay
            The drawn display.

        Raises
        ------
        ValueError
            If inputs are inconsistent, subjects or frame rates are unknown, there are not two
            conditions, or a condition has fewer than five subjects with a smile.
        ImportError
            If matplotlib is not installed.
        """
        clips, conditions, subjects = _check(X, y, groups, signal)
        times = np.arange(round(window_s[0] * _RATE), round(window_s[1] * _RATE) + 1) / _RATE
        curves, measures = _measure(clips, signal, times)
        if speed:
            curves = np.gradient(curves, 1 / _RATE, axis=1)
        rng = np.random.default_rng(check_random_state(random_state).randint(2**31 - 1))
        names = np.unique(conditions).tolist()
        means = [_by_subject(curves, subjects, conditions == name) for name in names]
        kept = _usable_times(means, names)
        means, times = [each[:, kept] for each in means], times[kept]
        parts = []
        for name, own in zip(names, means, strict=True):
            own = own[np.isfinite(own).any(axis=1)]
            mean, low, high = simultaneous_band(
                own, confidence=confidence, n_resamples=n_resamples, rng=rng
            )
            parts.append(
                pd.DataFrame(
                    {"time_s": times, "condition": name, "mean": mean, "low": low, "high": high}
                )
            )
        clusters = cluster_test(means[0], means[1], times, n_resamples=n_resamples, rng=rng)
        label = (
            f"{signal} speed ({UNITS[signal]} per s)" if speed else f"{signal} ({UNITS[signal]})"
        )
        display = cls(
            pd.concat(parts, ignore_index=True),
            clusters,
            _summarize(measures, subjects, conditions, names, rng),
            label=label,
            title=title,
        )
        return display.plot(ax=ax)

    def _plot(self, ax: Any) -> None:
        (self.ax_,) = self._make_axes(ax, 1, (6.4, 4.0))
        for (name, rows), colour in zip(self.curves.groupby("condition"), COLORS, strict=False):
            self.ax_.fill_between(
                rows["time_s"], rows["low"], rows["high"], color=colour, alpha=0.2, linewidth=0
            )
            self.ax_.plot(rows["time_s"], rows["mean"], color=colour, label=str(name))
        bottom = self.curves["low"].min()
        height = bottom - 0.05 * (self.curves["high"].max() - bottom)
        for row in self.clusters[self.clusters["p_value"] < 0.05].itertuples():
            self.ax_.hlines(height, row.start_s, row.stop_s, color=MUTED, linewidth=4)
            text = f"p = {row.p_value:.3f}"
            self.ax_.annotate(
                text,
                (row.start_s, height),
                (0, -12),
                textcoords="offset points",
                color=MUTED,
                fontsize="small",
            )
        self.ax_.axvline(0, color=MUTED, linewidth=0.8, linestyle="dashed")
        self.ax_.set(xlabel="time since the onset (s)", ylabel=self.label)
        clear_frame(self.ax_, grid="y")
        self.ax_.margins(y=0.12)
        self.ax_.legend(frameon=False)
        self._write_title()


def _check(
    X: Any, y: ArrayLike, groups: ArrayLike | None, signal: str
) -> tuple[ClipSequence, np.ndarray, np.ndarray]:
    """Check clips, conditions and subjects."""
    if signal not in UNITS:
        raise ValueError(f"signal must be one of {', '.join(UNITS)}; got {signal!r}. Choose one.")
    clips = check_clips(X)
    if clips.time_unit != "s":
        raise ValueError(
            "The curves need times in seconds, but a clip states no frame rate. Pass clips with "
            "rates: check_clips(X, fps=...)."
        )
    groups = clips.subjects if groups is None else groups
    if groups is None:
        raise ValueError(
            "The bands and the test need the subject of each clip. Pass groups, or clips that "
            "state their subjects."
        )
    conditions, subjects = column_or_1d(y), column_or_1d(groups)
    check_consistent_length(clips, conditions, subjects)
    if len(np.unique(conditions)) != 2:
        raise ValueError(
            f"y must contain two conditions; got {len(np.unique(conditions))}. Select the clips "
            "of two conditions."
        )
    return clips, conditions, np.unique(subjects, return_inverse=True)[1]


def _measure(
    clips: ClipSequence, signal: str, times: np.ndarray
) -> tuple[np.ndarray, pd.DataFrame]:
    """Return curves on the common time axis, (n_clips, n_times), and measures of each clip."""
    onsets = DMarkerTransformer().phases(clips)["onset_start_s"].to_numpy()
    curves, rows = np.full((len(clips), len(times)), np.nan), []
    for index, onset in enumerate(onsets):
        measures = {"left_right_lag_s": np.nan, "initial_acceleration": np.nan}
        if np.isfinite(onset):
            table = amplitude_signals(clips[[index]], smoothing="savgol")
            own = {
                side: _align(table["time_s"], table[f"{signal}{side}"], onset, times)
                for side in ("", "_left", "_right")
            }
            curves[index] = own[""]
            measures["left_right_lag_s"] = _lag(own["_left"], own["_right"], times)
            measures["initial_acceleration"] = _acceleration(own[""], times)
        rows.append(measures)
    return curves, pd.DataFrame(rows)


def _align(seconds: pd.Series, values: pd.Series, onset: float, times: np.ndarray) -> np.ndarray:
    """Return a signal at times since the onset, minus its level before; NaN outside the clip."""
    known = values.notna().to_numpy()
    if known.sum() < 2:
        return np.full(len(times), np.nan)
    since = seconds.to_numpy()[known] - onset
    before = values.to_numpy()[known][(since >= -REST_S) & (since <= 0)]
    level = np.median(before) if len(before) else values.to_numpy()[known][0]
    return np.interp(times, since, values.to_numpy()[known] - level, left=np.nan, right=np.nan)


def _lag(left: np.ndarray, right: np.ndarray, times: np.ndarray) -> float:
    """Return the lag of the left side in seconds, at which the speeds of both sides match best."""
    part = (times >= -0.2) & (times <= 1.0) & np.isfinite(left) & np.isfinite(right)
    if part.sum() < _RATE / 2:
        return np.nan
    left, right = np.diff(left[part]), np.diff(right[part])
    if left.std() == 0 or right.std() == 0:
        return np.nan
    shifts = np.arange(-round(_MAX_LAG_S * _RATE), round(_MAX_LAG_S * _RATE) + 1)
    scores = [_overlap(left, right, int(shift)) for shift in shifts]
    return float(shifts[int(np.argmax(scores))] / _RATE)


def _overlap(left: np.ndarray, right: np.ndarray, shift: int) -> float:
    """Return the correlation of the left side with the right side, shifted by some frames."""
    first = left[max(shift, 0) : len(left) + min(shift, 0)]
    second = right[max(-shift, 0) : len(right) + min(-shift, 0)]
    return float(np.corrcoef(first, second)[0, 1]) if first.std() and second.std() else -1.0


def _acceleration(curve: np.ndarray, times: np.ndarray) -> float:
    """Return the acceleration at the start of the onset."""
    part = (times >= 0) & (times <= _START_S)
    if not np.isfinite(curve[part]).all():
        return np.nan
    return float(2 * np.polyfit(times[part], curve[part], 2)[0])


def _by_subject(curves: np.ndarray, subjects: np.ndarray, chosen: np.ndarray) -> np.ndarray:
    """Return the mean curve of each subject over the chosen clips, NaN if it has none."""
    means = pd.DataFrame(curves[chosen]).groupby(subjects[chosen]).mean()
    return means.reindex(range(subjects.max() + 1)).to_numpy()


def _usable_times(means: list[np.ndarray], names: list[Any]) -> np.ndarray:
    """Return the times at which enough subjects have values."""
    enough = []
    for own, name in zip(means, names, strict=True):
        n_subjects = np.isfinite(own).any(axis=1).sum()
        if n_subjects < _MIN_SUBJECTS:
            raise ValueError(
                f"Each condition needs smiles of at least {_MIN_SUBJECTS} subjects; the condition "
                f"{name!r} has {n_subjects}. Add clips of more people."
            )
        enough.append(np.isfinite(own).sum(axis=0) >= _MIN_SHARE * n_subjects)
    return np.flatnonzero(enough[0] & enough[1])


def _summarize(
    measures: pd.DataFrame,
    subjects: np.ndarray,
    conditions: np.ndarray,
    names: list[Any],
    rng: np.random.Generator,
) -> pd.DataFrame:
    """Return the mean of each measure over subjects, with its interval."""
    rows = []
    for column in measures:
        for name in names:
            own = measures[column][conditions == name]
            means = own.groupby(subjects[conditions == name]).mean().dropna().to_numpy()
            drawn = rng.choice(means, size=(2000, len(means))).mean(axis=1)
            low, high = np.quantile(drawn, [0.025, 0.975])
            rows.append(
                {
                    "measure": column,
                    "condition": name,
                    "mean": means.mean(),
                    "low": low,
                    "high": high,
                    "n_subjects": len(means),
                }
            )
    return pd.DataFrame(rows)
