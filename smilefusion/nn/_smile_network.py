"""The whole network: an encoder of clips, D-Markers fused or predicted, and the head."""

import torch
from torch import nn

from smilefusion.nn._two_stream import ClassificationHead, build_fusion

ROLES = ("fuse", "auxiliary", "none")


class SmileNetwork(nn.Module):
    """Encode clips and classify them, with D-Markers as a second stream, a second task or not.

    Parameters
    ----------
    encoder : type
        Module class whose instances map named inputs to (B, embedding_dim).
    fusion : str or type, default="hadamard"
        A key of `smilefusion.nn.FUSIONS` or a module class of the same form; used by "fuse".
    dmarkers : {"fuse", "auxiliary", "none"}, default="fuse"
        What D-Markers are: a stream that is fused with the embedding (HadaSmileNet), values that
        the embedding must predict as a second task (DeepMarkerNet), or nothing (MeshSmileNet).
    dmarker_dim : int, default=225
        Number of D-Markers.
    embedding_dim : int, default=256
        Size of the embedding.
    dim : int, default=256
        Size of the space in which the streams are fused.
    dropout : float, default=0.1
        Dropout probability of encoder and fusion.
    n_outputs : int, default=1
        Number of logits: 1 for two classes, else the number of classes.
    fusion_params : dict, default=None
        Further keyword arguments of the strategy.
    mixed_precision : bool, default=False
        Whether the network computes in bfloat16 where torch deems that safe.
    published_start : bool, default=False
        Whether the strategy's linear maps start as torch draws them, as published, also where
        biases of 1 are better (see `smilefusion.nn.FUSIONS`).
    **encoder_params : dict
        Further keyword arguments of the encoder.

    References
    ----------
    Hasan, Mohammed, Rahman, Koehn: HadaSmileNet, ICDM 2025, arXiv 2509.18550. Hasan et al.:
    DeepMarkerNet, Pattern Recognition Letters 2024. Faroque et al.: MeshSmileNet, BMVC 2022.
    """

    def __init__(
        self,
        encoder,
        fusion="hadamard",
        dmarkers="fuse",
        dmarker_dim=225,
        embedding_dim=256,
        dim=256,
        dropout=0.1,
        n_outputs=1,
        fusion_params=None,
        mixed_precision=False,
        published_start=False,
        **encoder_params,
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
            fused_dim = self.fusion.out_dim
            if published_start:
                self.fusion.apply(_draw_anew)
        elif dmarkers == "auxiliary":
            self.dmarker_head = ClassificationHead(embedding_dim, dmarker_dim)
        self.head = ClassificationHead(fused_dim, n_outputs)

    def forward_streams(self, dmarker=None, **inputs):
        """Return the embedding and the vector that the head sees.

        Parameters
        ----------
        dmarker : tensor of shape (B, dmarker_dim), default=None
            D-Markers; needed where they are fused.
        **inputs : tensors of B entries each
            The encoder's inputs, by the names that its `forward` takes.

        Returns
        -------
        deep : tensor of shape (B, embedding_dim)
            The embedding.
        fused : tensor of shape (B, out_dim)
            The fused vector; the embedding where nothing is fused.
        """
        kind = next(self.parameters()).device.type
        with torch.autocast(kind, torch.bfloat16, enabled=self.mixed_precision):
            deep = self.encoder(**inputs)
            fused = deep if self.fusion is None else self.fusion(deep, dmarker)
        return (deep.float(), fused.float()) if self.mixed_precision else (deep, fused)

    def forward_both(self, **inputs):
        """Return what `forward_streams` does, side by side.

        Parameters
        ----------
        **inputs : tensors of B entries each
            As `forward_streams` takes them.

        Returns
        -------
        both : tensor of shape (B, embedding_dim + out_dim)
            The embedding, then the vector that the head sees.
        """
        return torch.cat(self.forward_streams(**inputs), dim=1)

    def forward_features(self, **inputs):
        """Return the vectors that the head sees.

        Parameters
        ----------
        **inputs : tensors of B entries each
            As `forward_streams` takes them.

        Returns
        -------
        fused : tensor of shape (B, out_dim)
            The fused vector; the embedding where nothing is fused.
        """
        return self.forward_streams(**inputs)[1]

    def forward(self, dmarker=None, **inputs):
        """Return the logits and, where D-Markers are a second task and given, its error.

        Parameters
        ----------
        dmarker : tensor of shape (B, dmarker_dim), default=None
            D-Markers: needed where they are fused, the targets of the second task.
        **inputs : tensors of B entries each
            The encoder's inputs, by the names that its `forward` takes.

        Returns
        -------
        logits : tensor of shape (B, n_outputs)
            The log-odds of the second class, or one logit per class.
        error : tensor of shape (B,)
            Mean squared error of the predicted D-Markers of each clip.
        """
        deep, fused = self.forward_streams(dmarker, **inputs)
        logits = self.head(fused)
        if self.dmarker_head is None or dmarker is None:
            return logits
        return logits, (self.dmarker_head(deep) - dmarker).square().mean(dim=1)


def _draw_anew(module):
    """Draw the weights of a linear or bilinear map as torch does."""
    if isinstance(module, (nn.Linear, nn.Bilinear)):
        module.reset_parameters()
