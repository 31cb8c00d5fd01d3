"""A Dask cluster of processes: the same results as here, also where a worker is killed."""

import os
from concurrent.futures import BrokenExecutor
from functools import partial

import numpy as np
import pandas as pd
import pytest
from joblib import Parallel, delayed, parallel_config
from made_videos import open_square_detector, picture, write_video
from sklearn.datasets import make_classification
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils import Bunch

from smilefusion import DMarkerTransformer, FusionClassifier, FusionSearchCV
from smilefusion.benchmark import load_results, run_benchmark
from smilefusion.clips import read_clip
from smilefusion.clusters import DaskBackend
from smilefusion.exceptions import InvalidDataError
from smilefusion.video import FaceMeshExtractor

distributed = pytest.importorskip("distributed", reason="the extra dask is not installed")
from cluster_parts import Fragile, SquareFinder, die, score_once  # noqa: E402

pytestmark = pytest.mark.slow
TIMES = ["fit_seconds", "predict_seconds"]
GRID = {"fusion": ["hadamard", "concat"], "lr": [0.1, 0.01]}


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
    options = {"host": "127.0.0.1", "port": 0, "dashboard": False}
    scheduler = {"cls": distributed.Scheduler, "options": options}
    with (
        distributed.SpecCluster(workers, scheduler, silence_logs=50) as cluster,
        distributed.Client(cluster) as client,
    ):
        yield client


@pytest.fixture
def on_cluster(client):
    client.wait_for_workers(1, timeout=60)
    with parallel_config(backend=DaskBackend(client)):
        yield client


@pytest.fixture
def note(tmp_path):
    """Path of the note that a worker leaves when it is killed."""
    return tmp_path / "killed"


@pytest.fixture(scope="module")
def data(smiles, tmp_path_factory):
    """Return clips that travel as paths."""
    folder = tmp_path_factory.mktemp("clips")
    paths = [folder / f"{number}.npy" for number in range(len(smiles.clips))]
    for path, clip in zip(paths, smiles.clips, strict=True):
        np.save(path, clip)
    return Bunch(clips=paths, target=smiles.target, groups=smiles.groups, name="toy")


def run(data, note=None, **options):
    steps = DMarkerTransformer(fps=25), Fragile(note), StandardScaler()
    models = {f"C={C}": make_pipeline(*steps, LogisticRegression(C=C)) for C in (1, 0.1)}
    return run_benchmark(models, data, cv=3, **options).drop(columns=TIMES)


def search(kind, note=None, score_note=None):
    settings = {"hidden_dim": 8, "max_epochs": 2, "random_state": 0, "device": "cpu"}
    classifier = FusionClassifier(deep=slice(0, 8), dmarker=slice(8, 12), **settings)
    model = make_pipeline(Fragile(note), classifier)
    grid = {f"{model.steps[-1][0]}__{name}": values for name, values in GRID.items()}
    found = kind(model, grid, cv=3, scoring=partial(score_once, note=score_note))
    return found.fit(*make_classification(60, 12, n_informative=6, random_state=0))


def here(function, *args, **kwargs):
    """Return what a function gives without the cluster."""
    with parallel_config(backend="loky"):
        return function(*args, **kwargs)


def count_gpus():
    import torch

    return os.getenv("CUDA_VISIBLE_DEVICES"), torch.cuda.device_count()


def test_workers_see_a_gpu_each_at_most(on_cluster):
    on_cluster.wait_for_workers(2, timeout=60)
    numbers, counts = zip(*sorted(on_cluster.run(count_gpus).values()), strict=True)
    assert numbers == ("0", "1")
    assert max(counts) <= 1


@pytest.mark.parametrize(
    ("kind", "place"),
    [(GridSearchCV, "score_note"), (FusionSearchCV, "note"), (FusionSearchCV, "score_note")],
)
def test_search_with_a_killed_worker_finds_the_same(kind, place, on_cluster, note):
    found = search(kind, **{place: note})
    assert note.exists()
    for name, values in here(search, kind).cv_results_.items():
        if "time" not in name and "param" not in name:
            np.testing.assert_array_equal(found.cv_results_[name], values)


@pytest.mark.parametrize("stored", [False, True])
def test_benchmark_with_a_killed_worker_returns_the_same(stored, on_cluster, note, data, tmp_path):
    folder = tmp_path / "results" if stored else None
    predictions = run(data, note, results=folder)
    assert note.exists()
    pd.testing.assert_frame_equal(predictions, here(run, data))
    if stored:
        pd.testing.assert_frame_equal(load_results(folder).drop(columns=TIMES), predictions)
        assert {path.suffix for path in (folder / "cells").iterdir()} == {".csv", ".json"}


def test_results_folder_is_that_of_the_caller(on_cluster, data, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run(data, results="results")
    assert len(list((tmp_path / "results" / "cells").glob("*.json"))) == 6


def extract(model, videos, folder, **options):
    extractor = FaceMeshExtractor(model_path=model)
    table = extractor.extract_files(videos, folder, **options)
    return table.drop(columns="seconds"), [read_clip(path) for path in table["file"].dropna()]


@pytest.fixture
def videos(tmp_path):
    """Six videos of a square, and a file in place of MediaPipe's model."""
    for number in range(6):
        images = [picture((2 * number + i, 5, 110)) for i in range(8)]
        write_video(tmp_path / f"{number}.mkv", images)
    (tmp_path / "model").write_bytes(b"model")
    return tmp_path / "model", sorted(tmp_path.glob("*.mkv"))


@pytest.mark.parametrize("backend", ["ours", "dask"])
def test_extraction_with_a_killed_worker_gives_the_same(
    backend, client, videos, note, tmp_path, monkeypatch
):
    client.register_plugin(SquareFinder(note))
    with parallel_config(backend=DaskBackend(client) if backend == "ours" else backend):
        table, clips = extract(*videos, tmp_path / "clips")
    client.unregister_worker_plugin("squares")
    assert note.exists()
    monkeypatch.setattr("smilefusion._video_landmarks.open_detector", open_square_detector)
    expected_table, expected_clips = here(extract, *videos, tmp_path / "expected")
    # What a killed worker had finished, the task that runs again finds; it then counts as old.
    where_or_when = ["file", "is_old"]
    pd.testing.assert_frame_equal(
        *(t.drop(columns=where_or_when) for t in (table, expected_table))
    )
    assert table["file"].tolist() == [str(tmp_path / "clips" / f"{i}.npz") for i in range(6)]
    np.testing.assert_array_equal(clips, expected_clips)


def test_error_of_a_task_is_raised_and_the_cluster_goes_on(on_cluster):
    with pytest.raises(TypeError, match="bad operand"):
        Parallel()(delayed(abs)(value) for value in (1, "1", 2))
    assert Parallel()(delayed(abs)(value) for value in (-1, -2)) == [1, 2]


@pytest.mark.parametrize("n_before", [0, 20])
def test_clips_in_memory_are_refused(n_before, on_cluster):
    tasks = [delayed(abs)(-1)] * n_before + [delayed(np.ndim)(np.zeros(7_000_000))]
    with pytest.raises(InvalidDataError, match=r"56 MB .* max_megabytes=50\. Clips travel"):
        Parallel()(tasks)


def test_task_inside_a_task_runs_on_its_worker(on_cluster):
    (pairs,) = Parallel()([delayed(run_inside)()])
    assert len(set(pairs)) == 1


def run_inside():
    with parallel_config(backend=DaskBackend()):
        inner = Parallel()(delayed(os.getpid)() for _ in range(4))
    return [os.getpid(), *inner]


def test_task_that_ends_its_workers_ends_the_run(on_cluster, monkeypatch):
    monkeypatch.setattr(on_cluster.cluster.scheduler, "allowed_failures", 0)
    # The last test of the cluster: a worker that ended may be slow to come back.
    with pytest.raises(BrokenExecutor, match=r"^1 of the cluster's workers ended"):
        Parallel()([delayed(abs)(-1), delayed(die)(), delayed(abs)(-2)])


def test_missing_extra_is_named(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "distributed", None)
    with pytest.raises(ImportError, match=r"pip install 'smilefusion\[dask\]'"):
        DaskBackend()
