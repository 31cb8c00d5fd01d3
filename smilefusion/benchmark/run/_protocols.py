"""Protocols of a benchmark: training and test clips, and what may be selected on test clips."""

from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
import pandas as pd
from sklearn.base import clone
from sklearn.model_selection import PredefinedSplit, StratifiedGroupKFold, check_cv

from smilefusion._messages import count
from smilefusion.benchmark.run._cells import DataSet, label_rows, plain_metadata
from smilefusion.benchmark.run._durations import find_durations, match_durations, take_rows
from smilefusion.clips._rates import describe_rates, differ
from smilefusion.clips._sequence import pool_clips
from smilefusion.exceptions import InvalidDataError, LeakageError

N_FOLDS = 5


@dataclass(frozen=True)
class Protocol:
    """Choose data sets, labels and folds for `run_benchmark`; base class of all protocols.

    Use a subclass or its name; see `list_protocols`.
    """

    name: ClassVar[str] = ""
    needs_groups: ClassVar[bool] = True
    chooses_epoch: ClassVar[bool] = False  # by accuracy on the test clips

    def _prepare(self, datasets: list[DataSet]) -> list[DataSet]:
        """Return the data sets to test."""
        return datasets

    def _split(self, dataset: DataSet, cv: Any, seed: int, n_repeats: int) -> tuple[DataSet, list]:
        """Return the data set of one repeat and its folds."""
        splitter = self._splitter(dataset, cv, seed, n_repeats)
        groups = None if isinstance(splitter, PredefinedSplit) else dataset.groups
        folds = list(splitter.split(np.zeros(len(dataset.target)), dataset.target, groups))
        for fold, (train, test) in enumerate(folds):
            _check_classes(fold, train, test, dataset.target)
            if self.needs_groups:
                _check_disjoint(fold, train, test, dataset.groups)
        return dataset, folds

    def _splitter(self, dataset: DataSet, cv: Any, seed: int, n_repeats: int) -> Any:
        """Return the outer splitter of one repeat."""
        if cv is None or isinstance(cv, (int, np.integer)):
            n_folds = N_FOLDS if cv is None else int(cv)
            _check_enough_groups(n_folds, dataset.groups)
            return StratifiedGroupKFold(n_folds, shuffle=True, random_state=seed)
        splitter = check_cv(cv)
        if n_repeats == 1:
            return splitter
        if getattr(splitter, "random_state", None) is None:
            raise ValueError(
                f"n_repeats={n_repeats} needs different folds in every repeat, but cv={cv!r} has "
                "no random_state. Pass a splitter with random_state=0, or n_repeats=1."
            )
        splitter = clone(splitter, safe=False)
        splitter.random_state = seed
        return splitter


@dataclass(frozen=True)
class HonestProtocol(Protocol):
    """Test on subjects who were not used for training or model selection.

    The folds must not share subjects; this is checked. Select strategy, epoch, scaling and all
    other settings within the training part, as `GridSearchCV` and the early stopping of this
    package's estimators do. `run_benchmark` passes the subjects to both.

    Examples
    --------
    >>> from smilefusion.benchmark import HonestProtocol
    >>> HonestProtocol().name
    'honest'
    """

    name: ClassVar[str] = "honest"


@dataclass(frozen=True)
class PublishedProtocol(Protocol):
    """Test as published: fixed folds, and the epoch with the best accuracy on the test clips.

    **The scores are optimistic** for every estimator. Selecting the epoch on the test clips raises
    even the score of random guessing, especially on small folds. Use this protocol to reproduce
    published scores and to measure the effect of that selection.

    Notes
    -----
    The folds come from the data set (``folds``) or from `cv`. Estimators with epochs have
    ``fit_predict_epochs`` (`FusionClassifier` and `HadaSmileNetClassifier`, also as the last step
    of a pipeline) or scikit-learn's ``staged_predict_proba``. Ties go to the first epoch. Other
    estimators have one epoch, so nothing is selected. Subjects may be unknown, and folds may share
    them. `smilefusion.published_settings` returns the published training parameters, including the
    five windows at prediction.

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

    def _splitter(self, dataset: DataSet, cv: Any, seed: int, n_repeats: int) -> Any:
        """Return the data set's own folds, or the given ones."""
        splitter = dataset.folds if cv is None else check_cv(cv)
        if splitter is None:
            raise InvalidDataError(
                f"Data set {dataset.name!r} has no folds, but protocol='published' needs them. "
                "Use one of the published data sets, or pass cv."
            )
        return splitter


@dataclass(frozen=True)
class CrossDatasetProtocol(Protocol):
    """Test on each data set after training on all others.

    Parameters
    ----------
    test : list of str or None, default=None
        Names of the data sets to test; None tests all of them.

    Notes
    -----
    There is one fold for each tested data set. Subjects of different data sets count as
    different people. All data sets must have the same frame rate; see
    `smilefusion.datasets.resample`.

    Examples
    --------
    >>> from smilefusion.benchmark import CrossDatasetProtocol
    >>> CrossDatasetProtocol(test=["spos"])
    CrossDatasetProtocol(test=['spos'])
    """

    test: list | None = None
    name: ClassVar[str] = "cross-dataset"

    def _prepare(self, datasets: list[DataSet]) -> list[DataSet]:
        """Return all clips for each tested data set, with a fold that tests its own clips."""
        names = [each.name for each in datasets]
        tested = names if self.test is None else self.test
        unknown = [name for name in tested if name not in names]
        if len(datasets) < 2 or unknown:
            raise InvalidDataError(
                "protocol='cross-dataset' trains on all data sets except the tested one; got "
                f"data sets {names} and test data sets {tested}. Pass a dict that maps two or "
                "more names to data sets."
            )
        _check_one_rate(datasets)
        clips = pool_clips([each.clips for each in datasets])
        origin = np.repeat(np.arange(len(datasets)), [len(each.target) for each in datasets])
        groups = [f"{each.name}: {group}" for each in datasets for group in each.groups]
        target = np.concatenate([each.target for each in datasets])
        files = [f"{each.name}: {clip}" for each in datasets for clip in each.rows["clip"]]
        labels = label_rows("the pooled data", files, groups, target)
        pooled = pd.concat([each.rows for each in datasets], ignore_index=True)
        metadata = plain_metadata(pooled.drop(columns=list(labels)))
        rows = pd.concat([labels, metadata], axis=1)
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

    def _splitter(self, dataset: DataSet, cv: Any, seed: int, n_repeats: int) -> Any:
        """Return the one fold."""
        if cv is not None:
            raise ValueError(
                f"protocol='cross-dataset' has one fold for each data set, so cv must be None; "
                f"got cv={cv!r}. Omit cv."
            )
        return dataset.folds


@dataclass(frozen=True)
class DurationMatchedProtocol(Protocol):
    """Test honestly on clips whose duration does not predict the class.

    Spontaneous clips tend to be longer, and a classifier can exploit that. This protocol pairs
    each clip of one class with a clip of the other class of similar duration and removes clips
    without a partner. Folds are drawn as in `HonestProtocol`.

    Parameters
    ----------
    caliper : float, default=0.05
        Largest difference between the logarithms of two paired durations, approximately their
        relative difference.

    Notes
    -----
    The pairing minimises the total difference; an unpaired clip counts as one caliper (optimal
    matching [1]_). Durations (s) are the data's ``durations``, or the number of frames divided by
    the frame rate.

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

    def _prepare(self, datasets: list[DataSet]) -> list[DataSet]:
        """Return the paired clips of each data set."""
        return [
            take_rows(each, match_durations(find_durations(each), each.target, self.caliper))
            for each in datasets
        ]


@dataclass(frozen=True)
class PermutedLabelsProtocol(Protocol):
    """Test honestly on clips with shuffled labels.

    Every repeat shuffles the labels of a data set before folds are drawn. A procedure that scores
    above chance uses information from the test clips [1]_.

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

    def _split(self, dataset: DataSet, cv: Any, seed: int, n_repeats: int) -> tuple[DataSet, list]:
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


def list_protocols() -> list[str]:
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


def arrange_folds(
    protocol: Protocol, datasets: list[DataSet], cv: Any, seeds: list[int]
) -> list[list[tuple[DataSet, list]]]:
    """Return, for each data set and repeat, the data set to test and its checked folds."""
    prepared = protocol._prepare(datasets)
    return [[protocol._split(each, cv, seed, len(seeds)) for seed in seeds] for each in prepared]


def check_protocol(protocol: str | Protocol) -> Protocol:
    """Return a protocol given as an object or by name."""
    if isinstance(protocol, Protocol):
        return protocol
    if protocol not in PROTOCOLS:
        raise ValueError(
            f"protocol must be one of {list_protocols()} or a Protocol; got {protocol!r}."
        )
    return PROTOCOLS[protocol]()


def _check_one_rate(datasets: list[DataSet]) -> None:
    """Raise if data sets to be pooled differ in frame rate."""
    rates = np.concatenate([each.fps for each in datasets])
    known = rates[~np.isnan(rates)]
    if len(known) > 0 and (len(known) < len(rates) or differ(known, known[0]).any()):
        texts = [f"{each.name}: {describe_rates(each.fps)}" for each in datasets]
        raise InvalidDataError(
            f"The data sets differ in frame rate ({'; '.join(texts)}). Movements look smoother at "
            "a lower rate, so a model could recognise the data set. Resample the clips to one "
            "rate with smilefusion.datasets.resample."
        )


def _check_enough_groups(n_folds: int, groups: np.ndarray) -> None:
    """Raise if there are fewer subjects than folds."""
    if n_folds < 2:
        raise ValueError(f"cv must be at least 2 folds; got {n_folds}.")
    n_groups = len(np.unique(groups))
    if n_groups < n_folds:
        raise InvalidDataError(
            f"The clips come from {count(n_groups, 'subject')}; {n_folds} subject-disjoint folds "
            f"need at least {n_folds}. Lower the number of folds or add subjects."
        )


def _check_classes(fold: int, train: np.ndarray, test: np.ndarray, target: np.ndarray) -> None:
    """Raise if a fold is empty or a class is missing from its training part."""
    if len(test) == 0:
        raise InvalidDataError(
            f"Fold {fold} has no test clip, but every fold needs one. Lower the number of folds."
        )
    missing = np.setdiff1d(target, target[train])
    if len(missing):
        raise InvalidDataError(
            f"Fold {fold} has no training clip of class {missing[0]}, but every training part "
            "needs all classes. Lower the number of folds or add subjects of that class."
        )


def _check_disjoint(fold: int, train: np.ndarray, test: np.ndarray, groups: np.ndarray) -> None:
    """Raise if a subject is in both parts of a fold."""
    shared = np.intersect1d(groups[train], groups[test])
    if len(shared):
        raise LeakageError(
            f"Fold {fold} of cv has subject {shared[0]} in both training and test, but folds must "
            "be subject-disjoint. Use StratifiedGroupKFold or GroupKFold."
        )
