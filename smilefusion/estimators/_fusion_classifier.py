"""FusionClassifier: classify rows of a table by fusing two groups of columns."""

import reprlib
from collections.abc import Sequence
from numbers import Integral
from typing import Any, Self

import numpy as np
import pandas as pd
import torch
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator, ClassifierMixin, _fit_context
from sklearn.compose import ColumnTransformer
from sklearn.utils import Tags
from sklearn.utils._param_validation import Interval
from sklearn.utils.validation import check_is_fitted, validate_data
from skorch.callbacks import Callback

from smilefusion._documentation import DocumentedEstimator
from smilefusion._messages import abridge
from smilefusion._training._batches import Arrays
from smilefusion._training._splits import (
    check_groups,
    choose_rows,
    continue_split,
    draw_folds,
    warn_of_missing_groups,
)
from smilefusion._training._trainer import (
    TRAINING_CONSTRAINTS,
    EnsembleLoss,
    check_no_label_is_missing,
    draw_seeds,
    encode_labels,
    make_weights,
    network_dtype,
    network_on_device,
    restored_on_error,
    train_network,
)
from smilefusion.estimators._base import TrainedClassifier, class_probability
from smilefusion.estimators._scaling import learn_centre_and_scale, scale_robustly
from smilefusion.nn._ensemble import HELD_OUT, IN_TRAINING, NetworkEnsemble
from smilefusion.nn._networks import get_fusion

_TABLE: dict[str, Any] = {"dtype": "float64", "ensure_all_finite": "allow-nan"}


def resolve_columns(X: Any, selection: Any, stream: str) -> np.ndarray:
    """Return the column positions of a selection, as in a ColumnTransformer."""
    n_columns = X.shape[1]
    if selection is None:
        return np.arange(n_columns)
    if callable(selection):
        selection = selection(X)
    _check_names(X, selection, stream)
    positions = pd.DataFrame(np.arange(n_columns)[None], columns=getattr(X, "columns", None))
    selector = ColumnTransformer([(stream, "passthrough", selection)])
    try:
        columns = np.asarray(selector.fit_transform(positions)).astype(int).ravel()
    except (ValueError, IndexError, KeyError, TypeError) as error:
        raise ValueError(
            f"{stream}={reprlib.repr(selection)} does not select columns of X, which has "
            f"{n_columns} columns: {error}"
        ) from error
    if columns.size == 0:
        raise ValueError(
            f"{stream}={reprlib.repr(selection)} selects no column of X, which has {n_columns} "
            "columns. Select at least one column, or use None for all."
        )
    return columns


def _check_names(X: Any, selection: Any, stream: str) -> None:
    """Raise if X does not have the columns that are selected by name."""
    if isinstance(selection, slice):
        selection = [selection.start, selection.stop]
    names = [name for name in np.ravel(selection).tolist() if isinstance(name, str)]
    if names and not hasattr(X, "columns"):
        raise ValueError(
            f"{stream} selects columns by name ({abridge(names, n_shown=3)}), but X has no column "
            "names. Transformers such as StandardScaler return arrays without names. Call "
            f'set_output(transform="pandas") on the pipeline, or give {stream} as positions.'
        )
    missing = [name for name in names if name not in X.columns]
    if missing:
        raise ValueError(
            f"{stream} selects columns that X does not have: {abridge(missing, n_shown=3)}. "
            "Correct the names, or select by position."
        )


class FusionClassifier(TrainedClassifier, ClassifierMixin, DocumentedEstimator, BaseEstimator):
    """Classify rows of a table by fusing two groups of its columns.

    One of 15 fusion strategies joins the deep columns and the D-Marker columns. A LayerNorm and
    a linear layer then give the classes. By default, AdamW trains five such networks at the same
    time. Each leaves out one fold of the subjects, and training stops early based on the loss on
    these folds. The prediction is the mean of the probabilities of the five networks.

    Parameters
    ----------
    fusion : str or type, default="hadamard"
        Key of the fusion strategy, see `smilefusion.list_fusions`, or a `torch.nn.Module`
        class with the constructor (deep_dim, dmarker_dim, dim, dropout), the method
        `forward(deep, dmarker)` and the attribute `out_dim`.
    deep : slice, int, str, array-like, callable or None, default=None
        Columns of the deep stream, selected as in `sklearn.compose.ColumnTransformer`. None
        selects all columns.
    dmarker : slice, int, str, array-like, callable or None, default=None
        Columns of the D-Marker stream, selected in the same way.
    hidden_dim : int, default=256
        Size of the space in which the streams are fused.
    fusion_params : dict, default=None
        Additional keyword arguments of the fusion strategy. ``{"context": "dmarker"}`` gives
        the published form of the four attention strategies, which attends to one token.
    n_members : int, default=5
        Number of networks and of folds; each network leaves out one fold. There are fewer if a
        class has clips of fewer than `n_members` subjects, or fewer clips if `fit` receives no
        groups. 1 trains a single network.
    max_epochs : int, default=100
        Maximum number of passes over the training data.
    lr : float, default=0.0003
        Learning rate.
    weight_decay : float, default=0.01
        Weight decay of AdamW.
    batch_size : int, default=64
        Number of samples per training step.
    dropout : float, default=0.1
        Dropout probability.
    class_weight : {"balanced"}, dict or None, default=None
        Class weights in the loss, as in scikit-learn.
    patience : int or None, default=10
        Number of epochs without improvement before training stops and returns to the weights of
        the best epoch. The measure is the log loss of the clips that each network left out. None
        trains for `max_epochs`.
    validation_fraction : float, default=0.15
        Share of the clips that a single network (`n_members=1`) sets aside for early stopping if
        `patience` is given. If `fit` receives groups, whole groups are set aside.
    warm_start : bool, default=False
        Whether `fit` continues from the weights of the previous call. Requires `n_members=1`.
    device : str, default="auto"
        Torch device; "auto" uses a CUDA GPU if available. The fitted model stays on the CPU.
    n_threads : int or None, default=1
        Number of CPU threads; None keeps torch's setting. Values other than 1 may change the
        last bits of the result.
    random_state : int, RandomState instance or None, default=None
        Seed of the training.
    net_params : dict, default=None
        Additional parameters of `skorch.NeuralNet`, such as ``"callbacks"`` (a list, for example
        of `skorch.callbacks.GradientNormClipping`, `LRScheduler` or `ProgressBar`), ``"verbose"``
        (default 0), ``"compile"`` and ``"optimizer"``. Names that start with ``module__`` are
        parameters of the network; ``"module__dtype": "float64"`` trains it in double
        precision.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        The class labels.
    net_ : skorch.NeuralNet
        The fitted skorch net.
    device_ : str
        Torch device used in `fit`.
    n_members_ : int
        Number of networks.
    oof_proba_ : ndarray of shape (n_clips, n_classes)
        Probabilities of the training clips, predicted by the networks that left them out; NaN for
        clips that no network left out. The training clips also determined the epoch, but otherwise
        each is new to the network that predicts it.
    oof_score_ : float
        Accuracy of `oof_proba_`; NaN if no clip was left out.
    center_, scale_ : ndarray of shape (n_features,)
        Median and interquartile range of each column in training. The scale is half the range if
        the quartiles are equal, and 1 if the column is constant.
    split_ : dict
        Early-stopping split: subjects in ``train`` and ``early_stopping`` (None if `fit` received
        no groups), and numbers of samples ``n_train`` and ``n_early_stopping``. ``n_folds`` is
        the number of folds for early stopping; with folds, all subjects are in ``train``.
    deep_columns_ : ndarray of int
        Positions of the columns of the deep stream.
    dmarker_columns_ : ndarray of int
        Positions of the columns of the D-Marker stream.
    n_features_in_ : int
        Number of columns seen in `fit`.
    feature_names_in_ : ndarray of str
        Names of the columns seen in `fit`, if X had names.

    See Also
    --------
    make_fusion_pipeline : The whole system, from clips to classes.

    Notes
    -----
    On the CPU, the same `random_state` gives bit-identical results. Columns need no scaling: the
    classifier subtracts the median of each column and divides by the interquartile range. The
    result z becomes z / sqrt(1 + (z / 3)²) as in RealMLP [2]_. NaN becomes the median.

    References
    ----------
    .. [1] Hasan, Mohammed, Rahman, Koehn: HadaSmileNet, ICDM 2025, arXiv 2509.18550.
    .. [2] Holzmüller, Grinsztajn, Steinwart: Better by Default, NeurIPS 2024, arXiv 2407.04491.

    Examples
    --------
    >>> from sklearn.datasets import make_classification
    >>> from smilefusion import FusionClassifier
    >>> X, y = make_classification(n_samples=60, n_features=10, random_state=0)
    >>> model = FusionClassifier(
    ...     "hadamard", deep=slice(0, 6), dmarker=slice(6, 10), hidden_dim=16, random_state=0
    ... ).fit(X, y)
    >>> model.predict_proba(X).shape
    (60, 2)
    """

    _parameter_constraints: dict = {
        **TRAINING_CONSTRAINTS,
        "fusion": [str, type],
        "deep": "no_validation",
        "dmarker": "no_validation",
        "hidden_dim": [Interval(Integral, 1, None, closed="left")],
        "fusion_params": [dict, None],
        "n_members": [Interval(Integral, 1, None, closed="left")],
        "warm_start": ["boolean"],
    }

    def __init__(
        self,
        fusion: str | type[torch.nn.Module] = "hadamard",
        *,
        deep: Any = None,
        dmarker: Any = None,
        hidden_dim: int = 256,
        fusion_params: dict[str, Any] | None = None,
        n_members: int = 5,
        max_epochs: int = 100,
        lr: float = 3e-4,
        weight_decay: float = 1e-2,
        batch_size: int = 64,
        dropout: float = 0.1,
        class_weight: str | dict[Any, float] | None = None,
        patience: int | None = 10,
        validation_fraction: float = 0.15,
        warm_start: bool = False,
        device: str = "auto",
        n_threads: int | None = 1,
        random_state: int | np.random.RandomState | None = None,
        net_params: dict[str, Any] | None = None,
    ) -> None:
        self.fusion = fusion
        self.deep = deep
        self.dmarker = dmarker
        self.hidden_dim = hidden_dim
        self.fusion_params = fusion_params
        self.n_members = n_members
        self.max_epochs = max_epochs
        self.lr = lr
        self.weight_decay = weight_decay
        self.batch_size = batch_size
        self.dropout = dropout
        self.class_weight = class_weight
        self.patience = patience
        self.validation_fraction = validation_fraction
        self.warm_start = warm_start
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
        X : array-like of shape (n_clips, n_features)
            Table of both streams.
        y : array-like of shape (n_clips,)
            Class labels.
        groups : array-like of shape (n_clips,), default=None
            Subject of each clip. All clips of a subject are in the same fold.
        sample_weight : array-like of shape (n_clips,), default=None
            Weight of each clip in the loss.
        early_stopping_mask : array-like of bool, shape (n_clips,), default=None
            Clips that no network learns from, used only for early stopping. None draws folds, or
            with `n_members=1` an early-stopping split.

        Returns
        -------
        self : FusionClassifier
            The fitted classifier.

        Raises
        ------
        ValueError
            If the table, labels, groups or column selections are inconsistent, or the
            strategy is unknown.
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
        if self.warm_start and self.n_members > 1:
            raise ValueError(
                f"warm_start=True needs n_members=1; got n_members={self.n_members}. The folds of "
                f"several networks would differ between fits. Set n_members=1 or warm_start=False."
            )
        warm = self.warm_start and hasattr(self, "net_")
        table = X  # keeps the column names, which may select the streams
        if y is not None:
            check_no_label_is_missing(y, self)
        labels: np.ndarray
        X, labels = validate_data(self, X, y, **_TABLE)
        deep, dmarker = self._select_streams(table if hasattr(table, "columns") else X)
        classes, indices = encode_labels(labels, self)
        if warm:
            self._check_warm_start(classes, deep, dmarker)
        groups = check_groups(groups, len(X))
        weights = make_weights(labels, self.class_weight, sample_weight)
        fold = self._assign(indices, groups, early_stopping_mask)
        train, stop = np.flatnonzero(fold != HELD_OUT), np.flatnonzero(fold != IN_TRAINING)
        self.classes_, self.deep_columns_, self.dmarker_columns_ = classes, deep, dmarker
        self.n_members_ = self.n_members if fold.max() < 0 else int(fold.max()) + 1
        if not warm:
            given = make_weights(labels, None, sample_weight)[train]
            self.center_, self.scale_ = learn_centre_and_scale(X[train], given)
        inputs = self._streams(X)
        self.net_, split, self.device_ = train_network(
            self,
            NetworkEnsemble,
            self._network_params(),
            inputs | {"fold": fold},
            indices,
            weights,
            groups,
            criterion=EnsembleLoss,
            rows=(train, stop),
            initial=self.net_.module_.state_dict() if warm else None,
            callbacks=callbacks,
        )
        split["n_folds"] = 0 if self.patience is None else max(0, int(fold.max()) + 1)
        self.split_ = continue_split(getattr(self, "split_", None), split) if warm else split
        self._keep_out_of_fold(inputs, fold, indices)
        return self

    def _assign(
        self, y: np.ndarray, groups: np.ndarray | None, mask: ArrayLike | None
    ) -> np.ndarray:
        """Return the `fold` of each row, as in `NetworkEnsemble.forward`."""
        seed = draw_seeds(self.random_state)[1]
        if self.n_members > 1 and mask is None:
            if groups is None and self.patience is not None:
                warn_of_missing_groups(self, stacklevel=7)
            return draw_folds(y, groups, self.n_members, seed)
        fold = np.full(len(y), HELD_OUT)
        fold[choose_rows(self, y, groups, mask, seed)[0]] = IN_TRAINING
        return fold

    def _keep_out_of_fold(self, inputs: Arrays, fold: np.ndarray, y: np.ndarray) -> None:
        """Set the out-of-fold probabilities and their score."""
        held = np.flatnonzero(fold != IN_TRAINING)
        shape = len(y), len(self.classes_)
        self.oof_proba_ = np.full(shape, np.nan, dtype=network_dtype(self))
        self.oof_score_ = np.nan
        if len(held):
            with network_on_device(self, self.net_) as run:
                logits = run("forward", {name: values[held] for name, values in inputs.items()})
            every, own = class_probability(logits), np.maximum(fold[held], 0)
            single = every[own, np.arange(len(held))]
            left_out_by_all = (fold[held] == HELD_OUT)[:, None]
            self.oof_proba_[held] = np.where(left_out_by_all, every.mean(axis=0), single)
            self.oof_score_ = float((self.oof_proba_[held].argmax(axis=1) == y[held]).mean())

    def _select_streams(self, X: Any) -> tuple[np.ndarray, np.ndarray]:
        """Return the columns of both streams; raise if two given selections partly overlap."""
        deep = resolve_columns(X, self.deep, "deep")
        dmarker = resolve_columns(X, self.dmarker, "dmarker")
        shared = np.intersect1d(deep, dmarker)
        is_given = self.deep is not None and self.dmarker is not None
        if is_given and shared.size and not np.array_equal(deep, dmarker):
            raise ValueError(
                f"deep and dmarker overlap in {shared.size} columns, the first at position "
                f"{shared[0]}. Select each column for only one stream, or the same columns for "
                f"both."
            )
        return deep, dmarker

    def _check_warm_start(
        self, classes: np.ndarray, deep: np.ndarray, dmarker: np.ndarray
    ) -> None:
        """Raise if classes or columns of a warm start differ from those of the previous fit."""
        same = (
            np.array_equal(classes, self.classes_)
            and np.array_equal(deep, self.deep_columns_)
            and np.array_equal(dmarker, self.dmarker_columns_)
        )
        if not same:
            raise ValueError(
                "warm_start=True needs the classes and columns of the previous fit, but these "
                "differ. Use warm_start=False or a clone."
            )

    def _network_params(self) -> dict[str, Any]:
        """Return the arguments of the network."""
        return {
            "n_members": self.n_members_,
            "fusion": self.fusion,
            "deep_dim": len(self.deep_columns_),
            "dmarker_dim": len(self.dmarker_columns_),
            "dim": self.hidden_dim,
            "dropout": self.dropout,
            "n_outputs": 1 if len(self.classes_) == 2 else len(self.classes_),
            "fusion_params": self.fusion_params,
        }

    def _streams(self, X: np.ndarray) -> Arrays:
        """Return the network's inputs for a validated table."""
        scaled = scale_robustly(X, self.center_, self.scale_).astype(network_dtype(self))
        return {"deep": scaled[:, self.deep_columns_], "dmarker": scaled[:, self.dmarker_columns_]}

    def _test_views(self, X: Any) -> list[Arrays]:
        """Return the network's inputs for a table, a single view."""
        return [self._streams(validate_data(self, X, reset=False, **_TABLE))]

    def _logits(self, X: Any) -> np.ndarray:
        """Return the networks' outputs for a table, (n_members, n_clips, n_outputs)."""
        check_is_fitted(self)
        (view,) = self._test_views(X)
        with network_on_device(self, self.net_) as run:
            return run("forward", view)

    def __sklearn_tags__(self) -> Tags:
        """Declare that NaN is allowed."""
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        return tags
