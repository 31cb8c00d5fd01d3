"""Files that appear whole or not at all."""

import os
import uuid
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def replacing(path):
    """Yield a temporary path that takes the place of `path` once the block has succeeded.

    Its name is nobody else's: threads, and containers that share a folder and number their
    processes alike, may write the same file at once.
    """
    path = Path(path)
    part = path.with_name(f".{uuid.uuid4().hex}{path.suffix}")
    try:
        yield part
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)
