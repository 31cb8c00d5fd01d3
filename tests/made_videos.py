"""Videos that tests make, and a detector that finds squares in them, without MediaPipe."""

from contextlib import contextmanager
from fractions import Fraction

import av
import numpy as np

QUADRANTS = np.zeros((48, 64, 3), dtype=np.uint8)
QUADRANTS[:24, :32] = (255, 0, 0)  # red at top left, green at top right, blue below red, black
QUADRANTS[:24, 32:] = (0, 255, 0)
QUADRANTS[24:, :32] = (0, 0, 255)
EYE_CORNERS, LIP_CORNERS = [33, 133, 362, 263], [61, 291]


def write_video(path, images, *, times_ms=None, codec="ffv1", pix_fmt="bgr0", **flags):
    """Encode RGB images, without loss by default, at 30 per second or at whole milliseconds.

    ``rotation``, ``hflip`` and ``sar`` are the flags of that name.
    """
    with av.open(str(path), "w", options=flags.get("options", {})) as container:
        stream = container.add_stream(codec, rate=30)
        stream.height, stream.width = images[0].shape[:2] if len(images) else (48, 64)
        stream.pix_fmt = pix_fmt
        stream.codec_context.sample_aspect_ratio = flags.get("sar", Fraction(1))
        if times_ms is not None:
            stream.codec_context.time_base = Fraction(1, 1000)
        if "rotation" in flags:
            stream.set_display_rotation(flags["rotation"], hflip=flags.get("hflip", False))
        container.start_encoding()
        for index, image in enumerate(images):
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(image), format="rgb24")
            if times_ms is not None:
                frame.pts, frame.time_base = int(times_ms[index]), Fraction(1, 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def picture(*squares, size=(120, 160)):
    """Return a black image with white squares, given as left, top and side."""
    image = np.zeros((*size, 3), dtype=np.uint8)
    for left, top, side in squares:
        image[top : top + side, left : left + side] = 255
    return image


def find_squares(image, *, least_share=0.0):
    """Return the white squares of an image as faces of 478 points.

    Those below a share of the longer side are missed. Columns without white part squares.
    """
    faces = []
    white = image[..., 0] > 128
    columns = np.flatnonzero(np.diff(np.r_[False, white.any(axis=0), False].astype(int)))
    for left, right in zip(columns[::2], columns[1::2], strict=True):
        rows = np.flatnonzero(white[:, left:right].any(axis=1))
        if right - left < least_share * max(image.shape[:2]):
            continue
        low, high = (left, rows[0], 0), (right, rows[-1] + 1, right - left)
        face = np.linspace(low, high, 478)
        face[EYE_CORNERS, 1], face[LIP_CORNERS, 1] = rows[[0, -1]]
        faces.append(face)
    return faces


@contextmanager
def open_square_detector(model_path, *, max_faces, min_confidence):
    """Stand in for MediaPipe's detector."""
    yield lambda image: find_squares(image)[:max_faces]
