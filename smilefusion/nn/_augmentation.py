"""Mirrored clips in training."""

import torch


def mirror_some(landmarks, mirror):
    """Mirror about half of the clips of a batch, chosen at random.

    Parameters
    ----------
    landmarks : tensor of shape (B, T, n_landmarks, n_dims)
        Displacements from the resting face.
    mirror : int tensor of shape (n_landmarks,) or None
        Index of each landmark's mirror twin; None mirrors nothing.

    Returns
    -------
    landmarks : tensor of shape (B, T, n_landmarks, n_dims)
        The clips, some of them with twins swapped and x negated.
    """
    if mirror is None:
        return landmarks
    chosen = torch.rand(len(landmarks), device=landmarks.device) < 0.5
    sign = landmarks.new_tensor([-1.0] + [1.0] * (landmarks.shape[3] - 1))
    return torch.where(chosen[:, None, None, None], landmarks[:, :, mirror] * sign, landmarks)
