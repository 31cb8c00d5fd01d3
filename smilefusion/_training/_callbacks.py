"""Skorch callbacks: early stopping, and guards against failed trainings."""

import warnings
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from skorch import NeuralNet
from skorch.callbacks import Callback, EarlyStopping
from skorch.utils import to_device

from smilefusion._messages import abridge
from smilefusion._training._batches import BatchIterator, StreamDataset
from smilefusion.exceptions import DivergedTrainingError, TrainingWarning

# The collapse check looks at this many samples first, and at all of them only if their outputs
# agree. Logits that differ by less than the spread count as equal: if only one unit before the
# LayerNorm of the head is alive, the outputs vary only because of the epsilon of the LayerNorm.
_N_COLLAPSE_SAMPLES = 16
_SMALLEST_SPREAD = 1e-4
_FIRST_STEPS = 10  # early stopping ignores epochs that end before this training step


class LossGuard(Callback):
    """Raise an error if a loss is not finite."""

    def on_batch_end(
        self,
        net: NeuralNet,
        batch: Any = None,
        training: bool = False,
        loss: torch.Tensor | None = None,
        **kwargs: Any,
    ) -> None:
        """Check the loss of a batch."""
        if loss is None or torch.isfinite(loss := loss.detach()):
            return
        samples = batch[1][:, 2].long().tolist()
        raise DivergedTrainingError(
            f"The {'training' if training else 'validation'} loss is {loss.item()} in epoch "
            f"{len(net.history)}, in the batch of samples {abridge(samples)}. Lower lr, clip "
            f"the gradient with skorch.callbacks.GradientNormClipping, or look at these samples."
        )


class _Stopping(EarlyStopping):
    """Early stopping that ignores the first training steps."""

    def on_epoch_end(self, net: NeuralNet, **kwargs: Any) -> None:
        """Compare the validation loss with the best one."""
        if len(net.history) * net.history[-1, "train_batch_count"] >= _FIRST_STEPS:
            super().on_epoch_end(net, **kwargs)


class EpochRecorder(Callback):
    """Call a function with the net after every epoch and keep its results."""

    def __init__(self, function: Callable[[NeuralNet], Any] | None):
        self.function = function
        self.outputs: list[Any] = []

    def on_epoch_end(self, net: NeuralNet, **kwargs: Any) -> None:
        """Call the function."""
        if self.function is not None:
            self.outputs.append(self.function(net))

    def close(self) -> list[Any]:
        """Return the results and clear them here, because the fitted net is pickled."""
        outputs, self.function, self.outputs = self.outputs, None, []
        return outputs


def make_callbacks(estimator: Any, extra: Sequence[Callback] = ()) -> list[Any]:
    """Return the callbacks of an estimator: its own, those of `net_params`, and extra ones."""
    given = (estimator.net_params or {}).get("callbacks") or []
    if not isinstance(given, (list, tuple)):
        raise ValueError(
            f"callbacks in net_params must be a list of skorch callbacks; got {given!r}. Put them "
            f"into a list."
        )
    callbacks = [("loss_guard", LossGuard()), *given, *extra]
    if estimator.patience is not None:
        callbacks.append(_Stopping("valid_loss", patience=estimator.patience, load_best=True))
    return callbacks


def has_stopped(callback: Callback) -> bool:
    """Whether a callback is an EarlyStopping that has run out of patience."""
    return isinstance(callback, EarlyStopping) and callback.misses_ >= callback.patience


def warn_of_collapse(net: NeuralNet, samples: StreamDataset, estimator: Any) -> None:
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
        f"collapsed, so predictions carry no information. Lower lr (it is {estimator.lr:g}), clip "
        "the gradient with skorch.callbacks.GradientNormClipping, use a larger network"
        f"{', standardise the columns' if is_table else ''} or try another random_state.",
        TrainingWarning,
        stacklevel=2,
    )


def _is_constant(net: NeuralNet, samples: StreamDataset) -> bool:
    """Whether samples differ although their outputs are practically the same."""
    module, outputs, differ, first = net.module_.eval(), [], False, None
    with torch.no_grad():
        for batch in BatchIterator(samples, net.batch_size):
            inputs, _ = to_device(batch, net.device)
            inputs.pop("fold", None)
            first = inputs if first is None else first
            differ |= any((inputs[name] != first[name][:1]).any() for name in inputs)
            output = module(**inputs)
            outputs.append(output[0] if isinstance(output, tuple) else output)
    logits = torch.cat(outputs, dim=-2 if outputs[0].ndim > 1 else 0)
    if not differ or logits.ndim < 2:
        return False
    return bool((logits.amax(dim=-2) - logits.amin(dim=-2)).max() < _SMALLEST_SPREAD)
