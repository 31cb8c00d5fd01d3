"""Choose frames of clips and pad clips to one length."""

from collections.abc import Sequence

import numpy as np

from smilefusion.exceptions import InvalidClipError


def sample_frames(n_frames: int, n_samples: int) -> np.ndarray:
    """Choose frames evenly spaced over a clip.

    Parameters
    ----------
    n_frames : int
        Number of frames of the clip.
    n_samples : int
        Number of frames to choose, at least 1.

    Returns
    -------
    indices : ndarray of shape (min(n_frames, n_samples),)
        Increasing frame numbers, including the first and the last frame. A single sample is
        the middle frame.

    Examples
    --------
    >>> from smilefusion.clips import sample_frames
    >>> sample_frames(9, 3).tolist()
    [0, 4, 8]
    """
    if n_samples >= n_frames:
        return np.arange(n_frames)
    if n_samples == 1:
        return np.array([n_frames // 2])
    n_steps = n_samples - 1
    # Rounding in integers keeps the choice strictly increasing and the same on every machine.
    return (2 * np.arange(n_samples) * (n_frames - 1) + n_steps) // (2 * n_steps)


def pad_clips(clips: Sequence[np.ndarray], n_frames: int) -> tuple[np.ndarray, np.ndarray]:
    """Stack clips of different lengths into one array, padded with zeros.

    Parameters
    ----------
    clips : sequence of ndarray
        Clips (up to `n_frames` frames, n_landmarks, n_dims) that differ only in length.
    n_frames : int
        Number of frames of the result.

    Returns
    -------
    batch : ndarray of shape (n_clips, n_frames, n_landmarks, n_dims)
        Coordinates, float32; zero in missing frames and after the end of a clip.
    mask : ndarray of shape (n_clips, n_frames)
        True where a frame holds a face.

    Raises
    ------
    InvalidClipError
        If a clip is longer than `n_frames`.

    Examples
    --------
    >>> import numpy as np
    >>> from smilefusion.clips import pad_clips
    >>> batch, mask = pad_clips([np.ones((2, 478, 3)), np.ones((3, 478, 3))], 3)
    >>> mask.sum(axis=1).tolist()
    [2, 3]
    """
    batch = np.zeros((len(clips), n_frames, *clips[0].shape[1:]), dtype=np.float32)
    mask = np.zeros((len(clips), n_frames), dtype=bool)
    for index, clip in enumerate(clips):
        if len(clip) > n_frames:
            raise InvalidClipError(
                f"Clip {index} has {len(clip)} frames; at most n_frames={n_frames} fit. "
                "Choose frames with sample_frames first."
            )
        has_face = ~np.isnan(clip[:, 0, 0])
        mask[index, : len(clip)] = has_face
        batch[index, : len(clip)][has_face] = clip[has_face]
    return batch, mask
