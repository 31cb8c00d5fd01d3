"""DeepFeatureExtractor: embed clips with a trained or frozen network."""

import hashlib
import os
from collections.abc import Callable, Mapping
from functools import partial
from numbers import Integral, Real
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import ArrayLike
from sklearn.base import (
    BaseEstimator,
    ClassNamePrefixFeaturesOutMixin,
    TransformerMixin,
    _fit_context,
)
from sklearn.utils import Tags, gen_batches
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.validation import check_is_fitted
from torch import Tensor

from smilefusion._documentation import DocumentedEstimator
from smilefusion._storage._cache import ClipCache, as_cache
from smilefusion._storage._clip_keys import entry_keys
from smilefusion._training._batches import Arrays, ClipDataset, StreamDataset
from smilefusion._training._splits import check_groups, describe_split, split_by_mask
from smilefusion._training._torch_state import resolve_device
from smilefusion._training._trainer import (
    TRAINING_CONSTRAINTS,
    check_labels,
    draw_seeds,
    encode_labels,
    make_weights,
    network_dtype,
    network_on_device,
    restore_network,
    restored_on_error,
    train_network,
)
from smilefusion.clips._rates import FPS_RANGE
from smilefusion.clips._sequence import ClipSequence, settle_fps
from smilefusion.estimators._augmentation import vary_clips
from smilefusion.estimators._base import TrainedEstimator
from smilefusion.estimators._encoders import (
    ENCODER_CONSTRAINTS,
    SIMULATED_SCALING,
    check_encoder,
    check_objective,
    choose_network,
    encoder_invariances,
    has_simulated_start,
    initial_state,
)
from smilefusion.estimators._input_checks import check_input, check_same_kind, size_frames
from smilefusion.estimators._landmark_inputs import (
    check_scaling,
    clips_at_once,
    collect_frames,
    learn_scaling,
    place_windows,
    scale_landmarks,
)
from smilefusion.tags import ClipInputTags

# Increase this if the embedding changes for the same clip, settings and weights.
_METHOD_VERSION = 3
_FROZEN_CLIPS_AT_ONCE = 32
_FROZEN_BATCH = 4  # a larger batch is not faster


def digest_state(state: Mapping[str, Tensor]) -> str:
    """Return the SHA-256 of the names, types, shapes and values of a state dict."""
    digest = hashlib.sha256()
    for name, tensor in sorted(state.items()):
        array = np.ascontiguousarray(tensor.detach().cpu().numpy())
        digest.update(f"{name} {array.dtype.str} {tuple(tensor.shape)}".encode())
        digest.update(array.data)
    return digest.hexdigest()


class DeepFeatureExtractor(
    ClassNamePrefixFeaturesOutMixin,
    TransformerMixin,
    TrainedEstimator,
    DocumentedEstimator,
    BaseEstimator,
):
    """Turn clips into an embedding with a network that is trained or frozen.

    The network sees `n_frames` evenly spaced frames of the smile, from 0.2 s before its onset to
    0.2 s after its offset, or of the whole clip if it shows no smile. It sees them as
    displacements of the landmarks from the resting face, without head movement. Image models of
    timm see these displacements as an image with one row per landmark, or take clips of images.
    The published encoder sees coordinates scaled to 0 ... 1.

    Parameters
    ----------
    encoder : str or type, default="mesh_transformer"
        "mesh_transformer"; "curvenet", the published encoder; a model of `timm.list_models`,
        followed by a linear layer; or your own `torch.nn.Module` class, as described in
        `smilefusion.nn.OwnEncoder`.
    objective : {"supervised", "reconstruction", "frozen"}, default="supervised"
        Training objective: classify the labels y; reconstruct hidden landmarks and frames,
        without labels; or do not train, and keep the initial weights.
    embedding_dim : int, default=256
        Size of the embedding, a multiple of 4 for "curvenet". A frozen timm model ignores it
        and returns its pooled features.
    weights : str, path-like or None, default=None
        Initial weights of the encoder. "simulated" loads weights that the package contains, of a
        "mesh_transformer" that was trained without labels to reconstruct simulated smiles.
        "pretrained" loads timm's pretrained weights of a timm model and downloads them if
        necessary. A path points to a ``.safetensors`` file or a `torch.save` state dict, with the
        names of ``net_.module_.encoder.state_dict()``, of the timm model, or of your own class.
        It is read without running code.
    n_frames : int, default=32
        Number of frames that the network sees, evenly spaced over those with a face. Shorter
        clips use all their frames.
    fps : float or None, default=None
        Frames per second of all clips. None uses the rate of each clip (`ClipSequence.fps`).
        If the clips state no rate, times are in frames, with a FrameRateWarning.
    scaling : tuple of (offset, scale) or None, default=None
        The network sees (values - offset) / scale. With `weights` from a file, pass ``offset_``
        and ``scale_`` of the extractor that they come from. None uses the fixed scaling of
        ``weights="simulated"``; with other weights, it learns both from the training clips.
    cache : str, path-like, ClipCache or None, default=None
        Folder or `ClipCache` for the embeddings of a frozen network. It never changes a result.
        Trained networks and your own encoders ignore it.
    augment : bool, default=True
        Whether to also train on a copy of each clip that is randomly cut at the start and end and
        has more noise, to mirror a random half of the clips in training, and to average the
        embeddings of each clip and its mirror image in `transform`. Frozen networks only average,
        and clips of images are only mirrored in training. "curvenet" ignores it.
    max_epochs : int, default=100
        Maximum number of passes over the training data.
    lr : float, default=0.001
        Learning rate.
    weight_decay : float, default=0.05
        Weight decay of AdamW.
    batch_size : int, default=32
        Number of samples per training step.
    dropout : float, default=0.2
        Dropout probability.
    class_weight : {"balanced"}, dict or None, default=None
        Class weights in the loss, as in scikit-learn.
    patience : int or None, default=10
        Number of epochs without improvement before training stops and returns to the weights of
        the best epoch. None trains all `max_epochs` on all data.
    validation_fraction : float, default=0.15
        Share of the training data set aside for early stopping if `patience` is given. If `fit`
        receives groups, whole groups are set aside.
    device : str, default="auto"
        Torch device; "auto" uses a CUDA GPU if available. The fitted model stays on the CPU.
    n_threads : int or None, default=1
        Number of CPU threads; None keeps torch's setting. Values other than 1 may change the
        last bits of the result.
    random_state : int, RandomState instance or None, default=None
        Seed of the training.
    net_params : dict, default=None
        Additional parameters of `skorch.NeuralNet`, such as ``"callbacks"`` (a list),
        ``"verbose"``, ``"compile"`` and ``"optimizer"``. ``"module__dtype": "float64"`` trains the
        network in double precision.

    Attributes
    ----------
    net_ : skorch.NeuralNet
        The fitted skorch net.
    input_ : {"landmarks", "frames"}
        Whether the clips seen in `fit` hold landmarks or images.
    classes_ : ndarray of shape (n_classes,)
        The class labels seen in `fit`, if the network is supervised.
    device_ : str
        Torch device used in `fit`.
    split_ : dict
        Early-stopping split: subjects in ``train`` and ``early_stopping`` (None if `fit` received
        no groups), and numbers of samples ``n_train`` and ``n_early_stopping``.
    offset_, scale_ : float or ndarray of shape (n_dims,)
        Offset and scale, from `scaling` or learned: 0 and the root mean square displacement, or
        the minimum and range of the coordinates.
    n_landmarks_, n_dims_ : int
        Number of landmarks per frame, and of coordinates per landmark.

    See Also
    --------
    DMarkerTransformer : The other stream.

    Notes
    -----
    The embedding of a clip does not depend on the other clips in the call. With a frozen
    network, this holds to the last bit. On the CPU, the same `random_state` gives bit-identical
    results.

    A supervised network separates the classes of its training clips better than those of new
    clips. A reconstruction or frozen network treats both the same.
    `smilefusion.nn.LandmarkImageEncoder` describes the image that timm models see, and
    `smilefusion.nn.ReconstructionNetwork` the masking. Clips of images are resized by
    timm's evaluation transform, and the embeddings of their frames are averaged.

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

    _parameter_constraints: dict = {
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
        encoder: str | type[torch.nn.Module] = "mesh_transformer",
        *,
        objective: str = "supervised",
        embedding_dim: int = 256,
        weights: str | os.PathLike[str] | None = None,
        n_frames: int = 32,
        fps: float | None = None,
        scaling: tuple[Any, Any] | None = None,
        cache: str | os.PathLike[str] | ClipCache | None = None,
        augment: bool = True,
        max_epochs: int = 100,
        lr: float = 1e-3,
        weight_decay: float = 5e-2,
        batch_size: int = 32,
        dropout: float = 0.2,
        class_weight: str | dict[Any, float] | None = None,
        patience: int | None = 10,
        validation_fraction: float = 0.15,
        device: str = "auto",
        n_threads: int | None = 1,
        random_state: int | np.random.RandomState | None = None,
        net_params: dict[str, Any] | None = None,
    ) -> None:
        self.encoder = encoder
        self.objective = objective
        self.embedding_dim = embedding_dim
        self.weights = weights
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
        self.patience = patience
        self.validation_fraction = validation_fraction
        self.device = device
        self.n_threads = n_threads
        self.random_state = random_state
        self.net_params = net_params

    @restored_on_error
    @_fit_context(prefer_skip_nested_validation=True)
    def fit(
        self,
        X: Any,
        y: ArrayLike | None = None,
        groups: ArrayLike | None = None,
        sample_weight: ArrayLike | None = None,
        early_stopping_mask: ArrayLike | None = None,
    ) -> Self:
        """Train the network, or only load its weights if it is frozen.

        Parameters
        ----------
        X : sequence of clips
            Clips of landmarks as `smilefusion.clips.check_clips` accepts them or, for image
            models, of frames (n_frames, height, width, 3), uint8 or floating point in 0 to 1.
        y : array-like of shape (n_clips,), default=None
            Class labels. A supervised network requires them; others ignore them.
        groups : array-like of shape (n_clips,), default=None
            Subject of each clip. The early-stopping split keeps all clips of a subject together.
        sample_weight : array-like of shape (n_clips,), default=None
            Weight of each clip in the loss.
        early_stopping_mask : array-like of bool, shape (n_clips,), default=None
            Clips used only for early stopping. If None, they are drawn at random.

        Returns
        -------
        self : DeepFeatureExtractor
            The fitted extractor.

        Raises
        ------
        InvalidClipError
            If a clip is invalid.
        InvalidDataError
            If the weight file cannot be read or does not fit the encoder.
        OSError
            If the pretrained weights cannot be loaded.
        ValueError
            If labels, groups or parameters are inconsistent, or the encoder is unknown.
        """
        self._fit(X, y, groups, sample_weight, early_stopping_mask)
        return self

    @restored_on_error
    @_fit_context(prefer_skip_nested_validation=True)
    def fit_transform(
        self,
        X: Any,
        y: ArrayLike | None = None,
        groups: ArrayLike | None = None,
        sample_weight: ArrayLike | None = None,
        early_stopping_mask: ArrayLike | None = None,
    ) -> np.ndarray:
        """Train the network and return the embedding of the training clips.

        Parameters
        ----------
        X, y : sequence of clips, array-like of shape (n_clips,)
            Clips and labels, as in `fit`.
        groups, sample_weight, early_stopping_mask : array-like of shape (n_clips,), default=None
            Subjects, weights and early-stopping mask, as in `fit`.

        Returns
        -------
        embedding : ndarray of shape (n_clips, n_features_out)
            One row per clip, the same as from `fit` followed by `transform`.

        Raises
        ------
        InvalidClipError, InvalidDataError, OSError, ValueError
            As in `fit`.
        """
        frames, inputs = self._fit(X, y, groups, sample_weight, early_stopping_mask)
        if self.objective == "frozen":
            return self.transform(X)
        with network_on_device(self, self.net_) as run:
            if frames is None:  # images
                return run("forward_features", inputs)
            parts = gen_batches(len(X), clips_at_once(self.batch_size))
            chosen = ({name: values[part] for name, values in inputs.items()} for part in parts)
            places = (self._place(frames, each) for each in chosen)
            return np.concatenate([run("forward_features", each) for each in places])

    def transform(self, X: Any) -> np.ndarray:
        """Return the embedding of clips.

        Parameters
        ----------
        X : sequence of clips
            Clips of the same kind as in `fit`.

        Returns
        -------
        embedding : ndarray of shape (n_clips, n_features_out)
            One row per clip.

        Raises
        ------
        InvalidClipError
            If a clip is invalid, or its landmarks differ from those of the training clips.
        """
        check_is_fitted(self)
        clips, kind = self._check_input(X, getattr(self, "time_unit_", None))
        check_same_kind(self, clips, kind)
        if self.objective == "frozen":
            return self._embed_frozen(clips)
        # Only a few clips are in memory at a time.
        n_at_once = self.batch_size if kind == "frames" else clips_at_once(self.batch_size)
        with network_on_device(self, self.net_) as run:
            parts = (clips[p] for p in gen_batches(len(clips), n_at_once))
            inputs = (self._scale(self._inputs(part)) for part in parts)
            return np.concatenate([run("forward_features", each) for each in inputs])

    def _fit(
        self,
        X: Any,
        y: ArrayLike | None,
        groups: ArrayLike | None,
        sample_weight: ArrayLike | None,
        early_stopping_mask: ArrayLike | None,
    ) -> tuple[Arrays | None, Arrays]:
        """Fit the network; return those frames and inputs of the clips that the fit needed."""
        check_encoder(self)
        check_objective(self)
        clips, self.input_ = self._check_input(X)
        indices, weights = self._check_targets(y, len(clips), sample_weight)
        if groups is None and isinstance(clips, ClipSequence):
            groups = clips.subjects
        groups = check_groups(groups, len(clips))
        mask = early_stopping_mask
        kept = np.arange(len(clips)) if mask is None else split_by_mask(mask, len(clips))[0]
        frames: Arrays | None = None
        inputs: Arrays = {}
        if self.input_ == "landmarks":
            self.n_landmarks_, self.n_dims_ = clips.n_landmarks, clips.n_dims
            self.time_unit_ = clips.time_unit
            frames, inputs = self._fit_scaling(clips, kept)
        elif self.objective == "supervised":
            inputs = self._inputs(clips)
        module, params, criterion = choose_network(self)
        initial = initial_state(self, module, params)
        if self.objective == "frozen":
            self.net_ = restore_network(self, module, params, initial)
            self.split_ = describe_split(groups, kept, np.arange(0))
            self.device_ = resolve_device(self.device)
        else:
            make_dataset: Callable[..., StreamDataset] = StreamDataset
            if frames is not None:
                tensors = {name: torch.from_numpy(values) for name, values in frames.items()}
                make_dataset = partial(ClipDataset, frames=tensors, n_frames=self.n_frames)
            self.net_, self.split_, self.device_ = train_network(
                self,
                module,
                params,
                inputs,
                indices,
                weights,
                groups,
                initial=initial,
                criterion=criterion,
                early_stopping_mask=mask,
                make_dataset=make_dataset,
            )
        is_pooled = params["embedding_dim"] is None
        self._n_features_out = self.net_.module_.n_features if is_pooled else self.embedding_dim
        return frames, inputs

    def _fit_scaling(self, clips: ClipSequence, kept: np.ndarray) -> tuple[Arrays | None, Arrays]:
        """Set the scaling; return scaled frames and inputs unless the network is frozen."""
        scaling = check_scaling(self.scaling, self.n_dims_)
        if scaling is None and has_simulated_start(self):
            scaling = SIMULATED_SCALING
        frozen = self.objective == "frozen"
        if not frozen or scaling is None:
            vary = None
            if self.augment and not frozen and self.encoder != "curvenet":
                rng = np.random.default_rng(draw_seeds(self.random_state)[0])
                vary = partial(vary_clips, rng=rng)
            frames, inputs = self._collect(clips[kept] if frozen else clips, vary)
        if scaling is None:
            scaling = learn_scaling(frames["landmarks"], encoder=self.encoder)
        self.offset_, self.scale_ = scaling
        return (None, {}) if frozen else (self._scale(frames), inputs)

    def _check_targets(
        self, y: ArrayLike | None, n_clips: int, sample_weight: ArrayLike | None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return class indices, all 0 if labels are ignored, and weights of the clips."""
        if self.objective != "supervised":
            indices = np.zeros(n_clips)
            return indices, make_weights(indices, None, sample_weight)
        labels = check_labels(y, n_clips, self)
        self.classes_, indices = encode_labels(labels, self)
        return indices, make_weights(labels, self.class_weight, sample_weight)

    def _check_input(self, X: Any, fitted_unit: str | None = None) -> tuple[Any, str]:
        """Return checked clips with the frame rates to use, and "landmarks" or "frames"."""
        clips, kind = check_input(X, self.encoder)
        if kind == "landmarks":
            clips = settle_fps(clips, self.fps, fitted_unit=fitted_unit)
        return clips, kind

    def _inputs(self, clips: Any) -> Arrays:
        """Return the network's inputs for checked clips, with unscaled landmarks."""
        if self.input_ == "frames":
            return size_frames(clips, str(self.encoder), self.n_frames)
        return self._place(*self._collect(clips))

    def _collect(
        self, clips: ClipSequence, vary: Callable[[ClipSequence], ClipSequence] | None = None
    ) -> tuple[Arrays, Arrays]:
        """Return unscaled frames and inputs of clips, followed by those of changed copies."""
        return collect_frames(
            clips,
            encoder=self.encoder,
            n_frames=self.n_frames,
            dtype=network_dtype(self),
            vary=vary,
        )

    def _place(self, frames: Arrays, inputs: Arrays) -> Arrays:
        """Return the network's inputs from collected frames."""
        return next(place_windows(frames, inputs, self.n_frames, n_windows=1))

    def _scale(self, inputs: Arrays) -> Arrays:
        """Scale the landmarks, if any, in place; return the same dict."""
        if "landmarks" in inputs:
            scale_landmarks(inputs["landmarks"], self.offset_, self.scale_)
        return inputs

    def _embed_frozen(self, clips: Any) -> np.ndarray:
        """Return the embeddings of clips by a frozen network, from the cache if possible."""
        is_image = self.input_ == "frames"
        # Images of a batch would be padded to its longest clip.
        n_at_once = 1 if is_image else _FROZEN_CLIPS_AT_ONCE
        # The last bits of sums depend on the size of the batch, so all batches are of one size.
        size = 1 if is_image else _FROZEN_BATCH

        def compute(run: Callable[..., np.ndarray], places: Any) -> np.ndarray:
            chosen = [clips[place] for place in places] if is_image else clips[places]
            inputs = self._scale(self._inputs(chosen))
            filled = np.minimum(np.arange(-(-len(places) // size) * size), len(places) - 1)
            inputs = {name: values[filled] for name, values in inputs.items()}
            return run("forward", inputs)[: len(places)]

        on_device = network_on_device(self, self.net_, batch_size=size)
        # A change in the code of a user's encoder would go unnoticed in the cache.
        cache = None if isinstance(self.encoder, type) else as_cache(self.cache)
        if cache is None:
            places = np.arange(len(clips))
            parts = gen_batches(len(clips), n_at_once)
            with on_device as run:
                return np.concatenate([compute(run, places[part]) for part in parts])
        rates = [np.nan] * len(clips) if is_image else clips.fps.tolist()
        known = [None if np.isnan(rate) else rate for rate in rates]
        packages = ("numpy", "torch", "timm")
        keys = entry_keys(clips, self._frozen_settings(), known, packages=packages)
        with on_device as run:
            entries = cache.fetch(
                keys,
                lambda places: [{"embedding": row} for row in compute(run, places)],
                n_at_once=n_at_once,
            )
        return np.stack([entry["embedding"] for entry in entries])

    def _frozen_settings(self) -> dict[str, Any]:
        """Return everything that affects an embedding except the clip and its frame rate."""
        module = self.net_.get_params_for("module")
        settings = {
            "result": "embedding",
            "method": _METHOD_VERSION,
            "network": type(self.net_.module_).__qualname__,
            "module": {name: repr(value) for name, value in module.items()},
            "weights": digest_state(self.net_.module_.state_dict()),
            "input": self.input_,
            "encoder": self.encoder,
            "n_frames": int(self.n_frames),
            "dtype": network_dtype(self),
            "n_threads": self.n_threads,
            "device": resolve_device(self.device).partition(":")[0],
        }
        if self.input_ == "landmarks":
            for name in ("offset_", "scale_"):
                settings[name] = np.ravel(getattr(self, name)).tolist()
        return settings

    def __sklearn_tags__(self) -> Tags:
        """Declare clips as input, and whether labels are required."""
        tags = super().__sklearn_tags__()
        tags.input_tags = ClipInputTags(invariances=encoder_invariances(self))
        tags.target_tags.required = self.objective == "supervised"
        return tags
