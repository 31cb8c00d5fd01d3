"""Networks of one form, computed together: their weights stacked, one pass for all of them."""

from copy import deepcopy

import torch
from torch import nn
from torch.func import functional_call, vmap

from smilefusion.nn._dropout import Dropout, count_draws, draw_bits, dropout_factors


class _Feed:
    """The factors of a pass, one tensor for each call of a Dropout layer, in order."""

    def __init__(self):
        self.factors = []
        self.calls = None  # a list while calls are noted instead

    def take(self, layer, values):
        """Return the factors of the next call; note the call instead where calls are noted."""
        if self.calls is None:
            return self.factors.pop(0)
        self.calls.append((layer, values.shape[1:]))
        return torch.ones_like(values)


class _GivenDropout(nn.Module):
    """Stands for a Dropout layer: multiplies by factors that are drawn outside."""

    def __init__(self, layer, feed):
        super().__init__()
        self.layer = layer
        self.feed = feed

    def forward(self, values):
        """Return values (B, ...) times the factors of this call."""
        if not self.training or self.layer.p == 0:
            return values
        return values * self.feed.take(self.layer, values)


def _draw_factors(layer, shape, counts, generators, dtype):
    """Draw the factors (K, B, *shape) of a call, row by row what each network alone would draw.

    Only the first `counts` rows of each network are drawn.
    """
    size, n_rows = shape.numel(), max(counts)
    drawing = list(zip(counts, generators, strict=True))
    if not isinstance(layer, Dropout):  # torch's own
        factors = torch.empty(len(counts), n_rows * size, dtype=dtype)
        for row, (n, generator) in zip(factors, drawing, strict=True):
            row[: n * size].bernoulli_(1 - layer.p, generator=generator)
        factors.div_(1 - layer.p)
    else:
        bits = torch.empty(len(counts), count_draws(n_rows * size), dtype=torch.int64)
        for row, (n, generator) in zip(bits, drawing, strict=True):
            draw_bits(row[: count_draws(n * size)], generator)
        factors = dropout_factors(bits, layer.p, dtype)[:, : n_rows * size]
    return factors.reshape(len(counts), n_rows, *shape)


class NetworkStack:
    """K networks of one form.

    Parameters
    ----------
    modules : list of torch.nn.Module
        The networks; their weights are copied.
    generators : list of torch.Generator
        The random numbers of each.
    criterion : torch.nn.Module
        The loss of outputs (B, n_outputs) and target (B, 3).
    device : str
        Where to compute.
    """

    def __init__(self, modules, generators, criterion, device):
        self.device = device
        self.generators = list(generators)
        self.criterion = deepcopy(criterion).to(device)
        states = [module.state_dict() for module in modules]
        names = [name for name, _ in modules[0].named_parameters()]
        if set(names) != set(states[0]):
            raise ValueError("it has buffers, which a stack cannot hold")
        self.weights = {
            name: torch.stack([state[name] for state in states]).to(device) for name in names
        }
        self._feed = _Feed()
        self._skeleton = _replace_dropout(deepcopy(modules[0]), self._feed).to(device)
        self._calls = None

    def __len__(self):
        return len(self.generators)

    def losses(self, inputs, target, counts, *, training):
        """Return the loss of each network, (K,).

        Parameters
        ----------
        inputs : dict of str to tensor of shape (K, B, ...)
            A batch of each network.
        target : tensor of shape (K, B, 3)
            Class index, weight and number of each sample.
        counts : list of int
            Number of samples of each batch; what follows them has no weight.
        training : bool
            Whether Dropout layers drop.
        """
        self._skeleton.train(training)
        factors = self._draw(inputs, counts) if training else []
        return vmap(self._loss)(self.weights, inputs, target, factors)

    def gradients(self, inputs, target, counts):
        """Return the training loss of each network (K,) and its gradient, by name."""
        for weight in self.weights.values():
            weight.requires_grad_(True)
        losses = self.losses(inputs, target, counts, training=True)
        gradients = torch.autograd.grad(losses.sum(), list(self.weights.values()))
        for weight in self.weights.values():
            weight.requires_grad_(False)
        gradients = [each.contiguous() for each in gradients]  # as fused optimisers need them
        return losses.detach(), dict(zip(self.weights, gradients, strict=True))

    def state(self, k):
        """Return the weights of one network, on the CPU."""
        return {name: weight[k].cpu().clone() for name, weight in self.weights.items()}

    def keep(self, kept):
        """Go on with some of the networks."""
        self.generators = [self.generators[k] for k in kept]
        self.weights = {name: weight[kept] for name, weight in self.weights.items()}

    def _loss(self, weights, inputs, target, factors):
        """Return the loss of one network."""
        self._feed.factors = list(factors)
        return self.criterion(functional_call(self._skeleton, weights, (), inputs), target)

    def _draw(self, inputs, counts):
        """Draw the factors of all Dropout layers of a pass."""
        if self._calls is None:
            self._calls = self._note_calls(inputs)
        dtype = next(iter(self.weights.values())).dtype
        return [
            _draw_factors(layer, shape, counts, self.generators, dtype).to(self.device)
            for layer, shape in self._calls
        ]

    def _note_calls(self, inputs):
        """Return layer and shape of a row of each call of a Dropout layer in a pass."""
        self._feed.calls = []
        with torch.no_grad():
            self._skeleton(**{name: values[0] for name, values in inputs.items()})
        calls, self._feed.calls = self._feed.calls, None
        return calls


def _replace_dropout(module, feed):
    """Let Dropout layers take their factors from a feed; return the module."""
    for name, child in module.named_children():
        if isinstance(child, nn.Dropout):
            setattr(module, name, _GivenDropout(child, feed))
        else:
            _replace_dropout(child, feed)
    return module
