"""Clips of two classes paired by duration."""

from dataclasses import replace

import numpy as np
from scipy.optimize import linear_sum_assignment
from sklearn.utils import _safe_indexing

from smilefusion.clips import check_clips, check_fps
from smilefusion.exceptions import InvalidClipError, InvalidDataError


def match_durations(durations, target, caliper):
    """Return the sorted positions of clips of two classes that pair up in duration."""
    classes = np.unique(target)
    if len(classes) != 2:
        raise InvalidDataError(
            f"Clips of {len(classes)} classes cannot be paired by duration; two are needed."
        )
    first, second = (np.flatnonzero(target == label) for label in classes)
    logs = np.log(durations)
    difference = np.abs(logs[first][:, None] - logs[second])
    rows, columns = linear_sum_assignment(np.minimum(difference, caliper))
    close = difference[rows, columns] < caliper
    return np.sort(np.concatenate([first[rows[close]], second[columns[close]]]))


def take_rows(dataset, positions):
    """Return the data set of some clips."""
    if len(positions) == 0:
        raise InvalidDataError(
            f"No two clips of different classes in data set {dataset.name!r} have nearly the same "
            "duration. Raise the caliper."
        )
    return replace(
        dataset,
        clips=_safe_indexing(dataset.clips, positions),
        target=dataset.target[positions],
        groups=dataset.groups[positions],
        rows=dataset.rows.iloc[positions].reset_index(drop=True),
        folds=None,
    )


def find_durations(dataset):
    """Return the duration of each clip in seconds, in frames where no frame rate is known."""
    n_clips = len(dataset.target)
    if dataset.durations is not None:
        durations = np.asarray(dataset.durations, dtype=float)
    else:
        try:
            frames = check_clips(dataset.clips).n_frames
        except InvalidClipError as error:
            raise InvalidDataError(
                f"The clips of data set {dataset.name!r} do not tell their durations ({error}). "
                "Give the data durations in seconds."
            ) from error
        durations = frames / check_fps(dataset.fps, n_clips)
    if durations.shape != (n_clips,) or not (np.isfinite(durations) & (durations > 0)).all():
        raise InvalidDataError(
            f"The durations of data set {dataset.name!r} must be one positive number per clip, "
            f"{n_clips} of them; got an array of shape {durations.shape}. Correct them."
        )
    return durations
