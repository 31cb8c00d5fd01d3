"""Training of networks with skorch: labels, losses, the training itself, and inference."""

from functools import wraps
from numbers import Integral, Real

import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F
from sklearn.base import BaseEstimator
from sklearn.utils import check_random_state, column_or_1d
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.class_weight import compute_sample_weight
from sklearn.utils.multiclass import check_classification_targets
from skorch import NeuralNet
from skorch.helper import predefined_split
from torch import nn

from smilefusion._training._batches import BatchIterator, StreamDataset
from smilefusion._training._callbacks import has_stopped, make_callbacks, warn_of_collapse
from smilefusion._training._splits import choose_rows, describe_split
from smilefusion._training._torch_state import (
    explaining_torch,
    reproducible_torch,
    resolve_device,
)

# Constraints of the parameters that every estimator with training has.
TRAINING_CONSTRAINTS = {
    "max_epochs": [Interval(Integral, 1, None, closed="left")],
    "lr": [Interval(Real, 0, None, closed="neither")],
    "weight_decay": [Interval(Real, 0, None, closed="left")],
    "batch_size": [Interval(Integral, 1, None, closed="left")],
    "dropout": [Interval(Real, 0, 1, closed="left")],
    "class_weight": [StrOptions({"balanced"}), dict, None],
    "validation_fraction": [Interval(Real, 0, 1, closed="neither")],
    "patience": [Interval(Integral, 1, None, closed="left"), None],
    "device": [str],
    "deterministic": ["boolean"],
    "n_threads": [Interval(Integral, 1, None, closed="left"), None],
    "warmup_epochs": [Interval(Integral, 0, None, closed="left")],
    "lr_schedule": [StrOptions({"cosine"}), None],
    "gradient_clip": [Interval(Real, 0, None, closed="neither"), None],
    "precision": [StrOptions({"float32", "float64"})],
    "random_state": ["random_state"],
    "verbose": ["verbose"],
    "callbacks": [list, None],
    "net_params": [dict, None],
}


def check_labels(y, n_clips, estimator):
    """Return labels as a 1-D array, one per clip."""
    name = type(estimator).__name__
    if y is None:
        raise ValueError(
            f"{name} requires y to be passed, but the target y is None. Pass one label per clip."
        )
    y = column_or_1d(y, warn=True)
    if len(y) != n_clips:
        raise ValueError(
            f"{name} needs one label per clip; got {len(y)} labels for {n_clips} clips. Pass the "
            f"labels in the order of the clips."
        )
    check_no_label_is_missing(y, estimator)
    if y.dtype.kind == "f" and np.isinf(y).any():
        raise ValueError(
            f"Input y contains infinity, as the label of clip {np.isinf(y).argmax()}, but {name} "
            f"needs class labels. Correct the label or remove the clip."
        )
    return y


def check_no_label_is_missing(y, estimator):
    """Raise if a label is NaN or None."""
    labels = np.ravel(np.asarray(y, dtype=object))
    for index in np.flatnonzero(pd.isna(labels))[:1]:
        raise ValueError(
            f"{type(estimator).__name__} needs a label for every clip, but y has {labels[index]} "
            f"for clip {index}. Remove clips without a label."
        )


def encode_labels(y, estimator):
    """Return the sorted classes and the class index of each label; raise if there is one class."""
    check_classification_targets(y)
    classes, indices = np.unique(y, return_inverse=True)
    if len(classes) < 2:
        raise ValueError(
            f"{type(estimator).__name__} needs labels of at least two classes; y holds one "
            f"class only, {classes[0]}. Add clips of another class."
        )
    return classes, indices


def make_weights(y, class_weight, sample_weight):
    """Return the weight of each sample, class weight times sample weight."""
    weights = compute_sample_weight(class_weight, y)
    return weights if sample_weight is None else weights * sample_weight


class WeightedClassificationLoss(nn.Module):
    """Weighted mean cross-entropy; one logit column means two classes."""

    def forward(self, logits, target):
        """Return the loss of logits (B, n_outputs); target (B, 3) starts with class and weight."""
        label, weight = target[:, 0], target[:, 1]
        if logits.shape[1] == 1:
            loss = F.binary_cross_entropy_with_logits(logits[:, 0], label, reduction="none")
        else:
            loss = F.cross_entropy(logits, label.long(), reduction="none")
        return _weighted_mean(loss, weight)


class MultiTaskLoss(nn.Module):
    """Weighted mean of the classification loss and of the squared error of the D-Markers."""

    def __init__(self, weight):
        super().__init__()
        self.weight = weight
        self.classification = WeightedClassificationLoss()

    def forward(self, outputs, target):
        """Return the loss of logits (B, n_outputs) and squared errors (B,)."""
        logits, error = outputs
        loss = self.classification(logits, target)
        return (1 - self.weight) * loss + self.weight * _weighted_mean(error, target[:, 1])


def _weighted_mean(values, weight):
    """Return the weighted mean, 0 if all weights are 0."""
    return (weight * values).sum() / weight.sum().clamp_min(torch.finfo(weight.dtype).tiny)


def draw_seeds(random_state):
    """Return the seeds of a training and of its early-stopping split."""
    return tuple(map(int, check_random_state(random_state).randint(2**31 - 1, size=2)))


def train_network(
    estimator,
    module,
    module_params,
    inputs,
    y,
    weights,
    groups,
    *,
    early_stopping_mask=None,
    make_dataset=StreamDataset,
    initial=None,
    callbacks=(),
    **settings,
):
    """Train with an estimator's training parameters; return the net, `split_` and `device_`."""
    seed, split_seed = draw_seeds(estimator.random_state)
    target = np.column_stack([y, weights, np.arange(len(y))]).astype(_dtype_name(estimator))
    tensors = {name: torch.from_numpy(array) for name, array in inputs.items()}
    samples = make_dataset(tensors, torch.from_numpy(target))
    train, stop = choose_rows(estimator, y, groups, early_stopping_mask, split_seed)
    device = resolve_device(estimator.device)
    options = {"deterministic": estimator.deterministic, "n_threads": estimator.n_threads}
    with (
        reproducible_torch(seed, device, **options),
        explaining_torch(estimator.batch_size),
    ):
        if estimator.patience is not None:
            valid_set = samples.subset(stop, training=False).to(device)
            settings["train_split"] = predefined_split(valid_set)
        if len(train) < len(y):
            samples = samples.subset(train)
        samples = samples.to(device)
        settings["callbacks"] = make_callbacks(estimator, callbacks)
        net = _make_net(estimator, module, module_params, initial, device=device, **settings)
        _run_epochs(net, samples)
        warn_of_collapse(net, samples, estimator)
    net.train_split = None  # a pickle must not hold the clips
    _move_to_cpu(net)
    return net, describe_split(groups, train, stop), device


def _dtype_name(estimator):
    """Return the dtype of an estimator's weights."""
    return "float64" if estimator.precision == "float64" else "float32"


def _make_net(
    estimator,
    module,
    module_params,
    initial,
    *,
    criterion=WeightedClassificationLoss,
    **settings,
):
    """Return a skorch net with the estimator's training parameters and its first weights."""
    net_params = estimator.net_params or {}
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
        "train_split": None,
        "verbose": int(estimator.verbose),
        **{f"module__{name}": value for name, value in module_params.items()},
        **settings,
        **net_params,
    }
    net = NeuralNet(module, criterion, **settings).initialize()
    net.module_.to(getattr(torch, _dtype_name(estimator)))
    if initial is not None:
        getattr(net.module_, "_orig_mod", net.module_).load_state_dict(initial)  # if compiled
    return net


def _run_epochs(net, samples):
    """Train a net like skorch's `fit`, which however swallows a Ctrl-C of the user."""
    net.notify("on_train_begin", X=samples, y=None)
    try:
        net.fit_loop(samples)
    except KeyboardInterrupt:  # EarlyStopping raises it too
        if not any(has_stopped(callback) for _, callback in net.callbacks_):
            raise
    net.notify("on_train_end", X=samples, y=None)


def _move_to_cpu(net):
    """Move weights and optimiser state to the CPU, so that the net can be unpickled anywhere."""
    if hasattr(net.module_, "_orig_mod"):  # compiled
        net.module_, net.compile = net.module_._orig_mod, False
    net.module_.to("cpu")
    net.criterion_.to("cpu")
    for state in net.optimizer_.state.values():
        state.update({k: v.cpu() for k, v in state.items() if torch.is_tensor(v)})
    net.device = "cpu"


def restore_network(estimator, module, module_params, weights):
    """Return the fitted net that `train_network` returned, from its state dict."""
    with reproducible_torch(0):
        callbacks = make_callbacks(estimator)
        return _make_net(estimator, module, module_params, weights, callbacks=callbacks)


def tabulate_history(net):
    """Return the training history as a DataFrame, one row per epoch."""
    rows = [{k: v for k, v in row.items() if k != "batches"} for row in net.history]
    return pd.DataFrame(rows)


def run_settings(estimator):
    """Return the parameters of an estimator that `run_network` needs."""
    names = ("batch_size", "device", "deterministic", "n_threads")
    return {name: getattr(estimator, name) for name in names}


def run_network(net, method, inputs, *, batch_size, device, deterministic=False, n_threads=1):
    """Return the output of a method of the net's module, (n_samples, n_outputs), by batches."""
    device = resolve_device(device)
    tensors = {name: torch.from_numpy(array) for name, array in inputs.items()}
    batches = zip(*(tensor.split(batch_size) for tensor in tensors.values()), strict=True)
    with (
        reproducible_torch(device=device, deterministic=deterministic, n_threads=n_threads),
        torch.inference_mode(),
        explaining_torch(batch_size),
    ):
        home = next(net.module_.parameters()).device
        module = net.module_.to(device).eval()
        outputs = [
            getattr(module, method)(
                **{name: tensor.to(device) for name, tensor in zip(tensors, batch, strict=True)}
            ).cpu()
            for batch in batches
        ]
        module.to(home)
    return torch.cat(outputs).numpy()


def restored_on_error(fit):
    """Decorate `fit` so that an exception restores the estimator and its nested estimators."""

    @wraps(fit)
    def fit_or_restore(estimator, *args, **kwargs):
        nested = estimator.get_params(deep=True).values()
        parts = [estimator, *(part for part in nested if isinstance(part, BaseEstimator))]
        before = [_copy_state(part) for part in parts]
        try:
            return fit(estimator, *args, **kwargs)
        except BaseException:
            for part, state in zip(parts, before, strict=True):
                vars(part).clear()
                vars(part).update(state)
            raise

    return fit_or_restore


def _copy_state(part):
    """Return the attributes of an estimator, with lists copied because `fit` may change them."""
    return {k: list(value) if type(value) is list else value for k, value in vars(part).items()}
