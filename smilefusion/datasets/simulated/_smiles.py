"""Simulated clips of posed and spontaneous smiles with ground truth."""

from collections.abc import Sequence
from numbers import Integral, Real
from typing import Any

import numpy as np
import pandas as pd
from numpy.random import Generator
from sklearn.utils import check_random_state
from sklearn.utils._param_validation import Interval, Options, validate_params

from smilefusion._messages import unknown_key
from smilefusion.clips._changes import MEAN_SMILE, draw_head_motion, draw_missing, draw_noise
from smilefusion.clips._sequence import check_clips
from smilefusion.datasets._data_set import ClipBunch
from smilefusion.datasets.simulated._faces import Subject, draw_subject, express
from smilefusion.datasets.simulated._time_courses import CUES, Smile, draw_smile
from smilefusion.landmarks import MEDIAPIPE_478, landmark_scheme

_EYE_CENTRE = np.array([0.89, 0.40, 0.0])  # in image heights: a 16:9 image
_CENTRE_SPREAD = (0.08, 0.03, 0.0)
_FACE_SPREAD = 0.15  # SD over clips of ln distance between the eyes
_JITTER_SPREAD = 0.70  # SD over clips of ln jitter
FACE_SIZE = 0.15

# The ranges of `make_varied_smiles`.
_VARIED: dict[str, tuple[float, float]] = {
    "fps": (25.0, 60.0),
    "effect": (0.5, 1.1),
    "jitter": (0.03, 0.15),
    "missing_rate": (0.0, 0.05),
    "head_motion": (0.0, 6.0),
    "face_size": (0.04, 0.30),
    "lead_in": (-0.3, 1.5),
    "tail": (-0.8, 1.5),
}
_Range = float | tuple[float, float]

_DESCR = """\
Simulated smiles
----------------
Each clip is an array (n_frames, 478, 3) of MediaPipe face-mesh landmarks in image heights, x to
the right, y down, z away from the camera; a frame without a face is all NaN. The face, its smile
and its blink are averaged from real recordings; subjects differ in shape.
Smile and phase durations, lead-in, the share of clips that end during the smile, lip amplitude,
its correlation with onset duration, and eye narrowing follow measurements on UvA-NEMO
(Dibeklioglu, Salah & Gevers, ECCV 2012; IEEE TMM 2015). Landmark noise, speeds, rises within the
apex, and blinks are chosen to make D-Markers of simulated clips similar to those of real clips.
Coordination is assumed, not measured: brows rise and the chin drops with the lips, more in
spontaneous than in posed smiles (d = 1.1, AUC .78). D-Markers are not affected.
Scores on these data describe a simulation, not real smiles.
"""

# Parameters of both simulators.
CONSTRAINTS: dict[str, list] = {
    "fps": [Interval(Real, 5, 1000, closed="both")],
    "effect": [Interval(Real, 0, 3, closed="both")],
    "jitter": [Interval(Real, 0, 1, closed="both")],
    "missing_rate": [Interval(Real, 0, 0.5, closed="both")],
    "head_motion": [Interval(Real, 0, 30, closed="both")],
    "random_state": ["random_state"],
}
_RANGED = {
    **{name: CONSTRAINTS[name][0] for name in CONSTRAINTS if name != "random_state"},
    "face_size": Interval(Real, 0.01, 1, closed="both"),
    "lead_in": Interval(Real, -10, 60, closed="both"),
    "tail": Interval(Real, -10, 60, closed="both"),
}


@validate_params(
    {
        "n_clips": [Interval(Integral, 2, None, closed="left")],
        "n_subjects": [Interval(Integral, 1, None, closed="left")],
        "n_landmarks": [Options(Integral, {68, 478})],
        **{name: [limits, tuple] for name, limits in _RANGED.items()},
        "lead_in": [_RANGED["lead_in"], tuple, None],
        "tail": [_RANGED["tail"], tuple, None],
        "cues": ["array-like", None],
        "random_state": ["random_state"],
    },
    prefer_skip_nested_validation=True,
)
def make_smiles(
    n_clips: int = 200,
    *,
    n_subjects: int = 40,
    n_landmarks: int = 478,
    fps: _Range = 50.0,
    effect: _Range = 1.0,
    cues: Sequence[str] | None = None,
    jitter: _Range = 0.057,
    missing_rate: _Range = 0.01,
    head_motion: _Range = 3.0,
    face_size: _Range = FACE_SIZE,
    lead_in: _Range | None = None,
    tail: _Range | None = None,
    random_state: int | np.random.RandomState | None = None,
) -> ClipBunch:
    """Simulate clips of posed and spontaneous smiles.

    Posed and spontaneous clips alternate. The clips of a subject are consecutive, so a subject
    with two or more clips has both classes. Durations and amplitudes follow measurements on
    UvA-NEMO [1]_ [2]_.

    Parameters
    ----------
    n_clips : int, default=200
        Number of clips, at least 2.
    n_subjects : int, default=40
        Number of people, at most `n_clips`.
    n_landmarks : {478, 68}, default=478
        Landmark scheme: the MediaPipe mesh in three dimensions, or 68 of its points in two. All
        clips have the same scheme. The same seed gives the same smiles with both.
    fps : float or (low, high), default=50.0
        Frames per second, 5 to 1000. If a range is given, here and below, each clip draws its own
        value from it.
    effect : float or (low, high), default=1.0
        Size of the difference between the classes, 0 to 3. 0: both classes have the same
        distribution, including the length of the clip. 1: as measured.
    cues : sequence of str or None, default=None
        What differs between the classes: "duration" (of the smile and its phases, and, unless
        `lead_in` and `tail` are given, the lead-in and the share of clips that end during the
        smile), "speed" (of the fast part of onset and offset), "amplitude" (of the lips),
        "repeated rises" (within the apex), "eyelids" (narrowing of the eyes) and "coordination"
        (of brows and chin with the lips). For all other cues, both classes have the same
        distribution, midway between those of the classes. None uses all cues. An empty sequence
        has the same effect as ``effect=0``.
    jitter : float or (low, high), default=0.057
        Standard deviation of the landmark noise, as a fraction of the movement of a lip corner in
        the average smile. Most of the noise is slow. A number is the median over clips. Values
        from a range are drawn log-uniformly. The default matches the clips of UvA-NEMO.
    missing_rate : float or (low, high), default=0.01
        Approximate fraction of frames without a face, 0 to 0.5. Gaps have 3 frames on average and
        8 at most, and never include the first or last frame of a clip.
    head_motion : float or (low, high), default=3.0
        Standard deviation of each of the head's three rotation angles, in degrees, 0 to 30. The
        head also shifts and changes size.
    face_size : float or (low, high), default=0.15
        Distance between the eyes in image heights, 0.01 to 1. A number is the median over clips.
        Values from a range are drawn log-uniformly.
    lead_in : float, (low, high) or None, default=None
        Seconds from the start of the clip to the onset, for both classes. If negative, the clip
        starts during the onset. None draws values as in real clips.
    tail : float, (low, high) or None, default=None
        Seconds from the end of the offset to the end of the clip, for both classes. If negative,
        the clip ends during the offset. None draws values as in real clips, about half of which
        end during the smile.
    random_state : int, RandomState instance or None, default=None
        Seed. Pass an int for reproducible clips.

    Returns
    -------
    data : Bunch
        clips : ClipSequence of length n_clips
            Arrays (n_frames, 478, 3) or (n_frames, 68, 2), float32, in image heights, x to the
            right, y down; missing frames are NaN. The sequence states frame rates and subjects.
        target : int array of shape (n_clips,)
            0 = posed, 1 = spontaneous.
        groups : int array of shape (n_clips,)
            Subject of each clip, 0 to n_subjects - 1.
        fps : float or float array of shape (n_clips,)
            Frames per second; an array if `fps` is a range.
        truth : DataFrame with n_clips rows
            ``onset_start, apex_start, offset_start, offset_end`` in frames, and with ``_s`` in
            seconds, limited to the clip; ``cut_at_start`` and ``cut_at_end``, whether the clip
            starts or ends during the smile; ``duration`` (s); ``n_frames``; ``amplitude``, the
            change of the lip signal over the onset in rest mouth widths; ``n_rises``, the onset
            plus each new rise in the apex; ``n_blinks``; ``narrowing`` of the eyes in eye
            widths; ``coordination`` of brows and chin with the lips in standard deviations;
            ``n_missing`` frames.
        DESCR : str
            Which properties are measured and which are assumed.

    Raises
    ------
    ValueError
        If a parameter is out of range, a cue is unknown, or `n_subjects` exceeds `n_clips`.

    Notes
    -----
    The lip signal is D(t) = (rho(m, r_t) + rho(m, l_t)) / (2 rho(r_1, l_1)) with the lip corners
    r and l and their midpoint m at rest. In each frame, the smile is scaled so that D(t) - D(1)
    would equal the drawn amplitude without noise and head motion. Rises and falls are sums of two
    minimum-jerk movements, a fast one within a slow one.

    References
    ----------
    .. [1] H. Dibeklioglu, A. A. Salah, T. Gevers, "Are You Really Smiling at Me? Spontaneous
       versus Posed Enjoyment Smiles", ECCV 2012.
    .. [2] H. Dibeklioglu, A. A. Salah, T. Gevers, "Recognition of Genuine Smiles", IEEE
       Transactions on Multimedia, 2015.

    Examples
    --------
    >>> from smilefusion.datasets import make_smiles
    >>> data = make_smiles(4, n_subjects=2, random_state=0)
    >>> len(data.clips), data.clips[0].shape[1:], data.groups.tolist()
    (4, (478, 3), [0, 0, 1, 1])
    """
    if n_subjects > n_clips:
        raise ValueError(
            f"n_subjects must be at most n_clips ({n_clips}), got {n_subjects}: every subject "
            "needs at least one clip. Lower n_subjects or raise n_clips."
        )
    settings = _check_ranges(
        fps=fps,
        effect=effect,
        jitter=jitter,
        missing_rate=missing_rate,
        head_motion=head_motion,
        face_size=face_size,
        lead_in=lead_in,
        tail=tail,
    )
    cues = CUES if cues is None else cues
    for cue in cues:
        if cue not in CUES:
            raise ValueError(unknown_key(str(cue), CUES, "Each of cues"))
    entropy = check_random_state(random_state).randint(np.iinfo(np.int32).max, size=4).tolist()
    seeds = np.random.SeedSequence(entropy).spawn(n_subjects + n_clips)
    rngs = [np.random.default_rng(seed) for seed in seeds]
    subjects = [draw_subject(rng) for rng in rngs[:n_subjects]]
    target = np.arange(n_clips) % 2
    groups = np.arange(n_clips) * n_subjects // n_clips
    points = list(landmark_scheme(n_landmarks).in_mesh)
    clips, rows, rates = [], [], []
    for label, group, rng in zip(target, groups, rngs[n_subjects:], strict=True):
        own = draw_settings(rng, settings)
        clip, truth = _simulate(rng, subjects[group], float(label), cues, **own)
        clips.append(clip if n_landmarks == 478 else clip[:, points, :2])
        rows.append(truth)
        rates.append(own["fps"])
    return ClipBunch(
        clips=check_clips(clips, fps=rates, subjects=groups),
        target=target,
        groups=groups,
        fps=np.array(rates) if isinstance(fps, tuple) else float(fps),
        truth=pd.DataFrame(rows),
        DESCR=_DESCR,
    )


def make_varied_smiles(
    n_clips: int = 200,
    *,
    n_subjects: int = 40,
    n_landmarks: int = 478,
    cues: Sequence[str] | None = None,
    random_state: int | np.random.RandomState | None = None,
) -> ClipBunch:
    """Simulate smiles in widely varying recordings, to train models that must generalise.

    Each clip draws its frame rate (25 to 60 per second), landmark noise (0.03 to 0.15), head
    motion (0 to 6 degrees), missing frames (0 to 5 %), face size (0.04 to 0.30 image heights
    between the eyes), effect size (0.5 to 1.1), lead-in (-0.3 to 1.5 s) and tail (-0.8 to 1.5 s).
    Noise and face size are drawn log-uniformly, all others uniformly. All are independent of the
    class. Negative lead-ins and tails cut the smile.

    Parameters
    ----------
    n_clips : int, default=200
        Number of clips, at least 2.
    n_subjects : int, default=40
        Number of people, at most `n_clips`.
    n_landmarks : {478, 68}, default=478
        Landmark scheme, as in `make_smiles`.
    cues : sequence of str or None, default=None
        What differs between the classes, as in `make_smiles`.
    random_state : int, RandomState instance or None, default=None
        Seed. Pass an int for reproducible clips.

    Returns
    -------
    data : Bunch
        As in `make_smiles`.

    Raises
    ------
    ValueError
        As in `make_smiles`.

    Examples
    --------
    >>> from smilefusion.datasets import make_varied_smiles
    >>> data = make_varied_smiles(4, n_subjects=2, random_state=0)
    >>> bool(data.fps.min() >= 25), data.truth["cut_at_end"].tolist()
    (True, [False, False, False, False])
    """
    return make_smiles(
        n_clips,
        n_subjects=n_subjects,
        n_landmarks=n_landmarks,
        cues=cues,
        random_state=random_state,
        **_VARIED,
    )


def _check_ranges(**settings: Any) -> dict[str, Any]:
    """Raise if a range is not a pair of increasing numbers within the limits."""
    for name, value in settings.items():
        limits = _RANGED[name]
        if not isinstance(value, tuple):
            continue
        is_valid = len(value) == 2 and all(map(limits.is_satisfied_by, value))
        if not is_valid or value[0] > value[1]:
            raise ValueError(
                f"{name} must be a number or an increasing pair (low, high), each {limits}; got "
                f"{value!r}. Give the lower value first, and keep both within the limits."
            )
    return settings


def draw_settings(rng: Generator, settings: dict[str, Any]) -> dict[str, Any]:
    """Draw the settings of a clip from ranges, or around medians."""
    own = {
        name: float(rng.uniform(*value)) if isinstance(value, tuple) else value
        for name, value in settings.items()
    }
    for name, spread in (("jitter", _JITTER_SPREAD), ("face_size", _FACE_SPREAD)):
        value, deviate = settings[name], rng.normal()
        if not isinstance(value, tuple):
            own[name] = value * float(np.exp(spread * deviate))
        elif value[0] > 0:
            own[name] = float(np.exp(rng.uniform(*np.log(value))))
    return own


def _simulate(
    rng: Generator,
    subject: Subject,
    label: float,
    cues: Sequence[str],
    *,
    fps: float,
    effect: float,
    lead_in: float | None,
    tail: float | None,
    **filming: float,
) -> tuple[np.ndarray, dict[str, Any]]:
    """Return one clip (n_frames, 478, 3) and its truth."""
    weights = cue_weights(label, effect, cues)
    smile = draw_smile(rng, weights, pace=subject.pace, size=subject.size, lead=lead_in, tail=tail)
    n_frames = max(round(smile.duration * fps), 5)
    faces = express(subject, smile, np.arange(n_frames) / fps)
    clip = film(rng, faces, fps=fps, **filming)
    return clip, phase_limits(smile, fps, n_frames) | {
        "cut_at_start": smile.onset_start < 0,
        "cut_at_end": smile.offset_end > smile.duration,
        "duration": n_frames / fps,
        "n_frames": n_frames,
        "amplitude": smile.amplitude,
        "n_rises": 1 + len(smile.dips),
        "n_blinks": len(smile.blinks),
        "narrowing": smile.narrowing,
        "coordination": smile.coordination,
        "n_missing": int(np.isnan(clip[:, 0, 0]).sum()),
    }


def cue_weights(label: float, effect: float, cues: Sequence[str] = CUES) -> dict[str, float]:
    """Return the weight of each cue between posed (0) and spontaneous (1)."""
    return {cue: 0.5 + (label - 0.5) * effect * (cue in cues) for cue in CUES}


def film(
    rng: Generator,
    faces: np.ndarray,
    *,
    fps: float,
    jitter: float,
    missing_rate: float,
    head_motion: float,
    face_size: float,
) -> np.ndarray:
    """Return the clip of faces (n_frames, 3, 478) in image heights, with noise and gaps."""
    n_frames = len(faces)
    centre = _EYE_CENTRE + rng.normal(0.0, _CENTRE_SPREAD)
    jitter_rng, motion_rng, missing_rng = rng.spawn(3)
    clip = faces  # (n_frames, 3, 478)
    if jitter > 0:
        clip = clip + draw_noise(jitter_rng, n_frames, fps, jitter * MEAN_SMILE, MEDIAPIPE_478)
    rotation, shift = np.eye(3), np.zeros(3)
    if head_motion > 0:
        rotation, shift = draw_head_motion(motion_rng, np.arange(n_frames) / fps, head_motion)
    clip = (face_size * rotation).astype(np.float32) @ clip
    clip += (centre + face_size * shift).astype(np.float32)[..., None]
    clip[draw_missing(missing_rng, n_frames, missing_rate)] = np.nan
    return np.ascontiguousarray(clip.transpose(0, 2, 1))


def phase_limits(smile: Smile, fps: float, n_frames: int, start: float = 0.0) -> dict[str, float]:
    """Return the limits of the phases of a smile, in frames and seconds, limited to the clip."""
    limits = ("onset_start", "apex_start", "offset_start", "offset_end")
    last = (n_frames - 1) / fps
    seconds = {name: min(max(float(start + getattr(smile, name)), 0.0), last) for name in limits}
    row = {name: round(time * fps) for name, time in seconds.items()}
    return row | {f"{name}_s": time for name, time in seconds.items()}
