"""What processes that share a cache have found in it and put into it."""

import json
import os
import threading
import uuid
from collections import Counter

from smilefusion._atomic_files import replacing
from smilefusion._cache_files import delete

_FOLDER = "statistics"
_FILES = f"{'[0-9a-f]' * 32}.json"
NAMES = ("hits", "misses", "bytes_written", "evictions", "damaged")
_LOCK = threading.Lock()
_TALLIES: dict = {}  # of this process and, where it was forked, of its parent


class Tally:
    """What one process has counted, kept in a file of its own beside the entries."""

    def __init__(self, folder):
        self.path = folder / _FOLDER / f"{uuid.uuid4().hex}.json"
        self.counts = Counter()
        self.n_bytes = None  # of all entries, as far as this process knows; None: not looked
        self.n_unseen = 0  # bytes written since it looked; others may have written as much
        self._lock = threading.Lock()

    def add(self, **counts):
        """Add to the counts."""
        with self._lock:
            self.counts.update(counts)

    def write(self):
        """Write the counts, for other processes to read."""
        with self._lock:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with replacing(self.path) as part:
                part.write_text(json.dumps(dict(self.counts)), encoding="ascii")


def tally_of(folder):
    """Return this process's tally of a folder; all caches of the folder share it."""
    key = (os.path.abspath(folder), os.getpid())
    with _LOCK:
        if key not in _TALLIES:
            _TALLIES[key] = Tally(folder)
        return _TALLIES[key]


def forget_counts(folder):
    """Let this process count from zero, and delete what others have written."""
    for path in (folder / _FOLDER).glob(_FILES):
        delete(path)
    with _LOCK:
        _TALLIES.pop((os.path.abspath(folder), os.getpid()), None)


def sum_counts(folder):
    """Return the sums of the counts that processes have written."""
    total = Counter()
    for path in (folder / _FOLDER).glob(_FILES):
        try:
            counts = json.loads(path.read_bytes())
            total.update({name: int(counts.get(name, 0)) for name in NAMES})
        except (OSError, ValueError, AttributeError, TypeError, RecursionError):
            continue  # deleted meanwhile, or damaged
    return total
