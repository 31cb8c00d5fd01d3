"""Networks of one form, computed together: their weights stacked, one pass for all of them."""

from copy import deepcopy

import torch
from torch.func import functional_call, vmap

from smilefusion.estimators._cuda_graphs import GraphedFunction
from smilefusion.estimators._stacked_layers import Feed, feed_dropout, stack_layers
from smilefusion.nn._dropout import count_draws, draw_bits, dropout_factors


def _draw_factors(layer, shape, counts, generators, dtype):
    """Draw the factors (K, B, *shape) of a call, row by row what each network alone would draw.

    Only the first `counts` rows of each network are drawn.
    """
    size, n_rows = shape.numel(), max(counts)
    bits = torch.empty(len(counts), count_draws(n_rows * size), dtype=torch.int64)
    for row, n, generator in zip(bits, counts, generators, strict=True):
        draw_bits(row[: count_draws(n * size)], generator)
    factors = dropout_factors(bits, layer.p, dtype)[:, : n_rows * size]
    return factors.reshape(len(counts), n_rows, *shape)


def lay_out(tensor, strides):
    """Return a tensor whose elements lie in memory as strides say, itself where they do."""
    if tensor.stride() == strides:
        return tensor
    like = {"dtype": tensor.dtype, "device": tensor.device}
    return torch.empty_strided(tensor.shape, strides, **like).copy_(tensor)


def select(tensor, kept):
    """Return some networks' parts of a tensor (K, ...), in its layout."""
    return lay_out(tensor[kept], tensor.stride())


def _is_stack(tensor):
    """Whether the K parts of a tensor (K, ...) lie one after another in memory, without gaps."""
    expected = 1
    for stride, size in sorted(zip(tensor.stride()[1:], tensor.shape[1:], strict=True)):
        if size > 1 and stride != expected:
            return False
        expected *= size
    return tensor.stride(0) == expected


class NetworkStack:
    """K networks of one form.

    Parameters
    ----------
    modules : list of TwoStreamNetwork
        The networks, of one of our strategies; their weights are copied.
    input_names : list of str
        Names of their inputs.
    generators : list of torch.Generator
        The random numbers of each.
    criterion : torch.nn.Module
        The loss of outputs (B, n_outputs) and target (B, 3).
    device : str
        Where to compute.
    layers : bool, default=False
        Whether each layer is replaced by one of K networks, which costs the CPU less than
        `vmap`; to a GPU, which replays graphs, both are the same.
    """

    def __init__(self, modules, input_names, generators, criterion, device, *, layers=False):
        self.device = device
        self.generators = list(generators)
        self.criterion = deepcopy(criterion).to(device)
        states = [module.state_dict() for module in modules]
        names = [name for name, _ in modules[0].named_parameters()]
        self.weights = {
            name: torch.stack([state[name] for state in states]).to(device) for name in names
        }
        self._layers = layers
        self._feed = Feed(n_lead=2 if layers else 1)
        self._skeleton = feed_dropout(deepcopy(modules[0]), self._feed).to(device)
        if layers:
            stack_layers(self._skeleton, self._feed)
        self._calls = []
        self._names = input_names
        self._set_differentiation()

    def fit_layout(self, inputs, target):
        """Give each weight the memory layout of its gradient, so that no step copies either.

        Parameters
        ----------
        inputs : dict of str to tensor of shape (K, B, ...)
            Any batch of each network.
        target : tensor of shape (K, B, 3)
            Class index, weight and number of each sample.
        """
        self._skeleton.train()
        size = {"dtype": target.dtype, "device": self.device}
        calls = self._calls = self._note_calls(inputs)
        factors = [torch.ones(*target.shape[:2], *shape, **size) for _, shape in calls]
        _, gradients = self._differentiate_losses(inputs, target, factors)
        for (name, weight), gradient in zip(self.weights.items(), gradients, strict=True):
            if _is_stack(gradient):
                self.weights[name] = lay_out(weight, gradient.stride())

    def _set_differentiation(self):
        """Choose how losses and gradients are computed: on a GPU as a graph."""
        is_gpu = torch.device(self.device).type == "cuda"
        function = self._losses_and_gradients
        self._differentiate = GraphedFunction(function) if is_gpu else function

    def losses(self, inputs, target):
        """Return the loss of each network (K,) in a batch of each, as `fit_layout` takes it."""
        self._skeleton.eval()
        with torch.no_grad():
            return self._losses(inputs, target, [])

    def gradients(self, inputs, target, counts):
        """Return the training loss of each network (K,) and its gradient, by name.

        The first `counts` samples of each batch count; what follows them has no weight. On a GPU
        the next call overwrites the gradients.
        """
        self._skeleton.train()
        factors = self._draw(counts)
        losses, *gradients = self._differentiate(*inputs.values(), target, *factors)
        return losses.clone(), dict(zip(self.weights, gradients, strict=True))

    def _losses(self, inputs, target, factors):
        """Return the loss of each network for drawn factors."""
        if self._layers:
            self._feed.weights, self._feed.factors = self.weights, list(factors)
            return self.criterion(self._skeleton(**inputs), target)
        return vmap(self._loss)(self.weights, inputs, target, factors)

    def _losses_and_gradients(self, *tensors):
        """Return losses and gradients for inputs, target and factors, one after another."""
        n_inputs = len(self._names)
        inputs = dict(zip(self._names, tensors[:n_inputs], strict=True))
        target, *factors = tensors[n_inputs:]
        losses, gradients = self._differentiate_losses(inputs, target, factors)
        # Fused optimisers go through weight and gradient as they lie in memory.
        layouts = [weight.stride() for weight in self.weights.values()]
        return losses, *map(lay_out, gradients, layouts)

    def _differentiate_losses(self, inputs, target, factors):
        """Return losses and gradients, in whatever layout these come."""
        weights = list(self.weights.values())
        for weight in weights:
            weight.requires_grad_(True)
        losses = self._losses(inputs, target, factors)
        gradients = torch.autograd.grad(losses.sum(), weights)
        for weight in weights:
            weight.requires_grad_(False)
        return losses.detach(), gradients

    def state(self, k):
        """Return the weights of one network, on the CPU."""
        return {name: weight[k].cpu().clone() for name, weight in self.weights.items()}

    def keep(self, kept):
        """Go on with some of the networks."""
        self.generators = [self.generators[k] for k in kept]
        self._set_differentiation()
        self.weights = {name: select(weight, kept) for name, weight in self.weights.items()}

    def _loss(self, weights, inputs, target, factors):
        """Return the loss of one network."""
        self._feed.factors = list(factors)
        outputs = functional_call(self._skeleton, weights, (), inputs, tie_weights=False)
        return self.criterion(outputs, target)

    def _draw(self, counts):
        """Draw the factors of all Dropout layers of a pass."""
        dtype = next(iter(self.weights.values())).dtype
        return [
            _draw_factors(layer, shape, counts, self.generators, dtype).to(self.device)
            for layer, shape in self._calls
        ]

    def _note_calls(self, inputs):
        """Return layer and shape of a row of each call of a Dropout layer in a pass."""
        self._feed.calls, self._feed.weights = [], self.weights
        if not self._layers:
            inputs = {name: values[0] for name, values in inputs.items()}
        with torch.no_grad():
            self._skeleton(**inputs)
        calls, self._feed.calls = self._feed.calls, None
        return calls
