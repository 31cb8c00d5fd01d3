"""Videos that tests make, and a landmarker that finds squares in them."""

from fractions import Fraction
from functools import partial

import av
import numpy as np

from smilefusion.video._crops import Cropper, Geometry, VideoFrame

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


def find_in(frame, square, find=find_squares):
    """Return what a function of images finds in a square of a frame, in pixels of the frame."""
    n = round(square.size)
    faces = find(Cropper(n, "zeros").crop(frame, square).astype(np.uint8))
    return [np.column_stack([square.place(face[:, :2].T / n).T, face[:, 2]]) for face in faces]


class SquareLandmarker:
    """A landmarker that finds white squares instead of faces."""

    def __init__(self, bundle=None, *, max_faces=4, min_confidence=0.5, least_share=0.0):
        self.max_faces = max_faces
        self.least_share = least_share
        self.looks = []  # sides of the squares that were searched

    def find(self, frame, square, known=None):
        self.looks.append(round(square.size))
        faces = find_in(frame, square, partial(find_squares, least_share=self.least_share))
        return [
            face if known is None or not is_near(face, known) else known
            for face in faces[: self.max_faces]
        ]

    def follow(self, frame, face):
        faces = find_in(frame, frame.square)
        return next((each for each in faces if is_near(each, face)), None)


def use_squares(monkeypatch, folder):
    """Let extractors find squares; return a file in place of the face model."""
    monkeypatch.setattr("smilefusion.video._extraction.FaceLandmarker", SquareLandmarker)
    path = folder / "face.task"
    path.write_bytes(b"model")
    return path


def is_near(face, other):
    """Whether two squares overlap by more than half of their sides."""
    size = np.ptp(other[:, 0])
    return np.abs(face[:, :2].mean(axis=0) - other[:, :2].mean(axis=0)).max() < size / 2


def as_frame(image, time_s):
    """Return an image as a decoded frame."""
    raw = av.VideoFrame.from_ndarray(np.ascontiguousarray(image), format="rgb24")
    geometry = Geometry(raw.width, raw.height, np.eye(2), np.zeros(2))
    return VideoFrame(raw, geometry, time_s, time_s)
