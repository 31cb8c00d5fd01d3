import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.special import expit, logit
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from smilefusion import CheckedClassifier, DistributionChecker, DMarkerTransformer
from smilefusion.clips import check_clips
from smilefusion.datasets import make_smiles

LINEAR = make_pipeline(DMarkerTransformer(), StandardScaler(), LogisticRegression(C=0.01))


@pytest.fixture(scope="module")
def smiles():
    return make_smiles(120, n_subjects=30, fps=25, random_state=0)


@pytest.fixture(scope="module")
def new():
    return make_smiles(40, n_subjects=10, fps=25, random_state=1)


@pytest.fixture
def model(smiles):
    return CheckedClassifier(LINEAR).fit(smiles.clips, smiles.target)


def test_probabilities_are_those_of_the_estimator_after_fit(model, smiles, new):
    expected = LINEAR.fit(smiles.clips, smiles.target).predict_proba(new.clips)
    np.testing.assert_allclose(model.predict_proba(new.clips), expected, atol=1e-12)


def test_answers_agree_with_predict_and_the_probability(model, new):
    answers = model.answer(new.clips)
    np.testing.assert_array_equal(answers["class"], model.predict(new.clips))
    np.testing.assert_allclose(answers["probability"], model.predict_proba(new.clips)[:, 1])
    answered = answers[answers["reason"] == ""]
    assert len(answered) > 30
    assert (answered["class"] == (answered["probability"] > 0.5)).all()


def test_interval_contains_the_probability_and_grows_with_the_level(smiles, model, new):
    wide = CheckedClassifier(LINEAR, level=0.99).fit(smiles.clips, smiles.target)
    narrow, wide = (each.answer(new.clips) for each in (model, wide))
    assert (wide["low"] < narrow["low"]).all()
    assert (narrow["low"] < narrow["probability"]).all()
    assert (narrow["probability"] < narrow["high"]).all()
    assert (narrow["high"] < wide["high"]).all()


def test_clips_unlike_the_training_clips_get_a_reason(model, new):
    fast = model.answer(new.clips.replace(fps=200))
    assert (fast["class"] == -1).all()
    assert fast["reason"].str.contains(r"frame rate \(fps 200, allowed from ").all()


def test_clips_without_a_smile_get_no_answer(smiles, new):
    still = check_clips([np.repeat(clip[:1], 100, axis=0) for clip in new.clips[:3]], fps=25)
    lenient = DistributionChecker(margin=1e6)
    model = CheckedClassifier(LINEAR, checker=lenient).fit(smiles.clips, smiles.target)
    assert model.answer(still)["reason"].tolist() == ["no smile found"] * 3


def test_clip_with_a_long_gap_gets_no_answer(model, new):
    clip = new.clips[0].copy()
    clip[10:30] = np.nan
    assert "a long gap without a face" in model.answer(check_clips([clip], fps=25))["reason"][0]


def test_unclear_smiles_get_no_answer(model, new):
    clip = new.clips[1]
    talking = np.concatenate([clip[::4], clip[::-4]] * 4)
    (reason,) = model.answer(check_clips([talking], fps=25))["reason"]
    assert "no clear smile (phase quality 0." in reason


def test_recalibration_is_the_posterior_mode(model, new):
    z = logit(model.predict_proba(new.clips)[:, 1])

    def loss(found):
        p = expit(found[0] + found[1] * z)
        likelihood = np.where(new.target == 1, np.log(p), np.log1p(-p)).sum()
        return 10 * (found[0] ** 2 + (found[1] - 1) ** 2) - likelihood

    model.recalibrate(new.clips, new.target)
    np.testing.assert_allclose(model.calibration_, minimize(loss, [0, 1]).x, atol=1e-4)
    assert np.linalg.det(model.covariance_) < 1 / 20**2


def test_recalibration_starts_from_the_prior_each_time(model, new):
    first = model.recalibrate(new.clips, new.target).calibration_
    np.testing.assert_allclose(model.recalibrate(new.clips, new.target).calibration_, first)


def test_labels_of_one_class_move_the_intercept_towards_it(model, new):
    posed = np.flatnonzero(new.target == 0)
    assert model.recalibrate(new.clips[posed], new.target[posed]).calibration_[0] < 0


def test_three_classes_are_refused(smiles):
    with pytest.raises(ValueError, match="needs two classes, but y has 3"):
        CheckedClassifier(LINEAR).fit(smiles.clips, np.arange(120) % 3)


def test_unknown_label_is_refused(model, new):
    labels = np.where(new.target, "spontaneous", "posed")
    with pytest.raises(ValueError, match=r"the classes of the model are \[0, 1\]. Rename"):
        model.recalibrate(new.clips, labels)


def test_ignored_reasons_are_not_flagged(smiles, new):
    checker = DistributionChecker(ignore=("frame_rate",)).fit(smiles.clips)
    assert not checker.flags(new.clips.replace(fps=200))["frame_rate"].any()


def test_unknown_reason_to_ignore_is_refused(smiles):
    with pytest.raises(ValueError, match="Each of ignore .*'frame rate'"):
        DistributionChecker(ignore=("frame rate",)).fit(smiles.clips)


def test_checker_measures_other_landmarks_only_on_request(smiles):
    points = make_smiles(4, n_subjects=2, fps=25, n_landmarks=68, random_state=2).clips
    with pytest.raises(ValueError, match="478 landmarks"):
        DistributionChecker().fit(smiles.clips).flags(points)
    assert len(DistributionChecker(any_landmarks=True).fit(smiles.clips).flags(points)) == 4
