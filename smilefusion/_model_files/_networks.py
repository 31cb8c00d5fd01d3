"""Networks of fitted estimators: which one it is, its course of training, its weights."""

from numbers import Number

import numpy as np
import torch

from smilefusion._training._trainer import restore_network
from smilefusion.estimators._deep_features import DeepFeatureExtractor
from smilefusion.estimators._encoders import choose_network, is_backbone
from smilefusion.estimators._fusion_classifier import FusionClassifier
from smilefusion.estimators._hadasmilenet import HadaSmileNetClassifier
from smilefusion.exceptions import InvalidDataError
from smilefusion.nn._networks import SmileNetwork, TwoStreamNetwork

# Class and arguments of an estimator's network follow from its parameters and what it learned.
_NETWORKS = {
    FusionClassifier: lambda estimator: (TwoStreamNetwork, estimator._network_params()),
    HadaSmileNetClassifier: lambda estimator: (SmileNetwork, estimator._network_params()),
    DeepFeatureExtractor: lambda estimator: choose_network(estimator)[:2],
}


def check_unchanged(estimator, net):
    """Check that an estimator's parameters still are those that its network was built with.

    Parameters
    ----------
    estimator : estimator
        A fitted estimator.
    net : skorch.NeuralNet
        Its net.

    Raises
    ------
    InvalidDataError
        If they are not, or the network is no longer the one that was fitted.
    """
    module, params = _NETWORKS[type(estimator)](estimator)
    params = {**params, **_extra_params(estimator)}
    built = net.get_params_for("module")
    changed = [key for key in params | built if not _same(params.get(key), built.get(key))]
    if net.module is not module or changed:
        raise InvalidDataError(
            f"{type(estimator).__name__} cannot be saved: its parameters are not those that its "
            f"network was fitted with ({', '.join(changed) or 'its class'}). Fit it anew, or set "
            f"them back."
        )


def read_history(net):
    """Return the course of a training, one dict of numbers per epoch.

    Parameters
    ----------
    net : skorch.NeuralNet
        A fitted net.

    Returns
    -------
    rows : list of dict
        What `history_` shows.
    """
    return [
        {key: value for key, value in row.items() if isinstance(value, (Number, str))}
        for row in net.history
    ]


def restore(estimator, weights, history):
    """Give an estimator the net that it had, from its weights.

    Parameters
    ----------
    estimator : estimator
        Its parameters and learned attributes say which network it is.
    weights : dict of str to ndarray
        State dict of the network.
    history : list of dict
        The course of its training.

    Raises
    ------
    ValueError
        If the weights are not those of the network; it is built in earnest only if they are.
    """
    if hasattr(estimator, "encoder"):
        is_backbone(estimator.encoder)
    _check_depths(estimator, len(weights))
    module, params = _NETWORKS[type(estimator)](estimator)
    with torch.device("meta"):
        expected = module(**{**params, **_extra_params(estimator)}).state_dict()
    shapes = {key: weight.shape for key, weight in weights.items()}
    wanted = {key: tuple(weight.shape) for key, weight in expected.items()}
    differing = [key for key in shapes | wanted if shapes.get(key) != wanted.get(key)]
    if differing:
        raise ValueError(
            f"{len(differing)} weights do not fit the network, the first {differing[0]!r:.80}"
        )
    dtype = np.float64 if estimator.precision == "float64" else np.float32
    for key, weight in weights.items():
        kind = dtype if expected[key].is_floating_point() else np.int64
        if weight.dtype != kind:
            raise ValueError(f"the weight {key!r:.80} has dtype {weight.dtype}")
    state = {key: torch.from_numpy(weight) for key, weight in weights.items()}
    estimator.net_ = restore_network(estimator, module, params, state)
    for row in history:
        estimator.net_.history.new_epoch()
        for key, value in row.items():
            estimator.net_.history.record(key, value)


def _extra_params(estimator):
    """Return the arguments of the network that `net_params` adds."""
    prefix = "module__"
    net_params = estimator.net_params or {}
    return {k.removeprefix(prefix): v for k, v in net_params.items() if k.startswith(prefix)}


def _check_depths(estimator, n_weights):
    """Refuse more layers than there are weights, before they are built."""
    for key, value in _extra_params(estimator).items():
        if "depth" in key and not 0 <= value <= n_weights:
            raise ValueError(f"module__{key} asks for {value} layers; there are fewer weights")


def _same(first, second):
    """Whether two arguments of a network are equal."""
    if isinstance(first, np.ndarray) or isinstance(second, np.ndarray):
        return np.array_equal(first, second)
    return first is second or first == second
