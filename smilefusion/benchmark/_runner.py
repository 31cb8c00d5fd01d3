"""Subject-disjoint benchmark of estimators: cells of fold and estimator → tidy predictions."""

import sys
import time
import warnings
from collections import Counter

import numpy as np
import pandas as pd
import sklearn
from joblib import Parallel, delayed
from sklearn.base import BaseEstimator, clone
from sklearn.model_selection import StratifiedGroupKFold, check_cv
from sklearn.utils import _safe_indexing
from sklearn.utils.metadata_routing import get_routing_for_object
from sklearn.utils.validation import has_fit_parameter
from tqdm import tqdm

from smilefusion.benchmark._statistics import PROBABILITY_PREFIX
from smilefusion.exceptions import FailedCellWarning, InvalidDataError

N_FOLDS = 5
_MAPPED_BYTES = 100_000  # larger clips reach the workers through one memory-mapped file


def run_benchmark(
    estimators,
    data,
    *,
    cv=None,
    n_repeats=1,
    n_jobs=1,
    random_state=0,
    progress=False,
    on_error="raise",
):
    """Test estimators on the same subject-disjoint folds and collect their predictions.

    Parameters
    ----------
    estimators : dict of str to estimator
        The classifiers under their names in the result. Each needs `predict_proba`. Whatever
        is chosen from the data must be chosen inside the estimator, for instance by
        `GridSearchCV` with a group-disjoint splitter.
    data : Bunch
        ``clips`` (n_clips clips, or the rows of any other X), ``target`` (n_clips class
        labels), ``groups`` (the subject of each clip); optional are ``files`` (n_clips names)
        and ``name``, which name the clips and the data set in the result.
    cv : int, splitter or None, default=None
        Outer folds: a number of `StratifiedGroupKFold`'s folds (None: 5), shuffled by
        `random_state`, or a splitter whose folds are subject-disjoint.
    n_repeats : int, default=1
        How often all folds are drawn anew, from `random_state` + 0, 1, 2 …
    n_jobs : int, default=1
        Number of cells that run at the same time, as in joblib.
    random_state : int, default=0
        Seed of the folds. Estimators keep the seeds that they were given; one without a seed
        is not reproducible.
    progress : bool, default=False
        Whether to show a progress bar on stderr.
    on_error : {"raise", "warn"}, default="raise"
        Whether an error in a cell ends the run, or becomes a warning and missing predictions.

    Returns
    -------
    predictions : pandas.DataFrame
        One row per estimator, repeat and clip, in this order: ``dataset``, ``estimator``,
        ``repeat``, ``fold``, ``clip`` (file name or position), ``group``, ``target``,
        ``prediction``, ``probability_<class>`` for each class, ``fit_seconds`` and
        ``predict_seconds`` (wall time of the cell; the latter for all clips of the fold),
        ``n_parameters`` (trained parameters, NaN where unknown) and ``n_train`` (clips).

    Raises
    ------
    InvalidDataError
        Where clips, labels and groups do not fit together, or do not allow such folds.
    ValueError
        Where a parameter is out of range or a folds' subjects overlap.

    Notes
    -----
    Groups reach every estimator whose ``fit`` takes ``groups`` or whose metadata routing asks
    for them, such as a `GridSearchCV` with `StratifiedGroupKFold`. Cells run estimator by
    estimator, each over all folds, so that a step which pipelines share through
    ``memory=`` is ready when the second pipeline reaches a fold; the first one's
    ``fit_seconds`` hold the time of that step.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sklearn.linear_model import LogisticRegression
    >>> from sklearn.utils import Bunch
    >>> from smilefusion.benchmark import run_benchmark
    >>> X, y = load_iris(return_X_y=True)
    >>> data = Bunch(clips=X, target=y, groups=[i // 3 for i in range(150)], name="iris")
    >>> predictions = run_benchmark({"logistic": LogisticRegression(max_iter=500)}, data)
    >>> len(predictions)
    150
    """
    _check_run(estimators, n_repeats, on_error)
    target, groups = _check_data(data)
    splits = _make_splits(cv, target, groups, n_repeats, random_state)
    cells = [(name, *split) for name in estimators for split in splits]
    tasks = (
        delayed(_run_cell)(name, estimators[name], data["clips"], target, groups, *split, on_error)
        for name, *split in cells
    )
    pool = Parallel(
        n_jobs, return_as="generator_unordered", batch_size=1, max_nbytes=_MAPPED_BYTES
    )
    results = {}
    with tqdm(total=len(cells), disable=not progress, file=sys.stderr, unit="fit") as bar:
        for key, columns, messages in pool(tasks):
            results[key] = columns, messages
            bar.set_postfix_str(key[0])
            bar.update()
    done = [results[cell[:3]] for cell in cells]
    _warn_once_per_kind([message for _, messages in done for message in messages])
    return _tidy(data, target, groups, cells, [columns for columns, _ in done])


def _run_cell(name, estimator, clips, target, groups, repeat, fold, train, test, on_error):
    """Fit and test one estimator on one fold; return its key, columns and warnings."""
    classes = np.unique(target)
    with (
        sklearn.config_context(enable_metadata_routing=True),
        warnings.catch_warnings(record=True) as caught,
    ):
        warnings.simplefilter("always")
        try:
            columns = _fit_and_predict(estimator, clips, target, groups, train, test, classes)
        except Exception as error:
            where = f"estimator {name!r}, repeat {repeat}, fold {fold}"
            if on_error == "raise":
                error.add_note(f"In {where}.")
                raise
            columns = _missing_columns(len(test), classes)
            warnings.warn(
                f"{where.capitalize()} failed ({type(error).__name__}: {error}); its predictions "
                "are missing and it will not be scored. Mend it or leave it out.",
                FailedCellWarning,
                stacklevel=2,
            )
    messages = [
        (warning.category, str(warning.message))
        for warning in caught
        if not issubclass(warning.category, DeprecationWarning | PendingDeprecationWarning)
    ]
    return (name, repeat, fold), columns, messages


def _fit_and_predict(estimator, clips, target, groups, train, test, classes):
    """Return the columns of the result that one fitted estimator gives for the test clips."""
    if not hasattr(estimator, "predict_proba"):
        raise ValueError(
            f"{type(estimator).__name__} has no predict_proba, which ROC AUC and log loss need; "
            "wrap it in sklearn.calibration.CalibratedClassifierCV."
        )
    model = clone(estimator)
    takes_groups = has_fit_parameter(model, "groups") or get_routing_for_object(model).consumes(
        "fit", ["groups"]
    )
    start = time.perf_counter()
    model.fit(
        _safe_indexing(clips, train),
        target[train],
        **({"groups": groups[train]} if takes_groups else {}),
    )
    fitted = time.perf_counter()
    tested = _safe_indexing(clips, test)
    probability = model.predict_proba(tested)
    prediction = model.predict(tested)
    return {
        "prediction": prediction,
        **{f"{PROBABILITY_PREFIX}{k}": probability[:, i] for i, k in enumerate(classes)},
        "fit_seconds": fitted - start,
        "predict_seconds": time.perf_counter() - fitted,
        "n_parameters": count_parameters(model),
        "n_train": len(train),
    }


def _missing_columns(n_clips, classes):
    """Return the columns of a failed cell."""
    probability = dict.fromkeys((f"{PROBABILITY_PREFIX}{k}" for k in classes), np.nan)
    figures = dict.fromkeys(("fit_seconds", "predict_seconds", "n_parameters", "n_train"), np.nan)
    return {"prediction": np.full(n_clips, None), **probability, **figures}


def count_parameters(estimator):
    """Count the trained parameters of a fitted estimator.

    Parameters
    ----------
    estimator : estimator
        A fitted estimator: one with a skorch net ``net_``, a linear model, or a pipeline,
        feature union or search of such.

    Returns
    -------
    n_parameters : float
        Number of trainable weights of its networks and of coefficients and intercepts of its
        linear models, summed over its steps; NaN where the predictor is of another kind.
        Scalers and other steps without gradients count nothing.
    """
    if hasattr(estimator, "best_estimator_"):
        return count_parameters(estimator.best_estimator_)
    if hasattr(estimator, "net_"):
        weights = estimator.net_.module_.parameters()
        return float(sum(weight.numel() for weight in weights if weight.requires_grad))
    if hasattr(estimator, "coef_"):
        return float(np.size(estimator.coef_) + np.size(getattr(estimator, "intercept_", ())))
    steps = getattr(estimator, "steps", None) or getattr(estimator, "transformer_list", None)
    if steps is not None:
        return sum(count_parameters(step) for _, step in steps if isinstance(step, BaseEstimator))
    return 0.0 if hasattr(estimator, "transform") else float("nan")


def _make_splits(cv, target, groups, n_repeats, random_state):
    """Return the checked outer folds: tuples of repeat, fold, train and test indices."""
    splits = []
    for repeat in range(n_repeats):
        splitter = _make_splitter(cv, target, groups, n_repeats, random_state + repeat)
        folds = splitter.split(np.zeros(len(target)), target, groups)
        for fold, (train, test) in enumerate(folds):
            _check_fold(fold, train, test, target, groups)
            splits.append((repeat, fold, train, test))
    return splits


def _make_splitter(cv, target, groups, n_repeats, seed):
    """Return the outer splitter of one repeat."""
    if cv is None or isinstance(cv, (int, np.integer)):
        n_folds = N_FOLDS if cv is None else cv
        _check_enough_groups(n_folds, groups)
        return StratifiedGroupKFold(n_folds, shuffle=True, random_state=seed)
    splitter = check_cv(cv)
    if n_repeats == 1:
        return splitter
    if getattr(splitter, "random_state", None) is None:
        raise ValueError(
            f"n_repeats={n_repeats} draws the folds anew, but cv={cv!r} has no random_state to "
            "vary; give one with random_state=0, or n_repeats=1."
        )
    splitter = clone(splitter, safe=False)
    splitter.random_state = seed
    return splitter


def _check_enough_groups(n_folds, groups):
    """Raise where the subjects are too few for the folds."""
    if n_folds < 2:
        raise ValueError(f"cv must be at least 2 folds; got {n_folds}.")
    n_groups = len(np.unique(groups))
    if n_groups < n_folds:
        raise InvalidDataError(
            f"The clips come from {n_groups} subjects; {n_folds} subject-disjoint folds need at "
            f"least {n_folds}. Lower the number of folds or add subjects."
        )


def _check_fold(fold, train, test, target, groups):
    """Raise where a fold is empty, its subjects overlap or its training part lacks a class."""
    if len(test) == 0:
        raise InvalidDataError(
            f"Fold {fold} has no test clip; every fold needs one. Lower the number of folds."
        )
    shared = np.intersect1d(groups[train], groups[test])
    if len(shared):
        raise ValueError(
            f"Fold {fold} of cv has subject {shared[0]} in both training and test; folds must "
            "be subject-disjoint. Use StratifiedGroupKFold or GroupKFold."
        )
    missing = np.setdiff1d(target, target[train])
    if len(missing):
        raise InvalidDataError(
            f"Fold {fold} has no training clip of class {missing[0]}; each class must be in "
            "every training part. Lower the number of folds or add subjects of that class."
        )


def _check_run(estimators, n_repeats, on_error):
    """Raise where a parameter of the run is out of range."""
    if not isinstance(estimators, dict) or not estimators:
        raise ValueError(
            "estimators must be a non-empty dict of names to estimators; got "
            f"{type(estimators).__name__}. Write {{'my model': model}}."
        )
    if not (isinstance(n_repeats, (int, np.integer)) and n_repeats >= 1):
        raise ValueError(f"n_repeats must be an integer of at least 1; got {n_repeats!r}.")
    if on_error not in ("raise", "warn"):
        raise ValueError(f"on_error must be 'raise' or 'warn'; got {on_error!r}.")


def _check_data(data):
    """Return target and groups as arrays that fit the clips."""
    missing = [name for name in ("clips", "target", "groups") if data.get(name) is None]
    if missing:
        raise InvalidDataError(
            f"The data lack {missing}; a benchmark needs clips, target and groups (the subject "
            "of each clip). Where every clip shows another person, groups=range(n_clips)."
        )
    target, groups = np.asarray(data["target"]), np.asarray(data["groups"])
    n_clips = len(data["clips"])
    for name, values in (("target", target), ("groups", groups)):
        if values.shape != (n_clips,):
            raise InvalidDataError(
                f"{name} has shape {values.shape} for {n_clips} clips; it must hold one entry "
                "per clip. Correct it."
            )
    classes = np.unique(target)
    if len(classes) < 2:
        raise InvalidDataError(
            f"All {n_clips} clips are labelled {classes[0]}; at least two classes are needed. "
            "Add clips of another class."
        )
    return target, groups


def _warn_once_per_kind(seen):
    """Issue the first warning of each category that the cells gave, with their number."""
    firsts = {}
    for category, message in seen:
        firsts.setdefault(category, message)
    n_seen = Counter(category for category, _ in seen)
    for category, message in firsts.items():
        n_more = n_seen[category] - 1
        more = f" ({n_more} more such warnings from this run)" if n_more else ""
        warnings.warn(f"{message}{more}", category, stacklevel=3)


def _tidy(data, target, groups, cells, results):
    """Assemble the cells' columns into one table, sorted by estimator, repeat and clip."""
    files = data.get("files")
    names = np.asarray(range(len(target)) if files is None else files, dtype=object)
    parts = []
    for (name, repeat, fold, _, test), columns in zip(cells, results, strict=True):
        head = {
            "dataset": data.get("name") or "data",
            "estimator": name,
            "repeat": repeat,
            "fold": fold,
            "clip": names[test],
            "group": groups[test],
            "target": target[test],
        }
        parts.append(pd.DataFrame({**head, **columns}, index=test))
    order = {name: i for i, name in enumerate(dict.fromkeys(cell[0] for cell in cells))}
    table = pd.concat(parts).rename_axis("position").reset_index()
    table["order"] = table["estimator"].map(order)
    table = table.sort_values(["order", "repeat", "position"], ignore_index=True)
    return table.drop(columns=["order", "position"])
