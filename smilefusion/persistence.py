"""Model files: one zip of JSON and safetensors that holds no code, so loading runs none."""

import hashlib
import io
import json
import warnings
from importlib import metadata as package_metadata
from pathlib import Path

import numpy as np
from safetensors.numpy import load as load_arrays
from safetensors.numpy import save as save_arrays

from smilefusion._messages import abridge, printable
from smilefusion._model_files._card import write_card
from smilefusion._model_files._container import (
    ARRAYS,
    CARD,
    MODEL,
    check_text,
    check_texts,
    parse_json,
    read_file,
    read_members,
    write_members,
)
from smilefusion._model_files._decoder import Decoder
from smilefusion._model_files._encoder import Encoder
from smilefusion._storage._atomic_files import replacing
from smilefusion._version import __version__
from smilefusion.exceptions import InvalidDataError, ModelVersionWarning

_PACKAGES = ("numpy", "scikit-learn", "scipy", "skorch", "timm", "torch")
# Whose versions decide how a model computes; of a change in the second number a warning tells.
_COMPARED = ("smilefusion", "scikit-learn", "torch")
_HEADER_KEYS = {"versions", "metadata", "splits", "model"}
_MAX_ARRAY_HEADER = 2**24


def save_model(model, path, *, metadata=None, card=None, splits=None, trusted=()):
    """Write a fitted model into one file that holds no code.

    Parameters
    ----------
    model : estimator
        A fitted estimator of smilefusion, or a pipeline, union, ColumnTransformer, search or
        calibrated classifier of them and of scikit-learn's common parts; :doc:`the guide
        </user_guide/model_files>` lists them.
    path : str or path-like
        The file to write; an existing one is replaced only when the new one is complete.
    metadata : dict, default=None
        JSON values to keep beside the model, for instance the frame rate of its training clips.
    card : dict, str or None, default=None
        Fields of the model card, text or a dict that is shown as a table: ``summary``,
        ``data``, ``protocol``, ``metrics``, ``intended_use``, ``limits``; or its whole text.
        What is not given is filled in from the model, or said not to be stated.
    splits : dict of str to sequence of str, default=None
        Names of the clips or subjects of each split, such as ``{"train": names}``. The file
        keeps their number and the digest that `digest_names` gives, not the names.
    trusted : sequence of str, default=()
        Full names of classes of other packages that are stored through skops.

    Raises
    ------
    InvalidDataError
        If a part of the model cannot be saved; the message names it.
    ImportError
        If skops is needed and missing.

    Notes
    -----
    The subjects that a network was trained on, by their labels in `groups`, are part of it; leave
    them out by ``del model.split_``. Caches, callbacks, weight files, devices and numbers of jobs
    are not part of a model: they are left out. The same model gives the same bytes. What was
    written is read again, and checked, before it takes its place.

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
    path = Path(path)
    if not isinstance(metadata, (dict, type(None))):
        raise InvalidDataError(
            f"metadata must be a dict; got {type(metadata).__name__}. Give names and values."
        )
    versions = _find_versions()
    header = {"versions": versions, "metadata": metadata or {}, "splits": _digest_splits(splits)}
    encoder = Encoder(trusted)
    header["model"] = encoder.encode(model)
    text = _dump(header)
    written = write_card(
        model,
        card,
        metadata=header["metadata"],
        splits=header["splits"],
        versions=versions,
        n_numbers=sum(array.size for array in encoder.arrays.values()),
    )
    members = {
        MODEL: text,
        ARRAYS: save_arrays(encoder.arrays),
        CARD: written.encode(),
        **encoder.foreign,
    }
    stream = io.BytesIO()
    write_members(stream, members)
    content = stream.getvalue()
    try:
        _decode(_read(content), trusted)
    except Exception as error:
        raise InvalidDataError(
            f"This {type(model).__name__} cannot be saved: it could not be loaded again "
            f"({error}). Remove what is named there."
        ) from error
    with replacing(path) as part:
        part.write_bytes(content)


def load_model(path, *, return_metadata=False, trusted=(), max_megabytes=2048):
    """Read a model written by `save_model`, without running code from the file.

    Parameters
    ----------
    path : str or path-like
        The file.
    return_metadata : bool, default=False
        Whether to return the metadata as well.
    trusted : sequence of str, default=()
        Full names of classes of other packages that may be loaded through skops. Name only
        what you know, from files whose maker you trust.
    max_megabytes : float, default=2048
        Largest size of the file in MiB. Loading takes about three times as much memory as the
        file has.

    Returns
    -------
    model : estimator
        The fitted model, on the CPU.
    metadata : dict
        What `save_model` was given; only where `return_metadata` is true.

    Raises
    ------
    InvalidDataError
        If the file is no model file, is damaged or was altered, comes from another format
        version, is too large, or holds parts that `trusted` does not name.
    ImportError
        If skops is needed and missing.

    Warns
    -----
    ModelVersionWarning
        If it was written by another version of smilefusion, scikit-learn or torch, with which
        predictions may differ.

    See Also
    --------
    read_model_card : What the model is and what it is for.
    """
    content = read_file(Path(path), max_megabytes)
    header, members = _opening(path, _read, content)
    del content
    _warn_of_versions(path, header["versions"])
    model = _opening(path, _decode, (header, members), trusted)
    return (model, header["metadata"]) if return_metadata else model


def read_model_card(path, *, max_megabytes=2048):
    """Read the model card of a model file; the model itself is not built.

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

    Raises
    ------
    InvalidDataError
        As for `load_model`.
    """
    members = _opening(path, _read, read_file(Path(path), max_megabytes))[1]
    return members[CARD].decode("utf-8")


def read_model_info(path, *, max_megabytes=2048):
    """Read what a model file tells about its making; the model itself is not built.

    Parameters
    ----------
    path : str or path-like
        The file.
    max_megabytes : float, default=2048
        Largest size of the file in MiB.

    Returns
    -------
    info : dict
        ``versions`` of the packages that wrote it, by name; ``metadata`` as `save_model` was
        given it; ``splits``, the number of names ``n`` in each split and their ``sha256``.

    Raises
    ------
    InvalidDataError
        As for `load_model`.
    """
    header, _ = _opening(path, _read, read_file(Path(path), max_megabytes))
    return {key: header[key] for key in ("versions", "metadata", "splits")}


def digest_names(names):
    """Return the digest of a split's names, in any order.

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


def _opening(path, read, *arguments):
    """Run a step of reading; whatever a file provokes, one error tells it."""
    try:
        return read(*arguments)
    except ImportError:
        raise
    except InvalidDataError as error:
        raise InvalidDataError(
            f"{printable(path)} cannot be loaded: {_printable(error)}."
        ) from error
    except Exception as error:
        raise InvalidDataError(
            f"{printable(path)} is not a smilefusion model file, or it is damaged: "
            f"{_printable(error)}. Write it again with save_model or `smilefusion train`."
        ) from error


def _printable(error):
    """Return the text of an error, which may cite a file, for a terminal to show."""
    return "".join(c if c.isprintable() else "?" for c in str(error)[:500]).rstrip(".")


def _read(content):
    """Return header and members of a model file, checked but for the model itself."""
    members = read_members(content)
    header = parse_json(members[MODEL])
    if not isinstance(header, dict) or set(header) != _HEADER_KEYS:
        raise ValueError(f"its JSON must have the entries {', '.join(sorted(_HEADER_KEYS))}")
    for key in ("versions", "metadata", "splits"):
        if not isinstance(header[key], dict):
            raise ValueError(f"its {key} are no object")
        check_texts(header[key])
    if not all(isinstance(version, str) for version in header["versions"].values()):
        raise ValueError("its versions are no text")
    check_text(members[CARD].decode("utf-8"))
    return header, members


def _decode(parts, trusted):
    """Return the model of a header and members."""
    header, members = parts
    content = members[ARRAYS]
    if int.from_bytes(content[:8], "little") > _MAX_ARRAY_HEADER:
        raise ValueError("the header of its arrays is too large")
    arrays = {
        key: np.require(array, requirements="W") for key, array in load_arrays(content).items()
    }
    foreign = {name: value for name, value in members.items() if name.startswith("foreign/")}
    return Decoder(arrays, foreign, trusted).decode_model(header["model"])


def _dump(header):
    """Return a header as JSON text."""
    try:
        return json.dumps(header, allow_nan=False).encode()
    except (TypeError, ValueError) as error:
        raise InvalidDataError(
            f"metadata must be a dict of JSON values, finite numbers among them ({error}). "
            f"Convert them."
        ) from error


def _find_versions():
    """Return the versions of this package and of those that models depend on."""
    return {"smilefusion": __version__} | {
        package: package_metadata.version(package) for package in _PACKAGES
    }


def _warn_of_versions(path, written):
    """Warn of a file from other versions, with which predictions may differ."""
    here = _find_versions()
    other = [
        f"{package} {written.get(package, 'unknown')[:40]} (here {here[package]})"
        for package in _COMPARED
        if _minor(written.get(package, "")) != _minor(here[package])
    ]
    if other:
        warnings.warn(
            f"{printable(path)} was written with {abridge(other)}: predictions may differ. "
            f"Compare a few, or install the versions that wrote the file.",
            ModelVersionWarning,
            stacklevel=3,
        )


def _minor(version):
    """Return the first two numbers of a version."""
    return version.split(".")[:2]


def _digest_splits(splits):
    """Return number and digest of the names of each split."""
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
