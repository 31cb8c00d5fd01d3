"""Layers of K networks at once, whose weights and Dropout factors are handed in from outside."""

import torch
import torch.nn.functional as F
from torch import nn


class Feed:
    """What is handed to the layers for a pass.

    Parameters
    ----------
    n_lead : int
        Number of axes before that of the elements of a sample: 1, samples, or 2, networks too.
    """

    def __init__(self, n_lead):
        self.n_lead = n_lead
        self.weights = {}  # of layers by their names, (K, ...)
        self.factors = []  # of Dropout layers, one tensor for each call, in order
        self.calls = None  # a list while calls are noted instead

    def take(self, layer, values):
        """Return the factors of a Dropout layer's next call; or note it, where calls are noted."""
        if self.calls is None:
            return self.factors.pop(0)
        self.calls.append((layer, values.shape[self.n_lead :]))
        return torch.ones_like(values)


class GivenDropout(nn.Module):
    """Stands for a Dropout layer: multiplies by factors that are drawn outside."""

    def __init__(self, layer, feed):
        super().__init__()
        self.layer = layer
        self.feed = feed

    def forward(self, values):
        """Return values times the factors of this call."""
        if not self.training or self.layer.p == 0:
            return values
        return values * self.feed.take(self.layer, values)


class _StackedLayer(nn.Module):
    """Stands for a layer: K of them, with the weights that are handed in."""

    def __init__(self, name, layer, feed):
        super().__init__()
        self.name = name
        self.shape = getattr(layer, "normalized_shape", None)
        self.eps = getattr(layer, "eps", None)
        self.feed = feed

    def weight(self, name="weight"):
        """Return a weight of the K layers, (K, ...); None where they have none."""
        return self.feed.weights.get(f"{self.name}.{name}")


class _StackedLinear(_StackedLayer):
    def forward(self, values):
        """Map values (K, ..., in) to (K, ..., out)."""
        samples, bias = values.flatten(1, -2), self.weight("bias")  # (K, n, in)
        weight = self.weight().mT
        if bias is None:
            mapped = torch.bmm(samples, weight)
        else:
            mapped = torch.baddbmm(bias.unsqueeze(1), samples, weight)
        return mapped.unflatten(1, values.shape[1:-1])


class _StackedLayerNorm(_StackedLayer):
    def forward(self, values):
        """Normalise values (K, ..., dim)."""
        normed = F.layer_norm(values, self.shape, eps=self.eps)
        lead = (len(values), *[1] * (values.ndim - 2), -1)
        return torch.addcmul(self.weight("bias").view(lead), normed, self.weight().view(lead))


class _StackedBilinear(_StackedLayer):
    def forward(self, u, z):
        """Map (K, B, in1) and (K, B, in2) to (K, B, out)."""
        weight = self.weight()
        weighted = torch.bmm(z, weight.flatten(1, 2).mT)  # (K, B, out * in1)
        weighted = weighted.unflatten(2, weight.shape[1:3])
        return (weighted * u.unsqueeze(2)).sum(dim=3) + self.weight("bias").unsqueeze(1)


_STACKED = {
    nn.Linear: _StackedLinear,
    nn.LayerNorm: _StackedLayerNorm,
    nn.Bilinear: _StackedBilinear,
}


def stack_layers(module, feed, prefix=""):
    """Let a module's layers with weights be K layers each, in place; return the module."""
    for name, child in module.named_children():
        kind = next((kind for kind in _STACKED if isinstance(child, kind)), None)
        if kind is not None:
            setattr(module, name, _STACKED[kind](f"{prefix}{name}", child, feed))
        else:
            stack_layers(child, feed, f"{prefix}{name}.")
    return module


def feed_dropout(module, feed):
    """Let a module's Dropout layers take factors from a feed, in place; return the module."""
    for name, child in module.named_children():
        if isinstance(child, nn.Dropout):
            setattr(module, name, GivenDropout(child, feed))
        else:
            feed_dropout(child, feed)
    return module
