"""What encoders see of clips: frames of landmarks, scaled, with their times."""

import numpy as np
import torch

from smilefusion._training._batches import allocate, cut_windows
from smilefusion.clips._padding import sample_frames
from smilefusion.dmarkers._published import PUBLISHED_POINTS, published_dmarkers
from smilefusion.dmarkers._signals import N_REST_FRAMES
from smilefusion.landmarks import landmark_scheme
from smilefusion.pose import align_rigid

# Encoders that see coordinates; all others see displacements from the resting face.
_COORDINATE_ENCODERS = ("curvenet",)
# Clips whose frames are in memory at a time where a fitted network embeds or classifies them.
_CLIPS_AT_ONCE = 128
_NUMBERS_AT_ONCE = 2**20  # that are squared at a time


def _displacements(clip, observed, chosen, scheme, name):
    """Return chosen frames' displacements from the resting face, in distances of the eyes."""
    rest = observed[:N_REST_FRAMES]
    aligned = align_rigid(clip[np.r_[rest, chosen]], scheme, name=name)
    return aligned[len(rest) :] - np.median(aligned[: len(rest)], axis=0)


def collect_frames(clips, *, encoder, n_frames, precision):
    """Describe the frames of clips and put them one after another.

    Parameters
    ----------
    clips : ClipSequence
        Checked clips; if their frame rates are unknown, times are in frames.
    encoder : str
        Name of the encoder. "curvenet" sees coordinates as they are; others see displacements
        from the resting face in distances between the eye centres, head pose taken out.
    n_frames : int or None
        Number of frames of each clip, evenly spaced over those with a face; None takes all.
    precision : {"float32", "float64", "mixed"}
        Arithmetic of the network, which gives the type of the numbers.

    Returns
    -------
    frames : dict of str to ndarray
        ``landmarks`` (n_all_frames, n_landmarks, n_dims), not yet scaled, in a temporary file
        where they are large, and ``time`` (n_all_frames,), since the first frame with a face.
    inputs : dict of str to ndarray of shape (n_clips,)
        ``first_frame`` and ``length`` of each clip in `frames`, and its ``duration``.
    """
    dtype = np.float64 if precision == "float64" else np.float32
    scheme = landmark_scheme(clips.n_landmarks)
    rates = clips.fps_or(1.0)
    most = int((clips.n_frames if n_frames is None else clips.n_frames.clip(max=n_frames)).sum())
    landmarks = allocate((most, clips.n_landmarks, clips.n_dims), dtype)
    times, lengths, stop = np.empty(most, dtype), np.empty(len(clips), dtype=int), 0
    for index, clip in enumerate(clips):
        observed = np.flatnonzero(~np.isnan(clip[:, 0, 0]))
        chosen = observed if n_frames is None else observed[sample_frames(len(observed), n_frames)]
        if encoder in _COORDINATE_ENCODERS:
            values = clip[chosen]
        else:
            values = _displacements(clip, observed, chosen, scheme, clips.names[index])
        start, stop = stop, stop + len(chosen)
        landmarks[start:stop] = values
        times[start:stop] = (chosen - observed[0]) / rates[index]
        lengths[index] = len(chosen)
    return {"landmarks": landmarks[:stop], "time": times[:stop]}, {
        "first_frame": np.cumsum(lengths) - lengths,
        "length": lengths,
        "duration": (clips.n_frames / rates).astype(dtype),
    }


def check_range(coordinate_range, n_dims, *, encoder):
    """Return least values and ranges (n_dims,) of a given range of coordinates, or None.

    Parameters
    ----------
    coordinate_range : array-like of shape (2, n_dims) or None
        Least and greatest coordinates.
    n_dims : int
        Number of coordinates of a landmark.
    encoder : str
        Name of the encoder.

    Returns
    -------
    scaling : tuple of two ndarray or None
        What is subtracted from landmarks, and what they are divided by; None for None.

    Raises
    ------
    ValueError
        If the range has another shape or is empty, or the encoder sees no coordinates.
    """
    if coordinate_range is None:
        return None
    limits = np.asarray(coordinate_range, dtype=np.float64)
    if encoder not in _COORDINATE_ENCODERS:
        raise ValueError(
            f"coordinate_range is of coordinates; encoder={encoder!r} sees displacements. Leave "
            f"it None, or take encoder='curvenet'."
        )
    if limits.shape != (2, n_dims) or not (limits[1] > limits[0]).all():
        raise ValueError(
            f"coordinate_range must hold the least and the greatest value of each of {n_dims} "
            f"coordinates, shape (2, {n_dims}), the greatest above the least; got "
            f"{coordinate_range!r}. Correct it, or leave it None to learn it."
        )
    return limits[0], limits[1] - limits[0]


def check_scaling(scaling, n_dims):
    """Return what is subtracted from landmarks and what they are divided by, or None.

    Parameters
    ----------
    scaling : tuple of (offset, scale) or None
        Each a number, or one number per coordinate.
    n_dims : int
        Number of coordinates of a landmark.

    Returns
    -------
    scaling : tuple of two float or ndarray of shape (n_dims,), or None
        The same; None for None.

    Raises
    ------
    ValueError
        If it is no such pair, is not finite, or a scale is not positive.
    """
    if scaling is None:
        return None
    try:
        offset, scale = (np.asarray(value, dtype=np.float64) for value in scaling)
        fits = {offset.shape, scale.shape} <= {(), (n_dims,)}
        fits &= np.isfinite(offset).all() and np.isfinite(scale).all() and (scale > 0).all()
    except (TypeError, ValueError):
        fits = False
    if not fits:
        raise ValueError(
            f"scaling must be a pair of an offset and a positive scale, each a finite number or "
            f"one per coordinate, here {n_dims}; got {scaling!r}. Give offset_ and scale_ of the "
            f"extractor whose weights are taken, or None to learn them."
        )
    # A plain number leaves arrays of single precision as they are.
    return tuple(value if value.ndim else value.item() for value in (offset, scale))


def learn_scaling(landmarks, *, encoder):
    """Return what is subtracted from landmarks, and what they are divided by.

    Parameters
    ----------
    landmarks : ndarray of shape (n_all_frames, n_landmarks, n_dims)
        Frames of the training clips.
    encoder : str
        Name of the encoder.

    Returns
    -------
    offset, scale : float or ndarray of shape (n_dims,)
        Zero and the root mean square of displacements; least value and range of each
        coordinate. Where nothing differs the scale is 1.
    """
    if encoder in _COORDINATE_ENCODERS:
        offset = landmarks.min(axis=(0, 1)).astype(np.float64)
        extent = landmarks.max(axis=(0, 1)) - offset
        return offset, np.where(extent > 0, extent, 1.0)
    scale = float(np.sqrt(_sum_of_squares(landmarks.ravel()) / landmarks.size))
    return 0.0, scale if scale > 0 else 1.0


def _sum_of_squares(values):
    """Return the sum of squares in float64, few of which are in memory at a time.

    Halved as NumPy's pairwise summation does it, so that the bits are those of the whole.
    """
    if len(values) <= _NUMBERS_AT_ONCE:
        return np.sum(np.square(values, dtype=np.float64))
    half = len(values) // 2
    half -= half % 8
    return _sum_of_squares(values[:half]) + _sum_of_squares(values[half:])


def scale_landmarks(landmarks, offset, scale):
    """Scale landmarks (..., n_landmarks, n_dims) in place, as `learn_scaling` says."""
    landmarks -= offset
    landmarks /= scale


def mirror_landmarks(landmarks, *, encoder):
    """Return the mirror image of scaled landmarks; coordinates stay within their range.

    Parameters
    ----------
    landmarks : ndarray of shape (..., n_landmarks, n_dims)
        Scaled landmarks.
    encoder : str
        Name of the encoder.

    Returns
    -------
    mirrored : ndarray of shape (..., n_landmarks, n_dims)
        Twins swapped and x reflected, about 0 for displacements and 1/2 for coordinates.
    """
    mirrored = np.take(landmarks, landmark_scheme(landmarks.shape[-2]).mirror, axis=-2)
    span = 1.0 if encoder in _COORDINATE_ENCODERS else 0.0
    mirrored[..., 0] = span - mirrored[..., 0]
    return mirrored


def clips_at_once(batch_size):
    """Return the number of clips that are read at a time: whole batches, whose bits stay."""
    return batch_size * max(1, _CLIPS_AT_ONCE // batch_size)


def place_windows(frames, inputs, n_frames, n_windows, describe=None):
    """Yield windows placed evenly over every clip, the first at its start, the last at its end.

    Parameters
    ----------
    frames, inputs : dict of str to ndarray
        As `collect_frames` returns them.
    n_frames : int
        Length of a window.
    n_windows : int
        Number of windows; one lies in the middle.
    describe : callable or None, default=None
        Makes further inputs of windows, see `describe_windows`.

    Yields
    ------
    windows : dict of str to ndarray of shape (n_clips, ...)
        A network's inputs, one window of each clip.
    """
    free = np.maximum(inputs["length"] - n_frames, 0)
    parts = [0.5] if n_windows == 1 else np.linspace(0, 1, n_windows)
    frames, inputs = (
        {name: torch.from_numpy(values) for name, values in group.items()}
        for group in (frames, inputs)
    )
    for part in parts:
        shift = torch.from_numpy((part * free).astype(np.int64))
        windows = cut_windows(frames, inputs, shift, n_frames)
        if describe is not None:
            windows |= describe(windows)
        yield {name: tensor.numpy() for name, tensor in windows.items()}


def describe_windows(windows, names):
    """Return the published D-Markers of windows, from the coordinates that they hold.

    Parameters
    ----------
    windows : dict of str to tensor
        Among it ``landmarks`` (n_clips, n_frames, n_landmarks, n_dims) and ``mask``
        (n_clips, n_frames).
    names : sequence of n_clips int or str
        Number or name of each window's clip.

    Returns
    -------
    inputs : dict of str to tensor
        ``dmarker`` (n_clips, 225), in the landmarks' precision.

    Raises
    ------
    InvalidClipError
        If the mouth or the right eye has no width in a window's first frame.
    """
    landmarks, lengths = windows["landmarks"], windows["mask"].sum(dim=1)
    scheme = landmark_scheme(landmarks.shape[2])
    points = [index for name in PUBLISHED_POINTS for index in scheme.indices(name)]
    frame = torch.arange(landmarks.shape[1]).minimum(lengths[:, None] - 1)
    paths = landmarks[torch.arange(len(landmarks))[:, None], frame][:, :, points, :2]
    names = [f"Clip {name}" if isinstance(name, int) else name for name in names]
    paths = paths.permute(2, 3, 0, 1).numpy().astype(np.float32)
    values = published_dmarkers(paths, lengths.numpy(), names)
    return {"dmarker": torch.from_numpy(values).to(landmarks.dtype)}
