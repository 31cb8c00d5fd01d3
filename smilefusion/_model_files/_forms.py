"""Forms of learned attributes, and the checks that they fit together.

A form is one or several of these, separated by ``|``; a star after them means that the attribute
may be absent. ``f`` is a number, ``i`` an integer, ``b`` a bool, ``s`` a string, ``none`` None;
``<A,B>`` an instance of one of these classes, ``<>`` one of any class of the list; ``x`` anything
that a file can hold. ``f[F,K]`` is an array: ``f`` of numbers, ``i`` of integers, ``b`` of bools,
``s`` of strings, ``o`` of strings or numbers, ``l`` of class labels. Letters in brackets are
sizes: the same letter is the same size throughout an estimator, ``F`` is ``n_features_in_``,
``.`` any size.
"""

import numbers
import re

import numpy as np

from smilefusion._model_files._parts import find_class, is_part
from smilefusion.reliability._distribution import REASONS

# "g", of subjects, is for `_check_split` alone.
_KINDS = {"f": "fiu", "i": "iu", "b": "b", "s": "OU", "o": "OUfiub", "l": "OUfiub", "g": "Ufiub"}
_ARRAY = re.compile(r"([fibsol])\[([A-Z.,]*)\]")
# Frames per second, frames and windows beyond these are no clips': they exhaust the memory.
_MAXIMA = {"fps": 1e5, "n_frames": 10**5, "n_windows": 10**4, "max_gap": 10**6}
_FREE_NET_PARAMS = ("iterator_train__drop_last", "iterator_train__shuffle", "optimizer")


def check_learned(name, part, learned):
    """Check what an estimator has learned against the forms of its class.

    Parameters
    ----------
    name : str
        Name of the class.
    part : Part
        What the class may hold.
    learned : dict of str to object
        The attributes.

    Raises
    ------
    ValueError
        If an attribute is unknown, missing, or of another form.
    """
    forms = part.forms()
    unknown = [key for key in learned if key not in forms]
    if unknown:
        raise ValueError(f"{name} holds no attribute {unknown[0]!r:.80}")
    needed = [key for key, form in forms.items() if not form.endswith("*")]
    missing = [key for key in needed if key not in learned]
    if missing and len(missing) < len(needed):
        raise ValueError(f"{name} lacks the attribute {missing[0]!r}")
    sizes = {}
    if isinstance(learned.get("n_features_in_"), numbers.Integral):
        sizes["F"] = int(learned["n_features_in_"])
    for key, value in learned.items():
        alternatives = forms[key].rstrip("*").split("|")
        if not any(_has_form(value, form, sizes) for form in alternatives):
            raise ValueError(f"{key} of {name} has not the form {forms[key].rstrip('*')!r}")
    if "split_" in learned:
        _check_split(name, learned["split_"])
    if name in _SPECIAL and not missing:
        _SPECIAL[name](learned)


def check_params(name, params):
    """Check parameters whose values can do more than be numbers.

    Parameters
    ----------
    name : str
        Name of the class.
    params : dict of str to object
        The parameters.

    Raises
    ------
    ValueError
        If a parameter has a value that no model file may give it.
    """
    if not find_class(name)[0].__module__.startswith("smilefusion."):
        _check_sklearn_params(name, params)
        return
    for key, maximum in _MAXIMA.items():
        value = np.asarray(params.get(key))
        if value.dtype.kind in "fiu" and value.size and not value.max() <= maximum:
            raise ValueError(f"{key} of {name} is above {maximum:g}")
    if params.get("device", "auto") not in ("auto", "cpu"):
        raise ValueError(f"device of {name} must be 'auto' or 'cpu' in a model file")
    if not isinstance(params.get("fusion", ""), str):
        raise ValueError(f"fusion of {name} must be the key of a strategy")
    for key, value in (params.get("fusion_params") or {}).items():
        if not isinstance(key, str) or not isinstance(value, (bool, int, float, str, type(None))):
            raise ValueError(f"fusion_params of {name} must map names to numbers or strings")
    _check_net_params(name, params.get("net_params") or {})


def _check_net_params(name, net_params):
    """Check that parameters of the net are an optimiser, its settings, and sizes of layers."""
    for key, value in net_params.items():
        known = isinstance(key, str) and (
            key in _FREE_NET_PARAMS or key.startswith(("module__", "optimizer__"))
        )
        if not known:
            raise ValueError(
                f"net_params[{key!r:.80}] of {name} cannot be part of a model file; it may hold "
                f"{', '.join(_FREE_NET_PARAMS)}, optimizer__ and module__ settings"
            )
        values = value if isinstance(value, (list, tuple)) else [value]
        plain = all(isinstance(each, (bool, int, float, type(None))) for each in values)
        named = key == "optimizer" and getattr(value, "__module__", "").startswith("torch.optim")
        if not plain and not named:
            raise ValueError(f"net_params[{key!r:.80}] of {name} must be numbers in a model file")


def _check_sklearn_params(name, params):
    """Check that steps are pairs or triples of a name, a part and columns; kernels are known."""
    lists = {
        "Pipeline": ("steps", 2),
        "FusionPipeline": ("steps", 2),
        "FeatureUnion": ("transformer_list", 2),
        "ColumnTransformer": ("transformers", 3),
    }
    if name in lists:
        _check_steps(name, params.get(lists[name][0]), lists[name][1])
    if name == "SVC" and params.get("kernel") not in ("linear", "poly", "rbf", "sigmoid"):
        raise ValueError("SVC must have one of libsvm's four kernels in a model file")


def _check_steps(name, steps, length):
    """Check named parts of a composed estimator."""
    if not isinstance(steps, (list, tuple)):
        raise ValueError(f"{name} has no list of parts")
    for step in steps:
        if not isinstance(step, (list, tuple)) or len(step) != length:
            raise ValueError(f"a part of {name} has not {length} entries")
        label, part = step[:2]
        is_word = part is None or (isinstance(part, str) and part in ("drop", "passthrough"))
        if not isinstance(label, str) or not (is_word or hasattr(part, "get_params")):
            raise ValueError(f"a part of {name} is no named estimator")


def _has_form(value, form, sizes):
    """Whether a value has one form; sizes seen for the first time are noted."""
    if form == "x":
        return True
    if form == "none":
        return value is None
    if form.startswith("<"):
        names = [name for name in form[1:-1].split(",") if name]
        kind = type(value)
        return kind.__name__ in names if names else is_part(kind) or hasattr(value, "get_params")
    match = _ARRAY.fullmatch(form)
    if match:
        return _is_array(value, match[1], match[2].split(",") if match[2] else [], sizes)
    return _is_scalar(value, form)


def _is_scalar(value, form):
    """Whether a value is one bool, string, integer or number."""
    if form in ("b", "s"):
        return isinstance(value, (bool, np.bool_) if form == "b" else str)
    kind = numbers.Integral if form == "i" else numbers.Real
    return isinstance(value, kind) and not isinstance(value, bool)


def _is_array(value, kind, letters, sizes):
    """Whether a value is an array of a kind whose sizes agree with those known."""
    if not isinstance(value, np.ndarray) or value.dtype.kind not in _KINDS[kind]:
        return False
    if len(letters) != value.ndim:
        return False
    return all(
        letter == "." or sizes.setdefault(letter, size) == size
        for letter, size in zip(letters, value.shape, strict=True)
    )


def _check_split(name, split):
    """Check that a split is subjects, or None, and numbers of samples."""
    fits = isinstance(split, dict) and set(split) == {
        *("train", "early_stopping", "n_train", "n_early_stopping")
    }
    if not fits or not all(
        _is_scalar(value, "i")
        if key.startswith("n_")
        else value is None or _is_array(value, "g", ["."], {})
        for key, value in split.items()
    ):
        raise ValueError(f"split_ of {name} does not hold subjects and numbers of samples")


def _check_fusion(learned):
    """Check that the columns of the streams exist."""
    n_columns = learned.get("n_features_in_", 0)
    for key in ("deep_columns_", "dmarker_columns_"):
        columns = learned[key]
        if columns.size == 0 or columns.min() < 0 or columns.max() >= n_columns:
            raise ValueError(f"{key} of FusionClassifier are not among its {n_columns} columns")


def _check_svc(learned):
    """Check what libsvm, which is compiled, takes on trust."""
    n_classes, n_pairs = len(learned["classes_"]), len(learned["intercept_"])
    n_support, n_vectors = learned["_n_support"], len(learned["support_"])
    exact = all(
        learned[key].dtype == np.float64 for key in ("support_vectors_", "_dual_coef_", "_probA")
    )
    exact &= n_support.dtype == learned["support_"].dtype == np.int32
    if learned["_sparse"] or not exact:
        raise ValueError("the arrays of SVC are not those of a dense fit")
    counted = (n_support >= 0).all() and n_support.sum(dtype=np.int64) == n_vectors
    sized = n_pairs == n_classes * (n_classes - 1) // 2 and n_classes >= 2
    sized &= learned["dual_coef_"].shape[0] == n_classes - 1
    if not counted or not sized or len(learned["_probA"]) not in (0, n_pairs):
        raise ValueError("the support vectors of SVC do not add up")


def _check_column_transformer(learned):
    """Check the fitted parts of a ColumnTransformer."""
    _check_steps("ColumnTransformer", learned["transformers_"], 3)
    for key in ("_transformer_to_input_indices", "output_indices_"):
        if not isinstance(learned[key], dict):
            raise ValueError(f"{key} of ColumnTransformer is no dict")


def _check_calibrated(learned):
    """Check the fitted classifiers of a CalibratedClassifierCV."""
    fitted = learned["calibrated_classifiers_"]
    if not isinstance(fitted, list) or not all(
        type(each).__name__ == "_CalibratedClassifier" for each in fitted
    ):
        raise ValueError("CalibratedClassifierCV has no list of calibrated classifiers")


def _check_held(learned):
    """Check the fitted classifiers inside another one."""
    held = learned["estimators_"]
    if not isinstance(held, list) or not held or not all(hasattr(e, "predict") for e in held):
        raise ValueError("estimators_ is not a list of classifiers")


def _check_ranges(learned):
    """Check that there is a range for each reason to flag clips."""
    if len(learned["lower_"]) != len(REASONS):
        raise ValueError(f"lower_ of DistributionChecker has not {len(REASONS)} entries")


_SPECIAL = {
    "AbstainingClassifier": _check_held,
    "DistributionChecker": _check_ranges,
    "FusionClassifier": _check_fusion,
    "SVC": _check_svc,
    "ColumnTransformer": _check_column_transformer,
    "CalibratedClassifierCV": _check_calibrated,
}
