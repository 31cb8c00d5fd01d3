"""GroupCalibratedClassifier: groups stay apart in every fit, and probabilities become true."""

import pickle

import joblib
import numpy as np
import pandas as pd
import pytest
import sklearn
from scipy.special import expit, logit, softmax
from sklearn.base import BaseEstimator, ClassifierMixin, clone
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss
from sklearn.model_selection import (
    GridSearchCV,
    GroupKFold,
    GroupShuffleSplit,
    KFold,
    PredefinedSplit,
    cross_validate,
)
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC
from sklearn.utils import get_tags
from sklearn.utils.estimator_checks import parametrize_with_checks

from smilefusion import (
    DMarkerTransformer,
    FusionClassifier,
    GroupCalibratedClassifier,
    HadaSmileNetClassifier,
    load_model,
    save_model,
)
from smilefusion.benchmark import leakage_report
from smilefusion.clips import check_clips
from smilefusion.datasets import make_smiles
from smilefusion.estimators._calibration import class_scores
from smilefusion.exceptions import InvalidDataError

METHODS = ("temperature", "sigmoid", "isotonic")
FITS = []  # what spies were fitted to, and what they were asked about


class Spy(ClassifierMixin, BaseEstimator):
    """Record the rows, groups and weights of fits, and the rows of predictions.

    The first column of its table is the number of the row.
    """

    __metadata_request__fit = {"groups": True}

    def __init__(self, takes_groups=True):
        self.takes_groups = takes_groups

    def fit(self, X, y, groups=None, sample_weight=None):
        X = np.asarray(X)
        self.classes_ = np.unique(y)
        self.rows_ = X[:, 0].astype(int)
        FITS.append({"rows": self.rows_, "groups": groups, "weight": sample_weight})
        self.asked_ = FITS[-1].setdefault("asked", [])
        return self

    def predict_proba(self, X):
        X = np.asarray(X)
        self.asked_.append(X[:, 0].astype(int))
        scores = np.tile(X[:, 1:2], (1, len(self.classes_)))
        return softmax(scores * np.arange(len(self.classes_)), axis=1)

    def predict(self, X):
        return self.classes_[self.predict_proba(X).argmax(axis=1)]


@pytest.fixture(autouse=True)
def no_fits():
    FITS.clear()


def make_table(n_subjects=30, n_each=4, n_classes=2, seed=0):
    """Return a table with the number of the row first, classes and subjects."""
    rng = np.random.default_rng(seed)
    groups = np.repeat(np.arange(n_subjects), n_each)
    y = np.arange(len(groups)) % n_classes
    X = rng.normal(y[:, None], 1.0, (len(groups), 4))
    X[:, 0] = np.arange(len(groups))
    return X, y, groups


def overconfident(n_subjects, seed):
    """Return scores whose stated log-odds are four times the true ones, classes and subjects."""
    rng = np.random.default_rng(seed)
    groups = np.repeat(np.arange(n_subjects), 4)
    true = rng.normal(0, 1.5, len(groups))
    y = (rng.uniform(size=len(groups)) < expit(true)).astype(int)
    return 4 * true[:, None], y, groups


class Stated(ClassifierMixin, BaseEstimator):
    """State the first column as the log-odds of the second class."""

    def fit(self, X, y):
        self.classes_ = np.unique(y)
        return self

    def decision_function(self, X):
        return X[:, 0]

    def predict(self, X):
        return self.classes_[(X[:, 0] > 0).astype(int)]


def assert_groups_apart(groups):
    """Fail unless every fit and what its estimator was asked about share no group."""
    assert FITS
    for fit in FITS:
        for asked in fit["asked"]:
            assert not set(groups[fit["rows"]]) & set(groups[asked])


@pytest.mark.filterwarnings("ignore:divide by zero:RuntimeWarning")  # of weights of zero
@parametrize_with_checks(
    [
        GroupCalibratedClassifier(LogisticRegression(), cv=2, ensemble=False),
        GroupCalibratedClassifier(GaussianNB(), method="isotonic", cv=2, ensemble=False),
    ]
)
def test_calibrated_classifier_keeps_the_rules_of_scikit_learn(estimator, check):
    check(estimator)


@pytest.mark.parametrize("ensemble", [True, False])
@pytest.mark.parametrize("routing", [True, False])
def test_no_group_is_trained_on_and_asked_about(routing, ensemble):
    X, y, groups = make_table()
    with sklearn.config_context(enable_metadata_routing=routing):
        GroupCalibratedClassifier(Spy(), ensemble=ensemble).fit(X, y, groups=groups)
    assert len(FITS) == (5 if ensemble else 6)
    assert_groups_apart(groups)


@pytest.mark.parametrize("routing", [True, False])
def test_groups_reach_the_estimator_in_order(routing):
    X, y, groups = make_table()
    order = np.random.default_rng(0).permutation(len(y))
    X, y, names = X[order], y[order], np.array([f"s{group}" for group in groups])
    with sklearn.config_context(enable_metadata_routing=routing):
        GroupCalibratedClassifier(Spy()).fit(X, y, groups=names[order])
    for fit in FITS:
        assert list(fit["groups"]) == list(names[fit["rows"]])


@pytest.mark.parametrize("routing", [True, False])
def test_groups_reach_the_end_of_a_pipeline(routing):
    X, y, groups = make_table()
    model = GroupCalibratedClassifier(make_pipeline("passthrough", Spy()))
    with sklearn.config_context(enable_metadata_routing=routing):
        model.fit(X, y, groups=groups)
    assert all(list(fit["groups"]) == list(groups[fit["rows"]]) for fit in FITS)
    assert_groups_apart(groups)


def test_groups_reach_the_splits_of_a_search_inside():
    X, y, groups = make_table()
    search = GridSearchCV(Spy(), {"takes_groups": [True]}, cv=GroupKFold(2), error_score="raise")
    GroupCalibratedClassifier(search, cv=3).fit(X, y, groups=groups)
    assert len(FITS) == 3 * (2 + 1)
    assert_groups_apart(groups)


def test_calibration_inside_calibration_keeps_groups_apart():
    X, y, groups = make_table()
    inner = GroupCalibratedClassifier(Spy(), cv=2)
    GroupCalibratedClassifier(inner, cv=3).fit(X, y, groups=groups)
    assert len(FITS) == 6
    assert_groups_apart(groups)


def test_early_stopping_never_cuts_through_a_group():
    X, y, groups = make_table()
    net = FusionClassifier(hidden_dim=4, max_epochs=1, early_stopping=True, random_state=0)
    model = GroupCalibratedClassifier(make_pipeline(StandardScaler(), net))
    report = leakage_report(model.fit(X, y, groups=groups))
    assert len(report) == 5
    assert (report["early_stopping"] == "subjects").all()
    assert (report["n_shared_train_stop"] == 0).all()


def test_routing_carries_groups_from_outside():
    X, y, groups = make_table()
    with sklearn.config_context(enable_metadata_routing=True):
        outer = make_pipeline("passthrough", GroupCalibratedClassifier(Spy(), cv=3))
        params = {"groups": groups}
        cross_validate(outer, X, y, cv=GroupKFold(2), params=params, error_score="raise")
    assert len(FITS) == 2 * 3
    assert_groups_apart(groups)


def test_folds_are_stratified():
    X, y, groups = make_table(n_classes=3)
    GroupCalibratedClassifier(Spy()).fit(X, y, groups=groups)
    for fit in FITS:
        shares = np.bincount(y[fit["asked"][0]]) / len(fit["asked"][0])
        np.testing.assert_allclose(shares, 1 / 3, atol=0.1)


def test_every_clip_is_asked_about_once():
    X, y, groups = make_table()
    GroupCalibratedClassifier(Spy(), ensemble=False).fit(X, y, groups=groups)
    asked = np.concatenate([rows for fit in FITS for rows in fit["asked"]])
    assert sorted(asked) == list(range(len(y)))


def test_splitter_that_cuts_through_groups_is_refused():
    X, y, groups = make_table()
    model = GroupCalibratedClassifier(Spy(), cv=KFold(3, shuffle=True, random_state=0))
    with pytest.raises(ValueError, match="Fold 0 of cv has group 0 in its training and in its te"):
        model.fit(X, y, groups=groups)
    assert FITS == []


def test_folds_that_share_rows_are_refused():
    X, y, _ = make_table()
    model = GroupCalibratedClassifier(Spy(), cv=[(np.arange(100), np.arange(90, 120))])
    with pytest.raises(ValueError, match="Fold 0 of cv has row 90 in its training"):
        model.fit(X, y)


@pytest.mark.parametrize("cv", [GroupKFold(3), GroupShuffleSplit(2, random_state=0)])
def test_splitter_of_groups_is_taken(cv):
    X, y, groups = make_table()
    GroupCalibratedClassifier(Spy(), cv=cv).fit(X, y, groups=groups)
    assert_groups_apart(groups)


def test_given_folds_are_taken_as_rows_or_masks():
    X, y, groups = make_table()
    is_test = groups < 15
    expected = GroupCalibratedClassifier(GaussianNB(), cv=PredefinedSplit(is_test - 1))
    masks = GroupCalibratedClassifier(GaussianNB(), cv=[(~is_test, is_test)])
    np.testing.assert_array_equal(
        masks.fit(X, y).predict_proba(X), expected.fit(X, y).predict_proba(X)
    )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"groups": np.arange(120) // 40}, "cv=5 needs at least 5 groups, one for each fold; got"),
        (
            {"y": np.arange(120) < 3},
            "cv=5 needs at least 5 clips of every class; class True has 3",
        ),
        ({"y": np.arange(120) < 116}, "class False has 4"),
        ({"y": np.zeros(120)}, "at least two classes"),
        ({"y": np.arange(119)}, "needs one label per clip; got 119 labels for 120"),
        ({"y": None}, "requires y to be passed"),
        ({"groups": np.arange(119)}, "groups must hold one label per sample"),
        ({"sample_weight": np.ones(119)}, "sample_weight"),
        ({"sample_weight": -np.ones(120)}, "sample_weight"),
        ({"X": [], "y": []}, "X holds no clips"),
    ],
)
def test_inputs_that_do_not_fit_are_refused(change, message):
    X, y, groups = make_table()
    inputs = {"X": X, "y": y, "groups": groups} | change
    with pytest.raises(ValueError, match=message):
        GroupCalibratedClassifier(Spy()).fit(**inputs)
    assert FITS == []


def test_fold_that_does_not_train_on_a_class_is_refused():
    X, y, groups = make_table()
    y = np.where(groups == 3, 2, y)  # the class of one subject
    y[:2] = [2, 2]
    model = GroupCalibratedClassifier(Spy(), cv=[(groups > 3, groups <= 3)])
    with pytest.raises(ValueError, match="Fold 0 of cv lacks class 2 in its training part"):
        model.fit(X, y)


def test_fold_without_test_clips_is_refused():
    X, y, _ = make_table()
    model = GroupCalibratedClassifier(Spy(), cv=[(np.arange(120), np.array([], dtype=int))])
    with pytest.raises(ValueError, match="Fold 0 of cv lacks test clips"):
        model.fit(X, y)


@pytest.mark.parametrize("ensemble", [True, False])
def test_map_of_one_clip_of_a_class_is_refused(ensemble):
    X, y, _ = make_table()
    y = (np.arange(120) < 61).astype(int)
    model = GroupCalibratedClassifier(
        Spy(), ensemble=ensemble, cv=[(np.r_[:60, 80:120], np.r_[60:80])]
    )
    words = (
        "in a fold. Lower cv, add subjects, or use ens" if ensemble else "in all folds. Lower cv"
    )
    with pytest.raises(
        ValueError, match=f"at least 2 clips of every class; of class 1 .* 1 {words}"
    ):
        model.fit(X, y)


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"method": "platt"}, "'method' parameter"),
        ({"cv": 1}, "'cv' parameter"),
        ({"ensemble": "auto"}, "'ensemble' parameter"),
        ({"n_jobs": 1.5}, "'n_jobs' parameter"),
        ({"estimator": StandardScaler()}, "'estimator' parameter"),
    ],
)
def test_parameters_are_checked_in_fit(params, message):
    X, y, groups = make_table()
    model = GroupCalibratedClassifier(Spy()).set_params(**params)
    with pytest.raises(ValueError, match=message):
        model.fit(X, y, groups=groups)


def test_columns_other_than_classes_are_refused():
    X, y, groups = make_table(n_classes=4)
    model = GroupCalibratedClassifier(SVC(decision_function_shape="ovo"))
    with pytest.raises(ValueError, match="SVC has 6 columns for 4 classes; calibration needs 4"):
        model.fit(X, y, groups=groups)


def test_weights_reach_estimator_and_map():
    X, y, groups = overconfident(200, seed=0)
    weight = np.where(y == 1, 3.0, 1.0)
    model = GroupCalibratedClassifier(Stated(), method="sigmoid")
    with pytest.raises(ValueError, match="sample_weight does not reach the fit of Stated"):
        model.fit(X, y, groups=groups, sample_weight=weight)
    X, y, groups = make_table()
    weight = np.linspace(1, 2, len(y))
    GroupCalibratedClassifier(Spy()).fit(X, y, groups=groups, sample_weight=weight)
    assert all(list(fit["weight"]) == list(weight[fit["rows"]]) for fit in FITS)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("routing", [True, False])
def test_weights_count_like_repeated_clips(method, routing):
    X, y, groups = make_table(n_subjects=40)
    twice = np.repeat(np.arange(len(y)), 1 + (groups % 2))
    folds = [(groups % 4 != k, groups % 4 == k) for k in range(4)]
    repeated = [(train[twice], test[twice]) for train, test in folds]
    base = LogisticRegression(tol=1e-8, max_iter=1000)
    with sklearn.config_context(enable_metadata_routing=routing):
        weighted = GroupCalibratedClassifier(base, method=method, cv=folds, ensemble=False)
        weighted.fit(X, y, groups=groups, sample_weight=1.0 + (groups % 2))
        plain = GroupCalibratedClassifier(base, method=method, cv=repeated, ensemble=False)
        plain.fit(X[twice], y[twice], groups=groups[twice])
    np.testing.assert_allclose(weighted.predict_proba(X), plain.predict_proba(X), atol=1e-3)


def test_weights_that_a_pipeline_does_not_request_are_refused():
    X, y, groups = make_table()
    model = GroupCalibratedClassifier(make_pipeline(StandardScaler(), LogisticRegression()))
    with pytest.raises(ValueError, match="does not reach the fit of Pipeline"):
        model.fit(X, y, groups=groups, sample_weight=np.ones(len(y)))


def test_weights_that_a_pipeline_requests_are_handed_on():
    X, y, groups = make_table()
    with sklearn.config_context(enable_metadata_routing=True):
        last = Spy().set_fit_request(sample_weight=True)
    model = GroupCalibratedClassifier(make_pipeline("passthrough", last))
    model.fit(X, y, groups=groups, sample_weight=np.arange(len(y)))
    assert all(list(fit["weight"]) == list(fit["rows"]) for fit in FITS)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("ensemble", [True, False])
def test_true_probabilities_are_found_again(method, ensemble):
    X, y, groups = overconfident(2000, seed=0)
    model = GroupCalibratedClassifier(Stated(), method=method, ensemble=ensemble)
    X_new, y_new, _ = overconfident(500, seed=1)
    found = model.fit(X, y, groups=groups).predict_proba(X_new)[:, 1]
    assert np.abs(found - expit(X_new[:, 0] / 4)).mean() < 0.04  # isotonic: about .02
    assert log_loss(y_new, found) < log_loss(y_new, expit(X_new[:, 0])) - 0.3


def test_temperature_is_the_factor_of_overconfidence():
    X, y, groups = overconfident(4000, seed=0)
    model = GroupCalibratedClassifier(Stated(), ensemble=False).fit(X, y, groups=groups)
    found = model.predict_proba(np.array([[1.0], [4.0]]))[:, 1]
    np.testing.assert_allclose(logit(found) * 4, [1, 4], rtol=0.05)


@pytest.mark.parametrize("method", ["temperature", "sigmoid"])
def test_calibration_of_two_classes_keeps_the_order(method):
    X, y, groups = overconfident(100, seed=0)
    model = GroupCalibratedClassifier(Stated(), method=method, ensemble=False)
    found = model.fit(X, y, groups=groups).predict_proba(X)[:, 1]
    np.testing.assert_array_equal(np.argsort(X[:, 0]), np.argsort(found))


@pytest.mark.parametrize("method", METHODS)
def test_three_classes_become_true(method):
    rng = np.random.default_rng(0)
    groups = np.repeat(np.arange(1000), 4)
    true = softmax(rng.normal(0, 1.2, (len(groups), 3)), axis=1)
    y = (true.cumsum(axis=1) < rng.uniform(size=(len(groups), 1))).sum(axis=1)

    class Three(Stated):
        def decision_function(self, X):
            return 3 * np.log(X)

        def predict(self, X):
            return self.classes_[X.argmax(axis=1)]

    labels = np.array(["mixed", "posed", "spontaneous"])[y]
    model = GroupCalibratedClassifier(Three(), method=method).fit(true, labels, groups=groups)
    found = model.predict_proba(true)
    np.testing.assert_allclose(found.sum(axis=1), 1)
    assert np.abs(found - true).mean() < 0.04
    assert set(model.predict(true)) == set(labels)


def test_isotonic_is_never_certain():
    X, y, groups = overconfident(50, seed=0)
    y = (X[:, 0] > 0).astype(int)  # nothing in the training tells against certainty
    model = GroupCalibratedClassifier(Stated(), method="isotonic", ensemble=False)
    found = model.fit(X, y, groups=groups).predict_proba(np.array([[-50.0], [50.0]]))
    n_zeros, n_ones = (y == 0).sum(), (y == 1).sum()
    np.testing.assert_allclose(found[:, 1], [1 / (n_zeros + 2), 1 - 1 / (n_ones + 2)])


def test_ensemble_is_the_mean_over_folds():
    X, y, groups = make_table()
    model = GroupCalibratedClassifier(GaussianNB()).fit(X, y, groups=groups)
    assert len(model.estimators_) == len(model.calibrators_) == 5
    each = [
        calibrator.predict_proba(class_scores(estimator, X, 2))
        for estimator, calibrator in zip(model.estimators_, model.calibrators_, strict=True)
    ]
    np.testing.assert_allclose(model.predict_proba(X), np.mean(each, axis=0))


def test_without_ensemble_the_estimator_of_all_clips_predicts():
    X, y, groups = make_table()
    model = GroupCalibratedClassifier(GaussianNB(), ensemble=False).fit(X, y, groups=groups)
    (estimator,) = model.estimators_
    expected = GaussianNB().fit(X, y).predict_proba(X)
    np.testing.assert_array_equal(estimator.predict_proba(X), expected)


def test_scores_are_log_odds_of_classifiers_without_decision_function():
    X, y, _ = make_table()
    model = GaussianNB().fit(X, y)
    scores = class_scores(model, X, 2)
    np.testing.assert_allclose(scores[:, 0], logit(model.predict_proba(X)[:, 1]), rtol=1e-6)


def test_scores_of_certain_classifiers_are_finite():
    X, y, groups = make_table()
    forest = RandomForestClassifier(5, bootstrap=False, random_state=0)
    assert np.isfinite(class_scores(forest.fit(X, y), X, 2)).all()
    model = GroupCalibratedClassifier(forest).fit(X, y, groups=groups)
    assert np.isfinite(model.predict_proba(X)).all()


@pytest.fixture(scope="module")
def dmarkers():
    """Return D-Markers, classes and subjects of training clips, and of clips of other people."""
    parts = []
    for seed in (0, 1):
        smiles = make_smiles(200, n_subjects=80, fps=25, random_state=seed)
        X = DMarkerTransformer(fps=25).fit_transform(smiles.clips)
        parts.append((X, smiles.target, smiles.groups))
    return parts


def smiles_network():
    return make_pipeline(
        StandardScaler(), FusionClassifier(hidden_dim=16, max_epochs=30, lr=3e-3, random_state=0)
    )


@pytest.mark.parametrize("method", METHODS)
def test_calibration_improves_the_log_loss_of_new_subjects(dmarkers, method):
    (X, y, groups), (X_new, y_new, _) = dmarkers
    raw = smiles_network().fit(X, y).predict_proba(X_new).astype(float)
    raw /= raw.sum(axis=1, keepdims=True)
    model = GroupCalibratedClassifier(smiles_network(), method=method).fit(X, y, groups=groups)
    assert log_loss(y_new, model.predict_proba(X_new)) < log_loss(y_new, raw) - 0.05


def test_one_model_of_all_clips_is_calibrated(dmarkers):
    (X, y, groups), (X_new, y_new, _) = dmarkers
    model = GroupCalibratedClassifier(smiles_network(), method="sigmoid", ensemble=False)
    assert log_loss(y_new, model.fit(X, y, groups=groups).predict_proba(X_new)) < 0.7


def tiny():
    network = HadaSmileNetClassifier(
        fps=25, n_frames=4, embedding_dim=8, hidden_dim=8, max_epochs=1, early_stopping=False,
        device="cpu", random_state=0,
    )  # fmt: skip
    return GroupCalibratedClassifier(network, cv=2)


def test_clips_on_the_disk_are_not_read_at_once(smiles, tmp_path, monkeypatch):
    paths = [tmp_path / f"{number}.npy" for number in range(len(smiles.clips))]
    for path, clip in zip(paths, smiles.clips, strict=True):
        np.save(path, clip)
    expected = tiny().fit(smiles.clips, smiles.target, groups=smiles.groups)
    kept, inner = [], HadaSmileNetClassifier.fit

    def spy(self, X, *args, **kwargs):
        kept.append(any(isinstance(item, np.ndarray) for item in check_clips(X)._items))
        return inner(self, X, *args, **kwargs)

    monkeypatch.setattr(HadaSmileNetClassifier, "fit", spy)
    for clips in (check_clips(paths), paths, np.array(paths, dtype=object)):
        model = tiny().fit(clips, smiles.target, groups=smiles.groups)
        np.testing.assert_array_equal(
            model.predict_proba(clips), expected.predict_proba(smiles.clips)
        )
    assert kept == [False] * 6


def test_forms_of_clips_give_the_same(smiles):
    array = np.empty(len(smiles.clips), dtype=object)
    array[:] = smiles.clips
    series = pd.Series(smiles.clips, index=range(100, 100 + len(array)))
    expected = tiny().fit(smiles.clips, smiles.target, smiles.groups).predict_proba(smiles.clips)
    for clips in (tuple(smiles.clips), array, series, check_clips(smiles.clips)):
        found = tiny().fit(clips, smiles.target, smiles.groups).predict_proba(clips)
        np.testing.assert_array_equal(found, expected)


def test_tags_are_those_of_the_estimator():
    assert get_tags(tiny()).input_tags == get_tags(tiny().estimator).input_tags
    assert get_tags(GroupCalibratedClassifier(GaussianNB())).input_tags.two_d_array


def test_names_of_columns_are_kept_and_forgotten():
    X, y, groups = make_table()
    frame = pd.DataFrame(X, columns=list("abcd"))
    model = GroupCalibratedClassifier(GaussianNB()).fit(frame, y, groups=groups)
    assert list(model.feature_names_in_) == list("abcd")
    assert model.n_features_in_ == 4
    assert not hasattr(model.fit(X, y, groups=groups), "feature_names_in_")


def test_jobs_change_nothing():
    X, y, groups = make_table()
    serial = GroupCalibratedClassifier(LogisticRegression()).fit(X, y, groups=groups)
    with joblib.parallel_config("threading"):
        parallel = clone(serial).set_params(n_jobs=2).fit(X, y, groups=groups)
    np.testing.assert_array_equal(parallel.predict_proba(X), serial.predict_proba(X))


@pytest.mark.parametrize("ensemble", [True, False])
def test_pickle_and_model_file_say_the_same(ensemble, tmp_path):
    X, y, groups = make_table(n_classes=3)
    labels = np.array(["mixed", "posed", "spontaneous"])[y]
    model = GroupCalibratedClassifier(
        make_pipeline(StandardScaler(), FusionClassifier(hidden_dim=4, max_epochs=2)),
        method="isotonic",
        ensemble=ensemble,
        n_jobs=1,
    ).fit(X, labels, groups=groups)
    save_model(model, tmp_path / "model.smile")
    restored = load_model(tmp_path / "model.smile")
    assert restored.n_jobs is None
    for copy in (restored, pickle.loads(pickle.dumps(model))):
        np.testing.assert_array_equal(copy.predict_proba(X), model.predict_proba(X))
        np.testing.assert_array_equal(copy.predict(X), model.predict(X))


@pytest.mark.parametrize("maps", [[], ["me"] * 5, "maps"])
def test_altered_model_is_not_stored(maps, tmp_path):
    X, y, groups = make_table()
    model = GroupCalibratedClassifier(GaussianNB()).fit(X, y, groups=groups)
    model.calibrators_ = maps
    with pytest.raises(InvalidDataError, match="calibrators_ is no list of a map for each class"):
        save_model(model, tmp_path / "model.smile")


def test_inputs_and_estimator_are_left_alone():
    X, y, groups = make_table()
    kept, estimator = (X.copy(), y.copy(), groups.copy()), Spy()
    GroupCalibratedClassifier(estimator, n_jobs=1).fit(X, y, groups=groups).predict(X)
    assert not hasattr(estimator, "classes_")
    for array, before in zip((X, y, groups), kept, strict=True):
        np.testing.assert_array_equal(array, before)
