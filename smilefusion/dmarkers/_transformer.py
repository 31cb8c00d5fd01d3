"""DMarkerTransformer: clips of landmarks to 225 D-Markers."""

import warnings
from numbers import Integral, Real

import numpy as np
from sklearn.base import BaseEstimator, TransformerMixin, _fit_context
from sklearn.utils._param_validation import Interval, StrOptions

from smilefusion.clips import check_clips, check_fps
from smilefusion.dmarkers._descriptors import DESCRIPTORS, PhaseOfSignals, describe_phase
from smilefusion.dmarkers._phases import NO_SMILE, PHASES, SEGMENTATIONS, is_smile
from smilefusion.dmarkers._published import published_dmarkers
from smilefusion.dmarkers._signals import (
    DESCRIPTOR_WINDOW_S,
    NOMINAL_FPS,
    PHASE_WINDOW_S,
    SIGNALS,
    smile_signals,
    smooth,
)
from smilefusion.exceptions import InvalidClipError, MissingFramesWarning, NoSmileWarning
from smilefusion.landmarks import landmark_scheme
from smilefusion.pose import fill_missing, longest_part

MIN_FRAMES = {"standard": 5, "hadasmilenet": 1}
_N_NAMED = 5  # clips named in a warning
_STACKLEVEL = 5  # user > set_output's wrapper > transform > _warn > _warn_about


class DMarkerTransformer(TransformerMixin, BaseEstimator):
    r"""Describe smiles by 225 D-Markers, their handcrafted dynamics.

    Three signals, eyelid opening, cheek and lip-corner displacement, are each described in
    three phases, onset, apex and offset of the smile, by 25 descriptors. The transformer is
    stateless: `fit` only validates.

    Parameters
    ----------
    fps : float or array-like of shape (n_clips,), default=None
        Frames per second, of all clips or of each. None measures time in frames; filter widths
        and the segmentation's time scale then take 30 frames per second.
    definition : {"standard", "hadasmilenet"}, default="standard"
        "standard" gives every descriptor its own meaning and right unit. "hadasmilenet" is the
        computation of the published HadaSmileNet code, bit for bit in float32: coordinates as
        they are, the whole clip one window, time in frames; of the other parameters only
        `max_gap` then has an effect.
    pose : {"rigid", "eyes"} or None, default="rigid"
        How the head's pose is taken out: position, rotation in space and size by the points
        that smiles and blinks move least; position, rotation in the image plane and size by
        the eye centres; or not at all.
    smoothing : {"savgol", "median"} or None, default="savgol"
        Filter of the signals, of 0.15 s for the descriptors and 0.25 s to find the phases:
        Savitzky-Golay of second order, running median, or none.
    segmentation : {"steepest_path", "longest_run"}, default="steepest_path"
        How onset and offset are found in the lip signal: the rise and the fall that jointly
        gain most, robust against jitter and open to several rises; or the longest continuous
        increase and decrease of the literature.
    missing_phase : {"zero", "nan"}, default="zero"
        The value of descriptors of an absent phase and of means, maxima and ratios of an empty
        set of steps.
    max_gap : int, default=10
        Longest gap of missing frames that is interpolated. Of a clip with a longer one only
        the longest part without such a gap is described, with a MissingFramesWarning.

    Attributes
    ----------
    n_features_out_ : int
        Number of features, 225.

    See Also
    --------
    smilefusion.clips.check_clips : The forms in which clips are taken.

    Notes
    -----
    Let A(t) be a signal minus its value at rest, the median of the first five frames that hold
    a face. Phases are intervals that share their end frames. A phase of frames a ... b has
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
    times the jitter, has no phases; its features are finite and a NoSmileWarning names it.

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
        "fps": [Interval(Real, 0, None, closed="neither"), "array-like", None],
        "definition": [StrOptions({"standard", "hadasmilenet"})],
        "pose": [StrOptions({"rigid", "eyes"}), None],
        "smoothing": [StrOptions({"savgol", "median"}), None],
        "segmentation": [StrOptions(set(SEGMENTATIONS))],
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
        segmentation="steepest_path",
        missing_phase="zero",
        max_gap=10,
    ):
        self.fps = fps
        self.definition = definition
        self.pose = pose
        self.smoothing = smoothing
        self.segmentation = segmentation
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
        self._check(X)
        self.n_features_out_ = len(SIGNALS) * len(PHASES) * len(DESCRIPTORS)
        return self

    def transform(self, X):
        """Compute the D-Markers of clips.

        Parameters
        ----------
        X : sequence of array-like or path of length n_clips
            Clips, as taken by `check_clips`; of 478 landmarks, since D-Markers need cheeks.

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
        clips, scheme, fps = self._check(X)
        describe = self._describe if self.definition == "standard" else self._describe_published
        features, cut, unsmiling = [], [], []
        for index, clip in enumerate(clips):
            name = clips.name(index)
            part, is_cut = self._usable_part(clip, name)
            values, smiles = describe(part, scheme, fps[index], name)
            features.append(values)
            cut += [name] * is_cut
            unsmiling += [name] * (not smiles)
        self._warn(cut, unsmiling)
        return np.stack(features)

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

    def _check(self, X):
        """Return checked clips, their scheme, and the frame rate of each (None for frames)."""
        clips = check_clips(X, min_frames=MIN_FRAMES[self.definition])
        scheme = landmark_scheme(clips.n_landmarks)
        for point in ("right_cheek", "left_cheek"):
            scheme.indices(point)
        rates = check_fps(self.fps, len(clips)).tolist()
        return clips, scheme, [None] * len(clips) if self.fps is None else rates

    def _usable_part(self, clip, name):
        """Return the longest part of a clip without long gaps, and whether that cuts it."""
        filled = fill_missing(clip, max_gap=self.max_gap)
        part = filled[longest_part(filled)]
        minimum = MIN_FRAMES[self.definition]
        if len(part) < minimum:
            raise InvalidClipError(
                f"{name} has {len(part)} frames in a row with a face; at least {minimum} are "
                "needed to describe a smile. Drop it or raise max_gap."
            )
        faces = ~np.isnan(filled[:, 0, 0])
        return part, int(faces.sum()) > len(part)

    def _describe_published(self, clip, scheme, fps, name):
        """Return the published D-Markers; that computation has no notion of a clip's smile."""
        return published_dmarkers(clip, scheme), True

    def _describe(self, clip, scheme, fps, name):
        """Return the standard D-Markers of a clip and whether it shows a smile."""
        signals = smile_signals(clip, scheme, pose=self.pose, name=name)
        real_fps = NOMINAL_FPS if fps is None else fps
        lip = signals.both[:, SIGNALS.index("lip")]
        smoothed = smooth(lip, method=self.smoothing, window=PHASE_WINDOW_S * real_fps)
        phases = SEGMENTATIONS[self.segmentation](smoothed, real_fps)
        smiles = is_smile(lip, smoothed, phases)
        values = self._describe_phases(signals, phases if smiles else NO_SMILE, fps)
        if self.missing_phase == "zero":
            values = np.nan_to_num(values, nan=0.0)
        return values.ravel(), smiles

    def _describe_phases(self, signals, phases, fps):
        """Return descriptors of shape (n_signals, n_phases, 25), NaN for absent phases."""
        window = DESCRIPTOR_WINDOW_S * (NOMINAL_FPS if fps is None else fps)
        sides = np.stack([signals.both, signals.right, signals.left], axis=1)
        both, right, left = np.moveaxis(smooth(sides, method=self.smoothing, window=window), 1, 0)
        values = np.full((len(SIGNALS), len(PHASES), len(DESCRIPTORS)), np.nan)
        for index, phase in enumerate(phases):
            if phase is not None:
                frames = slice(phase[0], phase[1] + 1)
                parts = PhaseOfSignals(both[frames], right[frames], left[frames], fps or 1.0)
                values[:, index] = describe_phase(parts)
        return values

    def _warn(self, cut, unsmiling):
        """Warn once about each kind of irregular clip."""
        if cut:
            _warn_about(
                cut,
                f"gaps of more than max_gap={self.max_gap} missing frames; only the longest part "
                "is described. Drop such clips or raise max_gap.",
                "has",
                MissingFramesWarning,
            )
        if unsmiling:
            _warn_about(
                unsmiling,
                "no smile; the features describe absent phases. Drop such clips.",
                "shows",
                NoSmileWarning,
            )

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array = False
        tags.input_tags.three_d_array = True
        tags.requires_fit = False
        return tags


def _warn_about(names, problem, verb, category):
    """Warn about clips, naming the first few."""
    named = ", ".join(names[:_N_NAMED])
    if len(names) > _N_NAMED:
        named += f" and {len(names) - _N_NAMED} more"
    plural = {"has": "have", "shows": "show"}
    message = f"{named} {verb if len(names) == 1 else plural[verb]} {problem}"
    warnings.warn(message, category, stacklevel=_STACKLEVEL)
