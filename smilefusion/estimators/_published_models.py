"""The published training as a preset, and checkpoints of the published networks."""

from dataclasses import dataclass

import numpy as np
import torch

from smilefusion._messages import printable
from smilefusion._training._trainer import restore_network
from smilefusion.estimators._hadasmilenet import HadaSmileNetClassifier
from smilefusion.exceptions import InvalidDataError
from smilefusion.nn._fusion import FUSIONS
from smilefusion.nn._networks import SmileNetwork, get_fusion
from smilefusion.nn._weights import read_state
from smilefusion.nn.published._state_dicts import convert_published_network_state

N_LANDMARKS, N_DIMS = 478, 3


@dataclass(frozen=True)
class PublishedData:
    """How the published code scales a data set's coordinates, fractions of the image's size."""

    minimum: tuple
    maximum: tuple
    aspect_ratio: float  # width of the videos over their height


_UVA_NEMO = (
    (0.06372425, 0.05751023, -0.08976112),
    (0.63246971, 1.01475966, 0.14436169),
)
# Constants of the published notebooks, which use UvA-NEMO's for MMI and SPOS as well.
PUBLISHED_DATA = {
    "uva_nemo": PublishedData(*_UVA_NEMO, 1920 / 1080),
    "mmi": PublishedData(*_UVA_NEMO, 640 / 480),
    "spos": PublishedData(*_UVA_NEMO, 640 / 480),
    "bbc": PublishedData(
        (0.21279547, 0.19596553, -0.13428977), (0.7755264, 0.96657193, 0.27711481), 314 / 286
    ),
}
# Strategies that were published with the backbone of small tokens.
_SMALL_TOKENS = (
    "bilinear",
    "bilinear_hadamard",
    "factorized_bilinear",
    "factorized_bilinear_hadamard",
)
_ATTENTION = (
    "attention",
    "cross_attention",
    "multihead_attention",
    "multihead_cross_attention",
)


def published_settings(dataset, fusion="hadamard", *, aspect_ratio=None):
    """Return the parameters of `HadaSmileNetClassifier` that train as published.

    Parameters
    ----------
    dataset : {"uva_nemo", "mmi", "spos", "bbc"}
        Data set whose constants scale the coordinates.
    fusion : str, default="hadamard"
        Key of the strategy; the four bilinear ones come with the backbone of small tokens, the
        four attention ones attend over the D-Markers alone, as published.
    aspect_ratio : float, default=None
        Width over height of the videos: the published constants are of fractions of the image's
        width and height, clips are in isotropic units, x and z times this. None takes that of
        the data set's videos (of MMI's, those of 640 × 480); 1 is for clips in fractions.

    Returns
    -------
    settings : dict
        Keyword arguments of `HadaSmileNetClassifier`: AdamW with learning rate 5e-4 and no
        weight decay, batches of 16 clips, incomplete ones left out, 300 epochs, windows of 16
        frames with the D-Markers of each, five windows at prediction, CurveNet.

    Raises
    ------
    ValueError
        If data set or strategy are unknown.

    Notes
    -----
    Three things differ from the published code, which reports the best of 300 epochs on the test
    fold: nothing here looks at test clips, the test windows lie evenly in place of at random,
    and `random_state` seeds the training. Ask for ``dmarkers="auxiliary"`` or ``"none"`` to
    train DeepMarkerNet or MeshSmileNet alike; DeepMarkerNet's own 216 targets, of which a third
    are always 0 in the published code, are not reproduced.

    References
    ----------
    Hasan, Mohammed, Rahman, Koehn: HadaSmileNet, ICDM 2025, arXiv 2509.18550, and its published
    code.

    Examples
    --------
    >>> from smilefusion import HadaSmileNetClassifier, published_settings
    >>> model = HadaSmileNetClassifier(**published_settings("uva_nemo"))
    >>> model.max_epochs, model.batch_size, model.n_frames, model.n_windows
    (300, 16, 16, 5)
    """
    get_fusion(fusion)
    if dataset not in PUBLISHED_DATA:
        raise ValueError(
            f"dataset must be one of {', '.join(PUBLISHED_DATA)}; got {dataset!r}. Take the data "
            f"set whose scaling the network was trained with."
        )
    data = PUBLISHED_DATA[dataset]
    aspect_ratio = data.aspect_ratio if aspect_ratio is None else aspect_ratio
    fractions = np.array([data.minimum, data.maximum])
    net_params = {"iterator_train__drop_last": True, "module__published_start": True}
    if fusion in _SMALL_TOKENS:
        net_params["module__small_tokens"] = True
    return {
        "fusion": fusion,
        "encoder": "curvenet",
        "dmarker_scope": "window",
        "coordinate_range": fractions * [aspect_ratio, 1, aspect_ratio],
        "sampling": "window",
        "n_frames": 16,
        "n_windows": 5,
        "fusion_params": {"context": "dmarker"} if fusion in _ATTENTION else None,
        "max_epochs": 300,
        "lr": 5e-4,
        "weight_decay": 0.0,
        "batch_size": 16,
        "dropout": 0.1,
        "early_stopping": False,
        "net_params": net_params,
    }


def load_published_checkpoint(path, dataset, fusion="hadamard", *, aspect_ratio=None):
    """Read a network that the authors' code has trained into a fitted classifier.

    Parameters
    ----------
    path : str or path-like
        State dict of the whole network, a file of `torch.save` or ``.safetensors``, in the
        names of the published code. It is read without running code.
    dataset : {"uva_nemo", "mmi", "spos", "bbc"}
        Data set whose constants scaled the coordinates in its training.
    fusion : str, default="hadamard"
        Key of the network's strategy, but of the four bilinear ones, the names of whose
        backbone are not known.
    aspect_ratio : float, default=None
        Width over height of the videos, see `published_settings`.

    Returns
    -------
    classifier : HadaSmileNetClassifier
        Fitted, with the parameters of `published_settings`; its classes are 0 (posed) and 1
        (spontaneous), its clips have 478 landmarks of 3 coordinates.

    Raises
    ------
    InvalidDataError
        If the file cannot be read safely, or has entries missing, unknown or misshapen; the
        message names them.
    ValueError
        If data set or strategy are unknown, or the strategy is a bilinear one.

    Examples
    --------
    >>> from smilefusion import load_published_checkpoint
    >>> model = load_published_checkpoint("hadasmilenet.pt", "uva_nemo")  # doctest: +SKIP
    >>> model.predict_proba(clips)  # doctest: +SKIP
    """
    classifier = HadaSmileNetClassifier(
        **published_settings(dataset, fusion, aspect_ratio=aspect_ratio)
    )
    if fusion in _SMALL_TOKENS:
        known = ", ".join(key for key in FUSIONS if key not in _SMALL_TOKENS)
        raise ValueError(
            f"fusion must be one of {known}; got {fusion!r}, the names of whose backbone in the "
            f"published code are not known. Train it by published_settings."
        )
    classifier.classes_ = np.array([0, 1])
    classifier.n_landmarks_, classifier.n_dims_ = N_LANDMARKS, N_DIMS
    classifier.time_unit_ = None  # the network sees frames, whatever their rate
    minimum, maximum = classifier.coordinate_range
    classifier.offset_, classifier.scale_ = minimum, maximum - minimum
    classifier.dmarker_transformer_ = classifier.dmarker_scaler_ = None
    params = classifier._network_params()
    with torch.device("meta"):
        expected = SmileNetwork(**params).state_dict()
    try:
        state = convert_published_network_state(read_state(path), expected)
    except ValueError as error:
        raise InvalidDataError(
            f"{printable(path)} does not contain a published network of {fusion!r}: {error}"
        ) from error
    classifier.net_ = restore_network(classifier, SmileNetwork, params, state)
    return classifier
