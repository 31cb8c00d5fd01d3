"""Large arrays in temporary files, which the system moves out of memory as it needs."""

import os
import tempfile

import numpy as np

# Larger arrays lie in a file: memory then holds of them what there is room for.
_MOST_BYTES = 2**29


def allocate(shape, dtype):
    """Return an array that is to be filled, in memory or, where it is large, in a file.

    The file lies where `tempfile` puts them (TMPDIR), and is gone with the array.

    Parameters
    ----------
    shape : tuple of int
        Shape of the array.
    dtype : dtype
        Type of its numbers.

    Returns
    -------
    array : ndarray
        The array, its values arbitrary.

    Raises
    ------
    OSError
        If the disk has no room for the file.
    """
    n_bytes = int(np.prod(shape, dtype=object)) * np.dtype(dtype).itemsize
    if n_bytes <= _MOST_BYTES:
        return np.empty(shape, dtype)
    with tempfile.TemporaryFile(prefix="smilefusion-") as file:
        try:
            _reserve(file, n_bytes)
        except OSError as error:
            raise OSError(
                error.errno,
                f"The frames of the clips need {n_bytes / 2**30:.1f} GiB in the folder "
                f"{tempfile.gettempdir()}, which cannot be had ({error.strerror}). Make room, or "
                "set the environment variable TMPDIR to a folder that has it.",
            ) from error
        return np.memmap(file, dtype=dtype, mode="r+", shape=shape)


def _reserve(file, n_bytes):
    """Give a file its size on the disk at once: a full disk found later ends the process."""
    if hasattr(os, "posix_fallocate"):
        os.posix_fallocate(file.fileno(), 0, n_bytes)
    else:
        file.truncate(n_bytes)
