"""Every check fails for an estimator that breaks its rule and passes for one that follows it."""

import pytest
from broken_estimators import BROKEN, MouthClassifier, MouthTransformer

from smilefusion.testing import clip_checks_generator
from smilefusion.testing._suite import CHECKS, NEEDS


def mark_slow(name):
    return pytest.param(name, marks=[pytest.mark.slow] * (name == "check_processes"))


def applying(estimator):
    return {check.__name__ for check in clip_checks_generator(estimator)}


def test_every_check_has_an_estimator_that_breaks_it():
    assert set(BROKEN) == set(CHECKS)
    assert set(NEEDS) <= set(CHECKS)


@pytest.mark.parametrize("name", list(map(mark_slow, CHECKS)))
def test_check_fails_for_a_broken_estimator(name):
    broken = BROKEN[name](fps=25)
    assert name in applying(broken)
    with pytest.raises(AssertionError, match=f"^{BROKEN[name].__name__} breaks a rule: "):
        CHECKS[name](broken)


@pytest.mark.parametrize("name", list(map(mark_slow, CHECKS)))
def test_check_passes_for_a_correct_estimator(name):
    base = next(cls for cls in BROKEN[name].__mro__ if cls in (MouthClassifier, MouthTransformer))
    assert name in applying(base(fps=25))
    CHECKS[name](base(fps=25))
