"""The D-Markers of HadaSmileNet as its published code computes them, bit for bit in float32."""

from collections.abc import Sequence

import numpy as np

from smilefusion.clips._resampling import run_lengths
from smilefusion.dmarkers._descriptors import ratio
from smilefusion.exceptions import InvalidClipError

PUBLISHED_POINTS = (
    *("right_eye_outer", "right_eye_inner", "right_eye_upper", "right_cheek"),
    *("left_eye_outer", "left_eye_inner", "left_eye_upper", "left_cheek"),
    *("right_lip_corner_published", "left_lip_corner_published"),
)
_LARGEST = 1e9  # limit of a signal, so that squares and their sums fit into float32


def published_signals(paths: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Compute the published eyelid (float64), cheek and lip (float32), (n_clips, n_frames)."""
    # The strict comparisons of the phases depend on float32 rounding, so operations keep the order
    # and precision of the published code. The published lip centre moves in each frame, and the
    # lip corners, 62 and 308, are not mirror images of each other.
    eyes = paths[:8].reshape(2, 4, *paths.shape[1:])  # (side, point, xy, clip, frame)
    outer, inner, lid, cheek = eyes.swapaxes(0, 1)
    corners = paths[8:]
    # published_dmarkers rejects faces without width or too large for float32.
    with np.errstate(divide="ignore", over="ignore", invalid="ignore"):
        centre = (outer + inner) / 2
        sign = np.where(lid[:, 1] > centre[:, 1], -1.0, 1.0)
        eye_width = 2 * _distance(outer[0, ..., :1], inner[0, ..., :1])
        eyelid = (sign * _distance(centre, lid)).sum(axis=0) / eye_width
        cheek = _distance(centre, cheek).sum(axis=0) / eye_width
        lip = _distance(corners.sum(axis=0) / 2, corners).sum(axis=0)
        lip = lip / (2 * _distance(*corners[..., :1]))
    return eyelid, cheek, lip


def published_phases(lip: np.ndarray, lengths: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return start and stop of onset, apex and offset, (3, n_clips) each, equal if absent."""
    steps = np.diff(lip, append=lip[:, -1:])
    onset, apex = _longest_run(steps > 0, lengths)
    offset, end = _longest_run(steps < 0, lengths)
    apex_stop = np.where(apex > 0, np.maximum(apex, offset), 0)
    return np.stack([onset, apex, offset]), np.stack([apex, apex_stop, end])


def published_descriptors(signal: np.ndarray, starts: np.ndarray, stops: np.ndarray) -> np.ndarray:
    """Compute the 25 published descriptors of the phases of a signal, (25, n_phases, n_clips)."""
    # The published code counts time in frames and uses the levels that rise (fall) as D+ (D-).
    # It omits the absolute value in descriptor 9, divides 24 by the duration and sets 25 to 0.
    n_frames = (stops - starts).ravel()
    phase = np.repeat(np.arange(n_frames.size), n_frames)  # counted over phases and clips
    age = np.arange(phase.size) - (np.cumsum(n_frames) - n_frames)[phase]
    levels = signal[phase % len(signal), starts.ravel()[phase] + age]
    speeds = np.diff(levels, prepend=levels[:1])  # within a phase from age 1 on
    changes = np.diff(speeds, prepend=speeds[:1])  # from age 2 on
    rises, falls = (age > 0) & (speeds > 0), (age > 0) & (speeds < 0)
    gains, losses = (age > 1) & (changes > 0), (age > 1) & (changes < 0)

    # D, D+, D-, |D-|, V+, V-, A+, A-
    values = np.stack([levels, levels, levels, np.abs(levels), speeds, -speeds, changes, -changes])
    chosen = np.flatnonzero([age >= 0, rises, falls, falls, rises, falls, gains, losses])
    n_kinds, n_phases = len(values), n_frames.size
    owners = (phase + n_phases * np.arange(n_kinds)[:, None]).ravel()[chosen]
    sizes = np.bincount(owners, minlength=n_kinds * n_phases)
    sums, maxima = _reduce_sets(values.ravel()[chosen], sizes)
    sizes, sums, maxima = (part.reshape(n_kinds, -1) for part in (sizes, sums, maxima))
    means = ratio(sums, sizes, 0.0)
    squares, _ = _reduce_sets((levels - means[0, phase].astype(levels.dtype)) ** 2, n_frames)
    (n_rising, n_falling), (rise, fall) = sizes[1:3], sums[[1, 3]]
    descriptors = [
        *(n_rising, n_falling, n_frames),
        *(ratio(n_rising, n_frames, 0.0), ratio(n_falling, n_frames, 0.0)),
        maxima[0],
        *means[:3],
        np.sqrt(ratio(squares, n_frames, 0.0).astype(levels.dtype)),
        *(rise, fall, rise - fall),
        *(ratio(rise, rise + fall, 0.0), ratio(fall, rise + fall, 0.0)),
        *(*maxima[4:6], *means[4:6]),
        *(*maxima[6:], *means[6:]),
        *(ratio(rise - fall, n_frames, 0.0), np.zeros(n_phases)),
    ]
    return np.array(descriptors, dtype=np.float32).reshape(-1, *starts.shape)


def published_dmarkers(
    paths: np.ndarray, lengths: np.ndarray, names: Sequence[str] | None = None
) -> np.ndarray:
    """Compute published D-Markers (n_clips, 225) of paths (n_points, 2, n_clips, n_frames)."""
    eyelid, cheek, lip = published_signals(paths)
    _check_size((eyelid, cheek, lip), names)
    phases = published_phases(lip, lengths)
    # Cheek and lip have the same precision and are described together.
    pair = published_descriptors(np.concatenate([cheek, lip]), *np.tile(phases, 2))
    values = np.concatenate([published_descriptors(eyelid, *phases), pair], axis=2)
    values = values.reshape(*values.shape[:2], 3, -1)  # (descriptor, phase, signal, clip)
    return values.T.reshape(len(lengths), -1)


def _reduce_sets(values: np.ndarray, sizes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return sum and maximum of consecutive sets of values, 0 for empty sets."""
    sums, maxima = np.zeros((2, len(sizes)), dtype=values.dtype)
    starts = np.cumsum(sizes) - sizes
    for size in np.flatnonzero(np.bincount(sizes)[1:]) + 1:
        sets = np.flatnonzero(sizes == size)
        block = values[starts[sets] + np.arange(size)[:, None]]  # (size, n_sets)
        maxima[sets] = block.max(axis=0)
        # NumPy adds fewer than eight values in sequence; for more, the order depends on their
        # number. Sums over contiguous rows therefore do not depend on the batch.
        sums[sets] = block.sum(axis=0) if size < 8 else block.T.copy().sum(axis=1)
    return sums, maxima


def _distance(start: np.ndarray, end: np.ndarray) -> np.ndarray:
    """Return the distances of points (..., 2, n_clips, n_frames)."""
    across, down = np.moveaxis(start - end, -3, 0)
    return np.sqrt(across**2 + down**2)


def _longest_run(holds: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """Return the published start and stop of the first longest run of each clip, or 0 and 0."""
    steps = np.arange(holds.shape[-1])
    run = run_lengths(holds)
    # A run cut by the end of the clip counts as one step shorter. Other runs include one frame
    # after the step that ends them.
    score = np.where(holds, run - (steps == lengths[:, None] - 2), -1)
    clips, last = np.arange(len(holds)), score.argmax(axis=-1)
    starts, stops = last - run[clips, last] + 1, np.minimum(last + 3, lengths)
    return np.where(holds[clips, last], [starts, stops], 0)


def _check_size(signals: tuple[np.ndarray, ...], names: Sequence[str] | None) -> None:
    """Check that the signals are finite and small, so the widths in the first frame are usable."""
    largest = np.max([np.abs(signal).max(axis=1) for signal in signals], axis=0)
    for index in np.flatnonzero(~(largest < _LARGEST))[:1]:  # also if it is NaN
        name = f"Clip {index}" if names is None else names[index]
        raise InvalidClipError(
            f"{name} has a mouth or right eye without width in its first frame, or coordinates "
            "too large for float32; the published D-Markers are measured in these widths. Start "
            "the clip at a frame that shows a face."
        )
