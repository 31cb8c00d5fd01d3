"""Interrupts and errors during a fit: they reach the user, and nothing is lost."""

import pickle

import pytest
from sklearn.base import clone
from sklearn.datasets import make_classification
from sklearn.utils import Bunch
from skorch.callbacks import Callback, EarlyStopping

from smilefusion import DeepFeatureExtractor, FusionClassifier, HadaSmileNetClassifier
from smilefusion.benchmark import run_benchmark

SMALL = {"max_epochs": 3, "early_stopping": False, "random_state": 0, "device": "cpu"}
NETWORKS = {
    "FusionClassifier": FusionClassifier(hidden_dim=8, **SMALL),
    "DeepFeatureExtractor": DeepFeatureExtractor(embedding_dim=8, **SMALL),
    "HadaSmileNetClassifier": HadaSmileNetClassifier(embedding_dim=8, hidden_dim=8, **SMALL),
}


class Interrupt(Callback):
    """Press Ctrl-C in the second epoch."""

    def on_epoch_end(self, net, **kwargs):
        if len(net.history) == 2:
            raise KeyboardInterrupt


def make_network(name, smiles, **params):
    """Return an unfitted network and its training data."""
    if name == "FusionClassifier":
        data = make_classification(40, 8, random_state=0)
    else:
        data = smiles.clips, smiles.target
    return clone(NETWORKS[name]).set_params(**params), data


@pytest.mark.parametrize("name", NETWORKS)
def test_interrupt_leaves_fit_and_the_estimator_unfitted(name, smiles):
    model, data = make_network(name, smiles, callbacks=[Interrupt()])
    before = dict(vars(model))
    with pytest.raises(KeyboardInterrupt):
        model.fit(*data)
    assert vars(model) == before


@pytest.mark.parametrize("name", NETWORKS)
def test_interrupted_refit_keeps_the_fitted_estimator(name, smiles):
    model, data = make_network(name, smiles)
    before = dict(vars(model.fit(*data)))
    weights = pickle.dumps(model.net_.module_.state_dict())
    model.set_params(callbacks=[Interrupt()])
    with pytest.raises(KeyboardInterrupt):
        model.fit(*data)
    assert vars(model) == before | {"callbacks": model.callbacks}
    assert pickle.dumps(model.net_.module_.state_dict()) == weights


def test_failed_refit_keeps_the_fitted_estimator():
    X, y = make_classification(40, 8, random_state=0)
    model = clone(NETWORKS["FusionClassifier"]).fit(X, y)
    before = dict(vars(model))
    with pytest.raises(ValueError, match="class"):
        model.fit(X[:, :5], y * 0)
    assert vars(model) == before


def test_interrupt_leaves_the_training_that_records_epochs():
    X, y = make_classification(40, 8, random_state=0)
    model = clone(NETWORKS["FusionClassifier"]).set_params(callbacks=[Interrupt()])
    with pytest.raises(KeyboardInterrupt):
        model.fit_predict_epochs(X, y, X)
    assert not hasattr(model, "net_")


def test_early_stopping_of_skorch_still_ends_a_training():
    X, y = make_classification(40, 8, random_state=0)
    stop = EarlyStopping(monitor="train_loss", patience=2, threshold=1, threshold_mode="abs")
    model = clone(NETWORKS["FusionClassifier"]).set_params(callbacks=[stop], max_epochs=20)
    assert len(model.fit(X, y).history_) < 20


@pytest.mark.parametrize("n_jobs", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_interrupted_benchmark_stores_no_cell(n_jobs, tmp_path, smiles):
    model, (X, y) = make_network("FusionClassifier", smiles, callbacks=[Interrupt()])
    data = Bunch(clips=X, target=y, groups=range(len(y)), name="table")
    with pytest.raises(KeyboardInterrupt):
        run_benchmark({"fusion": model}, data, cv=2, n_jobs=n_jobs, results=tmp_path)
    assert not list(tmp_path.glob("cells/*"))
