"""The default encoder: a transformer over the frames of a clip of landmarks."""

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

# Periods in seconds of the sinusoids that encode time: from the fastest movement of a smile to a
# long clip.
SHORTEST_PERIOD, LONGEST_PERIOD = 0.25, 16.0


def encode_time(time: Tensor, n_channels: int, unit: float = 1.0) -> Tensor:
    """Return sines and cosines (..., n_channels) of times (...), with geometric periods."""
    steps = torch.linspace(0, 1, n_channels // 2, device=time.device, dtype=time.dtype)
    periods = unit * SHORTEST_PERIOD * (LONGEST_PERIOD / SHORTEST_PERIOD) ** steps
    phase = 2 * math.pi * time.unsqueeze(-1) / periods
    return torch.cat([phase.sin(), phase.cos()], dim=-1)


def _mirror_coordinates(
    mirror: Sequence[int] | None, n_dims: int
) -> tuple[Tensor | None, Tensor | None]:
    """Return the order and the signs that mirror flattened coordinates, or (None, None)."""
    if mirror is None:
        return None, None
    partners = torch.tensor(mirror)
    order = (partners[:, None] * n_dims + torch.arange(n_dims)).flatten()
    sign = torch.tensor([-1.0] + [1.0] * (n_dims - 1)).repeat(len(partners))
    return order, sign


class TransformerBlock(nn.Module):
    """Pre-norm self-attention and a two-layer network with GELU, each with a skip connection."""

    def __init__(self, width: int, n_heads: int):
        super().__init__()
        self.n_heads = n_heads
        self.norm1 = nn.LayerNorm(width, eps=1e-6)
        self.qkv = nn.Linear(width, 3 * width)
        self.proj = nn.Linear(width, width)
        self.norm2 = nn.LayerNorm(width, eps=1e-6)
        self.mlp = nn.Sequential(
            nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width)
        )

    def forward(self, tokens: Tensor, visible: Tensor) -> Tensor:
        """Return new tokens."""
        qkv = self.qkv(self.norm1(tokens)).unflatten(-1, (3, self.n_heads, -1))
        query, key, value = qkv.permute(2, 0, 3, 1, 4)  # (B, H, T, D / H) each
        mask = visible[:, None, None, :]  # (B, 1, 1, T)
        attended = F.scaled_dot_product_attention(query, key, value, attn_mask=mask)
        tokens = tokens + self.proj(attended.transpose(1, 2).flatten(2))
        return tokens + self.mlp(self.norm2(tokens))


class MeshTransformer(nn.Module):
    """Encode a clip of landmarks into one vector.

    Each frame is one token: a linear projection of the displacements of its landmarks from the
    resting face, plus its time. A summary token carries the duration of the clip. Pre-norm
    transformer blocks attend over the frames with a face, and the mean of the tokens is projected
    to the embedding. The clips of a batch do not affect each other.

    Parameters
    ----------
    n_landmarks : int
        Number of landmarks of a frame.
    n_dims : int
        Number of coordinates of a landmark, 2 or 3.
    embedding_dim : int, default=256
        Size of the embedding.
    width : int, default=64
        Size of the tokens.
    depth : int, default=2
        Number of transformer blocks.
    n_heads : int, default=4
        Number of attention heads.
    dropout : float, default=0.1
        Dropout probability of the tokens.
    time_unit : float, default=1.0
        Number of time units per second.
    mirror : sequence of int or None, default=None
        Index of the mirrored landmark of each landmark. If given, half of the clips are mirrored
        in training mode, and in evaluation mode, the embedding is the mean over the clip and its
        mirror image.

    References
    ----------
    A. Vaswani et al.: Attention Is All You Need, NeurIPS 2017. Faroque et al.: Less is More:
    Facial Landmarks can Recognize a Spontaneous Smile (MeshSmileNet), BMVC 2022.

    Examples
    --------
    >>> import torch
    >>> encoder = MeshTransformer(478, 3, embedding_dim=256)
    >>> landmarks, mask = torch.zeros(2, 32, 478, 3), torch.ones(2, 32, dtype=torch.bool)
    >>> encoder(landmarks, mask, torch.zeros(2, 32), torch.ones(2)).shape
    torch.Size([2, 256])
    """

    def __init__(
        self,
        n_landmarks: int,
        n_dims: int,
        embedding_dim: int = 256,
        width: int = 64,
        depth: int = 2,
        n_heads: int = 4,
        dropout: float = 0.1,
        time_unit: float = 1.0,
        mirror: Sequence[int] | None = None,
    ):
        super().__init__()
        self.time_unit, self.width = time_unit, width
        self.mirror_order: Tensor | None
        self.mirror_sign: Tensor | None
        order, sign = _mirror_coordinates(mirror, n_dims)
        self.register_buffer("mirror_order", order, persistent=False)
        self.register_buffer("mirror_sign", sign, persistent=False)
        self.frame_projection = nn.Linear(n_landmarks * n_dims, width)
        self.time_projection = nn.Linear(width, width)
        self.duration_projection = nn.Linear(width, width)
        self.summary = nn.Parameter(torch.zeros(width))
        self.dropout = nn.Dropout(dropout)
        self.blocks = nn.ModuleList(TransformerBlock(width, n_heads) for _ in range(depth))
        self.norm = nn.LayerNorm(width)
        self.embedding = nn.Linear(width, embedding_dim)

    def forward(self, landmarks: Tensor, mask: Tensor, time: Tensor, duration: Tensor) -> Tensor:
        """Return the embeddings.

        Parameters
        ----------
        landmarks : tensor of shape (B, T, n_landmarks, n_dims)
            Displacements from the resting face, of about unit size, zero in frames without a
            face.
        mask : bool tensor of shape (B, T)
            True where a frame holds a face.
        time : tensor of shape (B, T)
            Time of each frame.
        duration : tensor of shape (B,)
            Duration of each clip.

        Returns
        -------
        embedding : tensor of shape (B, embedding_dim)
            One vector per clip.
        """
        time_tokens = self.time_projection(self._code(time))
        summary = self.summary + self.duration_projection(self._code(duration))
        visible = torch.cat([torch.ones_like(mask[:, :1]), mask], dim=1)  # (B, 1 + T)
        means = []
        for tokens in self._project(landmarks.flatten(2)):
            tokens = self.dropout(tokens + time_tokens)
            tokens = torch.cat([summary.unsqueeze(1), tokens], dim=1)  # (B, 1 + T, D)
            for block in self.blocks:
                tokens = block(tokens, visible)
            weight = visible.unsqueeze(-1).to(tokens.dtype)
            means.append((self.norm(tokens) * weight).sum(dim=1) / weight.sum(dim=1))  # (B, D)
        return self.embedding(torch.stack(means).mean(dim=0))

    def _code(self, time: Tensor) -> Tensor:
        """Return the time code of times (...) as (..., width)."""
        return encode_time(time, self.width, self.time_unit)

    def _project(self, frames: Tensor) -> list[Tensor]:
        """Project frames to tokens; mirror half in training, otherwise add their mirror images."""
        if self.mirror_order is None or self.mirror_sign is None:
            return [self.frame_projection(frames)]
        # Mirroring the weights has the same effect as mirroring the clips, and takes less memory.
        weight, bias = self.frame_projection.weight, self.frame_projection.bias
        mirrored_weight = weight.index_select(1, self.mirror_order) * self.mirror_sign
        if not self.training:
            return [F.linear(frames, weight, bias), F.linear(frames, mirrored_weight, bias)]
        order = torch.randperm(len(frames), device=frames.device)
        as_given, mirrored = frames[order].tensor_split(2)
        tokens = torch.cat(
            [F.linear(as_given, weight, bias), F.linear(mirrored, mirrored_weight, bias)]
        )
        return [tokens[order.argsort()]]
