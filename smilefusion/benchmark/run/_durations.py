"""Pair clips of two classes by duration."""

from dataclasses import replace

import numpy as np
from scipy.optimize import linear_sum_assignment
from sklearn.utils import _safe_indexing

from smilefusion.benchmark.run._cells import DataSet
from smilefusion.clips._sequence import check_clips
from smilefusion.exceptions import InvalidClipError, InvalidDataError


def match_durations(durations: np.ndarray, target: np.ndarray, caliper: float) -> np.ndarray:
    """Return the sorted positions of the clips that have a partner of similar duration."""
    classes = np.unique(target)
    if len(classes) != 2:
        raise InvalidDataError(
            f"The data have {len(classes)} classes, but pairing by duration needs exactly 2. "
            "Select the clips of two classes."
        )
    first, second = (np.flatnonzero(target == label) for label in classes)
    logs = np.log(durations)
    difference = np.abs(logs[first][:, None] - logs[second])
    rows, columns = linear_sum_assignment(np.minimum(difference, caliper))
    close = difference[rows, columns] < caliper
    return np.sort(np.concatenate([first[rows[close]], second[columns[close]]]))


def take_rows(dataset: DataSet, positions: np.ndarray) -> DataSet:
    """Return a data set with the selected clips only."""
    if len(positions) == 0:
        raise InvalidDataError(
            f"No two clips of different classes in data set {dataset.name!r} have similar "
            "durations. Raise the caliper."
        )
    return replace(
        dataset,
        clips=_safe_indexing(dataset.clips, positions),
        target=dataset.target[positions],
        groups=dataset.groups[positions],
        rows=dataset.rows.iloc[positions].reset_index(drop=True),
        folds=None,
    )


def find_durations(dataset: DataSet) -> np.ndarray:
    """Return the duration of each clip in seconds, or in frames if the rate is unknown."""
    n_clips = len(dataset.target)
    if dataset.durations is not None:
        durations = np.asarray(dataset.durations, dtype=float)
    else:
        try:
            clips = check_clips(dataset.clips)
        except InvalidClipError as error:
            raise InvalidDataError(
                f"The durations of data set {dataset.name!r} are unknown ({error}). Add "
                "durations, in seconds, to the data."
            ) from error
        durations = clips.n_frames / np.where(np.isnan(dataset.fps), 1.0, dataset.fps)
    if durations.shape != (n_clips,) or not (np.isfinite(durations) & (durations > 0)).all():
        raise InvalidDataError(
            f"The durations of data set {dataset.name!r} must be one positive number per clip, "
            f"{n_clips} in total, but they have shape {durations.shape}. Correct or remove them."
        )
    return durations
