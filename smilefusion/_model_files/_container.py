"""The container of a model file: an uncompressed zip whose every member has a digest."""

import hashlib
import io
import json
import math
import os
import re
import stat
import struct
import zipfile

from smilefusion._messages import abridge
from smilefusion.exceptions import InvalidDataError

FORMAT = "smilefusion-model"
FORMAT_VERSION = 2
MANIFEST, MODEL, ARRAYS, CARD = (
    "manifest.json",
    "model.json",
    "arrays.safetensors",
    "model_card.md",
)
FOREIGN = re.compile(r"foreign/[0-9]{1,2}\.skops")
# Largest sizes in bytes: what is read into Python objects takes some ten times as much memory.
_LIMITS = {MANIFEST: 2**16, MODEL: 2**24, CARD: 2**20}
_MAX_BYTES = 2**32 - 2**20  # what a zip without extensions can hold
_MAX_DIRECTORY = 2**16
_MAX_MEMBERS = 104
_END = struct.Struct("<4s4H2LH")  # a zip's last record
_LARGEST_INTEGER = 2**64
_CLEAN_TEXT = re.compile(r"[^\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff\u202a-\u202e\u2066-\u2069]*")


def write_members(stream, members):
    """Write members into a zip, the manifest first; the same members give the same bytes.

    Parameters
    ----------
    stream : path or file object
        Where to write.
    members : dict of str to bytes
        Content by name.

    Raises
    ------
    InvalidDataError
        If they have more than 4 GiB together.
    """
    n_bytes = sum(map(len, members.values()))
    if n_bytes > _MAX_BYTES:
        raise InvalidDataError(
            f"The model has {n_bytes / 2**30:.1f} GiB and a model file at most 4; save a smaller "
            f"one."
        )
    manifest = {
        "format": FORMAT,
        "format_version": FORMAT_VERSION,
        "members": {
            name: {"size": len(content), "sha256": hashlib.sha256(content).hexdigest()}
            for name, content in members.items()
        },
    }
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_STORED, allowZip64=False) as archive:
        for name, content in {MANIFEST: json.dumps(manifest).encode(), **members}.items():
            archive.writestr(zipfile.ZipInfo(name), content)  # dated 1980


def read_file(path, max_megabytes):
    """Return the bytes of a regular file of limited size.

    Parameters
    ----------
    path : Path
        The file.
    max_megabytes : float
        Largest size in MiB.

    Returns
    -------
    content : bytes
        What it holds.

    Raises
    ------
    InvalidDataError
        If there is no such file, or it is too large.
    """
    if not path.is_file():
        raise InvalidDataError(
            f"The model file {path} does not exist, or is no regular file; check its path."
        )
    limit = int(max_megabytes * 2**20)
    try:
        with open(path, "rb") as stream:
            size = os.fstat(stream.fileno()).st_size
            content = stream.read(size) if size <= limit else None
    except OSError as error:
        raise InvalidDataError(f"The model file {path} cannot be read: {error}.") from error
    if content is None:
        raise InvalidDataError(
            f"The model file {path} has more than {max_megabytes:g} MiB; if you trust who made "
            f"it, raise max_megabytes."
        )
    return content


def read_members(content):
    """Return the members of a model file, each checked against its digest.

    Parameters
    ----------
    content : bytes
        The file.

    Returns
    -------
    members : dict of str to bytes
        Content by name, without the manifest.

    Raises
    ------
    ValueError
        If the zip is no such container; the message says what is wrong.
    """
    _check_end(content)
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        entries = archive.infolist()
        check_entries(entries, len(content))
        names = [entry.filename for entry in entries]
        if MANIFEST not in names:
            raise ValueError(
                f"it holds no {MANIFEST}; files of format version 1 are no longer read"
            )
        digests = _read_manifest(archive.read(MANIFEST))
        expected = {MANIFEST, *digests}
        if set(names) != expected:
            raise ValueError(
                f"its members are {abridge(names)}; its manifest lists {abridge(sorted(digests))}"
            )
        return {name: _read_member(archive, name, digests[name]) for name in digests}


def check_entries(entries, n_bytes, *, allowed=None):
    """Check that the entries of a zip are plain, each there once, and no larger than the zip.

    Parameters
    ----------
    entries : list of zipfile.ZipInfo
        What the zip's directory says.
    n_bytes : int
        Size of the zip.
    allowed : callable or None, default=None
        Whether a name may occur; None allows the members of model files.

    Raises
    ------
    ValueError
        If an entry breaks a rule; the message names it.
    """
    allowed = _is_member if allowed is None else allowed
    seen = set()
    for entry in entries:
        name = entry.filename
        mode = entry.external_attr >> 16
        for broken, what in (
            (not allowed(name), "has no place in a model file"),
            (name in seen, "is there twice"),
            (entry.flag_bits & 0x1, "is encrypted"),
            (entry.compress_type != zipfile.ZIP_STORED, "is compressed, and could grow"),
            (entry.file_size != entry.compress_size, "has two sizes"),
            (entry.file_size > _LIMITS.get(name, n_bytes), "is too large"),
            (stat.S_IFMT(mode) not in (0, stat.S_IFREG), "is a link or another special file"),
        ):
            if broken:
                raise ValueError(f"its member {name[:80]!r} {what}")
        seen.add(name)
    if sum(entry.file_size for entry in entries) > n_bytes:
        raise ValueError("its members claim to be larger than the file")


def parse_json(content):
    """Return the value of JSON text that has one meaning only.

    Parameters
    ----------
    content : bytes
        UTF-8 text.

    Returns
    -------
    value : dict, list, str, int, float, bool or None
        The value. Numbers are finite, integers have at most 64 bits.

    Raises
    ------
    ValueError
        If a key stands twice in an object, a number is not finite or too large, or the text is
        no JSON or is nested too deeply.
    """
    try:
        return json.loads(
            content.decode("utf-8"),
            object_pairs_hook=_unique_pairs,
            parse_constant=_refuse_constant,
            parse_float=_parse_float,
            parse_int=_parse_integer,
        )
    except RecursionError as error:
        raise ValueError("its JSON is nested too deeply") from error


def check_text(text):
    """Return text that shows what it holds: no control characters, no change of direction.

    Parameters
    ----------
    text : str
        Any text; new lines and tabs are allowed.

    Returns
    -------
    text : str
        The same.

    Raises
    ------
    ValueError
        If there is such a character, which a terminal might obey.
    """
    match = _CLEAN_TEXT.match(text)
    end = match.end() if match else 0
    if end < len(text):
        raise ValueError(f"its text holds the control character {text[end]!a}")
    return text


def check_texts(value):
    """Check every text in nested JSON values as `check_text` does."""
    if isinstance(value, str):
        check_text(value)
    elif isinstance(value, dict):
        for key, entry in value.items():
            check_text(key)
            check_texts(entry)
    elif isinstance(value, list):
        for entry in value:
            check_texts(entry)


def _check_end(content):
    """Check a zip's last record: no comment, nothing before or after, a short directory."""
    if content[:4] != b"PK\x03\x04" or len(content) < _END.size:
        raise ValueError("it is no zip, which model files are")
    record = content[-_END.size :]
    signature, disk, start, n_here, n_entries, size, offset, comment = _END.unpack(record)
    directory_end = len(content) - _END.size
    if signature != b"PK\x05\x06" or comment or content[-42:-38] == b"PK\x06\x07":
        raise ValueError("its end is not that of a model file")
    if (disk, start, n_here) != (0, 0, n_entries) or offset + size != directory_end:
        raise ValueError("its directory is not that of a model file")
    if size > _MAX_DIRECTORY or n_entries > _MAX_MEMBERS:
        raise ValueError(f"it has {n_entries} members, more than a model file")


def _is_member(name):
    """Whether a model file may have a member of this name."""
    return name in (MANIFEST, MODEL, ARRAYS, CARD) or FOREIGN.fullmatch(name) is not None


def _read_manifest(content):
    """Return size and digest of each member."""
    manifest = parse_json(content)
    if not isinstance(manifest, dict) or manifest.get("format") != FORMAT:
        raise ValueError(f"its manifest does not say {FORMAT!r}")
    version = manifest.get("format_version")
    if version != FORMAT_VERSION or isinstance(version, bool):
        raise ValueError(
            f"it has format version {version!r:.40}, and this smilefusion reads {FORMAT_VERSION}; "
            f"use the version that wrote it"
        )
    members = manifest.get("members")
    if set(manifest) != {"format", "format_version", "members"} or not isinstance(members, dict):
        raise ValueError("its manifest has other entries than it must")
    missing = {MODEL, ARRAYS, CARD} - set(members)
    if missing:
        raise ValueError(f"its manifest lacks {abridge(sorted(missing))}")
    for name, entry in members.items():
        if not isinstance(entry, dict) or set(entry) != {"size", "sha256"} or name == MANIFEST:
            raise ValueError(f"its manifest tells no size and digest of {name[:80]!r}")
    return members


def _read_member(archive, name, expected):
    """Return a member's content if its size and digest are as expected."""
    content = archive.read(name)
    digest = hashlib.sha256(content).hexdigest()
    if len(content) != expected["size"] or digest != expected["sha256"]:
        raise ValueError(f"the digest of its member {name!r} is not that of its manifest")
    return content


def _unique_pairs(pairs):
    """Return the dict of a JSON object in which no key stands twice."""
    mapping = dict(pairs)
    if len(mapping) < len(pairs):
        raise ValueError("a key stands twice in an object of its JSON")
    return mapping


def _refuse_constant(name):
    """Refuse NaN and infinities, which are no JSON."""
    raise ValueError(f"its JSON holds {name}")


def _parse_float(text):
    """Return a finite float."""
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"its JSON holds the number {text[:40]}, which is too large")
    return number


def _parse_integer(text):
    """Return an integer of at most 64 bits."""
    if len(text) > 21 or abs(number := int(text)) >= _LARGEST_INTEGER:
        raise ValueError(f"its JSON holds the number {text[:40]}, which is too large")
    return number
