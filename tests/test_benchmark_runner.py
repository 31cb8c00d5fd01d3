"""`run_benchmark`: cells, folds, groups, errors and warnings."""

import warnings

import numpy as np
import pandas as pd
import pytest
from sklearn import config_context
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.calibration import CalibratedClassifierCV
from sklearn.dummy import DummyClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, GroupKFold, StratifiedGroupKFold
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import make_pipeline, make_union
from sklearn.preprocessing import StandardScaler
from sklearn.svm import LinearSVC
from sklearn.utils import Bunch

from smilefusion.benchmark import count_parameters, run_benchmark
from smilefusion.benchmark.run._progress import RunProgress, describe_rest
from smilefusion.exceptions import InvalidDataError, SmileFusionWarning

TIMES = ["fit_seconds", "predict_seconds"]


class GroupRecorder(ClassifierMixin, BaseEstimator):
    """Predict the prior; `coef_` has as many entries as subjects that reached fit."""

    def fit(self, X, y, groups=None):
        if groups is None or len(groups) != len(X):
            raise ValueError("the groups of the training clips did not arrive")
        self.classes_ = np.unique(y)
        self.coef_ = np.zeros(len(np.unique(groups)))
        return self

    def predict_proba(self, X):
        return np.full((len(X), len(self.classes_)), 1 / len(self.classes_))

    def predict(self, X):
        return np.repeat(self.classes_[:1], len(X))


class Failing(DummyClassifier):
    """Fail if subject 0 is in the training part."""

    def fit(self, X, y):
        if (np.asarray(X)[:, 2] == 0).any():
            raise ArithmeticError("subject 0 is here")
        return super().fit(X, y)


class Alarming(DummyClassifier):
    """Warn at every fit."""

    def fit(self, X, y):
        warnings.warn("this data is odd", UserWarning, stacklevel=2)
        return super().fit(X, y)


def make_data(n_clips=60, per_group=3, **changes):
    rng = np.random.default_rng(0)
    target = np.arange(n_clips) % 2
    groups = np.arange(n_clips) // per_group
    X = np.column_stack([rng.normal(size=n_clips) + target, rng.normal(size=n_clips), groups])
    return Bunch(**({"clips": X, "target": target, "groups": groups, "name": "toy"} | changes))


def make_estimators():
    return {
        "majority": DummyClassifier(strategy="prior"),
        "logistic": make_pipeline(StandardScaler(), LogisticRegression()),
        "search": GridSearchCV(LogisticRegression(), {"C": [0.1, 1]}, cv=StratifiedGroupKFold(2)),
    }


def test_run_predicts_every_clip_once_on_the_same_new_folds_of_subjects():
    models = {"a": DummyClassifier(), "b": GaussianNB()}
    predictions = run_benchmark(models, make_data(), cv=4, n_repeats=2)
    clips = predictions.groupby(["estimator", "repeat"])["clip"].apply(list)
    assert clips.tolist() == [list(range(60))] * 4
    assert (predictions.groupby(["repeat", "group"])["fold"].nunique() == 1).all()
    assert predictions["fold"].nunique() == 4
    folds = predictions.pivot(index="clip", columns=["repeat", "estimator"], values="fold")
    assert folds[0]["a"].equals(folds[0]["b"])
    assert (folds[0]["a"] != folds[1]["a"]).any()
    assert not hasattr(models["a"], "classes_")


def test_run_of_several_data_sets_joins_their_tables():
    sets = [make_data(name="a"), make_data(30, name="b")]
    apart, together = (
        [run_benchmark({"m": GaussianNB()}, each) for each in parts] for parts in (sets, [sets])
    )
    joined = pd.concat(apart, ignore_index=True).drop(columns=TIMES)
    pd.testing.assert_frame_equal(together[0].drop(columns=TIMES), joined)


def test_run_equals_a_plain_loop():
    data, model = make_data(), LogisticRegression()
    predictions = run_benchmark({"model": model}, data, cv=GroupKFold(3))
    expected = np.empty(60)
    for train, test in GroupKFold(3).split(data.clips, data.target, data.groups):
        model.fit(data.clips[train], data.target[train])
        expected[test] = model.predict_proba(data.clips[test])[:, 1]
    np.testing.assert_allclose(predictions["probability_1"], expected)


def test_run_does_not_depend_on_the_other_estimators():
    whole = run_benchmark(make_estimators(), make_data()).drop(columns=TIMES)
    alone = run_benchmark({"search": make_estimators()["search"]}, make_data()).drop(columns=TIMES)
    of_search = whole[whole["estimator"] == "search"].reset_index(drop=True)
    pd.testing.assert_frame_equal(of_search, alone)


@pytest.mark.parametrize("is_pipeline", [False, True])
def test_run_passes_groups_to_estimators_that_accept_them(is_pipeline):
    model = GroupRecorder()
    if is_pipeline:
        with config_context(enable_metadata_routing=True):
            model = make_pipeline(StandardScaler(), model.set_fit_request(groups=True))
    predictions = run_benchmark({"recorder": model}, make_data(), cv=5)
    assert (predictions["n_parameters"] == 16).all()


def test_run_accepts_lists_of_ragged_clips_and_string_labels():
    rng = np.random.default_rng(0)
    clips = [rng.normal(size=(n, 5, 2)) for n in range(10, 30)]
    labels = np.array(["posed", "spontaneous"])[np.arange(20) % 2]
    data = Bunch(clips=clips, target=labels, groups=list("abcdefghij" * 2), files=range(100, 120))
    predictions = run_benchmark({"majority": DummyClassifier(strategy="prior")}, data, cv=2)
    assert {"probability_posed", "probability_spontaneous"} <= set(predictions.columns)
    assert predictions["clip"].tolist() == list(range(100, 120))


def test_run_warns_once_per_kind_with_the_number():
    with pytest.warns(UserWarning, match=r"this data is odd \(4 more") as caught:
        run_benchmark({"odd": Alarming()}, make_data(), cv=5)
    assert len(caught) == 1


def test_run_raises_the_error_of_a_cell_with_its_place():
    with pytest.raises(ArithmeticError, match="subject 0 is here") as caught:
        run_benchmark({"fragile": Failing()}, make_data())
    assert "estimator 'fragile', repeat 0" in caught.value.__notes__[0]


def test_run_turns_an_error_into_missing_predictions_on_request():
    with pytest.warns(SmileFusionWarning, match="ArithmeticError: subject 0 is here"):
        predictions = run_benchmark({"fragile": Failing()}, make_data(), cv=4, on_error="warn")
    fine_fold = predictions.loc[predictions["group"] == 0, "fold"].iloc[0]
    missing = predictions["probability_1"].isna()
    assert (missing == (predictions["fold"] != fine_fold)).all()


def test_run_shows_progress_on_stderr_only(capsys):
    run_benchmark({"majority": DummyClassifier()}, make_data(), cv=3, progress=True)
    captured = capsys.readouterr()
    assert "3/3" in captured.err
    assert captured.out == ""


def test_remaining_time_counts_each_estimator_with_its_own_mean():
    progress = RunProgress(["fast", "slow", "other", "last"] * 3, n_processes=4, shown=False)
    progress.finish("fast", 2.0)
    progress.finish("slow", 10.0)
    assert np.isnan(progress.estimate())  # only two of four estimators are known
    progress.finish("other", 3.0)
    assert progress.estimate() == (2 * (2 + 10 + 3) + 3 * 5) / 4
    progress.finish("slow", np.nan)  # computed by another process
    assert progress.estimate() == (2 * (2 + 3) + 10 + 3 * 5) / 4


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(np.nan, "estimating"), (41, "about 45 s"), (150, "about 2 min"), (9000, "about 2.5 h")],
)
def test_remaining_time_is_rounded(seconds, text):
    assert describe_rest(seconds).startswith(text)


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"groups": None}, "'toy' has no groups"),
        ({"target": np.arange(59) % 2}, r"target of data set 'toy' has shape \(59,\) for 60"),
        ({"groups": np.arange(61)}, r"groups of data set 'toy' has shape \(61,\) for 60"),
        ({"target": np.ones(60, dtype=int)}, "All 60 clips of data set 'toy' have the label"),
        ({"groups": np.zeros(60)}, "come from 1 subject; 5 subject-disjoint folds"),
        ({"groups": np.arange(60) % 4}, "come from 4 subjects; 5 subject-disjoint folds"),
        ({"target": (np.arange(60) < 3).astype(int)}, "no training clip of class"),
    ],
)
@pytest.mark.filterwarnings("ignore:The least populated class")
def test_run_refuses_data(changes, match):
    with pytest.raises(InvalidDataError, match=match):
        run_benchmark({"majority": DummyClassifier()}, make_data(**changes))


@pytest.mark.parametrize(
    ("parameters", "match"),
    [
        ({"cv": [(range(1, 60), [0])]}, "Fold 0 of cv has subject 0 in both"),
        ({"cv": 1}, "at least 2 folds; got 1"),
        ({"cv": GroupKFold(5), "n_repeats": 2}, "has no random_state"),
        ({"n_repeats": 0}, "n_repeats must be an integer of at least 1; got 0"),
        ({"on_error": "ignore"}, "on_error must be 'raise' or 'warn'; got 'ignore'"),
        ({"estimators": [DummyClassifier()]}, "must be a non-empty dict"),
        ({"estimators": {"svm": LinearSVC()}}, "LinearSVC has no predict_proba"),
    ],
)
def test_run_refuses_parameters(parameters, match):
    with pytest.raises(ValueError, match=match):
        run_benchmark(
            **({"estimators": {"m": DummyClassifier()}, "data": make_data()} | parameters)
        )


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        (LogisticRegression(), 4),
        (make_pipeline(StandardScaler(), LogisticRegression()), 4),
        (make_pipeline(make_union(StandardScaler(), "passthrough"), LogisticRegression()), 7),
        (GridSearchCV(LogisticRegression(), {"C": [1, 2]}, cv=2), 4),
        (CalibratedClassifierCV(LogisticRegression(), cv=2), 8),
        (GaussianNB(), np.nan),
        (make_pipeline(StandardScaler(), GaussianNB()), np.nan),
    ],
)
def test_parameters_of_fitted_models_are_counted(model, expected):
    data = make_data()
    assert count_parameters(model.fit(data.clips, data.target)) == pytest.approx(
        expected, nan_ok=True
    )
