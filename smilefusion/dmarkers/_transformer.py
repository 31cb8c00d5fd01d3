"""DMarkerTransformer: clips of landmarks to 225 D-Markers."""

from collections.abc import Iterator, Sequence
from typing import Any, Self

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator, TransformerMixin, _fit_context
from sklearn.utils._param_validation import StrOptions

from smilefusion._documentation import DocumentedEstimator
from smilefusion.clips._sequence import ClipSequence, check_clips, settle_fps
from smilefusion.dmarkers._amplitude import (
    MIN_FRAMES,
    SIGNAL_CONSTRAINTS,
    WINDOWS_S,
    measure_signals,
)
from smilefusion.dmarkers._clip_batches import ClipBatch, iterate_batches
from smilefusion.dmarkers._markers import (
    MARKER_CONSTRAINTS,
    PROBLEMS,
    describe_batches,
    join_phases,
    marker_names,
    warn_of_clips,
    warn_of_missing_signals,
)
from smilefusion.dmarkers._phases import Phases, segment, tabulate_phases
from smilefusion.dmarkers._published import PUBLISHED_POINTS, published_dmarkers
from smilefusion.dmarkers._signals import SIGNALS, SmileSignals, missing_signals
from smilefusion.landmarks import LandmarkScheme, landmark_scheme
from smilefusion.tags import ClipInputTags

# Transformations that leave the signals unchanged, by `pose`. The eyelid signal depends on which
# side is up, so without pose normalisation a rotation changes it.
INVARIANCES = {
    "rigid": ("translation", "scale", "rotation", "mirror"),
    "eyes": ("translation", "scale", "rotation", "mirror"),
    None: ("translation", "scale", "mirror"),
}


class DMarkerTransformer(TransformerMixin, DocumentedEstimator, BaseEstimator):
    """Describe smiles by 225 D-Markers, handcrafted features of their dynamics.

    The features are 25 descriptors of three signals (eyelid opening, cheek and lip-corner
    displacement) in three phases of the smile (onset, apex, offset). The transformer learns
    nothing: `fit` only validates.

    Parameters
    ----------
    fps : float or None, default=None
        Frames per second of all clips. None takes the rates that the clips state
        (`ClipSequence.fps`). If the clips state no rate, time is measured in frames with a
        FrameRateWarning, and filters and segmentation assume 30 frames per second.
    definition : {"standard", "hadasmilenet"}, default="standard"
        "standard" gives each descriptor a distinct meaning and the right unit. "hadasmilenet"
        is the published computation, bit for bit in float32, without normalisation and with
        time in frames. It ignores all other parameters except `max_gap`.
    signals : sequence of {"eyelid", "cheek", "lip"}, default=("eyelid", "cheek", "lip")
        Signals to describe, each with 75 features. The phases always come from the lips.
    pose : {"rigid", "eyes"} or None, default="rigid"
        Normalisation of the head pose. "rigid" removes position, rotation in space and size, using
        the points that smiles and blinks move least. "eyes" removes position, rotation in the
        image plane and size, using the eye centres. None removes nothing.
    smoothing : {"savgol", "median", "4253h_twice"} or None, default="savgol"
        Filter of the signals: Savitzky-Golay of second order, running median, Tukey's compound
        smoother 4253H twice (with fixed spans), or none. Windows are 0.34 s for the descriptors
        of the eyelids, 0.18 s for all others, and 0.32 s and 0.5 s to find the phases.
    segmentation : {"transitions", "longest_run"}, default="transitions"
        Rule that finds onset and offset in the lip signal. "transitions" finds when the signal
        leaves and reaches the levels of rest and apex; it is robust to jitter and allows
        several rises. "longest_run" takes the longest continuous increase and a later decrease,
        the rule of the literature.
    bridge_blinks : bool, default=True
        Whether to interpolate the eyelid signal over blinks. Blinks are several times deeper than
        the effect of a smile on the eyes and often coincide with its onset or offset.
    missing_phase : {"zero", "nan"}, default="zero"
        Value of the descriptors of an absent phase, and of means, maxima and ratios of an empty
        set of steps.
    max_gap : int, default=10
        Longest gap of missing frames to interpolate over, in frames. If a gap is longer, only the
        longest part of the clip without such a gap is described, with a DataWarning.

    Attributes
    ----------
    n_features_out_ : int
        Number of features: 75 for each signal, 225 by default.
    time_unit_ : {"s", "frames"}
        Unit of time of the clips given to `fit`. `transform` raises an error for clips with
        another unit.

    Notes
    -----
    Let A(t) be a signal minus its value at rest, the median of the last 0.2 s before the onset.
    Lip and cheek are in units of the distance between the mouth corners or cheeks at rest, the
    eyelid in eye widths. A phase consists of the frames a ... b and shares a and b with its
    neighbours. It has n = b - a steps d(t) = A(t) - A(t-1). The speed is V = d fps, and the
    acceleration is (V(t) - V(t-1)) fps.
    :doc:`The guide </guide/dmarkers>` gives the formula of every descriptor.

    A fall counts as an offset if it is at least a tenth of the rise; the literature leaves this
    open. Otherwise the apex lasts to the end of the clip.

    A clip starts or ends during the smile if the onset or offset is absent, if less than 0.1 s of
    rest remains, or if the rise or the fall is less than half of the other one.

    A clip shows a smile if the lip corners spread by at least 0.02 mouth widths and four times the
    jitter. Otherwise it has no phases, `missing_phase` sets its features, and a DataWarning names
    the clip.

    References
    ----------
    H. Dibeklioglu, A. A. Salah, T. Gevers, "Recognition of Genuine Smiles", IEEE Transactions
    on Multimedia 17(3), 2015.

    Hasan, Mohammed, Rahman, Koehn, "HadaSmileNet", ICDM 2025, arXiv 2509.18550.

    Examples
    --------
    >>> import numpy as np
    >>> from smilefusion import DMarkerTransformer
    >>> from smilefusion.landmarks import face_geometry
    >>> face = face_geometry()
    >>> smile = np.interp(np.arange(120), [20, 50, 70, 100], [0, 0.3, 0.3, 0])
    >>> clip = face["neutral"] + smile[:, None, None] * face["smile"]
    >>> dmarkers = DMarkerTransformer(fps=50).set_output(transform="pandas")
    >>> features = dmarkers.fit_transform([clip])
    >>> features.shape
    (1, 225)
    >>> round(float(features.loc[0, "lip__apex__max_amplitude"]), 2)
    0.27
    """

    _parameter_constraints: dict = {
        "definition": [StrOptions({"standard", "hadasmilenet"})],
        "signals": [tuple, list],
        **MARKER_CONSTRAINTS,
        **SIGNAL_CONSTRAINTS,
    }

    def __init__(
        self,
        *,
        fps: float | None = None,
        definition: str = "standard",
        signals: Sequence[str] = SIGNALS,
        pose: str | None = "rigid",
        smoothing: str | None = "savgol",
        segmentation: str = "transitions",
        bridge_blinks: bool = True,
        missing_phase: str = "zero",
        max_gap: int = 10,
    ) -> None:
        self.fps = fps
        self.definition = definition
        self.signals = signals
        self.pose = pose
        self.smoothing = smoothing
        self.segmentation = segmentation
        self.bridge_blinks = bridge_blinks
        self.missing_phase = missing_phase
        self.max_gap = max_gap

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X: Any, y: None = None) -> Self:
        """Validate parameters and clips.

        Parameters
        ----------
        X : sequence of array-like or path of length n_clips
            Clips in a form that `check_clips` accepts.
        y : None
            Ignored.

        Returns
        -------
        self : DMarkerTransformer
            The transformer.

        Raises
        ------
        InvalidClipError
            If a clip breaks a rule.
        ValueError
            If a parameter is invalid.
        """
        self.time_unit_ = self._check(X, None)[0].time_unit
        self.n_features_out_ = len(self.get_feature_names_out())
        return self

    def transform(self, X: Any) -> np.ndarray:
        """Compute the D-Markers of clips.

        Parameters
        ----------
        X : sequence of array-like or path of length n_clips
            Clips in a form that `check_clips` accepts. Clips of 68 landmarks have no cheek
            points: their 75 cheek features have the value of an absent phase, with a
            DataWarning. ``signals=("eyelid", "lip")`` omits them.

        Returns
        -------
        features : ndarray of shape (n_clips, n_features)
            D-Markers, float64; float32 for ``definition="hadasmilenet"``.

        Raises
        ------
        InvalidClipError
            If a clip breaks a rule.
        """
        self._validate_params()
        clips, scheme = self._check(X, getattr(self, "time_unit_", None))
        published = self.definition == "hadasmilenet"
        compute = self._compute_published if published else self._compute_standard
        features, found = compute(clips)
        warn_of_missing_signals([name for name in missing_signals(scheme) if name in self._chosen])
        warn_of_clips(clips.names, found, PROBLEMS, max_gap=self.max_gap)
        return np.nan_to_num(features, copy=False) if self.missing_phase == "zero" else features

    def phases(self, X: Any) -> pd.DataFrame:
        """Find the phases of smiles in clips, with quality measures and flags for problems.

        Parameters
        ----------
        X : sequence of array-like or path of length n_clips
            Clips in a form that `check_clips` accepts.

        Returns
        -------
        phases : DataFrame with n_clips rows
            Limits: ``onset_start``, ``apex_start``, ``offset_start`` and ``offset_end`` are frames
            of the clip. Without an onset, `onset_start` is NaN and the apex starts with the clip.
            Without an offset, `offset_end` is NaN and `offset_start` is the last frame. All are
            NaN without a smile. Columns with ``_s`` are in seconds since the first frame, NaN
            if the frame rate is unknown.
            Measures: ``amplitude`` is the change of the lip amplitude over onset or offset, in
            mouth widths at rest. ``phase_quality``, from 0 to 1, is the share of the variance of
            the lip signal that a rise, a plateau and a fall explain. ``n_peaks`` counts the peaks
            of the lip signal within the smile, separated by dips of at least a fifth of its
            amplitude; ``n_blinks`` the blinks; ``n_missing`` the frames without a face;
            ``n_jumps`` the jumps of the face to another place or size.
            Flags: ``no_smile``; ``no_onset`` and ``no_offset`` if the clip starts after the onset
            or ends before the offset; ``cut_at_start`` and ``cut_at_end`` if it starts or ends
            during the smile; ``several_peaks``; ``too_many_missing`` if more than a fifth of the
            frames are missing; ``cut`` if only the longest part without a long gap or a jump is
            described.

        Raises
        ------
        InvalidClipError
            If a clip breaks a rule.
        ValueError
            For ``definition="hadasmilenet"``, whose phases are not reported.
        """
        self._validate_params()
        if self.definition == "hadasmilenet":
            raise ValueError(
                'phases needs definition="standard"; got "hadasmilenet", whose phases are not '
                'reported. Use DMarkerTransformer(definition="standard").'
            )
        clips, _ = self._check(X, getattr(self, "time_unit_", None))
        tables = []
        for batch, fps, signals, blinks in self._measure(clips):
            phases, fine = self._segment(signals, batch.lengths, fps)
            lip = signals.both[SIGNALS.index("lip")]
            tables.append(tabulate_phases(batch, phases, lip, fine, blinks, fps))
        return join_phases(tables, clips)

    def get_feature_names_out(self, input_features: Any = None) -> np.ndarray:
        """Return the names of the features.

        Parameters
        ----------
        input_features : None
            Ignored.

        Returns
        -------
        names : ndarray of str objects of shape (n_features,)
            Signal, phase and descriptor, such as "eyelid__onset__duration_rising".
        """
        return marker_names(self._chosen)

    @property
    def _chosen(self) -> Sequence[str]:
        """The signals to describe."""
        return SIGNALS if self.definition == "hadasmilenet" else self.signals

    def _check(self, X: Any, fitted_unit: str | None) -> tuple[ClipSequence, LandmarkScheme]:
        """Return checked clips with the frame rates to use, and their landmark scheme."""
        chosen = list(self.signals)
        if not chosen or len(set(chosen)) < len(chosen) or not set(chosen) <= set(SIGNALS):
            raise ValueError(
                f"signals must be one or more of {', '.join(SIGNALS)}, without repetition; "
                f"got {chosen!r}. Correct the names."
            )
        if self.definition == "hadasmilenet":  # measures time in frames
            clips = check_clips(X)
        else:
            clips = check_clips(X, min_frames=MIN_FRAMES)
            clips = settle_fps(clips, self.fps, fitted_unit=fitted_unit)
        return clips, landmark_scheme(clips.n_landmarks)

    def _compute_standard(self, clips: ClipSequence) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        """Return the standard D-Markers, NaN if absent, and a mask of clips for each problem."""
        rows = [SIGNALS.index(name) for name in self.signals]
        batches = (
            (batch, fps, signals.choose(rows), self._segment(signals, batch.lengths, fps)[0])
            for batch, fps, signals, _ in self._measure(clips)
        )
        windows_s = [WINDOWS_S[name] for name in self.signals]
        return describe_batches(batches, clips, windows_s, smoothing=self.smoothing)

    def _compute_published(self, clips: ClipSequence) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        """Return the published D-Markers and a mask of clips with long gaps."""
        features = np.empty((len(clips), len(self.get_feature_names_out())), dtype=np.float32)
        is_cut = np.zeros(len(clips), dtype=bool)
        scheme = landmark_scheme(clips.n_landmarks)
        landmarks = [index for name in PUBLISHED_POINTS for index in scheme.indices(name)]
        batches = iterate_batches(
            clips, landmarks, corners=None, max_gap=self.max_gap, min_frames=1, dtype=np.float32
        )
        for batch, _ in batches:
            paths = batch.paths[:2].swapaxes(0, 1)
            features[batch.indices] = published_dmarkers(paths, batch.lengths, batch.names)
            is_cut[batch.indices] = batch.is_cut
        return features, {"gap": is_cut}

    def _measure(
        self, clips: ClipSequence, *, skip_short: bool = False
    ) -> Iterator[tuple[ClipBatch, float, SmileSignals, np.ndarray]]:
        return measure_signals(
            clips,
            landmark_scheme(clips.n_landmarks),
            pose=self.pose,
            bridge_blinks=self.bridge_blinks,
            max_gap=self.max_gap,
            skip_short=skip_short,
        )

    def _segment(
        self, signals: SmileSignals, lengths: np.ndarray, fps: float
    ) -> tuple[Phases, np.ndarray]:
        """Return the phases and the lightly smoothed lip amplitude."""
        lip = signals.both[SIGNALS.index("lip")]
        return segment(lip, lengths, fps, smoothing=self.smoothing, method=self.segmentation)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        published = self.definition == "hadasmilenet"
        tags.input_tags = ClipInputTags(
            invariances=() if published else INVARIANCES.get(self.pose, ())
        )
        tags.requires_fit = False
        return tags
