"""Checks that randomness, threads, processes and routing do not change results."""

import random
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import joblib
import numpy as np
import sklearn
import torch
from sklearn.model_selection import (
    GroupKFold,
    KFold,
    ShuffleSplit,
    cross_val_score,
    cross_validate,
)
from sklearn.pipeline import Pipeline

from smilefusion.testing._data import (
    Outputs,
    digest,
    ensure,
    ensure_equal,
    ensure_refused,
    fit,
    fitted,
    fresh,
    make_data,
    object_array,
    outputs,
    reference,
    shown,
)

_N_THREADS = 2


def check_same_seed(estimator: Any) -> None:
    """Check that the same random_state gives identical results, whatever was drawn before."""
    expected = reference(estimator)
    np_state, torch_state = np.random.get_state(), torch.get_rng_state()  # noqa: NPY002
    try:
        np.random.seed(7)  # noqa: NPY002 (global on purpose)
        torch.manual_seed(7)
        again = outputs(fit(estimator), shown())
    finally:
        np.random.set_state(np_state)  # noqa: NPY002
        torch.set_rng_state(torch_state)
    ensure_equal(again, expected, estimator, "the same random_state gives identical results")


def check_seed_counts(estimator: Any) -> None:
    """Check that random_state may be a number, a RandomState, or None."""
    data = make_data()
    found = []
    for _ in range(2):
        copy = fresh(estimator, seed=np.random.RandomState(3))
        found.append(outputs(copy.fit(data.clips, data.y), shown()))
    rule = "RandomStates in the same state give identical results"
    ensure_equal(found[1], found[0], estimator, rule)
    fresh(estimator, seed=None).fit(data.clips, data.y)


def _global_state() -> dict[str, Any]:
    """Return the global state that estimators must not change."""
    return {
        "the random state of Python": hash(random.getstate()),
        "the random state of NumPy": joblib.hash(np.random.get_state()),  # noqa: NPY002
        "the random state of torch": torch.get_rng_state().numpy().tobytes(),
        "the number of torch's threads": torch.get_num_threads(),
        "torch's default dtype": torch.get_default_dtype(),
        "torch's deterministic mode": torch.are_deterministic_algorithms_enabled(),
        "torch's gradient mode": torch.is_grad_enabled(),
        "NumPy's handling of errors": str(np.geterr()),
    }


def check_global_state_is_kept(estimator: Any) -> None:
    """Check that fit and other methods do not change global state."""
    clips, before = shown(), _global_state()
    outputs(fit(estimator), clips)
    after = _global_state()
    changed = [name for name in before if before[name] != after[name]]
    ensure(not changed, estimator, f"global state is not changed; changed: {changed}")


def check_predictions_in_threads(estimator: Any) -> None:
    """Check that methods give the same in parallel threads as in sequence."""
    trained, clips = fitted(estimator), make_data().clips
    parts = [clips[start : start + 2] for start in range(0, 2 * _N_THREADS, 2)]
    expected = [outputs(trained, part) for part in parts]
    with ThreadPoolExecutor(_N_THREADS) as threads:
        found = list(threads.map(lambda part: outputs(trained, part), parts))
    for got, serial in zip(found, expected, strict=True):
        ensure_equal(got, serial, estimator, "predictions in threads equal sequential ones")


def check_fits_in_threads(estimator: Any) -> None:
    """Check that fits give the same in parallel threads as in sequence."""
    clips, seeds = shown(), range(_N_THREADS)

    def run(seed: int) -> Outputs:
        data = make_data()
        return outputs(fresh(estimator, seed).fit(data.clips, data.y), clips)

    expected = [reference(estimator), *map(run, seeds[1:])]  # the reference has seed 0
    with ThreadPoolExecutor(_N_THREADS) as threads:
        found = list(threads.map(run, seeds))
    for got, serial in zip(found, expected, strict=True):
        ensure_equal(got, serial, estimator, "fits in threads equal sequential ones")


def _cross_validate(estimator: Any, clips: Any, cv: Any, **options: Any) -> np.ndarray:
    """Return checksums of the outputs for the test clips of each fold."""
    options = {"cv": cv, "scoring": digest, "error_score": "raise"} | options
    return cross_val_score(fresh(estimator), clips, make_data().y, **options)


def check_cross_validation(estimator: Any) -> None:
    """Check that cross-validation of an object array equals a fit to a list."""
    data = make_data()
    folds = ShuffleSplit(1, test_size=0.25, random_state=0)
    ((train, test),) = folds.split(data.clips)
    (score,) = _cross_validate(estimator, object_array(data.clips), folds)
    trained = fit(estimator, [data.clips[i] for i in train], data.y[train])
    same = digest(trained, [data.clips[i] for i in test]) == score
    ensure(same, estimator, "cross-validation of an object array gives the same as a list")


def check_processes(estimator: Any) -> None:
    """Check that cross-validation in two processes gives the same as in one."""
    clips, folds = make_data().clips, KFold(2, shuffle=True, random_state=0)
    serial = _cross_validate(estimator, clips, folds, n_jobs=1)
    parallel = _cross_validate(estimator, clips, folds, n_jobs=2)
    same = np.array_equal(serial, parallel)
    ensure(same, estimator, "cross_val_score(n_jobs=2) gives the same as n_jobs=1")


def check_routing_of_groups(estimator: Any) -> None:
    """Check that metadata routing passes groups through a Pipeline and cross_validate."""
    data = make_data()
    with sklearn.config_context(enable_metadata_routing=True):
        pipeline = Pipeline([("clips", "passthrough"), ("estimator", fresh(estimator))])
        routes = pipeline.get_metadata_routing().consumes("fit", ["groups"])
        ensure(routes, estimator, "fit requests groups (__metadata_request__fit)")
        expected = outputs(fit(estimator, groups=data.groups), shown())
        pipeline.fit(data.clips, data.y, groups=data.groups)
        rule = "groups reach the estimator through a Pipeline"
        ensure_equal(outputs(pipeline, shown()), expected, estimator, rule)
        wrong = data.groups[:-1]
        call = lambda: pipeline.fit(data.clips, data.y, groups=wrong)  # noqa: E731
        ensure_refused(call, estimator, f"{rule}: groups of the wrong length")
        ((train, test), _) = GroupKFold(2).split(data.clips, groups=data.groups)
        (score,) = cross_validate(
            pipeline,
            data.clips,
            data.y,
            cv=[(train, test)],
            params={"groups": data.groups},
            scoring=digest,
            error_score="raise",
        )["test_score"]
        clips, groups = [data.clips[i] for i in train], data.groups[train]
        trained = fit(estimator, clips, data.y[train], groups=groups)
        same = digest(trained, [data.clips[i] for i in test]) == score
        ensure(same, estimator, "groups reach the estimator through cross_validate")
