"""Simulated recordings of several smiles with pauses between them, and ground truth."""

from numbers import Integral, Real

import numpy as np
import pandas as pd
from sklearn.utils import Bunch, check_random_state
from sklearn.utils._param_validation import Interval, validate_params

from smilefusion.datasets.simulated._faces import draw_subject, move_face, smile_curves
from smilefusion.datasets.simulated._smiles import (
    CONSTRAINTS,
    FACE_SIZE,
    cue_weights,
    draw_settings,
    film,
    phase_limits,
)
from smilefusion.datasets.simulated._time_courses import draw_smile, minimum_jerk, pause_blinks

_PAUSE_SPREAD = 0.5  # half the range of pauses, as a fraction of the mean
_RELAX_SHARE = 0.5  # share of a pause until the face is at rest

_DESCR = """\
Simulated stream
----------------
One recording of one person: alternating posed and spontaneous smiles as in `make_smiles`, with
pauses in which the face returns to rest and blinks. The length of the pauses and the return to
rest are assumed. Scores on these data describe a simulation, not real smiles.
"""


@validate_params(
    {
        "n_smiles": [Interval(Integral, 0, None, closed="left")],
        "pause": [Interval(Real, 0.5, None, closed="left")],
        **CONSTRAINTS,
    },
    prefer_skip_nested_validation=True,
)
def make_smile_stream(
    n_smiles: int = 10,
    *,
    pause: float = 3.0,
    fps: float = 30.0,
    effect: float = 1.0,
    jitter: float = 0.057,
    missing_rate: float = 0.01,
    head_motion: float = 3.0,
    random_state: int | np.random.RandomState | None = None,
) -> Bunch:
    """Simulate one long recording of a person who smiles several times.

    The smiles are those of `make_smiles`. Before, between and after them, the face is neutral
    and blinks.

    Parameters
    ----------
    n_smiles : int, default=10
        Number of alternating posed and spontaneous smiles. 0 gives one pause.
    pause : float, default=3.0
        Mean pause between smiles in seconds, at least 0.5. Each pause is between half and one
        and a half times the mean.
    fps : float, default=30.0
        Frames per second, 5 to 1000.
    effect : float, default=1.0
        Difference between the classes, as in `make_smiles`.
    jitter : float, default=0.057
        Jitter of the landmarks, as in `make_smiles`.
    missing_rate : float, default=0.01
        Share of missing frames, as in `make_smiles`.
    head_motion : float, default=3.0
        Head motion, as in `make_smiles`.
    random_state : int, RandomState instance or None, default=None
        Seed. Pass an int for a reproducible recording.

    Returns
    -------
    stream : Bunch
        clip : array of shape (n_frames, 478, 3), float32
            Landmarks in image heights, x to the right, y down; missing frames are NaN.
        target : int array of shape (n_smiles,)
            0 = posed, 1 = spontaneous.
        fps : float
            Frames per second.
        truth : DataFrame with n_smiles rows
            ``onset_start, apex_start, offset_start, offset_end`` in frames, and with ``_s`` in
            seconds; ``amplitude``, the change of the lip signal over the onset in rest mouth
            widths.
        DESCR : str
            Description of the simulation.

    Raises
    ------
    ValueError
        If a parameter is out of range.

    See Also
    --------
    make_smiles : Labelled clips of single smiles.

    Examples
    --------
    >>> from smilefusion.datasets import make_smile_stream
    >>> stream = make_smile_stream(2, random_state=0)
    >>> stream.clip.shape[1:], stream.target.tolist()
    ((478, 3), [0, 1])
    """
    entropy = check_random_state(random_state).randint(np.iinfo(np.int32).max, size=4).tolist()
    rng, film_rng = map(np.random.default_rng, np.random.SeedSequence(entropy).spawn(2))
    subject = draw_subject(rng)
    target = np.arange(n_smiles) % 2
    smiles = [
        draw_smile(
            rng,
            cue_weights(float(label), effect),
            pace=subject.pace,
            size=subject.size,
            lead=0.0,
            tail=0.0,
        )
        for label in target
    ]
    pauses = pause * rng.uniform(1 - _PAUSE_SPREAD, 1 + _PAUSE_SPREAD, n_smiles + 1)
    starts = np.cumsum(pauses[:-1]) + np.cumsum([0.0, *(each.duration for each in smiles)])[:-1]
    duration = pauses.sum() + sum(each.duration for each in smiles)
    seconds = np.arange(max(round(duration * fps), 5)) / fps
    curves = np.zeros((4, len(seconds)))
    for smile, start, rest in zip(smiles, starts, pauses[1:], strict=True):
        inside = slice(*np.searchsorted(seconds, [start, start + smile.duration + rest]))
        since = seconds[inside] - start
        left = 1.0 - minimum_jerk((since - smile.duration) / (_RELAX_SHARE * rest))
        curves[:, inside] += left * smile_curves(smile, since)
    ends = starts + [each.duration for each in smiles]
    for start, stop in zip([0.0, *ends], [*starts, duration], strict=True):
        curves[2] += pause_blinks(rng, start, stop, seconds)
    filming = {"missing_rate": missing_rate, "head_motion": head_motion}
    filming |= draw_settings(film_rng, {"jitter": jitter, "face_size": FACE_SIZE})
    clip = film(film_rng, move_face(subject, *curves), fps=fps, **filming)
    truth = pd.DataFrame(
        [
            phase_limits(smile, fps, len(clip), start) | {"amplitude": smile.amplitude}
            for smile, start in zip(smiles, starts, strict=True)
        ]
    )
    return Bunch(clip=clip, target=target, fps=float(fps), truth=truth, DESCR=_DESCR)
