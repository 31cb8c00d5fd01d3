"""Networks: a fusion strategy or an encoder, or both, followed by the classification head."""

from collections.abc import Callable
from inspect import signature
from typing import Any

import torch
from torch import Tensor, nn

from smilefusion._messages import unknown_key
from smilefusion.nn._fusion import FUSIONS
from smilefusion.nn.encoders._mesh_transformer import MeshTransformer
from smilefusion.nn.published._encoder import PublishedEncoder

ENCODERS = {"mesh_transformer": MeshTransformer, "curvenet": PublishedEncoder}
ROLES = ("fuse", "auxiliary", "none")


def get_fusion(fusion: str | type[nn.Module]) -> type[nn.Module]:
    """Return the module class of a fusion key; return module classes as they are."""
    if isinstance(fusion, str):
        if fusion in FUSIONS:
            return FUSIONS[fusion]
        raise ValueError(unknown_key(fusion, FUSIONS, "fusion", ", or a torch.nn.Module class"))
    if isinstance(fusion, type) and issubclass(fusion, nn.Module):
        return fusion
    raise TypeError(
        f"fusion must be a key of smilefusion.list_fusions() or a torch.nn.Module class; got "
        f"{fusion!r}. Pass the class itself, not an instance."
    )


def build_fusion(
    fusion: str | type[nn.Module],
    deep_dim: int,
    dmarker_dim: int,
    dim: int,
    dropout: float,
    fusion_params: dict[str, Any] | None = None,
) -> nn.Module:
    """Build a fusion strategy and check that a user's own class follows the contract."""
    fusion_class = get_fusion(fusion)
    sizes, params = (deep_dim, dmarker_dim, dim, dropout), fusion_params or {}
    if fusion_class in FUSIONS.values():
        return fusion_class(*sizes, **params)
    name = fusion_class.__name__
    try:
        signature(fusion_class).bind(*sizes, **params)
    except TypeError as error:
        raise TypeError(
            f"{name} cannot be created with {name}(deep_dim, dmarker_dim, dim, dropout, "
            f"**fusion_params): {error}. Make the constructor accept these arguments."
        ) from error
    module = fusion_class(*sizes, **params)
    if not hasattr(module, "out_dim"):
        raise TypeError(
            f"{name} has no attribute out_dim, the number of values that its forward returns per "
            "clip. Set self.out_dim in its constructor."
        )
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        fused = module.eval()(torch.zeros(2, deep_dim), torch.zeros(2, dmarker_dim))
    if fused.shape != (2, module.out_dim):
        raise ValueError(
            f"{name} states out_dim={module.out_dim}, but its forward returns shape "
            f"{tuple(fused.shape)} for 2 clips; it must be (n_clips, out_dim). Correct out_dim or "
            "forward."
        )
    return module.train()


class ClassificationHead(nn.Sequential):
    """LayerNorm and one linear map to logits, common to all strategies."""

    def __init__(self, in_dim: int, n_outputs: int = 1):
        super().__init__(nn.LayerNorm(in_dim), nn.Linear(in_dim, n_outputs))


class TwoStreamNetwork(nn.Module):
    """Fusion of two feature streams, followed by the head.

    Parameters
    ----------
    fusion : str or type
        A key of `smilefusion.nn.FUSIONS` or a module class of the same form.
    deep_dim : int
        Size of the deep vector.
    dmarker_dim : int
        Number of D-Markers.
    dim : int, default=256
        Size of the common space.
    dropout : float, default=0.1
        Dropout probability inside the strategy.
    n_outputs : int, default=1
        Number of logits.
    fusion_params : dict, default=None
        Further keyword arguments of the strategy, for instance ``{"context": "dmarker"}``.

    Examples
    --------
    >>> import torch
    >>> network = TwoStreamNetwork("hadamard", deep_dim=256, dmarker_dim=225)
    >>> network(torch.zeros(4, 256), torch.zeros(4, 225)).shape
    torch.Size([4, 1])
    """

    def __init__(
        self,
        fusion: str | type[nn.Module],
        deep_dim: int,
        dmarker_dim: int,
        dim: int = 256,
        dropout: float = 0.1,
        n_outputs: int = 1,
        fusion_params: dict[str, Any] | None = None,
    ):
        super().__init__()
        self.fusion = build_fusion(fusion, deep_dim, dmarker_dim, dim, dropout, fusion_params)
        self.head = ClassificationHead(int(self.fusion.out_dim), n_outputs)

    def forward_features(self, deep: Tensor, dmarker: Tensor) -> Tensor:
        """Return the fused vectors.

        Parameters
        ----------
        deep : tensor of shape (n_clips, deep_dim)
            Deep vectors.
        dmarker : tensor of shape (n_clips, dmarker_dim)
            D-Markers.

        Returns
        -------
        fused : tensor of shape (n_clips, out_dim)
            One fused vector per clip.
        """
        return self.fusion(deep, dmarker)

    def forward(self, deep: Tensor, dmarker: Tensor) -> Tensor:
        """Return the logits of both streams.

        Parameters
        ----------
        deep : tensor of shape (n_clips, deep_dim)
            Deep vectors.
        dmarker : tensor of shape (n_clips, dmarker_dim)
            D-Markers.

        Returns
        -------
        logits : tensor of shape (n_clips, n_outputs)
            The log-odds of the second class, or one logit per class.
        """
        return self.head(self.forward_features(deep, dmarker))


class EncoderNetwork(nn.Module):
    """An encoder of clips, followed by the head.

    Parameters
    ----------
    encoder : type
        Module class whose instances map named inputs to (B, embedding_dim).
    embedding_dim : int
        Size of the embedding.
    dropout : float, default=0.1
        Dropout probability of the encoder and of the embedding before the head.
    n_outputs : int, default=1
        Number of logits.
    **encoder_params : dict
        Further keyword arguments of the encoder.
    """

    def __init__(
        self,
        encoder: Callable[..., nn.Module],
        embedding_dim: int,
        dropout: float = 0.1,
        n_outputs: int = 1,
        **encoder_params: Any,
    ):
        super().__init__()
        self.encoder = encoder(embedding_dim=embedding_dim, dropout=dropout, **encoder_params)
        self.dropout = nn.Dropout(dropout)
        self.head = ClassificationHead(embedding_dim, n_outputs)

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
        return self.encoder(**inputs)

    def forward(self, **inputs: Tensor) -> Tensor:
        """Return the logits of the encoder's inputs.

        Parameters
        ----------
        **inputs : tensors of n_clips entries each
            The inputs of the encoder's `forward`, by name.

        Returns
        -------
        logits : tensor of shape (n_clips, n_outputs)
            The log-odds of the second class, or one logit per class.
        """
        return self.head(self.dropout(self.forward_features(**inputs)))


class SmileNetwork(nn.Module):
    """Classify clips, with D-Markers as a second stream, as a second task, or without them."""

    def __init__(
        self,
        encoder: Callable[..., nn.Module],
        fusion: str | type[nn.Module] = "hadamard",
        dmarkers: str = "fuse",
        dmarker_dim: int = 225,
        embedding_dim: int = 256,
        dim: int = 256,
        dropout: float = 0.1,
        n_outputs: int = 1,
        fusion_params: dict[str, Any] | None = None,
        mixed_precision: bool = False,
        published_start: bool = False,
        **encoder_params: Any,
    ):
        super().__init__()
        self.mixed_precision = mixed_precision
        self.embedding_dim = embedding_dim
        self.encoder = encoder(embedding_dim=embedding_dim, dropout=dropout, **encoder_params)
        self.fusion = self.dmarker_head = None
        fused_dim = embedding_dim
        if dmarkers == "fuse":
            sizes = embedding_dim, dmarker_dim, dim, dropout
            self.fusion = build_fusion(fusion, *sizes, fusion_params)
            fused_dim = int(self.fusion.out_dim)
            if published_start:
                self.fusion.apply(_reset)
        elif dmarkers == "auxiliary":
            self.dmarker_head = ClassificationHead(embedding_dim, dmarker_dim)
        self.head = ClassificationHead(fused_dim, n_outputs)

    def forward_streams(
        self, dmarker: Tensor | None = None, **inputs: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Return the embedding (B, embedding_dim) and the input (B, out_dim) of the head."""
        kind = next(self.parameters()).device.type
        with torch.autocast(kind, torch.bfloat16, enabled=self.mixed_precision):
            deep = self.encoder(**inputs)
            fused = deep if self.fusion is None else self.fusion(deep, dmarker)
        return (deep.float(), fused.float()) if self.mixed_precision else (deep, fused)

    def forward_both(self, **inputs: Tensor) -> Tensor:
        """Return both results of `forward_streams` side by side, (B, embedding_dim + out_dim)."""
        return torch.cat(self.forward_streams(**inputs), dim=1)

    def forward_features(self, **inputs: Tensor) -> Tensor:
        """Return the vectors (B, out_dim) that the head sees."""
        return self.forward_streams(**inputs)[1]

    def forward(
        self, dmarker: Tensor | None = None, **inputs: Tensor
    ) -> Tensor | tuple[Tensor, Tensor]:
        """Return the logits, and the D-Markers' error (B,) if they are a second task and given."""
        deep, fused = self.forward_streams(dmarker, **inputs)
        logits = self.head(fused)
        if self.dmarker_head is None or dmarker is None:
            return logits
        return logits, (self.dmarker_head(deep) - dmarker).square().mean(dim=1)


def _reset(module: nn.Module) -> None:
    """Draw the weights of a linear or bilinear map like torch, as in the published code."""
    if isinstance(module, (nn.Linear, nn.Bilinear)):
        module.reset_parameters()
