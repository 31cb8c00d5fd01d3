"""DeepFeatureExtractor: clips of landmarks to an embedding, by a network trained on them."""

from numbers import Integral

import numpy as np
from sklearn.base import (
    BaseEstimator,
    ClassNamePrefixFeaturesOutMixin,
    TransformerMixin,
    _fit_context,
)
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.validation import _check_sample_weight, check_is_fitted

from smilefusion.clips import check_clips, check_fps, pad_clips, sample_frames
from smilefusion.dmarkers._signals import N_REST_FRAMES, NOMINAL_FPS
from smilefusion.estimators._training import (
    TRAINING_CONSTRAINTS,
    check_groups,
    check_labels,
    encode_labels,
    make_weights,
    run_network,
    tabulate_history,
    train_network,
)
from smilefusion.exceptions import InvalidClipError
from smilefusion.landmarks import landmark_scheme
from smilefusion.nn._two_stream import EncoderNetwork, get_encoder
from smilefusion.pose import align_rigid


def root_mean_square(values, mask):
    """Return the root mean square of values where the mask is true; 1 where nothing moves."""
    scale = float(np.sqrt(np.mean(np.square(values[mask], dtype=np.float64))))
    return scale if scale > 0 else 1.0


def displace(clip, scheme, n_frames, name):
    """Return displacements from the resting face at evenly spaced frames, and their numbers."""
    observed = np.flatnonzero(~np.isnan(clip[:, 0, 0]))
    chosen = observed[sample_frames(len(observed), n_frames)]
    n_rest = min(N_REST_FRAMES, len(observed))
    aligned = align_rigid(clip[np.r_[observed[:n_rest], chosen]], scheme, name=name)
    return aligned[n_rest:] - np.median(aligned[:n_rest], axis=0), chosen


class DeepFeatureExtractor(ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator):
    """Turn clips of landmarks into an embedding that a network learns from labelled clips.

    The head's pose is taken out, `n_frames` frames spread evenly over the clip are encoded as
    displacements from the resting face, and the embedding is what the network's last layer sees.

    Parameters
    ----------
    encoder : {"mesh_transformer"}, default="mesh_transformer"
        The network.
    objective : {"supervised"}, default="supervised"
        What the network learns: to classify the labels y.
    embedding_dim : int, default=256
        Size of the embedding.
    n_frames : int, default=32
        Number of frames that are encoded, evenly spaced over those with a face. Shorter clips
        are encoded whole.
    fps : float, array-like of shape (n_clips,) or None, default=None
        Frames per second of the clips, or of each clip. None measures time in frames.
    augment : bool, default=True
        Whether half of the clips that the network sees in training are mirrored.
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
    classes_ : ndarray of shape (n_classes,)
        The class labels seen in `fit`.
    scale_ : float
        Root mean square displacement of the training clips, in inter-ocular distances; the
        network sees displacements in this unit.
    n_landmarks_ : int
        Number of landmarks of a frame.
    n_dims_ : int
        Number of coordinates of a landmark.

    See Also
    --------
    DMarkerTransformer : The handcrafted stream.

    Notes
    -----
    The embedding of a clip does not depend on the clips that it is computed with. With the same
    `random_state` the result is the same bit for bit on the CPU.

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

    __metadata_request__fit = {"groups": True}

    _parameter_constraints = {
        **TRAINING_CONSTRAINTS,
        "encoder": [str],
        "objective": [StrOptions({"supervised"})],
        "embedding_dim": [Interval(Integral, 1, None, closed="left")],
        "n_frames": [Interval(Integral, 2, None, closed="left")],
        "fps": "no_validation",
        "augment": ["boolean"],
    }

    def __init__(
        self,
        encoder="mesh_transformer",
        *,
        objective="supervised",
        embedding_dim=256,
        n_frames=32,
        fps=None,
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
        precision="float32",
        random_state=None,
        verbose=0,
        callbacks=None,
        net_params=None,
    ):
        self.encoder = encoder
        self.objective = objective
        self.embedding_dim = embedding_dim
        self.n_frames = n_frames
        self.fps = fps
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
        self.precision = precision
        self.random_state = random_state
        self.verbose = verbose
        self.callbacks = callbacks
        self.net_params = net_params

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X, y=None, groups=None, sample_weight=None):
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

        Returns
        -------
        self : DeepFeatureExtractor
            The fitted extractor.

        Raises
        ------
        InvalidClipError
            If a clip breaks a rule.
        ValueError
            If labels or groups do not fit the clips, or the encoder is unknown.
        """
        self._fit(X, y, groups, sample_weight)
        return self

    @_fit_context(prefer_skip_nested_validation=True)
    def fit_transform(self, X, y=None, groups=None, sample_weight=None):
        """Train the network and return the embedding of the training clips.

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

        Returns
        -------
        embedding : ndarray of shape (n_clips, embedding_dim)
            One row per clip, as `fit` and then `transform` give it.

        Raises
        ------
        InvalidClipError
            If a clip breaks a rule.
        ValueError
            If labels or groups do not fit the clips, or the encoder is unknown.
        """
        return self._embed(self._fit(X, y, groups, sample_weight))

    def transform(self, X):
        """Return the embedding of clips.

        Parameters
        ----------
        X : sequence of clips
            Clips as `smilefusion.clips.check_clips` takes them.

        Returns
        -------
        embedding : ndarray of shape (n_clips, embedding_dim)
            One row per clip.

        Raises
        ------
        InvalidClipError
            If a clip breaks a rule or has other landmarks than the training clips.
        """
        check_is_fitted(self)
        clips = check_clips(X)
        if (clips.n_landmarks, clips.n_dims) != (self.n_landmarks_, self.n_dims_):
            raise InvalidClipError(
                f"Clips have {clips.n_landmarks} landmarks of {clips.n_dims} coordinates; "
                f"{type(self).__name__} was fitted to {self.n_landmarks_} of {self.n_dims_}. "
                f"Extract all clips with the same landmark model."
            )
        inputs = self._inputs(clips)
        inputs["landmarks"] /= self.scale_
        return self._embed(inputs)

    @property
    def history_(self):
        """Course of the training: a DataFrame with the losses and seconds of each epoch."""
        check_is_fitted(self)
        return tabulate_history(self.net_)

    def _fit(self, X, y, groups, sample_weight):
        """Train the network and return its inputs for the training clips."""
        encoder = get_encoder(self.encoder)
        clips = check_clips(X)
        y = check_labels(y, len(clips), self)
        self.classes_, indices = encode_labels(y, self)
        groups = check_groups(groups, len(clips))
        if sample_weight is not None:
            sample_weight = _check_sample_weight(sample_weight, y, ensure_non_negative=True)
        self.n_landmarks_, self.n_dims_ = clips.n_landmarks, clips.n_dims
        inputs = self._inputs(clips)
        self.scale_ = root_mean_square(inputs["landmarks"], inputs["mask"])
        inputs["landmarks"] /= self.scale_
        self.net_ = train_network(
            self,
            EncoderNetwork,
            {
                "encoder": encoder,
                "n_outputs": 1 if len(self.classes_) == 2 else len(self.classes_),
                "n_landmarks": clips.n_landmarks,
                "n_dims": clips.n_dims,
                "embedding_dim": self.embedding_dim,
                "dropout": self.dropout,
                "time_unit": NOMINAL_FPS if self.fps is None else 1.0,
                "mirror": landmark_scheme(clips.n_landmarks).mirror if self.augment else None,
            },
            inputs,
            indices,
            make_weights(y, self.class_weight, sample_weight),
            groups,
        )
        self._n_features_out = self.embedding_dim
        return inputs

    def _embed(self, inputs):
        """Return the embedding of the network's inputs."""
        return run_network(
            self.net_,
            "forward_features",
            inputs,
            batch_size=self.batch_size,
            device=self.device,
        )

    def _inputs(self, clips):
        """Return the network's inputs for checked clips."""
        scheme = landmark_scheme(clips.n_landmarks)
        fps = check_fps(self.fps, len(clips))
        displacements, times = [], np.zeros((len(clips), self.n_frames))
        for index, clip in enumerate(clips):
            moved, frames = displace(clip, scheme, self.n_frames, clips.name(index))
            displacements.append(moved)
            times[index, : len(frames)] = (frames - frames[0]) / fps[index]
        landmarks, mask = pad_clips(displacements, self.n_frames)
        return {
            "landmarks": landmarks.astype(self.precision, copy=False),
            "mask": mask,
            "time": times.astype(self.precision),
            "duration": (clips.n_frames / fps).astype(self.precision),
        }

    def __sklearn_tags__(self):
        """Declare clips in place of tables, and the need of labels."""
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array = False
        tags.input_tags.three_d_array = True
        tags.input_tags.allow_nan = True
        tags.target_tags.required = True
        return tags
