"""Digests of files and settings."""

import hashlib
import json
import os
from pathlib import Path


def file_digest(path: str | os.PathLike) -> str:
    """Return the SHA-256 of a file's content in hexadecimal."""
    with Path(path).open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def settings_digest(settings: dict) -> str:
    """Return the SHA-256 of settings (a dict of JSON types) in hexadecimal."""
    text = json.dumps(settings, sort_keys=True, allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()
