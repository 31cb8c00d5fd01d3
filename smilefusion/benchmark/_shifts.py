"""Recording shifts: the same smiles, recorded, trimmed or tracked differently."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from sklearn.utils import check_random_state

from smilefusion._messages import abridge, count
from smilefusion.benchmark.stats._metrics import ClipOutcomes
from smilefusion.benchmark.stats._shift_scores import AS_RECORDED, measure_shifts
from smilefusion.clips._changes import (
    add_blinks,
    add_head_motion,
    add_noise,
    add_still_end,
    add_still_start,
    cut_end,
    cut_start,
    drop_faces,
    keep_every,
    mirror,
    transform,
)
from smilefusion.clips._rates import differ
from smilefusion.clips._sequence import ClipSequence, change_clips, check_clips
from smilefusion.exceptions import InvalidClipError

_Shift = Callable[[ClipSequence, int], ClipSequence]


def recording_shifts(
    clips: Any,
    fps: ArrayLike | None = None,
    *,
    random_state: int | np.random.RandomState | None = 0,
) -> dict[str, ClipSequence]:
    """Simulate other ways of recording, trimming or tracking the same smiles.

    A model that judges only the smile gives nearly the same answer under all shifts.

    Parameters
    ----------
    clips : sequence of clips
        As `check_clips` accepts them, with 478 or 68 landmarks.
    fps : float or array-like of shape (n_clips,), default=None
        Frames per second. None uses the rates that the clips state.
    random_state : int, RandomState instance or None, default=0
        Seed of noise, head motion, gaps and blinks.

    Returns
    -------
    shifted : dict of str to ClipSequence
        The clips as recorded, followed by the changed clips, by name of the shift. Changes are
        computed whenever a clip is read, so the copies take no memory. Subjects and names are
        kept, and so is the frame rate, unless it is halved.

    Raises
    ------
    InvalidClipError
        If a frame rate is unknown, a clip is too short to be cut, or the number of landmarks
        is not supported.

    Notes
    -----
    ========================  ====================================================================
    name                      change
    ========================  ====================================================================
    as recorded               none
    1.4 s still before        copies of the first frame with a face come before the clip
    1.4 s still after         copies of the last frame with a face come after the clip
    first 0.4 s cut           the first frames are missing
    last 0.4 s cut            the last frames are missing
    mirrored                  right and left are swapped
    scaled by 1.5 and moved   the face is larger and in another place
    rolled by 20 degrees      the face is rotated in the image plane
    6 degrees of head motion  slow rotations about the neck; each angle has this standard
                              deviation; clips in two dimensions rotate in the image plane only
    noise of 5 % of a smile   landmark noise with this standard deviation, as a fraction of the
                              movement of a lip corner in the average smile (0.20 inter-ocular
                              distances); most of it is slow, and neighbours move together
    face of 72 pixels         noise of 9 %: on faces of this size, lip jitter is 6 to 12 %
    half the frame rate       every other frame
    10 % of frames missing    gaps of 3 frames on average
    a blink every 2 s         the lids close to the line between the eye corners and open again,
                              all within 0.3 s
    ========================  ====================================================================

    Noise and head motion are added to what the clips already contain.

    Examples
    --------
    >>> from smilefusion.benchmark import recording_shifts
    >>> from smilefusion.datasets import make_smiles
    >>> smiles = make_smiles(4, n_subjects=2, fps=50, random_state=0)
    >>> shifted = recording_shifts(smiles.clips)
    >>> smiles.clips.n_frames - shifted["first 0.4 s cut"].n_frames
    array([20, 20, 20, 20])
    >>> shifted["half the frame rate"].fps.tolist()
    [25.0, 25.0, 25.0, 25.0]
    """
    clips = check_clips(clips, fps=fps)
    unknown = np.flatnonzero(np.isnan(clips.fps))
    if len(unknown):
        raise InvalidClipError(
            f"{abridge([clips.names[index] for index in unknown])}: no frame rate is stated, but "
            "recording shifts need one to add and cut seconds. Give fps=."
        )
    seed = int(check_random_state(random_state).randint(np.iinfo(np.int32).max))
    shifted = {name: shift(clips, seed) for name, shift in _SHIFTS.items()}
    return {AS_RECORDED: clips, **shifted}


def evaluate_shifts(
    estimator: Any,
    clips: Any,
    y: ArrayLike,
    *,
    fps: ArrayLike | None = None,
    shifts: Mapping[str, Any] | None = None,
    random_state: int | np.random.RandomState | None = 0,
) -> pd.DataFrame:
    """Score a fitted classifier on the same clips under every recording shift.

    Parameters
    ----------
    estimator : estimator
        A fitted classifier of clips with `predict_proba`. It should take the frame rates from
        the clips.
    clips : sequence of clips
        Test clips as `check_clips` accepts them, of people who are not in the training data.
    y : array-like of shape (n_clips,)
        Classes of the clips.
    fps : float or array-like of shape (n_clips,), default=None
        Frames per second. None uses the rates that the clips state.
    shifts : dict of str to callable or clips, default=None
        Shifts by name: functions that take a `ClipSequence` and return the changed clips, or the
        changed clips themselves. None uses all `recording_shifts`.
    random_state : int, RandomState instance or None, default=0
        Seed of `recording_shifts`.

    Returns
    -------
    scores : pandas.DataFrame
        One row per shift; the first row is for the clips as recorded. The index ``shift`` is the
        name of the shift. The columns are ``log_loss`` (nats), ``roc_auc``, and
        ``balanced_accuracy`` of the most probable class. Each is followed by
        ``<metric>_change``, its difference from the clips as recorded. A score is NaN if it
        needs a class that has no clips. Use `format_table` to print the table.

    Raises
    ------
    InvalidClipError
        If a clip is invalid or too short for a shift. The message names both.
    ValueError
        If the estimator has no `predict_proba`, `y` has a class that the estimator does not know,
        the numbers of clips do not match, or a shift changes the frame rate but the estimator has
        a fixed one.

    See Also
    --------
    run_benchmark : Evaluate shifts under cross-validation, with ``shifts=True``.

    Examples
    --------
    A model that uses only the length of the recording fails if the clips are not trimmed:

    >>> import numpy as np
    >>> from sklearn.linear_model import LogisticRegression
    >>> from sklearn.pipeline import make_pipeline
    >>> from sklearn.preprocessing import FunctionTransformer
    >>> from smilefusion.benchmark import evaluate_shifts
    >>> from smilefusion.datasets import make_smiles
    >>> smiles = make_smiles(60, n_subjects=30, fps=25, random_state=0)
    >>> seconds = FunctionTransformer(lambda clips: (clips.n_frames / clips.fps)[:, None])
    >>> model = make_pipeline(seconds, LogisticRegression())
    >>> model = model.fit(smiles.clips[:40], smiles.target[:40])
    >>> scores = evaluate_shifts(model, smiles.clips[40:], smiles.target[40:])
    >>> scores["log_loss_change"].idxmax()
    '1.4 s still before'
    """
    check_probabilities(estimator)
    clips = check_clips(clips, fps=fps)
    target = _class_positions(y, estimator.classes_, len(clips))
    outcomes = {}
    for name, changed in iterate_shifts(clips, shifts, [estimator], random_state):
        with naming_shift(name):
            probability = np.asarray(estimator.predict_proba(changed), dtype=float)
        outcomes[name] = ClipOutcomes(
            target=target,
            correct=probability.argmax(axis=1) == target,
            probability=probability,
            subject=np.arange(len(clips)),
            cell=np.zeros(len(clips), dtype=int),
            answered=np.ones(len(clips), dtype=bool),
        )
    return measure_shifts(outcomes)


def check_probabilities(estimator: Any) -> None:
    """Raise if an estimator predicts no probabilities."""
    if not hasattr(estimator, "predict_proba"):
        raise ValueError(
            f"{type(estimator).__name__} has no predict_proba, but log loss and ROC AUC need "
            "probabilities. Wrap it in sklearn.calibration.CalibratedClassifierCV."
        )


def iterate_shifts(
    clips: ClipSequence,
    shifts: Mapping[str, Any] | bool | None,
    estimators: Iterable,
    random_state: int | np.random.RandomState | None = 0,
) -> Iterator[tuple[str, ClipSequence]]:
    """Yield name and clips of each shift, the clips as recorded first; None and True mean all."""
    if shifts is None or isinstance(shifts, bool):
        shifts = recording_shifts(clips, random_state=random_state)
    for name, shift in {AS_RECORDED: clips, **shifts}.items():
        with naming_shift(name):
            changed = check_clips(shift(clips) if callable(shift) else shift)
        if len(changed) != len(clips):
            raise ValueError(
                f"The shift {name!r} gives {count(len(changed), 'clip')} for "
                f"{count(len(clips), 'clip')}, but it must keep all clips in the same order. Give "
                "one changed clip for each clip."
            )
        if differ(changed.fps, clips.fps).any():
            for estimator in estimators:
                _check_rates(estimator, name)
        yield name, changed


def _check_rates(estimator: Any, name: str) -> None:
    """Raise if the estimator has a fixed frame rate, because the shift changes it."""
    parameters = estimator.get_params() if hasattr(estimator, "get_params") else {}
    for key, value in parameters.items():
        if key.rpartition("__")[2] == "fps" and value is not None:
            raise ValueError(
                f"The shift {name!r} changes the frame rate, but the estimator has {key}={value}, "
                "which overrides the frame rates of clips. Set it to None, and state the rates "
                "with check_clips(X, fps=...)."
            )


@contextmanager
def naming_shift(name: str) -> Iterator[None]:
    """Add the name of the shift to errors: to the message for an invalid clip, else as a note."""
    try:
        yield
    except InvalidClipError as error:
        raise InvalidClipError(f"With the shift {name!r}: {error}") from error
    except Exception as error:
        error.add_note(f"With the shift {name!r}.")
        raise


def _class_positions(y: ArrayLike, classes: np.ndarray, n_clips: int) -> np.ndarray:
    """Return the position of each clip's class among the classes of an estimator."""
    y = np.asarray(y)
    if y.shape != (n_clips,):
        raise ValueError(
            f"y must contain one class per clip; got shape {y.shape} for "
            f"{count(n_clips, 'clip')}. Pass a one-dimensional array of labels."
        )
    positions = pd.Index(classes).get_indexer(pd.Index(y))
    if (positions < 0).any():
        raise ValueError(
            f"y has the class {y[positions < 0].tolist()[0]!r}, but the estimator knows only "
            f"{np.asarray(classes).tolist()}. Remove these clips, or train on this class too."
        )
    return positions


def _resize(clips: ClipSequence, seed: int, *, change: Callable, seconds: float) -> ClipSequence:
    """Add frames, or remove them if `seconds` is negative; raise if a clip has none left."""
    added = np.round(seconds * clips.fps).astype(int)
    n_frames = clips.n_frames + added
    for index in np.flatnonzero(n_frames <= 0)[:1]:
        raise InvalidClipError(
            f"{clips.names[index]} has {count(clips.n_frames[index], 'frame')}, but recording "
            f"shifts cut {-seconds} s ({-added[index]} frames). Remove the clip."
        )
    changes = [partial(change, n_frames=int(abs(n))) for n in added]
    return change_clips(clips, changes, n_frames=n_frames)


def _halve_rate(clips: ClipSequence, seed: int) -> ClipSequence:
    """Keep every other frame."""
    halve = partial(keep_every, step=2)
    n_frames = (clips.n_frames + 1) // 2
    return change_clips(clips, [halve] * len(clips), n_frames=n_frames, fps=clips.fps / 2)


def _change_pose(
    clips: ClipSequence, seed: int, *, change: Callable, **settings: Any
) -> ClipSequence:
    """Change all clips in the same way."""
    return change_clips(clips, [partial(change, **settings)] * len(clips))


def _disturb(
    clips: ClipSequence, seed: int, *, change: Callable, **settings: float
) -> ClipSequence:
    """Change clips at random, each with its own seed."""
    changes = [
        partial(change, seed=(seed, i), fps=rate, **settings) for i, rate in enumerate(clips.fps)
    ]
    return change_clips(clips, changes)


_SHIFTS: dict[str, _Shift] = {
    "1.4 s still before": partial(_resize, change=add_still_start, seconds=1.4),
    "1.4 s still after": partial(_resize, change=add_still_end, seconds=1.4),
    "first 0.4 s cut": partial(_resize, change=cut_start, seconds=-0.4),
    "last 0.4 s cut": partial(_resize, change=cut_end, seconds=-0.4),
    "mirrored": partial(_change_pose, change=mirror),
    "scaled by 1.5 and moved": partial(_change_pose, change=transform, factor=1.5, shift=(1, 0.5)),
    "rolled by 20 degrees": partial(_change_pose, change=transform, degrees=20.0),
    "6 degrees of head motion": partial(_disturb, change=add_head_motion, degrees=6.0),
    "noise of 5 % of a smile": partial(_disturb, change=add_noise, jitter=0.05),
    "face of 72 pixels": partial(_disturb, change=add_noise, jitter=0.09),
    "half the frame rate": _halve_rate,
    "10 % of frames missing": partial(_disturb, change=drop_faces, rate=0.1),
    "a blink every 2 s": partial(_disturb, change=add_blinks, interval=2.0),
}
