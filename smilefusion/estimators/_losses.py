"""Losses of weighted samples."""

import torch
import torch.nn.functional as F
from torch import nn


class WeightedClassificationLoss(nn.Module):
    """Weighted mean cross-entropy; one logit column means two classes."""

    def forward(self, logits, target):
        """Return the loss (...) of logits (..., B, n_outputs).

        The target (..., B, 3) starts with class and weight.
        """
        label, weight = target[..., 0], target[..., 1]
        if logits.shape[-1] == 1:
            loss = F.binary_cross_entropy_with_logits(logits[..., 0], label, reduction="none")
        else:
            flat = logits.flatten(0, -2), label.flatten().long()
            loss = F.cross_entropy(*flat, reduction="none").view(label.shape)
        total = weight.sum(dim=-1).clamp_min(torch.finfo(weight.dtype).tiny)
        return (weight * loss).sum(dim=-1) / total


class MultiTaskLoss(nn.Module):
    """Weighted mean of the classification loss and of the error in predicting D-Markers.

    Parameters
    ----------
    weight : float
        Share of the second task.
    """

    def __init__(self, weight):
        super().__init__()
        self.weight = weight
        self.classification = WeightedClassificationLoss()

    def forward(self, outputs, target):
        """Return the loss of logits (B, n_outputs) and squared errors (B,)."""
        logits, error = outputs
        weight = target[:, 1]
        error = (weight * error).sum() / weight.sum().clamp_min(torch.finfo(weight.dtype).tiny)
        return (1 - self.weight) * self.classification(logits, target) + self.weight * error
