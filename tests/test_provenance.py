"""What the records of benchmark cells state: parameters, clips, devices and memory."""

import math
import subprocess
import sys
from functools import partial

import numpy as np
import pandas as pd
import pytest
from sklearn.base import BaseEstimator
from sklearn.dummy import DummyClassifier
from sklearn.frozen import FrozenEstimator
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils import Bunch

from smilefusion import DeepFeatureExtractor, FusionClassifier
from smilefusion.benchmark.run._provenance import (
    describe_device,
    describe_estimator,
    digest_clips,
)

# A new process, because memory that other tests used can be freed at any time.
PEAK = """
import numpy as np
from smilefusion.benchmark.run._provenance import read_peak_memory, reset_peak_memory
assert reset_peak_memory()
before = read_peak_memory()
block = np.ones(40_000_000)
during = read_peak_memory()
del block
assert reset_peak_memory()
assert during - before > 0.9 * 320_000_000
assert read_peak_memory() - before < 0.5 * 320_000_000
"""


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux reports the peak of a cell")
def test_peak_memory_is_that_since_the_reset():
    subprocess.run([sys.executable, "-c", PEAK], check=True)


def test_text_of_parameters_is_the_same_in_every_process():
    class Holder(BaseEstimator):
        def __init__(self, value):
            self.value = value

    def text(value):
        return describe_estimator(Holder(value))["parameters"]["value"]

    assert text(np.float64(0.1)) == "0.1"
    assert text(math.sqrt) == "math.sqrt"
    assert text(partial(math.sqrt, 2)) == "partial([math.sqrt, [2], {}])"
    assert text({"a": [StandardScaler(with_std=False)]}).startswith(
        "{'a': [sklearn.preprocessing._data.StandardScaler(copy=True, with_mean=True, with_std=F"
    )
    assert text(np.arange(3)) == "array([0, 1, 2])"
    assert text(np.arange(30.0)) != text(np.arange(30.0) + 1e-9)
    assert text(Bunch) == "sklearn.utils._bunch.Bunch"
    assert text({"b", "a"}) == "{'a', 'b'}"
    assert " at 0x" not in text(np.random.RandomState(0)) + text(object())


def test_digest_of_clips_is_of_their_contents(tmp_path):
    clips = list(np.random.default_rng(0).normal(size=(3, 5, 4, 2)))
    paths = [tmp_path / f"{i}.npy" for i in range(3)]
    for path, clip in zip(paths, clips, strict=True):
        np.save(path, clip)
    by_path = digest_clips(paths)
    assert digest_clips(list(map(str, paths))) == digest_clips(pd.Series(paths)) == by_path
    assert digest_clips(clips) == digest_clips([np.load(path, mmap_mode="r") for path in paths])
    np.save(paths[2], clips[2] + 1)
    assert digest_clips(paths) != by_path


def test_device_is_that_of_the_fit(smiles):
    """Without a GPU, "cpu:0" serves as another device."""
    deep = DeepFeatureExtractor(
        device="cpu:0", n_frames=4, max_epochs=1, patience=None, random_state=0
    )
    model = make_pipeline(deep, FusionClassifier(device="cpu", max_epochs=1, random_state=0))
    model.fit(smiles.clips, smiles.target)
    assert describe_device(model) == "cpu, cpu:0"
    assert describe_device(FrozenEstimator(model)) == "cpu, cpu:0"
    assert describe_device(make_pipeline(StandardScaler(), DummyClassifier())) == "cpu"
