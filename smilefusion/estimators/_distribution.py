"""DistributionChecker: flags of clips that are unlike those of the training."""

from dataclasses import dataclass
from numbers import Real

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator, OutlierMixin, _fit_context
from sklearn.utils._param_validation import Interval
from sklearn.utils.validation import check_is_fitted

from smilefusion.clips import check_clips
from smilefusion.estimators._clip_measures import MEASURES, measure_clips
from smilefusion.tags import ClipInputTags


@dataclass(frozen=True)
class Reason:
    """A reason to flag clips: a measure that is too small or too large.

    `least_room` is the least room beyond the values of the training, in the measure's own unit
    or, where it is compared by ratios, of its logarithm.
    """

    name: str
    measure: str
    side: int  # -1 too small, 1 too large, 0 either
    by_ratio: bool
    least_room: float


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
_SMALLEST = 1e-12  # of measures whose logarithm is taken


class DistributionChecker(OutlierMixin, BaseEstimator):
    """Flag clips unlike those of the training, by ranges of what can be measured of a clip.

    What a model says of clips that were filmed otherwise is worth nothing, and it says so to
    nobody: it is as sure as ever. The checker learns the range of each measure over the training
    clips and tells which clips lie outside, and why.

    Parameters
    ----------
    fps : float, array-like of shape (n_clips,) or None, default=None
        Frames per second of the training clips, and of others where none are given. None counts
        durations in frames and does not look at the frame rate.
    margin : float, default=0.2
        How far a measure may lie outside the range of the training clips, as a share of the
        range.
    contamination : float, default=0.0
        Share of the training clips, below 0.5, that may lie outside the range of a measure, on
        each side of it, for training clips that nobody has looked through.

    Attributes
    ----------
    lower_, upper_ : ndarray of shape (n_reasons,)
        Bounds of the measure of each reason, logarithms where measures are compared by ratios;
        infinite where there is none.
    width_ : ndarray of shape (n_reasons,)
        Width of the range of the training clips, the unit of `decision_function`.
    n_landmarks_, n_dims_ : int
        Number of landmarks and coordinates of the training clips.

    See Also
    --------
    AbstainingClassifier : Abstain where the classifier is unsure.

    Notes
    -----
    The reasons are the columns of `flags`: ``frame_rate``, ``too_short``, ``too_long``,
    ``jitter`` (noise from frame to frame), ``no_smile`` (the lip corners hardly move),
    ``starts_late`` and ``ends_early`` (the clip is cut within the smile), ``face_size`` (distance
    of the eyes in the coordinates' unit: a wrong unit is found too), ``head_pose`` (turned from
    frontal) and ``missing_frames``.

    A clip like the training ones lies outside the range of n of them with a probability of at
    most 1 / (n + 1) on each side of each measure, before the margin: few training clips give
    more false alarms, and 100 or more are advised. A clip without a flag is not thereby a
    clip that the model is right about.

    Examples
    --------
    >>> from smilefusion import DistributionChecker
    >>> from smilefusion.datasets import make_smiles
    >>> train = make_smiles(100, fps=25, random_state=0)
    >>> checker = DistributionChecker(fps=25).fit(train.clips)
    >>> new = make_smiles(4, n_subjects=2, fps=25, random_state=1)
    >>> checker.predict(new.clips).tolist()
    [1, 1, 1, 1]
    >>> flags = checker.flags(new.clips, fps=50)
    >>> flags["frame_rate"].tolist()
    [True, True, True, True]
    """

    _parameter_constraints = {
        "fps": "no_validation",
        "margin": [Interval(Real, 0, None, closed="left")],
        "contamination": [Interval(Real, 0, 0.5, closed="left")],
    }

    def __init__(self, *, fps=None, margin=0.2, contamination=0.0):
        self.fps = fps
        self.margin = margin
        self.contamination = contamination

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X, y=None):
        """Learn the ranges.

        Parameters
        ----------
        X : sequence of clips
            The training clips, as `smilefusion.clips.check_clips` takes them.
        y : None
            Ignored.

        Returns
        -------
        self : DistributionChecker
            The fitted checker.

        Raises
        ------
        ValueError
            If a clip or a frame rate breaks a rule.
        """
        clips = check_clips(X)
        values = _compared(measure_clips(clips, self.fps))
        tails = [self.contamination, 1 - self.contamination]
        low, high = np.quantile(values, tails, axis=0)
        room = np.maximum(self.margin * (high - low), [reason.least_room for reason in REASONS])
        side = np.array([reason.side for reason in REASONS])
        unknown = np.isnan(low)
        self.lower_ = np.where((side == 1) | unknown, -np.inf, low - room)
        self.upper_ = np.where((side == -1) | unknown, np.inf, high + room)
        self.width_ = np.where(unknown, 1.0, high - low + room)
        self.n_landmarks_, self.n_dims_ = clips.n_landmarks, clips.n_dims
        return self

    def measure(self, X, fps=None):
        """Measure clips.

        Parameters
        ----------
        X : sequence of clips
            Clips with the landmarks of the training clips.
        fps : float or array-like of shape (n_clips,), default=None
            Frames per second of these clips; None takes the parameter `fps`.

        Returns
        -------
        measures : DataFrame with n_clips rows
            ``fps``; ``duration``, s or frames; ``jitter``, distances of the eyes; ``smile``,
            mouth widths at rest; ``start_level`` and ``end_level`` of the lips, 0 their least
            and 1 their greatest; ``eye_distance``, in the coordinates' unit; ``head_angle``,
            degrees; ``missing``, a share.

        Raises
        ------
        ValueError
            If a clip or a frame rate breaks a rule, or frame rates were not given in `fit`.
        """
        check_is_fitted(self)
        clips = check_clips(X)
        if (clips.n_landmarks, clips.n_dims) != (self.n_landmarks_, self.n_dims_):
            raise ValueError(
                f"DistributionChecker was fitted to clips of {self.n_landmarks_} landmarks with "
                f"{self.n_dims_} coordinates; got {clips.n_landmarks} landmarks with "
                f"{clips.n_dims}. Use one landmark scheme, or fit again."
            )
        if fps is not None and self.fps is None:
            raise ValueError(
                "DistributionChecker knows no frame rate of its training clips, so that fps of "
                "others has nothing to be compared with; set the parameter fps and fit again."
            )
        return measure_clips(clips, self.fps if fps is None else fps)

    def flags(self, X, fps=None):
        """Tell why clips are unlike the training clips.

        Parameters
        ----------
        X : sequence of clips
            Clips with the landmarks of the training clips.
        fps : float or array-like of shape (n_clips,), default=None
            Frames per second of these clips; None takes the parameter `fps`.

        Returns
        -------
        flags : DataFrame of bool with n_clips rows
            One column for each reason.
        """
        room = self._room(X, fps)
        return pd.DataFrame(room < 0, columns=[reason.name for reason in REASONS])

    def decision_function(self, X, fps=None):
        """Return how far inside the ranges clips lie.

        Parameters
        ----------
        X : sequence of clips
            Clips with the landmarks of the training clips.
        fps : float or array-like of shape (n_clips,), default=None
            Frames per second of these clips; None takes the parameter `fps`.

        Returns
        -------
        room : ndarray of shape (n_clips,)
            The distance of the measure that is nearest to its bound, in widths of its range;
            negative outside.
        """
        return self._room(X, fps).min(axis=1)

    def predict(self, X, fps=None):
        """Return 1 for clips like the training clips and -1 for others.

        Parameters
        ----------
        X : sequence of clips
            Clips with the landmarks of the training clips.
        fps : float or array-like of shape (n_clips,), default=None
            Frames per second of these clips; None takes the parameter `fps`.

        Returns
        -------
        labels : int ndarray of shape (n_clips,)
            1, or -1 where a flag is raised.
        """
        return np.where(self.decision_function(X, fps) < 0, -1, 1)

    def _room(self, X, fps):
        """Return how far inside their bounds measures are, (n_clips, n_reasons)."""
        values = _compared(self.measure(X, fps))
        room = np.minimum(values - self.lower_, self.upper_ - values) / self.width_
        return np.where(np.isnan(values), np.inf, room)

    def __sklearn_tags__(self):
        """Declare clips in place of tables."""
        tags = super().__sklearn_tags__()
        tags.input_tags = ClipInputTags(invariances=("translation",))
        return tags


def _compared(measures):
    """Return the measure of each reason as it is compared, (n_clips, n_reasons)."""
    values = measures.to_numpy()[:, _COLUMNS]
    return np.where(_BY_RATIO, np.log(np.maximum(values, _SMALLEST)), values)
