"""Torch's global state around trainings: threads, determinism, devices."""

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.datasets import make_classification

from smilefusion import DeepFeatureExtractor, FusionClassifier, HadaSmileNetClassifier

SMALL = {"max_epochs": 1, "patience": None, "random_state": 0, "device": "cpu"}
NETWORKS = {
    "FusionClassifier": FusionClassifier(hidden_dim=8, **SMALL),
    "DeepFeatureExtractor": DeepFeatureExtractor(embedding_dim=8, **SMALL),
    "HadaSmileNetClassifier": HadaSmileNetClassifier(embedding_dim=8, hidden_dim=8, **SMALL),
}


def make_data(name, smiles):
    if name == "FusionClassifier":
        return make_classification(40, 8, random_state=0)
    return smiles.clips, smiles.target


@pytest.mark.parametrize(
    ("name", "n_threads", "deterministic"),
    list(zip(NETWORKS, [1, None, 3], [True, False, True], strict=True)),
)
def test_networks_use_their_threads_and_torchs_deterministic_switch(
    name, n_threads, deterministic, smiles, monkeypatch
):
    X, y = make_data(name, smiles)
    seen, before = [], torch.get_num_threads()
    monkeypatch.setattr(torch.Tensor, "backward", spy_on(torch.Tensor.backward, seen))
    torch.use_deterministic_algorithms(deterministic)
    try:
        model = clone(NETWORKS[name]).set_params(n_threads=n_threads).fit(X, y)
        network, is_table = type(model.net_.module_), name == "FusionClassifier"
        method = "forward" if is_table else "forward_features"
        monkeypatch.setattr(network, method, spy_on(getattr(network, method), seen))
        model.predict_proba(X) if is_table else model.transform(X)
    finally:
        torch.use_deterministic_algorithms(False)
    assert len(seen) >= 2
    assert set(seen) == {(n_threads or before, deterministic)}
    assert torch.get_num_threads() == before


def spy_on(function, seen):
    """Return a function that also notes the number of threads and whether torch is exact."""

    def spy(*args, **kwargs):
        seen.append((torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()))
        return function(*args, **kwargs)

    return spy


def test_network_returns_to_its_device_once_per_call(smiles, monkeypatch):
    model = clone(NETWORKS["HadaSmileNetClassifier"]).set_params(batch_size=2)
    model.fit(smiles.clips, smiles.target)
    moves, network = [], type(model.net_.module_)
    move = network.to
    monkeypatch.setattr(network, "to", lambda self, to: moves.append(to) or move(self, to))
    model.predict_proba(smiles.clips)
    assert moves == ["cpu", torch.device("cpu")]


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU")
def test_deterministic_algorithms_give_the_same_bits_on_a_gpu(monkeypatch):
    X, y = make_data("FusionClassifier", None)
    monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    model = clone(NETWORKS["FusionClassifier"]).set_params(device="cuda")
    torch.use_deterministic_algorithms(True)
    try:
        first = model.fit(X, y).predict_proba(X)
        np.testing.assert_array_equal(first, model.fit(X, y).predict_proba(X))
    finally:
        torch.use_deterministic_algorithms(False)
