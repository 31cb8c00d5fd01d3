"""Kill workers of a Dask cluster while they work, and time the cluster with 1, 2 and 4 of them.

Run ``python benchmarks/dask_cluster.py``; it takes some four minutes, most of it for starting
Python, and needs the extra ``dask``. The cluster is one of processes with one thread each, on this
machine.

Kills: a search by `GridSearchCV`, one by `FusionSearchCV` and a benchmark with a results folder
work on clips that travel as paths, on two workers. Meanwhile workers are killed (SIGKILL) in the
midst of tasks at random moments, and Dask starts others in their place. Every fit of the step that
follows the D-Markers leaves a note; ``fits`` are those that were begun, ``needed`` those of an
undisturbed run, and the difference was run again. ``identical`` means the same scores or
predictions, bit for bit.

Scaling: the fits of a search, each on one thread, in this process and on 1, 2 and 4 workers that
have imported everything before; medians of runs that alternate. With fewer cores than workers,
more workers cannot help.
"""

import argparse
import json
import os
import signal
import tempfile
import threading
import time
from pathlib import Path

import numpy as np
from distributed import Client, LocalCluster
from joblib import parallel_config
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.datasets import make_classification
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.utils import Bunch

from smilefusion import DMarkerTransformer, FusionClassifier, FusionSearchCV
from smilefusion.benchmark import run_benchmark
from smilefusion.clusters import DaskBackend
from smilefusion.datasets import make_smiles

TIMES = ["fit_seconds", "predict_seconds"]
FUSIONS = "hadamard", "concat", "film", "additive"
PARAMETER = "fusionclassifier__fusion"


class Noted(TransformerMixin, BaseEstimator):
    """Pass a table on; note each fit in a folder, and wait."""

    def __init__(self, notes, pause):
        self.notes = notes
        self.pause = pause

    def fit(self, X, y=None):
        """Leave a note and wait."""
        Path(self.notes, f"{time.time_ns()}-{os.getpid()}").touch()
        time.sleep(self.pause)
        self.n_features_in_ = X.shape[1]
        return self

    def transform(self, X):
        """Return the table."""
        return X


def start_cluster(n_workers):
    """Return a cluster of processes of one thread on this machine."""
    return LocalCluster(
        n_workers=n_workers, threads_per_worker=1, dashboard_address=":0", silence_logs=50
    )


def make_classifier(**params):
    """Return a small classifier of the table of D-Markers."""
    streams = {"deep": slice(0, 150), "dmarker": slice(150, 225)}
    return FusionClassifier(**streams, hidden_dim=16, random_state=0, device="cpu", **params)


def store_clips(folder):
    """Return simulated clips as paths."""
    smiles = make_smiles(48, n_subjects=24, fps=25, random_state=0)
    paths = [folder / f"{number}.npy" for number in range(len(smiles.clips))]
    for path, clip in zip(paths, smiles.clips, strict=True):
        np.save(path, clip)
    return Bunch(clips=paths, target=smiles.target, groups=smiles.groups, name="simulated")


def search(kind, data, notes):
    """Return the scores of a search."""
    model = make_pipeline(
        DMarkerTransformer(fps=25), Noted(notes, 0.2), make_classifier(max_epochs=3)
    )
    found = kind(model, {PARAMETER: FUSIONS}, cv=6, refit=False).fit(data.clips, data.target)
    return [found.cv_results_[f"split{fold}_test_score"].tolist() for fold in range(6)]


def benchmark(data, notes):
    """Return the predictions of a benchmark."""
    models = {
        fusion: make_pipeline(
            DMarkerTransformer(fps=25),
            Noted(notes, 0.2),
            make_classifier(fusion=fusion, max_epochs=3),
        )
        for fusion in FUSIONS
    }
    with tempfile.TemporaryDirectory() as folder:
        predictions = run_benchmark(models, data, cv=6, results=folder)
    return predictions.drop(columns=TIMES).to_dict("list")


def killing(cluster, n_kills, rng):
    """Return a thread that kills workers in the midst of a task, and the list of those killed."""
    killed = []

    def kill():
        while len(killed) < n_kills:
            time.sleep(0.05 + rng.random())
            busy = [each for each in list(cluster.scheduler.workers.values()) if each.processing]
            if busy:
                nanny = busy[rng.integers(len(busy))].nanny
                process = {each.address: each.pid for each in cluster.workers.values()}[nanny]
                os.kill(process, signal.SIGKILL)
                killed.append(process)

    return threading.Thread(target=kill, daemon=True), killed


def run_kills(n_kills, rng):
    """Print the lines of the trial."""
    trials = {
        "GridSearchCV": lambda data, notes: search(GridSearchCV, data, notes),
        "FusionSearchCV": lambda data, notes: search(FusionSearchCV, data, notes),
        "run_benchmark": benchmark,
    }
    rows = []
    print(f"{'work':16} kills  fits  needed  run again  result")
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        data = store_clips(root)
        for name, work in trials.items():
            folders = [root / f"{name}, {kind}" for kind in ("undisturbed", "killed")]
            for notes in folders:
                notes.mkdir()
            expected = work(data, folders[0])
            with start_cluster(2) as cluster, Client(cluster) as client:
                killer, killed = killing(cluster, n_kills, rng)
                killer.start()
                with parallel_config(backend=DaskBackend(client)):
                    result = work(data, folders[1])
                n_killed = len(killed)
            n_needed, n_fits = (len(os.listdir(notes)) for notes in folders)
            same = "identical" if repr(result) == repr(expected) else "DIFFERENT"
            print(f"{name:16} {n_killed:5} {n_fits:5} {n_needed:7} {n_fits - n_needed:10}  {same}")
            figures = n_killed, n_fits, n_needed, same
            names = "kills", "fits", "needed", "result"
            rows.append({"work": name, **dict(zip(names, figures, strict=True))})
    return rows


def time_search(n_rows):
    """Return the seconds that a search of 24 fits takes."""
    X, y = make_classification(n_rows, 225, n_informative=40, random_state=0)
    model = make_pipeline(make_classifier(max_epochs=40))
    start = time.perf_counter()
    GridSearchCV(model, {PARAMETER: FUSIONS}, cv=6, refit=False).fit(X, y)
    return time.perf_counter() - start


def run_scaling(n_runs, n_rows):
    """Print the table of times."""
    seconds = {workers: [] for workers in (0, 1, 2, 4)}
    clusters = {workers: start_cluster(workers) for workers in seconds if workers}
    clients = {workers: Client(cluster) for workers, cluster in clusters.items()}
    for client in clients.values():
        client.run(time_search, 60)  # so that all is imported
    for _ in range(n_runs):
        for workers, times in seconds.items():
            if not workers:
                times.append(time_search(n_rows))
                continue
            with parallel_config(backend=DaskBackend(clients[workers])):
                times.append(time_search(n_rows))
    for workers in clusters:
        clients[workers].close()
        clusters[workers].close()
    print(f"\n24 fits on {os.cpu_count()} cores; load of the machine {os.getloadavg()[0]:.1f}")
    rows = []
    print("workers  seconds  against this process")
    for workers, times in seconds.items():
        ratios = np.array(seconds[0]) / times
        label = workers or "none"
        print(f"{label:>7} {np.median(times):8.1f} {np.median(ratios):8.2f}")
        figures = {"seconds": np.median(times), "speedup": np.median(ratios)}
        rows.append({"workers": workers} | figures)
    return rows


def main():
    """Print what the module's docstring describes."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=2)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--rows", type=int, default=600)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--output", type=Path, help="a JSON file for the figures")
    arguments = parser.parse_args()
    figures = {
        "kills": run_kills(arguments.kills, np.random.default_rng(arguments.seed)),
        "scaling": run_scaling(arguments.runs, arguments.rows),
    }
    if arguments.output:
        arguments.output.write_text(json.dumps(figures, indent=1))


if __name__ == "__main__":
    main()
