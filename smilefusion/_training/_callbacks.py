"""Skorch callbacks: learning rate, gradient clipping, and guards against failed trainings."""

import math
import warnings
from functools import partial

import numpy as np
import torch
from skorch.callbacks import (
    Callback,
    EarlyStopping,
    GradientNormClipping,
    LRScheduler,
    ProgressBar,
)
from skorch.utils import to_device
from torch.optim.lr_scheduler import LambdaLR

from smilefusion._messages import abridge
from smilefusion._training._batches import BatchIterator
from smilefusion.exceptions import DivergedTrainingError, TrainingWarning

# The collapse check looks at this many samples first, and at all of them only if their outputs
# agree. Logits that differ by less than the spread count as equal: if only one unit before the
# LayerNorm of the head is alive, the outputs vary only because of the epsilon of the LayerNorm.
_N_COLLAPSE_SAMPLES = 16
_SMALLEST_SPREAD = 1e-4


class LossGuard(Callback):
    """Raise an error if a loss is not finite."""

    def on_batch_end(self, net, batch=None, training=False, loss=None, **kwargs):
        """Check the loss of a batch."""
        if loss is None or torch.isfinite(loss := loss.detach()):
            return
        samples = batch[1][:, 2].long().tolist()
        raise DivergedTrainingError(
            f"The {'training' if training else 'validation'} loss is {loss.item()} in epoch "
            f"{len(net.history)}, in the batch of samples {abridge(samples)}. Lower lr, set "
            f"gradient_clip, or look at these samples."
        )


class EpochRecorder(Callback):
    """Call a function with the net after every epoch and keep its results."""

    def __init__(self, function):
        self.function = function
        self.outputs = []

    def on_epoch_end(self, net, **kwargs):
        """Call the function."""
        self.outputs.append(self.function(net))

    def close(self):
        """Return the outputs and drop them here, because the fitted net is pickled."""
        outputs, self.function, self.outputs = self.outputs, None, []
        return outputs


def learning_rate_factor(epoch, *, warmup_epochs, schedule, max_epochs):
    """Return the factor of `lr` in an epoch, counted from 0: linear warm-up, then the schedule."""
    if epoch < warmup_epochs:
        return (epoch + 1) / (warmup_epochs + 1)
    if schedule is None:
        return 1.0
    # Cosine schedule of I. Loshchilov, F. Hutter: SGDR, ICLR 2017.
    done = (epoch - warmup_epochs) / max(max_epochs - warmup_epochs, 1)
    return 0.5 * (1 + math.cos(math.pi * done))


def make_callbacks(estimator, extra=()):
    """Return the callbacks for the training parameters of an estimator."""
    callbacks = [("loss_guard", LossGuard())]
    if estimator.warmup_epochs or estimator.lr_schedule:
        factor = partial(
            learning_rate_factor,
            warmup_epochs=estimator.warmup_epochs,
            schedule=estimator.lr_schedule,
            max_epochs=estimator.max_epochs,
        )
        scheduler = LRScheduler(LambdaLR, lr_lambda=factor, event_name="lr")
        callbacks.append(("lr_scheduler", scheduler))
    if estimator.gradient_clip is not None:
        callbacks.append(("gradient_clip", GradientNormClipping(estimator.gradient_clip)))
    if int(estimator.verbose) > 1:
        callbacks.append(("progress_bar", ProgressBar()))
    callbacks += [*(estimator.callbacks or []), *extra]
    if estimator.patience is not None:
        stopping = EarlyStopping("valid_loss", patience=estimator.patience, load_best=True)
        callbacks.append(stopping)
    return callbacks


def has_stopped(callback):
    """Whether a callback is an EarlyStopping that has run out of patience."""
    return isinstance(callback, EarlyStopping) and callback.misses_ >= callback.patience


def warn_of_collapse(net, samples, estimator):
    """Warn if a trained net gives practically the same output for all training samples."""
    few = np.unique(np.linspace(0, len(samples) - 1, _N_COLLAPSE_SAMPLES).astype(int))
    for part in (few, np.arange(len(samples))):
        if not _is_constant(net, samples.subset(part, training=False)):
            return
    is_table = not hasattr(estimator, "encoder")
    kind = "fusion" if hasattr(estimator, "fusion") else "encoder"
    warnings.warn(
        f"{type(estimator).__name__} with {kind}={getattr(estimator, kind)!r} gives the same "
        f"output for all {len(samples)} training samples, although they differ. The training has "
        f"collapsed, so predictions carry no information. Lower lr (it is {estimator.lr:g}), set "
        f"gradient_clip, use a larger network{', standardise the columns' if is_table else ''} or "
        "try another random_state.",
        TrainingWarning,
        stacklevel=2,
    )


def _is_constant(net, samples):
    """Whether samples differ although their outputs are practically the same."""
    module, outputs, differ, first = net.module_.eval(), [], False, None
    with torch.no_grad():
        for batch in BatchIterator(samples, net.batch_size):
            inputs, _ = to_device(batch, net.device)
            first = inputs if first is None else first
            differ |= any((inputs[name] != first[name][:1]).any() for name in inputs)
            output = module(**inputs)
            outputs.append(output[0] if isinstance(output, tuple) else output)
    logits = torch.cat(outputs)
    if not differ or logits.ndim != 2:
        return False
    return bool((logits.amax(dim=0) - logits.amin(dim=0)).max() < _SMALLEST_SPREAD)
