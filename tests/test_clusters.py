"""Benchmarks and extraction on a Dask cluster give the results of one machine."""

import numpy as np
import pandas as pd
import pytest
from joblib import parallel_config
from made_videos import SquareLandmarker, picture, write_video
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils import Bunch

from smilefusion import DMarkerTransformer
from smilefusion.benchmark import load_results, run_benchmark
from smilefusion.clips import read_clip
from smilefusion.video import FaceMeshExtractor

distributed = pytest.importorskip("distributed", reason="the extra dask is not installed")
from cluster_parts import Fragile, SquareFinder  # noqa: E402

pytestmark = pytest.mark.slow
TIMES = ["fit_seconds", "predict_seconds"]


@pytest.fixture(scope="module")
def client():
    """Client of two workers with one thread each."""
    options = {"n_workers": 2, "threads_per_worker": 1, "dashboard_address": ":0"}
    with (
        distributed.LocalCluster(**options, silence_logs=50) as cluster,
        distributed.Client(cluster) as client,
    ):
        yield client


@pytest.fixture
def note(tmp_path):
    """Path of the file that a worker creates before it kills itself."""
    return tmp_path / "killed"


@pytest.fixture
def data(smiles, folder):
    paths = [folder / f"{number}.npz" for number in range(24)]
    return Bunch(clips=paths, target=smiles.target, groups=smiles.groups, name="toy")


def run(data, note=None, **options):
    steps = DMarkerTransformer(fps=25), Fragile(note), StandardScaler()
    models = {f"C={C}": make_pipeline(*steps, LogisticRegression(C=C)) for C in (1, 0.1)}
    return run_benchmark(models, data, cv=3, **options).drop(columns=TIMES)


def run_locally(function, *args):
    with parallel_config(backend="loky"):
        return function(*args)


def test_benchmark_with_a_killed_worker_returns_and_stores_the_same(client, note, data, tmp_path):
    folder = tmp_path / "results"
    with parallel_config(backend="dask"):
        predictions = run(data, note, results=folder)
    assert note.exists()
    pd.testing.assert_frame_equal(predictions, run_locally(run, data))
    pd.testing.assert_frame_equal(load_results(folder).drop(columns=TIMES), predictions)
    assert len(list((folder / "cells").glob("*.json"))) == 6


def test_relative_results_folder_is_that_of_the_caller(client, data, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with parallel_config(backend="dask"):
        run(data, results="results")
    assert len(list((tmp_path / "results" / "cells").glob("*.json"))) == 6


def extract(model, videos, folder):
    table = FaceMeshExtractor(model_path=model).extract_files(videos, folder)
    return table.drop(columns="seconds"), [read_clip(path) for path in table["file"].dropna()]


@pytest.fixture
def videos(tmp_path):
    """A file in place of MediaPipe's model, and six videos of a square."""
    for number in range(6):
        images = [picture((2 * number + i, 5, 110)) for i in range(8)]
        write_video(tmp_path / f"{number}.mkv", images)
    (tmp_path / "model").write_bytes(b"model")
    return tmp_path / "model", sorted(tmp_path.glob("*.mkv"))


def test_extraction_with_a_killed_worker_gives_the_same(
    client, videos, note, tmp_path, monkeypatch
):
    client.register_plugin(SquareFinder(note))
    with parallel_config(backend="dask"):
        table, clips = extract(*videos, tmp_path / "clips")
    client.unregister_worker_plugin("squares")
    assert note.exists()
    monkeypatch.setattr("smilefusion.video._extraction.FaceLandmarker", SquareLandmarker)
    expected_table, expected_clips = run_locally(extract, *videos, tmp_path / "expected")
    # A repeated task finds the files that the killed worker had finished and marks them as old.
    columns = ["file", "is_old"]
    pd.testing.assert_frame_equal(*(t.drop(columns=columns) for t in (table, expected_table)))
    assert table["file"].tolist() == [str(tmp_path / "clips" / f"{i}.npz") for i in range(6)]
    np.testing.assert_array_equal(clips, expected_clips)
