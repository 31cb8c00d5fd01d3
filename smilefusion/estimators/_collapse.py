"""Warn if the output of a trained network no longer depends on its input."""

import warnings

import numpy as np
import torch
from skorch.utils import to_device

from smilefusion.estimators._datasets import BatchIterator
from smilefusion.exceptions import CollapsedTrainingWarning

_N_SAMPLES = 16  # checked first; all samples are checked only if the outputs of these agree
# Logits that differ by less count as equal. If only one unit before the LayerNorm of the head is
# alive, the LayerNorm removes its scale, and the output varies only because of epsilon = 1e-5.
_SMALLEST_SPREAD = 1e-4


def warn_of_collapse(net, samples, estimator):
    """Warn if a trained net gives practically the same output for all training samples.

    Parameters
    ----------
    net : skorch.NeuralNet
        The trained net.
    samples : StreamDataset
        The training samples.
    estimator : estimator
        Holds the training parameters, which the warning names.
    """
    few = np.unique(np.linspace(0, len(samples) - 1, _N_SAMPLES).astype(int))
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
        CollapsedTrainingWarning,
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
    outputs = torch.cat(outputs)
    if not differ or outputs.ndim != 2:
        return False
    return bool((outputs.amax(dim=0) - outputs.amin(dim=0)).max() < _SMALLEST_SPREAD)
