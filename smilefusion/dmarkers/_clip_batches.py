"""Batches of clips with time as the last axis and short gaps interpolated."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import DTypeLike

from smilefusion._messages import count
from smilefusion.clips._rates import NOMINAL_FPS
from smilefusion.clips._resampling import fill_gaps, find_gaps, longest_runs
from smilefusion.clips._sequence import ClipSequence
from smilefusion.clips._signals import SignalSequence
from smilefusion.exceptions import InvalidClipError

# Frames per batch: enough to amortise the cost of a call, few enough to save memory.
MAX_FRAMES = 16384
_MAX_PADDING = 1.25  # longest over shortest clip of a batch

# The face jumps if it moves by half the inter-ocular distance from one frame to the next (at 25
# frames per second 0.8 m/s, twice the speed of a quick nod), or if its size changes by a quarter.
MAX_STEP = 0.5
MAX_SPEED = 12.5  # inter-ocular distances per second; applies to frames longer than 1/25 s
MAX_ZOOM = 0.25


@dataclass(frozen=True, eq=False)
class ClipBatch:
    """The longest usable parts of clips with the same frame rate."""

    paths: np.ndarray  # (n_dims, n_points, n_clips, n_frames), padded with the last frame
    lengths: np.ndarray
    starts: np.ndarray  # first frame of the part in the clip
    indices: np.ndarray  # positions of the clips in the sequence
    names: list[str]
    n_missing: np.ndarray
    jumps: np.ndarray  # (n_clips, n_frames of the whole clips), first frames after a jump
    is_cut: np.ndarray  # whether faces lie outside the part

    @property
    def n_jumps(self) -> np.ndarray:
        """Number of jumps of the face in each clip."""
        return self.jumps.sum(axis=1)

    def select(self, chosen: np.ndarray) -> "ClipBatch":
        """Return some of the clips, trimmed to the longest of them."""
        n_frames = self.lengths[chosen].max()
        return ClipBatch(
            paths=np.ascontiguousarray(self.paths[:, :, chosen, :n_frames]),
            names=[self.names[index] for index in chosen],
            **{
                field: getattr(self, field)[chosen]
                for field in ("lengths", "starts", "indices", "n_missing", "jumps", "is_cut")
            },
        )


def iterate_batches(
    clips: ClipSequence | SignalSequence,
    landmarks: Sequence[int],
    *,
    corners: slice | None,
    max_gap: int,
    min_frames: int,
    skip_short: bool = False,
    window: float = 0.0,
    dtype: DTypeLike = np.float64,
) -> Iterator[tuple[ClipBatch, float]]:
    """Yield batches of clips with the same frame rate and similar lengths, and this rate."""
    # Signals count as landmarks of one dimension; the first one shows where frames are missing.
    # `corners` selects the eye corners, from which jumps are found; None finds no jumps. Filters
    # are shortened for clips of at most `window` seconds, so a batch of these has one length.
    # If `skip_short`, clips with fewer than `min_frames` consecutive faces are skipped; otherwise
    # they raise an error.
    rates = np.nan_to_num(clips.fps, nan=NOMINAL_FPS)
    for indices in _plan_batches(clips.n_frames, rates):
        fps = float(rates[indices[0]])
        paths = _read_paths(clips, indices, landmarks, dtype)
        has_face = ~np.isnan(paths[0, 0])
        lengths = clips.n_frames[indices]
        has_face &= np.arange(paths.shape[3]) < lengths[:, None]
        n_faces = has_face.sum(axis=1)
        if (n_faces < lengths).any():
            gaps = find_gaps(has_face, max_gap=max_gap)
            fill_gaps(paths, gaps)
            has_face[gaps[0], gaps[1]] = True
        jumps = np.zeros_like(has_face)
        if corners is not None:
            jumps = find_jumps(paths[:, corners], has_face, fps)
        starts, stops = _longest_parts(has_face, jumps)
        batch = ClipBatch(
            paths=_trim(paths, starts, stops, lengths),
            lengths=stops - starts,
            starts=starts,
            indices=indices,
            names=[clips.names[index] for index in indices],
            n_missing=lengths - n_faces,
            jumps=jumps,
            is_cut=has_face.sum(axis=1) > stops - starts,
        )
        if skip_short and (batch.lengths < min_frames).any():
            long = np.flatnonzero(batch.lengths >= min_frames)
            if not len(long):
                continue
            batch = batch.select(long)
        _check_lengths(batch, min_frames)
        for positions in _split_short(batch.lengths, window * fps):
            part = batch if len(positions) == len(batch.lengths) else batch.select(positions)
            yield part, fps


def find_jumps(corners: np.ndarray, has_face: np.ndarray, fps: float) -> np.ndarray:
    """Return the first frame after each jump of the face, from the eye corners of `eye_motion`."""
    right, left = corners[:2, :2].mean(axis=1), corners[:2, 2:].mean(axis=1)
    size = np.hypot(*(left - right))  # (n_clips, n_frames)
    with np.errstate(divide="ignore", invalid="ignore"):
        step = np.hypot(*np.diff((right + left) / 2, axis=-1)) / size[:, 1:]
        zoom = np.abs(np.diff(np.log(size), axis=-1))
    limit = max(MAX_STEP, MAX_SPEED / fps)
    jumps = np.zeros(has_face.shape, dtype=bool)
    jumps[:, 1:] = (step > limit) | (zoom > MAX_ZOOM * limit / MAX_STEP)
    known = has_face & (size > 0)  # the size is unknown if the eyes coincide
    jumps[:, 1:] &= known[:, 1:] & known[:, :-1]
    return jumps


def _plan_batches(n_frames: np.ndarray, rates: np.ndarray) -> Iterator[np.ndarray]:
    order = np.lexsort((n_frames, rates))
    first = 0
    for position in range(1, len(order) + 1):
        if position < len(order):
            shortest, longest = n_frames[order[first]], n_frames[order[position]]
            fits = (position + 1 - first) * longest <= MAX_FRAMES
            fits &= longest <= _MAX_PADDING * shortest
            if fits and rates[order[position]] == rates[order[first]]:
                continue
        yield order[first:position]
        first = position


def _read_paths(
    clips: ClipSequence | SignalSequence,
    indices: np.ndarray,
    landmarks: Sequence[int],
    dtype: DTypeLike,
) -> np.ndarray:
    """Return the paths of landmarks, (n_dims, n_points, n_clips, n_frames), padded."""
    n_frames = clips.n_frames[indices]
    n_dims = clips.n_dims if isinstance(clips, ClipSequence) else 1
    columns = (np.array(landmarks) * n_dims + np.arange(n_dims)[:, None]).ravel()
    paths = np.empty((len(columns), len(indices), n_frames.max()), dtype=dtype)
    with np.errstate(over="ignore"):  # published_dmarkers rejects values too large for float32
        for row, (index, length) in enumerate(zip(indices, n_frames, strict=True)):
            paths[:, row, :length] = clips[index].reshape(length, -1).T[columns]
            paths[:, row, length:] = paths[:, row, length - 1, None]
    return paths.reshape(n_dims, len(landmarks), *paths.shape[1:])


def _longest_parts(has_face: np.ndarray, jumps: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return start and stop of the longest run of faces without a jump."""
    if not jumps.any():
        return longest_runs(has_face)
    # An extra column before each frame is False if the face jumps there, to separate the runs.
    holds = np.ones((*has_face.shape, 2), dtype=bool)
    holds[..., 1] = has_face
    holds[..., 0] = ~jumps
    holds[..., 0] &= has_face
    starts, stops = longest_runs(holds.reshape(len(has_face), -1))
    return starts // 2, stops // 2


def _trim(
    paths: np.ndarray, starts: np.ndarray, stops: np.ndarray, lengths: np.ndarray
) -> np.ndarray:
    """Cut every clip to its part and pad it with its last frame."""
    if not starts.any() and (stops == lengths).all():
        return paths
    frames = starts[:, None] + np.arange((stops - starts).max())
    frames = np.minimum(frames, np.maximum(stops, 1)[:, None] - 1)
    frames += paths.shape[3] * np.arange(len(starts))[:, None]
    return paths.reshape(*paths.shape[:2], -1).take(frames, axis=2)


def _split_short(lengths: np.ndarray, window: float) -> Iterator[np.ndarray]:
    """Yield the positions of clips longer than a window, then of shorter ones by length."""
    long = lengths > window
    if long.any():
        yield np.flatnonzero(long)
    for length in np.unique(lengths[~long]):
        yield np.flatnonzero(lengths == length)


def _check_lengths(batch: ClipBatch, min_frames: int) -> None:
    for index in np.flatnonzero(batch.lengths < min_frames)[:1]:
        raise InvalidClipError(
            f"{batch.names[index]} has only {count(batch.lengths[index], 'consecutive frame')} of "
            f"the same face, but at least {min_frames} are needed to describe a smile. Remove the "
            "clip or raise max_gap."
        )
