"""Network inputs from clips of landmarks: scaled landmarks of chosen frames, and times."""

from collections.abc import Callable, Iterator, Sequence
from itertools import repeat
from numbers import Integral
from operator import itemgetter
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import ArrayLike
from sklearn.utils import gen_batches

from smilefusion._messages import unknown_key
from smilefusion._training._batches import Arrays, Tensors, allocate, cut_windows
from smilefusion.clips._padding import sample_frames
from smilefusion.clips._sequence import ClipSequence
from smilefusion.dmarkers._published import PUBLISHED_POINTS, published_dmarkers
from smilefusion.dmarkers._signals import N_REST_FRAMES
from smilefusion.dmarkers._smile import find_smiles, whole_clips
from smilefusion.landmarks import LandmarkScheme, landmark_scheme
from smilefusion.pose import align_rigid

# Encoders that see coordinates; all others see displacements from the resting face.
_COORDINATE_ENCODERS = ("curvenet",)
# A fitted network processes this many clips at a time, to bound the memory.
_CLIPS_AT_ONCE = 128
HELD_AT_ONCE = 32  # number of whole clips in memory
_NUMBERS_AT_ONCE = 2**20  # squared at a time


class Windows(NamedTuple):
    """The `windows` parameter: windows at prediction, and settings of the published form."""

    n_windows: int = 5
    dmarkers: bool = False
    coordinate_range: Any = None


def check_windows(windows: dict[str, Any] | None) -> Windows:
    """Return the `windows` parameter with defaults; None means one window, the whole smile."""
    if windows is None:
        return Windows(n_windows=1)
    for key in windows:
        if key not in Windows._fields:
            raise ValueError(unknown_key(str(key), Windows._fields, "Each key of windows"))
    checked = Windows(**windows)
    n_windows = checked.n_windows
    if isinstance(n_windows, bool) or not isinstance(n_windows, Integral) or n_windows < 1:
        raise ValueError(
            f"n_windows in windows must be a positive integer; got {n_windows!r}. Use, for "
            f"example, 5."
        )
    if not isinstance(checked.dmarkers, (bool, np.bool_)):
        raise ValueError(
            f"dmarkers in windows must be True or False; got {checked.dmarkers!r}. Pass "
            f"one of them."
        )
    return checked


def _displacements(
    clip: np.ndarray,
    observed: np.ndarray,
    chosen: np.ndarray,
    scheme: LandmarkScheme,
    name: Any,
) -> np.ndarray:
    """Return displacements of chosen frames from the resting face, in inter-ocular distances."""
    rest = observed[:N_REST_FRAMES]
    aligned = align_rigid(clip[np.r_[rest, chosen]], scheme, name=name)
    return aligned[len(rest) :] - np.median(aligned[: len(rest)], axis=0)


def collect_frames(
    clips: ClipSequence,
    *,
    encoder: str | type,
    n_frames: int | None,
    dtype: str,
    vary: Callable[[ClipSequence], ClipSequence] | None = None,
) -> tuple[Arrays, Arrays]:
    """Return unscaled frames of all smiles, concatenated, and inputs per clip."""
    # With `vary`, the inputs of one changed copy of each clip follow those of the clips.
    scheme = landmark_scheme(clips.n_landmarks)
    n_kept = clips.n_frames if n_frames is None else clips.n_frames.clip(max=n_frames)
    most = int(n_kept.sum()) * (1 if vary is None else 2)
    landmarks = allocate((most, clips.n_landmarks, clips.n_dims), dtype)
    times, stop, rows = np.empty(most, dtype), 0, []
    whole = encoder in _COORDINATE_ENCODERS and n_frames is None  # the published form
    for copy, clip, name, rate, (first, last) in _iterate_smiles(clips, vary, whole=whole):
        observed = first + np.flatnonzero(~np.isnan(clip[first : last + 1, 0, 0]))
        chosen = observed[sample_frames(len(observed), n_frames or len(observed))]
        if encoder in _COORDINATE_ENCODERS:
            values = clip[chosen]
        else:
            values = _displacements(clip, observed, chosen, scheme, name)
        start, stop = stop, stop + len(chosen)
        landmarks[start:stop] = values
        times[start:stop] = (chosen - observed[0]) / rate
        rows.append((copy, start, len(chosen), (last + 1 - first) / rate))
    rows.sort(key=itemgetter(0))  # stable: first the clips, then the copies
    _, *columns = map(np.array, zip(*rows, strict=True))
    inputs = dict(zip(("first_frame", "length", "duration"), columns, strict=True))
    inputs["duration"] = inputs["duration"].astype(dtype)
    return {"landmarks": landmarks[:stop], "time": times[:stop]}, inputs


def _iterate_smiles(
    clips: ClipSequence, vary: Callable[[ClipSequence], ClipSequence] | None, *, whole: bool
) -> Iterator[tuple[int, np.ndarray, str, float, np.ndarray]]:
    """Yield copy number, clip, name, rate, and first and last frame of the smile."""
    for part in gen_batches(len(clips), HELD_AT_ONCE):
        held = clips[part].load()
        for copy, some in enumerate([held] if vary is None else [held, vary(held)]):
            ends = whole_clips(some) if whole else find_smiles(some)
            rates = np.nan_to_num(some.fps, nan=1.0)
            yield from zip(repeat(copy), some, some.names, rates, ends, strict=False)


def check_range(
    coordinate_range: ArrayLike | None, n_dims: int, *, encoder: str | type
) -> tuple[np.ndarray, np.ndarray] | None:
    """Return offset and scale (n_dims,) of a range of coordinates, or None."""
    if coordinate_range is None:
        return None
    limits = np.asarray(coordinate_range, dtype=np.float64)
    if encoder not in _COORDINATE_ENCODERS:
        raise ValueError(
            f"coordinate_range applies to coordinates, but encoder={encoder!r} sees "
            f"displacements. Remove it from windows, or use encoder='curvenet'."
        )
    if limits.shape != (2, n_dims) or not (limits[1] > limits[0]).all():
        raise ValueError(
            f"coordinate_range must hold the minimum and the maximum of each of {n_dims} "
            f"coordinates, shape (2, {n_dims}), with each maximum above its minimum; got "
            f"{coordinate_range!r}. Correct it, or use None to learn it from the training clips."
        )
    return limits[0], limits[1] - limits[0]


def check_scaling(scaling: Any, n_dims: int) -> tuple[Any, Any] | None:
    """Return the `scaling` parameter of an extractor as arrays or numbers, or None."""
    if scaling is None:
        return None
    try:
        offset, scale = (np.asarray(value, dtype=np.float64) for value in scaling)
        has_shape = {offset.shape, scale.shape} <= {(), (n_dims,)}
        is_finite = np.isfinite(offset).all() and np.isfinite(scale).all()
        fits = bool(has_shape and is_finite and (scale > 0).all())
    except (TypeError, ValueError):
        fits = False
    if not fits:
        raise ValueError(
            f"scaling must be a pair of an offset and a positive scale, each a finite number or "
            f"one number for each of the {n_dims} coordinates; got {scaling!r}. Pass offset_ and "
            f"scale_ of the extractor whose weights you use, or None to learn them."
        )
    # Unlike an array, a Python float does not turn float32 into float64.
    return offset if offset.ndim else offset.item(), scale if scale.ndim else scale.item()


def learn_scaling(landmarks: np.ndarray, *, encoder: str | type) -> tuple[Any, Any]:
    """Return the offset and scale of training landmarks (n_all_frames, n_landmarks, n_dims)."""
    if encoder in _COORDINATE_ENCODERS:
        offset = landmarks.min(axis=(0, 1)).astype(np.float64)
        extent = landmarks.max(axis=(0, 1)) - offset
        return offset, np.where(extent > 0, extent, 1.0)
    scale = float(np.sqrt(_sum_of_squares(landmarks.ravel()) / landmarks.size))
    return 0.0, scale if scale > 0 else 1.0


def _sum_of_squares(values: np.ndarray) -> float:
    """Return the sum of squares in float64, without squaring all values at once."""
    # Split into halves like NumPy's pairwise summation, so the result has the bits of np.sum.
    if len(values) <= _NUMBERS_AT_ONCE:
        return np.sum(np.square(values, dtype=np.float64))
    half = len(values) // 2
    half -= half % 8
    return _sum_of_squares(values[:half]) + _sum_of_squares(values[half:])


def scale_landmarks(landmarks: np.ndarray, offset: Any, scale: Any) -> None:
    """Scale landmarks (..., n_landmarks, n_dims) in place."""
    landmarks -= offset
    landmarks /= scale


def clips_at_once(batch_size: int) -> int:
    """Return the number of clips to process at a time, in whole batches."""
    return batch_size * max(1, _CLIPS_AT_ONCE // batch_size)


def place_windows(
    frames: Arrays,
    inputs: Arrays,
    n_frames: int,
    n_windows: int,
    describe: Callable[[Tensors], Tensors] | None = None,
) -> Iterator[Arrays]:
    """Yield the inputs of windows that are evenly spaced from the start to the end of clips."""
    free = np.maximum(inputs["length"] - n_frames, 0)
    parts = [0.5] if n_windows == 1 else np.linspace(0, 1, n_windows)
    tensors, per_clip = (
        {name: torch.from_numpy(values) for name, values in group.items()}
        for group in (frames, inputs)
    )
    for part in parts:
        shift = torch.from_numpy((part * free).astype(np.int64))
        windows = cut_windows(tensors, per_clip, shift, n_frames)
        if describe is not None:
            windows |= describe(windows)
        yield {name: tensor.numpy() for name, tensor in windows.items()}


def describe_windows(windows: Tensors, names: Sequence[Any]) -> Tensors:
    """Return the published D-Markers (n_clips, 225) of windows of coordinates."""
    landmarks, lengths = windows["landmarks"], windows["mask"].sum(dim=1)
    scheme = landmark_scheme(landmarks.shape[2])
    points = [index for name in PUBLISHED_POINTS for index in scheme.indices(name)]
    frame = torch.arange(landmarks.shape[1]).minimum(lengths[:, None] - 1)
    paths = landmarks[torch.arange(len(landmarks))[:, None], frame][:, :, points, :2]
    names = [f"Clip {name}" if isinstance(name, int) else name for name in names]
    signals = paths.permute(2, 3, 0, 1).numpy().astype(np.float32)
    values = published_dmarkers(signals, lengths.numpy(), names)
    return {"dmarker": torch.from_numpy(values).to(landmarks.dtype)}
