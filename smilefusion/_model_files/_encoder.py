"""From a fitted model to JSON values, arrays and foreign parts."""

import math
import warnings

import numpy as np
import torch
from scipy.stats._distn_infrastructure import rv_frozen

from smilefusion._model_files._foreign import dump_foreign, full_name
from smilefusion._model_files._forms import check_learned, check_params
from smilefusion._model_files._networks import check_unchanged, read_history
from smilefusion._model_files._parts import (
    DISTRIBUTIONS,
    argument_names,
    find_class,
    is_part,
    named,
)
from smilefusion.exceptions import InvalidDataError, SmileFusionWarning


class Encoder:
    """Turn a fitted model into JSON values, a table of arrays, and foreign parts.

    Parameters
    ----------
    trusted : sequence of str, default=()
        Full names of classes that skops may store.

    Attributes
    ----------
    arrays : dict of str to ndarray
        The arrays, by the keys that the JSON values name.
    foreign : dict of str to bytes
        Members that skops made.
    """

    def __init__(self, trusted=()):
        self.trusted = tuple(trusted)
        self.arrays = {}
        self.foreign = {}

    def encode(self, value):
        """Return the JSON form of a value."""
        if value is None or isinstance(value, (bool, str)):
            return str(value) if isinstance(value, str) else value
        if type(value) is int and abs(value) < 2**64:
            return value
        if type(value) is float:
            return value if math.isfinite(value) else {"kind": "float", "value": repr(value)}
        for kinds, method in (
            (np.generic, self._scalar),
            (np.ma.MaskedArray, self._masked),
            (np.ndarray, self._array),
            (torch.Tensor, lambda v: self._array(v.detach().cpu().numpy())),
            (dict, self._dict),
            ((list, tuple), self._sequence),
            (slice, lambda v: {"kind": "slice", "parts": [v.start, v.stop, v.step]}),
            (np.dtype, lambda v: {"kind": "dtype", "name": v.str}),
            (np.random.RandomState, self._random_state),
            (rv_frozen, self._distribution),
        ):
            if isinstance(value, kinds):
                return method(value)
        for name, function in named().items():
            if function is value:
                return {"kind": "named", "name": name}
        return self._object(value)

    def _scalar(self, value):
        return {"kind": "scalar", "value": self._array(np.asarray(value))}

    def _array(self, array):
        """Store a numeric array by key, an array of strings or objects by value."""
        kind, shape = array.dtype.kind, list(array.shape)
        if kind == "U":
            entries = [str(entry) for entry in array.flat]
            dtype = array.dtype.newbyteorder("=").str
            return {"kind": "strings", "dtype": dtype, "shape": shape, "entries": entries}
        if kind == "O":
            entries = [self.encode(entry) for entry in array.flat]
            return {"kind": "objects", "shape": shape, "entries": entries}
        if kind not in "fiub":
            raise InvalidDataError(
                f"An array of dtype {array.dtype} cannot be saved; a model file holds numbers, "
                f"bools and strings. Convert it."
            )
        array = array.astype(array.dtype.newbyteorder("="), copy=False)
        # Sums depend on the order of the entries in memory in their last bits.
        transposed = array.flags.f_contiguous and not array.flags.c_contiguous
        key = f"a{len(self.arrays)}"
        self.arrays[key] = np.array(array.T if transposed else array, order="C")
        return {"kind": "array", "key": key, "shape": shape, "order": "F" if transposed else "C"}

    def _masked(self, array):
        mask = self._array(np.ma.getmaskarray(array))
        return {"kind": "masked", "data": self._array(array.data), "mask": mask}

    def _dict(self, mapping):
        pairs = [[self.encode(key), self.encode(value)] for key, value in mapping.items()]
        return {"kind": "dict", "pairs": pairs}

    def _sequence(self, values):
        kind = "tuple" if isinstance(values, tuple) else "list"
        return {"kind": kind, "entries": [self.encode(value) for value in values]}

    def _random_state(self, value):
        state = value.get_state(legacy=False)
        return {"kind": "random_state", "state": self._dict(state)}

    def _distribution(self, value):
        name = value.dist.name if value.dist.name != "reciprocal" else "loguniform"
        if name not in DISTRIBUTIONS or value.kwds:
            raise InvalidDataError(
                f"The distribution scipy.stats.{name} cannot be saved; a search may draw from "
                f"{', '.join(DISTRIBUTIONS)}, with positional arguments. Save its best_estimator_."
            )
        return {"kind": "distribution", "name": name, "args": self.encode(list(value.args))}

    def _object(self, value):
        """Store an object of the list, or what skops may store."""
        if is_part(type(value)):
            return self._part(value)
        name = full_name(type(value))
        if isinstance(value, type) and issubclass(value, torch.nn.Module):
            raise InvalidDataError(
                f"{full_name(value)} is a network of your own and cannot be saved: a model file "
                f"holds no code. Keep the code and the weights, net_.module_.state_dict(), apart."
            )
        if name in self.trusted:
            member = f"foreign/{len(self.foreign)}.skops"
            self.foreign[member] = dump_foreign(value, self.trusted)
            return {"kind": "foreign", "member": member, "class": name}
        if isinstance(value, type) or not hasattr(value, "get_params"):
            name = full_name(value) if hasattr(value, "__qualname__") else name
            raise InvalidDataError(
                f"{name} cannot be saved: a model file holds no code. Give a name, a number, or "
                f"a part of the list in save_model's documentation in its place."
            )
        raise InvalidDataError(
            f"{name} is not among the classes that a model file may hold; the guide on model "
            f"files lists them. Save a model made of those, or name it in trusted=[{name!r}] to "
            f"store it through skops."
        )

    def _part(self, value):
        """Store an object's parameters and what it learned."""
        name = type(value).__name__
        part = find_class(name)[1]
        params = {key: getattr(value, key) for key in argument_names(type(value))}
        params = {key: entry for key, entry in params.items() if key not in part.forgotten}
        if str(params.get("device", "cpu")) not in ("auto", "cpu"):
            params["device"] = "auto"  # what trained on a GPU is stored for any machine
        encoded = {
            "kind": "part",
            "name": name,
            "params": {key: self.encode(entry) for key, entry in params.items()},
        }
        if part.plain:
            return encoded
        self._check(check_params, name, params)
        state = {
            key: entry
            for key, entry in vars(value).items()
            if key not in argument_names(type(value)) and key not in part.derived
        }
        output = state.pop("_sklearn_output_config", None)
        requests = state.pop("_metadata_request", None)
        net = state.pop("net_", None)
        if output:
            encoded["output"] = dict(output)
        if requests is not None:
            encoded["requests"] = requests._serialize()
        self._check(check_learned, name, part, state)
        encoded["learned"] = self._learned(state)
        if net is not None:
            encoded["net"] = self._net(value, net)
        return encoded

    def _learned(self, state):
        """Store learned attributes; without the table of a search where it cannot be."""
        encoded = {}
        for key, entry in state.items():
            n_arrays, n_foreign = len(self.arrays), len(self.foreign)
            try:
                encoded[key] = self.encode(entry)
            except InvalidDataError as error:
                if key != "cv_results_":
                    raise
                self.arrays = dict(list(self.arrays.items())[:n_arrays])
                self.foreign = dict(list(self.foreign.items())[:n_foreign])
                warnings.warn(
                    f"The search's cv_results_ are left out of the model file: {error}",
                    SmileFusionWarning,
                    stacklevel=2,
                )
        return encoded

    def _net(self, estimator, net):
        """Store a network's weights and the course of its training."""
        check_unchanged(estimator, net)
        state = net.module_.state_dict()
        return {
            "weights": {key: self._array(weight.cpu().numpy()) for key, weight in state.items()},
            "history": self.encode(read_history(net)),
        }

    def _check(self, check, name, *arguments):
        """Run a check of what is to be stored; tell its failure as an error of the model."""
        try:
            check(name, *arguments)
        except ValueError as error:
            raise InvalidDataError(
                f"This {name} cannot be saved: {error}. Remove or replace that."
            ) from error
