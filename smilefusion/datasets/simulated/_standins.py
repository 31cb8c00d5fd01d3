"""Simulated stand-ins of the published data sets, and the one or the other as data are at hand."""

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from sklearn.utils import Bunch, check_random_state

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
    """What a stand-in is modelled on."""

    published: PublishedSet
    load: object
    fps: float
    n_subjects: int

    @property
    def folder(self):
        """Return the name of the data set's folder."""
        return self.published.name.lower()


# Subjects of MMI and BBC are not told; these numbers are guesses for the simulation.
_MODELS = {
    "uva_nemo": _Model(UVA_NEMO, load_uva_nemo, 50.0, 400),
    "mmi": _Model(MMI, load_mmi, 25.0, 40),
    "spos": _Model(SPOS, load_spos, 25.0, 7),
    "bbc": _Model(BBC, load_bbc, 25.0, 20),
}


def make_standin(name, *, n_clips=None, random_state=0):
    """Simulate a data set like a published one: as many clips, classes, subjects and folds.

    Parameters
    ----------
    name : {"uva_nemo", "mmi", "spos", "bbc"}
        The published data set.
    n_clips : int or None, default=None
        Number of clips, fewer than published to make haste; classes, subjects and folds shrink
        with it. None takes the published number.
    random_state : int, RandomState instance or None, default=0
        Source of chance.

    Returns
    -------
    data : Bunch
        ``clips, target, groups, fps, folds, files, name, DESCR`` as of `load_uva_nemo`: `groups`
        is None for "mmi" and "bbc", whose names do not tell the subjects either. `name` and
        `DESCR` say that the clips are simulated.

    Raises
    ------
    ValueError
        If there is no such data set, or `n_clips` allows no such folds.

    Notes
    -----
    Clips come from `make_smiles`, of which surplus clips of the rarer class are left out. The
    folds of "uva_nemo" and "spos" share no subject, and have the published sizes as far as whole
    subjects allow; those of the others have them exactly. All else is as in `make_smiles`:
    a figure reached on these data is a figure about a simulation.

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
            f"n_clips must be from {2 * n_folds} to {n_published}, the clips of {published.name} "
            f"in {n_folds} folds; got {n_clips}."
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
    return Bunch(
        clips=[smiles.clips[i] for i in kept],
        target=smiles.target[kept],
        groups=groups if published.subject else None,
        fps=smiles.fps,
        folds=PublishedFolds(fold),
        files=[f"simulated {i:04d}" for i in range(len(kept))],
        name=f"{published.name}, simulated",
        DESCR=f"Simulated clips in the numbers of {published.name}.\n\n{smiles.DESCR}",
    )


def load_or_simulate(name, *, n_clips=None, random_state=0):
    """Load a published data set where the data are at hand, else simulate a stand-in.

    The environment variable ``SMILEFUSION_DATA`` names the folder that holds the data sets, in
    the folders ``uva-nemo``, ``mmi``, ``spos`` and ``bbc``. Where it is set, they are loaded
    from there and nothing else will do; where it is not, `make_standin` makes the data. The
    examples of the documentation use it to run on either.

    Parameters
    ----------
    name : {"uva_nemo", "mmi", "spos", "bbc"}
        The published data set.
    n_clips : int or None, default=None
        Number of clips of the stand-in; a data set that is loaded is whole.
    random_state : int, RandomState instance or None, default=0
        Source of chance of the stand-in.

    Returns
    -------
    data : Bunch
        As of `load_uva_nemo` or `make_standin`; ``name`` tells which.

    Raises
    ------
    InvalidDataError
        Where the folder is named and does not hold the data set as published.
    ValueError
        If there is no such data set.

    Examples
    --------
    >>> from smilefusion.datasets import load_or_simulate
    >>> load_or_simulate("bbc").target.sum()
    np.int64(10)
    """
    model = _find_model(name)
    home = os.environ.get(DATA_VARIABLE)
    if home:
        return model.load(Path(home, model.folder))
    return make_standin(name, n_clips=n_clips, random_state=random_state)


def _find_model(name):
    """Return what a stand-in is modelled on."""
    if name not in _MODELS:
        raise ValueError(f"name must be one of {list(_MODELS)}; got {name!r}.")
    return _MODELS[name]


def _fill_folds(units, capacity, rng):
    """Return the fold of each clip, (n_clips,): whole units, folds filled as capacities say."""
    names, position, sizes = np.unique(units, return_inverse=True, return_counts=True)
    order = rng.permutation(len(names))
    fold, room = np.empty(len(names), dtype=int), capacity.astype(float)
    for unit in order[np.argsort(-sizes[order], kind="stable")]:
        fold[unit] = room.argmax()
        room[fold[unit]] -= sizes[unit]
    # Units larger by one clip change places with smaller ones while a fold is over its size.
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
