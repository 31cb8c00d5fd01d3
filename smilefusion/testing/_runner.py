"""Run the checks that apply to an estimator on clips."""

import re
import warnings
from unittest import SkipTest

from sklearn.exceptions import EstimatorCheckFailedWarning, SkipTestWarning
from sklearn.utils._param_validation import StrOptions, validate_params

from smilefusion.testing._registry import CHECKS
from smilefusion.testing._traits import find_traits


def clip_checks_generator(estimator):
    """Yield the checks that apply to an estimator on clips.

    Which ones apply follows from its tags, parameters and the signature of `fit`.

    Parameters
    ----------
    estimator : estimator
        An instance, which is neither fitted nor changed.

    Yields
    ------
    check : callable
        Takes an estimator and raises AssertionError where it breaks the check's rule.

    Raises
    ------
    TypeError
        If a class is given in place of an instance.

    Examples
    --------
    >>> from smilefusion import DMarkerTransformer
    >>> from smilefusion.testing import clip_checks_generator
    >>> names = [check.__name__ for check in clip_checks_generator(DMarkerTransformer())]
    >>> "check_missing_frames" in names, "check_classifier_outputs" in names
    (True, False)
    """
    if isinstance(estimator, type):
        raise TypeError(
            f"An instance is checked; got the class {estimator.__name__}. Call it, with the "
            f"parameters that make it quick."
        )
    traits = find_traits(estimator)
    for trait, checks in CHECKS.items():
        if trait in traits:
            yield from checks


@validate_params(
    {
        "expected_failed_checks": [dict, None],
        "on_skip": [StrOptions({"warn"}), None],
        "on_fail": [StrOptions({"raise", "warn"}), None],
        "callback": [callable, None],
    },
    prefer_skip_nested_validation=True,
)
def check_clip_estimator(
    estimator,
    *,
    expected_failed_checks=None,
    on_skip="warn",
    on_fail="raise",
    callback=None,
):
    """Check that an estimator on clips keeps the rules of this package and of scikit-learn.

    The counterpart of `sklearn.utils.estimator_checks.check_estimator`, which skips every check
    but one for estimators whose input is not a table.

    Parameters
    ----------
    estimator : estimator
        An instance. It is fitted some 150 times to 16 short clips at 25 frames per second:
        give it parameters that make it quick, and ``device="cpu"`` where it has that one.
    expected_failed_checks : dict of str to str, default=None
        Names of checks that may fail, and why.
    on_skip : {"warn"} or None, default="warn"
        Whether a check that cannot run warns.
    on_fail : {"raise", "warn"} or None, default="raise"
        Whether a check that fails, and is not expected to, raises its error, warns, or is only
        recorded.
    callback : callable or None, default=None
        Called with the entries of each record as keyword arguments.

    Returns
    -------
    records : list of dict
        One per check that applies, as scikit-learn's: ``estimator``, ``check_name``,
        ``exception``, ``status`` ("passed", "failed", "xfail" or "skipped"),
        ``expected_to_fail`` and ``expected_to_fail_reason``.

    Raises
    ------
    AssertionError
        If a check fails and ``on_fail="raise"``; the message says which rule is broken.
    TypeError
        If a class is given in place of an instance.
    ValueError
        If `expected_failed_checks` names a check that does not apply.

    See Also
    --------
    parametrize_with_clip_checks : The same as tests of pytest.

    Examples
    --------
    >>> from smilefusion import DMarkerTransformer
    >>> from smilefusion.testing import check_clip_estimator
    >>> records = check_clip_estimator(DMarkerTransformer(fps=25))  # doctest: +SKIP
    >>> {record["status"] for record in records}  # doctest: +SKIP
    {'passed'}
    """
    expected = _check_expected(estimator, expected_failed_checks)
    records = []
    for check in clip_checks_generator(estimator):
        name = check.__name__
        record = {
            "estimator": estimator,
            "check_name": name,
            **_run(check, estimator, raises=on_fail == "raise" and name not in expected),
            "expected_to_fail": name in expected,
            "expected_to_fail_reason": expected.get(name, "Check is not expected to fail"),
        }
        if record["status"] == "failed" and name in expected:
            record["status"] = "xfail"
        if record["status"] == "skipped" and on_skip == "warn":
            reason = f"{name} cannot run for {type(estimator).__name__}: {record['exception']}"
            warnings.warn(reason, SkipTestWarning, stacklevel=2)
        if record["status"] == "failed" and on_fail == "warn":
            warnings.warn(EstimatorCheckFailedWarning(**record), stacklevel=2)
        records.append(record)
        if callback is not None:
            callback(**record)
    return records


def parametrize_with_clip_checks(estimators, *, expected_failed_checks=None):
    """Make a decorator for pytest that runs every check as a test of its own.

    Parameters
    ----------
    estimators : list of estimators
        Instances, with parameters that make them quick.
    expected_failed_checks : callable or None, default=None
        Takes an estimator and returns a dict of the names of its checks that may fail, and why;
        those are marked as expected failures.

    Returns
    -------
    decorator : callable
        For a test with the arguments `estimator` and `check`.

    Raises
    ------
    TypeError
        If a class is given in place of an instance.
    ValueError
        If a check that does not apply is expected to fail.

    See Also
    --------
    check_clip_estimator : The same without pytest.

    Examples
    --------
    >>> from smilefusion import DMarkerTransformer
    >>> from smilefusion.testing import parametrize_with_clip_checks
    >>> @parametrize_with_clip_checks([DMarkerTransformer(fps=25)])
    ... def test_my_estimator(estimator, check):
    ...     check(estimator)
    """
    import pytest

    params = []
    for estimator in estimators:
        given = None if expected_failed_checks is None else expected_failed_checks(estimator)
        expected = _check_expected(estimator, given)
        text = re.sub(r"\s", "", repr(estimator))
        for check in clip_checks_generator(estimator):
            name = check.__name__
            marks = [pytest.mark.xfail(reason=expected[name])] if name in expected else []
            params.append(pytest.param(estimator, check, marks=marks, id=f"{text}-{name}"))
    return pytest.mark.parametrize(("estimator", "check"), params)


def _check_expected(estimator, expected):
    """Return the checks that may fail; refuse those that do not apply."""
    expected = expected or {}
    applying = {check.__name__ for check in clip_checks_generator(estimator)}
    unknown = sorted(set(expected) - applying)
    if unknown:
        raise ValueError(
            f"expected_failed_checks names {', '.join(unknown)}; no such check applies to "
            f"{type(estimator).__name__}. clip_checks_generator lists those that do."
        )
    return expected


def _run(check, estimator, *, raises):
    """Return what became of a check: status and exception."""
    try:
        check(estimator)
    except SkipTest as skip:
        return {"exception": skip, "status": "skipped"}
    except Exception as error:
        if raises:
            raise
        return {"exception": error, "status": "failed"}
    return {"exception": None, "status": "passed"}
