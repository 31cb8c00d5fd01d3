"""Early-stopping split by subject."""

import warnings
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold, train_test_split
from sklearn.utils import check_array

from smilefusion._messages import count
from smilefusion.exceptions import MissingGroupsWarning


def check_groups(groups: ArrayLike | None, n_samples: int) -> np.ndarray | None:
    """Return groups as a 1-D array, one label per sample, or None."""
    if groups is None:
        return None
    labels: np.ndarray = check_array(groups, ensure_2d=False, dtype=None, input_name="groups")
    if labels.ndim != 1 or len(labels) != n_samples:
        raise ValueError(
            f"groups must hold one label per sample; got shape {labels.shape} for {n_samples} "
            f"samples. Pass the subject of every sample, in the same order."
        )
    return labels


def split_validation(
    y: np.ndarray, groups: np.ndarray | None, fraction: float, random_state: int
) -> tuple[np.ndarray, np.ndarray]:
    """Split sample indices into training and validation, stratified and by whole groups."""
    indices = np.arange(len(y))
    if groups is None:
        try:
            return train_test_split(
                indices, test_size=fraction, stratify=y, random_state=random_state
            )
        except ValueError as error:
            raise ValueError(
                f"Early stopping cannot set aside validation_fraction={fraction} of "
                f"{len(y)} samples with every class in both parts ({error}) Use more samples, "
                f"a larger fraction, or patience=None."
            ) from error
    n_groups = len(np.unique(groups))
    n_smallest = np.unique(y, return_counts=True)[1].min()
    n_splits = min(max(2, round(1 / fraction)), n_groups, n_smallest)
    if n_splits >= 2:
        folds = StratifiedGroupKFold(n_splits, shuffle=True, random_state=random_state)
        for train, valid in folds.split(indices, y, groups):
            if len(np.unique(y[train])) == len(np.unique(y[valid])) == len(np.unique(y)):
                return train, valid
    raise ValueError(
        f"Early stopping needs groups that can be split with every class in both parts; "
        f"got {n_groups} groups. Use more groups or patience=None."
    )


def choose_rows(
    estimator: Any,
    y: np.ndarray,
    groups: np.ndarray | None,
    mask: ArrayLike | None,
    random_state: int,
) -> tuple[np.ndarray, np.ndarray]:
    """Return the rows for training and for early stopping, by a mask or at random."""
    if mask is not None:
        train, stop = split_by_mask(mask, len(y))
        _check_parts(estimator, y, train, stop)
        return train, stop[:0] if estimator.patience is None else stop
    if estimator.patience is None:
        return np.arange(len(y)), np.arange(0)
    if groups is None:
        warn_of_missing_groups(estimator, stacklevel=8)
    return split_validation(y, groups, estimator.validation_fraction, random_state)


def draw_folds(
    y: np.ndarray, groups: np.ndarray | None, n_folds: int, random_state: int
) -> np.ndarray:
    """Return the fold of each sample: stratified by class, whole groups, fewer if needed."""
    own = np.arange(len(y)) if groups is None else groups
    classes = np.unique(y)
    n_most = min(n_folds, *(len(np.unique(own[y == each])) for each in classes))
    for n in range(n_most, 1, -1):
        settings = {"n_splits": n, "shuffle": True, "random_state": random_state}
        maker = StratifiedKFold if groups is None else StratifiedGroupKFold
        parts = list(maker(**settings).split(y, y, groups))
        if all(len(np.unique(y[train])) == len(classes) for train, _ in parts):
            fold = np.empty(len(y), dtype=int)
            for number, (_, held) in enumerate(parts):
                fold[held] = number
            return fold
    unit = "clip" if groups is None else "subject"
    raise ValueError(
        f"n_members={n_folds} needs every class in the training part of every fold, but a class "
        f"has only {count(n_most, unit)}. Add {unit}s, or train a single network on all of them "
        f"with n_members=1 and patience=None."
    )


def split_by_mask(mask: ArrayLike, n_samples: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the rows outside and inside a mask; raise if it is not a valid mask."""
    mask = np.asarray(mask)
    if mask.shape != (n_samples,) or mask.dtype != bool:
        raise ValueError(
            f"early_stopping_mask must hold True or False for each of the {n_samples} samples; "
            f"got {mask.dtype} values of shape {mask.shape}. Omit it to let the estimator choose "
            f"the samples."
        )
    return np.flatnonzero(~mask), np.flatnonzero(mask)


def _check_parts(estimator: Any, y: np.ndarray, train: np.ndarray, stop: np.ndarray) -> None:
    """Raise if a mask leaves too few samples for training or early stopping."""
    absent = np.setdiff1d(y, y[train])
    if absent.size or (estimator.patience is not None and not len(stop)):
        part = "samples of every class outside" if absent.size else "samples inside"
        raise ValueError(
            f"{type(estimator).__name__} needs {part} early_stopping_mask; got {len(train)} "
            f"samples outside and {len(stop)} inside. If a pipeline drew the mask and one of its "
            f"steps split it into folds, put the pipeline into that step instead."
        )


def warn_of_missing_groups(estimator: Any, *, stacklevel: int) -> None:
    """Warn that the early-stopping split may separate clips of one person."""
    warnings.warn(
        f"{type(estimator).__name__} stops early on samples chosen at random, because fit got no "
        f"groups. If a person has several clips, training then stops too late. Pass the subject "
        f"of each clip with fit(X, y, groups=subjects), or with params={{'groups': subjects}} in "
        f"cross_validate. Or set patience=None.",
        MissingGroupsWarning,
        stacklevel=stacklevel,
    )


def describe_split(
    groups: np.ndarray | None, train: np.ndarray, early_stopping: np.ndarray
) -> dict[str, Any]:
    """Return the attribute `split_` of estimators: sorted subjects or None, and counts."""
    # With folds, every sample is in both, because each network leaves out a different fold.
    early_stopping = np.setdiff1d(early_stopping, train)
    return {
        "train": None if groups is None else _subjects(groups[train]),
        "early_stopping": None if groups is None else _subjects(groups[early_stopping]),
        "n_train": len(train),
        "n_early_stopping": len(early_stopping),
    }


def continue_split(earlier: dict[str, Any] | None, later: dict[str, Any]) -> dict[str, Any]:
    """Return the split after a warm start: subjects of both fits, counts of the second fit."""
    joined: dict[str, Any] = {}
    for part in ("train", "early_stopping"):
        both = [None if split is None else split[part] for split in (earlier, later)]
        joined[part] = None if any(each is None for each in both) else _subjects(np.r_[*both])
    return later | joined


def _subjects(labels: np.ndarray) -> np.ndarray:
    """Return the sorted distinct labels; labels other than numbers and strings become text."""
    return np.unique(labels if labels.dtype.kind in "fiubU" else labels.astype(str))
