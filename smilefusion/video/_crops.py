"""Cut rotated squares out of decoded frames; convert only the necessary part to RGB."""

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

# Planar formats of 8 bits → how often their chroma planes halve the resolution, across and down.
_CHROMA_SHIFTS = {
    f"yuv{full}{name}p": shifts
    for name, shifts in {"420": (1, 1), "422": (1, 0), "444": (0, 0)}.items()
    for full in ("", "j")
}
# Parts of a frame are whole tiles, because FFmpeg's converter is slow for each new size.
_TILE = 64  # pixels
_PARTS = 32  # OpenCV, which cuts MediaPipe's crops, rounds positions to 1/32 pixel


@dataclass(frozen=True)
class Square:
    """A square of a frame: centre and side in pixels, and its clockwise rotation in radians."""

    x: float
    y: float
    size: float
    angle: float = 0.0

    @property
    def axes(self) -> np.ndarray:
        """The unit vectors to the right and down, as columns (2, 2)."""
        c, s = np.cos(self.angle), np.sin(self.angle)
        return np.array([[c, -s], [s, c]])

    def place(self, points: np.ndarray) -> np.ndarray:
        """Convert points (n, 2) from shares of the side, 0 to 1, to pixels of the frame."""
        return (points - 0.5) @ (self.size * self.axes.T) + (self.x, self.y)


@dataclass(frozen=True)
class Geometry:
    """Size of upright frames in square pixels, and the affine map to recorded pixels."""

    width: int
    height: int
    matrix: np.ndarray  # (2, 2)
    offset: np.ndarray  # (2,)


@dataclass(frozen=True)
class VideoFrame:
    """A decoded frame in the coordinates of `geometry`; its start and end in seconds."""

    raw: Any
    geometry: Geometry
    time_s: float
    end_s: float
    is_damaged: bool = False  # whether parts of the image are not those that were recorded

    @property
    def square(self) -> Square:
        """The smallest square around the whole frame."""
        width, height = self.geometry.width, self.geometry.height
        return Square(width / 2, height / 2, max(width, height))


class Cropper:
    """Cut squares of n × n pixels; the memory of a crop is used again for the next."""

    def __init__(self, n: int, border: Literal["zeros", "edge"]) -> None:
        from av.video.reformatter import VideoReformatter

        self._n = n
        self._border = border
        self._reformatter = VideoReformatter()
        # New arrays of this size would cost more time than the computation.
        self._steps = np.arange(n, dtype=np.float32)
        self._shares = np.empty((2, n, n), dtype=np.float32)  # of the next pixel, along x and y
        self._before = np.empty((n, n), dtype=np.float32)
        self._pixels = np.empty((2, 2, n, n), dtype=np.int32)  # along x and y: before, after
        self._where = np.empty((2, 2, n, n), dtype=np.intp)  # before and after along y and x
        self._packed = np.empty((2, 2, n, n), dtype=np.uint32)  # R, G, B and an unused byte
        self._values = np.empty((2, 2, n, n), dtype=np.float32)
        self._image = np.empty((n, n, 3), dtype=np.float32)

    def crop(self, frame: VideoFrame, square: Square) -> np.ndarray:
        """Return a square as RGB (n, n, 3), float32, 0 to 255, until the next crop.

        Beyond the frame is black ("zeros"), or the nearest pixel ("edge").
        """
        # Pixel i is at start + i · size / n, without the half-pixel shift, as in MediaPipe.
        step = square.axes * (square.size / self._n)
        start = (square.x, square.y) - step @ (self._n / 2, self._n / 2)
        matrix = frame.geometry.matrix @ step
        offset = frame.geometry.matrix @ start + frame.geometry.offset
        part, corner = self._convert(frame.raw, matrix, offset)
        is_beyond = self._locate(matrix, offset - corner, (part.width, part.height))
        columns, rows = self._pixels
        rows *= part.planes[0].line_size // 4
        np.add(rows[:, None], columns, out=self._where)
        pixels = np.frombuffer(part.planes[0], dtype=np.uint32)
        pixels.take(self._where, out=self._packed, mode="clip")
        if is_beyond is not None:
            self._packed[is_beyond] = 0
        channels = self._packed.view(np.uint8).reshape(*self._packed.shape, 4)
        for channel in range(3):
            np.copyto(self._values, channels[..., channel])
            self._interpolate(self._image[..., channel])
        return self._image

    def _locate(
        self, matrix: np.ndarray, offset: np.ndarray, size: tuple[int, int]
    ) -> np.ndarray | None:
        """Set the pixels around each position; return which of them must be black, if any."""
        beyond = []
        for axis, (across, down) in enumerate(matrix.astype(np.float32)):
            shares, pixels = self._shares[axis], self._pixels[axis]
            # Round to 1/32 pixel.
            start = np.float32(offset[axis] * _PARTS + 0.5)
            np.add.outer(
                self._steps * (down * _PARTS) + start, self._steps * (across * _PARTS), out=shares
            )
            np.floor(shares, out=shares)
            shares *= np.float32(1 / _PARTS)
            np.floor(shares, out=self._before)
            shares -= self._before
            np.copyto(pixels[0], self._before, casting="unsafe")
            np.add(pixels[0], 1, out=pixels[1])
            if self._border == "zeros":
                beyond.append((pixels < 0) | (pixels >= size[axis]))
            np.clip(pixels, 0, size[axis] - 1, out=pixels)
        if not any(each.any() for each in beyond):
            return None
        x, y = beyond
        return y[:, None] | x

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

    def _convert(
        self, raw: Any, matrix: np.ndarray, offset: np.ndarray
    ) -> tuple[Any, tuple[int, int]]:
        """Return the part of a frame that a crop needs, as RGBA bytes, and its corner."""
        corners = matrix @ (np.array([[0, 1, 0, 1], [0, 0, 1, 1]]) * self._n) + offset[:, None]
        limits = np.array([[corner.min(), corner.max() + 2] for corner in corners]) / _TILE
        tiles = np.ceil(np.array([raw.width, raw.height]) / _TILE)
        first = np.clip(np.floor(limits[:, 0]), 0, tiles - 1)
        n_tiles = np.clip(np.ceil(limits[:, 1]), first + 1, tiles) - first
        if raw.format.name in _CHROMA_SHIFTS and 2 * n_tiles.prod() < tiles.prod():
            left, top = (int(each) for each in first * _TILE)
            width, height = (int(each) for each in n_tiles * _TILE)
            raw = _cut(raw, left, top, min(width, raw.width - left), min(height, raw.height - top))
        else:
            left = top = 0
        return self._reformatter.reformat(raw, format="rgba", threads=1), (left, top)


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
    """Return the memory of a plane, which is not copied."""
    return np.frombuffer(plane, dtype=np.uint8)
