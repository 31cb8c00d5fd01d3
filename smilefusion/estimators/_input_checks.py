"""Check clips of landmarks and of images, and resize images for timm."""

import os
from pathlib import Path
from typing import Any

import numpy as np
import torch

from smilefusion._training._batches import Arrays
from smilefusion.clips._padding import sample_frames
from smilefusion.clips._sequence import ClipSequence, check_clips
from smilefusion.estimators._encoders import is_backbone
from smilefusion.exceptions import InvalidClipError
from smilefusion.nn.encoders._timm import data_config

_TRANSFORM_KEYS = ("input_size", "interpolation", "mean", "std", "crop_pct", "crop_mode")


def check_input(X: Any, encoder: str | type) -> tuple[Any, str]:
    """Return checked clips and "landmarks" or "frames", whichever they hold."""
    if _holds_frames(X) and is_backbone(encoder):
        return check_frames(X), "frames"
    remedy = "use a model of timm.list_models() as encoder"
    return check_landmarks(X, taker=f"encoder={encoder!r}", remedy=remedy), "landmarks"


def check_landmarks(X: Any, *, taker: str, remedy: str) -> ClipSequence:
    """Return checked clips of landmarks; raise if they hold images."""
    if _holds_frames(X):
        raise InvalidClipError(
            f"X holds clips of images, but {taker} needs landmarks. Extract the landmarks, or "
            f"{remedy}."
        )
    return check_clips(X)


def check_same_landmarks(estimator: Any, clips: ClipSequence) -> None:
    """Raise if the landmarks of clips differ from those seen in fit."""
    n_landmarks, n_dims = estimator.n_landmarks_, estimator.n_dims_
    if (clips.n_landmarks, clips.n_dims) != (n_landmarks, n_dims):
        raise InvalidClipError(
            f"Clips have {clips.n_landmarks} landmarks with {clips.n_dims} coordinates, but "
            f"{type(estimator).__name__} was fitted to {n_landmarks} landmarks with {n_dims} "
            f"coordinates. Extract all clips with the same landmark model."
        )


def check_same_kind(extractor: Any, clips: Any, kind: str) -> None:
    """Raise if the kind of clips, or their landmarks, differ from those seen in fit."""
    if kind != extractor.input_:
        raise InvalidClipError(
            f"X holds clips of {kind}, but {type(extractor).__name__} was fitted to clips of "
            f"{extractor.input_}. Pass {extractor.input_}, or fit the extractor again."
        )
    if kind == "landmarks":
        check_same_landmarks(extractor, clips)


def check_frames(X: Any) -> list[np.ndarray]:
    """Return a list of checked clips of images (n_frames, height, width, 3)."""
    clips = list(X)
    for index, clip in enumerate(clips):
        if isinstance(clip, (str, os.PathLike)):
            raise InvalidClipError(
                f"Clip {index} is the file {Path(clip).name!r}, but this encoder needs images, an "
                "array (n_frames, height, width, 3). Read the frames into an array, or extract "
                "landmarks with smilefusion.video.FaceMeshExtractor and use another encoder."
            )
        shape = np.shape(clip)
        if len(shape) != 4 or shape[3] != 3 or 0 in shape:
            raise InvalidClipError(
                f"Clip {index} has shape {shape}, but a clip of images has shape (n_frames, "
                f"height, width, 3). Pass at least one frame with red, green and blue channels."
            )
        if clip.dtype != np.uint8 and clip.dtype.kind != "f":
            raise InvalidClipError(
                f"Clip {index} has dtype {clip.dtype}, but images must be uint8, or floating "
                f"point from 0 to 1. Convert the clip."
            )
        if clip.dtype != np.uint8 and not (clip.min() >= 0 and clip.max() <= 1):
            raise InvalidClipError(
                f"Clip {index} has values from {clip.min():g} to {clip.max():g}, but floating-"
                f"point images must be between 0 and 1. Scale the clip and remove frames with NaN."
            )
    return clips


def size_frames(clips: list[np.ndarray], backbone: str, n_frames: int) -> Arrays:
    """Return evenly spaced frames, resized by timm's evaluation transform, and their mask."""
    from PIL import Image
    from timm.data import create_transform

    config = data_config(backbone)
    transform = create_transform(**{key: config[key] for key in _TRANSFORM_KEYS}, normalize=False)
    n_frames = min(n_frames, max(map(len, clips)))
    frames = torch.zeros(len(clips), n_frames, *config["input_size"], dtype=torch.uint8)
    mask = np.zeros((len(clips), n_frames), dtype=bool)
    for index, clip in enumerate(clips):
        chosen = clip[sample_frames(len(clip), n_frames)]
        if chosen.dtype != np.uint8:
            chosen = np.rint(255 * chosen).astype(np.uint8)
        for place, image in enumerate(chosen):
            frames[index, place] = transform(Image.fromarray(image))
        mask[index, : len(chosen)] = True
    return {"frames": frames.numpy(), "mask": mask}


def _holds_frames(X: Any) -> bool:
    """Whether the first clip of X is an array of four axes."""
    if isinstance(X, (str, os.PathLike)) or not hasattr(X, "__len__") or len(X) == 0:
        return False
    return getattr(next(iter(X)), "ndim", 0) == 4
