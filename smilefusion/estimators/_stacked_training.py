"""Training of many networks at once, each as if it were trained alone."""

import time
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import numpy as np
import torch
from skorch.callbacks import EarlyStopping
from torch.optim.adamw import adamw

from smilefusion.estimators._callbacks import describe_divergence, learning_rate_factor
from smilefusion.estimators._lean_net import has_stopped
from smilefusion.estimators._stacks import NetworkStack, select
from smilefusion.estimators._torch_state import explaining_torch, reproducible_torch
from smilefusion.estimators._training import finish_net, train_network
from smilefusion.exceptions import DivergedTrainingError
from smilefusion.nn._fusion import FUSIONS

_BETAS, _EPS = (0.9, 0.999), 1e-8  # of torch.optim.AdamW


@dataclass
class _Member:
    """One training of a stack and where it stands."""

    place: int  # in the list of trainings
    training: Any
    net: Any
    generator: torch.Generator
    stopper: EarlyStopping | None
    best: dict | None = None
    error: Exception | None = None

    @property
    def settings(self):
        """Return the estimator, which holds the training parameters."""
        return self.training.estimator

    @property
    def course(self):
        """Return what the steps of the optimiser depend on; members alike take them together."""
        given = self.settings
        schedule = given.warmup_epochs, str(given.lr_schedule), given.max_epochs
        return given.lr, given.weight_decay, schedule, self.n_batches("train")

    def samples(self, part):
        """Return the dataset of a part, "train" or "valid"; None where there is none."""
        return self.training.train_set if part == "train" else self.training.valid_set

    def n_batches(self, part):
        """Return the number of batches of a part."""
        samples = self.samples(part)
        return 0 if samples is None else -(-len(samples) // self.settings.batch_size)

    def has_no_patience_left(self):
        """Whether the validation loss has not fallen for too many epochs."""
        try:
            self.stopper.on_epoch_end(self.net)
        except KeyboardInterrupt:  # skorch's way to stop
            if not has_stopped(self.stopper):
                raise
            return True
        return False

    def learning_rate(self, epoch):
        """Return the learning rate of an epoch, counted from 0."""
        given = self.settings
        return given.lr * learning_rate_factor(
            epoch,
            warmup_epochs=given.warmup_epochs,
            schedule=given.lr_schedule,
            max_epochs=given.max_epochs,
        )


def why_alone(estimator):
    """Return what of a classifier's parameters keeps its training from being stacked.

    A strategy that is a class of the user's own may look at a batch as a whole, and be changed
    by the samples without weight that fill the batches of a stack.

    Parameters
    ----------
    estimator : FusionClassifier
        The unfitted classifier.

    Returns
    -------
    name : str or None
        The parameter that needs a net of its own; None where nothing does.
    """
    needy = ("callbacks", "net_params", "warm_start")
    fusion = estimator.fusion
    own = "fusion" if isinstance(fusion, type) and fusion not in FUSIONS.values() else None
    return next((name for name in needy if getattr(estimator, name)), own)


def form_of(training):
    """Return what trainings of one stack have in common, as text."""
    given = training.estimator
    network = training.module, training.module_params, training.criterion
    form = given.batch_size, given.precision, given.deterministic, given.n_threads, training.device
    return repr((*network, *form, list(training.train_set.inputs)))


def train_together(trainings):
    """Train networks of one form together; each gets what `train_network` would give it.

    Parameters
    ----------
    trainings : list of Training
        Trainings of one form, see `form_of`, of classifiers with one of our strategies.

    Returns
    -------
    outcomes : list of skorch.NeuralNet or Exception
        The fitted net of each training, or the error that ended it.
    """
    device, given = trainings[0].device, trainings[0].estimator
    if len(trainings) == 1 and not _is_gpu(device):
        try:
            return [train_network(trainings[0])]
        except DivergedTrainingError as error:
            return [error]
    how = {"deterministic": given.deterministic, "n_threads": given.n_threads}
    with reproducible_torch(device=device, **how):
        members = [_start(place, training) for place, training in enumerate(trainings)]
        members.sort(key=lambda member: member.course)
        with explaining_torch(given.batch_size):
            _StackedTraining(list(members), device).run()
    members.sort(key=lambda member: member.place)
    return [member.error or finish_net(member.net) for member in members]


def _is_gpu(device):
    """Whether a device runs CUDA graphs."""
    return torch.device(device).type == "cuda"


def _start(place, training):
    """Return a member with the first weights and random numbers that it has alone."""
    given = training.estimator
    with reproducible_torch(training.seed, training.device):
        net = training.start()
        generator = torch.Generator()
        generator.set_state(torch.get_rng_state())
    stopper = None
    if given.early_stopping:
        stopper = EarlyStopping("valid_loss", patience=given.patience)
        stopper.on_train_begin(net)
    return _Member(place, training, net, generator, stopper)


class _Pool:
    """The samples of all members of a part, one after another."""

    def __init__(self, members, part, device):
        sets = {id(m.samples(part)): m.samples(part) for m in members if m.samples(part)}
        first, self.first = 0, {}
        for key, samples in sets.items():
            self.first[key], first = first, first + len(samples)
        self.part, self.device = part, device
        if sets:
            names = next(iter(sets.values())).inputs
            self.inputs = {
                name: torch.cat([samples.inputs[name] for samples in sets.values()]).to(device)
                for name in names
            }
            self.target = torch.cat([samples.target for samples in sets.values()]).to(device)

    def any_batch(self, n_members, batch_size):
        """Return inputs and target (K, B, ...) of samples, the same for all members."""
        inputs = {
            name: values[:batch_size].expand(n_members, *[-1] * values.ndim)
            for name, values in self.inputs.items()
        }
        return inputs, self.target[:batch_size].expand(n_members, -1, -1)

    def batches(self, members, batch_size):
        """Yield inputs and target (K, B, ...) of each member's next batch, and their sizes."""
        orders = [self._order(member) for member in members]
        lengths = np.array([len(order) for order in orders])
        longest = lengths.max()
        rows = torch.zeros(len(members), longest, dtype=torch.int64)
        for row, order in zip(rows, orders, strict=True):
            row[: len(order)] = order
        rows = rows.to(self.device)
        for start in range(0, longest, batch_size):
            chosen = rows[:, start : start + batch_size]
            counts = (lengths - start).clip(0, chosen.shape[1])
            target = _take(self.target, chosen)
            if counts.min() < chosen.shape[1]:
                real = torch.arange(chosen.shape[1]) < torch.from_numpy(counts)[:, None]
                target[..., 1] *= real.to(self.device)
            yield {name: _take(each, chosen) for name, each in self.inputs.items()}, target, counts

    def _order(self, member):
        """Return the rows of a member's samples, shuffled for training."""
        samples = member.samples(self.part)
        if samples is None:
            return torch.arange(0)
        order = torch.arange(len(samples))
        if self.part == "train":
            order = torch.randperm(len(samples), generator=member.generator)
        return order + self.first[id(samples)]


def _take(values, rows):
    """Return rows (K, B) of values (n, ...), copied row by row."""
    return values.index_select(0, rows.flatten()).unflatten(0, rows.shape)


class _StackedTraining:
    """The members that are still training, in the order of their courses.

    Parameters
    ----------
    members : list of _Member
        The trainings.
    device : str
        Where to train.
    """

    def __init__(self, members, device):
        self.members = members
        self.device = device
        self.batch_size = members[0].settings.batch_size
        self.pools = {part: _Pool(members, part, device) for part in ("train", "valid")}
        nets = [member.net for member in members]
        generators = [member.generator for member in members]
        modules = [net.module_ for net in nets]
        names = list(members[0].training.train_set.inputs)
        parts = modules, names, generators, nets[0].criterion_, device
        self.stack = NetworkStack(*parts, layers=not _is_gpu(device))
        self.stack.fit_layout(*self.pools["train"].any_batch(len(members), self.batch_size))
        self.moments = [
            {name: torch.zeros_like(weight) for name, weight in self.stack.weights.items()}
            for _ in _BETAS
        ]

    def run(self):
        """Train until every member has ended."""
        epoch = 0
        while self.members:
            began = time.perf_counter()
            train = self._run_part("train", epoch)
            valid = self._run_part("valid", epoch)
            seconds = (time.perf_counter() - began) / len(self.members)
            ended = [
                self._close_epoch(k, epoch, train[k], valid[k], seconds)
                for k in range(len(self.members))
            ]
            self._keep([k for k, has_ended in enumerate(ended) if not has_ended])
            epoch += 1

    def _run_part(self, part, epoch):
        """Go through the samples of a part; return each member's mean loss, or an error."""
        losses, sizes, numbers = [], [], []
        for step, batch in enumerate(self.pools[part].batches(self.members, self.batch_size)):
            inputs, target, counts = batch
            if part == "train":
                loss, gradients = self.stack.gradients(inputs, target, counts.tolist())
                self._step(self._clip(gradients), epoch, step)
            else:
                loss = self.stack.losses(inputs, target)
            losses.append(loss)
            sizes.append(counts)
            numbers.append(target[..., 2])
        if not losses:
            return [None] * len(self.members)
        losses = torch.stack(losses).double().cpu().numpy()  # (n_batches, K)
        return [
            _mean_loss(part, epoch, *figures, [each[k] for each in numbers])
            for k, figures in enumerate(zip(losses.T, np.stack(sizes).T, strict=True))
        ]

    def _clip(self, gradients):
        """Cut each member's gradient to its greatest norm, where it has one."""
        longest = [member.settings.gradient_clip for member in self.members]
        if all(length is None for length in longest):
            return gradients
        squares = sum(each.flatten(1).square().sum(dim=1) for each in gradients.values())
        limits = torch.tensor([np.inf if length is None else length for length in longest])
        factors = (limits.to(squares) / (squares.sqrt() + 1e-6)).clamp_max(1)
        return {
            name: each * factors.view(-1, *(1,) * (each.ndim - 1))
            for name, each in gradients.items()
        }

    def _step(self, gradients, epoch, step):
        """Take a step of AdamW with each member that has a batch."""
        places = range(len(self.members))
        for course, group in groupby(places, key=lambda k: self.members[k].course):
            group = list(group)
            block, member = slice(group[0], group[-1] + 1), self.members[group[0]]
            n_batches = course[-1]
            if step >= n_batches:
                continue
            done = float(epoch * n_batches + step)
            counts = torch.full((len(gradients),), done, device=self.device)
            adamw(
                [weight[block] for weight in self.stack.weights.values()],
                [gradient[block] for gradient in gradients.values()],
                *([moment[block] for moment in moments.values()] for moments in self.moments),
                [],
                list(counts.unbind()),
                fused=True,
                amsgrad=False,
                beta1=_BETAS[0],
                beta2=_BETAS[1],
                lr=member.learning_rate(epoch),
                weight_decay=member.settings.weight_decay,
                eps=_EPS,
                maximize=False,
            )

    def _close_epoch(self, k, epoch, train, valid, seconds):
        """Record a member's epoch; return whether its training has ended."""
        member = self.members[k]
        for loss in (train, valid):
            if isinstance(loss, DivergedTrainingError):
                member.error = loss
                return True
        history = member.net.history
        history.new_epoch()
        history.record("epoch", epoch + 1)
        for name, loss in (("train_loss", train), ("valid_loss", valid)):
            if loss is not None:
                history.record(name, loss)
        history.record("dur", seconds)
        has_ended = epoch + 1 == member.settings.max_epochs
        if member.stopper is not None:
            has_ended |= member.has_no_patience_left()
            if member.stopper.misses_ == 0:
                member.best = self.stack.state(k)
        if has_ended:
            member.net.module_.load_state_dict(member.best or self.stack.state(k))
        return has_ended

    def _keep(self, kept):
        """Go on with some of the members."""
        if len(kept) == len(self.members):
            return
        self.members = [self.members[k] for k in kept]
        self.stack.keep(kept)
        self.moments = [
            {name: select(moment, kept) for name, moment in moments.items()}
            for moments in self.moments
        ]


def _mean_loss(part, epoch, losses, sizes, numbers):
    """Return the mean loss of a member's samples, None without any, or the error of a batch."""
    if sizes.sum() == 0:
        return None
    bad = np.flatnonzero(~np.isfinite(losses) & (sizes > 0))
    if bad.size:
        batch = bad[0]
        samples = numbers[batch][: sizes[batch]].long().tolist()
        kind = "training" if part == "train" else "validation"
        return DivergedTrainingError(describe_divergence(kind, losses[batch], epoch + 1, samples))
    return float(np.average(losses, weights=sizes))
