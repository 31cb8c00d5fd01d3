"""CalibratedClassifierCV of scikit-learn around this package's classifiers."""

import numpy as np
import pandas as pd
import pytest
import sklearn
from sklearn.calibration import CalibratedClassifierCV
from sklearn.metrics import log_loss
from sklearn.model_selection import StratifiedGroupKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from smilefusion import (
    DMarkerTransformer,
    FusionClassifier,
    HadaSmileNetClassifier,
    load_model,
    save_model,
)
from smilefusion.benchmark import leakage_report
from smilefusion.cli import main
from smilefusion.datasets import make_smiles


def simulate(n_clips, n_subjects, seed):
    """Return D-Markers, classes and subjects."""
    smiles = make_smiles(n_clips, n_subjects=n_subjects, fps=25, jitter=0.0075, random_state=seed)
    return DMarkerTransformer(fps=25).fit_transform(smiles.clips), smiles.target, smiles.groups


@pytest.fixture(scope="module")
def train():
    return simulate(120, 50, seed=0)


@pytest.fixture(scope="module")
def new():
    return simulate(120, 50, seed=1)


def overtrained(**params):
    """Return a classifier that is trained for many epochs and is therefore overconfident."""
    options = {"hidden_dim": 16, "max_epochs": 60, "lr": 3e-3, "random_state": 0}
    options |= {"n_members": 1, "patience": None} | params
    return make_pipeline(StandardScaler(), FusionClassifier(**options))


def calibrate(model, X, y, groups, **params):
    """Calibrate on folds of subjects; metadata routing passes the groups on."""
    model = CalibratedClassifierCV(model, cv=StratifiedGroupKFold(3), **params)
    with sklearn.config_context(enable_metadata_routing=True):
        return model.fit(X, y, groups=groups)


@pytest.fixture(scope="module")
def raw(train):
    return overtrained().fit(*train[:2])


@pytest.mark.parametrize("method", ["temperature", "isotonic"])
def test_calibration_improves_the_log_loss_of_new_subjects(train, new, raw, method):
    X, y, groups = train
    X_new, y_new, _ = new
    calibrated = calibrate(overtrained(), X, y, groups, method=method)
    losses = [log_loss(y_new, model.predict_proba(X_new)[:, 1]) for model in (raw, calibrated)]
    assert losses[1] < losses[0] - 0.05


@pytest.mark.parametrize("ensemble", [True, False])
def test_calibration_keeps_subjects_apart(train, ensemble):
    X, y, groups = train
    model = overtrained(max_epochs=1, patience=10)
    calibrated = calibrate(model, X, y, groups, ensemble=ensemble)
    report = leakage_report(calibrated)
    assert len(report) == (3 if ensemble else 1)
    assert (report["early_stopping"] == "subjects").all()
    assert (report["n_shared_train_stop"] == 0).all()


def test_folds_made_before_need_no_metadata_routing(train, new):
    X, y, groups = train
    model = overtrained(max_epochs=3, patience=10)
    folds = list(StratifiedGroupKFold(3).split(X, y, groups))
    given = CalibratedClassifierCV(model, cv=folds).fit(X, y, fusionclassifier__groups=groups)
    routed = calibrate(model, X, y, groups)
    np.testing.assert_array_equal(given.predict_proba(new[0]), routed.predict_proba(new[0]))


def tiny():
    return HadaSmileNetClassifier(
        fps=25, n_frames=4, embedding_dim=8, hidden_dim=8, max_epochs=1, patience=None,
        device="cpu", random_state=0,
    )  # fmt: skip


@pytest.mark.parametrize("ensemble", [True, False])
def test_calibrated_network_predicts_from_a_file(smiles, folder, ensemble, tmp_path):
    paths = [folder / f"{number}.npz" for number in range(24)]
    model = calibrate(tiny(), paths, smiles.target, smiles.groups, ensemble=ensemble)
    save_model(model, tmp_path / "model.smile")
    expected = model.predict_proba(smiles.clips)
    loaded = load_model(tmp_path / "model.smile")
    np.testing.assert_array_equal(loaded.predict_proba(smiles.clips), expected)
    files = [tmp_path / "model.smile", *paths, "--fps", 25, "-o", tmp_path / "table.csv"]
    assert main(["predict", *map(str, files)]) == 0
    table = pd.read_csv(tmp_path / "table.csv")
    np.testing.assert_allclose(table["probability_1"], expected[:, 1], atol=1e-6)
