import os
import pickle
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
import torch
from scipy.special import expit, softmax
from sklearn.compose import make_column_selector
from sklearn.datasets import make_classification
from sklearn.metrics import log_loss
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from skorch.callbacks import GradientNormClipping, LRScheduler
from torch import nn

from smilefusion import FusionClassifier, list_fusions
from smilefusion._training._trainer import EnsembleLoss
from smilefusion.exceptions import MissingGroupsWarning, TrainingWarning
from smilefusion.nn._ensemble import HELD_OUT, IN_TRAINING, NetworkEnsemble


def small(fusion="hadamard", **params):
    defaults = {"hidden_dim": 16, "max_epochs": 5, "lr": 1e-3, "random_state": 0}
    single = {"n_members": 1, "patience": None}
    return FusionClassifier(fusion, **{**defaults, **single, **params})


@pytest.fixture(scope="module")
def table():
    X, y = make_classification(
        n_samples=120, n_features=12, n_informative=8, n_redundant=0, random_state=0
    )
    return X.astype(np.float32), y


# Runs in a process of its own, because SciPy reads the variable SCIPY_ARRAY_API at its import.
SCIKIT_LEARNS_CHECKS = """
from sklearn.utils.estimator_checks import estimator_checks_generator
from smilefusion import FusionClassifier

brief = FusionClassifier(hidden_dim=16, n_members=2, max_epochs=20, lr=0.01, random_state=0)
# Weights must act like repeated rows within 1e-7: no folds, mini-batches, dropout or rounding.
exact = FusionClassifier(
    hidden_dim=16,
    n_members=1,
    patience=None,
    max_epochs=5,
    batch_size=10_000,
    dropout=0,
    random_state=0,
    net_params={"module__dtype": "float64"},
)
for estimator, check in estimator_checks_generator(brief):
    name = check.func.__name__
    check(exact if name == "check_sample_weight_equivalence_on_dense_data" else estimator)
    print(name)
"""


@pytest.mark.slow
def test_passes_all_of_scikit_learns_checks():
    done = subprocess.run(
        [sys.executable, "-c", SCIKIT_LEARNS_CHECKS],
        env={**os.environ, "SCIPY_ARRAY_API": "1"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    passed = done.stdout.split()
    assert len(passed) >= 60
    assert {"check_array_api_input", "check_sample_weight_equivalence_on_dense_data"} <= {*passed}


@pytest.mark.parametrize("fusion", list_fusions())
def test_every_strategy_learns(fusion, table):
    X, y = table
    model = small(fusion, deep=slice(0, 8), dmarker=slice(8, 12), max_epochs=40).fit(X, y)
    assert model.score(X, y) > 0.8


def test_probabilities_follow_the_log_odds(table):
    X, y = table
    model = small().fit(X, y)
    expected = 1 / (1 + np.exp(-model.decision_function(X)))
    np.testing.assert_allclose(model.predict_proba(X)[:, 1], expected, rtol=1e-5)


def test_three_string_classes_have_probabilities_and_scores(table):
    X, _ = table
    y = np.array(["mixed", "posed", "spontaneous"])[np.arange(len(X)) % 3]
    model = small().fit(X, y)
    np.testing.assert_allclose(model.predict_proba(X).sum(axis=1), 1, rtol=1e-5)
    assert set(model.predict(X)) <= set(y)
    assert model.decision_function(X).shape == (len(X), 3)
    expected = softmax(model.decision_function(X), axis=1)
    np.testing.assert_allclose(model.predict_proba(X), expected, rtol=1e-5)


def test_same_seed_gives_the_same_bytes_whatever_torch_did_before(table):
    X, y = table
    first = small().fit(X, y).predict_proba(X)
    torch.manual_seed(7)
    torch.rand(10)
    state = torch.get_rng_state()
    second = small().fit(X, y).predict_proba(X)
    assert first.tobytes() == second.tobytes()
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize(
    "deep",
    [
        [0, 1, 2],
        slice(0, 3),
        slice("d0", "d2"),
        ["d0", "d1", "d2"],
        np.arange(8) < 3,
        make_column_selector(pattern="^d"),
    ],
    ids=["ints", "slice", "label slice", "names", "mask", "callable"],
)
def test_columns_are_selected_as_in_a_column_transformer(deep, table):
    X, y = table
    names = ["d0", "d1", "d2", "m0", "m1", "m2", "m3", "m4"]
    frame = pd.DataFrame(X[:, :8], columns=names)
    model = small(deep=deep, dmarker=slice(3, 8), max_epochs=1).fit(frame, y)
    assert model.deep_columns_.tolist() == [0, 1, 2]
    assert model.predict(frame).shape == y.shape


@pytest.mark.parametrize(
    ("deep", "dmarker", "message"),
    [
        (slice(0, 6), slice(5, 12), "overlap in 1 columns, the first at position 5"),
        (slice(0, 0), None, r"deep=.* selects no column of X"),
        (None, [12], r"dmarker=\[12\] does not select columns of X, which has 12 columns"),
        (list(range(99, 199)), None, r"deep=\[99, 100, 101, 102, 103, 104, \.\.\.\] does not"),
    ],
)
def test_bad_column_selection_is_named(deep, dmarker, message, table):
    X, y = table
    with pytest.raises(ValueError, match=message):
        small(deep=deep, dmarker=dmarker).fit(X, y)


@pytest.mark.parametrize(
    "names", [[f"emb_{i}" for i in range(64)], "emb_0", slice("emb_0", "emb_9")]
)
def test_names_of_columns_that_a_scaler_dropped_are_explained(names, table):
    X, y = table
    frame = pd.DataFrame(X, columns=[f"emb_{i}" for i in range(X.shape[1])])
    model = make_pipeline(StandardScaler(), small(deep=names))
    with pytest.raises(ValueError, match=r"deep selects .* no column names") as refusal:
        model.fit(frame, y)
    assert 'set_output(transform="pandas")' in str(refusal.value)
    assert str(refusal.value).count("emb_") <= 3


def test_missing_names_of_columns_are_named(table):
    X, y = table
    frame = pd.DataFrame(X, columns=[f"emb_{i}" for i in range(X.shape[1])])
    match = "does not have: emb_12, emb_13, emb_14 and 49 more"
    with pytest.raises(ValueError, match=match):
        small(deep=[f"emb_{i}" for i in range(64)], dmarker=[0]).fit(frame, y)


@pytest.mark.parametrize("missing", [np.nan, None])
def test_missing_label_is_named(missing, table):
    X, y = table
    with pytest.raises(ValueError, match="y has (nan|None) for clip 3"):
        small().fit(X, [missing if i == 3 else f"class {label}" for i, label in enumerate(y)])


def test_class_weight_shifts_the_decision(table):
    X, y = table
    shares = [
        small(class_weight=weight, max_epochs=20).fit(X, y).predict(X).mean()
        for weight in ({0: 10, 1: 1}, {0: 1, 1: 10})
    ]
    assert shares[0] < shares[1]


def test_sample_weight_zero_is_absence(table):
    X, y = table
    double = {"module__dtype": "float64"}
    exact = {"net_params": double, "batch_size": 1000, "dropout": 0}
    weight = np.r_[np.ones(80), np.zeros(40)]
    weighted = small(**exact).fit(X, y, sample_weight=weight).predict_proba(X)
    absent = small(**exact).fit(X[:80], y[:80]).predict_proba(X)
    np.testing.assert_allclose(weighted, absent, rtol=1e-7)


def test_early_stopping_never_cuts_through_a_group(table):
    X, y = table
    groups = np.arange(len(X)) // 4
    split = small(patience=10, validation_fraction=0.2).fit(X, y, groups=groups).split_
    assert split["n_train"] + split["n_early_stopping"] == len(X)
    assert not set(split["train"]) & set(split["early_stopping"])


def test_early_stopping_keeps_the_best_epoch(table):
    X, y = table
    model = small(max_epochs=300, patience=5, lr=0.02).fit(X, y)
    losses = model.net_.history[:, "valid_loss"]
    assert len(losses) < 300
    best = losses[-1 - 5]
    assert best * (1 - 1e-4) <= min(losses)  # skorch takes smaller gains for none


def test_early_stopping_needs_two_groups(table):
    X, y = table
    with pytest.raises(ValueError, match=r"got 1 groups\. Use more groups"):
        small(patience=10).fit(X, y, groups=np.zeros(len(X)))


def test_warm_start_continues(table):
    X, y = table
    model = small(warm_start=True, max_epochs=10).fit(X, y)
    first = model.net_.history[-1, "train_loss"]
    assert model.fit(X, y).net_.history[-1, "train_loss"] < first


def test_warm_start_refuses_other_classes(table):
    X, y = table
    model = small(warm_start=True, max_epochs=1).fit(X, y)
    with pytest.raises(ValueError, match="needs the classes and columns"):
        model.fit(X, y + 1)


def test_warm_start_needs_a_single_network(table):
    with pytest.raises(ValueError, match="warm_start=True needs n_members=1; got n_members=5"):
        small(warm_start=True, n_members=5).fit(*table)


@pytest.mark.parametrize("fusion", list_fusions())
def test_each_network_learns_only_from_the_other_folds(fusion):
    torch.manual_seed(0)
    network = NetworkEnsemble(
        2, fusion=fusion, deep_dim=4, dmarker_dim=3, dim=8, dropout=0
    ).double()
    inputs = {"deep": torch.randn(6, 4).double(), "dmarker": torch.randn(6, 3).double()}
    inputs["fold"] = torch.tensor([0, 0, 1, 1, IN_TRAINING, HELD_OUT])
    losses = []
    for changed in ([], [0, 1, 5]):
        target = torch.ones(6, 3).double()
        target[changed, 0] = 0
        network.zero_grad()
        EnsembleLoss()(network(**inputs), target).backward()
        gradients = [[w.grad.clone() for w in member.parameters()] for member in network.members]
        losses.append(gradients)
    same = [
        all(torch.equal(*both) for both in zip(*pair, strict=True))
        for pair in zip(*losses, strict=True)
    ]
    assert same == [True, False]


def test_left_out_clips_are_predicted_by_networks_that_left_them_out(table):
    X, y = table
    groups = np.arange(len(X)) // 4
    model = small(n_members=3, patience=2, max_epochs=30).fit(X, y, groups=groups)
    assert model.n_members_ == 3
    single = expit(model._logits(X)[..., 0])
    own = np.isclose(single, model.oof_proba_[:, 1]).argmax(axis=0)
    assert set(own) == {0, 1, 2}
    assert all(len(set(own[groups == group])) == 1 for group in groups)
    np.testing.assert_allclose(model.predict_proba(X)[:, 1], single.mean(axis=0), rtol=1e-6)
    assert model.oof_score_ == ((model.oof_proba_[:, 1] > 0.5) == y).mean()
    losses = model.history_["valid_loss"]
    assert log_loss(y, model.oof_proba_) == pytest.approx(losses.min(), rel=2e-4)


def test_single_network_predicts_the_clips_it_stopped_by(table):
    X, y = table
    mask = np.arange(len(X)) % 5 == 0
    model = small(patience=2).fit(X, y, early_stopping_mask=mask)
    np.testing.assert_allclose(model.oof_proba_[mask], model.predict_proba(X[mask]), rtol=1e-6)
    assert np.isnan(model.oof_proba_[~mask]).all()
    assert np.isnan(small().fit(X, y).oof_score_)


def test_members_are_fewer_if_a_class_is_rare(table):
    X, y = table
    y = np.where(np.arange(len(y)) < 3, "rare", "frequent")
    assert small(n_members=5).fit(X, y).n_members_ == 3
    with pytest.raises(ValueError, match="a class has only 1 subject"):
        small(n_members=5).fit(X, y, groups=np.r_[0, 0, 0, np.arange(1, len(y) - 2)])


def test_folds_of_rows_are_named_as_a_risk(table):
    with pytest.warns(MissingGroupsWarning, match="stops early on samples chosen at random"):
        small(n_members=3, patience=2).fit(*table)


def test_missing_values_become_the_median(table):
    X, y = table
    model = small().fit(X, y)
    gap, filled = X.copy(), X.copy()
    gap[:5, 3], filled[:5, 3] = np.nan, model.center_[3]
    np.testing.assert_allclose(model.predict_proba(gap), model.predict_proba(filled), rtol=1e-5)
    with pytest.raises(ValueError, match="infinity"):
        model.predict(np.where(np.isnan(gap), np.inf, gap))


def test_scale_and_outliers_of_a_column_do_not_matter(table):
    X, y = table
    wide = np.hstack([X, np.zeros((len(X), 1))]).astype(float)
    wide[3, -1] = 1e-9  # a column that is nearly constant has half its range as scale
    model = small(max_epochs=40).fit(1e6 * wide, y)
    assert model.score(1e6 * wide, y) > 0.8
    assert model.scale_[-1] == pytest.approx(0.5e-3)
    far = 1e6 * wide
    far[0] *= 1e6
    assert np.isfinite(model.predict_proba(far)).all()


class ProductFusion(nn.Module):
    """A user's strategy: the plain product of two projections."""

    def __init__(self, deep_dim, dmarker_dim, dim=256, dropout=0.1):
        super().__init__()
        self.out_dim = dim
        self.left, self.right = nn.Linear(deep_dim, dim), nn.Linear(dmarker_dim, dim)

    def forward(self, deep, dmarker):
        return self.left(deep) * self.right(dmarker)


def test_a_users_own_module_class_is_a_strategy(table):
    X, y = table
    assert small(ProductFusion, max_epochs=40).fit(X, y).score(X, y) > 0.8


class NoSize(ProductFusion):
    def __init__(self, deep_dim, dmarker_dim, dim=256, dropout=0.1):
        super().__init__(deep_dim, dmarker_dim, dim)
        del self.out_dim


class WrongSize(ProductFusion):
    def __init__(self, deep_dim, dmarker_dim, dim=256, dropout=0.1):
        super().__init__(deep_dim, dmarker_dim, dim)
        self.out_dim = 3


class WrongConstructor(ProductFusion):
    def __init__(self, deep_dim, dmarker_dim):
        super().__init__(deep_dim, dmarker_dim)


@pytest.mark.parametrize(
    ("fusion", "message"),
    [
        (NoSize, "NoSize has no attribute out_dim"),
        (WrongSize, r"WrongSize states out_dim=3, but its forward returns shape \(2, 16\)"),
        (WrongConstructor, "WrongConstructor cannot be created .*: too many positional arguments"),
    ],
)
def test_mistake_in_a_users_own_module_class_is_explained(fusion, message, table):
    with pytest.raises((TypeError, ValueError), match=message):
        small(fusion, hidden_dim=16).fit(*table)


def test_fusion_params_reach_the_strategy(table):
    X, y = table
    model = small(
        "attention", deep=[0, 1], dmarker=[2, 3], fusion_params={"context": "dmarker"}
    ).fit(X, y)
    changed = X.copy()
    changed[:, :2] += 10
    np.testing.assert_array_equal(model.predict_proba(X), model.predict_proba(changed))


def test_net_params_reach_skorch_and_keep_our_callbacks(table):
    X, y = table
    callbacks = [("schedule", LRScheduler("StepLR", step_size=1)), GradientNormClipping(0.1)]
    net_params = {"callbacks": callbacks, "optimizer": torch.optim.SGD}
    model = small(patience=1, net_params=net_params).fit(X, y, groups=np.arange(len(X)))
    assert isinstance(model.net_.optimizer_, torch.optim.SGD)
    assert "event_lr" in model.net_.history[-1]
    names = {type(callback).__name__ for _, callback in model.net_.callbacks_}
    assert {"LossGuard", "_Stopping", "GradientNormClipping"} <= names


def test_callbacks_that_are_no_list_are_refused(table):
    with pytest.raises(ValueError, match="callbacks in net_params must be a list"):
        small(net_params={"callbacks": GradientNormClipping(0.1)}).fit(*table)


def test_pickle_predicts_the_same_and_holds_no_training_data(table):
    X, y = table
    model = small(patience=10).fit(X, y)
    data = pickle.dumps(model)
    np.testing.assert_array_equal(pickle.loads(data).predict_proba(X), model.predict_proba(X))
    assert X[0].tobytes() not in data


def test_unknown_fusion_is_refused_in_fit(table):
    with pytest.raises(ValueError, match=r"Did you mean 'bilinear'\?"):
        small("bilinar").fit(*table)


@pytest.mark.parametrize(
    ("device", "message"),
    [("cuda", "device='cuda' needs a CUDA GPU"), ("abacus", "must be 'auto' or a torch device")],
)
def test_device_that_cannot_be_had_is_named(table, device, message):
    if device == "cuda" and torch.cuda.is_available():
        pytest.skip("a CUDA GPU is present")
    with pytest.raises(ValueError, match=message):
        small(device=device).fit(*table)


def test_default_dtype_of_torch_changes_nothing():
    X, y = make_classification(60, 10, random_state=0)
    model = FusionClassifier(deep=slice(0, 6), dmarker=slice(6, 10), max_epochs=2, random_state=0)
    expected = model.fit(X, y).predict_proba(X)
    torch.set_default_dtype(torch.float64)
    try:
        found = model.fit(X, y).predict_proba(X)
        assert torch.get_default_dtype() is torch.float64
    finally:
        torch.set_default_dtype(torch.float32)
    np.testing.assert_array_equal(found, expected)


class ConstantFusion(torch.nn.Module):
    """Ignore the input, as a collapsed network does."""

    def __init__(self, deep_dim, dmarker_dim, dim=256, dropout=0.1):
        super().__init__()
        self.out_dim = dim
        self.vector = torch.nn.Parameter(torch.arange(float(dim)))

    def forward(self, deep, dmarker):
        return self.vector.expand(len(deep), -1)


class OneUnitFusion(ConstantFusion):
    """Leave one unit alive, whose scale the LayerNorm of the head removes."""

    def forward(self, deep, dmarker):
        vector = torch.zeros(len(deep), self.out_dim)
        vector[:, 0] = self.vector.sum() + 10 + deep[:, 0].abs()
        return vector


@pytest.mark.parametrize(("fusion", "patience"), [(ConstantFusion, None), (OneUnitFusion, 10)])
def test_output_that_ignores_its_input_warns(fusion, patience):
    X, y = make_classification(60, 8, random_state=0)
    settings = {"max_epochs": 2, "lr": 0.02, "hidden_dim": 8, "random_state": 0}
    model = FusionClassifier(fusion, patience=patience, **settings)
    with pytest.warns(TrainingWarning, match=f"{fusion.__name__}.*same output.*0.02"):
        model.fit(X, y, groups=np.arange(60))


def test_equal_rows_do_not_warn():
    X, y = np.ones((20, 8)), np.arange(20) % 2
    FusionClassifier(max_epochs=1, random_state=0).fit(X, y)  # a warning is an error here
