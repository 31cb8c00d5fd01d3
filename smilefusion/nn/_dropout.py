"""Dropout whose random numbers cost a fraction of torch's on the CPU."""

import torch
from torch import nn

_LEVELS = 2**16  # of one random number of 16 bits
_PER_DRAW = 4  # numbers of 16 bits in one of 64


def count_draws(n_elements):
    """Return how many random numbers of 64 bits the factors of so many elements take."""
    return -(-n_elements // _PER_DRAW)


def draw_bits(out, generator=None):
    """Fill an int64 tensor with random bits."""
    return out.random_(-(2**63), None, generator=generator)


def lowest_levels(p):
    """Return how many of the 2**16 levels of a random number mean that an element is dropped."""
    return min(round(p * _LEVELS), _LEVELS - 1)


def dropout_factors(bits, p, dtype):
    """Return the factors of elements, 0 or 1 / (1 - p), from random bits."""
    n_low = lowest_levels(p)
    kept = (bits.view(torch.int16) >= n_low - _LEVELS // 2).to(dtype)
    return kept.mul_(_LEVELS / (_LEVELS - n_low))


class Dropout(nn.Dropout):
    """Dropout that draws 16 bits an element on the CPU, where torch draws a number of 64."""

    def forward(self, values):
        """Return values of any shape, some set to 0 in training, the others scaled."""
        if values.device.type != "cpu":
            return super().forward(values)
        return values * self._factors(values) if self._drops() else values

    def _drops(self):
        """Whether elements are dropped now."""
        return self.training and lowest_levels(self.p) > 0

    def _factors(self, values):
        """Draw the factors of values."""
        n_elements = values.numel()
        bits = draw_bits(torch.empty(count_draws(n_elements), dtype=torch.int64))
        return dropout_factors(bits, self.p, values.dtype)[:n_elements].view(values.shape)


class SharedDropout(Dropout):
    """Dropout that draws on the CPU wherever the values are, so that a GPU drops the same ones."""

    def forward(self, values):
        """Return values of any shape, some set to 0 in training, the others scaled."""
        if not self._drops():
            return values
        return values * self._factors(values).to(values.device, non_blocking=True)
