"""CurveNet, the published encoder of single frames."""

from collections.abc import Callable
from functools import cache
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from smilefusion.nn.published._neighbourhoods import (
    EdgeMean,
    EdgeTable,
    Moments,
    Neighbourhoods,
    frame_slices,
    leaky,
)

_BY_DIFFERENCES = "donot_use_mm_for_euclid_dist"  # of torch.cdist


def _take(features: Tensor, index: Tensor) -> Tensor:
    """Return the points (F, M, C) of features (F, N, C) at index (F, M)."""
    first = torch.arange(len(features), device=index.device).unsqueeze(1) * features.shape[1]
    taken = features.flatten(0, 1).index_select(0, (index + first).flatten())
    return taken.view(*index.shape, -1)


def _products_with(vectors: Tensor, features: Tensor, near: Tensor) -> Tensor:
    """Return the products (F, M, k) of vectors (F, M, C) with their near features (F, N, C)."""
    return (vectors @ features.transpose(1, 2)).gather(2, near)


class HardChoice(torch.autograd.Function):
    """Choose the point with the highest score; use the gradient of the softmax-weighted mean."""

    @staticmethod
    def forward(ctx: Any, features: Tensor, scores: Tensor, near: Tensor) -> tuple[Tensor, Tensor]:
        """Return the chosen features (F, M, C) of features (F, N, C), and their indices (F, M)."""
        weights = scores.softmax(dim=2)
        choice = near.gather(2, weights.argmax(dim=2, keepdim=True)).squeeze(2)
        ctx.save_for_backward(features, weights, near, choice)
        ctx.mark_non_differentiable(choice)
        return _take(features, choice), choice

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, to_chosen: Tensor, _: Any) -> tuple[Tensor, Tensor, None]:
        """Return the gradients of features and scores."""
        features, weights, near, choice = ctx.saved_tensors
        index = choice.unsqueeze(2).expand_as(to_chosen)
        to_features = torch.zeros_like(features).scatter_add_(1, index, to_chosen)
        to_weights = _products_with(to_chosen, features, near)
        to_weights -= (weights * to_weights).sum(dim=2, keepdim=True)
        return to_features, weights * to_weights, None


@torch.no_grad()
def crossover_suppression(
    features: Tensor, near: Tensor, current: Tensor, descriptor: Tensor
) -> Tensor:
    """Return 1 + cosine of the turns of curves (F, M, k) in [0, 1], to avoid crossings."""
    come = current - descriptor
    product = _products_with(come, features, near) - (come * current).sum(dim=2, keepdim=True)
    ahead = torch.empty_like(product)
    for part in frame_slices(len(near), near[0].numel() * features.shape[2], features.device):
        points = _take(features[part], near[part].flatten(1)).view(*near[part].shape, -1)
        # Computed by differences, because products lose digits if points are similar.
        distances = torch.cdist(current[part].unsqueeze(2), points, compute_mode=_BY_DIFFERENCES)
        ahead[part] = distances.squeeze(2)
    norms = come.norm(dim=2, keepdim=True) * ahead
    return (1 + product / norms.clamp_(min=1e-8)).clamp_(0, 1)


class NormalisedLinear(nn.Module):
    """A linear map without bias and BatchNorm, computed as one affine map."""

    def __init__(self, n_in: int, n_out: int):
        super().__init__()
        self.linear = nn.Linear(n_in, n_out, bias=False)
        self.norm = nn.BatchNorm1d(n_out)

    def fold(
        self, weight: Tensor, moments: Callable[[], tuple[Tensor, Tensor]], n_rows: int
    ) -> tuple[Tensor, Tensor]:
        """Return weight (n_out, C) and bias (n_out,) of the affine map."""
        norm = self.norm
        mean, variance = norm.running_mean, norm.running_var
        if self.training:
            mean, covariance = moments()
            mean, variance = weight @ mean, (weight @ covariance * weight).sum(dim=1)
            with torch.no_grad():
                norm.num_batches_tracked += 1
                norm.running_mean.lerp_(mean, norm.momentum)
                norm.running_var.lerp_(variance * n_rows / (n_rows - 1), norm.momentum)
        scale = norm.weight * torch.rsqrt(variance + norm.eps)
        return weight * scale.unsqueeze(1), norm.bias - scale * mean

    def forward(
        self,
        features: Tensor,
        moments: Callable[[], tuple[Tensor, Tensor]] | None = None,
        add_to: Tensor | None = None,
    ) -> Tensor:
        """Map features (F, N, n_in), with optional moments, to features (F, N, n_out)."""
        rows = features.flatten(0, 1)
        moments = moments or (lambda: Moments.apply(rows))
        weight, bias = self.fold(self.linear.weight, moments, len(rows))
        if add_to is None:
            return F.linear(features, weight, bias)
        return torch.addmm(add_to.flatten(0, 1) + bias, rows, weight.T).view_as(add_to)


class PositionMap(NormalisedLinear):
    """NormalisedLinear of the vectors [p; q; q - p] of all edges, as a sum of a p and a q part."""

    def __init__(self, n_dims: int, n_out: int):
        super().__init__(3 * n_dims, n_out)

    def forward(self, neighbourhoods: Neighbourhoods) -> tuple[Tensor, Tensor]:
        """Return the parts of q and of p, (R, n_out) each, that add up to the map of an edge."""
        of_start, of_end, of_way = self.linear.weight.chunk(3, dim=1)
        weight, bias = self.fold(
            torch.cat([of_start - of_way, of_end + of_way], dim=1),
            lambda: neighbourhoods.pair_moments,
            neighbourhoods.rows.numel(),
        )
        of_start, of_end = weight.chunk(2, dim=1)
        points = neighbourhoods.points
        return F.linear(points, of_end), F.linear(points, of_start, bias)


class PointLift(nn.Module):
    """First layer: LeakyReLU of the position map's maximum over a point's edges."""

    def __init__(self, n_dims: int, n_out: int):
        super().__init__()
        self.position = PositionMap(n_dims, n_out)

    def forward(self, neighbourhoods: Neighbourhoods) -> Tensor:
        """Return features (F, N, n_out)."""
        ends, starts = self.position(neighbourhoods)
        features = leaky(ends.gather(0, neighbourhoods.highest(ends)) + starts)
        return features.view(*neighbourhoods.around.shape[:2], -1)


class LocalAggregation(nn.Module):
    """Mean, over the edges of a point, of features combined with the edge's position."""

    def __init__(self, n_dims: int, n_channels: int):
        super().__init__()
        self.position = PositionMap(n_dims, n_channels)
        self.mix = NormalisedLinear(n_channels, n_channels)

    def forward(self, features: Tensor, neighbourhoods: Neighbourhoods) -> Tensor:
        """Map features (F, N, C) to features (F, N, C)."""
        ends, starts = self.position(neighbourhoods)
        ends, starts = ends + features.flatten(0, 1), starts - features.flatten(0, 1)
        rows = EdgeTable.apply(ends, starts, neighbourhoods)
        weight, bias = self.mix.fold(
            self.mix.linear.weight, lambda: Moments.apply(rows), len(rows)
        )
        return EdgeMean.apply(rows, weight, bias, neighbourhoods).view_as(features)


class Walk(nn.Module):
    """Curves that walk from each point to the neighbour with the highest score."""

    def __init__(self, n_channels: int, n_curves: int, curve_length: int):
        super().__init__()
        self.n_curves, self.curve_length = n_curves, curve_length
        self.start = nn.Linear(n_channels, 1, bias=False)
        self.agent = nn.Linear(2 * n_channels, 1, bias=False)
        self.agent_norm = nn.BatchNorm1d(1)
        self.momentum = nn.Linear(2 * n_channels, 2, bias=False)
        self.momentum_norm = nn.BatchNorm1d(2)

    def forward(self, features: Tensor, around: Tensor) -> Tensor:
        """Return curves (F, n_curves, curve_length, C) of features (F, N, C)."""
        attention = self.start(features).sigmoid()
        features = features * attention
        point = attention.detach().squeeze(2).topk(self.n_curves, sorted=False).indices
        of_candidate, of_descriptor = self.agent.weight.chunk(2, dim=1)
        appeal = (features @ of_candidate.T).squeeze(2)  # (F, N)
        feature = descriptor = _take(features, point)  # (F, n_curves, C)
        curve = []
        for step in range(self.curve_length):
            if step:
                descriptor = self._update(feature, descriptor)
            near = _take(around, point)  # (F, n_curves, k)
            score = appeal.gather(1, near.flatten(1)).view_as(near) + descriptor @ of_descriptor.T
            score = self.agent_norm(score.flatten(1).unsqueeze(1)).view_as(near)
            if step:
                score = score * crossover_suppression(features, near, feature, descriptor)
            feature, point = HardChoice.apply(features, score, near)
            curve.append(feature)
        return torch.stack(curve, dim=2)

    def _update(self, feature: Tensor, descriptor: Tensor) -> Tensor:
        """Return the descriptors (F, n_curves, C), updated by the last features."""
        both = torch.stack([feature, descriptor], dim=2)  # (F, n_curves, 2, C)
        logits = self.momentum(both.flatten(2)).transpose(1, 2)  # (F, 2, n_curves)
        # The published code reads its weights, (2, n_curves) in memory, as (n_curves, 2), so each
        # curve gets the weights of other curves. Published weights depend on this.
        weights = self.momentum_norm(logits).softmax(dim=1).reshape(-1, self.n_curves, 1, 2)
        return (weights @ both).squeeze(2)


class CurveAggregation(nn.Module):
    """Attention of each point over the frame's curves, and over the positions along them."""

    def __init__(self, n_channels: int):
        super().__init__()
        middle = n_channels // 2
        self.logit = nn.Linear(n_channels, 1, bias=False)
        self.query = nn.Linear(n_channels, middle, bias=False)
        self.curve_key = nn.Linear(n_channels, middle, bias=False)
        self.curve_value = nn.Linear(middle, middle, bias=False)
        self.position_key = nn.Linear(n_channels, middle, bias=False)
        self.position_value = nn.Linear(middle, middle, bias=False)
        self.merge = NormalisedLinear(2 * middle, n_channels)

    def forward(self, features: Tensor, curves: Tensor) -> Tensor:
        """Map features (F, N, C) by curves (F, n_curves, curve_length, C)."""
        logits, query = self.logit(curves), self.query(features)
        curve = self.curve_key((curves * logits.softmax(dim=2)).sum(dim=2))
        position = self.position_key((curves * logits.softmax(dim=1)).sum(dim=1))
        attended = [
            (query @ curve.transpose(1, 2)).softmax(dim=2) @ self.curve_value(curve),
            (query @ position.transpose(1, 2)).softmax(dim=2) @ self.position_value(position),
        ]
        return leaky(self.merge(torch.cat(attended, dim=2)) + features)


class CurveBlock(nn.Module):
    """Residual block ("CIC"): reduce channels, use curves and neighbours, expand channels."""

    def __init__(
        self, n_dims: int, n_in: int, n_out: int, ratio: int, n_curves: int, curve_length: int
    ):
        super().__init__()
        n_channels = n_in // ratio
        self.reduce = NormalisedLinear(n_in, n_channels)
        self.walk = Walk(n_channels, n_curves, curve_length)
        self.aggregation = CurveAggregation(n_channels)
        self.local = LocalAggregation(n_dims, n_channels)
        self.expand = NormalisedLinear(n_channels, n_out)
        self.shortcut = NormalisedLinear(n_in, n_out) if n_in != n_out else None

    def forward(self, features: Tensor, neighbourhoods: Neighbourhoods) -> Tensor:
        """Map features (F, N, n_in) to features (F, N, n_out)."""
        moments = cache(lambda: Moments.apply(features.flatten(0, 1)))
        reduced = leaky(self.reduce(features, moments))  # (F, N, C)
        reduced = self.aggregation(reduced, self.walk(reduced, neighbourhoods.around))
        reduced = self.local(reduced, neighbourhoods)
        shortcut = features if self.shortcut is None else self.shortcut(features, moments)
        return leaky(self.expand(reduced, add_to=shortcut))


class CurveNet(nn.Module):
    """Encode the points of single frames by neighbourhoods and by curves along the surface."""

    def __init__(
        self,
        n_dims: int = 3,
        k: int = 20,
        n_curves: int = 100,
        curve_length: int = 5,
        channels: tuple[int, ...] = (32, 32, 64, 128, 256),
        ratios: tuple[int, ...] = (2, 4, 2, 4),
    ):
        super().__init__()
        self.k = k
        self.lift = PointLift(n_dims, channels[0])
        self.blocks = nn.ModuleList(
            CurveBlock(n_dims, n_in, n_out, ratio, n_curves, curve_length)
            for n_in, n_out, ratio in zip(channels[:-1], channels[1:], ratios, strict=True)
        )
        self.output = nn.Linear(channels[-1], channels[-1], bias=False)
        self.output_norm = nn.BatchNorm1d(channels[-1])

    def forward(self, points: Tensor) -> Tensor:
        """Encode points (n_frames, n_points, n_dims)."""
        neighbourhoods = Neighbourhoods(points, self.k)
        features = self.lift(neighbourhoods)
        for block in self.blocks:
            features = block(features, neighbourhoods)
        rows = self.output_norm(self.output(features).flatten(0, 1))
        return F.relu_(rows).view(features.shape).transpose(1, 2)
