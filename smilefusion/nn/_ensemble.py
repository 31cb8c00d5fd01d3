"""Ensemble of networks with the same architecture, each trained on different folds."""

from typing import Any

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
        outputs, seen = [], []
        for number, member in enumerate(self.members):
            held = (fold == number) | (fold == HELD_OUT)
            rows = torch.nonzero(~held if self.training else held)[:, 0]
            seen.append(~held if self.training else held)
            logits = member(deep[rows], dmarker[rows])
            outputs.append(
                logits.new_zeros(len(fold), logits.shape[1]).index_copy(0, rows, logits)
            )
        return torch.stack(outputs), torch.stack(seen)
