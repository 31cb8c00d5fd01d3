"""Who is trained on and who is set aside for early stopping, and the record of it."""

import numpy as np
from sklearn.model_selection import StratifiedGroupKFold, train_test_split
from sklearn.utils import check_array


def check_groups(groups, n_samples):
    """Return groups as a 1-D array, one label per sample, or None."""
    if groups is None:
        return None
    groups = check_array(groups, ensure_2d=False, dtype=None, input_name="groups")
    if groups.ndim != 1 or len(groups) != n_samples:
        raise ValueError(
            f"groups must hold one label per sample; got shape {groups.shape} for {n_samples} "
            f"samples. Give the subject of every sample, in the same order."
        )
    return groups


def split_validation(y, groups, fraction, random_state):
    """Split sample indices into training and validation, stratified, never through a group."""
    indices = np.arange(len(y))
    if groups is None:
        try:
            return train_test_split(
                indices, test_size=fraction, stratify=y, random_state=random_state
            )
        except ValueError as error:
            raise ValueError(
                f"early_stopping=True cannot set aside validation_fraction={fraction} of "
                f"{len(y)} samples with every class in both parts ({error}) Use more samples, "
                f"a larger fraction, or early_stopping=False."
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
        f"early_stopping=True needs groups that can be split with every class in both parts; "
        f"got {n_groups} groups. Use more groups or early_stopping=False."
    )


def describe_split(groups, train, early_stopping):
    """Return what an estimator keeps of a split: subjects and counts, nothing of the clips.

    Parameters
    ----------
    groups : ndarray of shape (n_samples,) or None
        Subject of each sample, where known.
    train, early_stopping : ndarray of int
        Positions of the samples trained on and set aside.

    Returns
    -------
    split : dict
        ``train`` and ``early_stopping``, sorted arrays of subjects, or None where subjects are
        not known; ``n_train`` and ``n_early_stopping``, numbers of samples.
    """
    return {
        "train": None if groups is None else _subjects(groups[train]),
        "early_stopping": None if groups is None else _subjects(groups[early_stopping]),
        "n_train": len(train),
        "n_early_stopping": len(early_stopping),
    }


def continue_split(earlier, later):
    """Return the split of a training that goes on from the weights of an earlier one.

    Its subjects are those of both; its counts are those of the later one.
    """
    joined = {}
    for part in ("train", "early_stopping"):
        both = [None if split is None else split[part] for split in (earlier, later)]
        joined[part] = None if any(each is None for each in both) else _subjects(np.r_[*both])
    return later | joined


def _subjects(labels):
    """Return the distinct labels, sorted; numbers and strings as they are, others as text."""
    return np.unique(labels if labels.dtype.kind in "fiubU" else labels.astype(str))
