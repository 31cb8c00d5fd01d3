"""Simulated stand-ins for the published data sets."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from sklearn.utils import check_random_state

from smilefusion.clips._sequence import check_clips
from smilefusion.datasets._data_set import ClipBunch
from smilefusion.datasets.published._folds import PublishedFolds, PublishedSet
from smilefusion.datasets.published._readers import (
    BBC,
    MMI,
    SPOS,
    UVA_NEMO,
    load_bbc,
    load_mmi,
    load_spos,
    load_uva_nemo,
)
from smilefusion.datasets.simulated._smiles import make_smiles

DATA_VARIABLE = "SMILEFUSION_DATA"


@dataclass(frozen=True)
class _Model:
    """Published data set that a stand-in imitates."""

    published: PublishedSet
    load: Callable[[Path], ClipBunch]
    fps: float
    n_subjects: int


# The numbers of subjects of MMI and BBC are guesses, because they are not published.
_MODELS = {
    "uva_nemo": _Model(UVA_NEMO, load_uva_nemo, 50.0, 400),
    "mmi": _Model(MMI, load_mmi, 25.0, 40),
    "spos": _Model(SPOS, load_spos, 25.0, 7),
    "bbc": _Model(BBC, load_bbc, 25.0, 20),
}


def make_standin(
    name: str, *, n_clips: int | None = None, random_state: int | np.random.RandomState | None = 0
) -> ClipBunch:
    """Simulate a data set with the clip, class, subject and fold counts of a published one.

    Parameters
    ----------
    name : {"uva_nemo", "mmi", "spos", "bbc"}
        The published data set.
    n_clips : int or None, default=None
        Number of clips, at most the published number; classes, subjects and folds shrink in
        proportion. None uses the published number.
    random_state : int, RandomState instance or None, default=0
        Seed.

    Returns
    -------
    data : Bunch
        ``clips, target, groups, fps, folds, files, name, DESCR``, as in `load_uva_nemo`. `groups`
        is None for "mmi" and "bbc", whose subjects are not published. `name` and `DESCR` state
        that the clips are simulated.

    Raises
    ------
    ValueError
        If the data set is unknown, or `n_clips` is too small or too large for the folds.

    Notes
    -----
    Clips come from `make_smiles`, and surplus clips of the rarer class are discarded. The folds of
    "uva_nemo" and "spos" share no subject, and their sizes are close to the published ones. The
    folds of the others have the published sizes. Scores on these data describe a simulation.

    Examples
    --------
    >>> from smilefusion.datasets import make_standin
    >>> data = make_standin("bbc")
    >>> data.name, len(data.clips), data.folds.get_n_splits()
    ('BBC, simulated', 20, 10)
    """
    model = _find_model(name)
    published = model.published
    n_published = sum(published.class_sizes)
    share = 1.0 if n_clips is None else n_clips / n_published
    n_folds = len(published.test_sizes)
    sizes = np.maximum(np.round(share * np.array(published.class_sizes)).astype(int), 2)
    if sizes.sum() < 2 * n_folds or share > 1:
        raise ValueError(
            f"n_clips must be between {2 * n_folds} and {n_published} for the {n_folds} folds of "
            f"{published.name}; got {n_clips}. Choose another number."
        )
    rng = check_random_state(random_state)
    least = n_folds if published.subject else 2
    n_subjects = max(round(share * model.n_subjects), least)
    smiles = make_smiles(2 * sizes.max(), n_subjects=n_subjects, fps=model.fps, random_state=rng)
    kept = np.sort(
        np.concatenate(
            [rng.permutation(np.flatnonzero(smiles.target == k))[:n] for k, n in enumerate(sizes)]
        )
    )
    groups = smiles.groups[kept]
    capacity = np.array(published.test_sizes) / n_published * len(kept)
    fold = _fill_folds(groups if published.subject else np.arange(len(kept)), capacity, rng)
    subjects = groups if published.subject else None
    return ClipBunch(
        clips=check_clips(list(smiles.clips[kept]), fps=smiles.fps, subjects=subjects),
        target=smiles.target[kept],
        groups=subjects,
        fps=smiles.fps,
        folds=PublishedFolds(fold),
        files=[f"simulated {i:04d}" for i in range(len(kept))],
        name=f"{published.name}, simulated",
        DESCR=f"Simulated clips with the numbers of {published.name}.\n\n{smiles.DESCR}",
    )


def load_or_simulate(
    name: str, *, n_clips: int | None = None, random_state: int | np.random.RandomState | None = 0
) -> ClipBunch:
    """Load a published data set if the data are available, otherwise simulate a stand-in.

    If the environment variable ``SMILEFUSION_DATA`` is set, the data set is loaded from its
    subfolder ``uva-nemo``, ``mmi``, ``spos`` or ``bbc``. Otherwise `make_standin` simulates it.

    Parameters
    ----------
    name : {"uva_nemo", "mmi", "spos", "bbc"}
        The published data set.
    n_clips : int or None, default=None
        Number of clips of the stand-in. Ignored if the data are loaded.
    random_state : int, RandomState instance or None, default=0
        Seed of the stand-in.

    Returns
    -------
    data : Bunch
        Same as `load_uva_nemo` or `make_standin`; ``name`` states which.

    Raises
    ------
    InvalidDataError
        If the folder does not hold the data set as published.
    ValueError
        If the data set is unknown.

    Examples
    --------
    >>> from smilefusion.datasets import load_or_simulate
    >>> load_or_simulate("bbc").target.sum()
    np.int64(10)
    """
    model = _find_model(name)
    home = os.environ.get(DATA_VARIABLE)
    if home:
        return model.load(Path(home, model.published.name.lower()))
    return make_standin(name, n_clips=n_clips, random_state=random_state)


def _find_model(name: str) -> _Model:
    """Return the data set with this name."""
    if name not in _MODELS:
        raise ValueError(f"name must be one of {list(_MODELS)}; got {name!r}. Choose one of them.")
    return _MODELS[name]


def _fill_folds(units: np.ndarray, capacity: np.ndarray, rng: np.random.RandomState) -> np.ndarray:
    """Return the fold of each clip, (n_clips,); units stay whole, sizes near the capacities."""
    names, position, sizes = np.unique(units, return_inverse=True, return_counts=True)
    order = rng.permutation(len(names))
    fold, room = np.empty(len(names), dtype=int), capacity.astype(float)
    for unit in order[np.argsort(-sizes[order], kind="stable")]:
        fold[unit] = room.argmax()
        room[fold[unit]] -= sizes[unit]
    # Swap units that differ by one clip while a fold is too large.
    while (fullest := room.argmin()) != (emptiest := room.argmax()) and np.ptp(room) > 1:
        large, small = (np.flatnonzero(fold == k) for k in (fullest, emptiest))
        pairs = np.argwhere(sizes[large][:, None] == sizes[small] + 1)
        if len(pairs) == 0:
            break
        one, other = large[pairs[0, 0]], small[pairs[0, 1]]
        fold[one], fold[other] = emptiest, fullest
        room[fullest] += 1
        room[emptiest] -= 1
    return fold[position]
