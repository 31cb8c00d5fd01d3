"""Encoders of clips as parameters name them, and the weights that they start from."""

import warnings
from numbers import Integral
from os import PathLike

from sklearn.utils import check_random_state
from sklearn.utils._param_validation import Interval

from smilefusion._training._torch_state import reproducible_torch
from smilefusion._training._trainer import WeightedClassificationLoss
from smilefusion.clips._rates import NOMINAL_FPS
from smilefusion.exceptions import TrainingWarning
from smilefusion.landmarks import landmark_scheme
from smilefusion.nn._networks import ENCODERS, EncoderNetwork
from smilefusion.nn._reconstruction import ReconstructionNetwork, WeightedErrorLoss
from smilefusion.nn._weights import load_state, read_state
from smilefusion.nn.encoders._timm import (
    BackboneEncoder,
    FrameEncoder,
    LandmarkImageEncoder,
    check_backbone,
    pretrained_state,
)

# Constraints of the parameters that every estimator with an encoder has.
ENCODER_CONSTRAINTS = {
    "encoder": [str],
    "weights": [str, PathLike, None],
    "pretrained": ["boolean"],
    "embedding_dim": [Interval(Integral, 1, None, closed="left")],
    "augment": ["boolean"],
}


def is_backbone(encoder):
    """Tell whether the name of an encoder is one of timm's; unknown names raise ValueError."""
    if encoder in ENCODERS:
        return False
    check_backbone(encoder, others=ENCODERS)
    return True


def check_encoder(encoder, weights, pretrained):
    """Check the parameters that say which encoder there is and what it starts from.

    Parameters
    ----------
    encoder : str
        A key of `ENCODERS` or the name of a timm model.
    weights : str, path-like or None
        Weight file.
    pretrained : bool
        Whether timm's pretrained weights are wanted.

    Raises
    ------
    ValueError
        If the encoder is unknown or the parameters contradict each other.
    """
    if not is_backbone(encoder) and pretrained:
        raise ValueError(
            f"pretrained=True needs a timm model; got encoder={encoder!r}, which has no "
            f"pretrained weights. Give a file as weights, or a name of timm.list_pretrained()."
        )
    if pretrained and weights is not None:
        raise ValueError(
            f"pretrained=True and weights={str(weights)!r} are two sets of weights; give one."
        )


def check_objective(extractor):
    """Check an extractor's objective against its encoder and weights.

    Parameters
    ----------
    extractor : DeepFeatureExtractor
        Holds the parameters.

    Raises
    ------
    ValueError
        If they contradict each other.

    Warns
    -----
    TrainingWarning
        If the encoder is frozen as it is drawn.
    """
    encoder, objective = extractor.encoder, extractor.objective
    if objective == "reconstruction" and encoder != "mesh_transformer":
        raise ValueError(
            f"objective='reconstruction' needs encoder='mesh_transformer', which can hide frames; "
            f"got encoder={encoder!r}. Change either."
        )
    if objective == "frozen" and not extractor.pretrained and extractor.weights is None:
        warnings.warn(
            f"objective='frozen' without weights or pretrained=True leaves the encoder "
            f"{encoder!r} as random_state draws it. Give weights, or another objective.",
            TrainingWarning,
            stacklevel=6,  # the caller of fit
        )


def choose_encoder(estimator, kind="landmarks"):
    """Return the encoder that an estimator's parameters and the clips ask for.

    Parameters
    ----------
    estimator : estimator
        Holds the parameters and what is known of the clips.
    kind : {"landmarks", "frames"}, default="landmarks"
        What the clips hold.

    Returns
    -------
    encoder : type
        Class of the encoder.
    params : dict
        Its keyword arguments.
    """
    name = estimator.encoder
    params = {"dropout": estimator.dropout, "embedding_dim": estimator.embedding_dim}
    if kind == "frames":
        return FrameEncoder, params | {"backbone": name, "augment": estimator.augment}
    params |= {"n_landmarks": estimator.n_landmarks_, "n_dims": estimator.n_dims_}
    if name == "curvenet":
        return ENCODERS[name], params
    twins = landmark_scheme(estimator.n_landmarks_).mirror
    params["mirror"] = twins if estimator.augment else None
    if is_backbone(name):
        return LandmarkImageEncoder, params | {"backbone": name}
    return ENCODERS[name], params | {
        "time_unit": NOMINAL_FPS if estimator.time_unit_ == "frames" else 1.0
    }


def choose_network(extractor):
    """Return the network that an extractor's parameters and the clips ask for.

    Parameters
    ----------
    extractor : DeepFeatureExtractor
        Holds the parameters, `input_` and what is known of the clips.

    Returns
    -------
    module : type
        Class of the network; the encoder itself where it is frozen.
    params : dict
        Its keyword arguments.
    criterion : type
        Class of the loss.
    """
    encoder, params = choose_encoder(extractor, extractor.input_)
    if extractor.objective == "frozen":
        pooled = {"embedding_dim": None} if is_backbone(extractor.encoder) else {}
        return encoder, params | pooled, WeightedErrorLoss
    if extractor.objective == "reconstruction":
        return ReconstructionNetwork, params | {"encoder": encoder}, WeightedErrorLoss
    n_outputs = 1 if len(extractor.classes_) == 2 else len(extractor.classes_)
    params |= {"encoder": encoder, "n_outputs": n_outputs}
    return EncoderNetwork, params, WeightedClassificationLoss


def initial_state(estimator, module, module_params):
    """Return the weights that an estimator's network starts from.

    Parameters
    ----------
    estimator : estimator
        Holds `encoder`, `weights`, `pretrained`, `net_params` and `random_state`.
    module : type
        Class of the network: a frozen encoder, or a module with an argument and an attribute
        `encoder`.
    module_params : dict
        Keyword arguments of the network.

    Returns
    -------
    state : dict of str to tensor or None
        State dict of the network; random but for the encoder's given weights. None where the
        network is trained and no weights are given.

    Raises
    ------
    InvalidDataError
        If the weight file cannot be read or does not fit the encoder.
    OSError
        If the pretrained weights cannot be loaded.
    """
    given = None
    if estimator.pretrained:
        given = pretrained_state(estimator.encoder)
    elif estimator.weights is not None:
        given = read_state(estimator.weights)
    is_trained = "encoder" in module_params
    if given is None and is_trained:
        return None
    extra = {
        name.removeprefix("module__"): value
        for name, value in (estimator.net_params or {}).items()
        if name.startswith("module__")
    }
    seed = int(check_random_state(estimator.random_state).randint(2**31 - 1))
    with reproducible_torch(seed):
        network = module(**{**module_params, **extra})
    encoder = network.encoder if is_trained else network
    if given is not None:
        load = BackboneEncoder.load_weights if is_backbone(estimator.encoder) else load_state
        load(encoder, given, name=f"The weights of {estimator.weights or estimator.encoder}")
    return network.state_dict()
