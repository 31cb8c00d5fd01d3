"""Model files: one zip of JSON and safetensors that holds no code, so loading runs none."""

import json
import zipfile
from importlib import import_module
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.numpy import load as load_arrays
from safetensors.numpy import save as save_arrays
from skorch import NeuralNet

from smilefusion._atomic_files import replacing
from smilefusion._version import __version__
from smilefusion.estimators._training import restore_network
from smilefusion.exceptions import InvalidDataError

FORMAT = "smilefusion-model"
FORMAT_VERSION = 1
# The only classes that a model file may name, with the modules that define them.
_CLASSES = {
    "DMarkerTransformer": "smilefusion.dmarkers._transformer",
    "DeepFeatureExtractor": "smilefusion.estimators._deep_features",
    "FusionClassifier": "smilefusion.estimators._fusion_classifier",
    "HadaSmileNetClassifier": "smilefusion.estimators._hadasmilenet",
    "SmileNetwork": "smilefusion.nn._smile_network",
    "TwoStreamNetwork": "smilefusion.nn._two_stream",
    "EncoderNetwork": "smilefusion.nn._two_stream",
    "MeshTransformer": "smilefusion.nn._mesh_transformer",
    "PublishedEncoder": "smilefusion.nn._published_encoder",
    "ReconstructionNetwork": "smilefusion.nn._reconstruction",
    "LandmarkImageEncoder": "smilefusion.nn._image",
    "FrameEncoder": "smilefusion.nn._image",
    "Pipeline": "sklearn.pipeline",
    "FeatureUnion": "sklearn.pipeline",
    "StandardScaler": "sklearn.preprocessing",
    "LogisticRegression": "sklearn.linear_model",
}
# What a value of a model file may be; `_Decoder` has a method for each.
_KINDS = ("scalar", "array", "strings", "dict", "list", "tuple", "slice", "class", "estimator")
# Parameters that belong to the machine or the training run, not to the model.
_FORGOTTEN = {"memory": None, "callbacks": None, "n_jobs": None, "weights": None}


def _find_class(name):
    """Return a class that model files may name."""
    if name not in _CLASSES:
        raise InvalidDataError(
            f"A model file may hold {', '.join(_CLASSES)}; got {name!r}. Save a model made of "
            f"these classes."
        )
    return getattr(import_module(_CLASSES[name]), name)


def _class_name(cls):
    """Return the name under which a model file holds a class."""
    if cls.__name__ not in _CLASSES or _find_class(cls.__name__) is not cls:
        raise InvalidDataError(
            f"{cls.__module__}.{cls.__qualname__} cannot be saved; a model file may hold "
            f"{', '.join(_CLASSES)}. Save a model made of these classes."
        )
    return cls.__name__


class _Encoder:
    """Turn a fitted model into JSON values and a table of arrays."""

    def __init__(self):
        self.arrays = {}

    def encode(self, value):
        """Return the JSON form of a value."""
        if value is None or isinstance(value, (bool, str)):
            return value
        if isinstance(value, (int, float)) and type(value) in (int, float):
            return value
        for kinds, method in (
            (np.generic, lambda v: {"kind": "scalar", "value": self._array(np.asarray(v))}),
            (np.ndarray, self._array),
            (torch.Tensor, lambda v: self._array(v.detach().cpu().numpy())),
            (dict, self._dict),
            ((list, tuple), self._sequence),
            (slice, lambda v: {"kind": "slice", "parts": [v.start, v.stop, v.step]}),
            (type, lambda v: {"kind": "class", "name": _class_name(v)}),
            (NeuralNet, self._net),
        ):
            if isinstance(value, kinds):
                return method(value)
        return self._estimator(value)

    def _array(self, array):
        """Store a numeric array by key, an array of strings by value."""
        if array.dtype.kind in "OU":
            if not all(isinstance(entry, str) for entry in array.flat):
                raise InvalidDataError(
                    "An array of Python objects cannot be saved; labels and names must be "
                    "numbers or strings. Convert them."
                )
            entries = [str(entry) for entry in array.flat]
            kind = array.dtype.kind
            return {"kind": "strings", "dtype": kind, "shape": array.shape, "entries": entries}
        key = f"a{len(self.arrays)}"
        self.arrays[key] = np.ascontiguousarray(array)
        return {"kind": "array", "key": key, "shape": array.shape}

    def _dict(self, mapping):
        pairs = [[self.encode(key), self.encode(value)] for key, value in mapping.items()]
        return {"kind": "dict", "pairs": pairs}

    def _sequence(self, values):
        kind = "tuple" if isinstance(values, tuple) else "list"
        return {"kind": kind, "entries": [self.encode(value) for value in values]}

    def _net(self, net):
        """Store the module's class, its arguments and its weights."""
        return {
            "kind": "net",
            "module": _class_name(net.module),
            "params": self.encode(net.get_params_for("module")),
            "weights": self._dict(net.module_.state_dict()),
        }

    def _estimator(self, estimator):
        """Store an estimator's parameters and what it learned."""
        name = _class_name(type(estimator))
        params = {**estimator.get_params(deep=False)}
        params.update({key: value for key, value in _FORGOTTEN.items() if key in params})
        state = {key: value for key, value in vars(estimator).items() if key not in params}
        return {
            "kind": "estimator",
            "name": name,
            "params": self.encode(params),
            "state": self.encode(state),
        }


class _Decoder:
    """Rebuild a model from JSON values and a table of arrays."""

    def __init__(self, arrays):
        self.arrays = arrays

    def decode(self, value):
        """Return the value of a JSON form."""
        if not isinstance(value, dict):
            return value
        if value["kind"] not in _KINDS:
            raise ValueError(f"there is no kind of value {value['kind']!r}")
        return getattr(self, f"_{value['kind']}")(value)

    def _scalar(self, value):
        return self.decode(value["value"])[()]

    def _array(self, value):
        return self.arrays[value["key"]].reshape(value["shape"])

    def _strings(self, value):
        dtype = object if value["dtype"] == "O" else np.str_
        return np.array(value["entries"], dtype=dtype).reshape(value["shape"])

    def _dict(self, value):
        return {self.decode(key): self.decode(entry) for key, entry in value["pairs"]}

    def _list(self, value):
        return [self.decode(entry) for entry in value["entries"]]

    def _tuple(self, value):
        return tuple(self._list(value))

    def _slice(self, value):
        return slice(*value["parts"])

    def _class(self, value):
        return _find_class(value["name"])

    def _estimator(self, value):
        estimator = _find_class(value["name"])(**self.decode(value["params"]))
        state = dict(value["state"]["pairs"])
        net = state.pop("net_", None)
        for key, entry in state.items():
            setattr(estimator, key, self.decode(entry))
        if net is not None:
            module_params = self.decode(net["params"])
            weights = {k: torch.from_numpy(v) for k, v in self._dict(net["weights"]).items()}
            estimator.net_ = restore_network(
                estimator, _find_class(net["module"]), module_params, weights
            )
        return estimator


def save_model(model, path, *, metadata=None):
    """Write a fitted model into one file that holds no code.

    Parameters
    ----------
    model : estimator
        A fitted estimator of smilefusion, or a pipeline of them with scikit-learn's FeatureUnion,
        StandardScaler and LogisticRegression.
    path : str or path-like
        The file to write; an existing one is replaced only when the new one is complete.
    metadata : dict, default=None
        JSON values to keep beside the model, for instance the frame rate of its training clips.

    Raises
    ------
    InvalidDataError
        If a part of the model cannot be saved; the message names it.
    """
    path = Path(path)
    encoder = _Encoder()
    header = {
        "format": FORMAT,
        "format_version": FORMAT_VERSION,
        "smilefusion": __version__,
        "metadata": metadata or {},
        "model": encoder.encode(model),
    }
    with replacing(path) as part, zipfile.ZipFile(part, "w") as archive:
        archive.writestr("model.json", json.dumps(header))
        archive.writestr("arrays.safetensors", save_arrays(encoder.arrays))


def load_model(path, *, return_metadata=False):
    """Read a model written by `save_model`, without running code from the file.

    Parameters
    ----------
    path : str or path-like
        The file.
    return_metadata : bool, default=False
        Whether to return the metadata as well.

    Returns
    -------
    model : estimator
        The fitted model, on the CPU.
    metadata : dict
        What `save_model` was given; only where `return_metadata` is true.

    Raises
    ------
    InvalidDataError
        If the file is no model file, is damaged, or comes from a newer version.
    """
    path = Path(path)
    try:
        with zipfile.ZipFile(path) as archive:
            header = json.loads(archive.read("model.json"))
            arrays = load_arrays(archive.read("arrays.safetensors"))
    except FileNotFoundError as error:
        raise InvalidDataError(f"The model file {path} does not exist; check its path.") from error
    except (zipfile.BadZipFile, KeyError, ValueError, OSError, SafetensorError) as error:
        raise InvalidDataError(
            f"{path} is no model file of smilefusion, or is damaged ({error}); write it again "
            f"with save_model or `smilefusion train`."
        ) from error
    if not isinstance(header, dict) or header.get("format") != FORMAT:
        raise InvalidDataError(
            f"{path} is no model file of smilefusion; write one with save_model."
        )
    if header["format_version"] != FORMAT_VERSION:
        raise InvalidDataError(
            f"{path} has format version {header['format_version']}, this smilefusion "
            f"({__version__}) reads {FORMAT_VERSION}; use the version that wrote it, "
            f"{header['smilefusion']}."
        )
    try:
        model = _Decoder(arrays).decode(header["model"])
    except (KeyError, TypeError, AttributeError, ValueError, RuntimeError) as error:
        raise InvalidDataError(
            f"{path} is damaged: its model cannot be rebuilt ({error}); write it again."
        ) from error
    return (model, header["metadata"]) if return_metadata else model
