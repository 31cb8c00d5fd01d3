"""Measure under which conditions the same seed gives the same bytes.

Run ``python benchmarks/determinism.py``; it takes some minutes on two cores. Small estimators are
fitted on the CPU under the condition of each row; "same" means that the bytes of their outputs
equal those of a plain fit. ``python benchmarks/determinism.py --device cuda`` fits networks
twice on a CUDA GPU, with and without ``torch.use_deterministic_algorithms(True)``, in several
processes, and compares the fits with each other, with the CPU and with the saved model on a
machine without a GPU.
"""

import json
import pickle
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import joblib
import torch
from common import largest, read_options, run_script
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
ESTIMATORS = {
    "D-Markers": DMarkerTransformer(fps=25),
    "FusionClassifier": FusionClassifier(hidden_dim=16, max_epochs=5, random_state=0),
    "DeepFeatures": DeepFeatureExtractor(**TINY),
    "HadaSmileNet": HadaSmileNetClassifier(**TINY, hidden_dim=16),
}
LARGE = TINY | {"embedding_dim": 64, "n_frames": 32, "max_epochs": 5}
NETWORKS = {  # large enough that a GPU can choose between algorithms
    "FusionClassifier": FusionClassifier("cross_attention", max_epochs=20, random_state=0),
    "DeepFeatureExtractor": DeepFeatureExtractor(**LARGE),
    "DeepFeatureExtractor, test_resnet": DeepFeatureExtractor("test_resnet", **LARGE),
    "HadaSmileNetClassifier": HadaSmileNetClassifier(**LARGE),
    "HadaSmileNetClassifier, curvenet": HadaSmileNetClassifier(
        encoder="curvenet", **LARGE | {"n_frames": 8, "max_epochs": 2}
    ),
}
N_SHOWN = 16  # clips of the GPU's part that are predicted


def make_data(estimator, n_clips=32):
    """Return clips, or for a FusionClassifier their D-Markers, and labels."""
    smiles = make_smiles(n_clips, n_subjects=16, fps=25, random_state=0)
    if isinstance(estimator, FusionClassifier):
        return DMarkerTransformer(fps=25).fit_transform(smiles.clips), smiles.target
    return smiles.clips, smiles.target


def apply(fitted, X):
    """Return what a fitted estimator computes."""
    return getattr(fitted, "predict_proba" if is_classifier(fitted) else "transform")(X)


def fit(estimator, X, y):
    """Return the hash of what a fitted copy computes."""
    return joblib.hash(apply(clone(estimator).fit(X, y), X))


def fit_in_jobs(estimator, X, y, n_jobs):
    """Return the hashes of two fits that run in parallel."""
    runs = [joblib.delayed(fit)(estimator, X, y) for _ in range(2)]
    return "".join(set(joblib.Parallel(n_jobs)(runs)))


def fit_in_threads(estimator, X, y):
    """Return the hashes of three fits at once."""
    with ThreadPoolExecutor(3) as threads:
        return "".join(set(threads.map(lambda _: fit(estimator, X, y), range(3))))


def fit_after_torch(estimator, X, y):
    """Return the hash of a fit after other work of torch, with another default dtype."""
    torch.manual_seed(1)
    torch.nn.Linear(8, 8)(torch.randn(64, 8)).sum().backward()
    torch.set_default_dtype(torch.float64)
    try:
        return fit(estimator, X, y)
    finally:
        torch.set_default_dtype(torch.float32)


def fit_in_search(estimator, X, y):
    """Return the hash of the estimator that a search refits."""
    params = estimator.get_params()
    name = "max_epochs" if "max_epochs" in params else "max_gap"
    search = GridSearchCV(estimator, {name: [params[name]]}, cv=KFold(2), scoring=lambda *_: 0.0)
    return joblib.hash(apply(search.fit(X, y).best_estimator_, X))


def fit_and_pickle(estimator, X, y):
    """Return the hash of a fitted estimator that went through pickle."""
    fitted = pickle.loads(pickle.dumps(clone(estimator).fit(X, y)))
    return joblib.hash(apply(fitted, X))


def fit_in_process(name, n_threads):
    """Return the hash that a new process finds."""
    return run_script(__file__, "--name", name, OMP_NUM_THREADS=str(n_threads))


def compare_on_cpu():
    """Print, by condition and estimator, whether a fit gives the same bytes."""
    for name, estimator in ESTIMATORS.items():
        X, y = make_data(estimator)
        expected = fit(estimator, X, y)
        print(name)
        for condition, call in {
            "fitted again": fit,
            "another process, OMP_NUM_THREADS=1": lambda *_, name=name: fit_in_process(name, 1),
            "another process, OMP_NUM_THREADS=2": lambda *_, name=name: fit_in_process(name, 2),
            "n_jobs=1": partial(fit_in_jobs, n_jobs=1),
            "n_jobs=2": partial(fit_in_jobs, n_jobs=2),
            "three threads at once": fit_in_threads,
            "after other work of torch, default dtype float64": fit_after_torch,
            "refitted by GridSearchCV": fit_in_search,
            "after pickle": fit_and_pickle,
        }.items():
            is_same = call(estimator, X, y) == expected
            print(f"  {condition:52s}{'same' if is_same else 'DIFFERENT'}", flush=True)


def fit_on_device(device, deterministic, folder):
    """Return what two fits of each network give; save the second one."""
    torch.use_deterministic_algorithms(deterministic)
    found = {}
    for number, (name, network) in enumerate(NETWORKS.items()):
        X, y = make_data(network, 64)
        network = clone(network).set_params(device=device)
        start = time.perf_counter()
        other, model = clone(network).fit(X, y), clone(network).fit(X, y)
        seconds = time.perf_counter() - start
        first, second = apply(other, X[:N_SHOWN]), apply(model, X[:N_SHOWN])
        on_cpu = apply(model.set_params(device="cpu"), X[:N_SHOWN])
        save_model(model.set_params(device="auto"), folder / f"{number}.smile")
        found[name] = {
            "hashes": [joblib.hash(first), joblib.hash(second)],
            "on the CPU": joblib.hash(on_cpu),
            "difference of two fits": largest(first, second),
            "difference to the CPU": largest(on_cpu, second),
            "seconds": seconds,
        }
    return found


def load_without_gpu(folder):
    """Return the hash of what each saved network gives on this machine."""
    found = {}
    for number, (name, network) in enumerate(NETWORKS.items()):
        X = make_data(network, 64)[0][:N_SHOWN]
        found[name] = joblib.hash(apply(load_model(folder / f"{number}.smile"), X))
    return found


def compare_on_gpu(device):
    """Print how fits on a GPU agree with each other and with the CPU."""
    with tempfile.TemporaryDirectory() as folder:
        task = partial(run_script, __file__, "--device", device, "--folder", folder, "--part")
        exact = task("exact", CUBLAS_WORKSPACE_CONFIG=":4096:8")
        again = task("exact", CUBLAS_WORKSPACE_CONFIG=":4096:8")
        loaded, free = task("load", CUDA_VISIBLE_DEVICES=""), task("free")
    for name, fits in exact.items():
        print(name)
        print("  deterministic, two fits equal:", len(set(fits["hashes"])) == 1)
        print("  deterministic, another process equal:", fits["hashes"] == again[name]["hashes"])
        print("  loaded without a GPU equals the CPU:", loaded[name] == fits["on the CPU"])
        for kind, values in (("deterministic", fits), ("otherwise", free[name])):
            for key in ("difference of two fits", "difference to the CPU"):
                print(f"  {kind}, {key}: {values[key]:.1e}")
        print(f"  time, deterministic to otherwise: {fits['seconds'] / free[name]['seconds']:.2f}")


def main():
    options = read_options(__doc__, device="cpu", name="", part="", folder=None)
    if options.name:
        estimator = ESTIMATORS[options.name]
        print(json.dumps(fit(estimator, *make_data(estimator))))
    elif options.part == "load":
        print(json.dumps(load_without_gpu(Path(options.folder))))
    elif options.part:
        exact = options.part == "exact"
        print(json.dumps(fit_on_device(options.device, exact, Path(options.folder))))
    elif options.device != "cpu":
        compare_on_gpu(options.device)
    else:
        compare_on_cpu()


if __name__ == "__main__":
    main()
