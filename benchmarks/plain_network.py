"""The published network in the plain formulation that such code commonly uses.

Every block searches the neighbours again and holds the table of all edges, (frames, channels,
points, neighbours), in each stage. ``published_network.py`` compares it with the package's form.
"""

import math

import torch
import torch.nn.functional as F
from torch import nn

N_NEIGHBOURS, N_CURVES, CURVE_LENGTH = 20, 100, 5


def conv1d(n_in, n_out, *activation):
    return nn.Sequential(nn.Conv1d(n_in, n_out, 1, bias=False), nn.BatchNorm1d(n_out), *activation)


def conv2d(n_in, n_out, *activation):
    return nn.Sequential(nn.Conv2d(n_in, n_out, 1, bias=False), nn.BatchNorm2d(n_out), *activation)


def nearest(xyz):
    """Return the indices (F, N, k + 1) of the nearest points of xyz (F, 3, N), nearest first."""
    inner = -2 * torch.matmul(xyz.transpose(2, 1), xyz)
    squares = torch.sum(xyz**2, dim=1, keepdim=True)
    distance = -squares - inner - squares.transpose(2, 1)
    return distance.topk(k=N_NEIGHBOURS + 1, dim=-1)[1]


def gather(points, index):
    """Return the rows (F, M, k, C) of points (F, N, C) at index (F, M, k)."""
    offset = torch.arange(len(points), device=points.device).view(-1, 1, 1) * points.shape[1]
    rows = points.reshape(-1, points.shape[2])[(index + offset).view(-1), :]
    return rows.view(*index.shape, -1)


class Lpfa(nn.Module):
    """Local point feature aggregation."""

    def __init__(self, n_in, n_out, initial=False):
        super().__init__()
        self.initial = initial
        if not initial:
            self.xyz2feature = conv2d(9, n_in)
        self.mlp = nn.Sequential(conv2d(9 if initial else n_in, n_out, nn.LeakyReLU(0.2)))

    def forward(self, x, xyz, index):
        """Map features (F, C, N) and points (F, 3, N) to features (F, n_out, N)."""
        points = xyz.transpose(2, 1).contiguous()
        ends = gather(points, index)
        starts = points.unsqueeze(2).expand(-1, -1, index.shape[2], -1)
        edges = torch.cat([starts, ends, ends - starts], dim=3).permute(0, 3, 1, 2).contiguous()
        if self.initial:
            return self.mlp(edges).max(dim=-1)[0]
        x = x.transpose(2, 1).contiguous()
        feature = (gather(x, index) - x.unsqueeze(2)).permute(0, 3, 1, 2).contiguous()
        return self.mlp(F.leaky_relu(feature + self.xyz2feature(edges), 0.2)).mean(dim=-1)


def suppress_crossover(come, ahead):
    """Return factors (F, M, k) of the ways come (F, M, C) and ahead (F, M, k, C)."""
    come = come.unsqueeze(2)
    product = torch.sum(come * ahead, dim=-1)
    norms = torch.norm(come, dim=-1) * torch.norm(ahead, dim=-1)
    return torch.clamp(1 + product / torch.clamp(norms, min=1e-8), 0, 1).detach()


def choose(score):
    """Return the straight-through one-hot choice of the highest score, over the last axis."""
    soft = score.softmax(dim=-1)
    hard = torch.zeros_like(soft).scatter_(-1, soft.argmax(dim=-1, keepdim=True), 1.0)
    return hard - soft.detach() + soft


class Walk(nn.Module):
    """The walk of the curves."""

    def __init__(self, n_channels):
        super().__init__()
        self.agent_mlp = conv2d(2 * n_channels, 1)
        self.momentum_mlp = conv1d(2 * n_channels, 2)

    def forward(self, x, around, point):
        """Return curves (F, C, M, CURVE_LENGTH) that start at points (F, M)."""
        points = x.transpose(1, 2).contiguous()
        start = gather(points, point.unsqueeze(2)).permute(0, 3, 1, 2)  # (F, C, M, 1)
        feature = descriptor = start
        curves = []
        for step in range(CURVE_LENGTH):
            if step:
                both = torch.cat([feature.squeeze(3), descriptor.squeeze(3)], dim=1)
                weights = self.momentum_mlp(both).softmax(dim=1)
                weights = weights.view(len(x), 1, -1, 2)  # the published view of (F, 2, M)
                both = torch.cat([feature, descriptor], dim=-1)
                descriptor = torch.sum(both * weights, dim=-1, keepdim=True)
            near = gather(around, point.unsqueeze(2)).squeeze(2)  # (F, M, k)
            values = gather(points, near)  # (F, M, k, C)
            candidates = values.permute(0, 3, 1, 2)
            pair = torch.cat([candidates, descriptor.expand_as(candidates)], dim=1)
            score = self.agent_mlp(pair)  # (F, 1, M, k)
            if step:
                now = feature.squeeze(3).transpose(1, 2)
                come = now - descriptor.squeeze(3).transpose(1, 2)
                score = score * suppress_crossover(come, values - now.unsqueeze(2)).unsqueeze(1)
            choice = choose(score)
            feature = torch.sum(candidates * choice, dim=-1, keepdim=True)
            point = near.gather(2, choice.squeeze(1).argmax(dim=-1, keepdim=True)).squeeze(2)
            curves.append(feature)
        return torch.cat(curves, dim=-1)


class CurveGrouping(nn.Module):
    """Start of the curves, and their walk."""

    def __init__(self, n_channels):
        super().__init__()
        self.att = nn.Conv1d(n_channels, 1, 1, bias=False)
        self.walk = Walk(n_channels)

    def forward(self, x, around):
        """Return curves (F, C, M, CURVE_LENGTH) of features (F, C, N)."""
        attention = torch.sigmoid(self.att(x))
        start = torch.topk(attention.squeeze(1), N_CURVES, dim=1, sorted=False)[1]
        return self.walk(x * attention, around, start)


class CurveAggregation(nn.Module):
    """Attention of the points over the curves."""

    def __init__(self, n_channels):
        super().__init__()
        middle = n_channels // 2
        for name in ("conva", "convb", "convc"):
            setattr(self, name, nn.Conv1d(n_channels, middle, 1, bias=False))
        for name in ("convn", "convl"):
            setattr(self, name, nn.Conv1d(middle, middle, 1, bias=False))
        self.convd = conv1d(2 * middle, n_channels)
        self.line_conv_att = nn.Conv2d(n_channels, 1, 1, bias=False)

    def forward(self, x, curves):
        """Map features (F, C, N) by curves (F, C, M, L) to features (F, C, N)."""
        logits = self.line_conv_att(curves)
        inter = self.conva(torch.sum(curves * logits.softmax(dim=-1), dim=-1))
        intra = self.convb(torch.sum(curves * logits.softmax(dim=-2), dim=-2))
        query = self.convc(x).transpose(1, 2).contiguous()
        of_inter = torch.bmm(query, inter).softmax(dim=-1)
        of_intra = torch.bmm(query, intra).softmax(dim=-1)
        of_inter = torch.bmm(of_inter, self.convn(inter).transpose(1, 2).contiguous())
        of_intra = torch.bmm(of_intra, self.convl(intra).transpose(1, 2).contiguous())
        both = torch.cat([of_inter, of_intra], dim=-1).transpose(1, 2).contiguous()
        return F.leaky_relu(x + self.convd(both), 0.2)


class Cic(nn.Module):
    """Block of CurveNet."""

    def __init__(self, n_in, n_out, ratio):
        super().__init__()
        planes = n_in // ratio
        self.curveaggregation = CurveAggregation(planes)
        self.curvegrouping = CurveGrouping(planes)
        self.conv1 = conv1d(n_in, planes, nn.LeakyReLU(0.2, inplace=True))
        self.conv2 = conv1d(planes, n_out)
        if n_in != n_out:
            self.shortcut = conv1d(n_in, n_out)
        self.lpfa = Lpfa(planes, planes)

    def forward(self, xyz, x):
        """Map points (F, 3, N) and features (F, n_in, N) to features (F, n_out, N)."""
        index = nearest(xyz)
        shortcut = self.shortcut(x) if hasattr(self, "shortcut") else x
        x = self.conv1(x)
        x = self.curveaggregation(x, self.curvegrouping(x, index[:, :, 1:]))
        x = self.conv2(self.lpfa(x, xyz, index[:, :, :N_NEIGHBOURS]))
        return F.leaky_relu(x + shortcut, 0.2, inplace=True)


class PlainCurveNet(nn.Module):
    """CurveNet as published."""

    def __init__(self):
        super().__init__()
        self.lpfa = Lpfa(9, 32, initial=True)
        self.cic11, self.cic12 = Cic(32, 32, 2), Cic(32, 64, 4)
        self.cic21, self.cic22 = Cic(64, 128, 2), Cic(128, 256, 4)
        self.conv0 = conv1d(256, 256, nn.ReLU(inplace=True))

    def forward(self, xyz):
        """Map points (F, 3, N) to features (F, 256, N)."""
        x = self.lpfa(xyz, xyz, nearest(xyz)[:, :, :N_NEIGHBOURS])
        for block in (self.cic11, self.cic12, self.cic21, self.cic22):
            x = block(xyz, x)
        return self.conv0(x)


class Positions(nn.Module):
    """Sinusoidal positions, added."""

    def __init__(self, dim, dropout, max_length=128):
        super().__init__()
        self.dropout = nn.Dropout(dropout)
        angle = torch.arange(max_length).unsqueeze(1) * torch.exp(
            torch.arange(0, dim, 2) * (-math.log(10000.0) / dim)
        )
        code = torch.stack([angle.sin(), angle.cos()], dim=-1).flatten(1)
        self.register_buffer("pe", code.unsqueeze(0))

    def forward(self, y):
        """Add positions to tokens (B, L, dim)."""
        return self.dropout(y + self.pe[:, : y.shape[1]])


class Attention(nn.Module):
    """Multi-head attention."""

    def __init__(self, dim, n_heads, dropout):
        super().__init__()
        self.n_heads = n_heads
        self.pos_embedding = Positions(dim, dropout)
        self.to_qkv = nn.Linear(dim, 3 * dim, bias=False)
        self.to_out = nn.Sequential(nn.Linear(dim, dim), nn.Dropout(dropout))

    def forward(self, y):
        """Map tokens (B, L, dim) to tokens (B, L, dim)."""
        y = y + self.pos_embedding(y)
        q, k, v = (
            part.unflatten(-1, (self.n_heads, -1)).transpose(1, 2)
            for part in self.to_qkv(y).chunk(3, dim=-1)
        )
        weights = (torch.matmul(q, k.transpose(-1, -2)) * q.shape[-1] ** -0.5).softmax(dim=-1)
        return self.to_out(torch.matmul(weights, v).transpose(1, 2).flatten(2))


class PreNorm(nn.Module):
    """Layer normalisation before a function."""

    def __init__(self, dim, function):
        super().__init__()
        self.norm, self.fn = nn.LayerNorm(dim), function

    def forward(self, y):
        """Map tokens (B, L, dim) to tokens (B, L, dim)."""
        return self.fn(self.norm(y))


class FeedForward(nn.Module):
    """MLP of a layer."""

    def __init__(self, dim, hidden_dim, dropout):
        super().__init__()
        drop = nn.Dropout(dropout)
        self.net = nn.Sequential(
            nn.Linear(dim, hidden_dim), nn.GELU(), drop, nn.Linear(hidden_dim, dim), drop
        )

    def forward(self, y):
        """Map tokens (B, L, dim) to tokens (B, L, dim)."""
        return self.net(y)


class Transformer(nn.Module):
    """Layers over the frames or, for tokens (B, T, S, D), over frames and tokens in turn."""

    def __init__(self, dim, depth, n_heads, hidden_dim, dropout):
        super().__init__()
        self.layers = nn.ModuleList()
        for _ in range(depth):
            attention = PreNorm(dim, Attention(dim, n_heads, dropout))
            mlp = PreNorm(dim, FeedForward(dim, hidden_dim, dropout))
            self.layers.append(nn.ModuleList([attention, mlp]))

    def forward(self, x):
        """Map tokens (B, T, D) or (B, T, S, D) to tokens of the same shape."""
        n_clips = len(x)
        for index, (attention, mlp) in enumerate(self.layers):
            over_time = x.dim() == 4 and index % 2 == 0
            y = x.transpose(1, 2) if over_time else x
            y = y.flatten(0, 1) if x.dim() == 4 else y
            y = attention(y) + y
            y = mlp(y) + y
            y = y.unflatten(0, (n_clips, -1)) if x.dim() == 4 else y
            x = y.transpose(1, 2) if over_time else y
        return x


class PlainNetwork(nn.Module):
    """HadaSmileNet as published; the entries of its state dict have the authors' names."""

    def __init__(self, dropout=0.1):
        super().__init__()
        self.encoder = PlainCurveNet()
        self.dropout = nn.Dropout(dropout)
        self.downsample = conv1d(478, 32)
        self.transformer = Transformer(256, 6, 4, 512, dropout)
        self.time = Transformer(256, 3, 4, 512, dropout)
        self.dmarker_proj, self.x_proj = nn.Linear(225, 256), nn.Linear(256, 256)
        self.fusion_mlp = nn.Sequential(
            nn.Linear(256, 256), nn.ReLU(), nn.Dropout(dropout), nn.Linear(256, 256), nn.ReLU()
        )
        self.smile_head = nn.Sequential(nn.LayerNorm(256), nn.Linear(256, 1))

    def forward(self, landmarks, dmarker):
        """Return the logits (B, 1) of landmarks (B, T, 478, 3) and D-Markers (B, 225)."""
        encoder = self.encoder(landmarks.flatten(0, 1).transpose(1, 2).contiguous())
        tokens = self.downsample(self.dropout(encoder).transpose(1, 2))  # (B * T, 32, 256)
        tokens = tokens.view(*landmarks.shape[:2], 32, -1)
        deep = self.time(self.transformer(tokens).mean(dim=2)).mean(dim=1)  # (B, 256)
        return self.smile_head(self.fusion_mlp(self.x_proj(deep) * self.dmarker_proj(dmarker)))
