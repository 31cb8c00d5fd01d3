"""Save and load fitted models as files that contain no code."""

import hashlib
import json
import warnings
from collections.abc import Callable, Mapping, Sequence
from importlib import metadata as package_metadata
from os import PathLike
from pathlib import Path
from typing import Any

from sklearn.exceptions import InconsistentVersionWarning

from smilefusion._messages import abridge, printable
from smilefusion._storage._atomic_files import replacing
from smilefusion._version import __version__
from smilefusion.exceptions import InvalidDataError, ModelVersionWarning
from smilefusion.persistence._card import write_card
from smilefusion.persistence._container import (
    CARD,
    ESTIMATOR,
    HEADER,
    check_text,
    check_texts,
    network_name,
    pack,
    read_file,
    unpack,
)
from smilefusion.persistence._tree import Packer, Unpacker
from smilefusion.persistence._types import dump, load

_PACKAGES = ("numpy", "scikit-learn", "scipy", "skops", "skorch", "timm", "torch")
# A change in the first two numbers of these versions causes a warning.
_COMPARED = ("smilefusion", "scikit-learn", "torch")


def save_model(
    model: Any,
    path: str | PathLike,
    *,
    metadata: dict | None = None,
    card: dict | str | None = None,
    splits: Mapping[str, Sequence] | None = None,
    trusted: Sequence[str] = (),
) -> None:
    """Write a fitted model to a file that contains no code.

    Parameters
    ----------
    model : estimator
        A fitted estimator of smilefusion, or a pipeline, union, ColumnTransformer, search or
        calibrated classifier of these and of common scikit-learn estimators.
        :doc:`The guide </guide/model_files>` lists them.
    path : str or path-like
        The file. An existing file is replaced only when the new one is complete.
    metadata : dict, default=None
        JSON values to store with the model, for instance the frame rate of its training clips.
    card : dict, str or None, default=None
        The model card. A dict gives some of the fields ``summary``, ``data``, ``protocol``,
        ``metrics``, ``intended_use``, ``limits`` and ``law``, each as text, or as a dict that is
        shown as a table; the other fields are filled in from the model or marked as not stated. A
        str is the whole card.
    splits : dict of str to sequence of str, default=None
        Names of the clips or subjects of each split, such as ``{"train": names}``. The file
        stores only their number and `digest_names`.
    trusted : sequence of str, default=()
        Full names of other classes and functions that the model contains. Error messages list
        these names.

    Raises
    ------
    InvalidDataError
        If a part of the model cannot be saved. The message names it.

    Notes
    -----
    The file stores the `groups` labels of the subjects that each network was trained on.
    ``del model.split_`` removes them. As a check, the new file is loaded before it replaces an
    older one.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> from sklearn.datasets import make_classification
    >>> from smilefusion import FusionClassifier, load_model, read_model_card, save_model
    >>> X, y = make_classification(n_samples=60, n_features=10, random_state=0)
    >>> model = FusionClassifier(hidden_dim=8, max_epochs=1, random_state=0).fit(X, y)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder, "fusion.smile")
    ...     save_model(model, path, card={"data": "Made up."})
    ...     restored, card = load_model(path), read_model_card(path)
    >>> bool((restored.predict_proba(X) == model.predict_proba(X)).all()), "Made up." in card
    (True, True)
    """
    if not isinstance(metadata, (dict, type(None))):
        raise InvalidDataError(
            f"metadata must be a dict of JSON values; got {type(metadata).__name__}. Give names "
            f"and values."
        )
    header = {"versions": _find_versions(), "metadata": metadata or {}}
    header |= {"splits": _digest_splits(splits)}
    header_text = _dump_header(header)
    try:
        packer = Packer(trusted)
        members = {HEADER: header_text, ESTIMATOR: dump(packer.copy(model)), CARD: b""}
        members |= {network_name(i): each for i, each in enumerate(packer.networks)}
        members[CARD] = write_card(model, card, header, packer.n_numbers).encode()
        content = pack(members)
        _build(_read(content)[1], trusted)
    except Exception as error:
        remedy = "" if isinstance(error, InvalidDataError) else ". Replace or remove that part."
        raise InvalidDataError(
            f"This {type(model).__name__} cannot be saved: {error or type(error).__name__}{remedy}"
        ) from error
    with replacing(path) as part:
        part.write_bytes(content)


def load_model(
    path: str | PathLike,
    *,
    return_metadata: bool = False,
    trusted: Sequence[str] = (),
    max_megabytes: float = 2048,
) -> Any:
    """Read a model that `save_model` wrote, without running code from the file.

    Parameters
    ----------
    path : str or path-like
        The file.
    return_metadata : bool, default=False
        Whether to return the metadata as well.
    trusted : sequence of str, default=()
        Full names of other classes and functions that the file may contain. Trust only names that
        you know, in files from authors you trust.
    max_megabytes : float, default=2048
        Largest size of the file in MiB. Loading takes about three times as much memory.

    Returns
    -------
    model : estimator
        The fitted model, on the CPU.
    metadata : dict
        The `metadata` given to `save_model`. Only returned if `return_metadata` is true.

    Raises
    ------
    InvalidDataError
        If the file is not a model file of this version, is damaged, was altered, is too large, or
        contains types that `trusted` does not name.

    Warns
    -----
    ModelVersionWarning
        If another version of smilefusion, scikit-learn or torch wrote the file. Predictions may
        then differ.
    """
    content = read_file(Path(path), max_megabytes)
    header, members = _explain(path, _read, content)
    del content
    _warn_of_versions(path, header["versions"])
    model = _explain(path, _build, members, trusted)
    return (model, header["metadata"]) if return_metadata else model


def read_model_card(path: str | PathLike, *, max_megabytes: float = 2048) -> str:
    """Read the model card of a model file without building the model.

    Parameters
    ----------
    path : str or path-like
        The file.
    max_megabytes : float, default=2048
        Largest size of the file in MiB.

    Returns
    -------
    card : str
        Markdown without control characters.
    """
    _, members = _explain(path, _read, read_file(Path(path), max_megabytes))
    return members[CARD].decode("utf-8")


def read_model_info(path: str | PathLike, *, max_megabytes: float = 2048) -> dict:
    """Read versions, metadata and splits of a model file without building the model.

    Parameters
    ----------
    path : str or path-like
        The file.
    max_megabytes : float, default=2048
        Largest size of the file in MiB.

    Returns
    -------
    info : dict
        ``versions`` of the packages that wrote the file, by name; ``metadata`` as given to
        `save_model`; ``splits``, the number of names ``n`` in each split and their ``sha256``.
    """
    header, _ = _explain(path, _read, read_file(Path(path), max_megabytes))
    return header


def digest_names(names: Sequence) -> str:
    """Return the digest of the names in a split. Their order does not matter.

    Parameters
    ----------
    names : sequence of str
        Names of clips or subjects.

    Returns
    -------
    digest : str
        SHA-256 of the sorted names as a JSON list, in hexadecimal digits.

    Examples
    --------
    >>> from smilefusion.persistence import digest_names
    >>> digest_names(["ben", "anna"]) == digest_names(["anna", "ben"])
    True
    """
    return hashlib.sha256(json.dumps(sorted(map(str, names))).encode()).hexdigest()


def _explain(path: str | PathLike, read: Callable, *arguments: Any) -> Any:
    """Run a step of reading, and turn every error into one that names the file."""
    try:
        return read(*arguments)
    except Exception as error:
        reason = printable(error).rstrip(".") or type(error).__name__
        problem, remedy = "cannot be loaded", ""
        if not isinstance(error, InvalidDataError):
            problem = "is not a smilefusion model file, or it is damaged"
            remedy = " Write it again with save_model or `smilefusion train`."
        raise InvalidDataError(f"{printable(path)} {problem}: {reason}.{remedy}") from error


def _read(content: bytes) -> tuple[dict[str, Any], dict[str, bytes]]:
    """Return header and members of a model file, checked except for the model itself."""
    members = unpack(content)
    header = json.loads(members[HEADER])
    if _dump_header(header) != members[HEADER]:  # rules out duplicate keys and NaN
        raise ValueError("its header is not as save_model writes it")
    if set(header) != {"versions", "metadata", "splits"}:
        raise ValueError("its header must have the entries versions, metadata and splits")
    check_texts(header)
    if not all(isinstance(version, str) for version in header["versions"].values()):
        raise ValueError("the versions in its header must be text")
    check_text(members[CARD].decode("utf-8"))
    return header, members


def _build(members: dict[str, bytes], trusted: Sequence[str]) -> Any:
    """Return the model in the members of a file."""
    networks = [members[network_name(i)] for i in range(len(members) - 3)]
    unpacker = Unpacker(networks)
    with warnings.catch_warnings():
        # ModelVersionWarning reports if scikit-learn has another version.
        warnings.simplefilter("ignore", InconsistentVersionWarning)
        model = unpacker.copy(load(members[ESTIMATOR], trusted))
    if not hasattr(model, "get_params"):
        raise ValueError("it does not contain an estimator")
    if unpacker.networks:
        raise ValueError("it has networks that no estimator uses")
    return model


def _dump_header(header: dict[str, Any]) -> bytes:
    try:
        return json.dumps(header, allow_nan=False).encode()
    except (TypeError, ValueError) as error:
        raise InvalidDataError(
            f"metadata must be a dict of JSON values with finite numbers ({error}). Convert them."
        ) from error


def _find_versions() -> dict[str, str]:
    return {"smilefusion": __version__} | {
        package: package_metadata.version(package) for package in _PACKAGES
    }


def _warn_of_versions(path: str | PathLike, written: dict[str, str]) -> None:
    here = _find_versions()
    other = [
        f"{package} {written.get(package, 'unknown')[:40]} (here {here[package]})"
        for package in _COMPARED
        if written.get(package, "").split(".")[:2] != here[package].split(".")[:2]
    ]
    if other:
        warnings.warn(
            f"{printable(path)} was written with {abridge(other)}. Predictions may differ: "
            f"compare a few, or install the versions that wrote the file.",
            ModelVersionWarning,
            stacklevel=3,
        )


def _digest_splits(splits: Mapping[str, Sequence] | None) -> dict[str, Any]:
    digested = {}
    for name, names in (splits or {}).items():
        if isinstance(names, str):
            raise InvalidDataError(
                f"splits[{name!r}] must be a sequence of names; got the text {names!r:.40}. Put "
                f"it into a list."
            )
        names = list(names)
        digested[str(name)] = {"n": len(names), "sha256": digest_names(names)}
    return digested
