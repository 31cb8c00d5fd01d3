"""Stored state of this package's estimators: parameters within limits, and networks."""

import json
from collections.abc import Callable, Mapping
from numbers import Number
from typing import Any

import numpy as np
import torch
from safetensors.numpy import load as load_arrays
from safetensors.numpy import save as save_arrays
from skorch import NeuralNet
from torch import nn

from smilefusion._training._trainer import (
    EnsembleLoss,
    extra_module_params,
    network_dtype,
    restore_network,
)
from smilefusion.estimators._deep_features import DeepFeatureExtractor
from smilefusion.estimators._encoders import choose_network, is_backbone
from smilefusion.estimators._fusion_classifier import FusionClassifier
from smilefusion.estimators._hadasmilenet import HadaSmileNetClassifier
from smilefusion.exceptions import InvalidDataError
from smilefusion.nn._ensemble import NetworkEnsemble
from smilefusion.nn._networks import SmileNetwork
from smilefusion.persistence._container import LARGEST_TEXT

# An estimator's parameters and fitted attributes determine its network's class, arguments and
# loss.
_NETWORKS: dict[type, Callable[[Any], tuple[type[nn.Module], dict[str, Any], type[nn.Module]]]] = {
    FusionClassifier: lambda estimator: (
        NetworkEnsemble,
        estimator._network_params(),
        EnsembleLoss,
    ),
    HadaSmileNetClassifier: lambda estimator: (
        SmileNetwork,
        estimator._network_params(),
        estimator._criterion(),
    ),
    DeepFeatureExtractor: choose_network,
}
# Larger values would exhaust the memory when the model predicts.
_MAXIMA = {"fps": 1e5, "n_frames": 10**5, "n_windows": 10**4, "max_gap": 10**6}
PORTABLE = {"device": ("auto", "cpu"), "weights": (None, "pretrained", "simulated", "auto")}
_NET_PREFIXES = ("module__", "optimizer__", "criterion__")
_NET_PARAMS = ("iterator_train__drop_last", "iterator_train__shuffle", "optimizer")


def is_ours(cls: type) -> bool:
    """Whether a class is one of this package."""
    return cls.__module__.startswith("smilefusion.")


def check_estimator(cls: type, state: Mapping[str, Any]) -> None:
    """Check the attributes of an estimator of this package that can do harm."""
    name = cls.__name__
    windows = state.get("windows") or {}
    for key, maximum in _MAXIMA.items():
        value = np.asarray((windows if key == "n_windows" else state).get(key))
        if value.dtype.kind in "fiu" and (value > maximum).any():
            raise ValueError(f"{key} of {name} is above {maximum:g}")
    for key, portable in PORTABLE.items():
        if state.get(key, portable[0]) not in portable:
            options = " or ".join(map(repr, portable))
            raise ValueError(f"{key} of {name} must be {options} in a model file")
    for key in ("fusion", "encoder"):
        value = state.get(key, "")
        if not isinstance(value, str) and not (
            isinstance(value, type) and issubclass(value, nn.Module)
        ):
            raise ValueError(f"{key} of {name} must be a key or an nn.Module class")
    for key, value in (state.get("fusion_params") or {}).items():
        if not isinstance(key, str) or not isinstance(value, (bool, int, float, str, type(None))):
            raise ValueError(f"fusion_params of {name} must map names to numbers or text")
    for key, value in (state.get("net_params") or {}).items():
        _check_net_param(f"net_params[{key!r:.80}] of {name}", str(key), value)
    _check_columns(name, state)


def _check_columns(name: str, state: Mapping[str, Any]) -> None:
    """Check that the columns of both streams are columns of the table."""
    for key in ("deep_columns_", "dmarker_columns_"):
        columns, n_columns = state.get(key, np.zeros(1, int)), state.get("n_features_in_", 1)
        if not columns.size or columns.min() < 0 or columns.max() >= n_columns:
            raise ValueError(f"{key} of {name} are not among its {n_columns} columns")


def dump_network(estimator: Any) -> bytes:
    """Return the weights and training history of an estimator's network as safetensors."""
    net = estimator.net_
    if type(estimator) not in _NETWORKS or not isinstance(net, NeuralNet):
        raise InvalidDataError(f"net_ of {type(estimator).__name__} is not a fitted network.")
    module, params = _module(estimator)
    built = net.get_params_for("module")
    changed = [key for key in params | built if not _same(params.get(key), built.get(key))]
    if net.module is not module or changed:
        raise InvalidDataError(
            f"{type(estimator).__name__} cannot be saved: its parameters changed since its "
            f"network was fitted ({', '.join(changed) or 'its class'}). Fit it again, or set them "
            f"back."
        )
    history = [
        {key: getattr(v, "item", lambda v=v: v)() for key, v in row.items() if _is_simple(v)}
        for row in net.history
    ]
    state = net.module_.state_dict()
    arrays = {key: np.array(weight.cpu().numpy(), order="C") for key, weight in state.items()}
    return save_arrays(arrays, metadata={"history": json.dumps(history)})


def restore_stored_network(estimator: Any, content: bytes) -> None:
    """Build the network of an estimator, but only if the weights fit."""
    if type(estimator) not in _NETWORKS:
        raise ValueError(f"{type(estimator).__name__} has no network")
    weights, history = _read_weights(content)
    if isinstance(getattr(estimator, "encoder", None), str):
        is_backbone(estimator.encoder)  # raises if the name is unknown
    for key, value in extra_module_params(estimator).items():
        if "depth" in key and not 0 <= value <= len(weights):
            raise ValueError(f"module__{key} asks for {value} layers, but there are fewer weights")
    module, params = _module(estimator)
    with torch.device("meta"):
        expected = module(**params).state_dict()
    dtype = np.dtype(network_dtype(estimator))
    dtypes = {key: dtype if w.is_floating_point() else np.int64 for key, w in expected.items()}
    wanted = {key: (tuple(weight.shape), dtypes[key]) for key, weight in expected.items()}
    given = {key: (weight.shape, weight.dtype) for key, weight in weights.items()}
    differing = [key for key in given | wanted if given.get(key) != wanted.get(key)]
    if differing:
        raise ValueError(
            f"{len(differing)} weights do not fit the network of {type(estimator).__name__}; the "
            f"first is {differing[0]!r:.80}"
        )
    state = {key: torch.from_numpy(weight) for key, weight in weights.items()}
    module, params, criterion = _NETWORKS[type(estimator)](estimator)
    estimator.net_ = restore_network(estimator, module, params, state, criterion)
    for row in history:
        estimator.net_.history.new_epoch()
        for key, value in row.items():
            estimator.net_.history.record(key, value)


def _read_weights(content: bytes) -> tuple[dict[str, np.ndarray], list[dict[str, Any]]]:
    length = int.from_bytes(content[:8], "little")
    if length > LARGEST_TEXT:
        raise ValueError("the header of its weights is too large")
    header = json.loads(content[8 : 8 + length])
    history = json.loads(header["__metadata__"]["history"])
    if not all(_is_simple(value) for row in history for value in row.values()):
        raise ValueError("its training history has values other than numbers and text")
    weights = load_arrays(content)
    return {key: np.require(w, requirements="W") for key, w in weights.items()}, history


def _check_net_param(name: str, key: str, value: Any) -> None:
    """Check that a parameter of a net is an optimiser, its setting, or a size of layers."""
    if key not in _NET_PARAMS and not key.startswith(_NET_PREFIXES):
        raise ValueError(
            f"{name} cannot be part of a model file, which may hold {', '.join(_NET_PARAMS)} and "
            f"{', '.join(_NET_PREFIXES)} settings"
        )
    values = value if isinstance(value, (list, tuple)) else [value]
    is_optimizer = key == "optimizer" and isinstance(value, type)
    is_optimizer &= issubclass(value, torch.optim.Optimizer) if is_optimizer else False
    is_dtype = key == "module__dtype" and value in ("float32", "float64")
    if (
        not is_optimizer
        and not is_dtype
        and not all(isinstance(each, (bool, int, float, type(None))) for each in values)
    ):
        raise ValueError(f"{name} must be numbers in a model file")


def _module(estimator: Any) -> tuple[type[nn.Module], dict[str, Any]]:
    """Return class and all arguments of an estimator's network."""
    module, params, _ = _NETWORKS[type(estimator)](estimator)
    return module, {**params, **extra_module_params(estimator)}


def _is_simple(value: Any) -> bool:
    return isinstance(value, (Number, str))


def _same(first: Any, second: Any) -> bool:
    if isinstance(first, np.ndarray) or isinstance(second, np.ndarray):
        return np.array_equal(first, second)
    return first is second or first == second
