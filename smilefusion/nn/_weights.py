"""Read weight files without running code, and load them into a module."""

import warnings
from importlib.resources import files
from os import PathLike
from pathlib import Path

import torch
from safetensors.torch import load, load_file
from torch import Tensor, nn

from smilefusion._messages import abridge, printable
from smilefusion.exceptions import InvalidDataError


def read_state(path: str | PathLike[str]) -> dict[str, Tensor]:
    """Read a state dict without running code from its file."""
    path = Path(path)
    try:
        if path.suffix.lower() == ".safetensors":
            return load_file(path)
        with warnings.catch_warnings():  # the error below covers pickles
            warnings.simplefilter("ignore")
            state = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError as error:
        raise InvalidDataError(
            f"The weight file {printable(path)} does not exist. Correct the path."
        ) from error
    except Exception as error:  # a damaged pickle may raise any exception
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


def simulated_state(n_landmarks: int, n_dims: int) -> dict[str, Tensor]:
    """Read the weights that the package contains for a number of landmarks and dimensions."""
    path = files("smilefusion") / "data" / f"encoder_{n_landmarks}_{n_dims}.safetensors"
    return load(path.read_bytes())


def load_state(module: nn.Module, state: dict[str, Tensor], *, name: str = "The weights") -> None:
    """Load a state dict whose entries must be exactly those of a module."""
    expected = module.state_dict()
    faults = {
        "missing": [entry for entry in expected if entry not in state],
        "unknown": [entry for entry in state if entry not in expected],
        "misshapen": [
            f"{entry} of shape {tuple(state[entry].shape)} instead of {tuple(value.shape)}"
            for entry, value in expected.items()
            if entry in state and state[entry].shape != value.shape
        ],
    }
    if any(faults.values()):
        listed = "; ".join(f"{kind}: {abridge(found)}" for kind, found in faults.items() if found)
        raise InvalidDataError(
            f"{name} do not fit {type(module).__name__} ({listed}). Pass the state dict of the "
            "same network."
        )
    module.load_state_dict(state)
