"""Protocols: training and test clips, and the reported epoch."""

import numpy as np
import pytest
from coin import Coin
from scipy.stats import binom
from sklearn.datasets import make_classification
from sklearn.dummy import DummyClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import PredefinedSplit
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils import Bunch

from smilefusion import FusionClassifier
from smilefusion.benchmark import (
    CrossDatasetProtocol,
    DurationMatchedProtocol,
    list_protocols,
    load_results,
    run_benchmark,
)
from smilefusion.clips import ClipSequence, check_clips, pool_clips
from smilefusion.exceptions import InvalidDataError

TIMES = ["fit_seconds", "predict_seconds"]


class Seeded(DummyClassifier):
    """Count as many parameters as its seed."""

    def fit(self, X, y):
        self.coef_ = np.zeros(self.random_state)
        return super().fit(X, y)


def make_data(n_clips=60, seed=0, **changes):
    rng = np.random.default_rng(seed)
    target = np.arange(n_clips) % 2
    X = np.column_stack([target, rng.normal(size=(n_clips, 2)) + target[:, None]])
    data = {"clips": X, "target": target, "groups": np.arange(n_clips) // 3, "name": "toy"}
    return Bunch(**(data | changes))


def with_folds(data, n_folds=6):
    return Bunch(**data, folds=PredefinedSplit(np.arange(60) // 3 * n_folds // 20))


def fold_accuracy(predictions):
    right = predictions["prediction"] == predictions["target"]
    return right.groupby(predictions["fold"]).mean()


def expected_maximum(n_clips, accuracy, n_epochs):
    hits = np.arange(n_clips + 1)
    below = binom.cdf(hits, n_clips, accuracy) ** n_epochs
    return np.diff(below, prepend=0) @ hits / n_clips


def test_predictions_name_their_protocol():
    data = with_folds(make_data(durations=np.ones(60)))
    for name in set(list_protocols()) - {"cross-dataset"}:
        predictions = run_benchmark({"m": DummyClassifier()}, data, protocol=name)
        assert predictions["protocol"].unique().tolist() == [name]


def test_published_reports_the_best_epoch_of_each_fold():
    data = with_folds(make_data())
    coin = Coin(n_epochs=40)
    predictions = run_benchmark({"coin": coin}, data, protocol="published")
    for fold, (train, test) in enumerate(data.folds.split()):
        coin.fit(data.clips[train], data.target[train])
        stages = np.stack(list(coin.staged_predict_proba(data.clips[test])))
        accuracy = (stages.argmax(axis=2) == data.target[test]).mean(axis=1)
        rows = predictions[predictions["fold"] == fold]
        assert rows["epoch"].unique().tolist() == [accuracy.argmax() + 1]
        np.testing.assert_allclose(rows["probability_1"], stages[accuracy.argmax()][:, 1])


@pytest.mark.parametrize("accuracy", [0.5, 0.75])
def test_only_the_published_protocol_flatters_a_coin(accuracy):
    data = with_folds(make_data())
    coins = {str(seed): Coin(accuracy, n_epochs=30, random_state=seed) for seed in range(8)}
    found = {}
    for protocol in ("honest", "published"):
        predictions = run_benchmark(coins, data, protocol=protocol)
        found[protocol] = (predictions["prediction"] == predictions["target"]).mean()
        assert predictions["epoch"].isna().all() == (protocol == "honest")
    expected = np.mean([expected_maximum(n, accuracy, 30) for n in (12, 9, 9, 12, 9, 9)])
    assert found["published"] == pytest.approx(expected, abs=0.04)
    assert found["honest"] == pytest.approx(accuracy, abs=4 * np.sqrt(0.25 / 480))


def test_published_equals_honest_without_epochs_on_the_same_folds():
    data, models = with_folds(make_data()), {"plain": LogisticRegression()}
    one = run_benchmark(models, data, protocol="published")
    other = run_benchmark(models, data, cv=data.folds)
    columns = ["fold", "clip", "prediction", "probability_1"]
    assert one[columns].equals(other[columns])


def test_published_supports_the_last_step_of_a_pipeline():
    X, y = make_classification(60, 10, random_state=0)
    network = FusionClassifier(
        deep=slice(0, 6), dmarker=slice(6, 10), hidden_dim=8, max_epochs=12, random_state=0
    )
    data = with_folds(Bunch(clips=X, target=y, groups=None, name="toy"), 2)
    model = make_pipeline(StandardScaler(), network)
    predictions = run_benchmark({"network": model}, data, protocol="published")
    train, test = next(data.folds.split())
    scaler = StandardScaler().fit(X[train])
    stages = network.fit_predict_epochs(
        scaler.transform(X[train]), y[train], scaler.transform(X[test])
    )
    accuracy = (stages.argmax(axis=2) == y[test]).mean(axis=1)
    assert fold_accuracy(predictions)[0] == accuracy.max()
    assert predictions["n_parameters"].notna().all()


def test_published_needs_no_subjects():
    data = with_folds(make_data(groups=None))
    predictions = run_benchmark({"m": DummyClassifier()}, data, protocol="published")
    assert predictions["group"].tolist() == list(range(60))


def test_published_and_honest_share_a_folder(tmp_path):
    data, models = with_folds(make_data()), {"coin": Coin(n_epochs=5)}
    runs = [
        run_benchmark(models, data, protocol=name, results=tmp_path)
        for name in ("honest", "published")
    ]
    stored = load_results(tmp_path)
    for name, run in zip(("honest", "published"), runs, strict=True):
        part = stored[stored["protocol"] == name].reset_index(drop=True)
        assert part.drop(columns=TIMES).equals(run.drop(columns=TIMES))


def test_cross_dataset_trains_on_all_others():
    data = {name: make_data(n, seed) for seed, (name, n) in enumerate({"a": 60, "b": 30}.items())}
    model = LogisticRegression()
    predictions = run_benchmark({"m": model}, data, protocol="cross-dataset")
    model.fit(data["a"].clips, data["a"].target)
    of_b = predictions[predictions["dataset"] == "b"]
    np.testing.assert_allclose(of_b["probability_1"], model.predict_proba(data["b"].clips)[:, 1])
    assert predictions.groupby("dataset").size().to_dict() == {"a": 60, "b": 30}
    assert (predictions["n_train"] + predictions.groupby("dataset").transform("size") == 90).all()


def test_cross_dataset_keeps_subjects_of_sets_apart():
    data = {name: make_data() for name in "ab"}
    predictions = run_benchmark({"m": DummyClassifier()}, data, protocol="cross-dataset")
    assert predictions["group"].iloc[0] == "a: 0"
    assert predictions["group"].nunique() == 40


def test_cross_dataset_pools_clips_without_reading_them(tmp_path, smiles):
    np.save(tmp_path / "clip.npy", smiles.clips[0])
    files = check_clips([tmp_path / "clip.npy"])
    pooled = pool_clips([files, smiles.clips[1:3]])
    assert isinstance(pooled, ClipSequence)
    part = pooled[np.array([2, 0])]
    np.testing.assert_array_equal(part[0], smiles.clips[2])
    np.testing.assert_array_equal(part[1], smiles.clips[0])
    assert part.names[1] == "Clip 0 (clip.npy)"
    (tmp_path / "clip.npy").unlink()
    assert pooled[1:].n_frames.tolist() == [len(clip) for clip in smiles.clips[1:3]]


def test_duration_matched_classes_have_the_same_durations():
    rng = np.random.default_rng(0)
    target = rng.integers(0, 2, 400)
    durations = np.exp(rng.normal(1 + 0.4 * target, 0.35))
    data = make_data(400, target=target, durations=durations, groups=np.arange(400))
    protocol = DurationMatchedProtocol(caliper=0.05)
    kept = run_benchmark({"m": DummyClassifier()}, data, protocol=protocol, cv=2)["clip"]
    assert np.bincount(target[kept]).tolist() == [len(kept) // 2] * 2
    assert roc_auc_score(target, durations) > 0.75
    assert roc_auc_score(target[kept], durations[kept]) == pytest.approx(0.5, abs=0.03)


def test_duration_matched_run_counts_frames_of_clips(smiles):
    data = Bunch(clips=smiles.clips, target=smiles.target, groups=smiles.groups, fps=25.0)
    durations = np.array([len(clip) for clip in smiles.clips]) / 25.0
    wide = DurationMatchedProtocol(caliper=0.5)
    counted, given = (
        run_benchmark({"m": DummyClassifier()}, each, protocol=wide, cv=2)["clip"]
        for each in (data, Bunch(**data, durations=durations))
    )
    assert counted.tolist() == given.tolist() != []


def test_permuted_labels_differ_between_repeats_and_are_reproducible():
    models = {"m": DummyClassifier()}
    runs = [
        run_benchmark(models, make_data(), protocol="permuted-labels", n_repeats=2) for _ in "ab"
    ]
    first, second = (runs[0].loc[runs[0]["repeat"] == k, "target"].tolist() for k in (0, 1))
    assert first != second
    assert runs[0]["target"].equals(runs[1]["target"])


def test_repeats_have_different_seeds():
    data, models = with_folds(make_data()), {"m": Seeded(random_state=7)}
    for protocol in ("honest", "published"):
        predictions = run_benchmark(models, data, protocol=protocol, n_repeats=3)
        seeds = predictions.groupby("repeat")["n_parameters"].unique().map(list)
        assert seeds.tolist() == [[7], [8], [9]]


@pytest.mark.parametrize(
    ("data", "settings", "match"),
    [
        (make_data(), {"protocol": "published"}, "'toy' has no folds"),
        (make_data(), {"protocol": "cross-dataset"}, "two or more names"),
        (make_data(), {"protocol": "duration-matched"}, "durations of data set 'toy' are unknown"),
        (
            make_data(durations=np.zeros(60)),
            {"protocol": "duration-matched"},
            "one positive number per clip, 60",
        ),
        (
            make_data(durations=1.0 + np.arange(60)),
            {"protocol": DurationMatchedProtocol(caliper=0.001)},
            "Raise the caliper",
        ),
        (
            {"a": make_data(fps=25.0), "b": make_data(fps=50.0)},
            {"protocol": "cross-dataset"},
            r"a: 25 fps; b: 50 fps.*datasets\.resample",
        ),
        (
            {"a": make_data(), "b": make_data()},
            {"protocol": CrossDatasetProtocol(test=["c"])},
            r"test data sets \['c'\]",
        ),
    ],
)
def test_protocol_refuses_data(data, settings, match):
    with pytest.raises(InvalidDataError, match=match):
        run_benchmark({"m": DummyClassifier()}, data, **settings)


@pytest.mark.parametrize(
    ("settings", "match"),
    [
        ({"protocol": "fair"}, "protocol must be one of .*; got 'fair'"),
        ({"protocol": "cross-dataset", "cv": 5}, "Omit cv"),
    ],
)
def test_protocol_refuses_parameters(settings, match):
    data = {"a": make_data(), "b": make_data()}
    with pytest.raises(ValueError, match=match):
        run_benchmark({"m": DummyClassifier()}, data, **settings)
