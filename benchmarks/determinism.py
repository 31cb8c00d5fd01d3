"""Measure under which conditions a seed gives the same bytes.

Run ``python benchmarks/determinism.py``; it takes some minutes on two cores. Small estimators are
fitted to simulated clips on the CPU, and the bytes of what they then give are hashed, under the
condition of each row and without it. "same" says that the hashes are equal, "differs" that they
are not. Other processes are started anew, their number of threads being OMP_NUM_THREADS.
"""

import argparse
import hashlib
import json
import os
import pickle
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import joblib
import numpy as np
import torch
from sklearn.base import clone, is_classifier
from sklearn.model_selection import GridSearchCV, KFold

from smilefusion import (
    DeepFeatureExtractor,
    DMarkerTransformer,
    FusionClassifier,
    HadaSmileNetClassifier,
)
from smilefusion.datasets import make_smiles

TINY = {"embedding_dim": 16, "n_frames": 16, "max_epochs": 3, "fps": 25, "random_state": 0}


def make_estimators(device):
    """Return the estimators by name."""
    return {
        "DMarkerTransformer": DMarkerTransformer(fps=25),
        "FusionClassifier": FusionClassifier(
            hidden_dim=16, max_epochs=5, random_state=0, device=device
        ),
        "DeepFeatureExtractor": DeepFeatureExtractor(**TINY, device=device),
        "HadaSmileNetClassifier": HadaSmileNetClassifier(**TINY, hidden_dim=16, device=device),
    }


def make_data(name):
    """Return the clips, or the table of their D-Markers, and their labels."""
    smiles = make_smiles(32, n_subjects=16, fps=25, random_state=0)
    is_table = name == "FusionClassifier"
    table = DMarkerTransformer(fps=25).fit_transform(smiles.clips) if is_table else None
    return table if is_table else smiles.clips, smiles.target


def hash_outputs(estimator, X):
    """Return a hash of the bytes that a fitted estimator gives."""
    method = "predict_proba" if is_classifier(estimator) else "transform"
    return hashlib.sha256(
        np.ascontiguousarray(getattr(estimator, method)(X)).tobytes()
    ).hexdigest()


def fit_and_hash(estimator, X, y):
    """Fit a copy and return the hash of what it gives."""
    return hash_outputs(clone(estimator).fit(X, y), X)


def in_process(name, device, n_threads):
    """Return the hash that a new process finds."""
    command = [sys.executable, __file__, "--one", name, "--device", device]
    environment = os.environ | {"OMP_NUM_THREADS": str(n_threads)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


def score_hash(estimator, X, y=None):
    """Score by a number made of the hash; for searches."""
    return float(int(hash_outputs(estimator, X)[:12], 16))


def after_torch(estimator, X, y):
    """Return the hash after other work of torch."""
    state = torch.get_rng_state()
    torch.manual_seed(1)
    torch.nn.Linear(8, 8)(torch.randn(64, 8)).sum().backward()
    found = fit_and_hash(estimator, X, y)
    torch.set_rng_state(state)
    return found


def after_default_dtype(estimator, X, y):
    """Return the hash while torch's default dtype is float64."""
    torch.set_default_dtype(torch.float64)
    try:
        return fit_and_hash(estimator, X, y)
    finally:
        torch.set_default_dtype(torch.float32)


def after_threads(estimator, X, y):
    """Return the hashes of three fits in threads at once, joined where they differ."""
    with ThreadPoolExecutor(3) as threads:
        found = list(threads.map(lambda _: fit_and_hash(estimator, X, y), range(3)))
    return "".join(sorted(set(found)))


def in_jobs(estimator, X, y, n_jobs):
    """Return the hashes of two fits in so many jobs, joined where they differ."""
    run = joblib.Parallel(n_jobs)(joblib.delayed(fit_and_hash)(estimator, X, y) for _ in range(2))
    return "".join(sorted(set(run)))


def in_search(estimator, X, y):
    """Return the hash of the refitted estimator of a search."""
    cv = KFold(2, shuffle=True, random_state=0)
    name, value = ("max_gap", 10) if "max_gap" in estimator.get_params() else ("max_epochs", None)
    values = [estimator.get_params()[name] if value is None else value]
    search = GridSearchCV(estimator, {name: values}, cv=cv, scoring=score_hash)
    return hash_outputs(search.fit(X, y).best_estimator_, X)


def after_pickle(estimator, X, y):
    """Return the hash of a fitted estimator that went through pickle."""
    fitted = clone(estimator).fit(X, y)
    return hash_outputs(pickle.loads(pickle.dumps(fitted)), X)


def measure(name, device):
    """Return, by condition, whether an estimator gives the same bytes as without it."""
    estimator, (X, y) = make_estimators(device)[name], make_data(name)
    expected = fit_and_hash(estimator, X, y)
    found = {
        "fitted again": fit_and_hash(estimator, X, y),
        "another process, OMP_NUM_THREADS=1": in_process(name, device, 1),
        "another process, OMP_NUM_THREADS=2": in_process(name, device, 2),
        "n_jobs=1": in_jobs(estimator, X, y, 1),
        "n_jobs=2": in_jobs(estimator, X, y, 2),
        "three threads at once": after_threads(estimator, X, y),
        "after other work of torch": after_torch(estimator, X, y),
        "torch's default dtype float64": after_default_dtype(estimator, X, y),
        "refitted by GridSearchCV": in_search(estimator, X, y),
        "after pickle": after_pickle(estimator, X, y),
        "another seed": fit_and_hash(reseed(estimator), X, y),
    }
    return {
        condition: "same" if got == expected else "differs" for condition, got in found.items()
    }


def reseed(estimator):
    """Return a copy with another seed where there is one."""
    has_seed = "random_state" in estimator.get_params()
    return clone(estimator).set_params(**({"random_state": 1} if has_seed else {}))


def print_table(columns, device):
    """Print the results, a column per estimator."""
    print(f"{device}, torch {torch.__version__}, {torch.get_num_threads()} threads of torch")
    width = max(map(len, next(iter(columns.values())))) + 2
    print(" " * width + "".join(f"{name:>24s}" for name in columns))
    for condition in next(iter(columns.values())):
        cells = "".join(f"{column[condition]:>24s}" for column in columns.values())
        print(f"{condition:{width}s}{cells}")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="cpu", help="device of the networks")
    parser.add_argument("--one", help=argparse.SUPPRESS)  # an estimator, for another process
    arguments = parser.parse_args()
    if arguments.one is not None:
        X, y = make_data(arguments.one)
        estimator = make_estimators(arguments.device)[arguments.one]
        print(json.dumps(fit_and_hash(estimator, X, y)))
        return
    names = make_estimators(arguments.device)
    print_table({name: measure(name, arguments.device) for name in names}, arguments.device)
    if not torch.cuda.is_available():
        print("\ncuda: not measured, there is no GPU here")


if __name__ == "__main__":
    main()
