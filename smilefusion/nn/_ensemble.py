"""Ensemble of networks with the same architecture, each trained on different folds."""

from typing import Any, Self

import torch
from torch import Tensor, nn

from smilefusion.nn._networks import TwoStreamNetwork

# Values of `fold` for rows that all members learn from, and for rows that none learns from.
IN_TRAINING, HELD_OUT = -1, -2


class NetworkEnsemble(nn.Module):
    """Networks with the same architecture and different initial weights.

    Parameters
    ----------
    n_members : int
        Number of networks.
    **params : dict
        Arguments of each `TwoStreamNetwork`.
    """

    def __init__(self, n_members: int, **params: Any):
        super().__init__()
        self.members = nn.ModuleList(TwoStreamNetwork(**params) for _ in range(n_members))

    def forward(
        self, deep: Tensor, dmarker: Tensor, fold: Tensor | None = None
    ) -> Tensor | tuple[Tensor, Tensor]:
        """Return the logits of all members.

        Parameters
        ----------
        deep : tensor of shape (n_clips, deep_dim)
            Deep vectors.
        dmarker : tensor of shape (n_clips, dmarker_dim)
            D-Markers.
        fold : tensor of shape (n_clips,), default=None
            Number of the member that does not learn from a clip, -1 if all learn from it, or -2
            if none does. In training, a member sees the clips that it learns from; in evaluation,
            it sees the others. If None, all members see all clips.

        Returns
        -------
        logits : tensor of shape (n_members, n_clips, n_outputs)
            The logits; 0 for clips that a member does not see.
        seen : tensor of bool, shape (n_members, n_clips)
            Whether a member sees a clip. Only returned if `fold` is given.
        """
        if fold is None:
            return torch.stack([member(deep, dmarker) for member in self.members])
        members = torch.arange(len(self.members), device=fold.device)[:, None]
        held = (fold == members) | (fold == HELD_OUT)
        seen = ~held if self.training else held
        outputs = []
        for member, rows in zip(self.members, map(torch.nonzero, seen), strict=True):
            logits = member(deep[rows[:, 0]], dmarker[rows[:, 0]])
            blank = logits.new_zeros(len(fold), logits.shape[1])
            outputs.append(blank.index_copy(0, rows[:, 0], logits))
        return torch.stack(outputs), seen

    def train(self, mode: bool = True) -> Self:
        """Set training or evaluation mode, unless it is already set.

        Parameters
        ----------
        mode : bool, default=True
            Whether to set training mode.

        Returns
        -------
        self : NetworkEnsemble
            The ensemble.
        """
        # skorch calls this for every batch, and setting the mode of all modules takes time.
        return self if mode == self.training else super().train(mode)
