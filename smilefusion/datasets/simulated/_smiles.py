"""Simulated clips of posed and spontaneous smiles with ground truth."""

from numbers import Integral, Real

import numpy as np
import pandas as pd
from numpy.random import Generator
from sklearn.utils import check_random_state
from sklearn.utils._param_validation import Interval, validate_params

from smilefusion.clips._changes import MEAN_SMILE, draw_head_motion, draw_missing, draw_noise
from smilefusion.clips._sequence import check_clips
from smilefusion.datasets._data_set import ClipBunch
from smilefusion.datasets.simulated._faces import draw_subject, express
from smilefusion.datasets.simulated._time_courses import Smile, draw_smile
from smilefusion.landmarks import MEDIAPIPE_478

_EYE_DISTANCE = 0.15  # between the eye centres, in image heights
_EYE_CENTRE = np.array([0.89, 0.40, 0.0])  # in image heights: a 16:9 image

_JITTER_SPREAD = 0.45  # SD of ln jitter between clips: 0.3 to 1.8 % around 0.75 %

_DESCR = """\
Simulated smiles
----------------
Each clip is an array (n_frames, 478, 3) of MediaPipe face-mesh landmarks in image heights, x to
the right, y down, z away from the camera; a frame without a face is all NaN. The face, its smile
and its blink are averaged from real recordings; subjects differ in shape.
Clip length, phase durations, lip amplitude, its correlation with onset duration, and eye narrowing
follow measurements on UvA-NEMO (Dibeklioglu, Salah & Gevers, ECCV 2012; IEEE TMM 2015). Speeds,
rises within the apex, and blinks are chosen to make D-Markers of simulated clips similar to those
of real clips.
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


@validate_params(
    {
        "n_clips": [Interval(Integral, 2, None, closed="left")],
        "n_subjects": [Interval(Integral, 1, None, closed="left")],
        **CONSTRAINTS,
    },
    prefer_skip_nested_validation=True,
)
def make_smiles(
    n_clips: int = 200,
    *,
    n_subjects: int = 40,
    fps: float = 50.0,
    effect: float = 1.0,
    jitter: float = 0.0075,
    missing_rate: float = 0.01,
    head_motion: float = 3.0,
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
    fps : float, default=50.0
        Frames per second, 5 to 1000.
    effect : float, default=1.0
        Size of the difference between the classes, 0 to 3. 0: both classes have the same
        distribution, including the length of the clip. 1: as measured.
    jitter : float, default=0.0075
        Standard deviation of the landmark noise, as a fraction of the movement of a lip corner in
        the average smile. Most of the noise is slow. It varies between clips; this is the median.
    missing_rate : float, default=0.01
        Approximate fraction of frames without a face, 0 to 0.5. Gaps have 3 frames on average and
        8 at most, and never include the first or last frame of a clip.
    head_motion : float, default=3.0
        Standard deviation of each of the head's three rotation angles, in degrees, 0 to 30. The
        head also shifts and changes size.
    random_state : int, RandomState instance or None, default=None
        Seed. Pass an int for reproducible clips.

    Returns
    -------
    data : Bunch
        clips : ClipSequence of length n_clips
            Arrays (n_frames, 478, 3), float32, in image heights, x to the right, y down;
            missing frames are NaN. The sequence states frame rate and subjects.
        target : int array of shape (n_clips,)
            0 = posed, 1 = spontaneous.
        groups : int array of shape (n_clips,)
            Subject of each clip, 0 to n_subjects - 1.
        fps : float
            Frames per second.
        truth : DataFrame with n_clips rows
            ``onset_start, apex_start, offset_start, offset_end`` in frames, and with ``_s`` in
            seconds; ``duration`` (s); ``n_frames``; ``amplitude``, the change of the lip signal
            over the onset in rest mouth widths; ``n_rises``, the onset plus each new rise in
            the apex; ``n_blinks``; ``narrowing`` of the eyes in eye widths; ``coordination`` of
            brows and chin with the lips in standard deviations; ``n_missing`` frames.
        DESCR : str
            Which properties are measured and which are assumed.

    Raises
    ------
    ValueError
        If a parameter is out of its range, or `n_subjects` exceeds `n_clips`.

    Notes
    -----
    The lip signal is D(t) = (rho(m, r_t) + rho(m, l_t)) / (2 rho(r_1, l_1)) with the lip corners
    r and l and their midpoint m at rest. The smile is scaled at each frame so that D(t) - D(1)
    equals the drawn amplitude without noise and head motion. Rises and falls are sums of two
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
    entropy = check_random_state(random_state).randint(np.iinfo(np.int32).max, size=4).tolist()
    seeds = np.random.SeedSequence(entropy).spawn(n_subjects + n_clips)
    rngs = [np.random.default_rng(seed) for seed in seeds]
    subjects = [draw_subject(rng) for rng in rngs[:n_subjects]]
    target = np.arange(n_clips) % 2
    groups = np.arange(n_clips) * n_subjects // n_clips
    clips, rows = [], []
    for label, group, rng in zip(target, groups, rngs[n_subjects:], strict=True):
        subject = subjects[group]
        weight = 0.5 + (label - 0.5) * effect
        smile = draw_smile(rng, weight, pace=subject.pace, size=subject.size)
        n_frames = max(round(smile.duration * fps), 5)
        faces = express(subject, smile, np.arange(n_frames) / fps)
        clip = film(rng, faces, fps, jitter, missing_rate, head_motion)
        clips.append(clip)
        rows.append(
            phase_limits(smile, fps, n_frames)
            | {
                "duration": n_frames / fps,
                "n_frames": n_frames,
                "amplitude": smile.amplitude,
                "n_rises": 1 + len(smile.dips),
                "n_blinks": len(smile.blinks),
                "narrowing": smile.narrowing,
                "coordination": smile.coordination,
                "n_missing": int(np.isnan(clip[:, 0, 0]).sum()),
            }
        )
    return ClipBunch(
        clips=check_clips(clips, fps=fps, subjects=groups),
        target=target,
        groups=groups,
        fps=float(fps),
        truth=pd.DataFrame(rows),
        DESCR=_DESCR,
    )


def film(
    rng: Generator,
    faces: np.ndarray,
    fps: float,
    jitter: float,
    missing_rate: float,
    head_motion: float,
) -> np.ndarray:
    """Return the clip of faces (n_frames, 3, 478) in image heights, with noise and gaps."""
    n_frames = len(faces)
    seconds = np.arange(n_frames) / fps
    centre = _EYE_CENTRE + rng.normal(0.0, (0.08, 0.03, 0.0))
    scale = _EYE_DISTANCE * np.exp(rng.normal(0.0, 0.15))
    jitter_rng, motion_rng, missing_rng = rng.spawn(3)
    clip = faces  # (n_frames, 3, 478)
    if jitter > 0:
        spread = jitter * MEAN_SMILE * float(np.exp(jitter_rng.normal(0.0, _JITTER_SPREAD)))
        clip = clip + draw_noise(jitter_rng, n_frames, fps, spread, MEDIAPIPE_478)
    rotation, shift = np.eye(3), np.zeros(3)
    if head_motion > 0:
        rotation, shift = draw_head_motion(motion_rng, seconds, head_motion)
    clip = (scale * rotation).astype(np.float32) @ clip
    clip += (centre + scale * shift).astype(np.float32)[..., None]
    clip[draw_missing(missing_rng, n_frames, missing_rate)] = np.nan
    return np.ascontiguousarray(clip.transpose(0, 2, 1))


def phase_limits(smile: Smile, fps: float, n_frames: int, start: float = 0.0) -> dict[str, float]:
    """Return the limits of the phases of a smile in frames and in seconds."""
    limits = ("onset_start", "apex_start", "offset_start", "offset_end")
    seconds = {name: float(start + getattr(smile, name)) for name in limits}
    row = {name: min(round(time * fps), n_frames - 1) for name, time in seconds.items()}
    return row | {f"{name}_s": time for name, time in seconds.items()}
