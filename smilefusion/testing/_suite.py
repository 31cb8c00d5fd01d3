"""Run the checks that apply to an estimator on clips."""

import re
import warnings
from collections.abc import Callable, Iterator
from typing import Any
from unittest import SkipTest

from sklearn.exceptions import EstimatorCheckFailedWarning, SkipTestWarning
from sklearn.utils._param_validation import StrOptions, validate_params

import smilefusion.testing._form_checks as input_checks
import smilefusion.testing._isolation_checks as isolation_checks
import smilefusion.testing._output_checks as output_checks
import smilefusion.testing._protocol_checks as protocol_checks
import smilefusion.testing._refusal_checks as refusal_checks
from smilefusion.testing._traits import find_traits

_MODULES = (protocol_checks, input_checks, output_checks, isolation_checks, refusal_checks)
CHECKS = {
    name: check
    for module in _MODULES
    for name, check in vars(module).items()
    if name.startswith("check_") and check.__module__ == module.__name__
}
# Check → trait that an estimator must have, see `find_traits`. All others apply always.
NEEDS = {
    "check_clip_tags": "own tags",
    "check_unfitted_is_refused": "learning",
    "check_other_landmarks_than_fitted_are_refused": "learning",
    "check_stateless_without_fit": "stateless",
    "check_seed_counts": "random state",
    "check_labels_are_needed": "labelled",
    "check_string_labels": "labelled",
    "check_boolean_labels": "labelled",
    "check_forms_of_labels": "labelled",
    "check_labels_of_another_length_are_refused": "labelled",
    "check_one_class_is_refused": "labelled",
    "check_bad_labels_are_refused": "labelled",
    "check_labels_are_optional": "unlabelled",
    "check_three_classes": "multiclass",
    "check_classifier_outputs": "classifier",
    "check_fit_transform": "transformer",
    "check_feature_names": "transformer",
    "check_set_output": "transformer",
    "check_forms_of_groups": "groups",
    "check_groups_of_another_length_are_refused": "groups",
    "check_routing_of_groups": "groups",
    "check_early_stopping_keeps_groups_whole": "early stopping",
    "check_uniform_sample_weight": "sample weights",
    "check_bad_sample_weight_is_refused": "sample weights",
    "check_sample_weight_counts": "labelled sample weights",
    "check_forms_of_fps": "frame rate",
    "check_bad_fps_is_refused": "frame rate",
    "check_durations_follow_fps": "durations",
    "check_translation": "translation",
    "check_scale": "scale",
    "check_rotation": "rotation",
    "check_mirror": "mirror",
}


def clip_checks_generator(estimator: Any) -> Iterator[Callable[[Any], None]]:
    """Yield the checks that apply to an estimator on clips.

    The tags, the parameters and the signature of `fit` decide which ones apply.

    Parameters
    ----------
    estimator : estimator
        An instance. It is neither fitted nor changed.

    Yields
    ------
    check : callable
        Takes an estimator and raises AssertionError if it breaks the rule of the check.

    Raises
    ------
    TypeError
        If `estimator` is a class.

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
            f"The checks need an instance, but got the class {estimator.__name__}. Create an "
            "instance with parameters that make it fast."
        )
    traits = find_traits(estimator)
    for name, check in CHECKS.items():
        if name not in NEEDS or NEEDS[name] in traits:
            yield check


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
    estimator: Any,
    *,
    expected_failed_checks: dict[str, str] | None = None,
    on_skip: str | None = "warn",
    on_fail: str | None = "raise",
    callback: Callable | None = None,
) -> list[dict[str, Any]]:
    """Check that an estimator on clips follows the rules of this package and of scikit-learn.

    This is the counterpart of `sklearn.utils.estimator_checks.check_estimator`, which runs only
    one check for estimators whose input is not a table.

    Parameters
    ----------
    estimator : estimator
        An instance. The checks fit it about 80 times to 16 short clips at 25 frames per second:
        choose parameters that make it fast, and ``device="cpu"`` if it has that parameter.
    expected_failed_checks : dict of str to str, default=None
        Names of checks that may fail, with the reasons.
    on_skip : {"warn"} or None, default="warn"
        Whether to warn if a check cannot run.
    on_fail : {"raise", "warn"} or None, default="raise"
        Whether an unexpected failure raises its error, warns, or is only recorded.
    callback : callable or None, default=None
        Called with the entries of each record as keyword arguments.

    Returns
    -------
    records : list of dict
        One record per check that applies, as in scikit-learn: ``estimator``, ``check_name``,
        ``exception``, ``status`` ("passed", "failed", "xfail" or "skipped"),
        ``expected_to_fail`` and ``expected_to_fail_reason``.

    Raises
    ------
    AssertionError
        If a check fails and ``on_fail="raise"``. The message names the broken rule.
    TypeError
        If `estimator` is a class.
    ValueError
        If `expected_failed_checks` names a check that does not apply.

    See Also
    --------
    parametrize_with_clip_checks : The same checks as pytest tests.

    Examples
    --------
    >>> from smilefusion import DMarkerTransformer
    >>> from smilefusion.testing import check_clip_estimator
    >>> records = check_clip_estimator(DMarkerTransformer(fps=25))  # doctest: +SKIP
    >>> {record["status"] for record in records}  # doctest: +SKIP
    {'passed'}
    """
    records = []
    for check, reason in _applying_checks(estimator, expected_failed_checks):
        name, status = check.__name__, "passed"
        exception: Exception | None = None
        try:
            check(estimator)
        except SkipTest as skip:
            exception, status = skip, "skipped"
        except Exception as error:
            if on_fail == "raise" and reason is None:
                raise
            exception, status = error, "failed" if reason is None else "xfail"
        record = {
            "estimator": estimator,
            "check_name": name,
            "exception": exception,
            "status": status,
            "expected_to_fail": reason is not None,
            "expected_to_fail_reason": reason or "Check is not expected to fail",
        }
        if status == "skipped" and on_skip == "warn":
            text = f"{name} cannot run for {type(estimator).__name__}: {exception}"
            warnings.warn(text, SkipTestWarning, stacklevel=2)
        if status == "failed" and on_fail == "warn":
            warnings.warn(EstimatorCheckFailedWarning(**record), stacklevel=2)
        records.append(record)
        if callback is not None:
            callback(**record)
    return records


def parametrize_with_clip_checks(
    estimators: list, *, expected_failed_checks: Callable[[Any], dict[str, str]] | None = None
) -> Any:
    """Make a pytest decorator that runs every check as a separate test.

    Parameters
    ----------
    estimators : list of estimators
        Instances with parameters that make them fast.
    expected_failed_checks : callable or None, default=None
        Takes an estimator and returns a dict of the names of checks that may fail, with the
        reasons. They are marked as expected failures.

    Returns
    -------
    decorator : callable
        For a test with the arguments `estimator` and `check`.

    Raises
    ------
    TypeError
        If an estimator is a class.
    ValueError
        If a check that does not apply is expected to fail.

    See Also
    --------
    check_clip_estimator : The same checks without pytest.

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
        expected = expected_failed_checks(estimator) if expected_failed_checks else None
        text = re.sub(r"\s", "", repr(estimator))
        for check, reason in _applying_checks(estimator, expected):
            marks = [] if reason is None else [pytest.mark.xfail(reason=reason)]
            name = f"{text}-{check.__name__}"
            params.append(pytest.param(estimator, check, marks=marks, id=name))
    return pytest.mark.parametrize(("estimator", "check"), params)


def _applying_checks(
    estimator: Any, expected: dict[str, str] | None
) -> list[tuple[Callable[[Any], None], str | None]]:
    """Return pairs of check and reason why it may fail, or None."""
    expected, checks = expected or {}, list(clip_checks_generator(estimator))
    unknown = sorted(set(expected) - {check.__name__ for check in checks})
    if unknown:
        raise ValueError(
            f"expected_failed_checks names {', '.join(unknown)}, but no such check applies to "
            f"{type(estimator).__name__}. clip_checks_generator lists the checks that apply."
        )
    return [(check, expected.get(check.__name__)) for check in checks]
