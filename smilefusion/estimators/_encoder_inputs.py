"""Clips that encoders take: of landmarks, or of images, sized as timm does."""

import os
from pathlib import Path

import numpy as np
import torch

from smilefusion.clips._padding import sample_frames
from smilefusion.clips._sequence import check_clips
from smilefusion.estimators._encoders import is_backbone
from smilefusion.exceptions import InvalidClipError
from smilefusion.nn.encoders._timm import data_config

_TRANSFORM_KEYS = ("input_size", "interpolation", "mean", "std", "crop_pct", "crop_mode")


def check_input(X, encoder):
    """Check clips of landmarks or of images.

    Parameters
    ----------
    X : sequence of clips
        Clips as `smilefusion.clips.check_clips` or `check_frames` takes them.
    encoder : str
        Name of the encoder that is to see them.

    Returns
    -------
    clips : ClipSequence or list of ndarray
        The checked clips.
    kind : {"landmarks", "frames"}
        What they hold.

    Raises
    ------
    InvalidClipError
        If a clip breaks a rule, or the encoder takes no images.
    """
    if _holds_frames(X) and is_backbone(encoder):
        return check_frames(X), "frames"
    remedy = "take a model of timm.list_models()"
    return check_landmarks(X, taker=f"encoder={encoder!r}", remedy=remedy), "landmarks"


def check_landmarks(X, *, taker, remedy):
    """Check clips where only landmarks will do.

    Parameters
    ----------
    X : sequence of clips
        Clips as `smilefusion.clips.check_clips` takes them.
    taker, remedy : str
        What takes landmarks, and what to do with images but to extract them; for the message.

    Returns
    -------
    clips : ClipSequence
        The checked clips.

    Raises
    ------
    InvalidClipError
        If a clip breaks a rule, or X holds clips of images.
    """
    if _holds_frames(X):
        raise InvalidClipError(
            f"X holds clips of images; {taker} takes landmarks. Extract the landmarks, or "
            f"{remedy}."
        )
    return check_clips(X)


def check_same_landmarks(estimator, clips):
    """Check that clips have the landmarks that an estimator was fitted to.

    Parameters
    ----------
    estimator : estimator
        A fitted estimator.
    clips : ClipSequence
        Checked clips.

    Raises
    ------
    InvalidClipError
        If they have others.
    """
    n_landmarks, n_dims = estimator.n_landmarks_, estimator.n_dims_
    if (clips.n_landmarks, clips.n_dims) != (n_landmarks, n_dims):
        raise InvalidClipError(
            f"Clips have {clips.n_landmarks} landmarks of {clips.n_dims} coordinates; "
            f"{type(estimator).__name__} was fitted to {n_landmarks} of {n_dims}. Extract all "
            f"clips with the same landmark model."
        )


def check_same_kind(extractor, clips, kind):
    """Check that clips hold what an extractor was fitted to.

    Parameters
    ----------
    extractor : DeepFeatureExtractor
        A fitted extractor.
    clips : ClipSequence or list of ndarray
        Clips as `check_input` returns them.
    kind : {"landmarks", "frames"}
        What they hold.

    Raises
    ------
    InvalidClipError
        If they hold something else, or other landmarks.
    """
    if kind != extractor.input_:
        raise InvalidClipError(
            f"X holds clips of {kind}; {type(extractor).__name__} was fitted to "
            f"{extractor.input_}. Give {extractor.input_}, or fit anew."
        )
    if kind == "landmarks":
        check_same_landmarks(extractor, clips)


def check_frames(X):
    """Check clips of images.

    Parameters
    ----------
    X : sequence of ndarray of shape (n_frames, height, width, 3)
        Red, green and blue as uint8, or as floating point in 0 to 1. Clips may differ in length
        and size.

    Returns
    -------
    clips : list of ndarray
        The clips, as they are.

    Raises
    ------
    InvalidClipError
        If a clip breaks a rule; the message names it.
    """
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
                f"Clip {index} has shape {shape}; a clip of images has shape (n_frames, height, "
                f"width, 3). Give red, green and blue of at least one frame."
            )
        if clip.dtype != np.uint8 and clip.dtype.kind != "f":
            raise InvalidClipError(
                f"Clip {index} has dtype {clip.dtype}; images are uint8, or floating point in 0 "
                f"to 1. Convert it."
            )
        if clip.dtype != np.uint8 and not (clip.min() >= 0 and clip.max() <= 1):
            raise InvalidClipError(
                f"Clip {index} has values from {clip.min():g} to {clip.max():g}; images in "
                f"floating point lie in 0 to 1. Scale them, and leave out frames with NaN."
            )
    return clips


def size_frames(clips, backbone, n_frames):
    """Choose frames of clips and give them the size of a backbone's images.

    Frames are resized and cropped in 8 bits by timm's own evaluation transform.

    Parameters
    ----------
    clips : sequence of ndarray of shape (n_frames, height, width, 3)
        Clips as `check_frames` returns them.
    backbone : str
        Name of a timm model.
    n_frames : int
        Number of frames of each clip, evenly spaced; shorter clips are taken whole.

    Returns
    -------
    inputs : dict of str to ndarray
        ``frames`` (n_clips, n_frames, 3, height, width), uint8, and ``mask``
        (n_clips, n_frames), true for the frames of a clip.
    """
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


def _holds_frames(X):
    """Whether the first clip of X is an array of four axes."""
    if isinstance(X, (str, os.PathLike)) or not hasattr(X, "__len__") or len(X) == 0:
        return False
    return getattr(next(iter(X)), "ndim", 0) == 4
