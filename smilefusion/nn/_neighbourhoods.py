"""Neighbourhoods of points, whose edges are formed a few frames at a time.

Points of all frames are rows of one table, (n_frames * n_points, n_channels); an edge leads from a
point to one of its k neighbours. No table of all edges is ever held: edges are formed while they
fit the cache, and formed again in the backward pass.
"""

from functools import cached_property

import torch
import torch.nn.functional as F
from torch.autograd.function import once_differentiable

SLOPE = 0.2  # of every LeakyReLU
# Numbers in a table of edges that is worked on at once: a few megabytes for a CPU's cache, a
# quarter of a gigabyte to fill a GPU.
CPU_TABLE, GPU_TABLE = 700_000, 2**26


def leaky(rows):
    """Apply LeakyReLU in place."""
    return F.leaky_relu_(rows, SLOPE)


def _leaky_gradient(gradient, output, out):
    """Write the gradient at the input of LeakyReLU, from that at its output and the output."""
    torch.ops.aten.leaky_relu_backward.grad_input(gradient, output, SLOPE, True, grad_input=out)


def frame_slices(n_frames, numbers_per_frame, device):
    """Return slices of frames whose tables are as large as is worked on at once."""
    size = max(1, (CPU_TABLE if device.type == "cpu" else GPU_TABLE) // numbers_per_frame)
    return [slice(start, min(start + size, n_frames)) for start in range(0, n_frames, size)]


def _moments(tables, n_rows):
    """Return the mean (C,) and the covariance (C, C) of the rows of tables (r, C), consumed.

    They are taken about the mean of the first table, so that a mean that is large beside the
    deviations does not cost their digits.
    """
    for index, table in enumerate(tables):
        if index == 0:
            centre, total, product = table.mean(dim=0), 0, 0
        table -= centre
        total = total + table.sum(dim=0)
        product = product + table.T @ table
    offset = total / n_rows
    return centre + offset, product / n_rows - torch.outer(offset, offset)


class Neighbourhoods:
    """The k + 1 nearest points of each point, itself among them, nearest first.

    Distances are computed as the published code does, ``2 p·q - |p|² - |q|²``, so that rounding
    orders near ties alike.

    Parameters
    ----------
    points : tensor of shape (n_frames, n_points, n_dims)
        Points of each frame.
    k : int
        Number of neighbours.
    """

    def __init__(self, points, k):
        n_frames, n_points, _ = points.shape
        self.k, self.points = k, points.flatten(0, 1)
        with torch.no_grad():
            parts = frame_slices(n_frames, n_points**2, points.device)
            nearest = torch.cat([self._nearest(points[part]) for part in parts])
        first_row = torch.arange(n_frames, device=points.device) * n_points
        self.around = nearest[..., 1:]  # (F, N, k), without the point itself
        self.rows = (nearest[..., :k] + first_row.view(-1, 1, 1)).flatten(0, 1)  # (F * N, k)
        # Tables of 32 channels fit; all layers share these parts.
        parts = frame_slices(n_frames, n_points * k * 32, points.device)
        self.parts = [slice(part.start * n_points, part.stop * n_points) for part in parts]
        self.ends = [self.rows[part].T.flatten() for part in self.parts]

    def _nearest(self, points):
        """Return the indices (f, N, k + 1) of the nearest points of points (f, N, D)."""
        squares = points.square().sum(dim=-1, keepdim=True)
        closeness = torch.baddbmm(-squares, points, points.transpose(1, 2), alpha=2)
        return closeness.sub_(squares.transpose(1, 2)).topk(self.k + 1, dim=-1).indices

    @cached_property
    def incoming(self):
        """For each part, its edges sorted by the point they lead to, and each point's first."""
        ends, edges = self.rows.flatten().int().sort(stable=True)
        points = torch.arange(len(self.rows), dtype=torch.int, device=ends.device)
        first, starts = torch.searchsorted(ends, points), edges // self.k
        number = edges - starts * self.k
        incoming = []
        for part in self.parts:
            edges = slice(part.start * self.k, part.stop * self.k)
            n_points = part.stop - part.start
            order = torch.add(starts[edges] - part.start, number[edges], alpha=n_points)
            incoming.append((order, first[part] - edges.start))
        return incoming

    @cached_property
    def pair_moments(self):
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

    def tables(self, ends, starts, n_more=0):
        """Yield edges of a few frames at a time.

        Yields the number of the part, the table (k, P, C) of LeakyReLU(ends[q] + starts[p]) for
        the k edges of its P points, and `n_more` tables to write to. All tables are overwritten
        for the next frames, so that they stay in the cache.
        """
        space = ends.new_empty(1 + n_more, len(self.ends[0]) * ends.shape[1])
        for number, (points, rows) in enumerate(zip(self.parts, self.ends, strict=True)):
            tables = space[:, : len(rows) * ends.shape[1]]
            table, *more = tables.view(1 + n_more, self.k, -1, ends.shape[1])
            torch.index_select(ends, 0, rows, out=table.flatten(0, 1))
            yield number, leaky(table.add_(starts[points])), *more

    @torch.no_grad()
    def highest(self, ends):
        """Return the row of the neighbour with the highest value in each channel, (R, C)."""
        highest = []
        for part in self.parts:
            rows = self.rows[part].flatten()
            # Pooling an image, here P high and k wide, tells the place faster than max does.
            image = ends.index_select(0, rows).view(1, -1, self.k, ends.shape[1])
            place = F.max_pool2d(image.permute(0, 3, 1, 2), (1, self.k), return_indices=True)[1]
            highest.append(rows[place[0, :, :, 0].T])
        return torch.cat(highest)

    def scatter(self, gradient, number, to_ends, to_starts):
        """Write the sums of edges' gradients (k, P, C) over the points they lead to and from."""
        order, first = self.incoming[number]
        points = self.parts[number]
        to_ends[points] = F.embedding_bag(order, gradient.flatten(0, 1), first, mode="sum")
        torch.sum(gradient, dim=0, out=to_starts[points])


class Moments(torch.autograd.Function):
    """Mean and covariance of rows."""

    @staticmethod
    def forward(ctx, rows):
        """Return the mean (C,) and the covariance (C, C) of rows (R, C)."""
        parts = frame_slices(len(rows), rows.shape[1], rows.device)
        mean, covariance = _moments((rows[part].clone() for part in parts), len(rows))
        ctx.save_for_backward(rows, mean)
        return mean, covariance

    @staticmethod
    @once_differentiable
    def backward(ctx, to_mean, to_covariance):
        """Return the gradient of rows."""
        rows, mean = ctx.saved_tensors
        slope = (to_covariance + to_covariance.T) / len(rows)
        return torch.addmm(to_mean / len(rows) - slope @ mean, rows, slope)


class EdgeMoments(torch.autograd.Function):
    """Mean and covariance over all edges of LeakyReLU(ends[q] + starts[p])."""

    @staticmethod
    def forward(ctx, ends, starts, neighbourhoods):
        """Return the mean (C,) and the covariance (C, C) of edges of ends and starts (R, C)."""
        tables = (table.flatten(0, 1) for _, table in neighbourhoods.tables(ends, starts))
        mean, covariance = _moments(tables, neighbourhoods.rows.numel())
        ctx.neighbourhoods = neighbourhoods
        ctx.save_for_backward(ends, starts, mean)
        return mean, covariance

    @staticmethod
    @once_differentiable
    def backward(ctx, to_mean, to_covariance):
        """Return the gradients of ends and starts."""
        ends, starts, mean = ctx.saved_tensors
        slope = (to_covariance + to_covariance.T) / ctx.neighbourhoods.rows.numel()
        shift = to_mean / ctx.neighbourhoods.rows.numel() - slope @ mean
        to_ends, to_starts = torch.empty_like(ends), torch.empty_like(starts)
        for number, table, gradient in ctx.neighbourhoods.tables(ends, starts, n_more=1):
            torch.matmul(table, slope, out=gradient).add_(shift)
            _leaky_gradient(gradient, table, out=gradient)
            ctx.neighbourhoods.scatter(gradient, number, to_ends, to_starts)
        return to_ends, to_starts, None


class EdgeMean(torch.autograd.Function):
    """Mean over a point's edges of LeakyReLU(weight · LeakyReLU(ends[q] + starts[p]) + bias)."""

    @staticmethod
    def forward(ctx, ends, starts, weight, bias, neighbourhoods):
        """Return the means (R, C) of edges of ends and starts (R, C)."""
        means = torch.empty_like(ends)
        for number, table, output in neighbourhoods.tables(ends, starts, n_more=1):
            leaky(torch.matmul(table, weight.T, out=output).add_(bias))
            torch.mean(output, dim=0, out=means[neighbourhoods.parts[number]])
        ctx.neighbourhoods = neighbourhoods
        ctx.save_for_backward(ends, starts, weight, bias)
        return means

    @staticmethod
    @once_differentiable
    def backward(ctx, to_means):
        """Return the gradients of ends, starts, weight and bias."""
        ends, starts, weight, bias = ctx.saved_tensors
        to_means, neighbourhoods = to_means / ctx.neighbourhoods.k, ctx.neighbourhoods
        to_ends, to_starts = torch.empty_like(ends), torch.empty_like(starts)
        to_weight, to_bias = torch.zeros_like(weight), torch.zeros_like(bias)
        for number, table, output, gradient in neighbourhoods.tables(ends, starts, n_more=2):
            torch.matmul(table, weight.T, out=output).add_(bias)
            to_output = to_means[neighbourhoods.parts[number]].expand_as(output)
            _leaky_gradient(to_output, output, out=output)
            to_weight.addmm_(output.flatten(0, 1).T, table.flatten(0, 1))
            to_bias += output.sum(dim=(0, 1))
            _leaky_gradient(torch.matmul(output, weight, out=gradient), table, out=gradient)
            neighbourhoods.scatter(gradient, number, to_ends, to_starts)
        return to_ends, to_starts, to_weight, to_bias, None
