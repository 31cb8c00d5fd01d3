"""Training data as tensors: tables, clips of different lengths, and their batches."""

import copy
import os
import tempfile
from collections.abc import Callable, Iterator
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import ArrayLike, DTypeLike
from torch import Tensor

Arrays = dict[str, np.ndarray]
Tensors = dict[str, Tensor]

_LARGEST_SHARE = 0.5  # of the free GPU memory that a dataset may use
_MOST_BYTES = 2**29  # larger arrays are stored in a file


class StreamDataset(torch.utils.data.Dataset):
    """Named input tensors, and a target tensor: class index, weight and number of each sample."""

    def __init__(self, inputs: Tensors, target: Tensor):
        self.inputs = inputs
        self.target = target
        self.training = True

    def __len__(self) -> int:
        return len(self.target)

    def __getitem__(self, index: int | Tensor) -> tuple[Tensors, Tensor]:
        inputs = {name: _take(tensor, index) for name, tensor in self.inputs.items()}
        return inputs, _take(self.target, index)

    def subset(self, index: ArrayLike, *, training: bool = True) -> Self:
        """Return the dataset of some samples, given by an index array."""
        index = torch.as_tensor(index)
        part = copy.copy(self)
        part.inputs = {name: tensor[index] for name, tensor in self.inputs.items()}
        part.target, part.training = self.target[index], training
        return part

    def to(self, device: str) -> Self:
        """Return the dataset on a device, or unchanged if it would use too much GPU memory."""
        return self._move(device) if _has_room(device, self.inputs) else self

    def _move(self, device: str) -> Self:
        """Return the dataset with its tensors on a device."""
        moved = copy.copy(self)
        moved.inputs = {name: tensor.to(device) for name, tensor in self.inputs.items()}
        moved.target = self.target.to(device)
        return moved


class ClipDataset(StreamDataset):
    """Clips as windows of `n_frames` frames; `frames` concatenates the frames of all clips."""

    def __init__(
        self,
        inputs: Tensors,
        target: Tensor,
        *,
        frames: Tensors,
        n_frames: int,
        random_windows: bool = False,
        describe: Callable[[Tensors, list[int]], Tensors] | None = None,
    ):
        super().__init__(inputs, target)
        self.frames = frames  # clip i has rows first_frame[i] to first_frame[i] + length[i]
        self.n_frames = n_frames
        self.random_windows = random_windows  # in training; otherwise the middle of a clip
        self.describe = describe  # (windows, sample numbers) -> further inputs

    def __getitem__(self, index: int | Tensor) -> tuple[Tensors, Tensor]:
        inputs, target = super().__getitem__(index)
        shift = self._shift((inputs["length"] - self.n_frames).clamp_min(0))
        windows = cut_windows(self.frames, inputs, shift, self.n_frames)
        if self.describe is not None:
            windows |= self.describe(windows, target[:, 2].long().tolist())
        return windows, target

    def _shift(self, n_free: Tensor) -> Tensor:
        """Return the first frame of each window, for clips with `n_free` surplus frames."""
        if not (self.random_windows and self.training):
            return n_free // 2
        chance = torch.rand(len(n_free), dtype=torch.float64)  # on the CPU, for the same windows
        return (chance.to(n_free.device) * (n_free + 1)).long()

    def to(self, device: str) -> Self:
        """Return the dataset on a device; `describe` needs the CPU."""
        can_move = self.describe is None and _has_room(device, self.frames)
        return self._move(device) if can_move else self

    def _move(self, device: str) -> Self:
        """Return the dataset with its tensors on a device."""
        moved = super()._move(device)
        moved.frames = {name: tensor.to(device) for name, tensor in self.frames.items()}
        return moved


class BatchIterator:
    """Yield whole batches by indexing the tensors once, which is faster than a DataLoader."""

    def __init__(
        self,
        dataset: StreamDataset,
        batch_size: int,
        shuffle: bool = False,
        drop_last: bool = False,
    ):
        self.dataset = dataset
        self.batch_size = batch_size
        self.shuffle = shuffle
        self.drop_last = drop_last

    def __iter__(self) -> Iterator[tuple[Tensors, Tensor]]:
        n_samples = len(self.dataset)
        order = torch.randperm(n_samples) if self.shuffle else torch.arange(n_samples)
        order = order.to(self.dataset.target.device)
        for index in order.split(self.batch_size)[: len(self)]:
            yield self.dataset[index]

    def __len__(self) -> int:
        n_full, n_left = divmod(len(self.dataset), self.batch_size)
        return n_full + (n_left > 0 and (n_full == 0 or not self.drop_last))


def cut_windows(frames: Tensors, inputs: Tensors, shift: Tensor, n_frames: int) -> Tensors:
    """Return windows (n_clips, n_frames, ...) from frame `shift` on, zero after a clip's end."""
    windows = dict(inputs)
    first, length = windows.pop("first_frame"), windows.pop("length")
    steps = shift[:, None] + torch.arange(n_frames, device=shift.device)
    mask = steps < length[:, None]
    rows = first[:, None] + steps.minimum(length[:, None] - 1)
    for name, values in frames.items():
        inside = mask.reshape(*mask.shape, *(1,) * (values.ndim - 1))
        windows[name] = values[rows] * inside
    return windows | {"mask": mask}


def allocate(shape: tuple[int, ...], dtype: DTypeLike) -> np.ndarray:
    """Return an empty array, in memory or, if it is large, in a temporary file."""
    n_bytes = int(np.prod(shape, dtype=object)) * np.dtype(dtype).itemsize
    if n_bytes <= _MOST_BYTES:
        return np.empty(shape, dtype)
    # The file is in the folder that TMPDIR names, and is deleted with the array.
    with tempfile.TemporaryFile(prefix="smilefusion-") as file:
        try:
            _reserve(file, n_bytes)
        except OSError as error:
            raise OSError(
                error.errno,
                f"The frames of the clips need {n_bytes / 2**30:.1f} GiB in the folder "
                f"{tempfile.gettempdir()}, but the file cannot be created ({error.strerror}). "
                "Free some space, or set the environment variable TMPDIR to another folder.",
            ) from error
        return np.memmap(file, dtype=dtype, mode="r+", shape=shape)


def _reserve(file: Any, n_bytes: int) -> None:
    """Allocate a file's disk space at once: a disk that fills up later kills the process."""
    if hasattr(os, "posix_fallocate"):
        os.posix_fallocate(file.fileno(), 0, n_bytes)
    else:
        file.truncate(n_bytes)


def _take(tensor: Tensor, index: int | Tensor) -> Tensor:
    """Return the rows of a tensor at an index tensor, or one row."""
    return tensor.index_select(0, index) if torch.is_tensor(index) else tensor[index]


def _has_room(device: str, tensors: Tensors) -> bool:
    """Whether the tensors leave most of the free GPU memory to the network."""
    if torch.device(device).type != "cuda":
        return True
    n_bytes = sum(tensor.nbytes for tensor in tensors.values())
    return n_bytes <= _LARGEST_SHARE * torch.cuda.mem_get_info(device)[0]
