"""Global state of torch while a network trains or predicts: seed, threads, default dtype."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from smilefusion.exceptions import OutOfDeviceMemoryError

# The random state of torch is global to the process, so threads must take turns.
TORCH_LOCK = threading.RLock()


@contextmanager
def reproducible_torch(
    random_state: int | None = None, device: str = "cpu", *, n_threads: int | None = 1
) -> Iterator[None]:
    """Seed torch and set its CPU threads and default dtype; restore all after the block."""
    used = torch.device(device)
    cuda_devices = [used.index or 0] if used.type == "cuda" else []
    with TORCH_LOCK, torch.random.fork_rng(devices=cuda_devices):
        before, dtype = torch.get_num_threads(), torch.get_default_dtype()
        try:
            # The number of threads changes the last bits of sums. With one thread the bits are
            # the same in the parent process and in the workers of joblib.
            torch.set_num_threads(before if n_threads is None else n_threads)
            torch.set_default_dtype(torch.float32)
            if random_state is not None:
                torch.manual_seed(random_state)
            yield
        finally:
            torch.set_num_threads(before)
            torch.set_default_dtype(dtype)


@contextmanager
def explaining_torch(batch_size: int) -> Iterator[None]:
    """Turn an out-of-memory error of the GPU into one that names the parameter to change."""
    try:
        yield
    except torch.cuda.OutOfMemoryError as error:
        raise OutOfDeviceMemoryError(
            f"The GPU has too little memory for batch_size={batch_size} ({error}). Try "
            f"batch_size={max(1, batch_size // 2)} or device='cpu'."
        ) from error


def resolve_device(device: str) -> str:
    """Return the torch device of a `device` parameter; "auto" means CUDA if available."""
    if device == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    try:
        resolved = torch.device(device)
    except RuntimeError as error:
        raise ValueError(
            f"device must be 'auto' or a torch device such as 'cpu' or 'cuda:0'; got {device!r}."
        ) from error
    if resolved.type == "cuda" and not torch.cuda.is_available():
        raise ValueError(
            f"device={device!r} needs a CUDA GPU, but torch finds none. Use device='auto'."
        )
    return device
