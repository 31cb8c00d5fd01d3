"""A Dask cluster of processes: the same results as here, also where a worker is killed."""

import os
import signal
from concurrent.futures import BrokenExecutor
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from joblib import delayed, parallel_config
from made_videos import picture, write_video
from sklearn.datasets import make_classification
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils import Bunch

from smilefusion import DMarkerTransformer, FusionClassifier, FusionSearchCV
from smilefusion._parallel import run_unordered
from smilefusion.benchmark import load_results, run_benchmark
from smilefusion.clips import read_clip
from smilefusion.clusters import DaskBackend
from smilefusion.exceptions import InvalidDataError, InvalidVideoError
from smilefusion.video import FaceMeshExtractor

distributed = pytest.importorskip("distributed", reason="the extra dask is not installed")
from cluster_parts import Fragile, SquareDetector, score_once  # noqa: E402

pytestmark = pytest.mark.slow
TIMES = ["fit_seconds", "predict_seconds"]


@pytest.fixture(scope="module")
def client():
    """Return the client of two workers of one thread, each with a GPU's number of its own."""
    workers = {
        number: {
            "cls": distributed.Nanny,
            "options": {"nthreads": 1, "env": {"CUDA_VISIBLE_DEVICES": str(number)}},
        }
        for number in range(2)
    }
    scheduler = {
        "cls": distributed.Scheduler,
        "options": {"host": "127.0.0.1", "port": 0, "dashboard": False},
    }
    with (
        distributed.SpecCluster(workers, scheduler, silence_logs=50) as cluster,
        distributed.Client(cluster) as client,
    ):
        yield client


@pytest.fixture
def on_cluster(client):
    client.wait_for_workers(2)
    with parallel_config(backend=DaskBackend(client)):
        yield client


@pytest.fixture
def note(tmp_path):
    """Path of the note that a worker leaves when it is killed."""
    return tmp_path / "killed"


def make_table():
    return make_classification(60, 12, n_informative=6, random_state=0)


def make_classifier(**params):
    settings = {"hidden_dim": 8, "max_epochs": 2, "random_state": 0, "device": "cpu"}
    return FusionClassifier(deep=slice(0, 8), dmarker=slice(8, 12), **settings | params)


def run(tmp_path, note=None, **options):
    X, y = make_table()
    data = Bunch(clips=X, target=y, groups=np.arange(60) // 2, name="toy")
    models = {
        fusion: make_pipeline(Fragile(note), make_classifier(fusion=fusion))
        for fusion in ("hadamard", "concat")
    }
    return run_benchmark(models, data, cv=3, **options).drop(columns=TIMES)


def search(kind, note=None, score_note=None):
    model = make_pipeline(Fragile(note), make_classifier())
    grid = {"fusionclassifier__fusion": ["hadamard", "concat"], "fusionclassifier__lr": [0.1, 0.01]}
    found = kind(model, grid, cv=3, scoring=partial(score_once, note=score_note))
    return found.fit(*make_table())


def test_workers_see_a_gpu_each(on_cluster):
    seen = on_cluster.run(os.getenv, "CUDA_VISIBLE_DEVICES")
    assert sorted(seen.values()) == ["0", "1"]


@pytest.mark.parametrize("kind", [GridSearchCV, FusionSearchCV])
@pytest.mark.parametrize("place", ["note", "score_note"])
def test_search_with_a_killed_worker_finds_the_same(kind, place, on_cluster, note):
    found = search(kind, **{place: note})
    assert note.exists()
    with parallel_config(backend="loky"):
        expected = search(kind)
    for name, values in expected.cv_results_.items():
        if "time" not in name and "param" not in name:
            np.testing.assert_array_equal(found.cv_results_[name], values)


@pytest.mark.parametrize("stored", [False, True])
def test_benchmark_with_a_killed_worker_returns_the_same(stored, on_cluster, note, tmp_path):
    folder = tmp_path / "results"
    predictions = run(tmp_path, note, results=folder if stored else None)
    assert note.exists()
    with parallel_config(backend="loky"):
        pd.testing.assert_frame_equal(predictions, run(tmp_path))
    if stored:
        pd.testing.assert_frame_equal(load_results(folder).drop(columns=TIMES), predictions)
        assert {path.suffix for path in (folder / "cells").iterdir()} == {".csv", ".json"}
