"""The checks of estimators on clips, run on all of this package's estimators."""

import csv
import re
import warnings
from pathlib import Path
from unittest import SkipTest

import numpy as np
import pytest
from broken_estimators import MouthClassifier, MouthTransformer, SetParams
from sklearn.exceptions import EstimatorCheckFailedWarning, SkipTestWarning
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from smilefusion import (
    AbstainingClassifier,
    CheckedClassifier,
    DeepFeatureExtractor,
    DistributionChecker,
    DMarkerTransformer,
    HadaSmileNetClassifier,
    make_fusion_pipeline,
    make_smile_classifier,
)
from smilefusion.exceptions import SmileFusionWarning
from smilefusion.testing import (
    _suite,
    check_clip_estimator,
    clip_checks_generator,
    parametrize_with_clip_checks,
)

PAGE = Path(__file__).resolve().parents[1] / "docs" / "contributing" / "testing.rst"
TINY = {"fps": 25, "n_frames": 8, "embedding_dim": 8, "max_epochs": 1, "device": "cpu"}
SMALL = {"hidden_dim": 8, "n_members": 2, "max_epochs": 1, "device": "cpu"}
SHALLOW = {"net_params": {"module__depth": 1}}


def deep(**params):
    return DeepFeatureExtractor(**TINY, **SHALLOW, **params)


def network(**params):
    return HadaSmileNetClassifier(**TINY, **SHALLOW, hidden_dim=8, **params)


def pipeline(**params):
    made = make_fusion_pipeline(fps=25, random_state=0)
    tiny = {name: value for name, value in (TINY | SHALLOW).items() if name != "fps"}
    tiny |= {"objective": "supervised", "weights": None}
    made.set_params(**{f"features__deep__{name}": value for name, value in tiny.items()})
    return made.set_params(**{f"fusion__{name}": value for name, value in SMALL.items()})


def recommended():
    made = make_smile_classifier(fps=25, random_state=0)
    return made.set_params(**{f"vote__network__{name}": value for name, value in SMALL.items()})


def abstaining():
    # With these settings it answers every clip, so the checks of classifiers apply.
    answering = network(dmarkers="none", patience=None, lr=3e-2, augment=False)
    answering.set_params(max_epochs=12, dropout=0.0, embedding_dim=4)
    return AbstainingClassifier(answering, cv=2, error_rate=0.99)


def checked():
    # The wide margin makes it answer every clip, so the classifier checks apply.
    linear = make_pipeline(DMarkerTransformer(fps=25), StandardScaler(), LogisticRegression())
    return CheckedClassifier(linear, checker=DistributionChecker(fps=25, margin=1e6))


NUMBERS = {"check_boolean_labels": "booleans and a label of abstention are numbers"}
FRAMES = {"check_durations_follow_fps": "the published definition counts frames"}
FROZEN = {"check_early_stopping_keeps_groups_whole": "a frozen network sets no clips aside"}
VOTE = {
    "check_bad_labels_are_refused": "two columns of labels raise a NotImplementedError",
    "check_set_output": "sums over a table differ in the last bit",
}
ESTIMATORS = {
    "DMarkerTransformer()": (DMarkerTransformer(fps=25), {}),
    'DMarkerTransformer(definition="hadasmilenet")': (
        DMarkerTransformer(fps=25, definition="hadasmilenet"),
        FRAMES,
    ),
    "DeepFeatureExtractor()": (deep(), {}),
    'DeepFeatureExtractor(objective="reconstruction")': (deep(objective="reconstruction"), {}),
    'DeepFeatureExtractor(objective="frozen")': (deep(objective="frozen"), FROZEN),
    "HadaSmileNetClassifier()": (network(), {}),
    'HadaSmileNetClassifier(dmarkers="auxiliary", windows={})': (
        network(dmarkers="auxiliary", windows={"n_windows": 2}),
        {},
    ),
    "make_fusion_pipeline()": (pipeline(), {}),
    "make_smile_classifier()": (recommended(), FROZEN | VOTE),
    'AbstainingClassifier(HadaSmileNetClassifier(dmarkers="none"))': (abstaining(), NUMBERS),
    "CheckedClassifier()": (checked(), NUMBERS),
    "DistributionChecker()": (DistributionChecker(fps=25), {}),
}
FAST = {"DMarkerTransformer()", "DeepFeatureExtractor()", "DistributionChecker()"}


def each_check():
    """Yield a parameter for every estimator and check that applies to it."""
    for label, (estimator, failing) in ESTIMATORS.items():
        for check in clip_checks_generator(estimator):
            name = check.__name__
            marks = [pytest.mark.slow] * (label not in FAST or name == "check_processes")
            if name in failing:
                marks.append(pytest.mark.xfail(reason=failing[name], raises=AssertionError))
            yield pytest.param(estimator, check, id=f"{label}-{name}", marks=marks)


@pytest.mark.parametrize(("estimator", "check"), list(each_check()))
def test_estimator_passes_the_check(estimator, check):
    with warnings.catch_warnings():
        # The weights of frozen networks are random here.
        warnings.filterwarnings("ignore", "objective='frozen' without", SmileFusionWarning)
        check(estimator)


def test_table_of_the_guide_counts_the_checks():
    block = re.search(r"^\.\. csv-table::\n((?:   .*\n|\n)+)", PAGE.read_text(), re.M)[1]
    lines = [line.strip() for line in block.partition("\n\n")[2].splitlines() if line.strip()]
    rows = list(csv.reader(lines, delimiter=";", quoting=csv.QUOTE_NONE))[1:]
    told = [(row[0].strip(" `"), int(row[1]), row[2].replace("`", "").strip()) for row in rows]
    expected = [
        (label, len(list(clip_checks_generator(estimator))), ", ".join(failing))
        for label, (estimator, failing) in ESTIMATORS.items()
    ]
    assert told == expected


def only(monkeypatch, *checks):
    """Remove all other checks."""
    named = {check.__name__: check for check in checks}
    monkeypatch.setattr("smilefusion.testing._suite.CHECKS", named)


def check_nothing(estimator):
    pass


def check_that_skips(estimator):
    raise SkipTest("this cannot run here")


CHECK_SET_PARAMS = _suite.CHECKS["check_set_params"]


def test_records_tell_what_ran(monkeypatch):
    only(monkeypatch, check_nothing, CHECK_SET_PARAMS)
    estimator, called = SetParams(), []
    records = check_clip_estimator(
        estimator, on_fail=None, callback=lambda **record: called.append(record)
    )
    assert [record["status"] for record in records] == ["passed", "failed"]
    assert records == called
    assert records[0] == {
        "estimator": estimator,
        "check_name": "check_nothing",
        "exception": None,
        "status": "passed",
        "expected_to_fail": False,
        "expected_to_fail_reason": "Check is not expected to fail",
    }


def test_failed_check_raises(monkeypatch):
    only(monkeypatch, CHECK_SET_PARAMS)
    with pytest.raises(AssertionError, match="SetParams breaks a rule: set_params returns self"):
        check_clip_estimator(SetParams())


def test_failed_check_warns_on_request(monkeypatch):
    only(monkeypatch, CHECK_SET_PARAMS)
    with pytest.warns(EstimatorCheckFailedWarning, match="check_set_params"):
        check_clip_estimator(SetParams(), on_fail="warn")


def test_expected_failure_is_recorded(monkeypatch):
    only(monkeypatch, CHECK_SET_PARAMS)
    expected = {"check_set_params": "it is broken on purpose"}
    (record,) = check_clip_estimator(SetParams(), expected_failed_checks=expected)
    assert record["status"] == "xfail"
    assert record["expected_to_fail_reason"] == "it is broken on purpose"


def test_expected_failure_of_a_check_that_does_not_apply_is_refused():
    with pytest.raises(ValueError, match="no such check applies to MouthTransformer"):
        check_clip_estimator(MouthTransformer(), expected_failed_checks={"check_walls": "none"})


def test_skipped_check_warns_and_is_recorded(monkeypatch):
    only(monkeypatch, check_that_skips)
    with pytest.warns(SkipTestWarning, match="this cannot run here"):
        (record,) = check_clip_estimator(MouthTransformer())
    assert record["status"] == "skipped"
    assert check_clip_estimator(MouthTransformer(), on_skip=None)[0]["status"] == "skipped"


def test_class_in_place_of_an_instance_is_refused():
    with pytest.raises(TypeError, match="got the class MouthTransformer"):
        check_clip_estimator(MouthTransformer)


def test_decorator_makes_a_test_of_every_check():
    failing = {"check_set_params": "on purpose"}
    mark = parametrize_with_clip_checks(
        [MouthClassifier(), SetParams()],
        expected_failed_checks=lambda e: failing if isinstance(e, SetParams) else {},
    ).mark
    names, params = mark.args
    assert names == ("estimator", "check")
    n_checks = [len(list(clip_checks_generator(e))) for e in (MouthClassifier(), SetParams())]
    assert len(params) == sum(n_checks)
    marked = [param.id for param in params if param.marks]
    assert marked == ["SetParams()-check_set_params"]


@pytest.mark.parametrize("label", [np.nan, None])
def test_missing_label_is_refused_by_the_clips_number(smiles, label):
    y = smiles.target.astype(object)
    y[3] = label
    with pytest.raises(ValueError, match=f"y has {label} for clip 3"):
        deep().fit(smiles.clips, y)
