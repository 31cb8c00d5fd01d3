"""AbstainingClassifier: its guarantees, by simulation, and its contract."""

import pickle

import numpy as np
import pandas as pd
import pytest
from scipy.special import expit
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.calibration import CalibratedClassifierCV
from sklearn.dummy import DummyClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import KFold, StratifiedGroupKFold
from sklearn.pipeline import make_pipeline
from sklearn.utils import Bunch
from sklearn.utils.estimator_checks import parametrize_with_checks

from smilefusion import (
    AbstainingClassifier,
    load_model,
    save_model,
)
from smilefusion.benchmark import format_table, run_benchmark, summarize
from smilefusion.exceptions import TrainingWarning


class Stated(ClassifierMixin, BaseEstimator):
    """State the first column as the probability of the last of two classes."""

    def fit(self, X, y):
        self.classes_ = np.unique(y)
        return self

    def predict_proba(self, X):
        return np.column_stack([1 - X[:, 0], X[:, 0]])

    def predict(self, X):
        return self.classes_[(X[:, 0] > 0.5).astype(int)]


def draw(rng, n_subjects, most=6, tendency=0.8):
    """Return stated probabilities, classes and subjects, whose clips share a shift."""
    groups = np.repeat(np.arange(n_subjects), rng.integers(1, most + 1, n_subjects))
    y = rng.integers(0, 2, len(groups))
    score = (2 * y - 1) + rng.normal(0, tendency, n_subjects)[groups] + rng.normal(size=len(y))
    return expit(3 * score)[:, None], y, groups


def one_each(rng, n_subjects, **options):
    """Return one clip of each of new subjects."""
    X, y, groups = draw(rng, n_subjects, **options)
    first = np.unique(groups, return_index=True)[1]
    return X[first], y[first]


def one_split(groups):
    """Return one fold that trains on the first fifth of the subjects."""
    is_known = groups < groups.max() / 5
    return [(is_known, ~is_known)]


@pytest.fixture
def answers():
    """Return stated probabilities, of which those below 0.8 are wrong, with classes, subjects."""
    X = np.linspace(0.5, 1, 101)[1:, None]
    return X, (X[:, 0] >= 0.8).astype(int), np.arange(100)


@pytest.mark.parametrize(("n_subjects", "error_rate"), [(25, 0.2), (125, 0.05)])
def test_sets_of_one_split_cover_as_promised(n_subjects, error_rate):
    rng = np.random.default_rng(0)
    X_new, y_new = one_each(rng, 1000)
    found = []
    for _ in range(60):
        X, y, groups = draw(rng, n_subjects)
        model = AbstainingClassifier(
            Stated(),
            method="conformal",
            error_rate=error_rate,
            cv=one_split(groups),
            ensemble=True,
        )
        found.append(model.fit(X, y, groups=groups).rate_answers(X_new, y_new)["coverage"])
    noise = 3 * np.std(found) / np.sqrt(len(found)) + 3 * np.sqrt(error_rate / 1000)
    assert 1 - error_rate - noise < np.mean(found) < 1 - error_rate + noise + 2 / n_subjects


@pytest.mark.filterwarnings("ignore::smilefusion.exceptions.TrainingWarning")
def test_answers_are_wrong_as_often_as_requested():
    rng = np.random.default_rng(0)
    X_new, y_new, _ = draw(rng, 500)
    n_answered, n_wrong = 0, 0
    for _ in range(40):
        X, y, groups = draw(rng, 60)
        model = AbstainingClassifier(Stated(), error_rate=0.15, cv=one_split(groups))
        rates = model.fit(X, y, groups=groups).rate_answers(X_new, y_new)
        n_answered += rates["answered"]
        n_wrong += rates["answered"] * np.nan_to_num(rates["error"])
    assert 0.7 * 0.15 < n_wrong / n_answered < 1.2 * 0.15


def test_overconfidence_does_not_matter():
    rng = np.random.default_rng(0)
    true = expit(rng.normal(0, 1.5, 4000))
    y = (rng.uniform(size=4000) < true).astype(int)
    overconfident = expit(5 * np.log(true / (1 - true)))
    rates = []
    for stated in (true, overconfident):
        model = AbstainingClassifier(Stated(), error_rate=0.15)
        model.fit(stated[:2000, None], y[:2000])
        rates.append(model.rate_answers(stated[2000:, None], y[2000:]))
    assert rates[0] == rates[1]
    assert rates[0]["error"] == pytest.approx(0.15, abs=0.03)


def threshold_of(stated, y, groups, error_rate, method="threshold"):
    """Return the threshold learned from stated probabilities of the second class."""
    X = np.r_[0.5, 0.5, stated][:, None]  # two additional clips for training
    is_train = np.arange(len(X)) < 2
    model = AbstainingClassifier(
        Stated(), method=method, error_rate=error_rate, cv=[(is_train, ~is_train)]
    )
    return model.fit(X, np.r_[0, 1, y], groups=np.r_[-1, -2, groups]).threshold_


@pytest.mark.filterwarnings("ignore::smilefusion.exceptions.TrainingWarning")
@pytest.mark.parametrize(("rate", "expected"), [(0.24, np.inf), (0.25, 0.7), (0.34, 0.6)])
def test_threshold_is_the_smallest_that_keeps_the_rate(rate, expected):
    stated, y = [0.9, 0.8, 0.7, 0.6, 0.6, 0.55], [1, 1, 1, 0, 1, 0]
    # One additional subject adds one wrong answer: 1/2, 1/3, 1/4, -, 2/6, 3/7.
    assert threshold_of(stated, y, np.arange(6), rate) == expected


@pytest.mark.filterwarnings("ignore::smilefusion.exceptions.TrainingWarning")
def test_threshold_counts_subjects_instead_of_clips():
    stated, y = np.linspace(1, 0.6, 40), np.ones(40, dtype=int)
    # Another subject with 10 answers like these 4 would make 10 of 50 answers wrong.
    assert threshold_of(stated, y, np.arange(40) % 4, 0.19) == np.inf
    assert threshold_of(stated, y, np.arange(40) % 4, 0.2) == pytest.approx(0.6)
    assert threshold_of(stated, y, np.arange(40), 0.03) == pytest.approx(0.6)


def conformal_bound(scores, groups, error_rate):
    """Return the largest nonconformity that a set allows."""
    y = np.ones(len(scores), dtype=int)
    return 1 - threshold_of(1 - scores, y, groups, error_rate, method="conformal")


@pytest.mark.filterwarnings("ignore::smilefusion.exceptions.TrainingWarning")
def test_bound_of_one_clip_each_is_that_of_split_conformal_prediction():
    scores = np.random.default_rng(0).uniform(size=49)
    rank = int(np.ceil(50 * 0.9))
    assert conformal_bound(scores, np.arange(49), 0.1) == pytest.approx(np.sort(scores)[rank - 1])
    assert conformal_bound(scores[:8], np.arange(8), 0.1) == np.inf
    assert conformal_bound(scores[:9], np.arange(9), 0.1) == pytest.approx(scores[:9].max())


def test_bound_stays_the_same_if_clips_of_subjects_are_repeated():
    rng = np.random.default_rng(0)
    scores, groups = rng.uniform(size=60), np.arange(60) // 3
    times = np.where(groups % 2, 5, 1)
    repeated = conformal_bound(np.repeat(scores, times), np.repeat(groups, times), 0.2)
    assert repeated == pytest.approx(conformal_bound(scores, groups, 0.2))


@pytest.mark.parametrize("method", ["threshold", "conformal"])
def test_order_of_clips_does_not_matter(method):
    X, y, groups = draw(np.random.default_rng(0), 60)
    order = np.random.default_rng(1).permutation(len(y))
    folds = [(groups % 3 != k, groups % 3 == k) for k in range(3)]
    moved = [(train[order], test[order]) for train, test in folds]
    found = []
    for cv, rows in ((folds, slice(None)), (moved, order)):
        model = AbstainingClassifier(Stated(), method=method, error_rate=0.3, cv=cv)
        found.append(model.fit(X[rows], y[rows], groups=groups[rows]).threshold_)
    assert found[0] == found[1]
    assert np.isfinite(found[0])


def test_answers_abstentions_and_sets_agree(answers):
    X, y, groups = answers
    model = AbstainingClassifier(Stated(), error_rate=0.1).fit(X, y, groups=groups)
    predicted, holds = model.predict(X), model.predict_set(X)
    assert holds.dtype == bool
    assert holds.shape == (100, 2)
    assert set(predicted) == {-1, 1}
    is_answered = X[:, 0] >= model.threshold_ - 1e-9
    np.testing.assert_array_equal(predicted, np.where(is_answered, 1, -1))
    np.testing.assert_array_equal(holds[:, 0], ~is_answered)
    assert holds[:, 1].all()


def test_empty_set_is_an_abstention():
    X = np.r_[np.full(50, 0.95), np.full(50, 0.05)][:, None]
    y = (X[:, 0] > 0.5).astype(int)
    model = AbstainingClassifier(Stated(), method="conformal").fit(X, y)
    holds = model.predict_set(np.array([[0.95], [0.5], [0.05]]))
    assert holds.tolist() == [[False, True], [False, False], [True, False]]
    assert model.predict(np.array([[0.95], [0.5], [0.05]])).tolist() == [1, -1, 0]


def test_rates_are_computed_from_the_answers(answers):
    X, y, groups = answers
    model = AbstainingClassifier(Stated(), error_rate=0.1).fit(X, y, groups=groups)
    predicted = model.predict(X)
    rates = model.rate_answers(X, y)
    is_answered = predicted != -1
    assert rates["answered"] == is_answered.mean()
    assert rates["error"] == (predicted != y)[is_answered].mean()
    assert rates["coverage"] == model.predict_set(X)[np.arange(100), y].mean()
    assert rates["set_size"] == 2 - rates["answered"]
    assert model.score(X, y) == (predicted == y).mean()


def test_label_that_was_not_in_the_training_counts_as_an_error(answers):
    X, y, groups = answers
    model = AbstainingClassifier(Stated(), error_rate=0.1).fit(X, y, groups=groups)
    assert model.rate_answers(X, np.full(100, 7))["coverage"] == 0


def test_nothing_answered_warns_and_abstains():
    X, y = np.full((60, 1), 0.9), np.arange(60) % 2
    model = AbstainingClassifier(Stated())
    with pytest.warns(
        TrainingWarning, match="At error_rate=0.1 no clip can be answered with 60 subjects"
    ):
        model.fit(X, y)
    assert model.threshold_ == np.inf
    assert set(model.predict(X)) == {-1}
    assert np.isnan(model.rate_answers(X, y)["error"])


def test_too_few_subjects_for_sets_warn_and_abstain():
    X, y, groups = draw(np.random.default_rng(0), 8)
    model = AbstainingClassifier(LogisticRegression(), method="conformal", cv=2)
    with pytest.warns(TrainingWarning, match="8 subjects"):
        model.fit(X, y, groups=groups)
    assert model.predict_set(X).all()
    assert set(model.predict(X)) == {-1}


@pytest.mark.parametrize(
    ("labels", "label", "expected", "kind"),
    [
        ([0, 1], "auto", -1, "i"),
        ([1.0, 2.0], "auto", -1.0, "f"),
        ([False, True], "auto", -1, "i"),
        (["posed", "spontaneous"], "auto", "cannot tell", "U"),
        (["a", "b"], "a long text", "a long text", "U"),
        ([-1, 1], 0, 0, "i"),
        ([0, 1], np.nan, np.nan, "f"),
    ],
)
@pytest.mark.parametrize("as_object", [False, True])
def test_label_of_abstention_has_the_type_of_the_labels(
    answers, labels, label, expected, kind, as_object
):
    X, y, groups = answers
    y = np.asarray(labels)[y]
    y = y.astype(object) if as_object and kind == "U" else y
    model = AbstainingClassifier(Stated(), error_rate=0.1, abstain_label=label)
    predicted = model.fit(X, y, groups=groups).predict(X)
    assert predicted.dtype.kind == ("O" if y.dtype == object else kind)
    np.testing.assert_array_equal(predicted[:1], np.array([expected]))
    assert predicted[-1] == labels[1]


@pytest.mark.parametrize(
    ("labels", "label", "message"),
    [
        ([-1, 1], "auto", "must not be a class; got -1, and the classes are .-1, 1.. Pass ano"),
        (["a", "b"], "b", "must not be a class; got 'b'"),
        ([0, 1], "unsure", "must be a number, like the classes; got 'unsure'"),
        (["a", "b"], -1, "must be text, like the classes; got -1"),
    ],
)
def test_label_of_abstention_that_breaks_a_rule_is_refused(answers, labels, label, message):
    X, y, groups = answers
    model = AbstainingClassifier(Stated(), abstain_label=label)
    with pytest.raises(ValueError, match=f"abstain_label {message}"):
        model.fit(X, np.asarray(labels)[y], groups=groups)


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"error_rate": 0.0}, "'error_rate' parameter"),
        ({"error_rate": 1.0}, "'error_rate' parameter"),
        ({"method": "mondrian"}, "'method' parameter"),
        ({"abstain_label": None}, "'abstain_label' parameter"),
        ({"estimator": KFold()}, "'estimator' parameter"),
        ({"cv": KFold(3, shuffle=True)}, "in its training part and in its test part"),
    ],
)
def test_parameters_are_checked_in_fit(params, message):
    X, y, groups = draw(np.random.default_rng(0), 30)
    model = AbstainingClassifier(Stated()).set_params(**params)
    with pytest.raises(ValueError, match=message):
        model.fit(X, y, groups=groups)


def test_rates_refuse_labels_of_another_length(answers):
    X, y, groups = answers
    model = AbstainingClassifier(Stated()).fit(X, y, groups=groups)
    with pytest.raises(ValueError, match="needs one label per clip; got 99 labels for 100"):
        model.rate_answers(X, y[:-1])


def test_probabilities_are_the_mean_of_the_folds():
    X, y, groups = draw(np.random.default_rng(0), 60)
    model = AbstainingClassifier(LogisticRegression(), error_rate=0.3, ensemble=True)
    model.fit(X, y, groups=groups)
    expected = np.mean([each.predict_proba(X) for each in model.estimators_], axis=0)
    assert len(model.estimators_) == 5
    np.testing.assert_array_equal(model.predict_proba(X), expected)


@pytest.mark.parametrize("method", ["threshold", "conformal"])
def test_pickle_and_model_file_predict_the_same(method, tmp_path):
    X, y, groups = draw(np.random.default_rng(0), 60)
    X = pd.DataFrame(X, columns=["score"])
    labels = np.array(["posed", "spontaneous"])[y]
    inner = CalibratedClassifierCV(LogisticRegression(), cv=StratifiedGroupKFold(3))
    model = AbstainingClassifier(inner, method=method, error_rate=0.3)
    model.fit(X, labels, groups=groups)
    save_model(model, tmp_path / "model.smile")
    for copy in (load_model(tmp_path / "model.smile"), pickle.loads(pickle.dumps(model))):
        assert copy.abstain_label_ == model.abstain_label_
        assert list(copy.feature_names_in_) == ["score"]
        np.testing.assert_array_equal(copy.predict(X), model.predict(X))
        np.testing.assert_array_equal(copy.predict_set(X), model.predict_set(X))


def test_model_that_answers_nothing_is_kept(tmp_path):
    X, y = np.full((60, 1), 0.9), np.arange(60) % 2
    model = AbstainingClassifier(LogisticRegression())
    with pytest.warns(TrainingWarning):
        model.fit(X, y)
    save_model(model, tmp_path / "model.smile")
    assert load_model(tmp_path / "model.smile").threshold_ == np.inf


@pytest.mark.filterwarnings("ignore::smilefusion.exceptions.TrainingWarning")
@parametrize_with_checks(
    [AbstainingClassifier(LogisticRegression(), cv=2, error_rate=0.99)],
    expected_failed_checks=lambda _: {
        "check_classifiers_classes": "-1 is a class of it, and that of abstention",
    },
)
def test_abstaining_classifier_passes_the_checks_of_scikit_learn(estimator, check):
    check(estimator)


def abstaining_data(labels):
    """Return a data set whose classes overlap, so that some clips cannot be answered."""
    rng = np.random.default_rng(0)
    target = np.array(labels)[np.arange(120) % 2]
    X = rng.normal(size=(120, 2)) + 1.5 * (np.arange(120) % 2)[:, None]
    return Bunch(clips=X, target=target, groups=np.arange(120) // 2, name="toy")


LABELS = [[0, 1], ["posed", "spontaneous"], [False, True], [0.0, 1.0]]


@pytest.mark.parametrize("labels", LABELS, ids=str)
def test_benchmark_counts_abstentions(labels, tmp_path):
    data = abstaining_data(labels)
    systems = {
        "careful": make_pipeline("passthrough", AbstainingClassifier(LogisticRegression())),
        "always": LogisticRegression(),
    }
    predictions = run_benchmark(systems, data, cv=3, results=tmp_path)
    summary = summarize(predictions, n_resamples=99).set_index("estimator")
    own = predictions[predictions["estimator"] == "careful"]
    answered = own["prediction"].astype(str).isin(list(map(str, labels)))
    right = own["prediction"].astype(str) == own["target"].astype(str)
    assert 0 < answered.sum() < 120
    assert summary.loc["careful", "answered"] == pytest.approx(answered.mean())
    assert summary.loc["careful", "accuracy_answered"] == pytest.approx(right[answered].mean())
    assert summary.loc["careful", "accuracy"] == pytest.approx(right.mean())
    assert summary.loc["always", "answered"] == 1
    assert summary.loc["always", "accuracy_answered"] == summary.loc["always", "accuracy"]
    again = run_benchmark(systems, data, cv=3, results=tmp_path)
    assert again.equals(predictions)
    text = format_table(summary.reset_index())
    assert "answered [95 %]" in text
    assert "accuracy if answered [95 %]" in text


def test_table_has_no_column_of_abstentions_if_all_clips_are_answered():
    predictions = run_benchmark({"always": LogisticRegression()}, abstaining_data([0, 1]), cv=3)
    assert not summarize(predictions, n_resamples=9).filter(like="answered").columns.size


@pytest.mark.filterwarnings("ignore::smilefusion.exceptions.TrainingWarning")
def test_benchmark_of_a_classifier_that_never_answers():
    model = AbstainingClassifier(DummyClassifier(), error_rate=0.01)
    summary = summarize(run_benchmark({"silent": model}, abstaining_data([0, 1]), cv=3))
    assert summary.loc[0, ["answered", "accuracy"]].tolist() == [0, 0]
    assert np.isnan(summary.loc[0, "accuracy_answered"])
    assert "–" in format_table(summary)


def test_benchmark_takes_any_label_of_abstention():
    model = AbstainingClassifier(LogisticRegression(), abstain_label=0.5)
    predictions = run_benchmark({"careful": model}, abstaining_data([0, 1]), cv=3)
    assert set(map(str, predictions["prediction"])) == {"0", "1", "0.5"}


class Inventing(LogisticRegression):
    def predict(self, X):
        return np.full(len(X), 7)


def test_benchmark_refuses_other_labels():
    with pytest.raises(ValueError, match=r"predicts 7, which is not one of the classes \[0, 1\]"):
        run_benchmark({"inventing": Inventing()}, abstaining_data([0, 1]), cv=3)
