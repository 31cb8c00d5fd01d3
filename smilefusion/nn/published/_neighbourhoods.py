"""Neighbourhoods of points, and layers over their edges.

The points of all frames are the rows of one table (n_frames * n_points, n_channels). An edge leads
from a point to one of its k neighbours. Each layer keeps one table of all edges (n_edges,
n_channels) for the backward pass and computes on a few frames at a time, which fit in the cache.
"""

from collections.abc import Iterable
from functools import cached_property
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

SLOPE = 0.2  # of every LeakyReLU
# Numbers in the part of a table that is computed at once: a few megabytes for the cache of a CPU,
# a quarter of a gigabyte to fill a GPU.
CPU_TABLE, GPU_TABLE = 700_000, 2**26


def leaky(rows: Tensor) -> Tensor:
    """Apply LeakyReLU in place."""
    return F.leaky_relu_(rows, SLOPE)


def _leaky_gradient(gradient: Tensor, output: Tensor, out: Tensor) -> None:
    """Write the input gradient of LeakyReLU, given its output gradient and its output."""
    torch.ops.aten.leaky_relu_backward.grad_input(gradient, output, SLOPE, True, grad_input=out)


def frame_slices(n_frames: int, numbers_per_frame: int, device: torch.device) -> list[slice]:
    """Return slices of frames that are small enough to compute at once."""
    size = max(1, (CPU_TABLE if device.type == "cpu" else GPU_TABLE) // numbers_per_frame)
    return [slice(start, min(start + size, n_frames)) for start in range(0, n_frames, size)]


def _moments(tables: Iterable[Tensor], n_rows: int) -> tuple[Tensor, Tensor]:
    """Return the mean (C,) and the covariance (C, C) of the rows of tables (r, C)."""
    for index, table in enumerate(tables):
        if index == 0:
            centre, total, product = table.mean(dim=0), 0, 0
        table = table - centre
        total = total + table.sum(dim=0)
        product = product + table.T @ table
    offset = total / n_rows
    return centre + offset, product / n_rows - torch.outer(offset, offset)


class Neighbourhoods:
    """The k + 1 nearest points of each point, including itself, nearest first."""

    def __init__(self, points: Tensor, k: int):
        n_frames, n_points, _ = points.shape
        self.k, self.points = k, points.flatten(0, 1)
        with torch.no_grad():
            parts = frame_slices(n_frames, n_points**2, points.device)
            nearest = torch.cat([self._nearest(points[part]) for part in parts])
        first_row = torch.arange(n_frames, device=points.device) * n_points
        self.around = nearest[..., 1:]  # (F, N, k), without the point itself
        self.rows = (nearest[..., :k] + first_row.view(-1, 1, 1)).flatten(0, 1)  # (F * N, k)
        # The parts fit tables of 32 channels; all layers share them.
        parts = frame_slices(n_frames, n_points * k * 32, points.device)
        self.parts = [slice(part.start * n_points, part.stop * n_points) for part in parts]
        self.ends = [self.rows[part].T.flatten() for part in self.parts]

    def _nearest(self, points: Tensor) -> Tensor:
        """Return the indices (f, N, k + 1) of the nearest points of points (f, N, D)."""
        squares = points.square().sum(dim=-1, keepdim=True)
        closeness = torch.baddbmm(-squares, points, points.transpose(1, 2), alpha=2)
        return closeness.sub_(squares.transpose(1, 2)).topk(self.k + 1, dim=-1).indices

    @cached_property
    def incoming(self) -> list[tuple[Tensor, Tensor]]:
        """The edges of each part, sorted by their end point, and the first edge of each point."""
        ends, edges = self.rows.flatten().int().sort(stable=True)
        points = torch.arange(len(self.rows), dtype=torch.int, device=ends.device)
        first, starts = torch.searchsorted(ends, points), edges // self.k
        number = edges - starts * self.k
        incoming = []
        for part in self.parts:
            inside = slice(part.start * self.k, part.stop * self.k)
            n_points = part.stop - part.start
            order = torch.add(starts[inside] - part.start, number[inside], alpha=n_points)
            incoming.append((order, first[part] - inside.start))
        return incoming

    @cached_property
    def pair_moments(self) -> tuple[Tensor, Tensor]:
        """Mean (2 D,) and covariance (2 D, 2 D) of the pairs [p; q] of all edges."""
        n_edges, mean = self.rows.numel(), self.points.mean(dim=0)
        points = self.points - mean
        n_incoming = self.rows.flatten().bincount(minlength=len(points)).to(points.dtype)
        offset = n_incoming @ points / n_edges  # of the mean of q
        own = points.T @ points / len(points)
        cross = points.T @ F.embedding_bag(self.rows, points, mode="sum") / n_edges
        ends = (points.T * n_incoming) @ points / n_edges - torch.outer(offset, offset)
        covariance = torch.cat([torch.cat([own, cross], dim=1), torch.cat([cross.T, ends], dim=1)])
        return torch.cat([mean, mean + offset]), covariance

    def split(self, rows: Tensor) -> list[Tensor]:
        """Return the tables (k, P, C) of the parts' P points in a table of edges (n_edges, C)."""
        sizes = [self.k * (part.stop - part.start) for part in self.parts]
        return [table.view(self.k, -1, rows.shape[1]) for table in rows.split(sizes)]

    @torch.no_grad()
    def highest(self, ends: Tensor) -> Tensor:
        """Return the row of the neighbour with the highest value in each channel, (R, C)."""
        highest = []
        for part in self.parts:
            rows = self.rows[part].flatten()
            # Max-pooling an image of height P and width k finds the position faster than max.
            image = ends.index_select(0, rows).view(1, -1, self.k, ends.shape[1])
            place = F.max_pool2d(image.permute(0, 3, 1, 2), (1, self.k), return_indices=True)[1]
            highest.append(rows[place[0, :, :, 0].T])
        return torch.cat(highest)

    def scatter(self, gradient: Tensor, number: int, to_ends: Tensor, to_starts: Tensor) -> None:
        """Write the sums of edge gradients (k, P, C) over the edges to and from each point."""
        order, first = self.incoming[number]
        points = self.parts[number]
        to_ends[points] = F.embedding_bag(order, gradient.flatten(0, 1), first, mode="sum")
        torch.sum(gradient, dim=0, out=to_starts[points])


class Moments(torch.autograd.Function):
    """Mean and covariance of rows."""

    @staticmethod
    def forward(ctx: Any, rows: Tensor) -> tuple[Tensor, Tensor]:
        """Return the mean (C,) and the covariance (C, C) of rows (R, C)."""
        parts = frame_slices(len(rows), rows.shape[1], rows.device)
        mean, covariance = _moments((rows[part] for part in parts), len(rows))
        ctx.save_for_backward(rows, mean)
        return mean, covariance

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, to_mean: Tensor, to_covariance: Tensor) -> Tensor:
        """Return the gradient of rows."""
        rows, mean = ctx.saved_tensors
        slope = (to_covariance + to_covariance.T) / len(rows)
        return (rows @ slope).add_(to_mean / len(rows) - slope @ mean)


class EdgeTable(torch.autograd.Function):
    """LeakyReLU(ends[q] + starts[p]) of all edges, part by part."""

    @staticmethod
    def forward(ctx: Any, ends: Tensor, starts: Tensor, neighbourhoods: Neighbourhoods) -> Tensor:
        """Return the table (n_edges, C) of ends and starts (R, C)."""
        rows = ends.new_empty(neighbourhoods.rows.numel(), ends.shape[1])
        for number, table in enumerate(neighbourhoods.split(rows)):
            index = neighbourhoods.ends[number]
            torch.index_select(ends, 0, index, out=table.flatten(0, 1))
            leaky(table.add_(starts[neighbourhoods.parts[number]]))
        ctx.neighbourhoods = neighbourhoods
        ctx.save_for_backward(rows)
        return rows

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, to_rows: Tensor) -> tuple[Tensor, Tensor, None]:
        """Return the gradients of ends and starts."""
        neighbourhoods = ctx.neighbourhoods
        (rows,) = ctx.saved_tensors
        shape = (len(neighbourhoods.rows), rows.shape[1])
        to_ends, to_starts = rows.new_empty(shape), rows.new_empty(shape)
        tables = zip(neighbourhoods.split(rows), neighbourhoods.split(to_rows), strict=True)
        for number, (table, gradient) in enumerate(tables):
            gradient = torch.ops.aten.leaky_relu_backward(gradient, table, SLOPE, True)
            neighbourhoods.scatter(gradient, number, to_ends, to_starts)
        return to_ends, to_starts, None


class EdgeMean(torch.autograd.Function):
    """Mean over a point's edges of LeakyReLU(weight · row + bias)."""

    @staticmethod
    def forward(
        ctx: Any, rows: Tensor, weight: Tensor, bias: Tensor, neighbourhoods: Neighbourhoods
    ) -> Tensor:
        """Return the means (R, C) of a table of edges (n_edges, C)."""
        means = rows.new_empty(len(neighbourhoods.rows), len(weight))
        for part, table in zip(neighbourhoods.parts, neighbourhoods.split(rows), strict=True):
            output = leaky((table @ weight.T).add_(bias))
            torch.mean(output, dim=0, out=means[part])
        ctx.neighbourhoods = neighbourhoods
        ctx.save_for_backward(rows, weight, bias)
        return means

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, to_means: Tensor) -> tuple[Tensor, Tensor, Tensor, None]:
        """Return the gradients of rows, weight and bias."""
        rows, weight, bias = ctx.saved_tensors
        neighbourhoods = ctx.neighbourhoods
        to_means = to_means / neighbourhoods.k
        to_rows = torch.empty_like(rows)
        to_weight, to_bias = torch.zeros_like(weight), torch.zeros_like(bias)
        tables = zip(neighbourhoods.split(rows), neighbourhoods.split(to_rows), strict=True)
        for part, (table, gradient) in zip(neighbourhoods.parts, tables, strict=True):
            output = (table @ weight.T).add_(bias)
            to_output = to_means[part].expand_as(output)
            _leaky_gradient(to_output, output, out=output)
            to_weight.addmm_(output.flatten(0, 1).T, table.flatten(0, 1))
            to_bias += output.sum(dim=(0, 1))
            torch.matmul(output, weight, out=gradient)
        return to_rows, to_weight, to_bias, None
