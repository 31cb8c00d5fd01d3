"""Provenance of a result: estimator, data, folds, machine and memory."""

import functools
import hashlib
import inspect
import json
import os
import platform
import re
from collections.abc import Collection, Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pandas as pd

from smilefusion._storage._digests import file_digest
from smilefusion._version import __version__
from smilefusion.benchmark.run._cells import Cell, DataSet
from smilefusion.benchmark.run._fitted_networks import find_networks

_PACKAGES = ("joblib", "numpy", "pandas", "scikit-learn", "scipy", "skorch", "timm", "torch")
# Parameters that do not change what an estimator computes; they may contain paths.
IMMATERIAL = ("cache", "memory", "n_jobs", "verbose")
_LONG_ARRAY = 20  # entries; longer arrays are described by their digest
_ADDRESS = re.compile(r" at 0x[0-9A-Fa-f]+")
_PEAK = re.compile(r"^VmHWM:\s+(\d+) kB", re.MULTILINE)


def describe_estimator(estimator: Any) -> dict[str, Any]:
    """Return an estimator's class and all its parameters, including nested ones, as text."""
    parameters = estimator.get_params(deep=True)
    exposed = {id(value) for value in parameters.values() if hasattr(value, "get_params")}
    return {
        "class": _name(type(estimator)),
        "parameters": {name: _text(value, exposed) for name, value in parameters.items()},
    }


def describe_values(values: Mapping[str, Any]) -> dict[str, str]:
    """Return named values, such as functions, as text."""
    return {name: _text(value) for name, value in values.items()}


def digest_clips(clips: Any) -> str:
    """Return the SHA-256 digest of the contents of clips or of their files."""
    if isinstance(clips, (pd.Series, pd.DataFrame)):
        clips = clips.to_numpy()
    whole = hasattr(clips, "dtype") and clips.dtype != object
    digest = hashlib.sha256()
    for item in [clips] if whole else clips:
        digest.update(_digest_item(item).encode())
    return digest.hexdigest()


def digest_split(cell: Cell, dataset: DataSet) -> str:
    """Return the SHA-256 digest of a cell's positions, names, subjects and labels."""
    digest = hashlib.sha256()
    for part in (cell.train, cell.test):
        rows = dataset.rows.iloc[part].reset_index().to_numpy(dtype=object).tolist()
        digest.update(json.dumps(rows).encode())
    return digest.hexdigest()


def describe_device(estimator: Any) -> str:
    """Return the devices that the networks of an estimator used, or "cpu" if it has none."""
    devices = {getattr(part.estimator, "device_", "cpu") for part in find_networks(estimator)}
    return ", ".join(sorted(map(_name_device, devices))) or "cpu"


@functools.cache
def describe_machine() -> dict[str, Any]:
    """Return package versions and machine properties that can affect results."""
    versions = {"smilefusion": __version__}
    for package in _PACKAGES:
        try:
            versions[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return {
        "packages": versions,
        "python": platform.python_version(),
        "platform": platform.platform(),
        "host": platform.node(),
        "n_cpus": os.cpu_count(),
    }


def reset_peak_memory() -> bool:
    """Reset the peak of this process's resident memory; return whether that is possible."""
    try:
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    except OSError:
        return False
    return True


def read_peak_memory() -> int | None:
    """Return the peak of this process's resident memory since the reset, in bytes (Linux)."""
    found = _PEAK.search(Path("/proc/self/status").read_text(encoding="utf-8"))
    return 1024 * int(found[1]) if found else None


def _name(value: Any) -> str:
    """Return the full name of a class or function."""
    return f"{value.__module__}.{value.__qualname__}"


def _text(value: Any, exposed: Collection[int] = frozenset()) -> str:
    """Return a parameter's value as text that is the same in every process."""
    if isinstance(value, np.generic):
        return repr(value.item())
    if isinstance(value, np.ndarray) and value.size > _LONG_ARRAY:
        return f"array of {value.dtype}, shape {value.shape}, {joblib.hash(value)}"
    if isinstance(value, np.ndarray):
        return f"array({_text(value.tolist())})"
    if isinstance(value, dict):
        return f"{{{', '.join(f'{key!r}: {_text(v, exposed)}' for key, v in value.items())}}}"
    if isinstance(value, (list, tuple)):
        return f"[{', '.join(_text(each, exposed) for each in value)}]"
    if isinstance(value, (set, frozenset)):
        return f"{{{', '.join(sorted(map(_text, value)))}}}"
    return _object_text(value, exposed)


def _object_text(value: Any, exposed: Collection[int]) -> str:
    """Return the text of an estimator, a function, a class or any other object."""
    if isinstance(value, type):
        return _name(value)
    if hasattr(value, "get_params"):
        if id(value) in exposed:  # its parameters are listed separately
            return _name(type(value))
        own = value.get_params(deep=False).items()
        return f"{_name(type(value))}({', '.join(f'{name}={_text(v)}' for name, v in own)})"
    if isinstance(value, functools.partial):
        return f"partial({_text([value.func, value.args, value.keywords])})"
    if callable(value) and hasattr(inspect.unwrap(value), "__qualname__"):
        return _name(inspect.unwrap(value))
    if type(value).__repr__ is object.__repr__:
        return f"{_name(type(value))}, {joblib.hash(value)}"
    return _ADDRESS.sub("", repr(value))


def _digest_item(item: Any) -> str:
    """Return the digest of a clip or, for a path, of the file."""
    if isinstance(item, (str, os.PathLike)) and Path(item).is_file():
        return file_digest(item)
    return joblib.hash(item, hash_name="sha1", coerce_mmap=True)


def _name_device(device: str) -> str:
    """Return a torch device with the name of its GPU."""
    if not device.startswith("cuda"):
        return device
    import torch

    return f"{device} ({torch.cuda.get_device_name(device)})"
