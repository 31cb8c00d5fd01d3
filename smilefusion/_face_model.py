"""The landmark model's file: found where it was put, or fetched once."""

import os
from pathlib import Path

from smilefusion.exceptions import InvalidDataError

ENVIRONMENT = "SMILEFUSION_FACE_MODEL"
FILE_NAME = "face_landmarker.task"
# MediaPipe's FaceLandmarker bundle "face_landmarker_v2_with_blendshapes" (Apache-2.0), under the
# address and digest that MediaPipe's own build names.
_URL = (
    "https://storage.googleapis.com/mediapipe-assets/face_landmarker_v2_with_blendshapes.task"
    "?generation=1681322467931433"
)
_SHA256 = "b261925d4aad812b47a0e8d58c1baa1223270a5d1f663d78338bc881c003879d"


def find_model(model_path=None):
    """Find the file of MediaPipe's face landmarker, fetching it where it is nowhere.

    Parameters
    ----------
    model_path : str, path-like or None, default=None
        The file; None takes the one that the environment variable SMILEFUSION_FACE_MODEL
        names, else the one in the user's cache, which is fetched there once and checked.

    Returns
    -------
    path : Path
        The file.

    Raises
    ------
    InvalidDataError
        If the file named does not exist, or none is named and none can be fetched.
    ImportError
        If the file must be fetched and pooch is not installed.
    """
    for given, origin in (
        (model_path, "model_path"),
        (os.environ.get(ENVIRONMENT), f"the environment variable {ENVIRONMENT}"),
    ):
        if given is not None:
            if not Path(given).is_file():
                raise InvalidDataError(
                    f"{origin} names the face model {str(given)!r}, which is no file. Correct "
                    "the path."
                )
            return Path(given)
    return _fetch()


def _fetch():
    """Return the model's file in the user's cache, fetched where it is not there yet."""
    try:
        import pooch
    except ImportError as error:
        raise ImportError(
            "Fetching the face model needs pooch, which is not installed; run "
            "pip install 'smilefusion[video]', or give the file as model_path."
        ) from error
    folder = Path(pooch.os_cache("smilefusion"))
    try:
        return Path(pooch.retrieve(_URL, f"sha256:{_SHA256}", fname=FILE_NAME, path=folder))
    except (OSError, ValueError) as error:  # no network; another file than expected
        raise InvalidDataError(
            f"MediaPipe's face model is not at hand and cannot be fetched ({_reason(error)}). "
            f"Fetch {_URL} elsewhere, put it into {str(folder)!r} as {FILE_NAME}, or name its "
            f"path as model_path or in the environment variable {ENVIRONMENT}."
        ) from error


def _reason(error):
    """Return an error in a few words: those of network errors run over several lines."""
    return (str(error) or type(error).__name__).splitlines()[0][:120]
