"""Skorch glue: labels, weights, early stopping, training and prediction."""

from dataclasses import dataclass, field
from numbers import Integral, Real
from typing import Any

import numpy as np
import pandas as pd
import torch
from sklearn.utils import check_random_state, column_or_1d
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.class_weight import compute_sample_weight
from sklearn.utils.multiclass import check_classification_targets
from skorch.callbacks import EarlyStopping
from skorch.helper import predefined_split

from smilefusion.estimators._callbacks import make_callbacks
from smilefusion.estimators._collapse import warn_of_collapse
from smilefusion.estimators._datasets import BatchIterator, StreamDataset
from smilefusion.estimators._lean_net import LeanNet
from smilefusion.estimators._losses import WeightedClassificationLoss
from smilefusion.estimators._splits import choose_rows, describe_split
from smilefusion.estimators._torch_state import (
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
    "early_stopping": ["boolean"],
    "validation_fraction": [Interval(Real, 0, 1, closed="neither")],
    "patience": [Interval(Integral, 1, None, closed="left")],
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
    """Return labels as a 1-D array, one per clip; the check of estimators on clips."""
    name = type(estimator).__name__
    if y is None:
        raise ValueError(
            f"{name} requires y to be passed, but the target y is None; give one label per clip."
        )
    y = column_or_1d(y, warn=True)
    if len(y) != n_clips:
        raise ValueError(
            f"{name} needs one label per clip; got {len(y)} labels for {n_clips} clips. Give y "
            f"in the order of the clips."
        )
    check_no_label_is_missing(y, estimator)
    if y.dtype.kind == "f" and np.isinf(y).any():
        raise ValueError(
            f"Input y contains infinity, as the label of clip {np.isinf(y).argmax()}; {name} "
            f"needs labels of classes. Correct it or drop the clip."
        )
    return y


def check_no_label_is_missing(y, estimator):
    """Check that no label is NaN or None."""
    labels = np.ravel(np.asarray(y, dtype=object))
    for index in np.flatnonzero(pd.isna(labels))[:1]:
        raise ValueError(
            f"{type(estimator).__name__} needs a label for every clip, but y has {labels[index]} "
            f"for clip {index}. Remove clips without a label."
        )


def encode_labels(y, estimator):
    """Return the sorted classes and the class index of each label; refuse a single class."""
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
    if sample_weight is not None:
        weights = weights * sample_weight
    return weights


def tabulate_history(net):
    """Return the course of a training, one row per epoch.

    Parameters
    ----------
    net : skorch.NeuralNet
        A trained net.

    Returns
    -------
    history : DataFrame
        ``epoch, train_loss, valid_loss, dur`` (s) and what callbacks recorded.
    """
    rows = [{k: v for k, v in row.items() if k != "batches"} for row in net.history]
    return pd.DataFrame(rows)


def _dtype_name(estimator):
    """Return the dtype of an estimator's weights."""
    return "float64" if estimator.precision == "float64" else "float32"


def _make_net(
    estimator, module, module_params, criterion, valid_set, device, callbacks=(), **settings
):
    """Return an untrained skorch net with the estimator's training parameters."""
    callbacks = [*make_callbacks(estimator), *(estimator.callbacks or []), *callbacks]
    if estimator.early_stopping:
        callbacks.append(
            EarlyStopping(monitor="valid_loss", patience=estimator.patience, load_best=True)
        )
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
        "train_split": None if valid_set is None else predefined_split(valid_set),
        "callbacks": callbacks,
        "device": device,
        "verbose": int(estimator.verbose),
        **{f"module__{name}": value for name, value in module_params.items()},
        **settings,
        **net_params,
    }
    return LeanNet(module, criterion, **settings)


def _move_to_cpu(net):
    """Leave plain weights and optimiser state on the CPU, so that the net pickles anywhere."""
    if hasattr(net.module_, "_orig_mod"):  # compiled
        net.module_, net.compile = net.module_._orig_mod, False
    net.module_.to("cpu")
    net.criterion_.to("cpu")
    for state in net.optimizer_.state.values():
        state.update({k: v.cpu() for k, v in state.items() if torch.is_tensor(v)})
    net.device = "cpu"


@dataclass
class Training:
    """What `train_network` trains, and how; see `prepare_training`."""

    estimator: Any
    module: type
    module_params: dict
    train_set: Any
    valid_set: Any  # None without early stopping
    split: Any  # who is in either, see describe_split
    seed: int
    device: str
    initial: dict | None = None
    criterion: type = WeightedClassificationLoss
    settings: dict = field(default_factory=dict)

    def start(self, callbacks=()):
        """Return the net with initial weights, drawn from torch's random state."""
        valid_set = None if self.valid_set is None else self.valid_set.to(self.device)
        net = _make_net(
            self.estimator,
            self.module,
            self.module_params,
            self.criterion,
            valid_set,
            self.device,
            callbacks,
            **self.settings,
        )
        net.initialize()
        net.module_.to(getattr(torch, _dtype_name(self.estimator)))
        if self.initial is not None:
            module = getattr(net.module_, "_orig_mod", net.module_)  # where it is compiled
            module.load_state_dict(self.initial)
        return net


def draw_seeds(random_state):
    """Return the seeds of a training and of its early-stopping split."""
    return tuple(map(int, check_random_state(random_state).randint(2**31 - 1, size=2)))


def prepare_training(
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
    **options,
):
    """Return the training of a network, its samples split and its seed drawn.

    Parameters
    ----------
    estimator : estimator
        Holds the training parameters, see `TRAINING_CONSTRAINTS`.
    module : type
        Class of the torch module; its `forward` takes the names of `inputs`.
    module_params : dict
        Keyword arguments of the module.
    inputs : dict of str to ndarray
        Arrays of n_samples entries each.
    y : ndarray of shape (n_samples,)
        Class indices.
    weights : ndarray of shape (n_samples,)
        Weights of the samples in the loss.
    groups : ndarray of shape (n_samples,) or None
        Labels that the early-stopping split keeps together.
    early_stopping_mask : array-like of bool, shape (n_samples,), default=None
        Samples that are used only for early stopping. If None, they are drawn at random.
    make_dataset : callable, default=StreamDataset
        Makes the dataset of input and target tensors.
    **options
        ``initial``, a state dict to start from instead of fresh weights; ``criterion``, the
        class of the loss; ``settings``, further parameters of the net.

    Returns
    -------
    training : Training
        What `train_network` trains.
    """
    seed, split_seed = draw_seeds(estimator.random_state)
    target = np.column_stack([y, weights, np.arange(len(y))]).astype(_dtype_name(estimator))
    train_set = make_dataset(
        {name: torch.from_numpy(array) for name, array in inputs.items()},
        torch.from_numpy(target),
    )
    train, valid = choose_rows(estimator, y, groups, early_stopping_mask, split_seed)
    valid_set = train_set.subset(valid, training=False) if estimator.early_stopping else None
    if len(train) < len(y):
        train_set = train_set.subset(train)
    device = resolve_device(estimator.device)
    split = describe_split(groups, train, valid)
    parts = train_set, valid_set, split, seed, device
    return Training(estimator, module, module_params, *parts, **options)


def train_network(training, callbacks=()):
    """Train a network as its estimator's parameters say.

    Parameters
    ----------
    training : Training
        As `prepare_training` returns it.
    callbacks : sequence of skorch.callbacks.Callback, default=()
        Callbacks in addition to those of the estimator.

    Returns
    -------
    net : skorch.NeuralNet
        The fitted net, on the CPU.

    Raises
    ------
    DivergedTrainingError
        If the loss is not finite.
    OutOfDeviceMemoryError
        If a training step does not fit into the memory of the GPU.

    Warns
    -----
    CollapsedTrainingWarning
        If the network gives the same output for all training samples.
    """
    estimator = training.estimator
    how = {"deterministic": estimator.deterministic, "n_threads": estimator.n_threads}
    with reproducible_torch(training.seed, training.device, **how):
        net = training.start(callbacks)
        with explaining_torch(estimator.batch_size):
            train_set = training.train_set.to(training.device)
            net.partial_fit(train_set)
            warn_of_collapse(net, train_set, estimator)
    return finish_net(net)


def finish_net(net):
    """Return a trained net without its samples, so that a pickle holds no one's data."""
    net.train_split = None
    _move_to_cpu(net)
    return net


def restore_network(estimator, module, module_params, weights):
    """Return the fitted skorch net that `train_network` gave, from its weights.

    Parameters
    ----------
    estimator : estimator
        Holds the training parameters.
    module : type
        Class of the torch module.
    module_params : dict
        Keyword arguments of the module.
    weights : dict of str to tensor
        State dict of the trained module.

    Returns
    -------
    net : skorch.NeuralNet
        The net with these weights, on the CPU.
    """
    with reproducible_torch(0):
        net = _make_net(
            estimator, module, module_params, WeightedClassificationLoss, None, "cpu"
        ).initialize()
        net.module_.to(getattr(torch, _dtype_name(estimator))).load_state_dict(weights)
    return net


def run_settings(estimator):
    """Return the parameters of an estimator that `run_network` needs."""
    names = ("batch_size", "device", "deterministic", "n_threads")
    return {name: getattr(estimator, name) for name in names}


def run_network(net, method, inputs, *, batch_size, device, deterministic=False, n_threads=1):
    """Return the output of a method of the net's module for all samples, as one array.

    Parameters
    ----------
    net : skorch.NeuralNet
        The fitted net.
    method : str
        Name of the module's method, for instance "forward".
    inputs : dict of str to ndarray
        Arrays of n_samples entries each.
    batch_size : int
        Number of samples that are computed together.
    device : str
        Device parameter of the estimator.
    deterministic : bool, default=False
        Whether torch avoids algorithms whose results depend on timing.
    n_threads : int or None, default=1
        Number of CPU threads; None keeps torch's own setting.

    Returns
    -------
    outputs : ndarray of shape (n_samples, n_outputs)
        The outputs, in the order of the samples.
    """
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
