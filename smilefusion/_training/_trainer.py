"""Training of networks with skorch: labels, losses, the training itself, and inference."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import wraps
from numbers import Integral, Real
from typing import Any, ParamSpec, Self, TypeVar

import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator
from sklearn.utils import check_random_state, column_or_1d
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.class_weight import compute_sample_weight
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import _check_sample_weight
from skorch import NeuralNet
from skorch.callbacks import Callback
from skorch.helper import predefined_split
from torch import Tensor, nn

from smilefusion._training._batches import Arrays, BatchIterator, StreamDataset, Tensors
from smilefusion._training._callbacks import has_stopped, make_callbacks, warn_of_collapse
from smilefusion._training._splits import choose_rows, describe_split
from smilefusion._training._torch_state import (
    explaining_torch,
    reproducible_torch,
    resolve_device,
)

P = ParamSpec("P")
R = TypeVar("R")

# Constraints of the training parameters, which all trained estimators share.
TRAINING_CONSTRAINTS: dict[str, list] = {
    "max_epochs": [Interval(Integral, 1, None, closed="left")],
    "lr": [Interval(Real, 0, None, closed="neither")],
    "weight_decay": [Interval(Real, 0, None, closed="left")],
    "batch_size": [Interval(Integral, 1, None, closed="left")],
    "dropout": [Interval(Real, 0, 1, closed="left")],
    "class_weight": [StrOptions({"balanced"}), dict, None],
    "validation_fraction": [Interval(Real, 0, 1, closed="neither")],
    "patience": [Interval(Integral, 1, None, closed="left"), None],
    "device": [str],
    "n_threads": [Interval(Integral, 1, None, closed="left"), None],
    "random_state": ["random_state"],
    "net_params": [dict, None],
}


def check_labels(y: ArrayLike | None, n_clips: int, estimator: BaseEstimator) -> np.ndarray:
    """Return labels as a 1-D array, one per clip."""
    name = type(estimator).__name__
    if y is None:
        raise ValueError(
            f"{name} requires y to be passed, but the target y is None. Pass one label per clip."
        )
    labels = column_or_1d(y, warn=True)
    if len(labels) != n_clips:
        raise ValueError(
            f"{name} needs one label per clip; got {len(labels)} labels for {n_clips} clips. Pass "
            f"the labels in the order of the clips."
        )
    check_no_label_is_missing(labels, estimator)
    if labels.dtype.kind == "f" and np.isinf(labels).any():
        raise ValueError(
            f"Input y contains infinity, as the label of clip {np.isinf(labels).argmax()}, but "
            f"{name} needs class labels. Correct the label or remove the clip."
        )
    return labels


def check_no_label_is_missing(y: ArrayLike, estimator: BaseEstimator) -> None:
    """Raise if a label is NaN or None."""
    labels = np.ravel(np.asarray(y, dtype=object))
    for index in np.flatnonzero(pd.isna(labels))[:1]:
        raise ValueError(
            f"{type(estimator).__name__} needs a label for every clip, but y has {labels[index]} "
            f"for clip {index}. Remove clips without a label."
        )


def encode_labels(y: np.ndarray, estimator: BaseEstimator) -> tuple[np.ndarray, np.ndarray]:
    """Return the sorted classes and the class index of each label; raise if there is one class."""
    check_classification_targets(y)
    classes, indices = np.unique(y, return_inverse=True)
    if len(classes) < 2:
        raise ValueError(
            f"{type(estimator).__name__} needs labels of at least two classes; y holds only "
            f"one class, {classes[0]}. Add clips of another class."
        )
    return classes, indices


def make_weights(
    y: np.ndarray, class_weight: str | dict[Any, float] | None, sample_weight: ArrayLike | None
) -> np.ndarray:
    """Return the weight of each sample, class weight times sample weight."""
    weights: np.ndarray = compute_sample_weight(class_weight, y)
    if sample_weight is None:
        return weights
    return weights * _check_sample_weight(sample_weight, y, ensure_non_negative=True)


class WeightedClassificationLoss(nn.Module):
    """Weighted mean cross-entropy; one logit column means two classes."""

    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        """Return the loss of logits (B, n_outputs); target (B, 3) starts with class and weight."""
        return _weighted_mean(_cross_entropy(logits, target[:, 0]), target[:, 1])


class MultiTaskLoss(nn.Module):
    """Weighted mean of the classification loss and of the squared error of the D-Markers."""

    def __init__(self, weight: float = 0.5):
        super().__init__()
        if not 0 <= weight <= 1:
            raise ValueError(
                f"criterion__weight, the weight of the second task, must be between 0 and 1; got "
                f"{weight}. Change it in net_params."
            )
        self.weight = weight
        self.classification = WeightedClassificationLoss()

    def forward(self, outputs: tuple[Tensor, Tensor], target: Tensor) -> Tensor:
        """Return the loss of logits (B, n_outputs) and squared errors (B,)."""
        logits, error = outputs
        loss = self.classification(logits, target)
        return (1 - self.weight) * loss + self.weight * _weighted_mean(error, target[:, 1])


class EnsembleLoss(nn.Module):
    """Classification loss of all members of an ensemble, each on the samples that it sees."""

    def forward(self, outputs: tuple[Tensor, Tensor], target: Tensor) -> Tensor:
        """Return the loss; outputs are logits (n_members, B, n_outputs), seen (n_members, B)."""
        logits, seen = outputs
        loss, weight = _cross_entropy(logits, target[:, 0]), target[:, 1] * seen
        if not self.training:
            return _weighted_mean(loss, weight)
        return _weighted_mean(loss, weight, dim=1).mean()


def _cross_entropy(logits: Tensor, label: Tensor) -> Tensor:
    """Return the losses (..., B) of logits (..., B, n_outputs) for class indices (B,)."""
    label = label.expand(logits.shape[:-1])
    if logits.shape[-1] == 1:
        return F.binary_cross_entropy_with_logits(logits[..., 0], label, reduction="none")
    loss = F.cross_entropy(logits.flatten(0, -2), label.flatten().long(), reduction="none")
    return loss.view(label.shape)


def _weighted_mean(values: Tensor, weight: Tensor, dim: int | None = None) -> Tensor:
    """Return the weighted mean over one or all dimensions, 0 if all weights are 0."""
    total = weight.sum(dim).clamp_min(torch.finfo(weight.dtype).tiny)
    return (weight * values).sum(dim) / total


def draw_seeds(random_state: int | np.random.RandomState | None) -> tuple[int, int]:
    """Return the seeds of a training and of its early-stopping split."""
    seed, split_seed = check_random_state(random_state).randint(2**31 - 1, size=2)
    return int(seed), int(split_seed)


def network_dtype(estimator: Any) -> str:
    """Return the dtype of an estimator's network, "float32" or "float64"."""
    dtype = (estimator.net_params or {}).get("module__dtype", "float32")
    if dtype not in ("float32", "float64"):
        raise ValueError(
            f"module__dtype must be 'float32' or 'float64'; got {dtype!r}. Change it in "
            f"net_params."
        )
    return dtype


def extra_module_params(estimator: Any) -> dict[str, Any]:
    """Return the arguments of the network that `net_params` adds, without its dtype."""
    prefix, given = "module__", estimator.net_params or {}
    params = {k.removeprefix(prefix): v for k, v in given.items() if k.startswith(prefix)}
    params.pop("dtype", None)
    return params


def train_network(
    estimator: Any,
    module: type[nn.Module],
    module_params: dict[str, Any],
    inputs: Arrays,
    y: np.ndarray,
    weights: np.ndarray,
    groups: np.ndarray | None,
    *,
    criterion: type[nn.Module] = WeightedClassificationLoss,
    early_stopping_mask: ArrayLike | None = None,
    rows: tuple[np.ndarray, np.ndarray] | None = None,
    make_dataset: Callable[..., StreamDataset] = StreamDataset,
    initial: Tensors | None = None,
    callbacks: Sequence[Callback] = (),
) -> tuple[NeuralNet, dict[str, Any], str]:
    """Train with an estimator's training parameters; return the net, `split_` and `device_`."""
    # `inputs` may contain changed copies of the samples after the samples themselves. `rows` are
    # the rows for training and for early stopping; None chooses them by the mask or at random.
    seed, split_seed = draw_seeds(estimator.random_state)
    target = np.column_stack([y, weights, np.arange(len(y))]).astype(network_dtype(estimator))
    n_copies = len(next(iter(inputs.values()))) // len(y) - 1
    target = np.concatenate([target] * (1 + n_copies))
    tensors = {name: torch.from_numpy(array) for name, array in inputs.items()}
    samples = make_dataset(tensors, torch.from_numpy(target))
    if rows is None:
        rows = choose_rows(estimator, y, groups, early_stopping_mask, split_seed)
    train, stop = rows
    device = resolve_device(estimator.device)
    valid_split = None
    with (
        reproducible_torch(seed, device, n_threads=estimator.n_threads),
        explaining_torch(estimator.batch_size),
    ):
        if estimator.patience is not None:
            valid_split = predefined_split(samples.subset(stop, training=False).to(device))
        if len(train) < len(target):
            parts = [train + copy * len(y) for copy in range(1 + n_copies)]
            samples = samples.subset(np.concatenate(parts))
        samples = samples.to(device)
        net = _make_net(
            estimator,
            module,
            module_params,
            initial,
            criterion=criterion,
            callbacks=make_callbacks(estimator, callbacks),
            device=device,
            train_split=valid_split,
        )
        _run_epochs(net, samples)
        warn_of_collapse(net, samples, estimator)
    net.train_split = None  # a pickle must not hold the clips
    _move_to_cpu(net)
    return net, describe_split(groups, train, stop), device


class _TrainedNet(NeuralNet):
    """Net that only predicts. It has no optimiser, because creating one imports torch._dynamo."""

    prefixes_ = [*NeuralNet.prefixes_, "optimizer"]

    def initialize_optimizer(self, *args: Any, **kwargs: Any) -> Self:
        """Create no optimiser."""
        return self

    def fit_loop(self, *args: Any, **kwargs: Any) -> Self:
        """Raise an error, because there is no optimiser."""
        raise RuntimeError(
            "A loaded network has no optimiser and cannot be trained. Fit the estimator instead."
        )


def _make_net(
    estimator: Any,
    module: type[nn.Module],
    module_params: dict[str, Any],
    initial: Tensors | None,
    *,
    criterion: type[nn.Module] = WeightedClassificationLoss,
    kind: type[NeuralNet] = NeuralNet,
    **settings: Any,
) -> NeuralNet:
    """Return a skorch net with the estimator's training parameters and its initial weights."""
    net_params = dict(estimator.net_params or {})
    for name in ("callbacks", "module__dtype"):  # `settings` has all callbacks
        net_params.pop(name, None)
    settings = {
        "optimizer": torch.optim.AdamW,
        "lr": estimator.lr,
        "optimizer__weight_decay": estimator.weight_decay,
        **({} if "optimizer" in net_params else {"optimizer__fused": True}),
        "max_epochs": estimator.max_epochs,
        "batch_size": estimator.batch_size,
        "iterator_train": BatchIterator,
        "iterator_train__shuffle": True,
        "iterator_valid": BatchIterator,
        "iterator_valid__batch_size": 4 * estimator.batch_size,  # without gradients, less memory
        "train_split": None,
        "verbose": 0,
        **{f"module__{name}": value for name, value in module_params.items()},
        **settings,
        **net_params,
    }
    net = kind(module, criterion, **settings).initialize()
    net.module_.to(getattr(torch, network_dtype(estimator)))
    if initial is not None:
        getattr(net.module_, "_orig_mod", net.module_).load_state_dict(initial)  # if compiled
    return net


def _run_epochs(net: NeuralNet, samples: StreamDataset) -> None:
    """Train a net like skorch's `fit`, but do not ignore Ctrl-C."""
    net.notify("on_train_begin", X=samples, y=None)
    try:
        net.fit_loop(samples)
    except KeyboardInterrupt:  # EarlyStopping raises it too
        if not any(has_stopped(callback) for _, callback in net.callbacks_):
            raise
    net.notify("on_train_end", X=samples, y=None)


def _move_to_cpu(net: NeuralNet) -> None:
    """Move weights and optimiser state to the CPU, so that the net can be unpickled anywhere."""
    if hasattr(net.module_, "_orig_mod"):  # compiled
        net.module_, net.compile = net.module_._orig_mod, False
    net.module_.to("cpu")
    net.criterion_.to("cpu")
    for state in net.optimizer_.state.values():
        state.update({k: v.cpu() for k, v in state.items() if torch.is_tensor(v)})
    net.device = "cpu"


def restore_network(
    estimator: Any,
    module: type[nn.Module],
    module_params: dict[str, Any],
    weights: Tensors | None,
    criterion: type[nn.Module] = WeightedClassificationLoss,
) -> NeuralNet:
    """Rebuild the fitted net that `train_network` returned from its state dict."""
    callbacks = make_callbacks(estimator)
    with reproducible_torch(0):
        return _make_net(
            estimator,
            module,
            module_params,
            weights,
            criterion=criterion,
            kind=_TrainedNet,
            callbacks=callbacks,
        )


def tabulate_history(net: NeuralNet) -> pd.DataFrame:
    """Return the training history as a DataFrame, one row per epoch."""
    rows = [{k: v for k, v in row.items() if k != "batches"} for row in net.history]
    return pd.DataFrame(rows)


@contextmanager
def network_on_device(
    estimator: Any, net: NeuralNet, *, batch_size: int | None = None
) -> Iterator[Callable[[str, Arrays], np.ndarray]]:
    """Move a net to the device of its estimator for the block; yield a function that runs it."""
    device = resolve_device(estimator.device)
    batch_size = batch_size or estimator.batch_size

    def run(method: str, inputs: Arrays) -> np.ndarray:
        """Return the output of a method of the network, (..., n_samples, n_outputs)."""
        parts = [torch.from_numpy(array).split(batch_size) for array in inputs.values()]
        outputs = [
            getattr(module, method)(
                **{name: each.to(device) for name, each in zip(inputs, batch, strict=True)}
            ).cpu()
            for batch in zip(*parts, strict=True)
        ]
        return torch.cat(outputs, dim=-2).numpy()

    with (
        reproducible_torch(device=device, n_threads=estimator.n_threads),
        torch.inference_mode(),
        explaining_torch(batch_size),
    ):
        module = net.module_
        home = next(module.parameters()).device
        module.to(device).eval()
        try:
            yield run
        finally:
            module.to(home)


def restored_on_error(fit: Callable[P, R]) -> Callable[P, R]:
    """Decorate `fit` so that an exception restores the estimator and its nested estimators."""

    @wraps(fit)
    def fit_or_restore(*args: P.args, **kwargs: P.kwargs) -> R:
        estimator: Any = args[0]
        nested = estimator.get_params(deep=True).values()
        parts = [estimator, *(part for part in nested if isinstance(part, BaseEstimator))]
        before = [_copy_state(part) for part in parts]
        try:
            return fit(*args, **kwargs)
        except BaseException:
            for part, state in zip(parts, before, strict=True):
                vars(part).clear()
                vars(part).update(state)
            raise

    return fit_or_restore


def _copy_state(part: Any) -> dict[str, Any]:
    """Return the attributes of an estimator, with lists copied because `fit` may change them."""
    return {k: list(value) if type(value) is list else value for k, value in vars(part).items()}
