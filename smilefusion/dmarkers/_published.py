"""The D-Markers of HadaSmileNet as its published code computes them."""

import numpy as np

N_DESCRIPTORS = 25


def published_signals(clip, scheme):
    """Compute the published eyelid, cheek and lip signals.

    Parameters
    ----------
    clip : ndarray of shape (n_frames, n_landmarks, n_dims)
        Coordinates of one window, as they are.
    scheme : LandmarkScheme
        The clip's landmark scheme.

    Returns
    -------
    signals : list of three ndarray of shape (n_frames,)
        Eyelid (float64), cheek and lip (float32).

    Notes
    -----
    The strict comparisons of the phases see float32 rounding, so the operations keep the
    order and the precision of the published code: distances in float32, and the eyelid's sum
    and quotient in float64, to which its integer signs promote them. Its lip centre is that of
    each frame, by which lip(t) is the mouth's width over twice its first width, and its lip
    corners, 62 and 308, are no mirror images of each other.
    """
    right_corner = _locate(clip, scheme, "right_lip_corner_published")
    left_corner = _locate(clip, scheme, "left_lip_corner_published")
    mouth_centre = (right_corner + left_corner) / 2
    lip = _distance(mouth_centre, right_corner) + _distance(mouth_centre, left_corner)
    lip = lip / (2 * _distance(right_corner[:1], left_corner[:1]))

    eyelid, cheek = 0.0, np.float32(0)
    for side in ("right", "left"):
        outer = _locate(clip, scheme, f"{side}_eye_outer")
        inner = _locate(clip, scheme, f"{side}_eye_inner")
        lid = _locate(clip, scheme, f"{side}_eye_upper")
        centre = (outer + inner) / 2
        sign = np.where(lid[:, 1] > centre[:, 1], -1.0, 1.0)
        eyelid = eyelid + sign * _distance(centre, lid)
        cheek = cheek + _distance(centre, _locate(clip, scheme, f"{side}_cheek"))
    eye_width = 2 * _distance(
        _locate(clip, scheme, "right_eye_outer")[:1], _locate(clip, scheme, "right_eye_inner")[:1]
    )
    return [eyelid / eye_width, cheek / eye_width, lip]


def published_phases(lip):
    """Find onset, apex and offset as the published code does.

    Parameters
    ----------
    lip : ndarray of shape (n_frames,)
        Lip signal.

    Returns
    -------
    phases : list of three slice
        Frames of onset (longest run of strict increase), apex, offset (of strict decrease).
        A run that the clip's end does not cut takes in one frame after the difference that
        ends it, as published.
    """
    n_frames = len(lip)
    steps = np.diff(lip)
    onset, offset = _longest_run(steps > 0), _longest_run(steps < 0)
    apex = slice(0, 0)
    if onset is not None and offset is not None:
        apex = slice(onset[1] + 2, max(onset[1] + 2, offset[0]))
    onset, offset = (
        slice(0, 0) if run is None else slice(run[0], min(run[1] + 2, n_frames))
        for run in (onset, offset)
    )
    return [onset, apex, offset]


def published_descriptors(segment):
    """Describe a phase of a signal by the 25 published descriptors.

    Parameters
    ----------
    segment : ndarray of shape (n_frames,)
        The signal D in the phase.

    Returns
    -------
    values : list of 25 float
        In the order of `smilefusion.dmarkers._descriptors.DESCRIPTORS`; with one frame per
        unit of time, levels D[t] where rising (falling) for D+ (D-), and the departures of the
        published code: descriptor 9 without the absolute value, 24 divided by the duration,
        25 always 0.
    """
    if segment.size == 0:
        return [0.0] * N_DESCRIPTORS
    speed = np.diff(segment)
    acceleration = np.diff(speed)
    rising, falling = segment[1:][speed > 0], segment[1:][speed < 0]
    faster, slower = acceleration[acceleration > 0], -acceleration[acceleration < 0]
    n_frames, n_rising, n_falling = segment.size, rising.size, falling.size
    rise, fall = rising.sum(), np.abs(falling).sum()
    return [
        n_rising,
        n_falling,
        n_frames,
        n_rising / n_frames,
        n_falling / n_frames,
        segment.max(),
        segment.sum() / n_frames,
        _mean(rising),
        _mean(falling),
        segment.std() if n_frames > 1 else 0.0,
        rise,
        fall,
        rise - fall,
        rise / (rise + fall) if rise + fall > 0 else 0.0,
        fall / (rise + fall) if rise + fall > 0 else 0.0,
        _max(speed[speed > 0]),
        _max(-speed[speed < 0]),
        _mean(speed[speed > 0]),
        _mean(-speed[speed < 0]),
        _max(faster),
        _max(slower),
        _mean(faster),
        _mean(slower),
        (rise - fall) / n_frames,
        0.0,
    ]


def published_dmarkers(clip, scheme):
    """Compute the 225 published D-Markers of one window.

    Parameters
    ----------
    clip : ndarray of shape (n_frames, n_landmarks, n_dims)
        Coordinates, as they are; no frame may be missing. The whole clip is one window.
    scheme : LandmarkScheme
        The clip's landmark scheme.

    Returns
    -------
    features : ndarray of shape (225,)
        Eyelid, cheek, lip by onset, apex, offset by descriptor; float32.

    References
    ----------
    Hasan, Mohammed, Rahman, Koehn, "HadaSmileNet", ICDM 2025, arXiv 2509.18550.
    """
    signals = published_signals(clip, scheme)
    phases = published_phases(signals[2])
    values = [published_descriptors(signal[phase]) for signal in signals for phase in phases]
    return np.array(values, dtype=np.float32).ravel()


def _locate(clip, scheme, name):
    """Return x and y of a named point, (n_frames, 2), float32."""
    return scheme.locate(clip, name)[:, :2].astype(np.float32, copy=False)


def _distance(start, end):
    return np.sqrt(((start - end) ** 2).sum(axis=-1))


def _longest_run(holds):
    """Return first and last index of the first longest run; the last is off by one if inner."""
    edges = np.flatnonzero(np.diff(holds.astype(np.int8), prepend=0, append=0))
    if edges.size == 0:
        return None
    starts, ends = edges[::2], np.minimum(edges[1::2], holds.size - 1)
    longest = np.argmax(ends - starts)
    return int(starts[longest]), int(ends[longest])


def _mean(values):
    return values.mean() if values.size else 0.0


def _max(values):
    return values.max() if values.size else 0.0
