import pickle

import numpy as np
import pytest
import sklearn
import torch
from sklearn.base import clone
from sklearn.exceptions import FitFailedWarning
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, StratifiedGroupKFold, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from skorch.callbacks import Callback
from torch import nn

from smilefusion import (
    DMarkerTransformer,
    FusionClassifier,
    FusionSearchCV,
    list_fusions,
)
from smilefusion.datasets import make_smiles
from smilefusion.estimators._stacked_training import form_of, train_together
from smilefusion.estimators._training import train_network
from smilefusion.exceptions import DivergedTrainingError, SlowSearchWarning
from smilefusion.nn import FUSIONS


@pytest.fixture(scope="module")
def table():
    random = np.random.default_rng(0)
    X = random.normal(size=(150, 14)).astype(np.float32)
    y = (X[:, :3].sum(axis=1) + X[:, 10:].sum(axis=1) + random.normal(size=150) > 0).astype(int)
    return X, y, np.arange(150) // 3


def small(fusion="hadamard", **params):
    settings = {
        "deep": slice(0, 10),
        "dmarker": slice(10, 14),
        "hidden_dim": 8,
        "max_epochs": 6,
        "random_state": 0,
        "precision": "float64",
    }
    return FusionClassifier(fusion, **settings | params)


def train_both_ways(models, X, y, groups=None):
    """Return the nets of models trained together, and those of each trained alone."""
    trainings = [clone(model)._prepare(X, y, groups) for model in models]
    assert len({form_of(training) for training in trainings}) == 1
    alone = [train_network(clone(model)._prepare(X, y, groups)) for model in models]
    return train_together(trainings), alone


def largest_difference(nets, others):
    return max(
        (weight - other.module_.state_dict()[name]).abs().max().item()
        for net, other in zip(nets, others, strict=True)
        for name, weight in net.module_.state_dict().items()
    )


@pytest.mark.parametrize("fusion", list_fusions())
def test_networks_trained_together_are_those_trained_alone(table, fusion):
    X, y, _ = table
    models = [small(fusion, random_state=seed) for seed in range(3)]
    assert largest_difference(*train_both_ways(models, X, y)) < 1e-10


@pytest.mark.parametrize(
    "params",
    [
        [{"lr": 1e-3}, {"lr": 3e-3}, {"lr": 1e-3, "weight_decay": 0.3}],
        [{"early_stopping": True, "patience": 2, "max_epochs": 30}, {"max_epochs": 9}],
        [{"early_stopping": True, "patience": 1, "lr": 0.1, "max_epochs": 30}] * 2,
        [{"warmup_epochs": 2, "lr_schedule": "cosine"}, {"warmup_epochs": 3}, {}],
        [{"gradient_clip": 0.01}, {"gradient_clip": None}],
        [{"class_weight": "balanced"}, {"class_weight": {0: 1, 1: 4}}],
        [{"early_stopping": True, "validation_fraction": f} for f in (0.2, 0.5)],
    ],
    ids=lambda params: "-".join(sorted(set().union(*params))),
)
def test_members_of_a_stack_keep_their_own_parameters(table, params):
    X, y, groups = table
    models = [small(random_state=seed, **each) for seed, each in enumerate(params)]
    together, alone = train_both_ways(models, X, y, groups)
    assert largest_difference(together, alone) < 1e-9
    for net, other in zip(together, alone, strict=True):
        names = {"epoch", "train_loss", "valid_loss"} & set(other.history[-1])
        for name in names:
            np.testing.assert_allclose(net.history[:, name], other.history[:, name], rtol=1e-9)


def test_members_with_fewer_batches_take_fewer_steps(table):
    X, y, _ = table
    models = [small(batch_size=32, random_state=seed) for seed in range(2)]
    parts = [slice(0, 150), slice(0, 90)]
    together = train_together(
        [clone(m)._prepare(X[part], y[part]) for m, part in zip(models, parts, strict=True)]
    )
    alone = [
        train_network(clone(m)._prepare(X[part], y[part]))
        for m, part in zip(models, parts, strict=True)
    ]
    assert largest_difference(together, alone) < 1e-10


def test_several_classes_are_stacked(table):
    X, y, groups = table
    models = [small("film", random_state=seed) for seed in range(2)]
    assert largest_difference(*train_both_ways(models, X, y + groups % 2)) < 1e-10


class OwnFusion(nn.Module):
    """Looks at a batch as a whole, which samples without weight would change."""

    def __init__(self, deep_dim, dmarker_dim, dim, dropout):
        super().__init__()
        self.out_dim = dim
        self.map = nn.Sequential(
            nn.Linear(deep_dim + dmarker_dim, dim), nn.BatchNorm1d(dim), nn.Dropout(dropout)
        )

    def forward(self, deep, dmarker):
        return self.map(torch.cat([deep, dmarker], dim=1))


def test_classes_of_the_users_own_are_trained_alone(table):
    X, y, _ = table
    grid = {"fusion": ["concat", OwnFusion]}
    options = {"cv": 2, "scoring": "neg_log_loss", "refit": False}
    with pytest.warns(SlowSearchWarning, match="1 of 2 candidates .* fusion"):
        ours = FusionSearchCV(small(), grid, **options).fit(X, y)
    slow = GridSearchCV(small(), grid, **options).fit(X, y)
    np.testing.assert_allclose(
        ours.cv_results_["mean_test_score"], slow.cv_results_["mean_test_score"], atol=1e-10
    )


def test_a_diverging_member_leaves_the_others_alone(table):
    X, y, _ = table
    models = [small(lr=1e-3), small(lr=1e30, max_epochs=20), small(lr=2e-3)]
    first, second, third = train_together([clone(m)._prepare(X, y) for m in models])
    assert isinstance(second, DivergedTrainingError)
    assert "epoch" in str(second)
    alone = [train_network(clone(models[k])._prepare(X, y)) for k in (0, 2)]
    assert largest_difference([first, third], alone) < 1e-10


def test_finished_nets_hold_no_samples_and_can_be_pickled(table):
    X, y, _ = table
    nets = train_together([small(random_state=seed)._prepare(X, y) for seed in range(2)])
    restored = pickle.loads(pickle.dumps(nets[0]))
    assert restored.train_split is None
    assert len(pickle.dumps(nets[0])) < X.nbytes * 8


@pytest.fixture(scope="module")
def searches(table):
    X, y, groups = table
    grid = [{"fusion": ["concat", "film"], "lr": [1e-3, 3e-3]}, {"fusion": ["additive"]}]
    options = {
        "cv": StratifiedGroupKFold(3),
        "scoring": ["roc_auc", "neg_log_loss"],
        "refit": "neg_log_loss",
        "return_train_score": True,
    }
    model = small(early_stopping=True, max_epochs=12, patience=3)
    with sklearn.config_context(enable_metadata_routing=True):
        slow = GridSearchCV(model, grid, **options).fit(X, y, groups=groups)
    return FusionSearchCV(model, grid, **options).fit(X, y, groups=groups), slow


def test_results_are_those_of_grid_search(searches):
    ours, slow = searches
    assert set(ours.cv_results_) == set(slow.cv_results_)
    for name, values in slow.cv_results_.items():
        if name.startswith(("split", "mean_t", "std_t", "rank")):
            np.testing.assert_allclose(ours.cv_results_[name], values, atol=1e-9)
    assert ours.cv_results_["params"] == slow.cv_results_["params"]
    assert ours.best_params_ == slow.best_params_
    assert (ours.cv_results_["mean_fit_time"] > 0).all()


def test_best_estimator_is_fitted_as_alone(searches, table):
    ours, slow = searches
    X = table[0]
    np.testing.assert_array_equal(ours.predict_proba(X), slow.predict_proba(X))
    assert ours.multimetric_
    assert ours.n_splits_ == 3
    assert set(ours.scorer_) == {"roc_auc", "neg_log_loss"}


def test_result_does_not_depend_on_n_jobs(table, searches):
    X, y, groups = table
    ours = searches[0]
    again = clone(ours).set_params(n_jobs=2).fit(X, y, groups=groups)
    for name, values in ours.cv_results_.items():
        if name.startswith(("split", "mean_test", "mean_train")):
            np.testing.assert_array_equal(again.cv_results_[name], values)


@pytest.mark.parametrize("stack_size", [1, 2, 50])
def test_result_hardly_depends_on_the_size_of_stacks(table, stack_size):
    X, y, _ = table
    grid = {"lr": [1e-3, 2e-3, 4e-3]}
    options = {"cv": 2, "scoring": "neg_log_loss", "refit": False}
    slow = GridSearchCV(small(), grid, **options).fit(X, y)
    ours = FusionSearchCV(small(), grid, stack_size=stack_size, **options).fit(X, y)
    difference = ours.cv_results_["mean_test_score"] - slow.cv_results_["mean_test_score"]
    assert np.abs(difference).max() < 1e-10
    assert not hasattr(ours, "best_estimator_")


class CountingScaler(StandardScaler):
    """Writes a byte to a file each time it is fitted."""

    def __init__(self, path=None, with_mean=True):
        super().__init__(with_mean=with_mean)
        self.path = path

    def fit(self, X, y=None):
        with open(self.path, "ab") as stream:
            stream.write(b".")
        return super().fit(X, y)


def test_steps_are_fitted_once_a_fold_for_candidates_that_share_them(table, tmp_path):
    X, y, _ = table
    path = tmp_path / "fits"
    model = make_pipeline(CountingScaler(str(path)), small())
    grid = {
        "fusionclassifier__fusion": ["concat", "film", "hadamard"],
        "countingscaler__with_mean": [True, False],
    }
    search = FusionSearchCV(model, grid, cv=4, refit=False).fit(X, y)
    assert path.stat().st_size == 4 * 2
    path.unlink()
    slow = GridSearchCV(model, grid, cv=4, refit=False).fit(X, y)
    np.testing.assert_allclose(
        search.cv_results_["mean_test_score"], slow.cv_results_["mean_test_score"], atol=1e-9
    )


def test_clips_are_searched_through_a_pipeline():
    smiles = make_smiles(24, n_subjects=12, fps=25, random_state=0)
    model = make_pipeline(
        DMarkerTransformer(fps=25), StandardScaler(), small(deep=None, dmarker=None)
    )
    search = FusionSearchCV(
        model, {"fusionclassifier__fusion": ["concat"]}, cv=StratifiedGroupKFold(2)
    )
    search.fit(smiles.clips, smiles.target, groups=smiles.groups)
    assert search.predict(smiles.clips[:3]).shape == (3,)


def test_groups_reach_the_early_stopping_without_metadata_routing(table):
    X, y, groups = table
    search = FusionSearchCV(
        small(early_stopping=True), {"lr": [1e-3]}, cv=StratifiedGroupKFold(3)
    ).fit(X, y, groups=groups)
    split = search.best_estimator_.split_
    assert not set(split["train"]) & set(split["early_stopping"])
    assert len(split["train"]) + len(split["early_stopping"]) == 50


def test_search_can_be_nested(table):
    X, y, groups = table
    search = FusionSearchCV(small(), {"lr": [1e-3, 1e-2]}, cv=StratifiedGroupKFold(2))
    with sklearn.config_context(enable_metadata_routing=True):
        scores = cross_val_score(
            search, X, y, cv=StratifiedGroupKFold(3), params={"groups": groups}
        )
    assert len(scores) == 3


def test_failed_candidates_are_scored_as_asked(table):
    X, y, _ = table
    grid = {"lr": [1e-3, 1e30], "max_epochs": [20]}
    with pytest.warns((FitFailedWarning, UserWarning)):
        search = FusionSearchCV(small(), grid, cv=2, error_score=np.nan).fit(X, y)
    scores = search.cv_results_["mean_test_score"]
    assert np.isfinite(scores[0])
    assert np.isnan(scores[1])
    assert search.best_index_ == 0
    with pytest.raises(DivergedTrainingError):
        FusionSearchCV(small(), grid, cv=2).fit(X, y)


def test_unknown_strategy_fails_its_candidate_alone(table):
    X, y, _ = table
    with pytest.warns((FitFailedWarning, UserWarning), match=r"non-finite|failed"):
        search = FusionSearchCV(
            small(), {"fusion": ["concat", "no such"]}, cv=2, error_score=np.nan
        ).fit(X, y)
    assert search.best_params_ == {"fusion": "concat"}


def test_candidates_with_nets_of_their_own_are_fitted_and_named(table):
    X, y, _ = table
    seen = []

    class Seen(Callback):
        def on_epoch_end(self, net, **kwargs):
            seen.append(len(net.history))

    with pytest.warns(SlowSearchWarning, match="callbacks"):
        FusionSearchCV(small(callbacks=[Seen()]), {"lr": [1e-3, 2e-3]}, cv=2, refit=False).fit(
            X, y
        )
    assert len(seen) == 2 * 2 * 6


def test_other_classifiers_are_refused(table):
    X, y, _ = table
    with pytest.raises(ValueError, match="LogisticRegression"):
        FusionSearchCV(LogisticRegression(), {"C": [1]}).fit(X, y)


def test_stack_size_is_checked(table):
    X, y, _ = table
    with pytest.raises(ValueError, match="stack_size"):
        FusionSearchCV(small(), {"lr": [1e-3]}, stack_size=0).fit(X, y)


def test_registry_strategies_have_no_buffers_which_stacks_cannot_hold():
    for fusion in FUSIONS.values():
        assert not list(fusion(6, 5, 8).buffers())


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU")
def test_graphs_on_a_gpu_train_what_the_cpu_trains(table):
    X, y, _ = table
    gpu, cpu = (
        small(max_epochs=2, device=device).fit(X, y).predict_proba(X) for device in ("cuda", "cpu")
    )
    np.testing.assert_allclose(gpu, cpu, atol=1e-9)
