"""Properties of an estimator that decide which checks apply."""

from typing import Any

import sklearn
from sklearn.base import is_classifier
from sklearn.utils import get_tags
from sklearn.utils.metadata_routing import get_routing_for_object
from sklearn.utils.validation import has_fit_parameter

INVARIANCES = ("translation", "scale", "rotation", "mirror")


def is_composite(estimator: Any) -> bool:
    """Whether an estimator contains others, as a Pipeline or a search does."""
    return any(hasattr(value, "fit") for value in estimator.get_params().values())


def find_traits(estimator: Any) -> set[str]:
    """Return the traits of an unfitted estimator, the values of `NEEDS`."""
    tags, params = get_tags(estimator), estimator.get_params()
    names = {name.rpartition("__")[2] for name in params}
    takes_groups, composite = _takes_groups(estimator), is_composite(estimator)
    labelled = tags.target_tags.required or is_classifier(estimator)  # not in a Pipeline
    weighted = has_fit_parameter(estimator, "sample_weight")
    found = {
        "own tags": not composite,
        "learning": tags.requires_fit,
        "stateless": not tags.requires_fit,
        "transformer": tags.transformer_tags is not None,
        "classifier": is_classifier(estimator),
        "multiclass": labelled
        and (tags.classifier_tags is None or tags.classifier_tags.multi_class),
        "labelled": labelled,
        "unlabelled": not labelled,
        "groups": takes_groups,
        "early stopping": takes_groups and "patience" in names,
        "sample weights": weighted,
        "labelled sample weights": weighted and labelled,
        "random state": "random_state" in names,
        "frame rate": "fps" in params and not composite,
        "durations": _names_durations(estimator),
        **dict.fromkeys(getattr(tags.input_tags, "invariances", ()), True),
    }
    return {trait for trait, present in found.items() if present}


def _takes_groups(estimator: Any) -> bool:
    """Whether fit accepts groups, directly or through routing."""
    if has_fit_parameter(estimator, "groups"):
        return True
    with sklearn.config_context(enable_metadata_routing=True):
        return bool(get_routing_for_object(estimator).consumes("fit", ["groups"]))


def _names_durations(estimator: Any) -> bool:
    """Whether a transformer has a frame rate and features whose names end in "duration"."""
    names = getattr(estimator, "get_feature_names_out", None)
    if get_tags(estimator).requires_fit or names is None or "fps" not in estimator.get_params():
        return False
    return any(name.endswith("duration") for name in names())
