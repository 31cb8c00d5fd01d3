"""Tensors of clips in whole batches, or in windows of them."""

import torch

_LARGEST_SHARE = 0.5  # of a GPU's free memory that a dataset may take


def _take(tensor, index):
    """Return the rows of a tensor at an index tensor, copied row by row; or one row."""
    return tensor.index_select(0, index) if torch.is_tensor(index) else tensor[index]


class StreamDataset(torch.utils.data.Dataset):
    """Named input tensors and a target tensor of class index, weight and number of each sample."""

    def __init__(self, inputs, target):
        self.inputs = inputs
        self.target = target

    def __len__(self):
        return len(self.target)

    def __getitem__(self, index):
        inputs = {name: _take(tensor, index) for name, tensor in self.inputs.items()}
        return inputs, _take(self.target, index)

    def subset(self, index, *, training=True):
        """Return the dataset of some samples, given by an index array."""
        index = torch.as_tensor(index)
        inputs = {name: tensor[index] for name, tensor in self.inputs.items()}
        return StreamDataset(inputs, self.target[index])

    def to(self, device):
        """Return the dataset with its tensors on a device, so that batches need no copying.

        It stays where it is if it would take much of a GPU's free memory.
        """
        if not _has_room(device, self.inputs):
            return self
        inputs = {name: tensor.to(device) for name, tensor in self.inputs.items()}
        return StreamDataset(inputs, self.target.to(device))


class ClipDataset(StreamDataset):
    """Clips whose frames lie one after another in `frames`, cut out of them for every batch.

    The inputs ``first_frame`` and ``length`` say where each clip's frames are. Clips shorter
    than `n_frames` are padded, of longer ones the middle is seen.
    """

    def __init__(self, inputs, target, *, frames, n_frames):
        super().__init__(inputs, target)
        self.frames = frames
        self.n_frames = n_frames

    def __getitem__(self, index):
        inputs, target = super().__getitem__(index)
        shift = self._shift((inputs["length"] - self.n_frames).clamp_min(0))
        return cut_windows(self.frames, inputs, shift, self.n_frames), target

    def _shift(self, free):
        """Return the first frame that is seen of clips with so many frames too many."""
        return free // 2

    def subset(self, index, *, training=True):
        """Return the dataset of some samples; all share the frames."""
        part = super().subset(index)
        return ClipDataset(part.inputs, part.target, frames=self.frames, n_frames=self.n_frames)

    def to(self, device):
        """Return the dataset on a device, as a `StreamDataset`."""
        if not _has_room(device, self.frames):
            return self
        part = super().to(device)
        frames = {name: tensor.to(device) for name, tensor in self.frames.items()}
        return self._moved(part, frames)

    def _moved(self, part, frames):
        """Return the dataset with inputs and target of another, and other frames."""
        return ClipDataset(part.inputs, part.target, frames=frames, n_frames=self.n_frames)


class WindowDataset(ClipDataset):
    """Clips of which every batch sees another window, or the middle one where not training.

    Where given, `describe` makes further inputs of the windows and the numbers of their samples.
    """

    def __init__(self, inputs, target, *, frames, n_frames, describe=None, training=True):
        super().__init__(inputs, target, frames=frames, n_frames=n_frames)
        self.describe = describe
        self.training = training

    def __getitem__(self, index):
        windows, target = super().__getitem__(index)
        if self.describe is not None:
            windows |= self.describe(windows, target[:, 2].long().tolist())
        return windows, target

    def _shift(self, free):
        """Return the first frame of random windows, or of the middle ones."""
        chance = torch.rand(len(free), dtype=torch.float64)
        chance = chance.to(free.device)  # drawn on the CPU, so that a GPU sees the same windows
        return (chance * (free + 1)).long() if self.training else super()._shift(free)

    def subset(self, index, *, training=True):
        """Return the dataset of some samples; its windows are random in training alone."""
        part = super().subset(index)
        options = {"frames": self.frames, "n_frames": self.n_frames, "describe": self.describe}
        return WindowDataset(part.inputs, part.target, training=training, **options)

    def to(self, device):
        """Return the dataset on a device; on the CPU where `describe` is given, which needs it."""
        return self if self.describe is not None else super().to(device)

    def _moved(self, part, frames):
        """Return the dataset with inputs and target of another, and other frames."""
        options = {"n_frames": self.n_frames, "training": self.training}
        return WindowDataset(part.inputs, part.target, frames=frames, **options)


def _has_room(device, tensors):
    """Whether named tensors leave most of a GPU's free memory to the network."""
    if torch.device(device).type != "cuda":
        return True
    n_bytes = sum(tensor.nbytes for tensor in tensors.values())
    return n_bytes <= _LARGEST_SHARE * torch.cuda.mem_get_info(device)[0]


def cut_windows(frames, inputs, shift, n_frames):
    """Return the inputs of clips with one window of frames each.

    Parameters
    ----------
    frames : dict of str to tensor of shape (n_all_frames, ...)
        What there is of every frame, the frames of all clips one after another.
    inputs : dict of str to tensor of shape (n_clips, ...)
        What there is of every clip, among it ``first_frame`` and ``length``.
    shift : int tensor of shape (n_clips,)
        First frame of each window in its clip.
    n_frames : int
        Length of the windows.

    Returns
    -------
    windows : dict of str to tensor
        The inputs of clips but ``first_frame`` and ``length``, those of frames
        (n_clips, n_frames, ...), zero after a clip's end, and ``mask`` (n_clips, n_frames).
    """
    windows = dict(inputs)
    first, length = windows.pop("first_frame"), windows.pop("length")
    steps = shift[:, None] + torch.arange(n_frames, device=shift.device)
    mask = steps < length[:, None]
    rows = first[:, None] + steps.minimum(length[:, None] - 1)
    for name, values in frames.items():
        inside = mask.reshape(*mask.shape, *(1,) * (values.ndim - 1))
        windows[name] = values[rows] * inside
    return windows | {"mask": mask}


class BatchIterator:
    """Yield whole batches by indexing the tensors once, without per-sample Python.

    With `drop_last`, a last batch that is not full is left out, if there is another.
    """

    def __init__(self, dataset, batch_size, shuffle=False, drop_last=False):
        self.dataset = dataset
        self.batch_size = batch_size
        self.shuffle = shuffle
        self.drop_last = drop_last

    def __iter__(self):
        n_samples = len(self.dataset)
        order = torch.randperm(n_samples) if self.shuffle else torch.arange(n_samples)
        order = order.to(self.dataset.target.device)
        for index in order.split(self.batch_size)[: len(self)]:
            yield self.dataset[index]

    def __len__(self):
        n_full, n_left = divmod(len(self.dataset), self.batch_size)
        return n_full + (n_left > 0 and (n_full == 0 or not self.drop_last))
