"""Subjects of training, early stopping and test: `split_`, records and reports."""

import pickle
import warnings
from pathlib import Path

import numpy as np
import pytest
import sklearn
from sklearn.calibration import CalibratedClassifierCV
from sklearn.ensemble import VotingClassifier
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, GroupKFold, StratifiedGroupKFold
from sklearn.pipeline import FeatureUnion, make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils import Bunch

from smilefusion import (
    DeepFeatureExtractor,
    FusionClassifier,
    HadaSmileNetClassifier,
    load_model,
    save_model,
)
from smilefusion.benchmark import leakage_report, run_benchmark
from smilefusion.benchmark._leakage import has_leak
from smilefusion.benchmark.run._fitted_networks import describe_splits
from smilefusion.clips import check_clips
from smilefusion.exceptions import InvalidDataError, LeakageError, MissingGroupsWarning
from smilefusion.inspection import write_report

BRIEF = {"max_epochs": 1, "random_state": 0}
STOPPING = BRIEF | {"patience": 10, "validation_fraction": 0.25}
PEOPLE = np.array([f"person {i // 4:02d}" for i in range(80)])


def network(**changes):
    return FusionClassifier(**{"hidden_dim": 8, "n_members": 1, **STOPPING, **changes})


def clip_network(**changes):
    sizes = {"embedding_dim": 8, "n_frames": 4, "fps": 25}
    return DeepFeatureExtractor(**{**sizes, **STOPPING, **changes})


@pytest.fixture
def table():
    rng = np.random.default_rng(0)
    y = np.arange(80) % 2
    return rng.normal(size=(80, 6)) + y[:, None], y


def make_data(table, **changes):
    X, y = table
    return Bunch(**{"clips": X, "target": y, "groups": PEOPLE, "name": "toy"} | changes)


def check_split(split, groups, n_samples):
    """Check that a split divides all people and all clips into two parts."""
    train, stop = set(split["train"]), set(split["early_stopping"])
    assert train | stop == set(groups)
    assert not train & stop
    assert stop
    assert split["n_train"] + split["n_early_stopping"] == n_samples
    assert split["n_train"] == np.isin(groups, split["train"]).sum()


@pytest.mark.parametrize(
    "estimator",
    [
        clip_network(),
        clip_network(objective="reconstruction"),
        HadaSmileNetClassifier(embedding_dim=8, hidden_dim=8, n_frames=4, fps=25, **STOPPING),
    ],
    ids=["supervised", "reconstruction", "whole"],
)
def test_split_lists_the_training_subjects(estimator, smiles):
    estimator.fit(smiles.clips, smiles.target, groups=smiles.groups)
    check_split(estimator.split_, smiles.groups, len(smiles.clips))


def test_split_without_groups_has_counts_only(table):
    split = network().fit(*table).split_
    assert (split["train"], split["early_stopping"]) == (None, None)
    assert (split["n_train"], split["n_early_stopping"]) == (60, 20)


@pytest.mark.parametrize(
    "estimator",
    [
        clip_network(),
        HadaSmileNetClassifier(embedding_dim=8, hidden_dim=8, n_frames=4, fps=25, **STOPPING),
    ],
    ids=lambda estimator: type(estimator).__name__,
)
def test_early_stopping_without_groups_warns_once(estimator, smiles):
    with pytest.warns(MissingGroupsWarning, match="stops early on samples chosen") as caught:
        estimator.fit(check_clips(list(smiles.clips), fps=25), smiles.target)
    assert [Path(each.filename).name for each in caught] == ["test_leakage.py"]


def test_table_classifier_warns_without_groups_if_it_stops_early(table):
    with pytest.warns(MissingGroupsWarning, match="FusionClassifier stops early"):
        network().fit(*table)
    with warnings.catch_warnings(action="error"):
        network().fit(*table, groups=PEOPLE)
        network(patience=None).fit(*table)


def test_split_without_early_stopping_contains_all_subjects(table):
    split = network(patience=None).fit(*table, groups=PEOPLE).split_
    assert split["train"].tolist() == sorted(set(PEOPLE))
    assert (split["early_stopping"].tolist(), split["n_early_stopping"]) == ([], 0)


@pytest.mark.filterwarnings("ignore:objective='frozen' without weights")
def test_split_of_a_frozen_network_lists_the_subjects_of_its_scaling(smiles):
    model = clip_network(objective="frozen").fit(smiles.clips, groups=smiles.groups)
    assert set(model.split_["train"]) == set(smiles.groups)


def test_split_of_a_warm_start_includes_earlier_subjects(table):
    X, y = table
    model = network(warm_start=True).fit(X[:40], y[:40], groups=PEOPLE[:40])
    model.fit(X[40:], y[40:], groups=PEOPLE[40:])
    listed = np.r_[model.split_["train"], model.split_["early_stopping"]]
    assert sorted(listed) == sorted(set(PEOPLE))
    assert model.fit(X, y).split_["train"] is None


@pytest.mark.parametrize(
    "groups", [PEOPLE, np.arange(80) // 4, PEOPLE.astype(object), None], ids=str
)
def test_split_survives_pickle_and_model_files(table, groups, tmp_path):
    model = network().fit(*table, groups=groups)
    save_model(model, tmp_path / "model.smile")
    for copy in (pickle.loads(pickle.dumps(model)), load_model(tmp_path / "model.smile")):
        assert copy.split_.keys() == model.split_.keys()
        for key, value in model.split_.items():
            np.testing.assert_array_equal(copy.split_[key], value)
            assert type(copy.split_[key]) is type(value)


def composed():
    """Estimators that hold networks, and how many."""
    union = FeatureUnion([("one", StandardScaler()), ("other", StandardScaler())])
    return {
        "pipeline": (make_pipeline(union, network()), 1),
        "search": (GridSearchCV(network(), {"lr": [0.1, 0.2]}, cv=GroupKFold(2)), 1),
        "calibrated": (CalibratedClassifierCV(network(), cv=GroupKFold(2)), 2),
        "calibrated search": (
            CalibratedClassifierCV(
                GridSearchCV(make_pipeline(network()), {}, cv=GroupKFold(2)), cv=GroupKFold(2)
            ),
            2,
        ),
    }


@pytest.mark.parametrize("name", composed())
def test_networks_are_found_inside(name, table):
    estimator, n_networks = composed()[name]
    with sklearn.config_context(enable_metadata_routing=True):
        networks = describe_splits(estimator.fit(*table, groups=PEOPLE))
    assert len(networks) == n_networks
    assert all(each["network"].endswith("FusionClassifier") for each in networks)
    assert all(each["early_stopping"] for each in networks)
    seen = {name for each in networks for name in each["train"] + each["early_stopping"]}
    assert seen == set(PEOPLE)


def test_template_of_a_search_is_not_a_network(table):
    search = GridSearchCV(network().fit(*table), {"max_epochs": [1]}, cv=2, refit=False)
    assert describe_splits(search.fit(*table)) == []


def two_networks(first, second, table):
    """Fit a network whose embedding feeds another, each to its own split of the people."""
    groups = {"groups": PEOPLE}
    clips = [np.random.default_rng(i).normal(size=(5, 68, 2)) for i in range(80)]
    model = make_pipeline(clip_network(random_state=first), network(random_state=second))
    with sklearn.config_context(enable_metadata_routing=True):
        return model.fit(clips, table[1], **groups)


def test_subject_that_trains_one_network_and_stops_another_is_a_leak(table):
    assert not has_leak(leakage_report(two_networks(0, 0, table))).any()
    model = two_networks(0, 1, table)
    with pytest.raises(LeakageError, match="in training and early stopping"):
        leakage_report(model)
    train, stop = (
        set(step.split_[part])
        for (_, step), part in zip(model.steps, ("train", "early_stopping"), strict=True)
    )
    report = leakage_report(model, on_leak="report")
    assert train & stop <= set(report["shared_subjects"][1].split(", "))
    assert (report["n_shared_train_stop"] > 0).all()


def test_folds_are_reported_and_hold_whole_subjects(table):
    report = leakage_report(network(n_members=3).fit(*table, groups=PEOPLE), ["someone else"])
    assert report["early_stopping"].tolist() == ["folds"]
    assert report["n_train_subjects"].tolist() == [20]
    assert (report.filter(like="n_shared") == 0).all(axis=None)
    blind = leakage_report(network(n_members=3).fit(*table))
    assert blind["early_stopping"].tolist() == ["rows"]


@pytest.mark.filterwarnings("ignore:objective='frozen' without weights")
@pytest.mark.parametrize("objective", ["supervised", "frozen"])
def test_folds_share_subjects_with_a_network_trained_before(objective, table):
    clips = [np.random.default_rng(i).normal(size=(5, 68, 2)) for i in range(80)]
    model = make_pipeline(clip_network(objective=objective), network(n_members=2))
    with sklearn.config_context(enable_metadata_routing=True):
        model.fit(clips, table[1], groups=PEOPLE)
    leaks = has_leak(leakage_report(model, on_leak="report"))
    assert leaks.any() == (objective == "supervised")


def test_members_of_an_ensemble_are_not_a_leak(table):
    members = CalibratedClassifierCV(network(), cv=GroupKFold(4))
    with sklearn.config_context(enable_metadata_routing=True):
        model = make_pipeline(StandardScaler(), members).fit(*table, groups=PEOPLE)
    assert len(leakage_report(model)) == 4


def test_leak_between_networks_is_reported_of_a_cell(table, tmp_path):
    clips = [np.random.default_rng(i).normal(size=(5, 68, 2)) for i in range(80)]
    system = make_pipeline(clip_network(), network(random_state=1))
    run_benchmark({"two": system}, make_data(table, clips=clips), cv=2, results=tmp_path)
    with pytest.raises(LeakageError, match="'two', repeat 0, fold 0.*training and early stopping"):
        leakage_report(tmp_path)


def test_network_that_is_stored_twice_is_listed_once(table):
    model = VotingClassifier([("one", network())], voting="soft").fit(*table)
    assert model.estimators_[0] is model.named_estimators_["one"]
    assert len(describe_splits(model)) == 1


def test_frozen_network_is_found(table):
    model = make_pipeline(FrozenEstimator(network().fit(*table, groups=PEOPLE)))
    assert [each["network"] for each in describe_splits(model)] == [
        "frozenestimator.estimator: FusionClassifier"
    ]


def test_report_of_a_folder_has_every_cell(table, tmp_path):
    systems = {"network": network(), "logistic": LogisticRegression()}
    systems["calibrated"] = CalibratedClassifierCV(network(), cv=StratifiedGroupKFold(2))
    run_benchmark(systems, make_data(table), cv=4, results=tmp_path)
    report = leakage_report(tmp_path)
    assert len(report) == 12
    assert (report[["n_train_subjects", "n_test_subjects"]] == [15, 5]).all(axis=None)
    kinds = report.groupby("estimator")["early_stopping"].agg(set).to_dict()
    assert kinds == {"network": {"subjects"}, "logistic": {"unknown"}, "calibrated": {"subjects"}}
    own = report[report["estimator"] != "logistic"]
    assert (own["n_early_stopping_subjects"] >= 3).all()
    assert (own.filter(like="n_shared") == 0).all(axis=None)
    assert report.loc[report["estimator"] == "logistic", "n_shared_stop_test"].isna().all()
    assert not report["epoch_chosen_by_test"].any()


def leaky_folder(table, folder, **settings):
    """Run a network that was fitted to everybody before, people of the test included."""
    leaky = make_pipeline(FrozenEstimator(network().fit(*table, groups=PEOPLE)))
    settings = {"cv": 4} | settings
    run_benchmark({"leaky": leaky}, make_data(table), results=folder, **settings)
    return folder


def test_shared_subject_is_an_error_in_the_honest_protocol(table, tmp_path):
    folder = leaky_folder(table, tmp_path)
    with pytest.raises(LeakageError, match=r"'leaky', repeat 0, fold 0.*in training and test"):
        leakage_report(folder)
    report = leakage_report(folder, on_leak="report")
    learned = report[["n_shared_train_test", "n_shared_stop_test"]].sum(axis=1)
    assert learned.tolist() == [5] * 4
    assert report["shared_subjects"][0].count("person") == 5


def test_shared_subject_is_reported_in_the_published_protocol(table, tmp_path):
    folds = StratifiedGroupKFold(4)
    report = leakage_report(leaky_folder(table, tmp_path, cv=folds, protocol="published"))
    assert (report["n_shared_train_test"] > 0).all()


def test_published_protocol_does_not_train_a_frozen_network(table, tmp_path):
    model = network().fit(*table, groups=PEOPLE)
    expected = model.predict_proba(table[0])
    data, folds = make_data(table), StratifiedGroupKFold(4)
    run_benchmark({"frozen": FrozenEstimator(model)}, data, cv=folds, protocol="published")
    np.testing.assert_array_equal(model.predict_proba(table[0]), expected)


def test_choice_by_the_test_clips_is_reported(table, tmp_path):
    systems = {"network": network(patience=None)}
    folds = StratifiedGroupKFold(4)
    run_benchmark(systems, make_data(table), cv=folds, protocol="published", results=tmp_path)
    report = leakage_report(tmp_path)
    assert report["epoch_chosen_by_test"].all()
    assert set(report["early_stopping"]) == {"none"}


def test_early_stopping_without_groups_is_reported(table, tmp_path):
    report = leakage_report(network().fit(*table), PEOPLE)
    assert report["early_stopping"].tolist() == ["rows"]
    assert report.filter(like="n_shared").isna().all(axis=None)
    with sklearn.config_context(enable_metadata_routing=True):
        blind = make_pipeline(network().set_fit_request(groups=False))
    run_benchmark({"blind": blind}, make_data(table), cv=4, results=tmp_path)
    report = leakage_report(tmp_path)
    assert set(report["early_stopping"]) == {"rows"}
    assert report["n_shared_train_stop"].isna().all()
    assert (report["n_shared_train_test"] == 0).all()


def test_folds_that_share_a_subject_are_refused_before_a_fit(table):
    data = make_data(table)
    folds = [(np.arange(41), np.arange(41, 80))]
    with pytest.raises(LeakageError, match="has subject person 10 in both training and test"):
        run_benchmark({"network": network()}, data, cv=folds)


def test_failed_cells_are_in_the_report(table, tmp_path):
    systems = {"broken": network(hidden_dim=8, fusion_params={"no": 1})}
    with pytest.warns(UserWarning, match="failed"):
        run_benchmark(systems, make_data(table), cv=4, results=tmp_path, on_error="warn")
    report = leakage_report(tmp_path)
    assert report["n_test_subjects"].tolist() == [5] * 4
    assert set(report["early_stopping"]) == {"unknown"}


def test_html_report_counts_shared_subjects(table, tmp_path):
    systems = {"network": network(), "logistic": LogisticRegression()}
    run_benchmark(systems, make_data(table), cv=4, results=tmp_path)
    page = " ".join(write_report(tmp_path, n_resamples=9).read_text().split())
    assert "Subjects on two sides of a split: in 0 of 8 cells with records." in page
    assert "by subject (4 cells)" in page
    assert "not recorded (4 cells)" in page


def test_html_report_marks_leaks(table, tmp_path):
    page = " ".join(write_report(leaky_folder(table, tmp_path), n_resamples=9).read_text().split())
    assert (
        '<p class="stamp">Subjects on two sides of a split: in 4 of 4 cells with records.' in page
    )
    assert "person 00" in page


def test_leak_of_an_estimator_is_an_error(table):
    X, y = table
    model = network().fit(X[:40], y[:40], groups=PEOPLE[:40])
    report = leakage_report(model, PEOPLE[40:])
    assert (report.filter(like="n_shared") == 0).all(axis=None)
    with pytest.raises(LeakageError, match="FusionClassifier has subjects in two parts, 1 in"):
        leakage_report(model, PEOPLE[36:])
    assert leakage_report(model)["n_test_subjects"].isna().all()


def test_subjects_are_compared_as_text(table):
    X, y = table
    model = network().fit(X[:40], y[:40], groups=np.arange(40) // 4)
    with pytest.raises(LeakageError):
        leakage_report(model, np.array(["9", "10"], dtype=object))


def test_report_refuses_invalid_arguments(table, tmp_path):
    with pytest.raises(ValueError, match="contains no network that records"):
        leakage_report(LogisticRegression().fit(*table), PEOPLE)
    with pytest.raises(ValueError, match="on_leak must be"):
        leakage_report(tmp_path, on_leak="ignore")
    with pytest.raises(ValueError, match="Omit groups"):
        leakage_report(tmp_path, PEOPLE)
    with pytest.raises(InvalidDataError, match="has no finished cell"):
        leakage_report(tmp_path)
