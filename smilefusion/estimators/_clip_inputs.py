"""What encoders see of clips: frames of landmarks, scaled, with their times."""

import numpy as np
import torch

from smilefusion.clips import check_fps, sample_frames
from smilefusion.dmarkers._signals import N_REST_FRAMES
from smilefusion.estimators._datasets import cut_windows
from smilefusion.landmarks import landmark_scheme
from smilefusion.pose import align_rigid


def displacements(clip, observed, chosen, scheme, name):
    """Return the displacements of chosen frames from the resting face, head pose taken out.

    Parameters
    ----------
    clip : ndarray of shape (n_frames, n_landmarks, n_dims)
        A clip.
    observed, chosen : ndarray of int
        Frames that hold a face, and those wanted.
    scheme : LandmarkScheme
        The clip's landmark scheme.
    name : str
        The clip's name in messages.

    Returns
    -------
    displacements : ndarray of shape (n_chosen, n_landmarks, n_dims)
        In distances between the eye centres.
    """
    rest = observed[:N_REST_FRAMES]
    aligned = align_rigid(clip[np.r_[rest, chosen]], scheme, name=name)
    return aligned[len(rest) :] - np.median(aligned[: len(rest)], axis=0)


def coordinates(clip, observed, chosen, scheme, name):
    """Return the coordinates of chosen frames as they are; arguments as in `displacements`."""
    return clip[chosen]


def collect_frames(clips, fps, *, describe, n_frames):
    """Describe the frames of clips and put them one after another.

    Parameters
    ----------
    clips : ClipSequence
        Checked clips.
    fps : float, array-like of shape (n_clips,) or None
        Frames per second; None counts in frames.
    describe : callable
        `displacements` or `coordinates`.
    n_frames : int or None
        Number of frames of each clip, evenly spaced over those with a face; None takes all.

    Returns
    -------
    frames : dict of str to ndarray
        ``landmarks`` (n_all_frames, n_landmarks, n_dims), float32, and ``time``
        (n_all_frames,), since the first frame with a face.
    inputs : dict of str to ndarray of shape (n_clips,)
        ``first_frame`` and ``length`` of each clip in `frames`, and its ``duration``.
    """
    scheme = landmark_scheme(clips.n_landmarks)
    rates = check_fps(fps, len(clips))
    landmarks, times = [], []
    for index, clip in enumerate(clips):
        observed = np.flatnonzero(~np.isnan(clip[:, 0, 0]))
        chosen = observed if n_frames is None else observed[sample_frames(len(observed), n_frames)]
        values = describe(clip, observed, chosen, scheme, clips.name(index))
        landmarks.append(values.astype(np.float32, copy=False))
        times.append((chosen - observed[0]) / rates[index])
    lengths = np.array([len(part) for part in landmarks])
    frames = {
        "landmarks": np.concatenate(landmarks),
        "time": np.concatenate(times).astype(np.float32),
    }
    return frames, {
        "first_frame": np.cumsum(lengths) - lengths,
        "length": lengths,
        "duration": (clips.n_frames / rates).astype(np.float32),
    }


def place_windows(frames, inputs, n_frames, n_windows):
    """Yield windows placed evenly over every clip, the first at its start, the last at its end.

    Parameters
    ----------
    frames, inputs : dict of str to ndarray
        As `collect_frames` returns them.
    n_frames : int
        Length of a window.
    n_windows : int
        Number of windows; one lies in the middle.

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
        yield {name: tensor.numpy() for name, tensor in windows.items()}
