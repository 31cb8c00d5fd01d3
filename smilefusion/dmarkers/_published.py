"""The D-Markers of HadaSmileNet as its published code computes them, for a batch of clips."""

import numpy as np

from smilefusion.clips._resampling import run_lengths
from smilefusion.exceptions import InvalidClipError

PUBLISHED_POINTS = (
    *("right_eye_outer", "right_eye_inner", "right_eye_upper", "right_cheek"),
    *("left_eye_outer", "left_eye_inner", "left_eye_upper", "left_cheek"),
    *("right_lip_corner_published", "left_lip_corner_published"),
)
_LARGEST = 1e9  # of a signal: squares and their sums stay far within float32


def published_signals(paths):
    """Compute the published eyelid, cheek and lip signals.

    Parameters
    ----------
    paths : ndarray of shape (n_points, 2, n_clips, n_frames)
        x and y of the `PUBLISHED_POINTS`, float32, as they are; no frame may be missing.

    Returns
    -------
    signals : tuple of three ndarray of shape (n_clips, n_frames)
        Eyelid (float64), cheek and lip (float32), in widths of the right eye or the mouth in
        the first frame. Without such a width they are infinite or NaN.

    Notes
    -----
    The strict comparisons of the phases see float32 rounding, so the operations keep the
    order and the precision of the published code: distances in float32, and the eyelid's sum
    and quotient in float64, to which its integer signs promote them. Its lip centre is that of
    each frame, by which lip(t) is the mouth's width over twice its first width, and its lip
    corners, 62 and 308, are no mirror images of each other.
    """
    eyes = paths[:8].reshape(2, 4, *paths.shape[1:])  # (side, point, xy, clip, frame)
    outer, inner, lid, cheek = eyes.swapaxes(0, 1)
    corners = paths[8:]
    # Faces without width, or too large for float32, are refused in published_dmarkers.
    with np.errstate(divide="ignore", over="ignore", invalid="ignore"):
        centre = (outer + inner) / 2
        sign = np.where(lid[:, 1] > centre[:, 1], -1.0, 1.0)
        eye_width = 2 * _distance(outer[0, ..., :1], inner[0, ..., :1])
        eyelid = (sign * _distance(centre, lid)).sum(axis=0) / eye_width
        cheek = _distance(centre, cheek).sum(axis=0) / eye_width
        lip = _distance(corners.sum(axis=0) / 2, corners).sum(axis=0)
        lip = lip / (2 * _distance(*corners[..., :1]))
    return eyelid, cheek, lip


def published_phases(lip, lengths):
    """Find onset, apex and offset as the published code does.

    Parameters
    ----------
    lip : ndarray of shape (n_clips, n_frames)
        Lip signal, after a clip's end its last value.
    lengths : ndarray of shape (n_clips,)
        Number of frames of each clip.

    Returns
    -------
    starts, stops : ndarray of shape (3, n_clips)
        First frame, and the one after the last, of onset (longest run of strict increase),
        apex and offset (of strict decrease); equal where a phase is absent. A run that the
        clip's end does not cut takes in one frame after the difference that ends it, as
        published.
    """
    steps = np.diff(lip, append=lip[:, -1:])
    onset, apex = _longest_run(steps > 0, lengths)
    offset, end = _longest_run(steps < 0, lengths)
    apex_stop = np.where(apex > 0, np.maximum(apex, offset), 0)
    return np.stack([onset, apex, offset]), np.stack([apex, apex_stop, end])


def published_descriptors(signal, starts, stops):
    """Describe the phases of a signal by the 25 published descriptors.

    Parameters
    ----------
    signal : ndarray of shape (n_clips, n_frames)
        The signal D.
    starts, stops : ndarray of shape (n_phases, n_clips)
        First frame of each phase, and the one after the last.

    Returns
    -------
    values : ndarray of shape (25, n_phases, n_clips)
        In the order of `smilefusion.dmarkers._descriptors.DESCRIPTORS`, float32; with one frame
        per unit of time, levels D[t] where rising (falling) for D+ (D-), and the departures of
        the published code: descriptor 9 without the absolute value, 24 divided by the duration,
        25 always 0. Empty sets give 0.
    """
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
    means = _ratio(sums, sizes)
    squares, _ = _reduce_sets((levels - means[0, phase].astype(levels.dtype)) ** 2, n_frames)
    (n_rising, n_falling), (rise, fall) = sizes[1:3], sums[[1, 3]]
    descriptors = [
        *(n_rising, n_falling, n_frames),
        *(_ratio(n_rising, n_frames), _ratio(n_falling, n_frames)),
        maxima[0],
        *means[:3],
        np.sqrt(_ratio(squares, n_frames).astype(levels.dtype)),
        *(rise, fall, rise - fall),
        *(_ratio(rise, rise + fall), _ratio(fall, rise + fall)),
        *(*maxima[4:6], *means[4:6]),
        *(*maxima[6:], *means[6:]),
        *(_ratio(rise - fall, n_frames), np.zeros(n_phases)),
    ]
    return np.array(descriptors, dtype=np.float32).reshape(-1, *starts.shape)


def published_dmarkers(paths, lengths, names=None):
    """Compute the 225 published D-Markers of windows.

    Parameters
    ----------
    paths : ndarray of shape (n_points, 2, n_clips, n_frames)
        x and y of the `PUBLISHED_POINTS`, float32, as they are; no frame may be missing. Each
        whole clip is one window; after its end, its last frame is repeated.
    lengths : ndarray of shape (n_clips,)
        Number of frames of each clip, at least 1.
    names : sequence of str of length n_clips, default=None
        The clips' names in messages; None counts from "Clip 0".

    Returns
    -------
    features : ndarray of shape (n_clips, 225)
        Eyelid, cheek, lip by onset, apex, offset by descriptor; float32.

    Raises
    ------
    InvalidClipError
        If the mouth or the right eye has no width in a clip's first frame.

    Notes
    -----
    The result does not depend on the batch, to the last bit: each sum is taken over its own
    values alone, in the order in which NumPy sums a one-dimensional array.

    References
    ----------
    Hasan, Mohammed, Rahman, Koehn, "HadaSmileNet", ICDM 2025, arXiv 2509.18550.
    """
    eyelid, cheek, lip = published_signals(paths)
    _check_size((eyelid, cheek, lip), names)
    phases = published_phases(lip, lengths)
    # Cheek and lip are of one precision: the clips of the one, then of the other.
    pair = published_descriptors(np.concatenate([cheek, lip]), *np.tile(phases, 2))
    values = np.concatenate([published_descriptors(eyelid, *phases), pair], axis=2)
    values = values.reshape(*values.shape[:2], 3, -1)  # (descriptor, phase, signal, clip)
    return values.T.reshape(len(lengths), -1)


def _reduce_sets(values, sizes):
    """Return sum and maximum of sets of values that lie one after another, 0 of empty ones."""
    sums, maxima = np.zeros((2, len(sizes)), dtype=values.dtype)
    starts = np.cumsum(sizes) - sizes
    for size in np.flatnonzero(np.bincount(sizes)[1:]) + 1:
        sets = np.flatnonzero(sizes == size)
        block = values[starts[sets] + np.arange(size)[:, None]]  # (size, n_sets)
        maxima[sets] = block.max(axis=0)
        # NumPy adds fewer than eight values one after the other, and more in an order set by
        # their number: contiguous rows are summed as each alone would be.
        sums[sets] = block.sum(axis=0) if size < 8 else block.T.copy().sum(axis=1)
    return sums, maxima


def _distance(start, end):
    """Return distances of points whose x and y lie along the axis before clips and frames."""
    across, down = np.moveaxis(start - end, -3, 0)
    return np.sqrt(across**2 + down**2)


def _longest_run(holds, lengths):
    """Return where the first longest run of each clip starts and stops as published, or 0, 0."""
    steps = np.arange(holds.shape[-1])
    run = run_lengths(holds)
    # A run that the clip's end cuts counts one step less than an inner one.
    score = np.where(holds, run - (steps == lengths[:, None] - 2), -1)
    clips, last = np.arange(len(holds)), score.argmax(axis=-1)
    starts, stops = last - run[clips, last] + 1, np.minimum(last + 3, lengths)
    return np.where(holds[clips, last], [starts, stops], 0)


def _ratio(numerator, denominator):
    """Divide, giving 0 where the denominator is not positive."""
    zeros = np.zeros(numerator.shape)
    return np.divide(numerator, denominator, out=zeros, where=denominator > 0)


def _check_size(signals, names):
    """Check that the widths in the first frame can be units, by what they make of the signals."""
    largest = np.max([np.abs(signal).max(axis=1) for signal in signals], axis=0)
    for index in np.flatnonzero(~(largest < _LARGEST))[:1]:  # of NaN, neither holds
        name = f"Clip {index}" if names is None else names[index]
        raise InvalidClipError(
            f"{name} has a mouth or right eye without width in its first frame, or coordinates "
            "too large for float32; these widths are the published units of length. Start it "
            "at a frame that shows a face."
        )
