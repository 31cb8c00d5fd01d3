"""Settings of the published training, and checkpoints of the published networks."""

from dataclasses import dataclass
from os import PathLike
from typing import Any

import numpy as np
import torch

from smilefusion._messages import printable
from smilefusion._training._trainer import restore_network
from smilefusion.estimators._hadasmilenet import HadaSmileNetClassifier
from smilefusion.estimators._landmark_inputs import check_range, check_windows
from smilefusion.exceptions import InvalidDataError
from smilefusion.nn._fusion import FUSIONS
from smilefusion.nn._networks import SmileNetwork, get_fusion
from smilefusion.nn._weights import read_state
from smilefusion.nn.published._state_dicts import convert_published_network_state

N_LANDMARKS, N_DIMS = 478, 3


@dataclass(frozen=True)
class PublishedData:
    """Published scaling of a data set's coordinates, which are fractions of the image size."""

    minimum: tuple[float, float, float]
    maximum: tuple[float, float, float]
    aspect_ratio: float  # width over height of the videos


_UVA_NEMO = (
    (0.06372425, 0.05751023, -0.08976112),
    (0.63246971, 1.01475966, 0.14436169),
)
# Constants of the published notebooks, which use those of UvA-NEMO for MMI and SPOS too.
PUBLISHED_DATA = {
    "uva_nemo": PublishedData(*_UVA_NEMO, 1920 / 1080),
    "mmi": PublishedData(*_UVA_NEMO, 640 / 480),
    "spos": PublishedData(*_UVA_NEMO, 640 / 480),
    "bbc": PublishedData(
        (0.21279547, 0.19596553, -0.13428977), (0.7755264, 0.96657193, 0.27711481), 314 / 286
    ),
}
# Strategies that were published with the small-token backbone.
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


def published_settings(
    dataset: str, fusion: str = "hadamard", *, aspect_ratio: float | None = None
) -> dict[str, Any]:
    """Return parameters of `HadaSmileNetClassifier` that reproduce the published training.

    Parameters
    ----------
    dataset : {"uva_nemo", "mmi", "spos", "bbc"}
        Data set whose constants scale the coordinates.
    fusion : str, default="hadamard"
        Key of the fusion strategy. As published, the four bilinear strategies use the
        small-token backbone, and the four attention strategies attend only to the D-Markers.
    aspect_ratio : float, default=None
        Width over height of the videos. It converts the published constants, which are
        fractions of the image's width and height, to the isotropic units of clips. None uses
        the ratio of the data set's videos (for MMI, 640 × 480). Use 1 for clips in
        fractions of width and height.

    Returns
    -------
    settings : dict
        Keyword arguments of `HadaSmileNetClassifier`: CurveNet, AdamW with a learning rate of
        5e-4 and no weight decay, 300 epochs, full batches of 16 clips, windows of 16 frames
        with their own D-Markers, and five windows at prediction.

    Raises
    ------
    ValueError
        If the data set or the strategy is unknown.

    Notes
    -----
    There are three differences from the published code. The published code reports the best of
    300 epochs on the test fold; here, training uses no test clip. Its test windows are random;
    here, they are evenly spaced. Here, `random_state` seeds the training. Add
    ``dmarkers="auxiliary"`` or ``"none"`` to train DeepMarkerNet or MeshSmileNet in the same
    way. The 216 targets of DeepMarkerNet, a third of which are always 0 in the published code,
    are not reproduced.

    References
    ----------
    Hasan, Mohammed, Rahman, Koehn: HadaSmileNet, ICDM 2025, arXiv 2509.18550, and its published
    code.

    Examples
    --------
    >>> from smilefusion import HadaSmileNetClassifier, published_settings
    >>> model = HadaSmileNetClassifier(**published_settings("uva_nemo"))
    >>> model.max_epochs, model.batch_size, model.n_frames, model.windows["n_windows"]
    (300, 16, 16, 5)
    """
    get_fusion(fusion)
    if dataset not in PUBLISHED_DATA:
        raise ValueError(
            f"dataset must be one of {', '.join(PUBLISHED_DATA)}; got {dataset!r}. Choose the "
            f"data set whose scaling the training uses."
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
        "n_frames": 16,
        "windows": {
            "n_windows": 5,
            "dmarkers": True,
            "coordinate_range": fractions * [aspect_ratio, 1, aspect_ratio],
        },
        "fusion_params": {"context": "dmarker"} if fusion in _ATTENTION else None,
        "max_epochs": 300,
        "lr": 5e-4,
        "weight_decay": 0.0,
        "batch_size": 16,
        "dropout": 0.1,
        "patience": None,
        "net_params": net_params,
    }


def load_published_checkpoint(
    path: str | PathLike[str],
    dataset: str,
    fusion: str = "hadamard",
    *,
    aspect_ratio: float | None = None,
) -> HadaSmileNetClassifier:
    """Load a network trained with the authors' code as a fitted classifier.

    Parameters
    ----------
    path : str or path-like
        State dict of the whole network with the names of the published code, saved with
        `torch.save` or as ``.safetensors``. It is read without running code.
    dataset : {"uva_nemo", "mmi", "spos", "bbc"}
        Data set whose constants scaled the coordinates in the training.
    fusion : str, default="hadamard"
        Key of the network's fusion strategy. The four bilinear strategies cannot be loaded,
        because the parameter names of their published backbone are unknown.
    aspect_ratio : float, default=None
        Width over height of the videos, see `published_settings`.

    Returns
    -------
    classifier : HadaSmileNetClassifier
        The fitted classifier, with the parameters of `published_settings`. Its classes are 0
        (posed) and 1 (spontaneous). It takes clips of 478 landmarks with 3 coordinates.

    Raises
    ------
    InvalidDataError
        If the file cannot be read safely, or if entries are missing, unknown or of the wrong
        shape. The message names them.
    ValueError
        If the data set or the strategy is unknown, or the strategy is bilinear.

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
            f"fusion must be one of {known}; got {fusion!r}, whose published parameter names are "
            f"unknown. Train the network with published_settings instead."
        )
    classifier.classes_ = np.array([0, 1])
    classifier.n_landmarks_, classifier.n_dims_ = N_LANDMARKS, N_DIMS
    classifier.time_unit_ = None  # the network sees frames, whatever their rate
    limits = check_windows(classifier.windows).coordinate_range
    scaling = check_range(limits, N_DIMS, encoder=classifier.encoder)
    assert scaling is not None  # published_settings gives the range
    classifier.offset_, classifier.scale_ = scaling
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
