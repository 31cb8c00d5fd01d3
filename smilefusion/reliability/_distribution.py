"""Detection of out-of-distribution clips, with the reason."""

from collections.abc import Sequence
from dataclasses import dataclass
from numbers import Real
from typing import Any, Self

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator, OutlierMixin, _fit_context
from sklearn.utils import Tags
from sklearn.utils._param_validation import Interval
from sklearn.utils.validation import check_is_fitted

from smilefusion._documentation import DocumentedEstimator
from smilefusion._messages import unknown_key
from smilefusion.clips._rates import FPS_RANGE
from smilefusion.clips._sequence import ClipSequence, check_clips, settle_fps
from smilefusion.reliability._clip_measures import MEASURES, measure_clips
from smilefusion.tags import ClipInputTags


@dataclass(frozen=True)
class Reason:
    """A reason to flag clips: a measure that is too small or too large."""

    name: str
    measure: str
    side: int  # -1 too small, 1 too large, 0 either
    by_ratio: bool
    least_margin: float  # in the unit of the measure, or of its logarithm if `by_ratio`


REASONS = (
    Reason("frame_rate", "fps", 0, True, 0.05),
    Reason("too_short", "duration", -1, True, 0.05),
    Reason("too_long", "duration", 1, True, 0.05),
    Reason("jitter", "jitter", 1, True, 0.05),
    Reason("no_smile", "smile", -1, True, 0.05),
    Reason("starts_late", "start_level", 1, False, 0.05),
    Reason("ends_early", "end_level", 1, False, 0.05),
    Reason("face_size", "eye_distance", 0, True, 0.05),
    Reason("head_pose", "head_angle", 1, False, 5.0),
    Reason("missing_frames", "missing", 1, False, 0.02),
)
_COLUMNS = [MEASURES.index(reason.measure) for reason in REASONS]
_BY_RATIO = [reason.by_ratio for reason in REASONS]
_SMALLEST = 1e-12  # lower limit of measures before taking logarithms


class DistributionChecker(OutlierMixin, DocumentedEstimator, BaseEstimator):
    """Flag clips that differ from the training clips in simple measures.

    Predictions for clips that were recorded differently are unreliable but stay confident. The
    checker learns the range of each measure over the training clips. It flags clips outside
    these ranges and names the reason.

    Parameters
    ----------
    fps : float or None, default=None
        Frames per second of all clips. None uses the rate of each clip (`ClipSequence.fps`).
        If the clips state no rate, durations are in frames, with a FrameRateWarning.
    margin : float, default=0.2
        Allowed distance of a measure from the range of the training clips, as a share of the
        width of the range.
    contamination : float, default=0.0
        Share of the training clips, below 0.5, that may lie outside the range of a measure on
        each side. Use it if nobody has checked the training clips.
    any_landmarks : bool, default=False
        Whether to accept clips whose landmark scheme differs from that of the training clips. If
        False, such clips raise an error.
    ignore : sequence of str, default=()
        Reasons that are never flagged, such as "face_size".

    Attributes
    ----------
    lower_, upper_ : ndarray of shape (n_reasons,)
        Bounds of the measure of each reason; logarithms for measures that are compared by
        ratios; infinite on a side without a bound.
    width_ : ndarray of shape (n_reasons,)
        Width of the range of the training clips, the unit of `decision_function`.
    n_landmarks_, n_dims_ : int
        Number of landmarks and coordinates of the training clips.

    Notes
    -----
    The reasons are the columns of `flags`: ``frame_rate``, ``too_short``, ``too_long``,
    ``jitter`` (noise from frame to frame), ``no_smile`` (the lip corners hardly move),
    ``starts_late`` and ``ends_early`` (the clip is cut within the smile), ``face_size``
    (inter-ocular distance in the unit of the coordinates, which also detects a wrong unit),
    ``head_pose`` (turned from frontal) and ``missing_frames``.

    Without the margin, a clip like the n training clips lies outside a range with a probability
    of at most 1 / (n + 1) on each side, so use 100 training clips or more. A clip without a flag
    can still be misclassified.

    Examples
    --------
    >>> from smilefusion import DistributionChecker
    >>> from smilefusion.datasets import make_smiles
    >>> train = make_smiles(100, fps=25, random_state=0)
    >>> checker = DistributionChecker().fit(train.clips)
    >>> new = make_smiles(4, n_subjects=2, fps=25, random_state=1)
    >>> checker.predict(new.clips).tolist()
    [1, 1, 1, 1]
    >>> flags = checker.flags(new.clips.replace(fps=50))
    >>> flags["frame_rate"].tolist()
    [True, True, True, True]
    """

    _parameter_constraints: dict[str, Any] = {
        "fps": [Interval(Real, *FPS_RANGE, closed="both"), None],
        "margin": [Interval(Real, 0, None, closed="left")],
        "contamination": [Interval(Real, 0, 0.5, closed="left")],
        "any_landmarks": ["boolean"],
        "ignore": [tuple, list],
    }

    def __init__(
        self,
        *,
        fps: float | None = None,
        margin: float = 0.2,
        contamination: float = 0.0,
        any_landmarks: bool = False,
        ignore: Sequence[str] = (),
    ) -> None:
        self.fps = fps
        self.margin = margin
        self.contamination = contamination
        self.any_landmarks = any_landmarks
        self.ignore = ignore

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X: Any, y: None = None) -> Self:
        """Learn the ranges.

        Parameters
        ----------
        X : sequence of clips
            The training clips, in any form that `smilefusion.clips.check_clips` accepts.
        y : None
            Ignored.

        Returns
        -------
        self : DistributionChecker
            The fitted checker.

        Raises
        ------
        ValueError
            If a clip or a frame rate is invalid, or if `ignore` contains an unknown reason.
        """
        names = [reason.name for reason in REASONS]
        for name in self.ignore:
            if name not in names:
                raise ValueError(unknown_key(str(name), names, "Each of ignore"))
        clips = settle_fps(check_clips(X), self.fps)
        values = _compared(measure_clips(clips))
        tails = [self.contamination, 1 - self.contamination]
        low, high = np.quantile(values, tails, axis=0)
        margin = np.maximum(
            self.margin * (high - low), [reason.least_margin for reason in REASONS]
        )
        side = np.array([reason.side for reason in REASONS])
        unbounded = np.isnan(low) | np.isin(names, list(self.ignore))
        self.lower_ = np.where((side == 1) | unbounded, -np.inf, low - margin)
        self.upper_ = np.where((side == -1) | unbounded, np.inf, high + margin)
        self.width_ = np.where(unbounded, 1.0, high - low + margin)
        self.n_landmarks_, self.n_dims_ = clips.n_landmarks, clips.n_dims
        self.time_unit_ = clips.time_unit
        return self

    def measure(self, X: Any) -> pd.DataFrame:
        """Measure clips.

        Parameters
        ----------
        X : sequence of clips
            Clips with the landmarks of the training clips.

        Returns
        -------
        measures : DataFrame with n_clips rows
            ``fps``, NaN if unknown; ``duration``, s, or frames if `fps` is unknown;
            ``jitter``, noise of the landmarks from frame to frame in inter-ocular distances;
            ``smile``, range of the lip signal in mouth widths at rest; ``start_level`` and
            ``end_level`` of the lip signal, from 0 (its minimum) to 1 (its maximum);
            ``eye_distance``, inter-ocular distance in the unit of the coordinates;
            ``head_angle``, degrees from frontal; ``missing``, share of frames without a face.

        Raises
        ------
        ValueError
            If a clip or a frame rate is invalid, or frame rates were not given in `fit`.
        """
        check_is_fitted(self)
        clips = check_clips(X)
        self.check_landmarks(clips)
        return measure_clips(settle_fps(clips, self.fps, fitted_unit=self.time_unit_))

    def check_landmarks(self, clips: ClipSequence) -> None:
        """Raise ValueError if the landmarks differ from those of the training clips.

        Does nothing if `any_landmarks` is True.

        Parameters
        ----------
        clips : ClipSequence
            Checked clips.
        """
        known = self.n_landmarks_, self.n_dims_
        if not self.any_landmarks and (clips.n_landmarks, clips.n_dims) != known:
            raise ValueError(
                f"DistributionChecker was fitted to clips of {self.n_landmarks_} landmarks with "
                f"{self.n_dims_} coordinates; got {clips.n_landmarks} landmarks with "
                f"{clips.n_dims}. Use one landmark scheme, or fit a new checker."
            )

    def flags(self, X: Any) -> pd.DataFrame:
        """Return the reasons why clips are unlike the training clips.

        Parameters
        ----------
        X : sequence of clips
            Clips with the landmarks of the training clips.

        Returns
        -------
        flags : DataFrame of bool with n_clips rows
            One column for each reason.
        """
        distance = self._distances_to_bounds(X)
        return pd.DataFrame(distance < 0, columns=[reason.name for reason in REASONS])

    def reasons(self, X: Any) -> list[str]:
        """Describe why clips are unlike the training clips.

        Parameters
        ----------
        X : sequence of clips
            Clips with the landmarks of the training clips.

        Returns
        -------
        reasons : list of str of length n_clips
            Reasons of each clip with the measured value and the allowed range, separated by
            semicolons. The text is empty for clips without a flag.
        """
        values = _compared(self.measure(X))
        is_off = (values < self.lower_) | (values > self.upper_)
        return [
            "; ".join(self._explain(i, value[i]) for i in np.flatnonzero(found))
            for value, found in zip(values, is_off, strict=True)
        ]

    def decision_function(self, X: Any) -> np.ndarray:
        """Return how far clips lie inside the ranges.

        Parameters
        ----------
        X : sequence of clips
            Clips with the landmarks of the training clips.

        Returns
        -------
        distance : ndarray of shape (n_clips,)
            Distance of the measure that is closest to its bound, in widths of its range;
            negative outside the range.
        """
        return self._distances_to_bounds(X).min(axis=1)

    def predict(self, X: Any) -> np.ndarray:
        """Return 1 for clips like the training clips and -1 for others.

        Parameters
        ----------
        X : sequence of clips
            Clips with the landmarks of the training clips.

        Returns
        -------
        labels : int ndarray of shape (n_clips,)
            -1 if the clip has a flag, else 1.
        """
        return np.where(self.decision_function(X) < 0, -1, 1)

    def _distances_to_bounds(self, X: Any) -> np.ndarray:
        """Return how far each measure lies inside its range, (n_clips, n_reasons)."""
        values = _compared(self.measure(X))
        distance = np.minimum(values - self.lower_, self.upper_ - values) / self.width_
        return np.where(np.isnan(values), np.inf, distance)

    def _explain(self, index: Any, value: float) -> str:
        """Describe a reason with the measured value and the allowed range."""
        reason = REASONS[index]
        numbers = np.array([value, self.lower_[index], self.upper_[index]])
        value, low, high = np.exp(numbers) if reason.by_ratio else numbers
        limits = f"from {low:.3g} to {high:.3g}"
        if not np.isfinite(self.upper_[index]):
            limits = f"at least {low:.3g}"
        elif not np.isfinite(self.lower_[index]):
            limits = f"at most {high:.3g}"
        name, measure = (text.replace("_", " ") for text in (reason.name, reason.measure))
        return f"{name} ({measure} {value:.3g}, allowed {limits})"

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.input_tags = ClipInputTags(invariances=("translation",))
        return tags


def _compared(measures: pd.DataFrame) -> np.ndarray:
    """Return the measure of each reason, or its logarithm, (n_clips, n_reasons)."""
    values = measures.to_numpy()[:, _COLUMNS]
    return np.where(_BY_RATIO, np.log(np.maximum(values, _SMALLEST)), values)
