"""Layers that several networks share: attention of one query over few tokens, and mirroring."""

import math

import torch
from torch import Tensor, nn


def read_tokens(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """Return softmax(q kᵀ / √dim) v of (..., 1, dim) and (..., n, dim) for few tokens n."""
    scores = (query * key).sum(dim=-1, keepdim=True) / math.sqrt(query.shape[-1])
    return (scores.softmax(dim=-2) * value).sum(dim=-2, keepdim=True)


class MultiHeadRead(nn.Module):
    """Multi-head attention of one query vector over tokens, without q, k and v biases."""

    def __init__(self, query_dim: int, dim: int, dropout: float, n_heads: int = 4):
        super().__init__()
        if dim % n_heads:
            raise ValueError(
                f"dim must be a multiple of {n_heads}, the number of attention heads; got {dim}."
            )
        self.n_heads = n_heads
        self.query = nn.Linear(query_dim, dim, bias=False)
        self.key = nn.Linear(dim, dim, bias=False)
        self.value = nn.Linear(dim, dim, bias=False)
        self.output = nn.Sequential(nn.Linear(dim, dim), nn.Dropout(dropout))

    def _split(self, tokens: Tensor) -> Tensor:
        """Split (..., n, dim) into heads, (..., n_heads, n, dim / n_heads)."""
        return tokens.unflatten(-1, (self.n_heads, -1)).transpose(-3, -2)

    def forward(self, query: Tensor, tokens: Tensor) -> Tensor:
        """Attend over tokens (B, n, dim) with a query (B, query_dim); return (B, dim)."""
        read = read_tokens(
            self._split(self.query(query).unsqueeze(-2)),
            self._split(self.key(tokens)),
            self._split(self.value(tokens)),
        )  # (B, n_heads, 1, dim / n_heads)
        return self.output(read.flatten(-3))


def mirror_some(landmarks: Tensor, mirror: Tensor | None) -> Tensor:
    """Mirror a random half of clips (B, T, n_landmarks, n_dims); `mirror` may be None."""
    if mirror is None:
        return landmarks
    chosen = torch.rand(len(landmarks), device=landmarks.device) < 0.5
    return torch.where(chosen[:, None, None, None], mirror_all(landmarks, mirror), landmarks)


def mirror_all(landmarks: Tensor, mirror: Tensor) -> Tensor:
    """Return the mirror images of displacements (B, T, n_landmarks, n_dims)."""
    sign = landmarks.new_tensor([-1.0] + [1.0] * (landmarks.shape[3] - 1))
    return landmarks[:, :, mirror] * sign
