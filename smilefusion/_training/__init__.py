"""Training of networks through skorch: batches, callbacks, splits and devices."""
