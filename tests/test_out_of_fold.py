"""Out-of-fold fits of AbstainingClassifier: subjects stay apart, metadata arrives."""

import joblib
import numpy as np
import pytest
import sklearn
from scipy.special import softmax
from sklearn.base import BaseEstimator, ClassifierMixin, clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import (
    GridSearchCV,
    GroupKFold,
    GroupShuffleSplit,
    KFold,
    StratifiedGroupKFold,
    cross_validate,
)
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils import get_tags

from smilefusion import AbstainingClassifier, FusionClassifier, HadaSmileNetClassifier
from smilefusion.benchmark import leakage_report
from smilefusion.clips import check_clips

FITS = []  # one record per fit of a Spy


class Spy(ClassifierMixin, BaseEstimator):
    """Record the rows, groups and weights of fits, and the rows of predictions.

    The first column of its table is the row number.
    """

    __metadata_request__fit = {"groups": True}

    def __init__(self, dummy=0):
        self.dummy = dummy

    def fit(self, X, y, groups=None, sample_weight=None):
        X = np.asarray(X)
        self.classes_ = np.unique(y)
        rows = X[:, 0].astype(int)
        FITS.append({"rows": rows, "groups": groups, "weight": sample_weight, "predicted": []})
        self.predicted_ = FITS[-1]["predicted"]
        return self

    def predict_proba(self, X):
        X = np.asarray(X)
        self.predicted_.append(X[:, 0].astype(int))
        scores = np.tile(X[:, 1:2], (1, len(self.classes_)))
        return softmax(scores * np.arange(len(self.classes_)), axis=1)

    def predict(self, X):
        return self.classes_[self.predict_proba(X).argmax(axis=1)]


def abstaining(estimator, **params):
    """Return a classifier that answers nearly everything, so that it does not warn."""
    return AbstainingClassifier(estimator, error_rate=0.9, **params)


@pytest.fixture(autouse=True)
def no_fits():
    FITS.clear()


def make_table(n_subjects=30, n_each=4, n_classes=2):
    """Return a table with the row number in the first column, classes and subjects."""
    rng = np.random.default_rng(0)
    groups = np.repeat(np.arange(n_subjects), n_each)
    y = np.arange(len(groups)) % n_classes
    X = rng.normal(y[:, None], 1.0, (len(groups), 4))
    X[:, 0] = np.arange(len(groups))
    return X, y, groups


def assert_groups_apart(groups):
    """Fail unless no fit shares a group with its predictions."""
    assert FITS
    for fit in FITS:
        for predicted in fit["predicted"]:
            assert not set(groups[fit["rows"]]) & set(groups[predicted])


@pytest.mark.parametrize("ensemble", [True, False])
@pytest.mark.parametrize("routing", [True, False])
def test_no_group_is_trained_on_and_predicted(routing, ensemble):
    X, y, groups = make_table()
    with sklearn.config_context(enable_metadata_routing=routing):
        abstaining(Spy(), ensemble=ensemble).fit(X, y, groups=groups)
    assert len(FITS) == (5 if ensemble else 6)
    assert_groups_apart(groups)


@pytest.mark.parametrize("wrap", [lambda spy: spy, lambda spy: make_pipeline("passthrough", spy)])
@pytest.mark.parametrize("routing", [True, False])
def test_groups_reach_the_estimator_in_order(routing, wrap):
    X, y, groups = make_table()
    order = np.random.default_rng(0).permutation(len(y))
    X, y, names = X[order], y[order], np.array([f"s{group}" for group in groups])
    with sklearn.config_context(enable_metadata_routing=routing):
        abstaining(wrap(Spy())).fit(X, y, groups=names[order])
    assert len(FITS) == 6
    for fit in FITS:
        assert list(fit["groups"]) == list(names[fit["rows"]])


def test_groups_reach_the_splits_of_a_search_inside():
    X, y, groups = make_table()
    search = GridSearchCV(Spy(), {"dummy": [1]}, cv=GroupKFold(2), error_score="raise")
    abstaining(search, cv=3, ensemble=True).fit(X, y, groups=groups)
    assert len(FITS) == 3 * (2 + 1)
    assert_groups_apart(groups)


def test_groups_reach_the_folds_of_a_calibration_inside():
    X, y, groups = make_table()
    inner = CalibratedClassifierCV(Spy(), cv=StratifiedGroupKFold(2))
    abstaining(inner, cv=3, ensemble=True).fit(X, y, groups=groups)
    assert len(FITS) == 6
    assert_groups_apart(groups)


def test_early_stopping_never_splits_a_group():
    X, y, groups = make_table()
    net = FusionClassifier(hidden_dim=4, n_members=2, max_epochs=1, random_state=0)
    model = abstaining(make_pipeline(StandardScaler(), net), ensemble=True)
    report = leakage_report(model.fit(X, y, groups=groups))
    assert len(report) == 5
    assert (report["early_stopping"] == "folds").all()
    assert (report["n_shared_train_stop"] == 0).all()


def test_routing_carries_groups_from_outside():
    X, y, groups = make_table()
    with sklearn.config_context(enable_metadata_routing=True):
        outer = make_pipeline("passthrough", abstaining(Spy(), cv=3, ensemble=True))
        params = {"groups": groups}
        cross_validate(outer, X, y, cv=GroupKFold(2), params=params, error_score="raise")
    assert len(FITS) == 2 * 3
    assert_groups_apart(groups)


def test_folds_are_stratified():
    X, y, groups = make_table(n_classes=3)
    abstaining(Spy(), ensemble=True).fit(X, y, groups=groups)
    for fit in FITS:
        shares = np.bincount(y[fit["predicted"][0]]) / len(fit["predicted"][0])
        np.testing.assert_allclose(shares, 1 / 3, atol=0.1)


def test_every_clip_is_predicted_once():
    X, y, groups = make_table()
    abstaining(Spy()).fit(X, y, groups=groups)
    predicted = np.concatenate([rows for fit in FITS for rows in fit["predicted"]])
    assert sorted(predicted) == list(range(len(y)))


@pytest.mark.parametrize("cv", [GroupKFold(3), GroupShuffleSplit(2, random_state=0)])
def test_splitter_of_groups_is_used(cv):
    X, y, groups = make_table()
    abstaining(Spy(), cv=cv).fit(X, y, groups=groups)
    assert_groups_apart(groups)


def test_folds_are_given_as_rows_or_masks():
    X, y, groups = make_table()
    is_test = groups < 15
    masks = abstaining(Spy(), cv=[(~is_test, is_test)]).fit(X, y)
    rows = abstaining(Spy(), cv=[(np.flatnonzero(~is_test), np.flatnonzero(is_test))]).fit(X, y)
    assert masks.threshold_ == rows.threshold_
    assert FITS[0]["predicted"][0].tolist() == np.flatnonzero(is_test).tolist()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"groups": np.arange(120) // 40}, "cv=5 needs at least 5 groups, one for each fold; got"),
        ({"y": np.arange(120) < 3}, "cv=5 needs at least 5 clips of every class; class True has"),
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
    with pytest.raises(ValueError, match=message):
        abstaining(Spy()).fit(**{"X": X, "y": y, "groups": groups} | change)
    assert FITS == []


EVERY, NONE = np.arange(120), np.array([], dtype=int)


@pytest.mark.parametrize(
    ("cv", "groups", "message"),
    [
        (KFold(3, shuffle=True, random_state=0), EVERY // 4, "Fold 0 of cv has group 0 in its tr"),
        ([(EVERY[:100], EVERY[90:])], None, "Fold 0 of cv has row 90 in its training part"),
        ([(EVERY[::2], EVERY[1::2])], None, "no clips of class 1 in its training part"),
        ([(EVERY, NONE)], None, "Fold 0 of cv has no test clips"),
    ],
)
def test_folds_that_break_a_rule_are_refused(cv, groups, message):
    X, y, _ = make_table()
    with pytest.raises(ValueError, match=message):
        abstaining(Spy(), cv=cv).fit(X, y, groups=groups)
    assert FITS == []


def test_weights_reach_the_estimator():
    X, y, groups = make_table()
    weight = np.linspace(1, 2, len(y))
    abstaining(Spy()).fit(X, y, groups=groups, sample_weight=weight)
    assert all(list(fit["weight"]) == list(weight[fit["rows"]]) for fit in FITS)


def test_weights_that_a_pipeline_does_not_request_are_refused():
    X, y, groups = make_table()
    model = abstaining(make_pipeline(StandardScaler(), LogisticRegression()))
    with pytest.raises(ValueError, match="does not reach the fit of Pipeline"):
        model.fit(X, y, groups=groups, sample_weight=np.ones(len(y)))


def test_weights_that_a_pipeline_requests_are_passed_on():
    X, y, groups = make_table()
    with sklearn.config_context(enable_metadata_routing=True):
        last = Spy().set_fit_request(sample_weight=True)
    model = abstaining(make_pipeline("passthrough", last))
    model.fit(X, y, groups=groups, sample_weight=np.arange(len(y)))
    assert all(list(fit["weight"]) == list(fit["rows"]) for fit in FITS)


def tiny():
    network = HadaSmileNetClassifier(
        fps=25, n_frames=4, embedding_dim=8, hidden_dim=8, max_epochs=1, patience=None,
        device="cpu", random_state=0,
    )  # fmt: skip
    return abstaining(network, cv=2)


def test_clips_on_disk_are_not_read_before_the_fit(smiles, tmp_path, monkeypatch):
    paths = [tmp_path / f"{number}.npy" for number in range(len(smiles.clips))]
    for path, clip in zip(paths, smiles.clips, strict=True):
        np.save(path, clip)
    expected = tiny().fit(smiles.clips, smiles.target, groups=smiles.groups)
    read, fit = [], HadaSmileNetClassifier.fit

    def spy(self, X, *args, **kwargs):
        read.append(any(isinstance(clip, np.ndarray) for clip in check_clips(X)._items))
        return fit(self, X, *args, **kwargs)

    monkeypatch.setattr(HadaSmileNetClassifier, "fit", spy)
    for clips in (check_clips(paths), paths):
        model = tiny().fit(clips, smiles.target, groups=smiles.groups)
        np.testing.assert_array_equal(
            model.predict_proba(clips), expected.predict_proba(smiles.clips)
        )
    assert read == [False] * 6


def test_tags_are_those_of_the_estimator():
    assert get_tags(tiny()).input_tags == get_tags(tiny().estimator).input_tags
    assert get_tags(abstaining(GaussianNB())).input_tags.two_d_array


def test_number_of_jobs_changes_nothing():
    X, y, groups = make_table()
    serial = abstaining(LogisticRegression()).fit(X, y, groups=groups)
    with joblib.parallel_config("threading"):
        parallel = clone(serial).set_params(n_jobs=2).fit(X, y, groups=groups)
    assert parallel.threshold_ == serial.threshold_
