"""What classifiers say of other clips after every epoch."""

import pickle

import numpy as np
import pytest
from sklearn.datasets import make_classification

from smilefusion import FusionClassifier, HadaSmileNetClassifier

X, Y = make_classification(n_samples=80, n_features=10, random_state=0)


def make_fusion(**params):
    settings = {"deep": slice(0, 6), "dmarker": slice(6, 10), "hidden_dim": 8, "max_epochs": 6}
    return FusionClassifier(**(settings | {"random_state": 0} | params))


def make_network(**params):
    settings = {"fps": 25, "embedding_dim": 8, "hidden_dim": 8, "max_epochs": 3, "n_frames": 8}
    settings |= {"patience": None, "random_state": 0, "dropout": 0.5}
    return HadaSmileNetClassifier(**(settings | params))


def test_fusion_epoch_equals_a_training_that_ends_there():
    model = make_fusion()
    before = model.get_params()
    by_epoch = model.fit_predict_epochs(X[:60], Y[:60], X[60:])
    assert by_epoch.shape == (6, 20, 2)
    assert model.get_params() == before
    for n_epochs in (1, 6):
        shorter = make_fusion(max_epochs=n_epochs).fit(X[:60], Y[:60])
        np.testing.assert_array_equal(by_epoch[n_epochs - 1], shorter.predict_proba(X[60:]))


def test_fusion_epochs_pass_over_early_stopping():
    model = make_fusion(patience=2, max_epochs=40)
    groups = np.arange(60) // 2
    by_epoch = model.fit_predict_epochs(X[:60], Y[:60], X[60:], groups=groups)
    assert len(by_epoch) == len(model.history_)


def test_printing_and_recording_change_no_number(capsys):
    quiet, loud, watched = (make_fusion(net_params={"verbose": v}) for v in (0, 1, 0))
    watched.fit_predict_epochs(X, Y, X)
    expected = quiet.fit(X, Y).predict_proba(X)
    np.testing.assert_array_equal(loud.fit(X, Y).predict_proba(X), expected)
    np.testing.assert_array_equal(watched.predict_proba(X), expected)


def test_fusion_keeps_nothing_of_the_test_rows():
    model = make_fusion(net_params={"callbacks": []})
    model.fit_predict_epochs(X[:60], Y[:60], X[60:])
    recorders = [c for _, c in model.net_.callbacks_ if type(c).__name__ == "EpochRecorder"]
    assert model.net_params == {"callbacks": []}
    assert [(each.function, each.outputs) for each in recorders] == [(None, [])]
    assert pickle.loads(pickle.dumps(model)).predict(X).shape == (80,)


@pytest.mark.parametrize(
    "params",
    [
        {},
        {"windows": {"n_windows": 2}},
        {"dmarkers": "none"},
        {"dmarkers": "auxiliary"},
    ],
)
def test_network_epochs_train_as_fit_does_and_end_with_it(smiles, params):
    train, test = slice(0, 16), slice(16, 24)
    watched, plain = make_network(**params), make_network(**params)
    by_epoch = watched.fit_predict_epochs(
        smiles.clips[train], smiles.target[train], smiles.clips[test]
    )
    expected = plain.fit(smiles.clips[train], smiles.target[train]).predict_proba(
        smiles.clips[test]
    )
    assert by_epoch.shape == (3, 8, 2)
    np.testing.assert_array_equal(by_epoch[-1], watched.predict_proba(smiles.clips[test]))
    np.testing.assert_array_equal(by_epoch[-1], expected)
