"""Weight files: read without running code, and fitted into a module entry by entry."""

import warnings
from pathlib import Path

import torch
from safetensors.torch import load_file

from smilefusion._messages import abridge, printable
from smilefusion.exceptions import InvalidDataError


def read_state(path):
    """Read a state dict without running code from its file.

    Parameters
    ----------
    path : str or path-like
        A ``.safetensors`` file, or a file of `torch.save` that holds tensors: a state dict, or a
        dict with one as its entry ``state_dict``, as timm's training script writes.

    Returns
    -------
    state : dict of str to tensor
        The entries, on the CPU.

    Raises
    ------
    InvalidDataError
        If the file is absent, damaged, holds anything but tensors, or is a pickle of objects,
        which is refused without being run.
    """
    path = Path(path)
    try:
        if path.suffix.lower() == ".safetensors":
            return load_file(path)
        with warnings.catch_warnings():  # of pickles, which the error speaks of
            warnings.simplefilter("ignore")
            state = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError as error:
        raise InvalidDataError(
            f"The weight file {printable(path)} does not exist. Correct the path."
        ) from error
    except Exception as error:  # a damaged pickle may raise any
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise InvalidDataError(
            f"{printable(path)} does not contain weights that can be read safely "
            f"({printable(reason)}). Weights are a .safetensors file or a state dict of tensors. "
            "Save them with safetensors.torch.save_file or torch.save(module.state_dict(), path)."
        ) from error
    if isinstance(state, dict) and isinstance(state.get("state_dict"), dict):
        state = state["state_dict"]
    if not isinstance(state, dict) or not all(map(torch.is_tensor, state.values())):
        raise InvalidDataError(
            f"{printable(path)} does not contain a state dict of tensors. Save only "
            "module.state_dict()."
        )
    return state


def load_state(module, state, *, name="The weights"):
    """Load a state dict whose entries must be exactly those of a module.

    Parameters
    ----------
    module : torch.nn.Module
        The module, changed in place; entries are converted to its precision.
    state : dict of str to tensor
        The entries.
    name : str, default="The weights"
        What the state dict is called in messages.

    Raises
    ------
    InvalidDataError
        If entries are missing, extra or misshapen; the message names them.
    """
    expected = module.state_dict()
    faults = {
        "missing": [entry for entry in expected if entry not in state],
        "unknown": [entry for entry in state if entry not in expected],
        "misshapen": [
            f"{entry} of shape {tuple(state[entry].shape)} in place of {tuple(value.shape)}"
            for entry, value in expected.items()
            if entry in state and state[entry].shape != value.shape
        ],
    }
    if any(faults.values()):
        listed = "; ".join(f"{kind}: {abridge(found)}" for kind, found in faults.items() if found)
        raise InvalidDataError(
            f"{name} do not fit {type(module).__name__} ({listed}). Give the state dict of this "
            f"very network."
        )
    module.load_state_dict(state)
