"""The published encoder of clips: CurveNet on each frame, then transformers over the frames."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from smilefusion.nn.published._curvenet import CurveNet


def encode_positions(n_positions: int, n_channels: int, like: Tensor) -> Tensor:
    """Return sinusoidal codes of positions: sines in even, cosines in odd channels."""
    position = torch.arange(n_positions, device=like.device, dtype=like.dtype)
    channel = torch.arange(0, n_channels, 2, device=like.device, dtype=like.dtype)
    angle = torch.outer(position, torch.exp(channel * (-math.log(10000.0) / n_channels)))
    return torch.stack([angle.sin(), angle.cos()], dim=-1).flatten(1)


class TransformerLayer(nn.Module):
    """Pre-norm attention and MLP; positions are added to the tokens that attend."""

    def __init__(self, dim: int, n_heads: int, mlp_dim: int, dropout: float):
        super().__init__()
        self.n_heads = n_heads
        self.attention_norm = nn.LayerNorm(dim)
        self.query_key_value = nn.Linear(dim, 3 * dim, bias=False)
        self.attention_output = nn.Linear(dim, dim)
        self.dropout = nn.Dropout(dropout)
        self.mlp_norm = nn.LayerNorm(dim)
        self.mlp = nn.Sequential(
            nn.Linear(dim, mlp_dim),
            nn.GELU(),
            nn.Dropout(dropout),
            nn.Linear(mlp_dim, dim),
            nn.Dropout(dropout),
        )

    def forward(self, tokens: Tensor, visible: Tensor | None = None) -> Tensor:
        """Map tokens (B, L, dim), which see the tokens where visible (B, 1, L or 1, L) is true."""
        normed = self.attention_norm(tokens)
        # Use the precision of the weights: fewer digits would blur the angles of late positions.
        code = encode_positions(*normed.shape[1:], like=self.attention_norm.weight)
        normed = normed + self.dropout(normed + code)
        heads = self.query_key_value(normed).unflatten(-1, (3, self.n_heads, -1))
        query, key, value = heads.permute(2, 0, 3, 1, 4)  # (B, n_heads, L, dim / n_heads) each
        attended = F.scaled_dot_product_attention(query, key, value, attn_mask=visible)
        attended = self.attention_output(attended.transpose(1, 2).flatten(2))
        tokens = tokens + self.dropout(attended)
        return tokens + self.mlp(self.mlp_norm(tokens))


def _check_landmarks(n_landmarks: int, n_neighbours: int, n_curves: int) -> None:
    """Raise if a frame has too few points for its neighbourhoods and curves."""
    if n_landmarks < max(n_neighbours + 1, n_curves):
        raise ValueError(
            f"The published encoder needs at least {max(n_neighbours + 1, n_curves)} landmarks, "
            f"for {n_curves} curves and {n_neighbours} neighbours of each; got {n_landmarks}. "
            f"Lower n_curves and n_neighbours, or use the encoder 'mesh_transformer'."
        )


def _check_tokens(token_dim: int, n_heads: int) -> None:
    """Raise if tokens cannot be divided among the heads, and into sines and cosines."""
    if token_dim < 1 or token_dim % n_heads or token_dim % 2:
        raise ValueError(
            f"The size of tokens must be an even multiple of n_heads={n_heads}; got {token_dim}. "
            "Change embedding_dim, which is the size of tokens (with small_tokens: n_tokens "
            "times their size)."
        )


class PublishedEncoder(nn.Module):
    """Encode a clip of landmarks like the published networks.

    CurveNet encodes the points of each frame. Learned mixing weights combine the points into
    tokens. Transformer layers alternately attend over the frames of each token and over the
    tokens of each frame. Further layers attend over the mean token of each frame, and the mean of
    their outputs is the embedding. Frames without a face are ignored, also in the statistics of
    BatchNorm. The embedding of a clip without any face is 0.

    Parameters
    ----------
    embedding_dim : int, default=256
        Size of the embedding and of the tokens.
    dropout : float, default=0.1
        Dropout probability of the features and inside the layers.
    n_landmarks : int, default=478
        Number of landmarks of a frame, at least `n_curves` and more than `n_neighbours`.
    n_dims : int, default=3
        Number of coordinates of a landmark.
    n_neighbours : int, default=20
        Number of neighbours of a landmark in CurveNet.
    n_curves : int, default=100
        Number of curves that CurveNet walks in a frame.
    n_tokens : int, default=32
        Number of tokens of a frame.
    depth : int, default=6
        Number of layers that alternate between frames and tokens.
    time_depth : int, default=3
        Number of layers over the frames only.
    n_heads : int, default=4
        Number of attention heads.
    small_tokens : bool, default=False
        Whether to build the other backbone, which the four published bilinear networks use: the
        tokens of a frame are projected to one vector, which is split into tokens of size
        ``embedding_dim / n_tokens``. The first layers attend only over these tokens, and the
        frame keeps all of them instead of their mean.

    Raises
    ------
    ValueError
        If a frame has too few landmarks, or the tokens cannot be divided among the heads.

    Notes
    -----
    The published network ignores the times and the duration of a clip: the position of a frame is
    its number in the window. Landmarks should lie between about 0 and 1, as the published code
    scales them. CurveNet runs in the precision of the landmarks even if mixed precision is on,
    because rounding decides which points are neighbours.

    References
    ----------
    Hasan, Mohammed, Rahman, Koehn: HadaSmileNet, ICDM 2025. Faroque et al.: Less is More: Facial
    Landmarks can Recognize a Spontaneous Smile (MeshSmileNet), BMVC 2022. T. Xiang et al.: Walk
    in the Cloud: Learning Curves for Point Clouds Shape Analysis (CurveNet), ICCV 2021.

    Examples
    --------
    >>> import torch
    >>> encoder = PublishedEncoder(n_landmarks=68, n_curves=10, embedding_dim=64).eval()
    >>> landmarks, mask = torch.rand(2, 4, 68, 3), torch.ones(2, 4, dtype=torch.bool)
    >>> encoder(landmarks, mask).shape
    torch.Size([2, 64])
    """

    def __init__(
        self,
        embedding_dim: int = 256,
        dropout: float = 0.1,
        n_landmarks: int = 478,
        n_dims: int = 3,
        n_neighbours: int = 20,
        n_curves: int = 100,
        n_tokens: int = 32,
        depth: int = 6,
        time_depth: int = 3,
        n_heads: int = 4,
        small_tokens: bool = False,
    ):
        super().__init__()
        token_dim = embedding_dim // n_tokens if small_tokens else embedding_dim
        _check_landmarks(n_landmarks, n_neighbours, n_curves)
        _check_tokens(token_dim, n_heads)
        self.embedding_dim, self.token_dim = embedding_dim, token_dim
        self.small_tokens = small_tokens
        self.curvenet = CurveNet(
            n_dims, n_neighbours, n_curves, channels=(32, 32, 64, 128, embedding_dim)
        )
        self.dropout = nn.Dropout(dropout)
        self.mixing = nn.Linear(n_landmarks, n_tokens, bias=False)
        self.mixing_norm = nn.BatchNorm1d(n_tokens)
        if small_tokens:
            self.frame_projection = nn.Linear(n_tokens * embedding_dim, embedding_dim)
        mlp_dim = (4 if small_tokens else 2) * token_dim
        self.token_layers = nn.ModuleList(
            TransformerLayer(token_dim, n_heads, mlp_dim, dropout) for _ in range(depth)
        )
        self.time_layers = nn.ModuleList(
            TransformerLayer(embedding_dim, n_heads, 2 * embedding_dim, dropout)
            for _ in range(time_depth)
        )

    def forward(
        self,
        landmarks: Tensor,
        mask: Tensor | None = None,
        time: Tensor | None = None,
        duration: Tensor | None = None,
    ) -> Tensor:
        """Return the embeddings.

        Parameters
        ----------
        landmarks : tensor of shape (B, T, n_landmarks, n_dims)
            Landmarks; frames without a face may hold any values.
        mask : bool tensor of shape (B, T), default=None
            True where a frame holds a face; None if all frames do.
        time : tensor of shape (B, T), default=None
            Ignored; the default encoder uses it.
        duration : tensor of shape (B,), default=None
            Ignored; the default encoder uses it.

        Returns
        -------
        embedding : tensor of shape (B, embedding_dim)
            One vector per clip.
        """
        return self.forward_taps(landmarks, mask)["deep"]

    def forward_taps(self, landmarks: Tensor, mask: Tensor | None = None) -> dict[str, Tensor]:
        """Return the embeddings and the intermediate results.

        Parameters
        ----------
        landmarks : tensor of shape (B, T, n_landmarks, n_dims)
            Landmarks; frames without a face may hold any values.
        mask : bool tensor of shape (B, T), default=None
            True where a frame holds a face; None if all frames do.

        Returns
        -------
        taps : dict of str to tensor
            ``"encoder"`` (n_frames, embedding_dim, n_landmarks), the features of the frames that
            hold a face; ``"tokens"`` (B, T, n_tokens, embedding_dim), 0 for the others;
            ``"space_time"`` (B, T, embedding_dim), the frames after the first layers;
            ``"deep"`` (B, embedding_dim), the embeddings.
        """
        if mask is None:
            mask = landmarks.new_ones(landmarks.shape[:2], dtype=torch.bool)
        features, tokens = self._encode_frames(landmarks, mask)  # tokens (B, T, S, D)
        # A clip without any face attends to all its frames, because attention to none gives NaN.
        visible = None if mask.all() else (mask | ~mask.any(dim=1, keepdim=True))[:, None, None]
        frames = space_time = self._mix_tokens(tokens, visible)  # (B, T, D)
        for layer in self.time_layers:
            frames = layer(frames, visible)
        weight = mask.unsqueeze(-1).to(frames.dtype)
        deep = (frames * weight).sum(dim=1) / weight.sum(dim=1).clamp(min=1)
        return {"encoder": features, "tokens": tokens, "space_time": space_time, "deep": deep}

    def _encode_frames(self, landmarks: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """Return features (n_frames, D, N) of the frames with a face, and tokens (B, T, S, D)."""
        n_tokens, n_landmarks = self.mixing.weight.shape
        tokens = landmarks.new_zeros(*mask.shape, n_tokens, self.embedding_dim)
        if not mask.any():
            return landmarks.new_zeros(0, self.embedding_dim, n_landmarks), tokens
        with torch.autocast(landmarks.device.type, enabled=False):
            features = self.curvenet(landmarks[mask])
        rows = self.dropout(features.transpose(1, 2))  # (n_frames, N, D), as they lie in memory
        mixed = self.mixing.weight.expand(len(rows), -1, -1) @ rows  # (n_frames, S, D)
        mixed = self.mixing_norm(mixed).to(tokens.dtype)
        return features, tokens.masked_scatter(mask[..., None, None], mixed)

    def _mix_tokens(self, tokens: Tensor, visible: Tensor | None) -> Tensor:
        """Map tokens (B, T, S, D) of frames that are visible (B, 1, 1, T) to frames (B, T, D)."""
        n_clips, n_frames, n_tokens, _ = tokens.shape
        if self.small_tokens:
            tokens = self.frame_projection(tokens.flatten(2)).view(-1, n_tokens, self.token_dim)
            for layer in self.token_layers:
                tokens = layer(tokens)
            return tokens.view(n_clips, n_frames, -1)
        if visible is not None:
            visible = visible.repeat_interleave(n_tokens, dim=0)
        for index, layer in enumerate(self.token_layers):
            if index % 2 == 0:
                over_time = tokens.transpose(1, 2).flatten(0, 1)  # (B * S, T, D)
                tokens = layer(over_time, visible).unflatten(0, (n_clips, -1)).transpose(1, 2)
            else:
                tokens = layer(tokens.flatten(0, 1)).view_as(tokens)  # (B * T, S, D)
        return tokens.mean(dim=2)
