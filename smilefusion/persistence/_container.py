"""The zip of a model file: uncompressed members, whose digests a manifest lists."""

import hashlib
import io
import json
import os
import re
import struct
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from smilefusion._messages import abridge
from smilefusion.exceptions import InvalidDataError

FORMAT_VERSION = 1
MANIFEST, HEADER = "manifest.json", "header.json"
ESTIMATOR, CARD = "estimator.skops", "model_card.md"
_NETWORK = re.compile(r"network_(0|[1-9][0-9]{0,2})\.safetensors")
LARGEST_TEXT = 2**24  # bytes; Python objects take about ten times as much memory as their JSON
_MAX_BYTES = 2**32 - 2**24  # what a zip without extensions can hold
_MAX_MEMBERS = 1000
_BYTES_PER_ENTRY = 256  # of a zip's directory
_END = struct.Struct("<4s4H2LH")  # a zip's last record
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff\u202a-\u202e\u2066-\u2069]")


def network_name(index: int) -> str:
    """Return the name of the member with the weights of a network."""
    return f"network_{index}.safetensors"


def write_zip(members: Mapping[str, bytes]) -> bytes:
    """Return the bytes of an uncompressed zip, the same on all machines."""
    parts: list[bytes] = []
    directory: list[bytes] = []
    offset = 0
    for name, content in members.items():
        # Version 2.0, no flags, not compressed, dated 1980-01-01, no extra fields.
        sizes = zlib.crc32(content), len(content), len(content), len(name), 0
        common = struct.pack("<5H3L2H", 20, 0, 0, 0, 0x21, *sizes)
        parts += [b"PK\x03\x04", common, name.encode("ascii"), content]
        directory += [b"PK\x01\x02\x14\x00", common, struct.pack("<3H2L", 0, 0, 0, 0, offset)]
        directory += [name.encode("ascii")]
        offset += 30 + len(name) + len(content)
    size, n = sum(map(len, directory)), len(members)
    return b"".join([*parts, *directory, _END.pack(b"PK\x05\x06", 0, 0, n, n, size, offset, 0)])


def read_zip(content: bytes, max_members: int) -> dict[str, bytes]:
    """Return the members of a zip that `write_zip` wrote."""
    end = _END.unpack(content[-_END.size :].rjust(_END.size))
    if end[0] != b"PK\x05\x06" or content[-42:-38] == b"PK\x06\x07":
        raise ValueError("it is not a complete zip")
    if end[4] > max_members or end[5] > max_members * _BYTES_PER_ENTRY:
        raise ValueError(f"it has {end[4]} members, but at most {max_members} are allowed")
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        entries = archive.infolist()
        for entry in entries:
            if entry.compress_type != zipfile.ZIP_STORED or entry.flag_bits & 1:
                raise ValueError(f"its member {entry.filename[:80]!r} is compressed or encrypted")
            if entry.file_size > LARGEST_TEXT and entry.filename.endswith((".json", ".md")):
                raise ValueError(f"its member {entry.filename[:80]!r} is too large")
        if sum(entry.file_size for entry in entries) > len(content):
            raise ValueError("its members claim to be larger than the file")
        members = {entry.filename: archive.read(entry) for entry in entries}
    # Rules out duplicates, links, comments, and whatever is hidden around or between members.
    if write_zip(members) != content:
        raise ValueError("its zip is not as save_model writes it")
    return members


def pack(members: Mapping[str, bytes]) -> bytes:
    """Return the bytes of a model file: a manifest and the members."""
    if sum(map(len, members.values())) > _MAX_BYTES:
        raise InvalidDataError("a model file holds less than 4 GiB. Save a smaller model")
    return write_zip({MANIFEST: _manifest(members), **members})


def unpack(content: bytes) -> dict[str, bytes]:
    """Return the members of a model file, each checked against its digest."""
    members = read_zip(content, _MAX_MEMBERS)
    for name in members:
        if name not in (MANIFEST, HEADER, ESTIMATOR, CARD) and not _NETWORK.fullmatch(name):
            raise ValueError(f"its member {name[:80]!r} does not belong in a model file")
    missing = {MANIFEST, HEADER, ESTIMATOR, CARD} - set(members)
    if missing:
        raise ValueError(f"it has no member {abridge(sorted(missing))}")
    text = members.pop(MANIFEST)
    manifest = json.loads(text)
    if manifest["format"] != "smilefusion-model":
        raise ValueError("its manifest is not that of a model file")
    if manifest["format_version"] != FORMAT_VERSION:
        raise ValueError(
            f"it has format version {manifest['format_version']!r:.40}, but this smilefusion "
            f"reads version {FORMAT_VERSION}; use the version that wrote it"
        )
    if text != _manifest(members):
        raise ValueError("its members do not match the digests in its manifest")
    return members


def _manifest(members: Mapping[str, bytes]) -> bytes:
    digests = {name: hashlib.sha256(content).hexdigest() for name, content in members.items()}
    manifest = {"format": "smilefusion-model", "format_version": FORMAT_VERSION}
    return json.dumps(manifest | {"sha256": digests}).encode()


def read_file(path: Path, max_megabytes: float) -> bytes:
    """Return the bytes of a regular file of limited size."""
    if not path.is_file():
        raise InvalidDataError(
            f"The model file {path} does not exist or is not a regular file. Check its path."
        )
    limit = int(max_megabytes * 2**20)
    try:
        with open(path, "rb") as stream:
            size = os.fstat(stream.fileno()).st_size
            if size <= limit:
                return stream.read(size)
    except OSError as error:
        raise InvalidDataError(f"The model file {path} cannot be read: {error}.") from error
    raise InvalidDataError(
        f"The model file {path} is larger than {max_megabytes:g} MiB. If you trust its author, "
        f"increase max_megabytes."
    )


def check_text(text: str) -> str:
    """Return a text; raise if it contains terminal control characters."""
    if found := _CONTROL.search(text):
        raise ValueError(f"its text has the control character {found[0]!a}")
    return text


def check_texts(value: Any) -> None:
    """Check every text in nested JSON values."""
    if isinstance(value, str):
        check_text(value)
    elif isinstance(value, (dict, list)):
        for entry in [*value, *value.values()] if isinstance(value, dict) else value:
            check_texts(entry)
