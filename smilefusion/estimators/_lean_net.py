"""A skorch net whose steps call only what listens."""

from functools import partial

import torch
from skorch import NeuralNet
from skorch.callbacks import Callback, EarlyStopping
from skorch.utils import to_device


class LeanNet(NeuralNet):
    """Skorch's net for batches of named inputs, with less work around each step.

    Results, history and callbacks are those of `skorch.NeuralNet`. It calls only
    callbacks that handle batch events, sets the mode of the module once per epoch, and takes
    batches as tensors. Unlike skorch's net, it does not catch KeyboardInterrupt.
    """

    def partial_fit(self, X, y=None, classes=None, **fit_params):
        """Train the net, starting from its current weights.

        Parameters
        ----------
        X : dataset
            The training samples.
        y : None
            Ignored; the dataset holds the target.
        classes : None
            Ignored.
        **fit_params : dict
            Further inputs of the module.

        Returns
        -------
        self : LeanNet
            The trained net.

        Raises
        ------
        KeyboardInterrupt
            If the user presses Ctrl-C, or a callback other than EarlyStopping raises it.
        """
        if not self.initialized_:
            self.initialize()
        self.notify("on_train_begin", X=X, y=y)
        try:
            self.fit_loop(X, y, **fit_params)
        except KeyboardInterrupt:  # skorch's EarlyStopping raises it too
            if not any(has_stopped(callback) for _, callback in self.callbacks_):
                raise
        self.notify("on_train_end", X=X, y=y)
        return self

    def run_single_epoch(self, iterator, training, prefix, step_fn, **fit_params):
        """Go through the batches of an epoch once, to train or to validate.

        Parameters
        ----------
        iterator : iterable or None
            Gives batches of named inputs and target; None does nothing.
        training : bool
            Whether to train.
        prefix : str
            Start of the names in the history, "train" or "valid".
        step_fn : callable
            Skorch's step, which is not taken.
        **fit_params : dict
            Further inputs of the module.
        """
        if iterator is None:
            return
        self._set_training(training)
        listeners = {
            name: [cb for _, cb in self.callbacks_ if _listens(cb, name)]
            for name in ("on_batch_begin", "on_grad_computed", "on_batch_end")
        }
        n_batches = 0
        for batch in iterator:
            n_batches += 1
            self.history.new_batch()
            for each in listeners["on_batch_begin"]:
                each.on_batch_begin(self, batch=batch, training=training)
            step = self._take_step(batch, training, listeners["on_grad_computed"], fit_params)
            self.history.record_batch(f"{prefix}_loss", step["loss"].item())
            self.history.record_batch(f"{prefix}_batch_size", len(batch[1]))
            for each in listeners["on_batch_end"]:
                each.on_batch_end(self, batch=batch, training=training, **step)
        self.history.record(f"{prefix}_batch_count", n_batches)

    def _take_step(self, batch, training, listeners, fit_params):
        """Return loss and outputs of a batch, after a step of the optimiser where training."""
        if not training:
            with torch.no_grad():
                return self._forward(batch, fit_params)
        steps = []
        self.optimizer_.step(partial(self._descend, batch, listeners, fit_params, steps))
        return steps[0]

    def _descend(self, batch, listeners, fit_params, steps):
        """Return the loss with fresh gradients, which the optimiser asks for."""
        self.optimizer_.zero_grad()
        step = self._forward(batch, fit_params)
        step["loss"].backward()
        for each in listeners:
            weights = list(self.get_all_learnable_params())
            each.on_grad_computed(self, named_parameters=weights, batch=batch, training=True)
        steps.append(step)
        return step["loss"]

    def _forward(self, batch, fit_params):
        """Return loss and outputs of a batch."""
        inputs, target = to_device(batch, self.device)
        outputs = self.module_(**inputs, **fit_params)
        return {"loss": self.criterion_(outputs, target), "y_pred": outputs}


def _listens(callback, name):
    """Whether a callback handles an event."""
    return getattr(type(callback), name) is not getattr(Callback, name)


def has_stopped(callback):
    """Whether a callback is an EarlyStopping that has run out of patience."""
    return isinstance(callback, EarlyStopping) and callback.misses_ >= callback.patience
