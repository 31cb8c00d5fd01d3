"""Learn without labels: reconstruct a whole clip from the embedding of a masked clip."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from smilefusion.nn._layers import mirror_all, mirror_some
from smilefusion.nn.encoders._mesh_transformer import encode_time


class WeightedErrorLoss(nn.Module):
    """Weighted mean of errors."""

    def forward(self, error: Tensor, target: Tensor) -> Tensor:
        """Return the loss of errors (B,); the second column of target (B, 3) holds the weights."""
        weight = target[:, 1]
        return (weight * error).sum() / weight.sum().clamp_min(torch.finfo(weight.dtype).tiny)


class ReconstructionNetwork(nn.Module):
    """An encoder trained to reconstruct all displacements of a clip from some of them.

    During training, random frames are hidden from the encoder, and random landmarks are set to
    rest. The other landmarks are scaled up, as in dropout. A decoder predicts the displacements
    of each frame, hidden or not, from the embedding and the time of the frame. In evaluation,
    nothing is hidden.

    Parameters
    ----------
    encoder : type
        Module class whose instances map landmarks, mask, time and duration to
        (B, embedding_dim).
    n_landmarks : int
        Number of landmarks of a frame.
    n_dims : int
        Number of coordinates of a landmark, 2 or 3.
    embedding_dim : int
        Size of the embedding.
    dropout : float, default=0.1
        Dropout probability of the encoder.
    time_unit : float, default=1.0
        Number of time units per second.
    mirror : sequence of int or None, default=None
        Index of the mirrored landmark of each landmark. If given, half of the clips are mirrored
        in training mode, and in evaluation mode, the embedding is the mean over the clip and its
        mirror image.
    hidden_frames : float, default=0.25
        Share of the frames to hide.
    hidden_landmarks : float, default=0.25
        Share of the landmarks to set to rest.
    width : int, default=128
        Size of the decoder's hidden layer.
    **encoder_params : dict
        Further keyword arguments of the encoder.

    Notes
    -----
    The masks are those of a masked autoencoder [1]_. The error covers visible and hidden values,
    as in a denoising autoencoder [2]_, because everything must pass through one vector.

    References
    ----------
    .. [1] K. He et al.: Masked Autoencoders Are Scalable Vision Learners, CVPR 2022.
    .. [2] P. Vincent et al.: Extracting and Composing Robust Features with Denoising
       Autoencoders, ICML 2008.

    Examples
    --------
    >>> import torch
    >>> from smilefusion.nn.encoders._mesh_transformer import MeshTransformer
    >>> from smilefusion.nn._reconstruction import ReconstructionNetwork
    >>> network = ReconstructionNetwork(MeshTransformer, 478, 3, embedding_dim=16)
    >>> landmarks, mask = torch.zeros(2, 32, 478, 3), torch.ones(2, 32, dtype=torch.bool)
    >>> network(landmarks, mask, torch.zeros(2, 32), torch.ones(2)).shape
    torch.Size([2])
    """

    def __init__(
        self,
        encoder: Callable[..., nn.Module],
        n_landmarks: int,
        n_dims: int,
        embedding_dim: int,
        dropout: float = 0.1,
        time_unit: float = 1.0,
        mirror: Sequence[int] | None = None,
        hidden_frames: float = 0.25,
        hidden_landmarks: float = 0.25,
        width: int = 128,
        **encoder_params: Any,
    ):
        super().__init__()
        self.shape, self.time_unit, self.width = (n_landmarks, n_dims), time_unit, width
        self.hidden_frames, self.hidden_landmarks = hidden_frames, hidden_landmarks
        self.register_buffer(
            "mirror", None if mirror is None else torch.tensor(mirror), persistent=False
        )
        self.encoder = encoder(
            n_landmarks=n_landmarks,
            n_dims=n_dims,
            embedding_dim=embedding_dim,
            dropout=dropout,
            time_unit=time_unit,
            **encoder_params,
        )
        self.embedding_layer = nn.Linear(embedding_dim, width)
        self.time_layer = nn.Linear(width, width)
        self.output_layer = nn.Linear(width, n_landmarks * n_dims)

    def forward_features(self, **inputs: Tensor) -> Tensor:
        """Return the embeddings.

        Parameters
        ----------
        **inputs : tensors of n_clips entries each
            The inputs of the encoder's `forward`, by name.

        Returns
        -------
        embedding : tensor of shape (n_clips, embedding_dim)
            One vector per clip.
        """
        embedding = self.encoder(**inputs)
        if self.training or self.mirror is None:
            return embedding
        inputs["landmarks"] = mirror_all(inputs["landmarks"], self.mirror)
        return (embedding + self.encoder(**inputs)) / 2

    def forward(self, landmarks: Tensor, mask: Tensor, time: Tensor, duration: Tensor) -> Tensor:
        """Return the reconstruction errors.

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
        error : tensor of shape (B,)
            Mean squared error of the displacements of each clip's frames.
        """
        seen, visible = landmarks, mask
        if self.training:
            landmarks = mirror_some(landmarks, self.mirror)
            seen, visible = self._hide(landmarks, mask)
        embedding = self.forward_features(
            landmarks=seen, mask=visible, time=time, duration=duration
        )
        error = (self.decode(embedding, time) - landmarks).square().mean(dim=(2, 3))  # (B, T)
        return (error * mask).sum(dim=1) / mask.sum(dim=1)

    def decode(self, embedding: Tensor, time: Tensor) -> Tensor:
        """Predict the displacements of clips.

        Parameters
        ----------
        embedding : tensor of shape (B, embedding_dim)
            Embeddings.
        time : tensor of shape (B, T)
            Times of the frames to predict.

        Returns
        -------
        landmarks : tensor of shape (B, T, n_landmarks, n_dims)
            Displacements from the resting face.
        """
        code = encode_time(time, self.width, self.time_unit)  # (B, T, width)
        hidden = F.gelu(self.embedding_layer(embedding).unsqueeze(1) + self.time_layer(code))
        return self.output_layer(hidden).unflatten(-1, self.shape)

    def _hide(self, landmarks: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """Return clips with some landmarks at rest, and a mask that hides some frames."""
        chance = torch.rand(mask.shape, device=mask.device).masked_fill(~mask, 2.0)
        rank = chance.argsort(dim=1).argsort(dim=1)  # faces first, in random order
        n_kept = ((1 - self.hidden_frames) * mask.sum(dim=1, keepdim=True)).ceil().clamp_min(1)
        seen = F.dropout(torch.ones_like(landmarks[:, :1, :, :1]), self.hidden_landmarks)
        return landmarks * seen, mask & (rank < n_kept)
