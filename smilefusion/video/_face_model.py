"""Find the model file of the face landmarker; download it once if necessary."""

import os
from pathlib import Path

from smilefusion.exceptions import InvalidDataError

ENVIRONMENT = "SMILEFUSION_FACE_MODEL"
FILE_NAME = "face_landmarker.task"
# MediaPipe's FaceLandmarker bundle "face_landmarker_v2_with_blendshapes" (Apache-2.0). URL and
# digest are from MediaPipe's build files.
_URL = (
    "https://storage.googleapis.com/mediapipe-assets/face_landmarker_v2_with_blendshapes.task"
    "?generation=1681322467931433"
)
_SHA256 = "b261925d4aad812b47a0e8d58c1baa1223270a5d1f663d78338bc881c003879d"


def find_model(model_path: str | os.PathLike | None = None) -> Path:
    """Return the model file of MediaPipe's face landmarker; download it if necessary."""
    for given, origin in (
        (model_path, "model_path"),
        (os.environ.get(ENVIRONMENT), f"the environment variable {ENVIRONMENT}"),
    ):
        if given is not None:
            if not Path(given).is_file():
                raise InvalidDataError(
                    f"{origin} names the face model {str(given)!r}, but this file does not exist. "
                    "Correct the path."
                )
            return Path(given)
    return _fetch()


def _fetch() -> Path:
    try:
        import pooch
    except ImportError as error:
        raise ImportError(
            "Downloading the face model requires pooch, which is not installed. Run "
            "pip install 'smilefusion[video]', or pass the file as model_path."
        ) from error
    folder = Path(pooch.os_cache("smilefusion"))
    try:
        return Path(pooch.retrieve(_URL, f"sha256:{_SHA256}", fname=FILE_NAME, path=folder))
    except (OSError, ValueError) as error:  # no network, or a wrong digest
        reason = str(error) if 0 < len(str(error)) <= 80 else type(error).__name__
        raise InvalidDataError(
            f"MediaPipe's face model cannot be downloaded ({reason}). Download {_URL} "
            f"on another computer. Save it as {str(folder / FILE_NAME)!r}, pass its path as "
            f"model_path, or set the environment variable {ENVIRONMENT} to its path."
        ) from error
