"""Large sets of clips: little in memory at a time, and the same bits as if all were."""

import errno
import os
import pickle
import tempfile
import tracemalloc

import numpy as np
import pytest
from benchmark_parts import MappedProbe
from joblib import Parallel, delayed
from sklearn.model_selection import cross_validate

from smilefusion import DeepFeatureExtractor, HadaSmileNetClassifier
from smilefusion._training._batches import allocate
from smilefusion.clips import check_clips
from smilefusion.datasets import make_smiles, resample
from smilefusion.estimators import _landmark_inputs

SMALL = {"fps": 25, "embedding_dim": 8, "max_epochs": 2, "batch_size": 4, "random_state": 0}
NET = {**SMALL, "hidden_dim": 8, "n_frames": 9}
MODELS = {
    "deep": lambda: DeepFeatureExtractor(n_frames=9, **SMALL),
    "deep of reconstruction": lambda: DeepFeatureExtractor(objective="reconstruction", **SMALL),
    "net": lambda: HadaSmileNetClassifier(**NET),
    "net of windows": lambda: HadaSmileNetClassifier(windows={"n_windows": 2}, **NET),
}


def fitted_bytes(model, smiles):
    """Return what a model gives of its training clips, and what it has learned, as bytes."""
    model.fit(smiles.clips, smiles.target, groups=smiles.groups)
    losses = model.history_.valid_loss.to_numpy()
    return model.transform(smiles.clips).tobytes() + losses.tobytes()


@pytest.fixture
def few_bytes(monkeypatch):
    """Let frames of any size lie in files."""
    monkeypatch.setattr("smilefusion._training._batches._MOST_BYTES", 0)


@pytest.mark.parametrize("name", ["deep of reconstruction", "net of windows"])
def test_frames_in_a_file_give_the_same_bits(name, smiles, request):
    expected = fitted_bytes(MODELS[name](), smiles)
    request.getfixturevalue("few_bytes")
    assert isinstance(allocate((3,), np.float32), np.memmap)
    assert fitted_bytes(MODELS[name](), smiles) == expected


@pytest.mark.parametrize("name", MODELS)
def test_clips_taken_a_few_at_a_time_give_the_same_bits(name, smiles, monkeypatch):
    model = MODELS[name]().fit(smiles.clips, smiles.target)
    monkeypatch.setattr(_landmark_inputs, "_CLIPS_AT_ONCE", 10**6)
    together = model.transform(smiles.clips)
    monkeypatch.setattr(_landmark_inputs, "_CLIPS_AT_ONCE", 1)
    assert model.transform(smiles.clips).tobytes() == together.tobytes()


@pytest.mark.usefixtures("few_bytes")
def test_file_of_frames_leaves_nothing_behind(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    array = allocate((1000, 4), np.float64)
    array[:] = np.arange(4)
    assert list(tmp_path.iterdir()) == []
    assert array.sum() == 6000


@pytest.mark.usefixtures("few_bytes")
def test_full_disk_is_reported_before_anything_is_written(monkeypatch):
    def refuse(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", refuse)
    with pytest.raises(OSError, match=r"No space left on device.*TMPDIR"):
        allocate((1000, 4), np.float64)


@pytest.mark.parametrize("model", ["deep", "net"])
def test_training_holds_the_frames_of_clips_and_copies_once(model, monkeypatch):
    monkeypatch.setattr(_landmark_inputs, "HELD_AT_ONCE", 1)
    data = make_smiles(40, n_subjects=10, fps=50, random_state=0)
    n_frames = 100
    seen = sum(min(n_frames, len(clip)) for clip in data.clips)
    n_bytes = 2 * seen * 478 * 3 * 4
    estimator = MODELS[model]().set_params(n_frames=n_frames, max_epochs=1)
    tracemalloc.start()
    try:
        estimator.fit(data.clips, data.target)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert n_bytes < peak < 1.7 * n_bytes


# Workers.


def test_workers_map_the_file_of_an_array_of_clips(tmp_path):
    np.save(tmp_path / "clips.npy", np.zeros((8, 20, 478, 3), np.float32))
    clips = list(np.load(tmp_path / "clips.npy", mmap_mode="r"))
    scores = cross_validate(MappedProbe(), clips, [0, 1] * 4, cv=2, n_jobs=2)
    assert scores["test_score"].tolist() == [1.0, 1.0]


def test_paths_and_lazy_clips_travel_as_paths(smiles, tmp_path):
    paths = [tmp_path / f"{index}.npy" for index in range(24)]
    for path, clip in zip(paths, smiles.clips, strict=True):
        np.save(path, clip)
    lazy = resample({**smiles, "clips": paths}, 10).clips
    for clips in (paths, check_clips(paths), lazy, lazy[np.arange(3)]):
        assert len(pickle.dumps(clips)) < 20_000
    lengths = Parallel(2)(delayed(len)(clips) for clips in (paths, check_clips(paths), lazy))
    assert lengths == [24, 24, 24]
