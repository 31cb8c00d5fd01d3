"""HadaSmileNetClassifier: classify clips, with encoder and fusion trained together."""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from numbers import Integral, Real
from os import PathLike
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator, ClassifierMixin, _fit_context, clone
from sklearn.preprocessing import StandardScaler
from sklearn.utils import Tags, gen_batches, get_tags
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.validation import check_is_fitted
from skorch.callbacks import Callback
from torch import nn

from smilefusion._documentation import DocumentedEstimator
from smilefusion._training._batches import Arrays, ClipDataset, Tensors
from smilefusion._training._splits import check_groups
from smilefusion._training._trainer import (
    TRAINING_CONSTRAINTS,
    MultiTaskLoss,
    WeightedClassificationLoss,
    check_labels,
    draw_seeds,
    encode_labels,
    make_weights,
    network_dtype,
    network_on_device,
    restored_on_error,
    train_network,
)
from smilefusion.clips._rates import FPS_RANGE
from smilefusion.clips._sequence import ClipSequence, settle_fps
from smilefusion.dmarkers._markers import ignoring_data_warnings
from smilefusion.dmarkers._transformer import DMarkerTransformer
from smilefusion.estimators._augmentation import vary_clips
from smilefusion.estimators._base import TrainedClassifier
from smilefusion.estimators._encoders import (
    ENCODER_CONSTRAINTS,
    SIMULATED_SCALING,
    check_encoder,
    choose_encoder,
    encoder_invariances,
    has_simulated_start,
    initial_state,
)
from smilefusion.estimators._input_checks import check_landmarks, check_same_landmarks
from smilefusion.estimators._landmark_inputs import (
    check_range,
    check_windows,
    clips_at_once,
    collect_frames,
    describe_windows,
    learn_scaling,
    place_windows,
    scale_landmarks,
)
from smilefusion.nn._networks import ROLES, SmileNetwork, get_fusion
from smilefusion.tags import ClipInputTags


class HadaSmileNetClassifier(
    TrainedClassifier, ClassifierMixin, DocumentedEstimator, BaseEstimator
):
    """Classify clips of smiles with a network whose encoder and fusion are trained together.

    An encoder turns the landmarks of a clip into an embedding. The network fuses it with the
    D-Markers of the clip (HadaSmileNet [1]_), or learns to predict them as a second task
    (DeepMarkerNet [2]_), or does not use D-Markers (MeshSmileNet [3]_).

    Parameters
    ----------
    fusion : str or type, default="hadamard"
        Key of the fusion strategy, see `smilefusion.list_fusions`, or a `torch.nn.Module`
        class, as in `FusionClassifier`.
    encoder : str or type, default="mesh_transformer"
        "mesh_transformer", a small transformer that sees displacements from the resting face;
        a model of `timm.list_models`, which sees the displacements as an image (see
        `smilefusion.nn.LandmarkImageEncoder`); "curvenet", the published encoder, which
        sees coordinates scaled to 0 ... 1; or your own `torch.nn.Module` class, as in
        `DeepFeatureExtractor`.
    weights : str, path-like or None, default="auto"
        Initial weights of the encoder, as in `DeepFeatureExtractor`. "auto" uses "simulated"
        for a "mesh_transformer" of the default size, and random weights for other encoders.
    dmarkers : {"fuse", "auxiliary", "none"}, default="fuse"
        How the D-Markers are used: as a second stream, as a second task, or not at all.
    dmarker_transformer : DMarkerTransformer or None, default=None
        Transformer for the D-Markers, which are then standardised. None uses the defaults.
    fps : float or None, default=None
        Frames per second of all clips. None uses the rate of each clip (`ClipSequence.fps`).
        If the clips state no rate, times are in frames, with a FrameRateWarning.
    n_frames : int, default=32
        Number of frames per input of the network. Shorter clips use all their frames.
    windows : dict or None, default=None
        None uses `n_frames` evenly spaced frames of the smile, from 0.2 s before its onset to
        0.2 s after its offset, or of the whole clip if it shows no smile. A dict uses windows of
        `n_frames` consecutive frames of the smile, or of the whole clip for "curvenet": a random
        window per epoch in training, and evenly spaced windows at prediction, whose probabilities
        are averaged. ``n_windows`` is the number of windows at prediction (default 5). Two more
        keys are for ``encoder="curvenet"`` as published. ``dmarkers`` (default False) states
        whether to compute the published D-Markers of each window, without standardising them,
        instead of those of the clip. ``coordinate_range``, shape (2, n_dims), contains the
        minimum and maximum of the coordinates, which the encoder sees as 0 and 1 (default None:
        those of the training clips).
    augment : bool, default=True
        Whether to also train on a copy of each clip that is randomly cut at the start and end and
        has more noise, to mirror a random half of the clips in training, and to average the
        embeddings of each clip and its mirror image at prediction. With `windows`, there are no
        such copies. "curvenet" ignores it.
    embedding_dim : int, default=256
        Size of the embedding, a multiple of 4 for "curvenet".
    hidden_dim : int, default=256
        Size of the space in which the streams are fused.
    fusion_params : dict, default=None
        Additional keyword arguments of the fusion strategy.
    max_epochs : int, default=100
        Maximum number of passes over the training data.
    lr : float, default=0.0003
        Learning rate.
    weight_decay : float, default=0.05
        Weight decay of AdamW.
    batch_size : int, default=32
        Number of samples per training step.
    dropout : float, default=0.4
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
        network in double precision, and ``"module__mixed_precision": True`` in bfloat16 if torch
        considers it safe. ``"criterion__weight"`` (default 0.5) is the weight of the second task
        in the loss if ``dmarkers="auxiliary"``.

    Attributes
    ----------
    net_ : skorch.NeuralNet
        The fitted skorch net.
    classes_ : ndarray of shape (n_classes,)
        The class labels seen in `fit`.
    device_ : str
        Torch device used in `fit`.
    split_ : dict
        Early-stopping split: subjects in ``train`` and ``early_stopping`` (None if `fit` received
        no groups), and numbers of samples ``n_train`` and ``n_early_stopping``.
    dmarker_transformer_ : DMarkerTransformer or None
        The fitted transformer; None if no D-Markers are computed per clip.
    dmarker_scaler_ : StandardScaler or None
        The fitted scaler of the D-Markers.
    offset_, scale_ : ndarray of shape (n_dims,)
        The encoder sees ``(values - offset_) / scale_`` of displacements or coordinates.
    n_landmarks_, n_dims_ : int
        Number of landmarks per frame, and of coordinates per landmark.

    See Also
    --------
    make_fusion_pipeline : The same system in two stages, with one estimator each.

    Notes
    -----
    The probability of a clip does not depend on the other clips in the call. On the CPU, the
    same `random_state` gives bit-identical results.

    References
    ----------
    .. [1] Hasan, Mohammed, Rahman, Koehn: HadaSmileNet, ICDM 2025, arXiv 2509.18550.
    .. [2] Hasan et al.: DeepMarkerNet, Pattern Recognition Letters, 2024.
    .. [3] Faroque et al.: Less is More: Facial Landmarks can Recognize a Spontaneous Smile
       (MeshSmileNet), BMVC 2022, arXiv 2210.04240.

    Examples
    --------
    >>> from smilefusion import HadaSmileNetClassifier
    >>> from smilefusion.datasets import make_smiles
    >>> smiles = make_smiles(12, n_subjects=6, fps=25, random_state=0)
    >>> model = HadaSmileNetClassifier(
    ...     fps=25, embedding_dim=16, hidden_dim=16, max_epochs=2, patience=None,
    ...     random_state=0,
    ... )
    >>> model = model.fit(smiles.clips, smiles.target, groups=smiles.groups)
    >>> model.predict_proba(smiles.clips).shape
    (12, 2)
    """

    dmarker_transformer_: Any
    dmarker_scaler_: Any

    _parameter_constraints: dict = {
        "fusion": [str, type],
        **ENCODER_CONSTRAINTS,
        "dmarkers": [StrOptions(set(ROLES))],
        "dmarker_transformer": [DMarkerTransformer, None],
        "fps": [Interval(Real, *FPS_RANGE, closed="both"), None],
        "n_frames": [Interval(Integral, 1, None, closed="left")],
        "windows": [dict, None],
        "hidden_dim": [Interval(Integral, 1, None, closed="left")],
        "fusion_params": [dict, None],
        **TRAINING_CONSTRAINTS,
    }

    def __init__(
        self,
        fusion: str | type[torch.nn.Module] = "hadamard",
        *,
        encoder: str | type[torch.nn.Module] = "mesh_transformer",
        weights: str | PathLike[str] | None = "auto",
        dmarkers: str = "fuse",
        dmarker_transformer: DMarkerTransformer | None = None,
        fps: float | None = None,
        n_frames: int = 32,
        windows: dict[str, Any] | None = None,
        augment: bool = True,
        embedding_dim: int = 256,
        hidden_dim: int = 256,
        fusion_params: dict[str, Any] | None = None,
        max_epochs: int = 100,
        lr: float = 3e-4,
        weight_decay: float = 0.05,
        batch_size: int = 32,
        dropout: float = 0.4,
        class_weight: str | dict[Any, float] | None = None,
        patience: int | None = 10,
        validation_fraction: float = 0.15,
        device: str = "auto",
        n_threads: int | None = 1,
        random_state: int | np.random.RandomState | None = None,
        net_params: dict[str, Any] | None = None,
    ) -> None:
        self.fusion = fusion
        self.encoder = encoder
        self.weights = weights
        self.dmarkers = dmarkers
        self.dmarker_transformer = dmarker_transformer
        self.fps = fps
        self.n_frames = n_frames
        self.windows = windows
        self.augment = augment
        self.embedding_dim = embedding_dim
        self.hidden_dim = hidden_dim
        self.fusion_params = fusion_params
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
        y: ArrayLike,
        groups: ArrayLike | None = None,
        sample_weight: ArrayLike | None = None,
        early_stopping_mask: ArrayLike | None = None,
    ) -> Self:
        """Train the network.

        Parameters
        ----------
        X : sequence of clips
            Clips as `smilefusion.clips.check_clips` accepts them.
        y : array-like of shape (n_clips,)
            Class labels.
        groups : array-like of shape (n_clips,), default=None
            Subject of each clip. The early-stopping split keeps all clips of a subject together.
        sample_weight : array-like of shape (n_clips,), default=None
            Weight of each clip in the loss.
        early_stopping_mask : array-like of bool, shape (n_clips,), default=None
            Clips used only for early stopping. If None, they are drawn at random.

        Returns
        -------
        self : HadaSmileNetClassifier
            The fitted classifier.

        Raises
        ------
        InvalidClipError
            If a clip is invalid.
        InvalidDataError
            If the weight file cannot be read or does not fit the encoder.
        OSError
            If the pretrained weights cannot be loaded.
        DivergedTrainingError
            If the loss is not finite. The message names the epoch and the clips of the batch.
        ValueError
            If labels, groups or parameters are inconsistent, or the strategy or the
            encoder is unknown.
        """
        return self._fit(X, y, groups, sample_weight, early_stopping_mask)

    def _fit(
        self,
        X: Any,
        y: ArrayLike,
        groups: ArrayLike | None,
        sample_weight: ArrayLike | None,
        early_stopping_mask: ArrayLike | None,
        callbacks: Sequence[Callback] = (),
    ) -> Self:
        """Train the network with additional callbacks."""
        get_fusion(self.fusion)
        check_encoder(self)
        check_windows(self.windows)
        clips = self._check_clips(X)
        y = check_labels(y, len(clips), self)
        self.classes_, indices = encode_labels(y, self)
        groups = check_groups(clips.subjects if groups is None else groups, len(clips))
        self.n_landmarks_, self.n_dims_ = clips.n_landmarks, clips.n_dims
        self.time_unit_: str | None = clips.time_unit
        frames, inputs = self._collect_training(clips)
        self._fit_scaling(frames["landmarks"])
        params = self._network_params()
        self.net_, self.split_, self.device_ = train_network(
            self,
            SmileNetwork,
            params,
            inputs,
            indices,
            make_weights(y, self.class_weight, sample_weight),
            groups,
            early_stopping_mask=early_stopping_mask,
            initial=initial_state(self, SmileNetwork, params),
            criterion=self._criterion(),
            make_dataset=partial(
                ClipDataset,
                frames={name: torch.from_numpy(values) for name, values in frames.items()},
                n_frames=self.n_frames,
                random_windows=True,
                describe=self._window_description(),
            ),
            callbacks=callbacks,
        )
        return self

    def transform(self, X: Any) -> np.ndarray:
        """Return the fused features, the input of the last linear layer.

        Parameters
        ----------
        X : sequence of clips
            Clips as `smilefusion.clips.check_clips` accepts them.

        Returns
        -------
        features : ndarray of shape (n_clips, n_features)
            One row per clip, averaged over windows.
        """
        clips = self._check_fitted(X)
        return self._run("forward_features", clips, self._describe_dmarkers(clips)).mean(axis=0)

    def transform_streams(self, X: Any) -> dict[str, np.ndarray]:
        """Return both streams before fusion, and the fused features.

        Parameters
        ----------
        X : sequence of clips
            Clips as `smilefusion.clips.check_clips` accepts them.

        Returns
        -------
        streams : dict of str to ndarray of shape (n_clips, n_features)
            ``"deep"``, the embedding; ``"fused"``, the result of `transform`; and
            ``"dmarker"``, the standardised D-Markers, if they are fused and computed per clip.
            Each is the mean over windows. See
            `smilefusion.inspection.EmbeddingDisplay`.
        """
        clips = self._check_fitted(X)
        dmarkers = self._describe_dmarkers(clips)
        both = self._run("forward_both", clips, dmarkers).mean(axis=0)
        deep, fused = np.split(both, [self.net_.module_.embedding_dim], axis=1)
        return dmarkers | {"deep": deep, "fused": fused}

    def _check_clips(self, X: Any, fitted_unit: str | None = None) -> ClipSequence:
        """Return checked clips of landmarks with the frame rates to use."""
        remedy = "encode the images with DeepFeatureExtractor"
        clips = check_landmarks(X, taker=type(self).__name__, remedy=remedy)
        return settle_fps(clips, self.fps, fitted_unit=fitted_unit)

    def _fit_dmarkers(self, clips: ClipSequence) -> Arrays:
        """Fit the D-Marker transformer and scaler; return the scaled D-Markers."""
        self.dmarker_transformer_ = self.dmarker_scaler_ = None
        if self.dmarkers != "none" and not check_windows(self.windows).dmarkers:
            given = self.dmarker_transformer
            transformer = DMarkerTransformer() if given is None else clone(given)
            self.dmarker_transformer_ = transformer.set_output(transform="default")
            values = self.dmarker_transformer_.fit_transform(clips)
            self.dmarker_scaler_ = StandardScaler().fit(values)
            return {"dmarker": self.dmarker_scaler_.transform(values)}
        return {}

    def _describe_dmarkers(self, clips: ClipSequence, *, scaled: bool = True) -> Arrays:
        """Return the D-Markers that the network needs at prediction, if any."""
        if self.dmarkers != "fuse" or check_windows(self.windows).dmarkers:
            return {}
        values = self.dmarker_transformer_.transform(clips)
        return {"dmarker": self.dmarker_scaler_.transform(values) if scaled else values}

    def _collect_training(self, clips: ClipSequence) -> tuple[Arrays, Arrays]:
        """Return unscaled frames and inputs of clips, followed by those of changed copies."""
        dmarkers = self._fit_dmarkers(clips)
        if not self.augment or self.windows is not None or self.encoder == "curvenet":
            return self._collect(clips, dmarkers)
        rng, described = np.random.default_rng(draw_seeds(self.random_state)[0]), [dmarkers]

        def vary(held: ClipSequence) -> ClipSequence:
            copies = vary_clips(held, rng)
            if dmarkers:
                with ignoring_data_warnings():
                    values = self.dmarker_transformer_.transform(copies)
                described.append({"dmarker": self.dmarker_scaler_.transform(values)})
            return copies

        frames, inputs = self._collect(clips, {}, vary)
        for name in dmarkers:
            values = np.concatenate([each[name] for each in described])
            inputs[name] = values.astype(network_dtype(self))
        return frames, inputs

    def _collect(
        self,
        clips: ClipSequence,
        dmarkers: Arrays,
        vary: Callable[[ClipSequence], ClipSequence] | None = None,
    ) -> tuple[Arrays, Arrays]:
        """Return unscaled frames and inputs of clips in the network's dtype."""
        dtype = network_dtype(self)
        frames, inputs = collect_frames(
            clips,
            encoder=self.encoder,
            n_frames=self.n_frames if self.windows is None else None,
            dtype=dtype,
            vary=vary,
        )
        return frames, inputs | {name: values.astype(dtype) for name, values in dmarkers.items()}

    def _fit_scaling(self, landmarks: np.ndarray) -> None:
        """Learn the scaling of landmarks (n_all_frames, n_landmarks, n_dims); scale them."""
        limits = check_windows(self.windows).coordinate_range
        given: Any = check_range(limits, self.n_dims_, encoder=self.encoder)
        if has_simulated_start(self):
            given = SIMULATED_SCALING
        scaling = learn_scaling(landmarks, encoder=self.encoder) if given is None else given
        self.offset_, self.scale_ = (np.full(self.n_dims_, value) for value in scaling)
        scale_landmarks(landmarks, self.offset_, self.scale_)

    def _network_params(self) -> dict[str, Any]:
        """Return the arguments of the network."""
        encoder, params = choose_encoder(self)
        return params | {
            "encoder": encoder,
            "fusion": self.fusion,
            "dmarkers": self.dmarkers,
            "dim": self.hidden_dim,
            "n_outputs": 1 if len(self.classes_) == 2 else len(self.classes_),
            "fusion_params": self.fusion_params,
        }

    def _window_description(self) -> Callable[..., Tensors] | None:
        """Return the function that computes D-Markers of windows, or None."""
        if self.dmarkers == "none" or not check_windows(self.windows).dmarkers:
            return None
        if self.encoder != "curvenet" or self.n_landmarks_ != 478:
            raise ValueError(
                f"windows with dmarkers=True compute the published D-Markers, which need "
                f"encoder='curvenet' and 478 landmarks; got encoder={self.encoder!r} and "
                f"{self.n_landmarks_} landmarks. Remove dmarkers from windows."
            )
        return describe_windows

    def _criterion(self) -> type[nn.Module]:
        """Return the class of the loss."""
        return MultiTaskLoss if self.dmarkers == "auxiliary" else WeightedClassificationLoss

    def _check_fitted(self, X: Any) -> ClipSequence:
        """Return checked clips with the landmarks of the training clips."""
        check_is_fitted(self)
        clips = self._check_clips(X, self.time_unit_)
        check_same_landmarks(self, clips)
        return clips

    def _logits(self, X: Any) -> np.ndarray:
        """Return the network's outputs for clips, (n_views, n_clips, n_outputs)."""
        clips = self._check_fitted(X)
        return self._run("forward", clips, self._describe_dmarkers(clips))

    def _run(self, method: str, clips: ClipSequence, dmarkers: Arrays) -> np.ndarray:
        """Return the output of a method of the network, (n_views, n_clips, n_outputs)."""
        outputs = []
        with network_on_device(self, self.net_) as run:
            for part in gen_batches(len(clips), clips_at_once(self.batch_size)):
                chosen = {name: values[part] for name, values in dmarkers.items()}
                views = self._views(clips[part], chosen)
                outputs.append(np.stack([run(method, view) for view in views]))
        return np.concatenate(outputs, axis=1)

    def _test_views(self, X: Any, *, scaled: bool = True) -> list[Arrays]:
        """Return the network's inputs, a dict for each window."""
        clips = self._check_fitted(X)
        dmarkers = self._describe_dmarkers(clips, scaled=scaled)
        return list(self._views(clips, dmarkers, scaled=scaled))

    def _views(
        self, clips: ClipSequence, dmarkers: Arrays, *, scaled: bool = True
    ) -> Iterator[Arrays]:
        """Yield the network's inputs by window."""
        frames, inputs = self._collect(clips, dmarkers)
        if scaled:
            scale_landmarks(frames["landmarks"], self.offset_, self.scale_)
        n_windows = check_windows(self.windows).n_windows
        describe = self._window_description() if self.dmarkers == "fuse" else None
        if describe is not None:
            describe = partial(describe, names=clips.names)
        yield from place_windows(frames, inputs, self.n_frames, n_windows, describe)

    def __sklearn_tags__(self) -> Tags:
        """Declare clips as input, and the invariances of both streams."""
        tags = super().__sklearn_tags__()
        claimed = encoder_invariances(self)
        if self.dmarkers == "fuse" and claimed and self.dmarker_transformer is not None:
            of_dmarkers = get_tags(self.dmarker_transformer).input_tags.invariances
            claimed = tuple(change for change in claimed if change in of_dmarkers)
        tags.input_tags = ClipInputTags(invariances=claimed)
        return tags
