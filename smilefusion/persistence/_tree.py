"""A copy of a model for skops, in which references replace networks and similar objects."""

import math
import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
import scipy.stats
import sklearn
from scipy.stats._distn_infrastructure import rv_frozen
from sklearn.base import BaseEstimator
from sklearn.utils import Bunch
from sklearn.utils._metadata_requests import SIMPLE_METHODS

from smilefusion.exceptions import InvalidDataError, SmileFusionWarning
from smilefusion.persistence._container import check_text
from smilefusion.persistence._estimator_state import (
    PORTABLE,
    check_estimator,
    dump_network,
    is_ours,
    restore_stored_network,
)
from smilefusion.persistence._types import allowed_types, dump, full_name, load, named

_DISTRIBUTIONS = ("expon", "geom", "loguniform", "norm", "randint", "uniform")
# Parameters that depend on the machine or the training run, and the values that replace them.
_RUN = {"memory": None, "n_jobs": None}
_OUR_RUN = {"cache": None}
_NET_RUN = ("callbacks", "compile", "verbose")  # in `net_params`
# Attributes of the allowed classes that are computed again from the others.
_DERIVED = ("scorer_", "_checked_cv_orig", "f_", "named_estimators_")


class Reference:
    """Reference to an object that is not part of a model's tree itself."""

    def __init__(self, kind: str, value: Any) -> None:
        self.kind, self.value = kind, value


class _Copier:
    """Copy nested containers and objects. Objects that occur twice are copied once."""

    def __init__(self) -> None:
        self.names = allowed_types()["ObjectNode"]
        self.copies: dict[int, tuple[Any, Any]] = {}

    def copy(self, value: Any) -> Any:
        """Return the copy of a value."""
        if id(value) not in self.copies:
            self.copies[id(value)] = self._copy(value), value  # keeps the value, and so its id
        return self.copies[id(value)][0]

    def _copy(self, value: Any) -> Any:
        if isinstance(value, dict):
            return self.copy_dict(value)
        if isinstance(value, (list, tuple)):
            return (tuple if isinstance(value, tuple) else list)(map(self.copy, value))
        if isinstance(value, np.ma.MaskedArray):
            return np.ma.MaskedArray(self.copy(value.data), np.ma.getmaskarray(value))
        if isinstance(value, np.ndarray):
            return self.copy_array(value)
        if isinstance(value, BaseEstimator) or full_name(type(value)) in self.names:
            return self.copy_object(value)
        return value

    def copy_dict(self, value: dict) -> Any:
        return {self.copy(key): self.copy(entry) for key, entry in value.items()}

    def copy_array(self, array: np.ndarray) -> np.ndarray:
        if array.dtype != object:
            return array
        copied = np.empty_like(array)
        for index in np.ndindex(array.shape):
            copied[index] = self.copy(array[index])
        return copied

    def copy_object(self, value: Any) -> Any:
        raise NotImplementedError


class Packer(_Copier):
    """Replace objects that skops cannot or must not store by references."""

    def __init__(self, trusted: Sequence[str]) -> None:
        super().__init__()
        self.trusted = trusted
        self.networks: list[bytes] = []
        self.n_numbers = 0

    def _copy(self, value: Any) -> Any:
        if isinstance(value, rv_frozen):
            return self._distribution(value)
        if callable(value):
            for name, each in named().items():
                if each is value:
                    return Reference("named", name)
        return super()._copy(value)

    def copy_dict(self, value: dict) -> Any:
        """Return a dict with text keys, or a reference to pairs of keys and values."""
        if all(type(key) is str for key in value):
            return super().copy_dict(value)
        return Reference("pairs", [[key, self.copy(entry)] for key, entry in value.items()])

    def copy_array(self, array: np.ndarray) -> np.ndarray:
        """Count the numbers of an array, and copy it in the byte order of this machine."""
        self.n_numbers += array.size
        array = super().copy_array(array)
        return array.astype(array.dtype.newbyteorder("="), copy=False)

    def copy_object(self, value: Any) -> Any:
        """Return an object without machine-dependent settings."""
        cls, state = type(value), dict(vars(value))
        state |= _left_out(cls)
        # FeatureUnion needs these names only for transformers without get_feature_names_out.
        state.pop("_transformers_feature_names_out", None)
        if is_ours(cls) and str(state.get("device", "cpu")) not in ("auto", "cpu"):
            state["device"] = "auto"  # models trained on a GPU are stored for any machine
        if is_ours(cls) and state.get("weights") not in PORTABLE["weights"]:
            state["weights"] = None
        if is_ours(cls) and state.get("net_params"):
            given = state["net_params"].items()
            state["net_params"] = {k: v for k, v in given if k.split("__")[0] not in _NET_RUN}
        for name in _DERIVED if full_name(cls) in self.names else ():
            state.pop(name, None)
        if is_ours(cls):
            check_estimator(cls, state)
        requests = state.pop("_metadata_request", None)
        if "net_" in state and is_ours(cls):
            self.networks.append(dump_network(value))
            state.pop("net_")
            state["net_"] = Reference("network", len(self.networks) - 1)
            self.n_numbers += sum(w.numel() for w in value.net_.module_.state_dict().values())
        if requests is not None:
            state["_metadata_request"] = Reference("requests", requests._serialize())
        if "cv_results_" in state and not self._can_store(state["cv_results_"]):
            del state["cv_results_"]
        made = object.__new__(cls)
        vars(made).update({name: self.copy(entry) for name, entry in state.items()})
        return made

    def _distribution(self, value: rv_frozen) -> Reference:
        name = value.dist.name if value.dist.name != "reciprocal" else "loguniform"
        if name not in _DISTRIBUTIONS or value.kwds:
            raise InvalidDataError(
                f"The distribution scipy.stats.{name} cannot be saved. Use one of "
                f"{', '.join(_DISTRIBUTIONS)} with positional arguments, or save best_estimator_."
            )
        return Reference("distribution", [name, *value.args])

    def _can_store(self, results: dict) -> bool:
        """Whether the results of a search can be stored; warn if not."""
        packer = Packer(self.trusted)
        try:
            load(dump(packer.copy(results)), self.trusted)
        except Exception as error:
            warnings.warn(
                f"cv_results_ of the search is not stored in the model file: {error}.",
                SmileFusionWarning,
                stacklevel=2,
            )
            return False
        return True


class Unpacker(_Copier):
    """Check the objects that skops has built, and replace the references."""

    def __init__(self, networks: Sequence[bytes]) -> None:
        super().__init__()
        self.networks = dict(enumerate(networks))

    def _copy(self, value: Any) -> Any:
        if isinstance(value, np.random.RandomState):
            return _check_random_state(value)
        return check_text(value) if isinstance(value, str) else super()._copy(value)

    def copy_array(self, array: np.ndarray) -> np.ndarray:
        """Check the text of an array, and make it writeable."""
        if array.dtype.kind == "U":
            check_text("".join(array.ravel().tolist()))
        return super().copy_array(array)

    def copy_object(self, value: Any) -> Any:
        """Return an object whose references are replaced, after checks of its state."""
        cls, state = type(value), dict[str, Any]()
        if isinstance(value, Reference):
            return self._resolve(value.kind, self.copy(value.value))
        for name, entry in vars(value).items():
            is_network = name == "net_" and isinstance(entry, Reference)
            state[name] = entry if is_network else self.copy(entry)
        requests = state.pop("_metadata_request", {})
        network = state.pop("net_") if isinstance(state.get("net_"), Reference) else None
        _check_state(cls, state)
        made = object.__new__(cls)
        vars(made).update(state)
        if isinstance(made, BaseEstimator):
            _check_params(made)
        if network is not None:
            if network.kind != "network" or network.value not in self.networks:
                raise ValueError(f"the network of a {cls.__name__} is missing or used twice")
            restore_stored_network(made, self.networks.pop(network.value))
        _request(made, requests)
        if full_name(cls) in self.names:
            _derive(made)
        return made

    def _resolve(self, kind: str, value: Any) -> Any:
        """Return what a reference stands for."""
        if kind == "pairs":
            return dict(value)
        if kind == "requests":
            return value
        if kind == "named" and value in named():
            return named()[value]
        if kind == "distribution" and value[0] in _DISTRIBUTIONS:
            return getattr(scipy.stats, value[0])(*map(_check_number, value[1:]))
        raise ValueError(f"it has a wrong reference to {kind!r:.40}")


def _left_out(cls: Any) -> dict[str, Any]:
    """Return the parameters of a class that model files reset, and their values."""
    if not issubclass(cls, BaseEstimator):
        return {}
    values = _RUN | (_OUR_RUN if is_ours(cls) else {})
    return {name: values[name] for name in cls._get_param_names() if name in values}


def _check_state(cls: Any, state: dict[str, Any]) -> None:
    """Check that no attribute hides a member of the class, and that no parameter is missing."""
    name = cls.__name__
    for key in state:
        if key.startswith("__") or hasattr(cls, key):
            raise ValueError(f"{name} cannot have an attribute {key!r:.80}")
    if is_ours(cls) and "net_" in state:
        raise ValueError(f"net_ of {name} is not a network")
    for key, value in _left_out(cls).items():
        if state.get(key) is not value:
            raise ValueError(f"{key} of {name} must be {value} in a model file")
    if issubclass(cls, BaseEstimator):
        missing = [key for key in cls._get_param_names() if key not in state]
        if missing:
            raise ValueError(f"{name} has no parameter {missing[0]!r}")
    if full_name(cls) == "sklearn.svm._classes.SVC" and "support_" in state:
        _check_svc(state)


def _check_params(estimator: Any) -> None:
    if hasattr(estimator, "_parameter_constraints"):
        estimator._validate_params()
    for method in ("_validate_steps", "_validate_transformers"):  # of pipelines and unions
        getattr(estimator, method, bool)()
    if is_ours(type(estimator)):
        check_estimator(type(estimator), vars(estimator))


def _check_svc(state: dict[str, Any]) -> None:
    """Check the arrays that libsvm's compiled code does not check."""
    n_classes, n_pairs = len(state["classes_"]), len(state["intercept_"])
    n_support, vectors, dual = state["_n_support"], state["support_vectors_"], state["_dual_coef_"]
    n_vectors = len(state["support_"])
    is_right = (
        state["_sparse"] is False
        and state["kernel"] in ("linear", "poly", "rbf", "sigmoid")
        and all(each.dtype == np.float64 for each in (vectors, dual, state["_probA"]))
        and n_support.dtype == state["support_"].dtype == np.int32
        and n_support.shape == (n_classes,)
        and vectors.shape == (n_vectors, state["n_features_in_"])
        and dual.shape == state["dual_coef_"].shape == (n_classes - 1, n_vectors)
        and state["_intercept_"].shape == (n_pairs,)
        and n_pairs == n_classes * (n_classes - 1) // 2 > 0
        and (n_support >= 0).all()
        and n_support.sum(dtype=np.int64) == n_vectors
        and len(state["_probA"]) == len(state["_probB"]) in (0, n_pairs)
    )
    if not is_right:
        raise ValueError("the support vectors of SVC are inconsistent, or its kernel is unknown")


def _check_number(value: float) -> float:
    if not math.isfinite(value):
        raise ValueError(f"a distribution of the search has the argument {value}")
    return value


def _check_random_state(random_state: np.random.RandomState) -> np.random.RandomState:
    """Check the position of a random state, which numpy does not check."""
    state = random_state.get_state(legacy=False)
    if state["bit_generator"] != "MT19937" or not 0 <= state["state"]["pos"] <= 624:
        raise ValueError("a random state is not a state of MT19937")
    return random_state


def _request(estimator: Any, requests: dict[str, dict]) -> None:
    """Request metadata like set_fit_request and similar methods."""
    with sklearn.config_context(enable_metadata_routing=True):
        for method, wanted in requests.items():
            if method not in SIMPLE_METHODS:
                raise ValueError(f"there are no metadata requests for {method!r:.40}")
            getattr(estimator, f"set_{method}_request")(**wanted)


def _derive(made: Any) -> None:
    """Compute the attributes that follow from the others."""
    if hasattr(made, "X_thresholds_"):  # IsotonicRegression
        made._build_f(made.X_thresholds_, made.y_thresholds_)
    if hasattr(made, "n_splits_") and hasattr(made, "_get_scorers"):  # a search
        scorers, _ = made._get_scorers()
        made.scorer_ = getattr(scorers, "_scorers", scorers)
    if hasattr(made, "le_"):  # VotingClassifier
        names = [name for name, each in made.estimators if each != "drop"]
        if len(names) != len(made.estimators_):
            raise ValueError("the members of a VotingClassifier do not match their names")
        made.named_estimators_ = Bunch()
        made.named_estimators_.update(zip(names, made.estimators_, strict=True))
