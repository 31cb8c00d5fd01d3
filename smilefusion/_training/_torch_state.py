"""Global state of torch while a network trains or predicts: seed, threads, determinism."""

import os
import threading
from contextlib import contextmanager, nullcontext

import torch

from smilefusion.exceptions import OutOfDeviceMemoryError

# The random state of torch belongs to the process, so threads must take turns.
TORCH_LOCK = threading.RLock()
# Without one of these, sums by cuBLAS may differ from call to call:
# docs.nvidia.com/cuda/cublas, "Results reproducibility".
_CUBLAS_VARIABLE = "CUBLAS_WORKSPACE_CONFIG"
_CUBLAS_VALUES = (":4096:8", ":16:8")


@contextmanager
def reproducible_torch(random_state=None, device="cpu", *, deterministic=False, n_threads=1):
    """Seed torch and set its CPU threads and default dtype; restore all after the block."""
    device = torch.device(device)
    cuda_devices = [device.index or 0] if device.type == "cuda" else []
    if deterministic and cuda_devices:
        _prepare_cublas()
    extra = _deterministic_algorithms() if deterministic else nullcontext()
    with TORCH_LOCK, torch.random.fork_rng(devices=cuda_devices), extra:
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


def _prepare_cublas():
    """Give cuBLAS a workspace of fixed size, which it reads when CUDA starts."""
    value = os.environ.get(_CUBLAS_VARIABLE)
    if value in _CUBLAS_VALUES:
        return
    if value is not None or torch.cuda.is_initialized():
        raise ValueError(
            f"deterministic=True on a GPU needs the environment variable {_CUBLAS_VARIABLE} to be "
            f"{_CUBLAS_VALUES[0]!r} or {_CUBLAS_VALUES[1]!r} before CUDA starts in this process; "
            f"it is {value!r}. Set it before Python starts, or use device='cpu'."
        )
    os.environ[_CUBLAS_VARIABLE] = _CUBLAS_VALUES[0]  # not reset: later fits rely on it


@contextmanager
def _deterministic_algorithms():
    """Allow only algorithms that give the same bits in every run, in full float32."""
    enabled = torch.are_deterministic_algorithms_enabled()
    warn_only = torch.is_deterministic_algorithms_warn_only_enabled()
    switches = [(torch.backends.cudnn, "benchmark", False), *_full_precision()]
    before = [getattr(holder, name) for holder, name, _ in switches]
    try:
        for holder, name, value in switches:
            setattr(holder, name, value)
        torch.use_deterministic_algorithms(True)
        yield
    finally:
        torch.use_deterministic_algorithms(enabled, warn_only=warn_only)
        for (holder, name, _), value in zip(switches, before, strict=True):
            setattr(holder, name, value)


def _full_precision():
    """Return the switches that keep CUDA from rounding float32 to TF32: (holder, name, value)."""
    cuda, cudnn = torch.backends.cuda.matmul, torch.backends.cudnn
    # From torch 2.9 on, each kind of operation has its own switch, and torch raises an error if
    # older and newer switches are mixed.
    if hasattr(cudnn, "conv"):
        return [(holder, "fp32_precision", "ieee") for holder in (cuda, cudnn.conv, cudnn.rnn)]
    return [(cuda, "allow_tf32", False), (cudnn, "allow_tf32", False)]


@contextmanager
def explaining_torch(batch_size):
    """Turn GPU errors of the block into errors that name the parameter to change."""
    try:
        yield
    except torch.cuda.OutOfMemoryError as error:
        raise OutOfDeviceMemoryError(
            f"The GPU has too little memory for batch_size={batch_size} ({error}). Try "
            f"batch_size={max(1, batch_size // 2)} or device='cpu'."
        ) from error
    except RuntimeError as error:
        if "does not have a deterministic implementation" not in str(error):
            raise
        operation = str(error).split(" does not have", 1)[0]
        raise ValueError(
            f"deterministic=True allows only operations whose bits do not depend on timing, and "
            f"{operation} of this network has no such form on the GPU. Use "
            f"deterministic=False, device='cpu' or another encoder."
        ) from error


def resolve_device(device):
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
