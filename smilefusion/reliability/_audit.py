"""Audit of a data set: what separates the classes besides the smile, and copies of clips."""

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import StratifiedGroupKFold, cross_val_predict
from sklearn.preprocessing import OneHotEncoder
from sklearn.utils import check_consistent_length, check_random_state, column_or_1d

from smilefusion._messages import abridge, count, unknown_key
from smilefusion._training._splits import check_groups
from smilefusion.clips._sequence import ClipSequence, check_clips, path_of
from smilefusion.landmarks import landmark_scheme
from smilefusion.reliability._clip_measures import measure_clips

# Code of each variable, its name, and the column of `measure_clips`.
_MEASURED = {
    "SF001": ("duration", "duration"),
    "SF002": ("frame rate", "fps"),
    "SF004": ("face size", "eye_distance"),
    "SF005": ("head pose", "head_angle"),
    "SF006": ("missing frames", "missing"),
    "SF007": ("smile in the first frames", "start_level"),
    "SF008": ("smile in the last frames", "end_level"),
    "SF009": ("landmark noise", "jitter"),
}
CODES = {
    **{code: name for code, (name, _) in _MEASURED.items()},
    "SF003": "image size",
    "SF010": "order of the clips",
    "SF011": "date of the files",
    "SF012": "metadata",
    "SF020": "identical clips",
    "SF021": "nearly identical clips",
    "SF022": "copies across subjects or labels",
    "SF030": "subjects with one class",
    "SF031": "class balance",
    "SF032": "number of subjects",
}
_N_BINS, _N_FOLDS, _N_DRAWS = 5, 5, 1000
_WARN_ABOVE, _NOTE_ABOVE = 0.6, 0.5  # lower bound of the AUC
_N_TIMES = 32  # at which two clips are compared
_NEAR = 0.1  # relative distance of nearly identical clips
_LONGER = 1.05  # ratio of their durations
_MIN_SUBJECTS, _MIN_SHARE = 20, 0.2


@dataclass(frozen=True)
class _Sample:
    """Checked clips with binary labels and groups."""

    clips: ClipSequence
    y: np.ndarray  # (n_clips,) 0 or 1
    groups: np.ndarray  # (n_clips,)
    has_groups: bool


def audit_dataset(
    X: Any,
    y: ArrayLike,
    groups: ArrayLike | None = None,
    metadata: pd.DataFrame | None = None,
    *,
    ignore: Sequence[str] = (),
    random_state: int | np.random.RandomState | None = 0,
) -> pd.DataFrame:
    """Check labelled clips for problems before training.

    The audit measures how well each property of the recording separates the classes by itself.
    If a model can use the camera or the length of the clip, it need not look at the smile. The
    audit also finds copies of clips, and problems with subjects and labels.

    Parameters
    ----------
    X : sequence of clips
        Clips in a form that `smilefusion.clips.check_clips` accepts.
    y : array-like of shape (n_clips,)
        Labels of two classes.
    groups : array-like of shape (n_clips,), default=None
        Subject of each clip. None uses the subjects that the clips state. Without subjects, each
        clip counts as its own subject.
    metadata : DataFrame with n_clips rows, default=None
        Other properties, such as camera or session, in columns of numbers or text.
    ignore : sequence of str, default=()
        Codes to leave out, such as "SF001".
    random_state : int, RandomState instance or None, default=0
        Seed of the folds and of the bootstrap.

    Returns
    -------
    audit : DataFrame
        One row for each check: ``code``; ``check``, its name; ``auc`` of the property on other
        subjects, with its 95 % interval from ``low`` to ``high``, NaN for other checks;
        ``verdict``: "warning", "note", "ok" or "unknown"; and ``finding`` in words.

    Raises
    ------
    ValueError
        If inputs are inconsistent, there are not two classes, or a code is unknown.

    See Also
    --------
    smilefusion.inspection.AuditDisplay : Picture of the audit.

    Notes
    -----
    Numbers are divided into five bins of about equal size. A logistic regression on the bins, or
    on the values of text columns, predicts the classes of subjects that it was not trained on, in
    five folds. The interval resamples subjects. The verdict is "warning" if the lower bound is
    above .6, and "note" if it is above .5.

    Two clips are nearly identical if the paths of eyes and mouth in the image differ by less than
    10 %, and the durations by less than 5 %. The audit does not find trimmed copies.

    Examples
    --------
    >>> from smilefusion import audit_dataset
    >>> from smilefusion.datasets import make_smiles
    >>> smiles = make_smiles(120, n_subjects=30, fps=25, random_state=0)
    >>> audit = audit_dataset(smiles.clips, smiles.target)
    >>> audit.loc[audit["verdict"] == "warning", ["code", "check", "auc"]].round(2)
        code     check   auc
    0  SF001  duration  ...
    """
    for code in ignore:
        if code not in CODES:
            raise ValueError(unknown_key(str(code), list(CODES), "Each of ignore"))
    sample = _check(X, y, groups)
    known = _check_metadata(metadata, len(sample.y))
    seed = int(check_random_state(random_state).randint(2**31 - 1))
    rows = []
    for code, name, values in _list_variables(sample.clips, known):
        if code not in ignore:
            rated = rate_variable(values, sample.y, sample.groups, seed)
            rows.append({"code": code, "check": name} | rated)
    checks = [*_find_copies(sample), *_check_subjects(sample)]
    rows += [row for row in checks if row["code"] not in ignore]
    table = pd.DataFrame(
        rows, columns=["code", "check", "auc", "low", "high", "verdict", "finding"]
    )
    return table.sort_values("code", kind="stable", ignore_index=True)


def _check(X: Any, y: ArrayLike, groups: ArrayLike | None) -> _Sample:
    """Check clips, labels and groups."""
    clips = check_clips(X)
    groups = clips.subjects if groups is None else groups
    labels = column_or_1d(y)
    check_consistent_length(clips, labels)
    classes, codes = np.unique(labels, return_inverse=True)
    if len(classes) != 2:
        raise ValueError(
            f"audit_dataset needs labels of two classes; y has {len(classes)}. Select the clips "
            "of two classes."
        )
    checked = check_groups(groups, len(clips))
    known = (
        np.arange(len(clips)) if checked is None else np.unique(checked, return_inverse=True)[1]
    )
    return _Sample(clips, codes, known, has_groups=checked is not None)


def _check_metadata(metadata: pd.DataFrame | None, n_clips: int) -> pd.DataFrame:
    if metadata is None:
        return pd.DataFrame(index=range(n_clips))
    if not isinstance(metadata, pd.DataFrame):
        raise ValueError(
            f"metadata must be a DataFrame; got {type(metadata).__name__}. Pass one row per clip."
        )
    if len(metadata) != n_clips:
        raise ValueError(
            f"metadata has {count(len(metadata), 'row')}, but there are {count(n_clips, 'clip')}. "
            "Pass one row per clip, in the same order."
        )
    return metadata.reset_index(drop=True)


def _list_variables(
    clips: ClipSequence, metadata: pd.DataFrame
) -> Iterable[tuple[str, str, pd.Series]]:
    """Yield code, name and values of each variable."""
    measures = measure_clips(clips)
    if clips.time_unit == "frames":
        measures["duration"] = clips.n_frames
    for code, (name, column) in _MEASURED.items():
        yield code, name, measures[column]
    paths = [path_of(clips, index) for index in range(len(clips))]
    yield "SF003", CODES["SF003"], pd.Series([_image_size(path) for path in paths], dtype=object)
    yield "SF010", CODES["SF010"], pd.Series(np.arange(len(clips)))
    dates = [np.nan if path is None else os.stat(path).st_mtime for path in paths]
    yield "SF011", CODES["SF011"], pd.Series(dates)
    for position, label in enumerate(metadata):
        yield "SF012", f"metadata: {label}", metadata.iloc[:, position]


def _image_size(path: Any) -> str | None:
    """Return the image size in a clip file, such as "640 x 360"; None if it is unknown."""
    if path is None or path.suffix.lower() != ".npz":
        return None
    with np.load(path, allow_pickle=False) as archive:
        if not {"width", "height"} <= set(archive.files):
            return None
        return f"{int(archive['width'])} x {int(archive['height'])}"


def rate_variable(
    values: pd.Series, y: np.ndarray, groups: np.ndarray, seed: int
) -> dict[str, Any]:
    """Return how well a variable separates the classes 0 and 1 by itself."""
    row: dict[str, Any] = {"auc": np.nan, "low": np.nan, "high": np.nan}
    if values.isna().all():
        return row | {"verdict": "unknown", "finding": "not known for these clips"}
    bins = _bin(values)
    if bins.nunique() == 1:
        return row | {"auc": 0.5, "verdict": "ok", "finding": "the same in all clips"}
    n_folds = min(_N_FOLDS, *(len(np.unique(groups[y == k])) for k in (0, 1)))
    if n_folds < 2:
        return row | {"verdict": "unknown", "finding": "too few subjects per class"}
    inputs = OneHotEncoder(sparse_output=False).fit_transform(bins.to_frame())
    folds = StratifiedGroupKFold(n_folds, shuffle=True, random_state=seed)
    p = cross_val_predict(
        LogisticRegression(),
        inputs,
        y,
        groups=groups,
        cv=folds,
        method="predict_proba",
    )[:, 1]
    auc = roc_auc_score(y, p)
    low, high = _bootstrap(y, p, groups, np.random.default_rng(seed))
    verdict = "warning" if low > _WARN_ABOVE else "note" if low > _NOTE_ABOVE else "ok"
    finding = {
        "warning": "separates the classes by itself",
        "note": "separates the classes a little",
        "ok": "no clear relation to the classes",
    }[verdict]
    return row | {"auc": auc, "low": low, "high": high, "verdict": verdict, "finding": finding}


def _bin(values: pd.Series) -> pd.Series:
    """Return the bin of each value, as text; missing values are a bin of their own."""
    if pd.api.types.is_numeric_dtype(values) and values.nunique() > _N_BINS:
        values = pd.qcut(values, _N_BINS, labels=False, duplicates="drop")
    return values.astype(object).where(values.notna(), "missing").astype(str).rename("bin")


def _bootstrap(
    y: np.ndarray, p: np.ndarray, groups: np.ndarray, rng: np.random.Generator
) -> tuple[float, float]:
    """Return the 95 % interval of the AUC over resampled subjects."""
    # There are few distinct probabilities, so the AUC is computed from their counts.
    subjects, values = (np.unique(each, return_inverse=True)[1] for each in (groups, p))
    shape = subjects.max() + 1, values.max() + 1
    weights = rng.multinomial(shape[0], np.full(shape[0], 1 / shape[0]), size=_N_DRAWS)
    counts = []
    for label in (0, 1):
        table = np.zeros(shape)
        np.add.at(table, (subjects[y == label], values[y == label]), 1)
        counts.append(weights @ table)
    negative, positive = counts
    below = np.cumsum(negative, axis=1) - negative / 2
    n_pairs = negative.sum(axis=1) * positive.sum(axis=1)
    drawn = (positive * below).sum(axis=1)[n_pairs > 0] / n_pairs[n_pairs > 0]
    low, high = np.quantile(drawn, [0.025, 0.975])
    return float(low), float(high)


def _find_copies(sample: _Sample) -> list[dict[str, Any]]:
    """Return the rows for identical and nearly identical clips."""
    paths, contents = [], []
    scheme = landmark_scheme(sample.clips.n_landmarks)
    points = [scheme.indices(f"{side}_{name}") for name in _PATHS for side in ("right", "left")]
    for clip in sample.clips:
        contents.append(hash(np.ascontiguousarray(clip).tobytes()))
        paths.append(_trace(clip, points))
    same = pd.Series(contents).groupby(contents).indices.values()
    identical = {(a, b) for rows in same for a, b in pairwise(rows)}
    near = _near_pairs(np.array(paths), sample.clips) - identical
    both = identical | near
    crossing = [
        (a, b)
        for a, b in both
        if sample.y[a] != sample.y[b]
        or (sample.has_groups and sample.groups[a] != sample.groups[b])
    ]
    found = (("SF020", identical), ("SF021", near), ("SF022", set(crossing)))
    return [_report_pairs(code, pairs, sample.clips.names) for code, pairs in found]


_PATHS = ("eye_outer", "lip_corner")


def _trace(clip: np.ndarray, points: Sequence[Sequence[int]]) -> np.ndarray:
    """Return the paths of eyes and mouth around their mean, in inter-ocular distances."""
    places = np.stack([clip[:, list(group), :2].mean(axis=1) for group in points], axis=1)
    known = np.flatnonzero(np.isfinite(places).all(axis=(1, 2)))
    if len(known) < 2:
        return np.full(2 * _N_TIMES * len(points), np.nan)
    times = np.linspace(known[0], known[-1], _N_TIMES)
    flat = places[known].reshape(len(known), -1).astype(float)
    sampled = np.column_stack([np.interp(times, known, column) for column in flat.T])
    unit = np.linalg.norm(places[known, 0] - places[known, 1], axis=1).mean()
    return ((sampled - sampled.mean(axis=0)) / unit).ravel()


def _near_pairs(paths: np.ndarray, clips: ClipSequence) -> set[tuple[int, int]]:
    """Return the pairs of clips with nearly the same paths and durations."""
    squares = (paths**2).sum(axis=1)
    pairs = set()
    for a in range(len(paths) - 1):
        distance = np.sqrt(np.maximum(((paths[a + 1 :] - paths[a]) ** 2).sum(axis=1), 0.0))
        size = np.sqrt((squares[a + 1 :] + squares[a]) / 2)
        ratio = clips.n_frames[a + 1 :] / clips.n_frames[a]
        alike = (distance < _NEAR * size) & (np.maximum(ratio, 1 / ratio) < _LONGER)
        pairs |= {(a, int(a + 1 + b)) for b in np.flatnonzero(alike)}
    return pairs


def _report_pairs(code: str, pairs: set[tuple[int, int]], names: Sequence[str]) -> dict[str, Any]:
    """Return the row of a check of pairs."""
    named = [f"{names[a]} and {names[b]}" for a, b in sorted(pairs)]
    finding = f"{count(len(pairs), 'pair')}: {abridge(named, 3)}" if pairs else "none"
    return _row(code, "warning" if pairs else "ok", finding)


def _check_subjects(sample: _Sample) -> list[dict[str, Any]]:
    """Return the rows for subjects and classes."""
    share = float(min(sample.y.mean(), 1 - sample.y.mean()))
    balance = f"the rarer class has {share:.0%} of the clips"
    rows = [_row("SF031", "note" if share < _MIN_SHARE else "ok", balance)]
    if not sample.has_groups:
        none = "no subjects given, so clips of one person may be in training and test"
        return [*rows, _row("SF030", "unknown", none), _row("SF032", "warning", none)]
    classes = pd.Series(sample.y).groupby(sample.groups).nunique()
    single, n_subjects = int((classes == 1).sum()), len(classes)
    finding = f"{single} of {n_subjects} subjects have clips of one class only"
    verdict = "ok" if single == 0 else "warning" if single > n_subjects / 2 else "note"
    rows.append(_row("SF030", verdict, finding))
    few = n_subjects < _MIN_SUBJECTS
    return [*rows, _row("SF032", "warning" if few else "ok", count(n_subjects, "subject"))]


def _row(code: str, verdict: str, finding: str) -> dict[str, Any]:
    return {"code": code, "check": CODES[code], "verdict": verdict, "finding": finding}
