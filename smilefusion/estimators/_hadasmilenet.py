"""HadaSmileNetClassifier: clips to classes, encoder and fusion trained together."""

from functools import partial
from numbers import Integral, Real

import torch
from sklearn.base import BaseEstimator, ClassifierMixin, _fit_context
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.validation import _check_sample_weight

from smilefusion._training._batches import ClipDataset
from smilefusion._training._epochs import EpochPredictions, class_probability, class_scores
from smilefusion._training._splits import check_groups
from smilefusion._training._trainer import (
    TRAINING_CONSTRAINTS,
    check_labels,
    encode_labels,
    make_weights,
    restored_on_error,
    train_network,
)
from smilefusion.clips._rates import FPS_RANGE
from smilefusion.dmarkers._transformer import DMarkerTransformer
from smilefusion.estimators._clip_network import ClipNetwork
from smilefusion.estimators._encoders import ENCODER_CONSTRAINTS, check_encoder, initial_state
from smilefusion.nn._networks import ROLES, SmileNetwork, get_fusion


class HadaSmileNetClassifier(EpochPredictions, ClipNetwork, ClassifierMixin, BaseEstimator):
    """Classify clips of smiles by a network whose encoder and fusion are trained together.

    The embedding that an encoder makes of a clip's landmarks is fused with the clip's
    D-Markers, or learns to predict them, or stands alone: the systems HadaSmileNet [1]_,
    DeepMarkerNet [2]_ and MeshSmileNet [3]_ as one parameter.

    Parameters
    ----------
    fusion : str or type, default="hadamard"
        Key of the strategy, see `smilefusion.list_fusions`, or a `torch.nn.Module` class with
        constructor (deep_dim, dmarker_dim, dim, dropout), method `forward(deep, dmarker)` and
        attribute `out_dim`.
    encoder : str, default="mesh_transformer"
        Network that encodes a clip: "mesh_transformer", a small transformer of the frames'
        displacements from the resting face; any model of `timm.list_models`, which sees these as
        a picture, see `smilefusion.nn.LandmarkImageEncoder`; or "curvenet", the published
        encoder, which sees coordinates that the training clips scale to 0 ... 1.
    weights : str, path-like or None, default=None
        Weights that the encoder starts from, as in `DeepFeatureExtractor`.
    pretrained : bool, default=False
        Whether a timm model starts from timm's pretrained weights, downloaded where needed.
    dmarkers : {"fuse", "auxiliary", "none"}, default="fuse"
        What D-Markers are to the network: a second stream, a second task or nothing.
    dmarker_transformer : DMarkerTransformer or None, default=None
        How D-Markers are computed, once per clip; None takes the defaults with `fps`. They are
        standardised by the training clips.
    dmarker_scope : {"clip", "window"}, default="clip"
        Whether D-Markers are those of the clip or, as published, those of each window: by the
        published definition, of the scaled coordinates that "curvenet" sees, not standardised.
    coordinate_range : array-like of shape (2, n_dims) or None, default=None
        Least and greatest coordinates, which "curvenet" sees as 0 and 1; None takes those of
        the training clips.
    fps : float or None, default=None
        Frames per second of all clips. None takes what each clip states (`ClipSequence.fps`).
        If the clips state no rate, times are in frames, with a FrameRateWarning.
    sampling : {"uniform", "window"}, default="uniform"
        Which frames of a clip are seen: `n_frames` spread evenly over it, or windows of as many
        consecutive ones, a random one in each epoch of the training and `n_windows` evenly
        placed ones, whose probabilities are averaged, at prediction.
    n_frames : int, default=32
        Number of frames that are seen at a time. Shorter clips are seen whole.
    n_windows : int, default=5
        Number of windows at prediction.
    augment : bool, default=True
        Whether half of the clips that the network sees in training are mirrored; "curvenet"
        sees them as they are.
    mirror_test : bool, default=False
        Whether probabilities are averaged over each clip and its mirror image.
    embedding_dim : int, default=256
        Size of the embedding; a multiple of 4 for "curvenet".
    hidden_dim : int, default=256
        Size of the space in which the streams are fused.
    fusion_params : dict, default=None
        Further keyword arguments of the strategy.
    auxiliary_weight : float, default=0.5
        Share of the second task in the loss of ``dmarkers="auxiliary"``: the mean squared error
        of the standardised D-Markers.
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
    precision : {"float32", "float64", "mixed"}, default="float32"
        Arithmetic of the network; "mixed" computes in bfloat16 where torch deems that safe.
    compile : bool, default=False
        Whether `torch.compile` makes the network faster, at the cost of compiling it first.
    random_state : int, RandomState instance or None, default=None
        Seed of the weights, the order of the batches, dropout, windows, mirroring and
        validation split.
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
    classes_ : ndarray of shape (n_classes,)
        The class labels seen in `fit`.
    device_ : str
        Torch device that `fit` used.
    split_ : dict
        Subjects trained on, ``train``, and set aside, ``early_stopping``, None where `fit` had no
        `groups`; numbers of clips, ``n_train`` and ``n_early_stopping``.
    dmarker_transformer_ : DMarkerTransformer or None
        The fitted transformer; None for ``dmarkers="none"``.
    dmarker_scaler_ : StandardScaler or None
        The scaler of the D-Markers.
    offset_, scale_ : ndarray of shape (n_dims,)
        Subtracted from what the encoder sees of a frame, and divided by.
    n_landmarks_, n_dims_ : int
        Number of landmarks of a frame, and of their coordinates.

    See Also
    --------
    make_fusion_pipeline : The same in two stages, each an estimator of its own.

    Notes
    -----
    The probability of a clip does not depend on the clips that it is computed with. With the
    same `random_state` the result is the same bit for bit on the CPU.

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
    ...     fps=25, embedding_dim=16, hidden_dim=16, max_epochs=2, early_stopping=False,
    ...     random_state=0,
    ... )
    >>> model = model.fit(smiles.clips, smiles.target, groups=smiles.groups)
    >>> model.predict_proba(smiles.clips).shape
    (12, 2)
    """

    _parameter_constraints: dict = {
        "fusion": [str, type],
        **ENCODER_CONSTRAINTS,
        "dmarkers": [StrOptions(set(ROLES))],
        "dmarker_transformer": [DMarkerTransformer, None],
        "dmarker_scope": [StrOptions({"clip", "window"})],
        "coordinate_range": ["array-like", None],
        "fps": [Interval(Real, *FPS_RANGE, closed="both"), None],
        "sampling": [StrOptions({"uniform", "window"})],
        "n_frames": [Interval(Integral, 1, None, closed="left")],
        "n_windows": [Interval(Integral, 1, None, closed="left")],
        "mirror_test": ["boolean"],
        "hidden_dim": [Interval(Integral, 1, None, closed="left")],
        "fusion_params": [dict, None],
        "auxiliary_weight": [Interval(Real, 0, 1, closed="both")],
        **TRAINING_CONSTRAINTS,
        "precision": [StrOptions({"float32", "float64", "mixed"})],
        "compile": ["boolean"],
    }
    __metadata_request__fit = {"groups": True, "early_stopping_mask": True}

    def __init__(
        self,
        fusion="hadamard",
        *,
        encoder="mesh_transformer",
        weights=None,
        pretrained=False,
        dmarkers="fuse",
        dmarker_transformer=None,
        dmarker_scope="clip",
        coordinate_range=None,
        fps=None,
        sampling="uniform",
        n_frames=32,
        n_windows=5,
        augment=True,
        mirror_test=False,
        embedding_dim=256,
        hidden_dim=256,
        fusion_params=None,
        auxiliary_weight=0.5,
        max_epochs=100,
        lr=0.001,
        weight_decay=0.05,
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
        compile=False,  # noqa: A002 (the name that torch and skorch give it)
        random_state=None,
        verbose=0,
        callbacks=None,
        net_params=None,
    ):
        self.fusion = fusion
        self.encoder = encoder
        self.weights = weights
        self.pretrained = pretrained
        self.dmarkers = dmarkers
        self.dmarker_transformer = dmarker_transformer
        self.dmarker_scope = dmarker_scope
        self.coordinate_range = coordinate_range
        self.fps = fps
        self.sampling = sampling
        self.n_frames = n_frames
        self.n_windows = n_windows
        self.augment = augment
        self.mirror_test = mirror_test
        self.embedding_dim = embedding_dim
        self.hidden_dim = hidden_dim
        self.fusion_params = fusion_params
        self.auxiliary_weight = auxiliary_weight
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
        self.compile = compile
        self.random_state = random_state
        self.verbose = verbose
        self.callbacks = callbacks
        self.net_params = net_params

    @restored_on_error
    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X, y, groups=None, sample_weight=None, early_stopping_mask=None):
        """Train the network.

        Parameters
        ----------
        X : sequence of clips
            Clips as `smilefusion.clips.check_clips` takes them.
        y : array-like of shape (n_clips,)
            Class labels.
        groups : array-like of shape (n_clips,), default=None
            Subject of each clip; the early-stopping split never cuts through one.
        sample_weight : array-like of shape (n_clips,), default=None
            Weights of the clips in the loss.
        early_stopping_mask : array-like of bool, shape (n_clips,), default=None
            Clips that are used only for early stopping. If None, they are drawn at random.

        Returns
        -------
        self : HadaSmileNetClassifier
            The fitted classifier.

        Raises
        ------
        InvalidClipError
            If a clip breaks a rule.
        InvalidDataError
            If the weight file cannot be read, or does not fit the encoder.
        OSError
            If the pretrained weights cannot be loaded.
        DivergedTrainingError
            If the loss is not finite; it names the epoch and the clips of the batch.
        ValueError
            If labels, groups or parameters do not fit together, or strategy or encoder are
            unknown.
        """
        return self._fit(X, y, groups, sample_weight, early_stopping_mask)

    def _fit(self, X, y, groups, sample_weight, early_stopping_mask, callbacks=()):
        """Train the network with additional callbacks."""
        get_fusion(self.fusion)
        check_encoder(self.encoder, self.weights, self.pretrained)
        clips = self._check_clips(X)
        y = check_labels(y, len(clips), self)
        self.classes_, indices = encode_labels(y, self)
        groups = check_groups(clips.subjects if groups is None else groups, len(clips))
        if sample_weight is not None:
            sample_weight = _check_sample_weight(sample_weight, y, ensure_non_negative=True)
        self.n_landmarks_, self.n_dims_ = clips.n_landmarks, clips.n_dims
        self.time_unit_ = clips.time_unit
        frames, inputs = self._collect(clips, self._fit_dmarkers(clips))
        self._fit_scaling(frames["landmarks"])
        frames = {name: torch.from_numpy(values) for name, values in frames.items()}
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
                frames=frames,
                n_frames=self.n_frames,
                random_windows=True,
                describe=self._window_description(),
            ),
            callbacks=callbacks,
            compile=self.compile,
        )
        return self

    def decision_function(self, X):
        """Return the log-odds of the second class, or one score per class if there are more.

        Parameters
        ----------
        X : sequence of clips
            Clips as `smilefusion.clips.check_clips` takes them.

        Returns
        -------
        scores : ndarray of shape (n_clips,) or (n_clips, n_classes)
            For two classes, positive if `classes_[1]` is more probable. For more classes, scores
            whose softmax gives the probabilities.

        Raises
        ------
        InvalidClipError
            If a clip breaks a rule or has other landmarks than the training clips.
        """
        return class_scores(self._predict("forward", X))

    def predict_proba(self, X):
        """Return the probability of each class.

        Parameters
        ----------
        X : sequence of clips
            Clips as `smilefusion.clips.check_clips` takes them.

        Returns
        -------
        probability : ndarray of shape (n_clips, n_classes)
            Columns in the order of `classes_`; the mean over windows and mirror images where
            these are asked for.

        Raises
        ------
        InvalidClipError
            If a clip breaks a rule or has other landmarks than the training clips.
        """
        return class_probability(self._predict("forward", X)).mean(axis=0)

    def predict(self, X):
        """Return the most probable class.

        Parameters
        ----------
        X : sequence of clips
            Clips as `smilefusion.clips.check_clips` takes them.

        Returns
        -------
        y : ndarray of shape (n_clips,)
            Class labels.
        """
        probability = self.predict_proba(X)
        return self.classes_[probability.argmax(axis=1)]

    def transform(self, X):
        """Return the fused features, which the last linear layer classifies.

        Parameters
        ----------
        X : sequence of clips
            Clips as `smilefusion.clips.check_clips` takes them.

        Returns
        -------
        features : ndarray of shape (n_clips, n_features)
            One row per clip, the mean over windows and mirror images.
        """
        return self._predict("forward_features", X).mean(axis=0)
