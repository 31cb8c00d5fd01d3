"""Image models of timm as encoders, for clips of landmarks drawn as an image and for frames."""

from collections.abc import Iterable, Mapping, Sequence
from difflib import get_close_matches
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from smilefusion.nn._layers import mirror_all, mirror_some
from smilefusion.nn._weights import load_state


def check_backbone(name: str, others: Iterable[str] = ()) -> None:
    """Raise a ValueError with similar names if timm does not have a model."""
    import timm

    if timm.is_model(name):
        return
    candidates = [*others, *timm.list_models()]
    nearest = get_close_matches(name.lower().replace(" ", "_"), candidates, n=3, cutoff=0.7)
    nearest = nearest or get_close_matches(name, candidates, n=1, cutoff=0.0)
    raise ValueError(
        f"encoder must be {''.join(f'{other!r}, ' for other in others)}"
        f"{'or ' if others else ''}a model of timm.list_models(); got {name!r}. Did you mean "
        f"{' or '.join(map(repr, nearest))}?"
    )


def data_config(name: str) -> dict[str, Any]:
    """Return size, interpolation, mean, SD and crop of a model's images, as timm resolves them."""
    import timm
    from timm.data import resolve_data_config

    return resolve_data_config({}, pretrained_cfg=timm.get_pretrained_cfg(name).to_dict())


def pretrained_state(name: str) -> dict[str, Tensor]:
    """Return a model's pretrained weights without the classifier; timm may download them."""
    import timm

    try:
        return timm.create_model(name, pretrained=True, num_classes=0).state_dict()
    except (OSError, RuntimeError) as error:
        raise OSError(
            f"The pretrained weights of {name!r} cannot be loaded ({error}). Check the "
            "connection, choose a name from timm.list_pretrained(), or pass a local file as "
            "weights."
        ) from error


class BackboneEncoder(nn.Module):
    """A timm backbone, with a linear map of its pooled features if a size is given."""

    def __init__(self, backbone: str, embedding_dim: int | None = None, dropout: float = 0.1):
        import timm

        super().__init__()
        self.config = data_config(backbone)
        self.backbone = timm.create_model(backbone, num_classes=0)
        n_features = getattr(self.backbone, "head_hidden_size", self.backbone.num_features)
        self.n_features = n_features if embedding_dim is None else embedding_dim
        self.projection: nn.Module = nn.Identity()
        if embedding_dim is not None:
            linear = nn.Linear(n_features, embedding_dim)
            self.projection = nn.Sequential(nn.Dropout(dropout), linear)

    def load_weights(self, state: Mapping[str, Tensor], *, name: str = "The weights") -> None:
        """Load weights of the timm model, except those of its classifier."""
        heads = self.backbone.pretrained_cfg.get("classifier") or ()
        heads = (heads,) if isinstance(heads, str) else heads
        prefixes = tuple(f"{head}." for head in heads)
        kept = {entry: value for entry, value in state.items() if not entry.startswith(prefixes)}
        load_state(self.backbone, kept, name=name)


class LandmarkImageEncoder(BackboneEncoder):
    """Draw a clip of landmarks as an image and encode it with an image model.

    Rows are landmarks in the order of their scheme. Columns are times, evenly spaced from the
    first to the last frame. Channels are x, y and z (zero for clips with two coordinates). Rows
    are resized with the model's interpolation, with antialiasing; columns are interpolated
    linearly between frames. A displacement of 0 gives the mean colour of the model's images, and
    a displacement of 1 lies one standard deviation above it, so the values match normalised
    images. All images have the same width, so they do not show the duration of a clip.

    Parameters
    ----------
    backbone : str
        Name of a timm model.
    n_landmarks : int
        Number of landmarks of a frame.
    n_dims : int
        Number of coordinates of a landmark, 2 or 3.
    embedding_dim : int or None, default=None
        Size of the embedding; None gives the pooled features themselves.
    dropout : float, default=0.1
        Dropout probability of the pooled features before the linear map.
    mirror : sequence of int or None, default=None
        Index of the mirrored landmark of each landmark. If given, half of the clips are mirrored
        in training mode, and in evaluation mode, the embedding is the mean over the clip and its
        mirror image.

    Examples
    --------
    >>> import torch
    >>> from smilefusion.nn.encoders._timm import LandmarkImageEncoder
    >>> encoder = LandmarkImageEncoder("test_vit", 478, 3, embedding_dim=16)
    >>> landmarks, mask = torch.zeros(2, 32, 478, 3), torch.ones(2, 32, dtype=torch.bool)
    >>> encoder.draw(landmarks, mask).shape
    torch.Size([2, 3, 160, 160])
    >>> encoder(landmarks, mask).shape
    torch.Size([2, 16])
    """

    def __init__(
        self,
        backbone: str,
        n_landmarks: int,
        n_dims: int,
        embedding_dim: int | None = None,
        dropout: float = 0.1,
        mirror: Sequence[int] | None = None,
    ):
        super().__init__(backbone, embedding_dim, dropout)
        order = None if mirror is None else torch.tensor(mirror)
        self.register_buffer("mirror", order, persistent=False)

    def forward(
        self,
        landmarks: Tensor,
        mask: Tensor,
        time: Tensor | None = None,
        duration: Tensor | None = None,
    ) -> Tensor:
        """Return the embeddings.

        Parameters
        ----------
        landmarks : tensor of shape (B, T, n_landmarks, n_dims)
            Displacements from the resting face, of about unit size.
        mask : bool tensor of shape (B, T)
            True for the frames of a clip, False for padding, which comes last.
        time, duration : tensor, default=None
            Ignored; other encoders use them.

        Returns
        -------
        embedding : tensor of shape (B, embedding_dim or n_features)
            One vector per clip.
        """
        if self.training or self.mirror is None:
            views = [mirror_some(landmarks, self.mirror)]
        else:
            views = [landmarks, mirror_all(landmarks, self.mirror)]
        features = [self.backbone(self.draw(view, mask)) for view in views]
        return torch.stack([self.projection(each) for each in features]).mean(dim=0)

    def draw(self, landmarks: Tensor, mask: Tensor) -> Tensor:
        """Draw clips as images.

        Parameters
        ----------
        landmarks : tensor of shape (B, T, n_landmarks, n_dims)
            Displacements from the resting face, of about unit size.
        mask : bool tensor of shape (B, T)
            True for the frames of a clip, False for padding, which comes last.

        Returns
        -------
        images : tensor of shape (B, 3, height, width)
            Rows are landmarks, columns are times.
        """
        n_channels, height, width = self.config["input_size"]
        image = landmarks.permute(0, 3, 2, 1)  # (B, n_dims, N, T)
        image = F.pad(image, (0, 0, 0, 0, 0, n_channels - image.shape[1]))  # (B, 3, N, T)
        mode = self.config["interpolation"]
        image = F.interpolate(image, (height, image.shape[3]), mode=mode, antialias=True)
        last = mask.sum(dim=1, keepdim=True) - 1  # (B, 1)
        moment = last * torch.linspace(0, 1, width, device=image.device, dtype=image.dtype)
        before = moment.floor().long()  # (B, width)
        after = (before + 1).minimum(last)
        share = (moment - before)[:, None, None]
        left, right = (_take_columns(image, column) for column in (before, after))
        return left + share * (right - left)  # (B, 3, height, width)


class FrameEncoder(BackboneEncoder):
    """Encode the frames of clips with an image backbone and average the embeddings.

    Parameters
    ----------
    backbone : str
        Name of a timm model.
    embedding_dim : int or None, default=None
        Size of the embedding; None gives the pooled features themselves.
    dropout : float, default=0.1
        Dropout probability of the pooled features before the linear map.
    augment : bool, default=False
        Whether to mirror half of the training clips.

    Examples
    --------
    >>> import torch
    >>> from smilefusion.nn.encoders._timm import FrameEncoder
    >>> encoder = FrameEncoder("test_vit", embedding_dim=16)
    >>> frames = torch.zeros(2, 4, 3, 160, 160, dtype=torch.uint8)
    >>> encoder(frames, torch.ones(2, 4, dtype=torch.bool)).shape
    torch.Size([2, 16])
    """

    def __init__(
        self,
        backbone: str,
        embedding_dim: int | None = None,
        dropout: float = 0.1,
        augment: bool = False,
    ):
        super().__init__(backbone, embedding_dim, dropout)
        self.augment = augment
        for name in ("mean", "std"):
            value = 255 * torch.tensor(self.config[name]).view(-1, 1, 1)
            self.register_buffer(name, value, persistent=False)

    def forward(self, frames: Tensor, mask: Tensor) -> Tensor:
        """Return the embeddings.

        Parameters
        ----------
        frames : uint8 tensor of shape (B, T, 3, height, width)
            Frames in the image size of the model.
        mask : bool tensor of shape (B, T)
            True for the frames of a clip.

        Returns
        -------
        embedding : tensor of shape (B, embedding_dim or n_features)
            One vector per clip.
        """
        if self.training and self.augment:
            chosen = torch.rand(len(frames), device=frames.device) < 0.5
            frames = torch.where(chosen[:, None, None, None, None], frames.flip(-1), frames)
        images = (frames[mask] - self.mean) / self.std  # (n_seen, 3, H, W)
        features = self.backbone(images)  # (n_seen, n_features)
        spread = features.new_zeros(*mask.shape, features.shape[1])
        spread[mask] = features  # (B, T, n_features)
        return self.projection(spread.sum(dim=1) / mask.sum(dim=1, keepdim=True))


def _take_columns(image: Tensor, column: Tensor) -> Tensor:
    """Return columns (B, W) of images (B, C, H, T) as (B, C, H, W)."""
    index = column[:, None, None].expand(-1, *image.shape[1:3], -1)
    return image.gather(3, index)
