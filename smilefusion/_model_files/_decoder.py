"""From JSON values, arrays and foreign parts to a model."""

import math
import re

import numpy as np
import scipy.stats
import sklearn
from sklearn.utils._metadata_requests import SIMPLE_METHODS

from smilefusion._model_files._container import check_text
from smilefusion._model_files._foreign import load_foreign
from smilefusion._model_files._forms import check_learned, check_params
from smilefusion._model_files._networks import restore
from smilefusion._model_files._parts import DISTRIBUTIONS, argument_names, find_class, named

_MAX_DEPTH = 60
_DTYPE = re.compile(r"[<>|](f[248]|[iu][1248]|b1|O|U[0-9]{1,3})")
_MAX_CHARACTERS = 2**24  # of an array of strings
_OUTPUTS = ("default", "pandas", "polars")
_MT19937_LENGTH = 624


class Decoder:
    """Rebuild a model from JSON values, a table of arrays and foreign parts.

    Every array and every foreign part is used once, so that what is built is no larger than
    what was read.

    Parameters
    ----------
    arrays : dict of str to ndarray
        The arrays.
    foreign : dict of str to bytes
        What skops made.
    trusted : sequence of str
        Full names of classes that skops may rebuild.
    """

    def __init__(self, arrays, foreign, trusted):
        self.arrays = dict(arrays)
        self.foreign = dict(foreign)
        self.trusted = tuple(trusted)
        self.depth = 0
        self.kinds = {
            "float": self._float,
            "scalar": self._scalar,
            "array": self._array,
            "strings": self._strings,
            "objects": self._objects,
            "masked": self._masked,
            "dict": self._dict,
            "list": self._list,
            "tuple": self._tuple,
            "slice": self._slice,
            "dtype": self._dtype,
            "named": self._named,
            "random_state": self._random_state,
            "distribution": self._distribution,
            "part": self._part,
            "foreign": self._foreign,
        }

    def decode_model(self, value):
        """Return the model of a JSON form that uses everything that there is."""
        if not isinstance(value, dict) or value.get("kind") not in ("part", "foreign"):
            raise ValueError("it holds no estimator")
        model = self.decode(value)
        if not hasattr(model, "get_params"):
            raise ValueError("it holds no estimator")
        if self.arrays or self.foreign:
            raise ValueError("it holds arrays or parts that the model has no use for")
        return model

    def decode(self, value):
        """Return the value of a JSON form."""
        if isinstance(value, str):
            return check_text(value)
        if value is None or isinstance(value, (bool, int, float)):
            return value
        if not isinstance(value, dict) or value.get("kind") not in self.kinds:
            raise ValueError(f"there is no such kind of value: {value!r:.80}")
        self.depth += 1
        if self.depth > _MAX_DEPTH:
            raise ValueError(f"its model is nested more than {_MAX_DEPTH} deep")
        decoded = self.kinds[value["kind"]](value)
        self.depth -= 1
        return decoded

    def _float(self, value):
        (text,) = _entries(value, "value")
        if text not in ("nan", "inf", "-inf"):
            raise ValueError(f"{text!r:.40} is no float")
        return float(text)

    def _scalar(self, value):
        (inner,) = _entries(value, "value")
        scalar = self._array(inner)
        if scalar.ndim:
            raise ValueError("a scalar has axes")
        return scalar[()]

    def _array(self, value):
        key, shape, order = _entries(value, "key", "shape", "order")
        if not isinstance(key, str) or key not in self.arrays:
            raise ValueError(f"there is no array {key!r:.40}, or it is used twice")
        array = self.arrays.pop(key)
        array = array.T if order == "F" else array
        if order not in ("C", "F") or list(array.shape) != shape:
            raise ValueError(f"the array {key!r} has shape {list(array.shape)}, not {shape!r:.80}")
        return array

    def _strings(self, value):
        dtype, shape, entries = _entries(value, "dtype", "shape", "entries")
        if not isinstance(dtype, str) or dtype[:2] not in ("<U", ">U"):
            raise ValueError(f"{dtype!r:.40} is no dtype of strings")
        width = int(dtype[2:])
        if not _is_list(entries, str) or not 0 <= width * max(1, len(entries)) <= _MAX_CHARACTERS:
            raise ValueError("an array of strings is too large, or holds something else")
        if max(map(len, entries), default=0) > width:
            raise ValueError("an array of strings has a dtype that is too short")
        return np.array([check_text(entry) for entry in entries], f"U{width}").reshape(
            _check_shape(shape, len(entries))
        )

    def _objects(self, value):
        shape, entries = _entries(value, "shape", "entries")
        array = np.empty(len(entries), dtype=object)
        for index, entry in enumerate(entries):
            array[index] = self.decode(entry)
        return array.reshape(_check_shape(shape, len(entries)))

    def _masked(self, value):
        data, mask = map(self.decode, _entries(value, "data", "mask"))
        if not isinstance(data, np.ndarray) or not isinstance(mask, np.ndarray):
            raise ValueError("a masked array has no data or no mask")
        return np.ma.MaskedArray(data, mask)

    def _dict(self, value):
        (pairs,) = _entries(value, "pairs")
        mapping = {self.decode(key): self.decode(entry) for key, entry in pairs}
        if len(mapping) < len(pairs):
            raise ValueError("a key stands twice in a dict")
        return mapping

    def _list(self, value):
        (entries,) = _entries(value, "entries")
        if not isinstance(entries, list):
            raise ValueError("a list has no entries")
        return [self.decode(entry) for entry in entries]

    def _tuple(self, value):
        return tuple(self._list(value))

    def _slice(self, value):
        (parts,) = _entries(value, "parts")
        if len(parts) != 3 or not all(isinstance(part, (int, str, type(None))) for part in parts):
            raise ValueError("a slice has no three parts")
        return slice(*parts)

    def _dtype(self, value):
        (name,) = _entries(value, "name")
        if not isinstance(name, str) or not _DTYPE.fullmatch(name):
            raise ValueError(f"{name!r:.40} is no dtype")
        return np.dtype(name)

    def _named(self, value):
        (name,) = _entries(value, "name")
        if not isinstance(name, str) or name not in named():
            raise ValueError(f"{name!r:.80} is no function or type that a model file may name")
        return named()[name]

    def _random_state(self, value):
        state = self.decode(_entries(value, "state")[0])
        key, position = state["state"]["key"], state["state"]["pos"]
        fits = key.shape == (_MT19937_LENGTH,) and key.dtype == np.uint32
        if state["bit_generator"] != "MT19937" or not fits or not 0 <= position <= len(key):
            raise ValueError("a random state is no state of MT19937")
        random_state = np.random.RandomState(0)
        random_state.set_state(state)
        return random_state

    def _distribution(self, value):
        name, args = _entries(value, "name", "args")
        args = self.decode(args)
        numbers = isinstance(args, list) and all(type(each) in (int, float) for each in args)
        if name not in DISTRIBUTIONS or not numbers or not all(map(math.isfinite, args)):
            raise ValueError(f"{name!r:.40} is no distribution that a model file may name")
        return getattr(scipy.stats, name)(*args)

    def _foreign(self, value):
        member, name = _entries(value, "member", "class")
        if not isinstance(member, str) or member not in self.foreign:
            raise ValueError(f"there is no member {member!r:.40}, or it is used twice")
        return load_foreign(self.foreign.pop(member), name, self.trusted)

    def _part(self, value):
        """Return an object of the list, with its parameters and what it learned."""
        cls, part = find_class(value.get("name"))
        optional = {}
        if not part.plain:
            optional = {key: value[key] for key in ("output", "requests", "net") if key in value}
            optional["learned"] = value.get("learned")
        _, params, *_ = _entries(value, "name", "params", *optional)
        known = [name for name in argument_names(cls) if name not in part.forgotten]
        params = self._mapping(params)
        if set(params) - set(known):
            raise ValueError(
                f"{cls.__name__} has no parameters {sorted(set(params) - set(known))}"
            )
        check_params(cls.__name__, params)
        made = cls(**params)
        if hasattr(made, "_parameter_constraints"):
            made._validate_params()
        if part.plain:
            return made
        learned = self._mapping(optional.pop("learned"))
        check_learned(cls.__name__, part, learned)
        for key, entry in learned.items():
            setattr(made, key, entry)
        self._finish(made, part, **optional)
        return made

    def _mapping(self, value):
        """Return a JSON object of names and values, decoded."""
        if not isinstance(value, dict):
            raise ValueError("parameters or attributes are no object")
        return {key: self.decode(entry) for key, entry in value.items()}

    def _finish(self, made, part, output=None, requests=None, net=None):
        """Give a part its form of output, its requests of metadata, its network, its derived."""
        if output is not None:
            if not isinstance(output, dict) or set(output) != {"transform"}:
                raise ValueError("a form of output is unknown")
            if output["transform"] not in _OUTPUTS:
                raise ValueError("a form of output is unknown")
            made._sklearn_output_config = dict(output)
        for method, wanted in (requests or {}).items():
            _request(made, method, wanted)
        if net is not None:
            if not part.has_network:
                raise ValueError(f"{type(made).__name__} has no network")
            weights, history = _entries({"kind": "net", **net}, "weights", "history")
            weights = self._mapping(weights)
            if not all(isinstance(weight, np.ndarray) for weight in weights.values()):
                raise ValueError("a weight is no array")
            restore(made, weights, self.decode(history))
        _derive(made, part)


def _derive(made, part):
    """Compute the attributes that follow from the others."""
    if "f_" in part.derived and hasattr(made, "X_thresholds_"):
        made._build_f(made.X_thresholds_, made.y_thresholds_)
    if "scorer_" in part.derived and hasattr(made, "n_splits_"):
        scorers, _ = made._get_scorers()
        made.scorer_ = getattr(scorers, "_scorers", scorers)


def _request(made, method, wanted):
    """Let a part ask for metadata, as set_fit_request and its like do."""
    if method not in SIMPLE_METHODS or not isinstance(wanted, dict):
        raise ValueError(f"there are no requests of metadata for {method!r:.40}")
    for name, alias in wanted.items():
        if not (alias is None or isinstance(alias, (bool, str))):
            raise ValueError(f"the request of {name!r:.40} is no name")
    with sklearn.config_context(enable_metadata_routing=True):
        getattr(made, f"set_{method}_request")(**wanted)


def _entries(value, *names):
    """Return the entries of a JSON form that must have these and no others."""
    if not isinstance(value, dict) or set(value) != {"kind", *names}:
        raise ValueError(f"a value has not the entries {', '.join(names)}: {value!r:.80}")
    return [value[name] for name in names]


def _is_list(value, kind):
    """Whether a value is a list of entries of a kind."""
    return isinstance(value, list) and all(isinstance(entry, kind) for entry in value)


def _check_shape(shape, size):
    """Return a shape that holds so many entries."""
    if not _is_list(shape, int) or any(n < 0 for n in shape) or math.prod(shape) != size:
        raise ValueError(f"a shape does not hold {size} entries: {shape!r:.80}")
    return shape
