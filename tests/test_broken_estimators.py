"""A check that cannot fail is a defect: each fails for an estimator that breaks its rule."""

import pytest
from broken_estimators import BROKEN, MouthClassifier, MouthTransformer

from smilefusion.testing import clip_checks_generator
from smilefusion.testing._registry import CHECKS

ALL = {check.__name__: check for checks in CHECKS.values() for check in checks}
NEEDS_PROCESSES = "check_processes"


def make(estimator_class):
    return estimator_class(fps=25)


def mark_slow(name):
    return pytest.param(name, marks=[pytest.mark.slow] * (name == NEEDS_PROCESSES))


def test_every_check_has_an_estimator_that_breaks_it():
    assert set(BROKEN) == set(ALL)


def test_every_check_is_registered_once():
    assert len(ALL) == sum(map(len, CHECKS.values()))


@pytest.mark.parametrize("name", list(map(mark_slow, ALL)))
def test_check_fails_for_what_breaks_its_rule(name):
    with pytest.raises(AssertionError, match=f"^{BROKEN[name].__name__} breaks a rule: "):
        ALL[name](make(BROKEN[name]))


@pytest.mark.parametrize("name", list(map(mark_slow, ALL)))
def test_check_passes_for_what_keeps_its_rule(name):
    base = next(cls for cls in BROKEN[name].__mro__ if cls in (MouthClassifier, MouthTransformer))
    assert ALL[name] in list(clip_checks_generator(make(base)))
    ALL[name](make(base))


@pytest.mark.parametrize("name", ALL)
def test_check_applies_to_what_breaks_its_rule(name):
    # What a class without a request for groups takes is told by the signature of fit.
    assert ALL[name] in list(clip_checks_generator(make(BROKEN[name])))
