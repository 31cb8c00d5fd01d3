"""Wrapper of a user's encoder class: it checks and mirrors."""

from collections.abc import Sequence
from inspect import signature

import torch
from torch import Tensor, nn

from smilefusion.nn._layers import mirror_all, mirror_some

_N_FRAMES, _N_PADDED = 4, 2  # of the random clips that test an encoder


class OwnEncoder(nn.Module):
    """A user's encoder, with the same mirroring as the encoders of the package.

    Parameters
    ----------
    own : type
        A `torch.nn.Module` class. Its constructor takes
        ``(n_landmarks, n_dims, embedding_dim, dropout)``. Its method
        ``forward(landmarks, mask, time, duration)`` has the inputs of `MeshTransformer` and
        returns a tensor of shape (B, out_dim). The attribute ``out_dim`` must equal
        `embedding_dim`. Frames where ``mask`` is False must not change the output.
    n_landmarks : int
        Number of landmarks of a frame.
    n_dims : int
        Number of coordinates of a landmark, 2 or 3.
    embedding_dim : int, default=256
        Size of the embedding.
    dropout : float, default=0.1
        Dropout probability, which is passed to the user's encoder.
    mirror : sequence of int or None, default=None
        Index of the mirrored landmark of each landmark. If given, half of the clips are mirrored
        in training mode, and in evaluation mode, the embedding is the mean over the clip and its
        mirror image.

    Raises
    ------
    TypeError
        If the class does not have this constructor or this attribute.
    ValueError
        If the embeddings have a different size, or depend on frames where the mask is False.
    """

    def __init__(
        self,
        own: type[nn.Module],
        n_landmarks: int,
        n_dims: int,
        embedding_dim: int = 256,
        dropout: float = 0.1,
        mirror: Sequence[int] | None = None,
    ):
        super().__init__()
        self.own = _build(own, n_landmarks, n_dims, embedding_dim, dropout)
        order = None if mirror is None else torch.tensor(mirror)
        self.register_buffer("mirror", order, persistent=False)

    def forward(self, landmarks: Tensor, mask: Tensor, time: Tensor, duration: Tensor) -> Tensor:
        """Return the embeddings.

        Parameters
        ----------
        landmarks : tensor of shape (B, T, n_landmarks, n_dims)
            Displacements from the resting face, of about unit size.
        mask : bool tensor of shape (B, T)
            True for frames that show a face, False for padding.
        time : tensor of shape (B, T)
            Time of each frame, in seconds, or in frames if the frame rate is unknown.
        duration : tensor of shape (B,)
            Duration of each smile, in the same unit.

        Returns
        -------
        embedding : tensor of shape (B, embedding_dim)
            One vector per clip.
        """
        if self.training or self.mirror is None:
            return self.own(mirror_some(landmarks, self.mirror), mask, time, duration)
        views = [landmarks, mirror_all(landmarks, self.mirror)]
        return torch.stack([self.own(view, mask, time, duration) for view in views]).mean(dim=0)


def _build(
    own: type[nn.Module], n_landmarks: int, n_dims: int, embedding_dim: int, dropout: float
) -> nn.Module:
    """Create a user's encoder and check that it meets the requirements of `OwnEncoder`."""
    name, sizes = own.__name__, (n_landmarks, n_dims, embedding_dim, dropout)
    try:
        signature(own).bind(*sizes)
    except TypeError as error:
        raise TypeError(
            f"{name}(n_landmarks, n_dims, embedding_dim, dropout) raises an error: {error}. Make "
            "the constructor accept these arguments."
        ) from error
    module = own(*sizes)
    out_dim = getattr(module, "out_dim", None)
    if out_dim is None:
        raise TypeError(
            f"{name} has no attribute out_dim, but it needs one for the number of values that its "
            "forward returns per clip. Set self.out_dim in the constructor."
        )
    if out_dim != embedding_dim:
        raise ValueError(
            f"{name} has out_dim={out_dim}, but embedding_dim={embedding_dim}, and both must be "
            f"equal. Set embedding_dim={out_dim}, or make the constructor use embedding_dim."
        )
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(0)
        _check_forward(name, module.eval(), torch.randn(2, _N_FRAMES, n_landmarks, n_dims))
    return module.train()


def _check_forward(name: str, module: nn.Module, landmarks: Tensor) -> None:
    """Raise if the embeddings have the wrong size or depend on masked frames."""
    time = torch.arange(_N_FRAMES, dtype=torch.float32).expand(len(landmarks), -1)
    mask, duration = torch.ones(time.shape, dtype=torch.bool), torch.ones(len(landmarks))
    mask[:, -_N_PADDED:] = False
    embedding = module(landmarks, mask, time, duration)
    if embedding.shape != (len(landmarks), module.out_dim):
        raise ValueError(
            f"{name} has out_dim={module.out_dim}, but its forward returns shape "
            f"{tuple(embedding.shape)} for {len(landmarks)} clips; the shape must be (n_clips, "
            "out_dim). Correct out_dim or forward."
        )
    changed = torch.where(mask[:, :, None, None], landmarks, 0.0)
    if not embedding.is_meta and not torch.allclose(
        embedding, module(changed, mask, time, duration), rtol=1e-3, atol=1e-5
    ):
        raise ValueError(
            f"{name} uses frames where mask is False. They only pad a clip to the length of the "
            "longest clip in its batch, so the embedding would depend on other clips. Ignore "
            "these frames in forward."
        )
