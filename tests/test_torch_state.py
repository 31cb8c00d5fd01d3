"""Torch's global state around trainings: determinism, and what is left afterwards."""

import os

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.datasets import make_classification

from smilefusion import DeepFeatureExtractor, FusionClassifier, HadaSmileNetClassifier
from smilefusion._training import _torch_state

VARIABLE = "CUBLAS_WORKSPACE_CONFIG"
SMALL = {"max_epochs": 1, "patience": None, "random_state": 0, "device": "cpu"}
NETWORKS = {
    "FusionClassifier": FusionClassifier(hidden_dim=8, **SMALL),
    "DeepFeatureExtractor": DeepFeatureExtractor(embedding_dim=8, **SMALL),
    "HadaSmileNetClassifier": HadaSmileNetClassifier(embedding_dim=8, hidden_dim=8, **SMALL),
}


def switches():
    """The global switches that deterministic=True turns."""
    return {
        "deterministic": torch.are_deterministic_algorithms_enabled(),
        "warn only": torch.is_deterministic_algorithms_warn_only_enabled(),
        "benchmark": torch.backends.cudnn.benchmark,
        "precision": [getattr(*switch[:2]) for switch in _torch_state._full_precision()],
    }


def make_data(name, smiles):
    if name == "FusionClassifier":
        return make_classification(40, 8, random_state=0)
    return smiles.clips, smiles.target


@pytest.mark.parametrize(
    ("name", "n_threads", "deterministic"),
    list(zip(NETWORKS, [1, None, 3], [True, False, True], strict=True)),
)
def test_networks_train_and_predict_as_their_settings_say(
    name, n_threads, deterministic, smiles, monkeypatch
):
    X, y = make_data(name, smiles)
    seen, before = [], torch.get_num_threads()
    settings = {"n_threads": n_threads, "deterministic": deterministic}
    monkeypatch.setattr(torch.Tensor, "backward", spy_on(torch.Tensor.backward, seen))
    model = clone(NETWORKS[name]).set_params(**settings).fit(X, y)
    network, is_table = type(model.net_.module_), name == "FusionClassifier"
    method = "forward" if is_table else "forward_features"
    monkeypatch.setattr(network, method, spy_on(getattr(network, method), seen))
    model.predict_proba(X) if is_table else model.transform(X)
    assert len(seen) >= 2
    assert set(seen) == {(n_threads or before, deterministic)}
    assert torch.get_num_threads() == before


def spy_on(function, seen):
    """Return a function that also notes the number of threads and whether torch is exact."""

    def spy(*args, **kwargs):
        seen.append((torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()))
        return function(*args, **kwargs)

    return spy


def test_deterministic_leaves_the_switches_as_they_were(monkeypatch):
    monkeypatch.setattr(torch.backends.cudnn, "benchmark", True)
    torch.use_deterministic_algorithms(True, warn_only=True)
    try:
        before = switches()
        with _torch_state.reproducible_torch(0, deterministic=True):
            inside = switches()
        assert switches() == before
    finally:
        torch.use_deterministic_algorithms(False)
    assert inside["deterministic"]
    assert not inside["warn only"]
    assert not inside["benchmark"]
    assert set(inside["precision"]) <= {"ieee", False}


def test_deterministic_gives_the_bits_of_the_cpu():
    X, y = make_data("FusionClassifier", None)
    models = [
        clone(NETWORKS["FusionClassifier"]).set_params(deterministic=d) for d in (False, True)
    ]
    found = [model.fit(X, y).predict_proba(X) for model in models]
    np.testing.assert_array_equal(*found)


@pytest.mark.parametrize(("value", "started"), [(None, False), (":16:8", True)])
def test_workspace_is_set_before_cuda_starts_or_taken_from_the_user(monkeypatch, value, started):
    monkeypatch.delenv(VARIABLE, raising=False)
    if value is not None:
        monkeypatch.setenv(VARIABLE, value)
    monkeypatch.setattr(torch.cuda, "is_initialized", lambda: started)
    _torch_state._prepare_cublas()
    assert os.environ[VARIABLE] == (value or ":4096:8")


@pytest.mark.parametrize(("value", "started"), [(None, True), (":0:0", True), (":0:0", False)])
def test_wrong_workspace_is_refused_by_name(monkeypatch, value, started):
    monkeypatch.delenv(VARIABLE, raising=False)
    if value is not None:
        monkeypatch.setenv(VARIABLE, value)
    monkeypatch.setattr(torch.cuda, "is_initialized", lambda: started)
    with pytest.raises(ValueError, match=f"needs the environment variable {VARIABLE}.*{value}"):
        _torch_state._prepare_cublas()


def test_operation_without_deterministic_form_is_named():
    # An operation that has none on the CPU either, according to torch's own list.
    with (
        pytest.raises(ValueError, match="put_ of this network has no such form.*device='cpu'"),
        _torch_state.reproducible_torch(0, deterministic=True),
        _torch_state.explaining_torch(4),
    ):
        torch.zeros(3).put_(torch.tensor([0]), torch.tensor([1.0]), accumulate=False)


def test_other_errors_of_torch_pass():
    with pytest.raises(RuntimeError, match="must match"), _torch_state.explaining_torch(4):
        torch.zeros(3) + torch.zeros(4)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU")
def test_deterministic_gives_the_same_bits_on_a_gpu():
    X, y = make_data("FusionClassifier", None)
    model = clone(NETWORKS["FusionClassifier"]).set_params(device="cuda", deterministic=True)
    first = model.fit(X, y).predict_proba(X)
    np.testing.assert_array_equal(first, model.fit(X, y).predict_proba(X))
