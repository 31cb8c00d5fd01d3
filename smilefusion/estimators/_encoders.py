"""Choice of the encoder and its network from the parameters, and the initial weights."""

import warnings
from inspect import signature
from numbers import Integral
from os import PathLike
from typing import Any

from sklearn.utils import check_random_state
from sklearn.utils._param_validation import Interval
from torch import nn

from smilefusion._training._batches import Tensors
from smilefusion._training._torch_state import reproducible_torch
from smilefusion._training._trainer import WeightedClassificationLoss, extra_module_params
from smilefusion.clips._rates import NOMINAL_FPS
from smilefusion.exceptions import TrainingWarning
from smilefusion.landmarks import landmark_scheme
from smilefusion.nn._networks import ENCODERS, EncoderNetwork
from smilefusion.nn._reconstruction import ReconstructionNetwork, WeightedErrorLoss
from smilefusion.nn._weights import load_state, read_state, simulated_state
from smilefusion.nn.encoders._mesh_transformer import MeshTransformer
from smilefusion.nn.encoders._own import OwnEncoder
from smilefusion.nn.encoders._timm import (
    BackboneEncoder,
    FrameEncoder,
    LandmarkImageEncoder,
    check_backbone,
    pretrained_state,
)

# Scaling and embedding size of weights="simulated" (tools/train_encoders.py).
SIMULATED_SCALING, SIMULATED_DIM = (0.0, 0.1), 256
# Parameter constraints of every estimator with an encoder.
ENCODER_CONSTRAINTS: dict[str, list] = {
    "encoder": [str, type],
    "weights": [str, PathLike, None],
    "embedding_dim": [Interval(Integral, 1, None, closed="left")],
    "augment": ["boolean"],
}


def is_backbone(encoder: str | type[nn.Module]) -> bool:
    """Return whether an encoder is a timm model; raise an error if it is not an encoder."""
    if isinstance(encoder, type):
        if issubclass(encoder, nn.Module):
            return False
        raise TypeError(
            f"encoder must be the name of an encoder or a torch.nn.Module class; got {encoder!r}. "
            "Make it a subclass of torch.nn.Module."
        )
    if encoder in ENCODERS:
        return False
    check_backbone(encoder, others=ENCODERS)
    return True


def has_simulated_start(estimator: Any) -> bool:
    """Whether an estimator starts from the weights that the package contains."""
    if estimator.weights != "auto":
        return estimator.weights == "simulated"
    own = estimator.encoder, estimator.embedding_dim
    of_encoder = extra_module_params(estimator).keys() & signature(MeshTransformer).parameters
    return own == ("mesh_transformer", SIMULATED_DIM) and not of_encoder


def encoder_invariances(estimator: Any) -> tuple[str, ...]:
    """Return the coordinate changes to which an estimator's encoder is invariant."""
    # The published encoder sees coordinates; the others see displacements in head coordinates.
    if estimator.encoder == "curvenet":
        return ()
    mirror = ("mirror",) if estimator.augment else ()
    return ("translation", "scale", "rotation", *mirror)


def check_encoder(estimator: Any) -> None:
    """Raise if the encoder is unknown or does not have the weights requested."""
    encoder, weights = estimator.encoder, estimator.weights
    if not is_backbone(encoder) and weights == "pretrained":
        raise ValueError(
            f"weights='pretrained' needs a timm model, but encoder={encoder!r} has no pretrained "
            f"weights. Pass a file as weights, or choose an encoder of timm.list_pretrained()."
        )
    own = encoder, estimator.embedding_dim
    if weights == "simulated" and own != ("mesh_transformer", SIMULATED_DIM):
        raise ValueError(
            f"weights='simulated' needs encoder='mesh_transformer' and "
            f"embedding_dim={SIMULATED_DIM}; got encoder={encoder!r} and "
            f"embedding_dim={estimator.embedding_dim}. Use these values, or choose other weights."
        )


def check_objective(extractor: Any) -> None:
    """Raise or warn if an extractor's objective does not fit its encoder or weights."""
    encoder, objective = extractor.encoder, extractor.objective
    if objective == "reconstruction" and encoder != "mesh_transformer":
        raise ValueError(
            f"objective='reconstruction' needs encoder='mesh_transformer', the only one that can "
            f"hide frames; got encoder={encoder!r}. Change one of the two."
        )
    if objective == "frozen" and extractor.weights is None:
        warnings.warn(
            f"objective='frozen' without weights uses encoder {encoder!r} with random weights. "
            f"Set weights, or choose another objective.",
            TrainingWarning,
            stacklevel=6,  # the caller of fit
        )


def choose_encoder(
    estimator: Any, kind: str = "landmarks"
) -> tuple[type[nn.Module], dict[str, Any]]:
    """Return the class of the encoder and its keyword arguments."""
    name = estimator.encoder
    params: dict[str, Any] = {
        "dropout": estimator.dropout,
        "embedding_dim": estimator.embedding_dim,
    }
    if kind == "frames":
        return FrameEncoder, params | {"backbone": name, "augment": bool(estimator.augment)}
    params |= {"n_landmarks": estimator.n_landmarks_, "n_dims": estimator.n_dims_}
    if name == "curvenet":
        return ENCODERS[name], params
    mirror = landmark_scheme(estimator.n_landmarks_).mirror
    params["mirror"] = mirror if estimator.augment else None
    if isinstance(name, type):
        return OwnEncoder, params | {"own": name}
    if is_backbone(name):
        return LandmarkImageEncoder, params | {"backbone": name}
    return ENCODERS[name], params | {
        "time_unit": NOMINAL_FPS if estimator.time_unit_ == "frames" else 1.0
    }


def choose_network(
    extractor: Any,
) -> tuple[type[nn.Module], dict[str, Any], type[nn.Module]]:
    """Return the class of an extractor's network, its keyword arguments and its loss."""
    encoder, params = choose_encoder(extractor, extractor.input_)
    if extractor.objective == "frozen":
        pooled = {"embedding_dim": None} if is_backbone(extractor.encoder) else {}
        return encoder, params | pooled, WeightedErrorLoss
    if extractor.objective == "reconstruction":
        return ReconstructionNetwork, params | {"encoder": encoder}, WeightedErrorLoss
    n_outputs = 1 if len(extractor.classes_) == 2 else len(extractor.classes_)
    params |= {"encoder": encoder, "n_outputs": n_outputs}
    return EncoderNetwork, params, WeightedClassificationLoss


def initial_state(
    estimator: Any, module: type[nn.Module], module_params: dict[str, Any]
) -> Tensors | None:
    """Return the initial state dict, or None if a trained network starts from random weights."""
    given = None
    if estimator.weights == "pretrained":
        given = pretrained_state(estimator.encoder)
    elif has_simulated_start(estimator):
        given = simulated_state(estimator.n_landmarks_, estimator.n_dims_)
    elif estimator.weights not in (None, "auto"):
        given = read_state(estimator.weights)
    is_trained = "encoder" in module_params
    if given is None and is_trained:
        return None
    seed = int(check_random_state(estimator.random_state).randint(2**31 - 1))
    with reproducible_torch(seed):
        network = module(**{**module_params, **extra_module_params(estimator)})
    encoder = network.encoder if is_trained else network
    if given is not None:
        load: Any = BackboneEncoder.load_weights if is_backbone(estimator.encoder) else load_state
        source = estimator.encoder if estimator.weights == "pretrained" else estimator.weights
        load(getattr(encoder, "own", encoder), given, name=f"The weights of {source}")
    return network.state_dict()
