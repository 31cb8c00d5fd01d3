"""Published folds of a data set: label files, their problems, and the splitter."""

import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.model_selection import PredefinedSplit
from sklearn.utils.validation import _num_samples

from smilefusion.datasets._folder import describe_problem

PARTS = ("train", "test")
_Labels = dict[tuple[int, str], dict[str, int]]  # by fold and part: label by video


@dataclass(frozen=True)
class PublishedSet:
    """Known facts about a published data set."""

    name: str
    class_sizes: tuple[int, int]  # posed and spontaneous clips
    test_sizes: tuple[int, ...]  # clips in the test part of fold 1, 2 …
    ask: str  # who distributes the data
    description: str
    subject: str = ""  # regex for a video's name; its group is the subject
    n_subjects: int = 0  # 0: unknown
    details_file: str = ""  # states sex and age

    def subject_of(self, video: str) -> str | None:
        """Return the subject in a video's name, or None."""
        found = re.search(self.subject, video)
        return found[1] if found else None


class PublishedFolds(PredefinedSplit):
    """Split a data set into its published folds, in numeric order.

    The folds split the whole data set: each clip is in one test part, and all other clips are in
    the training part of that fold.

    Parameters
    ----------
    test_fold : array-like of shape (n_clips,)
        The fold, 0 to n_folds - 1, whose test part holds the clip.

    See Also
    --------
    sklearn.model_selection.PredefinedSplit : The same for any number of clips.

    Examples
    --------
    >>> from smilefusion.datasets.published._folds import PublishedFolds
    >>> [test.tolist() for _, test in PublishedFolds([0, 1, 1, 0]).split()]
    [[0, 3], [1, 2]]
    """

    def split(
        self, X: Any = None, y: Any = None, groups: Any = None
    ) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Generate the indices of each fold's training and test clips.

        Parameters
        ----------
        X : sequence of length n_clips, default=None
            The clips or their features; only their number matters.
        y : array-like of shape (n_clips,), default=None
            The labels; only their number matters.
        groups : array-like of shape (n_clips,), default=None
            The subjects; only their number matters.

        Returns
        -------
        folds : iterator of (train, test)
            Two int arrays of clip positions for each fold.

        Raises
        ------
        ValueError
            If the number of clips, labels or subjects is not that of the data set.
        """
        n_clips = len(self.test_fold)
        for name, given in (("X", X), ("y", y), ("groups", groups)):
            if given is not None and _num_samples(given) != n_clips:
                raise ValueError(
                    f"{name} has {_num_samples(given)} entries, but the published folds split "
                    f"the whole set of {n_clips} clips. Pass all clips, or split a part of them "
                    "with StratifiedGroupKFold."
                )
        return super().split()


def read_label_files(folder: Path, n_folds: int) -> tuple[_Labels, list[str]]:
    """Return the labels of every readable (fold, part), and all problems."""
    parts, absent, unreadable = {}, [], []
    stray = find_stray(folder, [str(fold) for fold in range(1, n_folds + 1)])
    for fold in range(1, n_folds + 1):
        files = [f"{part}.json" for part in PARTS]
        stray += [f"{fold}/{name}" for name in find_stray(folder / str(fold), files)]
        for part, file in zip(PARTS, files, strict=True):
            path = folder / str(fold) / file
            if not path.is_file():
                absent.append(f"labels/{fold}/{file}")
                continue
            try:
                parts[fold, part] = _read_labels(path)
            except (ValueError, OSError, RecursionError) as error:
                unreadable.append(f"labels/{fold}/{file} ({error})")
    return parts, [
        describe_problem("{} {are} absent", absent),
        describe_problem(
            "{} {are} not valid (a label file is a JSON object of video names and labels 0 or 1)",
            unreadable,
        ),
        describe_problem("stray in labels/: {}", stray),
    ]


def find_label_problems(parts: _Labels, published: PublishedSet) -> list[str]:
    """Describe every contradiction in the labels and every difference from the published set."""
    trains, tests = (_select(parts, part) for part in PARTS)
    n_folds = len(published.test_sizes)
    pairs = {(name, label) for labels in parts.values() for name, label in labels.items()}
    n_labels = Counter(name for name, _ in pairs)
    n_tests = Counter(name for labels in tests.values() for name in labels)
    names = sorted(n_labels)
    sizes = tuple(np.bincount([label for _, label in pairs], minlength=2).tolist())
    both = sorted(trains.keys() & tests.keys())
    untested = [name for name in names if n_tests[name] == 0] if len(tests) == n_folds else []
    return [
        describe_problem(
            "{} {have} label 0 in one file and 1 in another", [n for n in names if n_labels[n] > 1]
        ),
        describe_problem(
            "train and test share {}",
            [f"{n} (fold {k})" for k in both for n in sorted(trains[k].keys() & tests[k].keys())],
        ),
        describe_problem(
            "neither train nor test has {}",
            [
                f"{n} (fold {k})"
                for k in both
                for n in sorted(n_labels.keys() - trains[k].keys() - tests[k].keys())
            ],
        ),
        describe_problem("several folds test {}", [n for n in names if n_tests[n] > 1]),
        describe_problem("no fold tests {}", untested),
        describe_problem(
            "the test parts differ in size from the published ones: {}",
            [
                f"fold {k} has {len(tests[k])}, not {size}"
                for k, size in enumerate(published.test_sizes, start=1)
                if k in tests and len(tests[k]) != size
            ],
        ),
        f"{sizes[0]} posed and {sizes[1]} spontaneous clips are labelled, not "
        f"{published.class_sizes[0]} and {published.class_sizes[1]}"
        if len(parts) == 2 * n_folds and sizes != published.class_sizes
        else "",
    ]


def find_subject_problems(parts: _Labels, published: PublishedSet) -> list[str]:
    """Describe the problems of the subjects in the names."""
    if not published.subject:
        return []
    subjects = {name: published.subject_of(name) for labels in parts.values() for name in labels}
    trains, tests = (_select(parts, part) for part in PARTS)
    known = {name: subject for name, subject in subjects.items() if subject is not None}
    shared = {
        k: {known[n] for n in trains[k] if n in known} & {known[n] for n in tests[k] if n in known}
        for k in sorted(trains.keys() & tests.keys())
    }
    n_subjects = len(set(known.values()))
    wrong = n_subjects != published.n_subjects and len(parts) == 2 * len(published.test_sizes)
    return [
        describe_problem("no subject in the name {}", sorted(subjects.keys() - known.keys())),
        describe_problem(
            "train and test share the subject {}",
            [f"{subject} (fold {k})" for k in shared for subject in sorted(shared[k])],
        ),
        f"the names contain {n_subjects} subjects, not {published.n_subjects}" if wrong else "",
    ]


def find_stray(folder: Path, expected: Iterable[str]) -> list[str]:
    """List unexpected names in a folder, except for macOS's own files."""
    if not folder.is_dir():
        return []
    expected = {*expected, ".DS_Store"}
    names = {path.name for path in folder.iterdir()}
    return sorted(name for name in names - expected if not name.startswith("._"))


def _read_labels(path: Path) -> dict[str, int]:
    """Return {video: label} of a label file; raise a ValueError if it is invalid."""
    text = path.read_text(encoding="utf-8-sig")
    pairs = json.loads(text, object_pairs_hook=tuple)  # keeps a video that is named twice
    if not isinstance(pairs, tuple):
        raise ValueError(f"it holds a {type(pairs).__name__}")
    for name, label in pairs:
        if type(label) is not int or label not in (0, 1):
            raise ValueError(f"{name!r} has label {label!r}")
        if not name or re.search(r"[/\\\0]", name):
            raise ValueError(f"{name!r} is not a file name")
    twice = [name for name, n in Counter(name for name, _ in pairs).items() if n > 1]
    if twice:
        raise ValueError(f"{twice[0]!r} is named twice")
    return dict(pairs)


def _select(parts: _Labels, part: str) -> dict[int, dict[str, int]]:
    """Return {fold: labels} of one part, train or test."""
    return {fold: labels for (fold, each), labels in parts.items() if each == part}
