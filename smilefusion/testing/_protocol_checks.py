"""Checks of scikit-learn's rules: constructor, parameters, fit, pickle."""

import pickle
from typing import Any
from unittest import SkipTest

import joblib
import numpy as np
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.utils import estimator_html_repr, get_tags
from sklearn.utils.validation import check_is_fitted

from smilefusion.testing._data import (
    ensure,
    ensure_accepted,
    ensure_equal,
    ensure_methods_refuse,
    ensure_refused,
    ensure_same,
    fit,
    fitted,
    fresh,
    make_data,
    outputs,
    reference,
    shown,
)
from smilefusion.testing._traits import INVARIANCES


def _holds_estimators(value: Any) -> bool:
    """Whether a parameter is an estimator or a list of estimators, which fit may change."""
    if isinstance(value, (list, tuple)):
        return any(map(_holds_estimators, value))
    return hasattr(value, "fit")


def _hash_params(estimator: Any) -> dict[str, str]:
    """Return a hash of every parameter that is not an estimator."""
    params = estimator.get_params().items()
    return {name: joblib.hash(value) for name, value in params if not _holds_estimators(value)}


def _learned(estimator: Any) -> set[str]:
    """Return the names of learned attributes, including properties."""
    names = {name for name in vars(estimator) if name.endswith("_") and not name.startswith("_")}
    properties = {
        name
        for cls in type(estimator).__mro__
        for name, value in vars(cls).items()
        if isinstance(value, property) and name.endswith("_") and not name.startswith("_")
    }
    return names | {name for name in properties if hasattr(estimator, name)}


def check_constructor_stores_only(estimator: Any) -> None:
    """Check that the constructor only stores its arguments."""
    params = estimator.get_params(deep=False)
    made = type(estimator)(**params)
    extra = set(vars(made)) - set(params)
    ensure(not extra, estimator, f"the constructor stores arguments only; it set {sorted(extra)}")
    for name, value in params.items():
        kept = getattr(made, name, None) is value
        ensure(kept, estimator, f"the constructor stores {name} unchanged")


def check_constructor_validates_nothing(estimator: Any) -> None:
    """Check that the constructor does not validate parameters."""
    params = estimator.get_params(deep=False)
    for name in params:
        rule = f"parameters are validated in fit; the constructor refused {name}=object()"
        with ensure_accepted(estimator, rule, Exception):
            type(estimator)(**(params | {name: object()}))


def check_clone_is_unfitted(estimator: Any) -> None:
    """Check that a clone of a fitted estimator has its parameters and is unfitted."""
    trained = fitted(estimator)
    copy = clone(trained)
    ensure(not _learned(copy), estimator, f"a clone is unfitted; it has {_learned(copy)}")
    same = _hash_params(copy) == _hash_params(trained)
    ensure(same, estimator, "a clone has the same parameters")


def check_set_params(estimator: Any) -> None:
    """Check that set_params accepts the result of get_params and refuses unknown names."""
    copy = clone(estimator)
    before = _hash_params(copy)
    ensure(copy.set_params(**copy.get_params()) is copy, estimator, "set_params returns self")
    ensure(_hash_params(copy) == before, estimator, "set_params(**get_params()) changes nothing")
    marker = object()
    for name in estimator.get_params(deep=False):
        changed = clone(estimator).set_params(**{name: marker})
        kept = changed.get_params(deep=False)[name] is marker
        ensure(kept, estimator, f"get_params returns the {name} that set_params set")
    unknown = {"no_parameter_has_this_name": 1}
    ensure_refused(lambda: copy.set_params(**unknown), estimator, "an unknown parameter")


def check_repr(estimator: Any) -> None:
    """Check that the text and HTML of an estimator contain its class name."""
    name = type(estimator).__name__
    for each in (clone(estimator), fitted(estimator)):
        for text in (repr(each), str(each), estimator_html_repr(each)):
            ensure(name in text, estimator, "its text and HTML contain its class name")


def check_clip_tags(estimator: Any) -> None:
    """Check that the tags declare clips instead of tables, and missing frames."""
    tags = get_tags(estimator).input_tags
    ensure(not tags.two_d_array, estimator, "input_tags.two_d_array is False for clips")
    ensure(tags.three_d_array, estimator, "input_tags.three_d_array is True; clips have 3 axes")
    ensure(tags.allow_nan, estimator, "input_tags.allow_nan is True; missing frames are NaN")
    unknown = set(getattr(tags, "invariances", ())) - set(INVARIANCES)
    known = ", ".join(INVARIANCES)
    ensure(not unknown, estimator, f"invariances are among {known}; it claims {unknown}")


def check_unfitted_is_refused(estimator: Any) -> None:
    """Check that every method raises NotFittedError before fit."""
    copy, error = fresh(estimator), NotFittedError
    ensure_methods_refuse(copy, shown(), estimator, "an unfitted estimator", error=error)
    what = "check_is_fitted before fit"
    ensure_refused(lambda: check_is_fitted(copy), estimator, what, error=error)
    check_is_fitted(fitted(estimator))


def check_stateless_without_fit(estimator: Any) -> None:
    """Check that an estimator with the tag requires_fit=False does not need fit."""
    rule = "tags say requires_fit=False; it raised NotFittedError"
    with ensure_accepted(estimator, rule, NotFittedError):
        without = outputs(fresh(estimator), shown())
    ensure_equal(without, reference(estimator), estimator, "fit changes no output")


def check_fit_returns_self(estimator: Any) -> None:
    """Check that fit returns the estimator itself."""
    data, copy = make_data(), fresh(estimator)
    ensure(copy.fit(data.clips, data.y) is copy, estimator, "fit returns self")


def check_fit_keeps_parameters(estimator: Any) -> None:
    """Check that fit changes no parameter."""
    data, copy = make_data(), fresh(estimator)
    before = _hash_params(copy)
    copy.fit(data.clips, data.y)
    after = _hash_params(copy)
    changed = [name for name in before if before[name] != after.get(name)]
    ensure(not changed, estimator, f"fit changes no parameter; it changed {changed}")


def check_fit_sets_learned_attributes_only(estimator: Any) -> None:
    """Check that attributes set by fit are private or end in an underscore."""
    data, copy = make_data(), fresh(estimator)
    before = set(vars(copy))
    copy.fit(data.clips, data.y)
    odd = {name for name in set(vars(copy)) - before if name[0] != "_" and name[-1] != "_"}
    ensure(not odd, estimator, f"learned attributes end in an underscore; it set {sorted(odd)}")


def check_prediction_keeps_the_estimator(estimator: Any) -> None:
    """Check that methods after fit set no attribute and are repeatable."""
    trained, clips = fitted(estimator), shown()
    before = set(vars(trained))
    first = outputs(trained, clips)
    added = set(vars(trained)) - before
    ensure(not added, estimator, f"only fit sets attributes; methods set {sorted(added)}")
    ensure_equal(outputs(trained, clips), first, estimator, "methods are repeatable")


def check_inputs_are_kept(estimator: Any) -> None:
    """Check that neither clips nor labels are changed."""
    data, original = make_data(), make_data()
    n_clips = len(data.clips)
    outputs(fresh(estimator).fit(data.clips, data.y), data.clips)
    ensure(len(data.clips) == n_clips, estimator, "the list of clips keeps its length")
    for clip, before in zip(data.clips, original.clips, strict=True):
        ensure(clip.tobytes() == before.tobytes(), estimator, "the clips are not changed")
    ensure(np.array_equal(data.y, original.y), estimator, "the labels are not changed")


def check_read_only_inputs(estimator: Any) -> None:
    """Check that read-only clips and labels are accepted."""
    data = make_data()
    for array in (*data.clips, data.y):
        array.flags.writeable = False
    rule = "inputs may be read-only"
    with ensure_accepted(estimator, rule):
        ensure_same(estimator, rule, data.clips, data.y)


def check_pickle(estimator: Any) -> None:
    """Check that unfitted and fitted estimators can be pickled."""
    try:
        pickle.dumps(type(estimator))
    except (pickle.PicklingError, AttributeError) as error:
        raise SkipTest(f"pickle cannot find the class ({error})") from error
    data = make_data()
    trained = fit(estimator)
    expected = outputs(trained, shown())
    restored = pickle.loads(pickle.dumps(trained))
    ensure_equal(outputs(restored, shown()), expected, estimator, "a pickled copy gives the same")
    unfitted = pickle.loads(pickle.dumps(fresh(estimator))).fit(data.clips, data.y)
    rule = "a pickled unfitted copy learns the same"
    ensure_equal(outputs(unfitted, shown()), expected, estimator, rule)


def check_refit_forgets(estimator: Any) -> None:
    """Check that a second fit ignores the first one."""
    data = make_data()
    expected = reference(estimator)
    again = fresh(estimator).fit(data.clips[4:], data.y[4:]).fit(data.clips, data.y)
    ensure_equal(outputs(again, shown()), expected, estimator, "fit ignores an earlier fit")


def check_fit_transform(estimator: Any) -> None:
    """Check that fit_transform gives the same as fit and transform."""
    data = make_data()
    together = {"transform": np.asarray(fresh(estimator).fit_transform(data.clips, data.y))}
    apart = {"transform": np.asarray(fitted(estimator).transform(data.clips))}
    ensure_equal(together, apart, estimator, "fit_transform gives the same as fit and transform")


def check_labels_are_needed(estimator: Any) -> None:
    """Check that fit without labels is refused if the tags require them."""
    clips, copy = make_data().clips, fresh(estimator)
    words = "requires y|y should be|target y|got None|labels"
    ensure_refused(lambda: copy.fit(clips, None), estimator, "fit without y", words=words)


def check_labels_are_optional(estimator: Any) -> None:
    """Check that fit ignores labels if the tags do not require them."""
    without = fresh(estimator).fit(make_data().clips)
    rule = "labels that the tags do not require are ignored"
    ensure_equal(outputs(without, shown()), reference(estimator), estimator, rule)
