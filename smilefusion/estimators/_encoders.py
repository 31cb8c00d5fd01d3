"""The network of an extractor: encoder, objective, and the weights that they start from."""

import warnings

from sklearn.utils import check_random_state

from smilefusion.dmarkers._signals import NOMINAL_FPS
from smilefusion.estimators._losses import WeightedClassificationLoss
from smilefusion.estimators._training import reproducible_torch
from smilefusion.exceptions import SmileFusionWarning
from smilefusion.landmarks import landmark_scheme
from smilefusion.nn._image import (
    BackboneEncoder,
    FrameEncoder,
    LandmarkImageEncoder,
    check_backbone,
    pretrained_state,
)
from smilefusion.nn._reconstruction import ReconstructionNetwork, WeightedErrorLoss
from smilefusion.nn._two_stream import ENCODERS, EncoderNetwork
from smilefusion.nn._weights import load_state, read_state


def is_backbone(encoder):
    """Tell whether the name of an encoder is one of timm's; unknown names raise ValueError."""
    if encoder in ENCODERS:
        return False
    check_backbone(encoder, others=ENCODERS)
    return True


def check_encoder(encoder, objective, weights, pretrained):
    """Check the parameters that say which encoder there is and what it starts from.

    Parameters
    ----------
    encoder : str
        A key of `ENCODERS` or the name of a timm model.
    objective : {"supervised", "reconstruction", "frozen"}
        What the network learns.
    weights : str, path-like or None
        Weight file.
    pretrained : bool
        Whether timm's pretrained weights are wanted.

    Raises
    ------
    ValueError
        If the encoder is unknown or the parameters contradict each other.
    """
    backbone = is_backbone(encoder)
    if objective == "reconstruction" and encoder != "mesh_transformer":
        raise ValueError(
            f"objective='reconstruction' needs encoder='mesh_transformer', which can hide frames; "
            f"got encoder={encoder!r}. Change either."
        )
    if pretrained and not backbone:
        raise ValueError(
            f"pretrained=True needs a timm model; got encoder={encoder!r}, which has no "
            f"pretrained weights. Give a file as weights, or a name of timm.list_pretrained()."
        )
    if pretrained and weights is not None:
        raise ValueError(
            f"pretrained=True and weights={str(weights)!r} are two sets of weights; give one."
        )
    if objective == "frozen" and not pretrained and weights is None:
        warnings.warn(
            f"objective='frozen' without weights or pretrained=True leaves the encoder "
            f"{encoder!r} as random_state draws it. Give weights, or another objective.",
            SmileFusionWarning,
            stacklevel=5,  # the caller of fit
        )


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
    backbone = is_backbone(extractor.encoder)
    params = {"dropout": extractor.dropout, "embedding_dim": extractor.embedding_dim}
    if extractor.input_ == "frames":
        params["augment"] = extractor.augment
    else:
        params |= {"n_landmarks": extractor.n_landmarks_, "n_dims": extractor.n_dims_}
    if extractor.input_ == "landmarks" and extractor.encoder != "curvenet":
        twins = landmark_scheme(extractor.n_landmarks_).mirror
        params["mirror"] = twins if extractor.augment else None
    if backbone:
        encoder = FrameEncoder if extractor.input_ == "frames" else LandmarkImageEncoder
        params["backbone"] = extractor.encoder
    else:
        encoder = ENCODERS[extractor.encoder]
    if extractor.encoder == "mesh_transformer":
        params["time_unit"] = NOMINAL_FPS if extractor.fps is None else 1.0
    if extractor.objective == "frozen":
        size = None if backbone else extractor.embedding_dim
        return encoder, {**params, "embedding_dim": size}, WeightedErrorLoss
    if extractor.objective == "reconstruction":
        return ReconstructionNetwork, {**params, "encoder": encoder}, WeightedErrorLoss
    n_outputs = 1 if len(extractor.classes_) == 2 else len(extractor.classes_)
    params |= {"encoder": encoder, "n_outputs": n_outputs}
    return EncoderNetwork, params, WeightedClassificationLoss


def initial_state(estimator, module, module_params):
    """Return the weights that an estimator's network starts from.

    Parameters
    ----------
    estimator : DeepFeatureExtractor
        Holds `encoder`, `weights`, `pretrained`, `net_params` and `random_state`.
    module : type
        Class of the network: an encoder, or a module with an attribute `encoder`.
    module_params : dict
        Keyword arguments of the network.

    Returns
    -------
    state : dict of str to tensor
        State dict of the network; random but for the encoder's given weights.

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
    extra = {
        name.removeprefix("module__"): value
        for name, value in (estimator.net_params or {}).items()
        if name.startswith("module__")
    }
    seed = int(check_random_state(estimator.random_state).randint(2**31 - 1))
    with reproducible_torch(seed):
        network = module(**{**module_params, **extra})
    encoder = network if estimator.objective == "frozen" else network.encoder
    if given is not None:
        load = BackboneEncoder.load_weights if is_backbone(estimator.encoder) else load_state
        load(encoder, given, name=f"The weights of {estimator.weights or estimator.encoder}")
    return network.state_dict()
