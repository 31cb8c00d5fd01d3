"""DeepFeatureExtractor: clips of landmarks to an embedding, by a network trained on them."""

import os
from numbers import Integral, Real

import numpy as np
from sklearn.base import (
    BaseEstimator,
    ClassNamePrefixFeaturesOutMixin,
    TransformerMixin,
    _fit_context,
)
from sklearn.utils import gen_batches
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.validation import check_is_fitted

from smilefusion._storage._cache import ClipCache
from smilefusion._training._trainer import TRAINING_CONSTRAINTS, restored_on_error
from smilefusion.clips._rates import FPS_RANGE
from smilefusion.estimators._clip_inputs import clips_at_once
from smilefusion.estimators._deep_network import DeepNetwork
from smilefusion.estimators._encoder_inputs import check_same_kind
from smilefusion.estimators._encoders import ENCODER_CONSTRAINTS
from smilefusion.estimators._frozen import embed_frozen


class DeepFeatureExtractor(
    ClassNamePrefixFeaturesOutMixin, TransformerMixin, DeepNetwork, BaseEstimator
):
    """Turn clips into an embedding that a network learns, with labels or without.

    Of landmarks the head's pose is taken out, and `n_frames` frames spread evenly over the clip
    are encoded as displacements from the resting face. Image models of timm see these
    displacements as a picture, landmarks down and time across, or take clips of images. The
    published encoder sees the coordinates themselves.

    Parameters
    ----------
    encoder : str, default="mesh_transformer"
        The network: "mesh_transformer"; "curvenet", the published encoder, which sees
        coordinates that the training clips scale to 0 ... 1 and whose `embedding_dim` is a
        multiple of 4; or any model of `timm.list_models`, whose pooled features are embedded.
    objective : {"supervised", "reconstruction", "frozen"}, default="supervised"
        What the network learns: to classify the labels y; to reconstruct clips of which
        landmarks and frames are hidden, without labels; or nothing beyond `weights`.
    embedding_dim : int, default=256
        Size of the embedding. A frozen timm model gives its pooled features as they are, whose
        number is the model's own.
    weights : str, path-like or None, default=None
        Weights that the encoder starts from: a ``.safetensors`` file or a state dict of
        `torch.save`, read without running code. Their names are those of
        ``net_.module_.encoder.state_dict()``, or of the timm model, whose classifier is left
        out.
    pretrained : bool, default=False
        Whether a timm model starts from timm's pretrained weights, downloaded where needed.
    n_frames : int, default=32
        Number of frames that are encoded, evenly spaced over those with a face. Shorter clips
        are encoded whole.
    fps : float or None, default=None
        Frames per second of all clips. None takes what each clip states (`ClipSequence.fps`).
        If the clips state no rate, times are in frames, with a FrameRateWarning.
    scaling : tuple of (offset, scale) or None, default=None
        What is subtracted from landmarks and what they are divided by, such as ``offset_`` and
        ``scale_`` of the extractor whose weights are taken. None learns them from the training
        clips, so that the embedding of a clip by a frozen network still depends on these.
    cache : str, path-like, ClipCache or None, default=None
        Folder, or `ClipCache`, that keeps the embeddings of a frozen network; it never changes a
        result. A network that is trained does not use it.
    augment : bool, default=True
        Whether half of the clips that the network sees in training are mirrored; the published
        encoder sees them as they are.
    max_epochs : int, default=100
        Number of passes over the training clips, at most.
    lr : float, default=0.001
        Learning rate.
    weight_decay : float, default=0.05
        Decoupled weight decay of AdamW.
    batch_size : int, default=32
        Number of clips in a training step.
    dropout : float, default=0.2
        Dropout probability inside the network.
    class_weight : {"balanced"}, dict or None, default=None
        Weights of the classes in the loss, as in scikit-learn.
    early_stopping : bool, default=True
        Whether to set aside a part of the training clips, stop when its loss no longer falls,
        and keep the weights of the best epoch.
    validation_fraction : float, default=0.15
        Share of the training clips set aside; whole groups where `groups` are given.
    patience : int, default=10
        Number of epochs without improvement after which training stops.
    warmup_epochs : int, default=0
        Number of epochs over which the learning rate rises linearly to `lr`.
    lr_schedule : {"cosine"} or None, default=None
        Whether the learning rate then falls to zero along a cosine by the last epoch.
    gradient_clip : float or None, default=None
        Greatest norm of the gradient; a longer one is cut to it.
    device : str, default="auto"
        Torch device of the training; "auto" takes a CUDA GPU where there is one. The fitted
        model lies on the CPU.
    deterministic : bool, default=False
        Whether a GPU gives the same bits every time, where the CPU does so anyway; slower.
    n_threads : int or None, default=1
        Number of CPU threads for training and prediction. None keeps torch's own setting. More
        threads speed up large encoders but may change the last bits of the result.
    precision : {"float32", "float64"}, default="float32"
        Arithmetic of the network.
    random_state : int, RandomState instance or None, default=None
        Seed of the weights, the order of the batches, dropout, mirroring and validation split.
    verbose : int, default=0
        1 prints a line per epoch, 2 shows a progress bar too.
    callbacks : list, default=None
        Further skorch callbacks.
    net_params : dict, default=None
        Further parameters of `skorch.NeuralNet`; ``{"module__depth": 4}`` reaches the encoder.

    Attributes
    ----------
    net_ : skorch.NeuralNet
        The fitted net.
    input_ : {"landmarks", "frames"}
        What the clips seen in `fit` hold.
    classes_ : ndarray of shape (n_classes,)
        The class labels seen in `fit`, of a supervised network.
    device_ : str
        Torch device that `fit` used.
    split_ : dict
        Subjects trained on, ``train``, and set aside, ``early_stopping``, None where `fit` had no
        `groups`; numbers of clips, ``n_train`` and ``n_early_stopping``.
    offset_, scale_ : float or ndarray of shape (n_dims,)
        Subtracted from landmarks, and divided by, as given or learned: 0 and the root
        mean square displacement of the training clips, in inter-ocular distances; or the
        coordinates' least value and range.
    n_landmarks_, n_dims_ : int
        Number of landmarks of a frame, and of coordinates of a landmark.

    See Also
    --------
    DMarkerTransformer : The handcrafted stream.

    Notes
    -----
    The embedding of a clip does not depend on the clips that it is computed with; where the
    network is frozen, not even in its last bits. With the same `random_state` the result is the
    same bit for bit on the CPU.

    A supervised network pulls the classes of its training clips further apart than those of new
    clips; one that reconstructs, or is frozen, embeds both alike. The picture that image models
    see is described at `smilefusion.nn.LandmarkImageEncoder`, the hidden parts at
    `smilefusion.nn.ReconstructionNetwork`. Images are sized by timm's evaluation transform, and
    their embeddings averaged over the clip.

    References
    ----------
    Faroque et al.: Less is More: Facial Landmarks can Recognize a Spontaneous Smile
    (MeshSmileNet), BMVC 2022, arXiv 2210.04240.

    Examples
    --------
    >>> from smilefusion import DeepFeatureExtractor
    >>> from smilefusion.datasets import make_smiles
    >>> smiles = make_smiles(8, n_subjects=4, fps=25, random_state=0)
    >>> extractor = DeepFeatureExtractor(embedding_dim=16, max_epochs=1, random_state=0)
    >>> extractor.fit_transform(smiles.clips, smiles.target).shape
    (8, 16)
    """

    __metadata_request__fit = {"groups": True, "early_stopping_mask": True}

    _parameter_constraints = {
        **TRAINING_CONSTRAINTS,
        **ENCODER_CONSTRAINTS,
        "objective": [StrOptions({"supervised", "reconstruction", "frozen"})],
        "n_frames": [Interval(Integral, 2, None, closed="left")],
        "fps": [Interval(Real, *FPS_RANGE, closed="both"), None],
        "scaling": ["array-like", None],
        "cache": [str, os.PathLike, ClipCache, None],
    }

    def __init__(
        self,
        encoder="mesh_transformer",
        *,
        objective="supervised",
        embedding_dim=256,
        weights=None,
        pretrained=False,
        n_frames=32,
        fps=None,
        scaling=None,
        cache=None,
        augment=True,
        max_epochs=100,
        lr=1e-3,
        weight_decay=5e-2,
        batch_size=32,
        dropout=0.2,
        class_weight=None,
        early_stopping=True,
        validation_fraction=0.15,
        patience=10,
        warmup_epochs=0,
        lr_schedule=None,
        gradient_clip=None,
        device="auto",
        deterministic=False,
        n_threads=1,
        precision="float32",
        random_state=None,
        verbose=0,
        callbacks=None,
        net_params=None,
    ):
        self.encoder = encoder
        self.objective = objective
        self.embedding_dim = embedding_dim
        self.weights = weights
        self.pretrained = pretrained
        self.n_frames = n_frames
        self.fps = fps
        self.scaling = scaling
        self.cache = cache
        self.augment = augment
        self.max_epochs = max_epochs
        self.lr = lr
        self.weight_decay = weight_decay
        self.batch_size = batch_size
        self.dropout = dropout
        self.class_weight = class_weight
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.patience = patience
        self.warmup_epochs = warmup_epochs
        self.lr_schedule = lr_schedule
        self.gradient_clip = gradient_clip
        self.device = device
        self.deterministic = deterministic
        self.n_threads = n_threads
        self.precision = precision
        self.random_state = random_state
        self.verbose = verbose
        self.callbacks = callbacks
        self.net_params = net_params

    @restored_on_error
    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X, y=None, groups=None, sample_weight=None, early_stopping_mask=None):
        """Train the network, or load its weights if it is frozen.

        Parameters
        ----------
        X : sequence of clips
            Clips of landmarks as `smilefusion.clips.check_clips` takes them or, for image
            models, of frames (n_frames, height, width, 3), uint8 or floating point in 0 to 1.
        y : array-like of shape (n_clips,), default=None
            Class labels, which a supervised network needs and others ignore.
        groups : array-like of shape (n_clips,), default=None
            Subject of each clip; the early-stopping split never cuts through one.
        sample_weight : array-like of shape (n_clips,), default=None
            Weights of the clips in the loss.
        early_stopping_mask : array-like of bool, shape (n_clips,), default=None
            Clips that are used only for early stopping. If None, they are drawn at random.

        Returns
        -------
        self : DeepFeatureExtractor
            The fitted extractor.

        Raises
        ------
        InvalidClipError
            If a clip breaks a rule.
        InvalidDataError
            If the weight file cannot be read, or does not fit the encoder.
        OSError
            If the pretrained weights cannot be loaded.
        ValueError
            If labels, groups or parameters do not fit together, or the encoder is unknown.
        """
        self._fit(X, y, groups, sample_weight, early_stopping_mask)
        return self

    @restored_on_error
    @_fit_context(prefer_skip_nested_validation=True)
    def fit_transform(self, X, y=None, groups=None, sample_weight=None, early_stopping_mask=None):
        """Train the network and return the embedding of the training clips.

        Parameters
        ----------
        X : sequence of clips
            Clips of landmarks as `smilefusion.clips.check_clips` takes them or, for image
            models, of frames (n_frames, height, width, 3), uint8 or floating point in 0 to 1.
        y : array-like of shape (n_clips,), default=None
            Class labels, which a supervised network needs and others ignore.
        groups : array-like of shape (n_clips,), default=None
            Subject of each clip; the early-stopping split never cuts through one.
        sample_weight : array-like of shape (n_clips,), default=None
            Weights of the clips in the loss.
        early_stopping_mask : array-like of bool, shape (n_clips,), default=None
            Clips that are used only for early stopping. If None, they are drawn at random.

        Returns
        -------
        embedding : ndarray of shape (n_clips, n_features_out)
            One row per clip, as `fit` and then `transform` give it.

        Raises
        ------
        InvalidClipError
            If a clip breaks a rule.
        InvalidDataError
            If the weight file cannot be read, or does not fit the encoder.
        OSError
            If the pretrained weights cannot be loaded.
        ValueError
            If labels, groups or parameters do not fit together, or the encoder is unknown.
        """
        frames, inputs = self._fit(X, y, groups, sample_weight, early_stopping_mask)
        if self.objective == "frozen":
            return self.transform(X)
        if frames is None:  # images
            return self._embed(inputs)
        parts = gen_batches(len(inputs["length"]), clips_at_once(self.batch_size))
        own = ({name: values[part] for name, values in inputs.items()} for part in parts)
        return np.concatenate([self._embed(self._place(frames, each)) for each in own])

    def transform(self, X):
        """Return the embedding of clips.

        Parameters
        ----------
        X : sequence of clips
            Clips of landmarks as `smilefusion.clips.check_clips` takes them or, for image
            models, of frames (n_frames, height, width, 3), uint8 or floating point in 0 to 1.

        Returns
        -------
        embedding : ndarray of shape (n_clips, n_features_out)
            One row per clip.

        Raises
        ------
        InvalidClipError
            If a clip breaks a rule or has other landmarks than the training clips.
        """
        check_is_fitted(self)
        clips, kind = self._check_input(X, getattr(self, "time_unit_", None))
        check_same_kind(self, clips, kind)
        if self.objective == "frozen":
            return embed_frozen(self, clips)
        # A few clips at a time, since they are large.
        n_at_once = self.batch_size if kind == "frames" else clips_at_once(self.batch_size)
        parts = [clips[p] for p in gen_batches(len(clips), n_at_once)]
        return np.concatenate([self._embed(self._scale(self._inputs(part))) for part in parts])

    def __sklearn_tags__(self):
        """Declare the need of labels."""
        tags = super().__sklearn_tags__()
        tags.target_tags.required = self.objective == "supervised"
        return tags
