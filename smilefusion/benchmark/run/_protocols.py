"""Protocols of a benchmark: who is trained on and tested, and what test clips may choose."""

from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
from sklearn.base import clone
from sklearn.model_selection import PredefinedSplit, StratifiedGroupKFold, check_cv

from smilefusion._lazy_clips import pool_clips
from smilefusion._messages import count
from smilefusion.benchmark.run._cells import label_rows
from smilefusion.benchmark.run._durations import find_durations, match_durations, take_rows
from smilefusion.clips import check_fps
from smilefusion.exceptions import InvalidDataError, LeakageError

N_FOLDS = 5


@dataclass(frozen=True)
class Protocol:
    """Say how `run_benchmark` arranges data sets, labels and folds; the base of all protocols.

    Use one of the protocols, or its name; `list_protocols` lists these.
    """

    name: ClassVar[str] = ""
    needs_groups: ClassVar[bool] = True
    chooses_epoch: ClassVar[bool] = False  # by the accuracy on the test clips

    def arrange(self, datasets, cv, seeds):
        """Return what is tested in every repeat.

        Parameters
        ----------
        datasets : list of DataSet
            The checked data sets of a run.
        cv : int, splitter or None
            Outer folds as `run_benchmark` takes them.
        seeds : list of int
            Seed of each repeat.

        Returns
        -------
        arranged : list of list of (DataSet, list of (train, test))
            For each data set and repeat, the data set as it is tested and the positions of the
            training and test clips of its folds, checked.

        Raises
        ------
        InvalidDataError
            Where the data do not allow such folds.
        ValueError
            Where `cv` does not suit the protocol.
        """
        prepared = self._prepare(datasets)
        return [[self._split(each, cv, seed, len(seeds)) for seed in seeds] for each in prepared]

    def _prepare(self, datasets):
        """Return the data sets as they are tested."""
        return datasets

    def _split(self, dataset, cv, seed, n_repeats):
        """Return the data set of one repeat and its folds."""
        splitter = self._splitter(dataset, cv, seed, n_repeats)
        groups = None if isinstance(splitter, PredefinedSplit) else dataset.groups
        folds = list(splitter.split(np.zeros(len(dataset.target)), dataset.target, groups))
        for fold, (train, test) in enumerate(folds):
            _check_fold(fold, train, test, dataset.target)
            if self.needs_groups:
                _check_subjects(fold, train, test, dataset.groups)
        return dataset, folds

    def _splitter(self, dataset, cv, seed, n_repeats):
        """Return the outer splitter of one repeat."""
        if cv is None or isinstance(cv, (int, np.integer)):
            n_folds = N_FOLDS if cv is None else cv
            _check_enough_groups(n_folds, dataset.groups)
            return StratifiedGroupKFold(n_folds, shuffle=True, random_state=seed)
        splitter = check_cv(cv)
        if n_repeats == 1:
            return splitter
        if getattr(splitter, "random_state", None) is None:
            raise ValueError(
                f"n_repeats={n_repeats} draws the folds anew, but cv={cv!r} has no random_state "
                "to vary; give one with random_state=0, or n_repeats=1."
            )
        splitter = clone(splitter, safe=False)
        splitter.random_state = seed
        return splitter


@dataclass(frozen=True)
class HonestProtocol(Protocol):
    """Test on subjects whom nothing was learned or chosen from.

    Folds share no subject, which is checked. Strategy, epoch, scaling and whatever else is chosen
    must be chosen inside the training part, as `GridSearchCV` and the early stopping of this
    package's estimators do it; `run_benchmark` passes the subjects on to both.

    Examples
    --------
    >>> from smilefusion.benchmark import HonestProtocol
    >>> HonestProtocol().name
    'honest'
    """

    name: ClassVar[str] = "honest"


@dataclass(frozen=True)
class PublishedProtocol(Protocol):
    """Test as published: fixed folds, and the epoch that fits the test clips best.

    **Its figures are optimistic**, whatever the estimator: of the epochs of a training, the one
    with the highest accuracy on the fold's test clips is reported, which raises the figure even
    of a coin, most where folds are small. It is there to reproduce published figures and to show
    what they owe to that choice.

    Notes
    -----
    Folds are the data set's own (``folds``) or `cv`. Estimators with epochs are those that have
    ``fit_predict_epochs`` (`FusionClassifier` and `HadaSmileNetClassifier`, also as the last step
    of a pipeline) or scikit-learn's ``staged_predict_proba``; of equally good epochs the first
    counts. Others have one epoch, and nothing is chosen. Subjects need not be known, and folds
    may share them. `smilefusion.published_settings` gives the published training, the five
    windows at prediction included.

    References
    ----------
    Hasan, Mohammed, Rahman, Koehn: HadaSmileNet, ICDM 2025, arXiv 2509.18550, and its published
    code.

    Examples
    --------
    >>> from smilefusion.benchmark import PublishedProtocol
    >>> PublishedProtocol().chooses_epoch
    True
    """

    name: ClassVar[str] = "published"
    needs_groups: ClassVar[bool] = False
    chooses_epoch: ClassVar[bool] = True

    def _splitter(self, dataset, cv, seed, n_repeats):
        """Return the data set's own folds, or the given ones."""
        splitter = dataset.folds if cv is None else check_cv(cv)
        if splitter is None:
            raise InvalidDataError(
                f"The data set {dataset.name!r} has no folds, which protocol='published' tests "
                "on. Take one of the published data sets, or give cv."
            )
        return splitter


@dataclass(frozen=True)
class CrossDatasetProtocol(Protocol):
    """Train on some data sets, test on another, each in turn.

    Parameters
    ----------
    test : list of str or None, default=None
        Names of the data sets that are tested, each by estimators trained on all others; None
        tests each.

    Notes
    -----
    There is one fold for each tested data set. Subjects of different data sets are taken to be
    different people. Estimators know one frame rate, so that all data sets must have the same;
    `smilefusion.datasets.resample` brings them to it.

    Examples
    --------
    >>> from smilefusion.benchmark import CrossDatasetProtocol
    >>> CrossDatasetProtocol(test=["spos"])
    CrossDatasetProtocol(test=['spos'])
    """

    test: list | None = None
    name: ClassVar[str] = "cross-dataset"

    def _prepare(self, datasets):
        """Return for each tested data set all clips, with a fold that tests its own."""
        names = [each.name for each in datasets]
        tested = names if self.test is None else self.test
        unknown = [name for name in tested if name not in names]
        if len(datasets) < 2 or unknown:
            raise InvalidDataError(
                f"protocol='cross-dataset' trains on some data sets and tests on another; got "
                f"{names} to test {tested}. Give a dict of two or more names to data sets."
            )
        _check_one_rate(datasets)
        clips = pool_clips([each.clips for each in datasets])
        origin = np.repeat(np.arange(len(datasets)), [len(each.target) for each in datasets])
        groups = [f"{each.name}: {group}" for each in datasets for group in each.groups]
        target = np.concatenate([each.target for each in datasets])
        files = [f"{each.name}: {clip}" for each in datasets for clip in each.rows["clip"]]
        rows = label_rows("the pooled data", files, groups, target)
        return [
            replace(
                datasets[names.index(name)],
                clips=clips,
                target=target,
                groups=np.array(groups),
                rows=rows,
                folds=PredefinedSplit(np.where(origin == names.index(name), 0, -1)),
            )
            for name in tested
        ]

    def _splitter(self, dataset, cv, seed, n_repeats):
        """Return the one fold."""
        if cv is not None:
            raise ValueError(
                f"protocol='cross-dataset' has one fold for each data set; got cv={cv!r}. Leave "
                "cv out."
            )
        return dataset.folds


@dataclass(frozen=True)
class DurationMatchedProtocol(Protocol):
    """Test honestly on clips whose duration does not tell the class.

    Spontaneous clips tend to be longer, and a classifier can live on that alone. Here each clip
    of one class is paired with one of the other of nearly the same duration, and clips without a
    partner are left out; then folds are drawn as by `HonestProtocol`.

    Parameters
    ----------
    caliper : float, default=0.05
        Largest difference of the logarithms of two paired durations, about the relative
        difference.

    Notes
    -----
    Of all pairings without repetition, the one with the least total difference is taken, a pair
    not made counting as one caliper (optimal matching [1]_). Durations (s) are the data's
    ``durations`` or else the clips' numbers of frames over ``fps``.

    References
    ----------
    .. [1] P. R. Rosenbaum, "Optimal matching for observational studies", Journal of the American
       Statistical Association 84(408), 1989.

    Examples
    --------
    >>> from smilefusion.benchmark import DurationMatchedProtocol
    >>> DurationMatchedProtocol(caliper=0.1)
    DurationMatchedProtocol(caliper=0.1)
    """

    caliper: float = 0.05
    name: ClassVar[str] = "duration-matched"

    def _prepare(self, datasets):
        """Return the paired clips of each data set."""
        return [
            take_rows(each, match_durations(find_durations(each), each.target, self.caliper))
            for each in datasets
        ]


@dataclass(frozen=True)
class PermutedLabelsProtocol(Protocol):
    """Test honestly on clips whose labels were shuffled: whatever is found is not there.

    Every repeat shuffles the labels of all clips of a data set anew, before folds are drawn. A
    procedure that finds more than chance looks at the test clips somewhere [1]_.

    References
    ----------
    .. [1] M. Ojala and G. C. Garriga, "Permutation tests for studying classifier performance",
       Journal of Machine Learning Research 11, 2010.

    Examples
    --------
    >>> from smilefusion.benchmark import PermutedLabelsProtocol
    >>> PermutedLabelsProtocol().name
    'permuted-labels'
    """

    name: ClassVar[str] = "permuted-labels"

    def _split(self, dataset, cv, seed, n_repeats):
        """Return the data set with shuffled labels and its folds."""
        order = np.random.RandomState(seed).permutation(len(dataset.target))
        target = dataset.target[order]
        rows = dataset.rows.assign(target=dataset.rows["target"].to_numpy()[order])
        return super()._split(replace(dataset, target=target, rows=rows), cv, seed, n_repeats)


PROTOCOLS = {
    protocol.name: protocol
    for protocol in (
        HonestProtocol,
        PublishedProtocol,
        CrossDatasetProtocol,
        DurationMatchedProtocol,
        PermutedLabelsProtocol,
    )
}


def list_protocols():
    """List the names of the protocols of `run_benchmark`.

    Returns
    -------
    names : list of str
        The names.

    Examples
    --------
    >>> from smilefusion.benchmark import list_protocols
    >>> list_protocols()
    ['honest', 'published', 'cross-dataset', 'duration-matched', 'permuted-labels']
    """
    return list(PROTOCOLS)


def check_protocol(protocol):
    """Return a protocol given as such or by its name."""
    if isinstance(protocol, Protocol):
        return protocol
    if protocol not in PROTOCOLS:
        raise ValueError(
            f"protocol must be one of {list_protocols()} or a Protocol; got {protocol!r}."
        )
    return PROTOCOLS[protocol]()


def _check_one_rate(datasets):
    """Raise where data sets to be pooled differ in frame rate."""
    rates = {each.name: np.unique(check_fps(each.fps, len(each.target))) for each in datasets}
    if len(np.unique(np.concatenate(list(rates.values())))) > 1:
        texts = [f"{name} {', '.join(f'{x:g}' for x in each)}" for name, each in rates.items()]
        raise InvalidDataError(
            f"The data sets differ in frames per second ({'; '.join(texts)}), but an estimator "
            "knows one rate. Bring them to one with smilefusion.datasets.resample."
        )


def _check_enough_groups(n_folds, groups):
    """Raise where the subjects are too few for the folds."""
    if n_folds < 2:
        raise ValueError(f"cv must be at least 2 folds; got {n_folds}.")
    n_groups = len(np.unique(groups))
    if n_groups < n_folds:
        raise InvalidDataError(
            f"The clips come from {count(n_groups, 'subject')}; {n_folds} subject-disjoint folds "
            f"need at least {n_folds}. Lower the number of folds or add subjects."
        )


def _check_fold(fold, train, test, target):
    """Raise where a fold is empty or its training part lacks a class."""
    if len(test) == 0:
        raise InvalidDataError(
            f"Fold {fold} has no test clip; every fold needs one. Lower the number of folds."
        )
    missing = np.setdiff1d(target, target[train])
    if len(missing):
        raise InvalidDataError(
            f"Fold {fold} has no training clip of class {missing[0]}; each class must be in "
            "every training part. Lower the number of folds or add subjects of that class."
        )


def _check_subjects(fold, train, test, groups):
    """Raise where a subject is in both parts of a fold."""
    shared = np.intersect1d(groups[train], groups[test])
    if len(shared):
        raise LeakageError(
            f"Fold {fold} of cv has subject {shared[0]} in both training and test; folds must "
            "be subject-disjoint. Use StratifiedGroupKFold or GroupKFold."
        )
