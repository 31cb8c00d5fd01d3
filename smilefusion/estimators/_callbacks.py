"""Skorch callbacks for the learning rate, gradient clipping and divergence of the loss."""

import math
from functools import partial

import torch
from skorch.callbacks import Callback, GradientNormClipping, LRScheduler, ProgressBar
from torch.optim.lr_scheduler import LambdaLR

from smilefusion._messages import abridge
from smilefusion.exceptions import DivergedTrainingError


def describe_divergence(kind, loss, epoch, numbers):
    """Return the message of a loss that is not finite, for the numbers of the batch's samples."""
    return (
        f"The {kind} loss is {loss} in epoch {epoch}, in the batch of samples {abridge(numbers)}. "
        f"Lower lr, set gradient_clip, or look at these samples."
    )


class LossGuard(Callback):
    """Stop a training whose loss is not finite, naming the epoch and the batch's samples."""

    def on_batch_end(self, net, batch=None, training=False, loss=None, **kwargs):
        """Check the loss of a batch."""
        if loss is None or torch.isfinite(loss := loss.detach()):
            return
        numbers = batch[1][:, 2].long().tolist()
        kind = "training" if training else "validation"
        raise DivergedTrainingError(
            describe_divergence(kind, loss.item(), len(net.history), numbers)
        )


class EpochRecorder(Callback):
    """Call a function with the net after every epoch and keep what it returns."""

    def __init__(self, function):
        self.function = function
        self.outputs = []

    def on_epoch_end(self, net, **kwargs):
        """Call the function."""
        self.outputs.append(self.function(net))

    def close(self):
        """Return the outputs; drop them and the function, because the fitted net is pickled."""
        outputs, self.function, self.outputs = self.outputs, None, []
        return outputs


def learning_rate_factor(epoch, *, warmup_epochs, schedule, max_epochs):
    """Return the learning rate of an epoch as a fraction of `lr`.

    Parameters
    ----------
    epoch : int
        Number of the epoch, from 0.
    warmup_epochs : int
        Number of epochs over which the rate rises linearly to `lr`.
    schedule : {"cosine"} or None
        Whether it then falls to zero along a cosine by the last epoch, or stays.
    max_epochs : int
        Number of epochs.

    Returns
    -------
    factor : float
        Between 0 and 1.

    References
    ----------
    I. Loshchilov, F. Hutter: SGDR: Stochastic Gradient Descent with Warm Restarts, ICLR 2017.
    """
    if epoch < warmup_epochs:
        return (epoch + 1) / (warmup_epochs + 1)
    if schedule is None:
        return 1.0
    done = (epoch - warmup_epochs) / max(max_epochs - warmup_epochs, 1)
    return 0.5 * (1 + math.cos(math.pi * done))


def make_callbacks(estimator):
    """Return the callbacks that an estimator's training parameters ask for.

    Parameters
    ----------
    estimator : estimator
        Holds the training parameters.

    Returns
    -------
    callbacks : list of skorch.callbacks.Callback
        A guard of the loss, and schedule, clipping and progress bar where they are asked for.
    """
    callbacks = [("loss_guard", LossGuard())]
    if estimator.warmup_epochs or estimator.lr_schedule:
        course = partial(
            learning_rate_factor,
            warmup_epochs=estimator.warmup_epochs,
            schedule=estimator.lr_schedule,
            max_epochs=estimator.max_epochs,
        )
        scheduler = LRScheduler(LambdaLR, lr_lambda=course, event_name="lr")
        callbacks.append(("lr_scheduler", scheduler))
    if estimator.gradient_clip is not None:
        callbacks.append(("gradient_clip", GradientNormClipping(estimator.gradient_clip)))
    if int(estimator.verbose) > 1:
        callbacks.append(("progress_bar", ProgressBar()))
    return callbacks
