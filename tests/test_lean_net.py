from collections import Counter

import numpy as np
import pytest
import torch
from skorch import NeuralNet
from skorch.callbacks import Callback, EarlyStopping, GradientNormClipping, LRScheduler
from skorch.helper import predefined_split
from torch import nn

from smilefusion.estimators._datasets import BatchIterator, StreamDataset
from smilefusion.estimators._lean_net import LeanNet
from smilefusion.estimators._losses import WeightedClassificationLoss


class Network(nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(4, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(0.3), nn.Linear(8, 1)
        )

    def forward(self, values):
        return self.layers(values)


class Listener(Callback):
    """Counts what it is told of each event."""

    def __init__(self):
        self.seen = []

    def on_batch_begin(self, net, batch, training, **kwargs):
        self.seen.append(("begin", training, len(batch[1])))

    def on_grad_computed(self, net, named_parameters, batch, training, **kwargs):
        self.seen.append(("gradient", training, len(list(named_parameters))))

    def on_batch_end(self, net, batch, training, loss, y_pred, **kwargs):
        self.seen.append(("end", training, loss.item(), tuple(y_pred.shape)))


def make_data(n, seed):
    random = torch.Generator().manual_seed(seed)
    values = torch.randn(n, 4, generator=random)
    label = (values.sum(dim=1) > 0).float()
    target = torch.stack([label, torch.ones(n), torch.arange(n).float()], dim=1)
    return StreamDataset({"values": values}, target)


def train(kind, **params):
    torch.manual_seed(0)
    settings = {
        "optimizer": torch.optim.AdamW,
        "lr": 1e-2,
        "max_epochs": 4,
        "batch_size": 16,
        "iterator_train": BatchIterator,
        "iterator_train__shuffle": True,
        "iterator_valid": BatchIterator,
        "train_split": predefined_split(make_data(30, 1)),
        "verbose": 0,
    }
    net = kind(Network, WeightedClassificationLoss, **settings | params)
    return net.fit(make_data(50, 0))


def without_times(history):
    return [
        {name: value for name, value in row.items() if name not in ("dur", "batches")}
        for row in history
    ], [row["batches"] for row in history]


@pytest.mark.parametrize(
    "make_params",
    [
        dict,
        lambda: {"callbacks": [EarlyStopping(patience=1), GradientNormClipping(0.01)]},
        lambda: {"callbacks": [LRScheduler("StepLR", step_size=1, step_every="batch")]},
        lambda: {"optimizer": torch.optim.LBFGS, "lr": 0.1},
        lambda: {"iterator_train": torch.utils.data.DataLoader, "train_split": None},
    ],
    ids=["plain", "stopping and clipping", "schedule of batches", "closures", "torch's loader"],
)
def test_lean_net_trains_as_skorchs_net(make_params):
    lean, skorchs = train(LeanNet, **make_params()), train(NeuralNet, **make_params())
    for name, weight in skorchs.module_.state_dict().items():
        torch.testing.assert_close(lean.module_.state_dict()[name], weight, rtol=0, atol=0)
    assert without_times(lean.history) == without_times(skorchs.history)


def test_lean_net_tells_callbacks_what_skorchs_net_tells():
    first, second = Listener(), Listener()
    train(LeanNet, callbacks=[("listener", first)])
    train(NeuralNet, callbacks=[("listener", second)])
    assert first.seen == second.seen
    kinds = Counter(event[0] for event in first.seen)
    assert kinds == {"begin": 4 * (4 + 2), "gradient": 4 * 4, "end": 4 * (4 + 2)}


def test_lean_net_predicts_and_pickles_as_skorchs_net():
    lean, skorchs = train(LeanNet), train(NeuralNet)
    data = make_data(20, 2)
    np.testing.assert_array_equal(lean.predict(data), skorchs.predict(data))
