"""Dropout whose random numbers cost a fraction of torch's on the CPU."""

import torch
from torch import nn

_LEVELS = 2**16  # of one random number of 16 bits


class Dropout(nn.Dropout):
    """Dropout that draws 16 bits an element on the CPU, where torch draws a number of 64.

    The probability is rounded to a multiple of 2**-16, and kept elements are scaled by what is
    rounded, so that the expectation stays exact.
    """

    def forward(self, values):
        """Return values of any shape, some set to 0 in training, the others scaled."""
        n_low = min(round(self.p * _LEVELS), _LEVELS - 1)
        if not self.training or n_low == 0 or values.device.type != "cpu":
            return super().forward(values)
        bits = torch.empty(-(-values.numel() // 4), dtype=torch.int64).random_(-(2**63), None)
        drawn = bits.view(torch.int16)[: values.numel()].view(values.shape)
        kept = (drawn >= n_low - _LEVELS // 2).to(values.dtype)
        return values * kept.mul_(_LEVELS / (_LEVELS - n_low))
