"""Encoders of users: a module class that follows a contract, with mirroring around it."""

from collections.abc import Sequence
from inspect import signature

import torch
from torch import Tensor, nn

from smilefusion.nn._layers import mirror_all, mirror_some

_N_FRAMES, _N_PADDED = 4, 2  # of the clips that test an encoder


class OwnEncoder(nn.Module):
    """A user's encoder, with mirroring as for the encoders of the package.

    Parameters
    ----------
    own : type
        A `torch.nn.Module` class with the constructor
        ``(n_landmarks, n_dims, embedding_dim, dropout)``, the method
        ``forward(landmarks, mask, time, duration)``, whose inputs are those of `MeshTransformer`
        and whose output has shape (B, out_dim), and the attribute ``out_dim``, which must equal
        `embedding_dim`. Frames where ``mask`` is False must not change the output.
    n_landmarks : int
        Number of landmarks of a frame.
    n_dims : int
        Number of coordinates of a landmark, 2 or 3.
    embedding_dim : int, default=256
        Size of the embedding.
    dropout : float, default=0.1
        Dropout probability, for the user's encoder to use.
    mirror : sequence of int or None, default=None
        Index of the mirrored landmark of each landmark. If given, half of the clips are mirrored
        in training mode, and in evaluation mode, the embedding is the mean over the clip and its
        mirror image.

    Raises
    ------
    TypeError
        If the class does not have the constructor or the attribute.
    ValueError
        If the embeddings have another size, or depend on frames where the mask is False.
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
        if self.training or self.mirror is None:
            return self.own(mirror_some(landmarks, self.mirror), mask, time, duration)
        views = [landmarks, mirror_all(landmarks, self.mirror)]
        return torch.stack([self.own(view, mask, time, duration) for view in views]).mean(dim=0)


def _build(
    own: type[nn.Module], n_landmarks: int, n_dims: int, embedding_dim: int, dropout: float
) -> nn.Module:
    """Build a user's encoder and check that it follows the contract."""
    name, sizes = own.__name__, (n_landmarks, n_dims, embedding_dim, dropout)
    try:
        signature(own).bind(*sizes)
    except TypeError as error:
        raise TypeError(
            f"{name} cannot be created with {name}(n_landmarks, n_dims, embedding_dim, dropout): "
            f"{error}. Make the constructor accept these arguments."
        ) from error
    module = own(*sizes)
    out_dim = getattr(module, "out_dim", None)
    if out_dim is None:
        raise TypeError(
            f"{name} has no attribute out_dim, the number of values that its forward returns per "
            "clip. Set self.out_dim in its constructor."
        )
    if out_dim != embedding_dim:
        raise ValueError(
            f"{name} states out_dim={out_dim}, but embedding_dim={embedding_dim}. Set "
            f"embedding_dim={out_dim}, or make the constructor use embedding_dim."
        )
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(0)
        _check_forward(name, module.eval(), torch.randn(2, _N_FRAMES, n_landmarks, n_dims))
    return module.train()


def _check_forward(name: str, module: nn.Module, landmarks: Tensor) -> None:
    """Raise if the embeddings of clips have the wrong size or depend on hidden frames."""
    time = torch.arange(_N_FRAMES, dtype=torch.float32).expand(len(landmarks), -1)
    mask, duration = torch.ones(time.shape, dtype=torch.bool), torch.ones(len(landmarks))
    mask[:, -_N_PADDED:] = False
    embedding = module(landmarks, mask, time, duration)
    if embedding.shape != (len(landmarks), module.out_dim):
        raise ValueError(
            f"{name} states out_dim={module.out_dim}, but its forward returns shape "
            f"{tuple(embedding.shape)} for {len(landmarks)} clips; it must be (n_clips, out_dim). "
            "Correct out_dim or forward."
        )
    changed = torch.where(mask[:, :, None, None], landmarks, 0.0)
    if not embedding.is_meta and not torch.allclose(
        embedding, module(changed, mask, time, duration), rtol=1e-3, atol=1e-5
    ):
        raise ValueError(
            f"{name} uses frames where mask is False. They only pad a clip to the length of the "
            "longest one in its batch, so the embedding would depend on other clips. Ignore "
            "these frames in forward."
        )
