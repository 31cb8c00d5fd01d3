"""Mirrored clips in training."""

import torch


def mirror_some(landmarks, mirror):
    """Mirror about half of the clips of a batch, chosen at random."""
    if mirror is None:
        return landmarks
    chosen = torch.rand(len(landmarks), device=landmarks.device) < 0.5
    sign = landmarks.new_tensor([-1.0] + [1.0] * (landmarks.shape[3] - 1))
    return torch.where(chosen[:, None, None, None], landmarks[:, :, mirror] * sign, landmarks)
