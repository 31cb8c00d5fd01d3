"""MediaPipe as a reference for tests; they are skipped where it cannot start."""

from contextlib import contextmanager

import numpy as np
import pytest


@contextmanager
def open_mediapipe(model, **options):
    """Yield a function from an RGB image to MediaPipe's result for single images.

    Options are those of FaceLandmarkerOptions, such as ``num_faces=2``.
    """
    assert model.is_file()
    try:
        import mediapipe

        vision = mediapipe.tasks.vision
        base = mediapipe.tasks.BaseOptions(model_asset_path=str(model))
        options = vision.FaceLandmarkerOptions(base_options=base, **options)
        landmarker = vision.FaceLandmarker.create_from_options(options)
    except (ImportError, OSError) as error:  # OSError: system libraries such as EGL are missing
        pytest.skip(f"needs MediaPipe as a reference, which cannot start here: {error}")

    def detect(image):
        contiguous = np.ascontiguousarray(image)  # MediaPipe silently misreads other arrays
        return landmarker.detect(mediapipe.Image(mediapipe.ImageFormat.SRGB, contiguous))

    with landmarker:
        yield detect


def in_image_heights(face, image):
    """Return landmarks of MediaPipe's result as (n_landmarks, 3) in heights of the image."""
    aspect = image.shape[1] / image.shape[0]
    return np.array([(point.x, point.y, point.z) for point in face]) * (aspect, 1, aspect)
