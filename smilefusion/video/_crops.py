"""Crop rotated squares from decoded frames; convert only the necessary part to RGB."""

import math
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

# 8-bit planar pixel format → log2 of its chroma subsampling factors, horizontal and vertical.
_CHROMA_SHIFTS = {
    f"yuv{full}{name}p": shifts
    for name, shifts in {"420": (1, 1), "422": (1, 0), "444": (0, 0)}.items()
    for full in ("", "j")
}
# Converted parts consist of whole tiles, because FFmpeg's converter is slow for each new size.
_TILE = 64  # pixels
_PARTS = 32  # OpenCV, which cuts MediaPipe's crops, rounds positions to 1/32 pixel


@dataclass(frozen=True)
class Square:
    """A square in a frame: centre and side in pixels, and clockwise rotation in radians."""

    x: float
    y: float
    size: float
    angle: float = 0.0

    @property
    def axes(self) -> np.ndarray:
        """The unit vectors that point right and down, as columns (2, 2)."""
        c, s = math.cos(self.angle), math.sin(self.angle)
        return np.array([[c, -s], [s, c]])

    def place(self, points: np.ndarray) -> np.ndarray:
        """Convert points (2, n) from fractions of the side (0 to 1) to pixels of the frame."""
        return self.size * self.axes @ (points - 0.5) + [[self.x], [self.y]]


@dataclass(frozen=True)
class Geometry:
    """Size of upright frames in square pixels, and the affine map to recorded pixels."""

    width: int
    height: int
    matrix: np.ndarray  # (2, 2)
    offset: np.ndarray  # (2,)


@dataclass(frozen=True)
class VideoFrame:
    """A decoded frame with its geometry and its start and end in seconds."""

    raw: Any
    geometry: Geometry
    time_s: float
    end_s: float
    is_damaged: bool = False  # whether parts of the image differ from the recording

    @property
    def square(self) -> Square:
        """The smallest square around the whole frame."""
        width, height = self.geometry.width, self.geometry.height
        return Square(width / 2, height / 2, max(width, height))


class Cropper:
    """Crop squares to n × n pixels; each crop reuses the memory of the previous one."""

    def __init__(self, n: int, border: Literal["zeros", "edge"]) -> None:
        from av.video.reformatter import VideoReformatter

        self._n = n
        self._border = border
        self._reformatter = VideoReformatter()
        # Allocating these arrays for each crop would take longer than the computation.
        self._steps = np.arange(n, dtype=np.float32)
        self._shares = np.empty((2, n, n), dtype=np.float32)  # weight of the next pixel in x and y
        self._before = np.empty((2, n, n), dtype=np.float32)  # floor of the position in x and y
        self._where = np.empty((n, n), dtype=np.intp)
        self._packed = np.empty((2, 2, n, n), dtype=np.uint32)  # R, G, B and an unused byte
        self._values = np.empty((2, 2, n, n), dtype=np.float32)
        self._image = np.empty((n, n, 3), dtype=np.float32)

    def crop(self, frame: VideoFrame, square: Square) -> np.ndarray:
        """Return a square as RGB (n, n, 3), float32, 0 to 255; the next crop overwrites it.

        Pixels outside the frame are black ("zeros") or repeat the nearest pixel ("edge").
        """
        # Pixel i is at start + i · size / n, without the half-pixel shift, as in MediaPipe.
        step = square.axes * (square.size / self._n)
        start = (square.x, square.y) - step @ (self._n / 2, self._n / 2)
        matrix = frame.geometry.matrix @ step
        offset = frame.geometry.matrix @ start + frame.geometry.offset
        reach = matrix * self._n
        low = (offset + np.minimum(reach, 0).sum(axis=1) - 1).tolist()
        high = (offset + np.maximum(reach, 0).sum(axis=1) + 2).tolist()
        size = frame.raw.width, frame.raw.height
        part, corner = self._convert(frame.raw, low, high)
        self._locate(matrix, offset - corner)
        self._gather(part, is_inside=min(low) >= 0 and high[0] < size[0] and high[1] < size[1])
        channels = self._packed.view(np.uint8).reshape(*self._packed.shape, 4)
        for channel in range(3):
            np.copyto(self._values, channels[..., channel])
            self._interpolate(self._image[..., channel])
        return self._image

    def _convert(
        self, raw: Any, low: list[float], high: list[float]
    ) -> tuple[Any, tuple[int, int]]:
        """Return the part of a frame between two corners as RGBA, and its top left corner."""
        left, width = _cover(low[0], high[0], raw.width)
        top, height = _cover(low[1], high[1], raw.height)
        if raw.format.name in _CHROMA_SHIFTS and width * height < 0.75 * raw.width * raw.height:
            raw = _cut(raw, left, top, width, height)
        else:
            left = top = 0
        return self._reformatter.reformat(raw, format="rgba", threads=1), (left, top)

    def _locate(self, matrix: np.ndarray, offset: np.ndarray) -> None:
        """Compute the pixel before each position and the weight of the pixel after it."""
        for axis, (across, down) in enumerate(matrix.astype(np.float32) * _PARTS):
            shares, before = self._shares[axis], self._before[axis]
            start = np.float32(offset[axis] * _PARTS + 0.5)
            np.add.outer(self._steps * down + start, self._steps * across, out=shares)
            np.floor(shares, out=shares)
            shares *= np.float32(1 / _PARTS)
            np.floor(shares, out=before)
            shares -= before

    def _gather(self, part: Any, *, is_inside: bool) -> None:
        """Read the four pixels around each position."""
        line = part.planes[0].line_size // 4
        source = np.frombuffer(part.planes[0], dtype=np.uint32)
        columns, rows = self._before
        if is_inside:
            np.copyto(self._where, rows, casting="unsafe")
            self._where *= line
            self._where += columns.astype(np.int32)
            for down, across in np.ndindex(2, 2):
                nearby = source[down * line + across :]
                nearby.take(self._where, out=self._packed[down, across], mode="clip")
            return
        for down, across in np.ndindex(2, 2):
            x, y = columns + across, rows + down
            pixels = self._packed[down, across]
            where = y.clip(0, part.height - 1).astype(np.intp) * line
            where += x.clip(0, part.width - 1).astype(np.intp)
            source.take(where, out=pixels, mode="clip")
            if self._border == "zeros":
                pixels[(x < 0) | (x >= part.width) | (y < 0) | (y >= part.height)] = 0

    def _interpolate(self, out: np.ndarray) -> None:
        """Interpolate between the four pixels and round the result."""
        x, y = self._shares
        near, far = self._values[:, 0], self._values[:, 1]
        far -= near
        far *= x
        near += far
        top, bottom = near
        bottom -= top
        bottom *= y
        top += bottom
        top += np.float32(0.5)
        np.floor(top, out=out)


def _cover(low: float, high: float, size: int) -> tuple[int, int]:
    """Return the start and length of the whole tiles that cover an interval of an image."""
    last = (size - 1) // _TILE
    first = min(max(math.floor(low / _TILE), 0), last)
    end = min(max(math.floor(high / _TILE), first), last) + 1
    return first * _TILE, min(end * _TILE, size) - first * _TILE


def _cut(raw: Any, left: int, top: int, width: int, height: int) -> Any:
    """Return a rectangle of a planar frame."""
    import av

    part = av.VideoFrame(width, height, raw.format.name)
    part.colorspace, part.color_range = raw.colorspace, raw.color_range
    shifts = (0, 0), *[_CHROMA_SHIFTS[raw.format.name]] * 2
    for target, source, (across, down) in zip(part.planes, raw.planes, shifts, strict=True):
        lines = _bytes(source).reshape(-1, source.line_size)
        x, y = left >> across, top >> down
        copied = _bytes(target).reshape(-1, target.line_size)
        copied[: target.height, : target.width] = lines[
            y : y + target.height, x : x + target.width
        ]
    return part


def _bytes(plane: Any) -> np.ndarray:
    """Return the bytes of a plane without copying them."""
    return np.frombuffer(plane, dtype=np.uint8)
