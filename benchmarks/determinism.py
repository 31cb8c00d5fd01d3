"""Measure under which conditions a seed gives the same bytes.

Run ``python benchmarks/determinism.py``; it takes some minutes on two cores. Small estimators are
fitted to simulated clips on the CPU, and the bytes of what they then give are hashed, under the
condition of each row and without it. "same" says that the hashes are equal, "differs" that they
are not. Other processes are started anew, their number of threads being OMP_NUM_THREADS.

``python benchmarks/determinism.py gpu`` measures on a CUDA GPU, in a minute or two: networks are
fitted there twice with ``deterministic=True``, in two processes, and twice without, in a third.
Compared are what the fits give, what a model gives on the GPU and on the CPU, and what a model
that was saved after a fit on the GPU gives in a process without one.
"""

import argparse
import hashlib
import json
import os
import pickle
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

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
    load_model,
    save_model,
)
from smilefusion.datasets import make_smiles

TINY = {"embedding_dim": 16, "n_frames": 16, "max_epochs": 3, "fps": 25, "random_state": 0}
N_CLIPS, N_SHOWN = 64, 16  # clips of the GPU's part, and those that are then predicted
CHILDREN = ("fit", "fit-deterministic", "load")  # tasks of processes that the part gpu starts


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


def make_networks(device, deterministic):
    """Return the estimators of the GPU's part by name; larger, so that kernels have a choice."""
    common = {"device": device, "deterministic": deterministic, "random_state": 0}
    on_clips = common | {"embedding_dim": 64, "n_frames": 32, "max_epochs": 5, "fps": 25}
    return {
        "FusionClassifier": FusionClassifier("cross_attention", max_epochs=20, **common),
        "DeepFeatureExtractor": DeepFeatureExtractor(**on_clips),
        "DeepFeatureExtractor, test_resnet": DeepFeatureExtractor("test_resnet", **on_clips),
        "HadaSmileNetClassifier": HadaSmileNetClassifier(**on_clips),
        "HadaSmileNetClassifier, curvenet": HadaSmileNetClassifier(
            encoder="curvenet", **on_clips | {"n_frames": 8, "max_epochs": 2}
        ),
    }


def make_data(name, n_clips=32):
    """Return the clips, or the table of their D-Markers, and their labels."""
    smiles = make_smiles(n_clips, n_subjects=16, fps=25, random_state=0)
    is_table = name == "FusionClassifier"
    table = DMarkerTransformer(fps=25).fit_transform(smiles.clips) if is_table else None
    return table if is_table else smiles.clips, smiles.target


def outputs(estimator, X):
    """Return what a fitted estimator gives."""
    return getattr(estimator, "predict_proba" if is_classifier(estimator) else "transform")(X)


def hash_array(array):
    """Return a hash of the bytes of an array."""
    return hashlib.sha256(np.ascontiguousarray(array).tobytes()).hexdigest()


def hash_outputs(estimator, X):
    """Return a hash of the bytes that a fitted estimator gives."""
    return hash_array(outputs(estimator, X))


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
    return {condition: same(got == expected) for condition, got in found.items()}


def reseed(estimator):
    """Return a copy with another seed where there is one."""
    has_seed = "random_state" in estimator.get_params()
    return clone(estimator).set_params(**({"random_state": 1} if has_seed else {}))


def measure_fits(device, deterministic, folder):
    """Return, by network, what two fits with one seed give; save the second one's model."""
    found = {}
    for number, (name, estimator) in enumerate(make_networks(device, deterministic).items()):
        X, y = make_data(name, N_CLIPS)
        started = time.perf_counter()
        other, model = clone(estimator).fit(X, y), clone(estimator).fit(X, y)
        seconds = time.perf_counter() - started
        first, second = outputs(other, X[:N_SHOWN]), outputs(model, X[:N_SHOWN])
        on_cpu = outputs(model.set_params(device="cpu"), X[:N_SHOWN])
        save_model(model.set_params(device="auto"), folder / f"{number}.smile")
        found[name] = {
            "hashes": [hash_array(first), hash_array(second)],
            "between fits": float(np.abs(first - second).max()),
            "between CPU and device": float(np.abs(on_cpu - second).max()),
            "of the outputs": float(np.abs(second).max()),
            "hash on the CPU": hash_array(on_cpu),
            "seconds": seconds,
        }
    return found


def measure_loading(folder):
    """Return, by network, the hash of what the saved model gives on this machine's "auto"."""
    names = make_networks("cpu", False)
    found = {}
    for number, name in enumerate(names):
        shown = make_data(name, N_CLIPS)[0][:N_SHOWN]
        found[name] = hash_outputs(load_model(folder / f"{number}.smile"), shown)
    return found


def run_child(task, device, folder, **environment):
    """Return what a task of the GPU's part gives in a new process."""
    command = [sys.executable, __file__, task, "--device", device, "--folder", str(folder)]
    environment = os.environ | environment
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, check=True)
    return json.loads(done.stdout)


def measure_gpu(device):
    """Print how fits on a GPU agree with each other and with the CPU, a block per network."""
    if torch.device(device).type == "cuda" and not torch.cuda.is_available():
        print(f"{device}: not measured, there is no GPU here")
        return
    with tempfile.TemporaryDirectory() as folder:
        exact = run_child("fit-deterministic", device, folder)
        loaded = run_child("load", device, folder, CUDA_VISIBLE_DEVICES="")
        again = run_child("fit-deterministic", device, folder)
        free = run_child("fit", device, folder)
    where = torch.cuda.get_device_name(device) if torch.cuda.is_available() else "no GPU"
    print(f"{device} ({where}), torch {torch.__version__}, {N_CLIPS} clips")
    for name, fits in exact.items():
        print(f"\n{name}")
        hashes, others = set(fits["hashes"]), set(again[name]["hashes"])
        saved = loaded[name] == fits["hash on the CPU"]
        rows = {
            "two fits, deterministic=True": same(len(hashes) == 1),
            "fits of another process, deterministic=True": same(hashes == others),
            "saved after the fit, loaded without a GPU": same(saved),
        }
        for label, part in {"deterministic=True": fits, "deterministic=False": free[name]}.items():
            rows |= {
                f"greatest difference of two fits, {label}": f"{part['between fits']:.1e}",
                f"greatest difference to the CPU, {label}": (
                    f"{part['between CPU and device']:.1e}"
                ),
                f"greatest output, {label}": f"{part['of the outputs']:.2g}",
                f"both fits, {label}": f"{part['seconds']:.1f} s",
            }
        for label, value in rows.items():
            print(f"  {label:58s}{value:>10s}")


def same(is_same):
    """Return the word of a table."""
    return "same" if is_same else "differs"


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
    parser.add_argument("part", nargs="?", default="bytes", choices=("bytes", "gpu", *CHILDREN))
    parser.add_argument("--device", help="device of the networks: cpu, or cuda for the part gpu")
    parser.add_argument("--one", help=argparse.SUPPRESS)  # an estimator, for another process
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    device = arguments.device or ("cpu" if arguments.part == "bytes" else "cuda")
    if arguments.one is not None:
        X, y = make_data(arguments.one)
        print(json.dumps(fit_and_hash(make_estimators(device)[arguments.one], X, y)))
    elif arguments.part == "load":
        print(json.dumps(measure_loading(arguments.folder)))
    elif arguments.part in CHILDREN:
        deterministic = arguments.part == "fit-deterministic"
        print(json.dumps(measure_fits(device, deterministic, arguments.folder)))
    elif arguments.part == "gpu":
        measure_gpu(device)
    else:
        names = make_estimators(device)
        print_table({name: measure(name, device) for name in names}, device)


if __name__ == "__main__":
    main()
