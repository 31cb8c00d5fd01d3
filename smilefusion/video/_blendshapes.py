"""Blendshapes: 52 movements of the face, computed from the landmarks of a clip."""

import os
from typing import Any

import numpy as np

from smilefusion.clips._sequence import check_clips
from smilefusion.clips._signals import SignalSequence
from smilefusion.exceptions import InvalidClipError
from smilefusion.landmarks import BLENDSHAPE_NAMES as BLENDSHAPE_NAMES
from smilefusion.landmarks import MEDIAPIPE_478
from smilefusion.video._face_model import find_model
from smilefusion.video._networks import Network

NETWORK_FILE = "face_blendshapes.tflite"
# Landmarks that the network takes as input, from MediaPipe's face_blendshapes_graph.cc.
_POINTS = (
    *(0, 1, 4, 5, 6, 7, 8, 10, 13, 14, 17, 21, 33, 37, 39, 40, 46, 52, 53, 54, 55, 58, 61, 63),
    *(65, 66, 67, 70, 78, 80, 81, 82, 84, 87, 88, 91, 93, 95, 103, 105, 107, 109, 127, 132, 133),
    *(136, 144, 145, 146, 148, 149, 150, 152, 153, 154, 155, 157, 158, 159, 160, 161, 162, 163),
    *(168, 172, 173, 176, 178, 181, 185, 191, 195, 197, 234, 246, 249, 251, 263, 267, 269, 270),
    *(276, 282, 283, 284, 285, 288, 291, 293, 295, 296, 297, 300, 308, 310, 311, 312, 314, 317),
    *(318, 321, 323, 324, 332, 334, 336, 338, 356, 361, 362, 365, 373, 374, 375, 377, 378, 379),
    *(380, 381, 382, 384, 385, 386, 387, 388, 389, 390, 397, 398, 400, 402, 405, 409, 415, 454),
    *(466, 468, 469, 470, 471, 472, 473, 474, 475, 476, 477),
)


def blendshapes(clips: Any, *, model_path: str | os.PathLike | None = None) -> SignalSequence:
    """Compute the 52 blendshapes of MediaPipe from the landmarks of clips.

    The video is not needed. Blendshapes are named movements such as "mouthSmileLeft" or
    "eyeBlinkRight", where left and right are the subject's.

    Parameters
    ----------
    clips : sequence of array-like or path of length n_clips
        Clips in any form that `check_clips` accepts, with the 478 landmarks of the MediaPipe
        face mesh in isotropic coordinates of any scale. Call ``check_clips(clips, fps=...)`` to
        set the frame rate of arrays.
    model_path : str, path-like or None, default=None
        Model file of MediaPipe's face landmarker, as in `FaceMeshExtractor`.

    Returns
    -------
    signals : SignalSequence
        The 52 signals of ``BLENDSHAPE_NAMES`` for each clip, float32, from 0 (neutral) to 1 (as
        strong as possible), NaN in frames without a face. The sequence has the frame rates,
        subjects and names of the clips. ``signals.table(0)`` is a DataFrame of the first clip.
        `SignalMarkerTransformer` describes the signals.

    Raises
    ------
    InvalidClipError
        If a clip is invalid or does not have 478 landmarks.
    InvalidDataError
        If the face model cannot be found, downloaded or used.

    Notes
    -----
    The network takes the x and y coordinates of 146 landmarks and normalises position and size
    itself. For the same landmarks, the values equal those of MediaPipe's FaceLandmarker.

    References
    ----------
    Grishchenko et al., "Blendshapes GHUM: Real-time Monocular Facial Blendshape Prediction",
    2023, arXiv 2309.05782.

    Examples
    --------
    >>> from smilefusion.video import BLENDSHAPE_NAMES
    >>> [name for name in BLENDSHAPE_NAMES if "Smile" in name]
    ['mouthSmileLeft', 'mouthSmileRight']
    """
    sequence = check_clips(clips)
    if sequence.n_landmarks != MEDIAPIPE_478.n_landmarks:
        raise InvalidClipError(
            f"{sequence.names[0]} has {sequence.n_landmarks} landmarks, but blendshapes need all "
            "478 landmarks of the MediaPipe face mesh, including the irises. Extract them with "
            "smilefusion.video.FaceMeshExtractor."
        )
    network = Network(find_model(model_path), NETWORK_FILE)
    return SignalSequence(
        [compute_blendshapes(clip, network) for clip in sequence],
        BLENDSHAPE_NAMES,
        fps=sequence.fps,
        subjects=sequence.subjects,
        names=sequence.names,
    )


def compute_blendshapes(clip: np.ndarray, network: Network) -> np.ndarray:
    """Return the blendshapes (n_frames, 52) of a clip; NaN in missing frames."""
    points = clip[:, _POINTS, :2].astype(np.float32)
    scores = np.full((len(clip), len(BLENDSHAPE_NAMES)), np.nan, dtype=np.float32)
    for index in np.flatnonzero(~np.isnan(points[:, 0, 0])):
        (scores[index],) = network.run(points[index])
    return scores
