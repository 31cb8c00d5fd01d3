"""DMarkerTransformer: clips of landmarks to 225 D-Markers."""

from numbers import Integral, Real

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator, TransformerMixin, _fit_context
from sklearn.utils._param_validation import Interval, StrOptions

from smilefusion.clips._rates import FPS_RANGE
from smilefusion.clips._sequence import check_clips, settle_fps
from smilefusion.dmarkers._amplitude import (
    COARSE_WINDOW_S,
    DESCRIPTOR_WINDOW_S,
    FINE_WINDOW_S,
    MIN_FRAMES,
    measure_signals,
)
from smilefusion.dmarkers._batches import iterate_batches
from smilefusion.dmarkers._descriptors import DESCRIPTORS, PhaseSums, describe_phases
from smilefusion.dmarkers._phase_table import BOUNDARIES, tabulate_phases
from smilefusion.dmarkers._phases import PHASES, SEGMENTATIONS, segment
from smilefusion.dmarkers._published import PUBLISHED_POINTS, published_dmarkers
from smilefusion.dmarkers._signals import SIGNALS, missing_signals
from smilefusion.dmarkers._smoothing import SMOOTHINGS, smooth
from smilefusion.dmarkers._warnings import warn_of_clips, warn_of_missing_signals
from smilefusion.landmarks import landmark_scheme
from smilefusion.tags import ClipInputTags

# What the signals do not depend on, by `pose`; the sign of the eyelid signal knows up and down.
INVARIANCES = {
    "rigid": ("translation", "scale", "rotation", "mirror"),
    "eyes": ("translation", "scale", "rotation", "mirror"),
    None: ("translation", "scale", "mirror"),
}
# Share of missing frames from which on `phases` flags a clip.
TOO_MANY_MISSING = 0.2


class DMarkerTransformer(TransformerMixin, BaseEstimator):
    r"""Describe smiles by 225 D-Markers, their handcrafted dynamics.

    Three signals, eyelid opening, cheek and lip-corner displacement, are each described in
    three phases, onset, apex and offset of the smile, by 25 descriptors. The transformer is
    stateless: `fit` only validates.

    Parameters
    ----------
    fps : float or None, default=None
        Frames per second of all clips. None takes what each clip states (`ClipSequence.fps`).
        If the clips state no rate, time is measured in frames with a FrameRateWarning, and
        filters and the segmentation assume 30 frames per second.
    definition : {"standard", "hadasmilenet"}, default="standard"
        "standard" gives every descriptor its own meaning and right unit. "hadasmilenet" is the
        computation of the published HadaSmileNet code, bit for bit in float32: coordinates as
        they are, the whole clip one window, time in frames; of the other parameters only
        `max_gap` then has an effect.
    pose : {"rigid", "eyes"} or None, default="rigid"
        How the head's pose is taken out: position, rotation in space and size by the points
        that smiles and blinks move least; position, rotation in the image plane and size by
        the eye centres; or not at all.
    smoothing : {"savgol", "median", "4253h_twice"} or None, default="savgol"
        Filter of the signals, lightly for the descriptors (0.18 s), more to find the phases
        (0.32 and 0.5 s): Savitzky-Golay of second order, running median, Tukey's compound
        smoother 4253H, twice (of fixed width), or none.
    segmentation : {"transitions", "longest_run"}, default="transitions"
        How onset and offset are found in the lip signal: where, around the rise and the fall
        that together gain most, it leaves and reaches the levels of rest and apex, robust
        against jitter and open to several rises; or the longest continuous increase and, after
        it, decrease, the literature's rule.
    bridge_blinks : bool, default=True
        Whether the eyelid signal is interpolated over blinks, which are several times deeper
        than what a smile does to the eyes and often fall on its onset and offset.
    missing_phase : {"zero", "nan"}, default="zero"
        The value of descriptors of an absent phase and of means, maxima and ratios of an empty
        set of steps.
    max_gap : int, default=10
        Longest gap of missing frames that is interpolated. Of a clip with a longer one only
        the longest part without such a gap is described, with a DataWarning.

    Attributes
    ----------
    n_features_out_ : int
        Number of features, 225.
    time_unit_ : {"s", "frames"}
        Unit of time of the clips given to `fit`. `transform` refuses clips with another one.

    See Also
    --------
    smilefusion.clips.check_clips : The forms in which clips are taken.

    Notes
    -----
    Let A(t) be a signal minus its value at rest, the median of the first five frames that are
    described. Phases are intervals that share their end frames. A phase of frames a ... b has
    n = b - a steps d(t) = A(t) - A(t-1); R and F are its rising and falling steps, V = d fps
    the speed and V' = (V(t) - V(t-1)) fps the acceleration. The descriptors are

    ========================================== ======================================
    duration_rising, duration_falling,         \|R\|/fps, \|F\|/fps, n/fps
    duration
    duration_ratio_rising, ..._falling         \|R\|/n, \|F\|/n
    max_amplitude                              max of A
    mean_amplitude, ..._rising, ..._falling    mean of A over all frames, over R, over F
    std_amplitude                              population standard deviation of A
    total_rise, total_fall, net_amplitude      sum of d over R, of \|d\| over F, difference
    amplitude_ratio_rising, ..._falling        share of total_rise, of total_fall, in their sum
    max_speed_rising, max_speed_falling,       maximum, mean of V over R, of \|V\| over F
    mean_speed_rising, mean_speed_falling
    max_acceleration_positive, ..._negative,   maximum, mean by the sign of V', absolute
    mean_acceleration_positive, ..._negative
    net_amplitude_per_second                   net_amplitude fps / n
    left_right_difference                      \|mean of A on the left - on the right\|
    ========================================== ======================================

    in the order of the literature. Amplitudes of lip and cheek are in units of the distance
    between the mouth corners, or the cheeks, at rest; those of the eyelid in eye widths.

    The literature sums amplitudes where this says steps, or leaves the choice open, and does
    not say when a fall negligible against the rise is no offset; here that is one below a
    tenth, and the apex then lasts to the clip's end (and from its start without an onset).

    A clip without a smile, whose lip corners spread by less than 0.02 mouth widths or four
    times the jitter, has no phases; its features are finite and a DataWarning names it.

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
        "fps": [Interval(Real, *FPS_RANGE, closed="both"), None],
        "definition": [StrOptions({"standard", "hadasmilenet"})],
        "pose": [StrOptions({"rigid", "eyes"}), None],
        "smoothing": [StrOptions(set(SMOOTHINGS)), None],
        "segmentation": [StrOptions(set(SEGMENTATIONS))],
        "bridge_blinks": ["boolean"],
        "missing_phase": [StrOptions({"zero", "nan"})],
        "max_gap": [Interval(Integral, 0, None, closed="left")],
    }

    def __init__(
        self,
        *,
        fps=None,
        definition="standard",
        pose="rigid",
        smoothing="savgol",
        segmentation="transitions",
        bridge_blinks=True,
        missing_phase="zero",
        max_gap=10,
    ):
        self.fps = fps
        self.definition = definition
        self.pose = pose
        self.smoothing = smoothing
        self.segmentation = segmentation
        self.bridge_blinks = bridge_blinks
        self.missing_phase = missing_phase
        self.max_gap = max_gap

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X, y=None):
        """Validate parameters and clips.

        Parameters
        ----------
        X : sequence of array-like or path of length n_clips
            Clips, as taken by `check_clips`.
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
            If a parameter breaks one.
        """
        self.time_unit_ = self._check(X, None)[0].time_unit
        self.n_features_out_ = len(SIGNALS) * len(PHASES) * len(DESCRIPTORS)
        return self

    def transform(self, X):
        """Compute the D-Markers of clips.

        Parameters
        ----------
        X : sequence of array-like or path of length n_clips
            Clips, as taken by `check_clips`. Clips of 68 landmarks have no cheek points: the
            75 features of the cheek then have the value of an absent phase, with a
            DataWarning.

        Returns
        -------
        features : ndarray of shape (n_clips, 225)
            D-Markers, float64; float32 for ``definition="hadasmilenet"``.

        Raises
        ------
        InvalidClipError
            If a clip breaks a rule.
        ValueError
            If a parameter breaks one.
        """
        self._validate_params()
        clips, scheme = self._check(X, getattr(self, "time_unit_", None))
        published = self.definition == "hadasmilenet"
        compute = self._compute_published if published else self._compute_standard
        features, found = compute(clips)
        warn_of_missing_signals(missing_signals(scheme))
        warn_of_clips(clips, found, max_gap=self.max_gap)
        return np.nan_to_num(features, copy=False) if self.missing_phase == "zero" else features

    def phases(self, X):
        """Find the phases of the smiles of clips, and what makes them doubtful.

        Parameters
        ----------
        X : sequence of array-like or path of length n_clips
            Clips, as taken by `check_clips`.

        Returns
        -------
        phases : DataFrame with n_clips rows
            ``onset_start, apex_start, offset_start, offset_end``: frames of the clip as given.
            Without an onset `onset_start` is NaN and the apex starts with the clip, without an
            offset `offset_end` is NaN and `offset_start` the last frame; all are NaN without a
            smile. The same with ``_s`` in seconds since the first frame, NaN if the frame
            rate is unknown. ``amplitude``, the change of the lip amplitude over onset or
            offset, in mouth widths at rest. ``phase_quality``, 0 to 1: the share of the
            variance of the lip signal that a rise, a hold and a fall explain. ``n_peaks`` of
            the lip signal within the smile, parted by dips of a fifth of its amplitude or more;
            ``n_blinks``; ``n_missing`` frames without a face; ``n_jumps`` to another place or
            size. Flags: ``no_smile``; ``no_onset`` and ``no_offset``, for a clip that starts
            after or ends before it; ``several_peaks``; ``too_many_missing``, more than a fifth
            of the frames; ``cut``, where only the longest part without a long gap or a jump is
            described.

        Raises
        ------
        InvalidClipError
            If a clip breaks a rule.
        ValueError
            If a parameter breaks one, or ``definition="hadasmilenet"``, whose phases differ
            from window to window.
        """
        self._validate_params()
        if self.definition == "hadasmilenet":
            raise ValueError(
                'phases needs definition="standard"; got "hadasmilenet", which has no phases of '
                'a whole clip. Use DMarkerTransformer(definition="standard").'
            )
        clips, _ = self._check(X, getattr(self, "time_unit_", None))
        tables = []
        for batch, fps, signals, blinks in self._measure(clips):
            phases, fine = self._segment(signals, batch.lengths, fps)
            lip = signals.both[SIGNALS.index("lip")]
            tables.append(tabulate_phases(batch, phases, lip, fine, blinks))
        table = pd.concat(tables).sort_index()
        for position, name in enumerate(BOUNDARIES):
            table.insert(len(BOUNDARIES) + position, f"{name}_s", table[name] / clips.fps)
        table["too_many_missing"] = table["n_missing"] > TOO_MANY_MISSING * clips.n_frames
        return table

    def get_feature_names_out(self, input_features=None):
        """Return the names of the 225 features.

        Parameters
        ----------
        input_features : None
            Ignored.

        Returns
        -------
        names : ndarray of str objects of shape (225,)
            Such as "eyelid__onset__duration_rising": signal, phase, descriptor.
        """
        names = [
            f"{signal}__{phase}__{descriptor.name}"
            for signal in SIGNALS
            for phase in PHASES
            for descriptor in DESCRIPTORS
        ]
        return np.array(names, dtype=object)

    def _check(self, X, fitted_unit):
        """Return checked clips with the frame rates to use, and their landmark scheme."""
        if self.definition == "hadasmilenet":  # measures in frames
            clips = check_clips(X)
        else:
            clips = check_clips(X, min_frames=MIN_FRAMES)
            clips = settle_fps(clips, self.fps, fitted_unit=fitted_unit)
        return clips, landmark_scheme(clips.n_landmarks)

    def _compute_standard(self, clips):
        """Return the standard D-Markers, NaN for what is absent, and which clips are irregular."""
        features = np.empty((len(clips), len(self.get_feature_names_out())))
        found = {kind: np.zeros(len(clips), dtype=bool) for kind in ("gap", "jump", "no smile")}
        for batch, fps, signals, _ in self._measure(clips):
            phases, _ = self._segment(signals, batch.lengths, fps)
            unit = fps if clips.time_unit == "s" else 1.0
            values = self._describe(signals, phases, batch.lengths, fps, unit)
            features[batch.indices] = values.swapaxes(0, 1).reshape(len(batch.indices), -1)
            found["gap"][batch.indices] = batch.is_cut & (batch.n_jumps == 0)
            found["jump"][batch.indices] = batch.n_jumps > 0
            found["no smile"][batch.indices] = ~phases.is_smile
        return features, found

    def _compute_published(self, clips):
        """Return the published D-Markers, which know no smile and no jump, and which are cut."""
        features = np.empty((len(clips), len(self.get_feature_names_out())), dtype=np.float32)
        is_cut = np.zeros(len(clips), dtype=bool)
        scheme = landmark_scheme(clips.n_landmarks)
        landmarks = [index for name in PUBLISHED_POINTS for index in scheme.indices(name)]
        options = {"max_gap": self.max_gap, "min_frames": 1, "dtype": np.float32}
        for batch, _ in iterate_batches(clips, landmarks, corners=None, **options):
            paths = batch.paths[:2].swapaxes(0, 1)
            features[batch.indices] = published_dmarkers(paths, batch.lengths, batch.names)
            is_cut[batch.indices] = batch.is_cut
        return features, {"gap": is_cut}

    def _measure(self, clips):
        """Yield clips, frame rate, signals and blinks of batches."""
        return measure_signals(
            clips,
            landmark_scheme(clips.n_landmarks),
            pose=self.pose,
            bridge_blinks=self.bridge_blinks,
            max_gap=self.max_gap,
        )

    def _segment(self, signals, lengths, fps):
        """Return the phases and the lightly smoothed lip amplitude they were found in."""
        lip = signals.both[SIGNALS.index("lip")]
        coarse, fine = (
            smooth(lip, lengths, method=self.smoothing, window=window, fps=fps)
            for window in (COARSE_WINDOW_S, FINE_WINDOW_S)
        )
        return segment(lip, coarse, fine, lengths, fps, method=self.segmentation), fine

    def _describe(self, signals, phases, lengths, fps, unit):
        """Return descriptors (n_signals, n_clips, n_phases, 25), NaN for what is absent."""
        sides = np.stack([signals.both, signals.right, signals.left])
        sides = smooth(sides, lengths, method=self.smoothing, window=DESCRIPTOR_WINDOW_S, fps=fps)
        values = describe_phases(PhaseSums(*sides, phases.frames, unit))
        values[:, ~phases.present] = np.nan
        values[np.isnan(signals.both[..., 0]).all(axis=1)] = np.nan
        return values

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        published = self.definition == "hadasmilenet"
        tags.input_tags = ClipInputTags(
            invariances=() if published else INVARIANCES.get(self.pose, ())
        )
        tags.requires_fit = False
        return tags
