"""Checks of what scikit-learn asks of every estimator: constructor, parameters, fit, pickle."""

import pickle
from unittest import SkipTest

import joblib
import numpy as np
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.utils import estimator_html_repr, get_tags
from sklearn.utils.validation import check_is_fitted

from smilefusion.testing._data import (
    METHODS,
    N_SHOWN,
    ensure,
    ensure_equal,
    ensure_refused,
    fit,
    fitted,
    fresh,
    make_data,
    outputs,
    reference,
    shown,
)
from smilefusion.testing._traits import INVARIANCES


def _holds_estimators(value):
    """Whether a parameter is an estimator or a container of some, which fit may fill."""
    if isinstance(value, (list, tuple)):
        return any(map(_holds_estimators, value))
    return hasattr(value, "fit")


def _hash_params(estimator):
    """Return a hash of every parameter."""
    params = estimator.get_params().items()
    return {name: joblib.hash(value) for name, value in params if not _holds_estimators(value)}


def _learned(estimator):
    """Return the names of learned attributes, of properties too."""
    names = {name for name in vars(estimator) if name.endswith("_") and not name.startswith("_")}
    properties = {
        name
        for cls in type(estimator).__mro__
        for name, value in vars(cls).items()
        if isinstance(value, property) and name.endswith("_") and not name.startswith("_")
    }
    return names | {name for name in properties if hasattr(estimator, name)}


def check_constructor_stores_only(estimator):
    """Check that the constructor stores its arguments as they are and does nothing else."""
    params = estimator.get_params(deep=False)
    made = type(estimator)(**params)
    extra = set(vars(made)) - set(params)
    ensure(not extra, estimator, f"the constructor stores arguments only; it set {sorted(extra)}")
    for name, value in params.items():
        kept = getattr(made, name, None) is value
        ensure(kept, estimator, f"the constructor stores {name} as it is")


def check_constructor_validates_nothing(estimator):
    """Check that the constructor refuses no parameter, which is left to fit."""
    params = estimator.get_params(deep=False)
    for name in params:
        try:
            type(estimator)(**(params | {name: object()}))
        except Exception as error:
            raise AssertionError(
                f"{type(estimator).__name__} breaks a rule: parameters are validated in fit; the "
                f"constructor refused {name}=object() ({error})"
            ) from error


def check_clone_is_unfitted(estimator):
    """Check that a clone of a fitted estimator has its parameters and nothing that was learned."""
    trained = fitted(estimator)
    copy = clone(trained)
    ensure(not _learned(copy), estimator, f"a clone is unfitted; it has {_learned(copy)}")
    same = _hash_params(copy) == _hash_params(trained)
    ensure(same, estimator, "a clone has the same parameters")


def check_set_params(estimator):
    """Check that set_params takes what get_params gives and refuses unknown names."""
    copy = clone(estimator)
    before = _hash_params(copy)
    ensure(copy.set_params(**copy.get_params()) is copy, estimator, "set_params returns self")
    ensure(_hash_params(copy) == before, estimator, "set_params(**get_params()) changes nothing")
    marker = object()
    for name in estimator.get_params(deep=False):
        changed = clone(estimator).set_params(**{name: marker})
        kept = changed.get_params(deep=False)[name] is marker
        ensure(kept, estimator, f"get_params gives the {name} that set_params set")
    unknown = {"no_parameter_has_this_name": 1}
    ensure_refused(lambda: copy.set_params(**unknown), estimator, "an unknown parameter")


def check_repr(estimator):
    """Check that the text and HTML of an estimator tell its class, unfitted and fitted."""
    name = type(estimator).__name__
    for each in (clone(estimator), fitted(estimator)):
        for text in (repr(each), str(each), estimator_html_repr(each)):
            ensure(name in text, estimator, "its text and HTML tell its class")


def check_clip_tags(estimator):
    """Check that the tags tell of clips in place of tables, and of missing frames."""
    tags = get_tags(estimator).input_tags
    ensure(not tags.two_d_array, estimator, "input_tags.two_d_array is False; clips are no table")
    ensure(tags.three_d_array, estimator, "input_tags.three_d_array is True; clips have 3 axes")
    ensure(tags.allow_nan, estimator, "input_tags.allow_nan is True; missing frames are NaN")
    unknown = set(getattr(tags, "invariances", ())) - set(INVARIANCES)
    known = ", ".join(INVARIANCES)
    ensure(not unknown, estimator, f"invariances are among {known}; it claims {unknown}")


def check_unfitted_is_refused(estimator):
    """Check that before fit every method raises NotFittedError."""
    copy, clips = fresh(estimator), shown()
    for method in METHODS:
        if hasattr(copy, method):
            call = getattr(copy, method)
            what = f"{method} before fit"
            ensure_refused(lambda c=call: c(clips), estimator, what, error=NotFittedError)
    ensure_refused(
        lambda: check_is_fitted(copy),
        estimator,
        "check_is_fitted before fit",
        error=NotFittedError,
    )
    check_is_fitted(fitted(estimator))


def check_stateless_without_fit(estimator):
    """Check that an estimator whose tags say requires_fit=False gives the same without fit."""
    try:
        without = outputs(fresh(estimator), shown())
    except NotFittedError as error:
        raise AssertionError(
            f"{type(estimator).__name__} breaks a rule: tags say requires_fit=False; it raised "
            f"NotFittedError ({error})"
        ) from error
    ensure_equal(without, reference(estimator), estimator, "fit changes no output")


def check_fit_returns_self(estimator):
    """Check that fit returns the estimator itself."""
    data, copy = make_data(), fresh(estimator)
    ensure(copy.fit(data.clips, data.y) is copy, estimator, "fit returns self")


def check_fit_keeps_parameters(estimator):
    """Check that fit changes no parameter."""
    data, copy = make_data(), fresh(estimator)
    before = _hash_params(copy)
    copy.fit(data.clips, data.y)
    after = _hash_params(copy)
    changed = [name for name in before if before[name] != after.get(name)]
    ensure(not changed, estimator, f"fit changes no parameter; it changed {changed}")


def check_fit_sets_learned_attributes_only(estimator):
    """Check that what fit sets is private or ends in an underscore."""
    data, copy = make_data(), fresh(estimator)
    before = set(vars(copy))
    copy.fit(data.clips, data.y)
    odd = {name for name in set(vars(copy)) - before if name[0] != "_" and name[-1] != "_"}
    ensure(not odd, estimator, f"what fit learns ends in an underscore; it set {sorted(odd)}")


def check_prediction_keeps_the_estimator(estimator):
    """Check that methods after fit set no attribute and give the same every time."""
    trained, clips = fit(estimator), shown()
    before = set(vars(trained))
    first = outputs(trained, clips)
    added = set(vars(trained)) - before
    ensure(not added, estimator, f"only fit sets attributes; methods set {sorted(added)}")
    ensure_equal(outputs(trained, clips), first, estimator, "a method gives the same every time")


def check_inputs_are_kept(estimator):
    """Check that fit and the methods after it change neither clips nor labels."""
    data, original = make_data(), make_data()
    n_clips = len(data.clips)
    outputs(fresh(estimator).fit(data.clips, data.y), data.clips)
    ensure(len(data.clips) == n_clips, estimator, "the list of clips keeps its length")
    for clip, before in zip(data.clips, original.clips, strict=True):
        ensure(clip.tobytes() == before.tobytes(), estimator, "the clips are not changed")
    ensure(np.array_equal(data.y, original.y), estimator, "the labels are not changed")


def check_read_only_inputs(estimator):
    """Check that clips and labels that cannot be written to give the same."""
    data = make_data()
    for array in (*data.clips, data.y):
        array.flags.writeable = False
    try:
        actual = outputs(fit(estimator, data.clips, data.y), data.clips[:N_SHOWN])
    except ValueError as error:
        raise AssertionError(
            f"{type(estimator).__name__} breaks a rule: inputs may be read-only ({error})"
        ) from error
    ensure_equal(actual, reference(estimator), estimator, "read-only inputs give the same")


def check_pickle(estimator):
    """Check that an estimator pickles, unfitted and fitted, and then gives the same."""
    try:
        pickle.dumps(type(estimator))
    except (pickle.PicklingError, AttributeError) as error:
        raise SkipTest(f"pickle finds no class that is defined in a session ({error})") from error
    data = make_data()
    trained = fit(estimator)
    expected = outputs(trained, shown())
    restored = pickle.loads(pickle.dumps(trained))
    ensure_equal(outputs(restored, shown()), expected, estimator, "a pickle gives the same")
    unfitted = pickle.loads(pickle.dumps(fresh(estimator))).fit(data.clips, data.y)
    rule = "a pickle of the unfitted estimator learns the same"
    ensure_equal(outputs(unfitted, shown()), expected, estimator, rule)


def check_refit_forgets(estimator):
    """Check that a second fit gives what a first one gives, whatever was learned before."""
    data = make_data()
    expected = reference(estimator)
    again = fresh(estimator).fit(data.clips[4:], data.y[4:]).fit(data.clips, data.y)
    ensure_equal(outputs(again, shown()), expected, estimator, "fit forgets an earlier fit")


def check_fit_transform(estimator):
    """Check that fit_transform gives what fit and then transform give."""
    data = make_data()
    together = {"transform": np.asarray(fresh(estimator).fit_transform(data.clips, data.y))}
    apart = {"transform": np.asarray(fit(estimator).transform(data.clips))}
    ensure_equal(together, apart, estimator, "fit_transform gives what fit and transform give")


def check_labels_are_needed(estimator):
    """Check that fit without labels is refused where the tags require them."""
    clips, copy = make_data().clips, fresh(estimator)
    words = "requires y|y should be|target y|got None|labels"
    ensure_refused(lambda: copy.fit(clips, None), estimator, "fit without y", words=words)


def check_labels_are_optional(estimator):
    """Check that fit ignores labels where the tags do not require them."""
    without = fresh(estimator).fit(make_data().clips)
    rule = "labels that the tags do not require are ignored"
    ensure_equal(outputs(without, shown()), reference(estimator), estimator, rule)
