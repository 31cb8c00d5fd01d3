"""ClipCache: results per clip, kept in a folder that processes can share."""

import hashlib
import os
import re
import time
import warnings
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack, suppress
from dataclasses import KW_ONLY, dataclass
from numbers import Real
from pathlib import Path

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load, save
from sklearn.utils import Bunch

from smilefusion._storage._atomic_files import replacing
from smilefusion._storage._locks import is_locked, locked
from smilefusion.exceptions import SmileFusionWarning

_BLOCK = 4096  # bytes; a disk stores files in multiples of it
# A complete entry is named by its key. An incomplete one has a random name that starts with a dot;
# if it is older than a day, its process died.
_ENTRY = re.compile(r"[0-9a-f]{64}\.clip|\.[0-9a-f]{32}\.clip")
_DEAD_SECONDS = 86_400
_COUNTS: dict[str, Counter] = defaultdict(Counter)  # hits and misses of this process, by folder


@dataclass(frozen=True)
class ClipCache:
    """Keep the results of extractors in a folder, so that each clip is computed once.

    Pass it to `FaceMeshExtractor` or `DeepFeatureExtractor` as ``cache``. Processes and machines
    may share a folder: if several need the same clip at once, one computes it and the others
    wait. An entry is found only if the content of the clip, the settings, the weights of the
    network and the versions of the packages are the same. Damaged entries are computed again.

    Parameters
    ----------
    folder : str or path-like
        The folder; it is created if it does not exist.
    max_bytes : float, default=4294967296
        Maximum size of all entries on disk, in bytes. If new entries exceed it, the least
        recently used ones are deleted.

    Notes
    -----
    Loading an entry runs no code. Digests detect damage but not manipulation: anyone with write
    access to the folder can change results.

    Examples
    --------
    >>> import tempfile
    >>> import numpy as np
    >>> from smilefusion import ClipCache
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     cache = ClipCache(folder)
    ...     for _ in range(3):
    ...         (entry,) = cache.fetch(["0" * 64], lambda places: [{"answer": np.array(42)}])
    ...     counts = cache.statistics()
    >>> counts.misses, counts.hits, counts.n_entries
    (1, 2, 1)
    """

    folder: str | os.PathLike
    _: KW_ONLY
    max_bytes: float = 2**32

    def __post_init__(self) -> None:
        """Check the arguments."""
        if not isinstance(self.folder, (str, os.PathLike)):
            raise TypeError(
                f"folder must be a path; got {type(self.folder).__name__}. Pass the path of a "
                "folder."
            )
        if not isinstance(self.max_bytes, Real) or not self.max_bytes > 0:
            raise ValueError(
                f"max_bytes must be a positive number of bytes; got {self.max_bytes!r}. Pass the "
                "maximum size of the cache."
            )

    def fetch(
        self,
        keys: Sequence[str],
        compute: Callable[[list[int]], Iterable[dict]],
        *,
        n_at_once: int = 1,
    ) -> list[dict]:
        """Return the entries of clips; compute and store those that are missing.

        Parameters
        ----------
        keys : sequence of str of length n_clips
            Key of each clip's entry: the SHA-256 hex digest of everything that affects it.
        compute : callable
            Maps a list of positions in `keys` to an iterable of their entries, each a dict of
            str to ndarray. The entry of a clip must not depend on the other clips.
        n_at_once : int, default=1
            Maximum number of clips that one call computes.

        Returns
        -------
        entries : list of dict of str to ndarray
            The entry of each clip.
        """
        places = {key: place for place, key in reversed(list(enumerate(keys)))}
        entries: dict[str, dict] = {}
        self._read(sorted(places), entries)
        n_computed = 0
        errors: list[OSError] = []
        # First skip what other processes are computing, then wait for it.
        for wait in (False, True):
            missing = sorted(places.keys() - entries.keys(), key=places.__getitem__)
            for start in range(0, len(missing), n_at_once):
                part = missing[start : start + n_at_once]
                with ExitStack() as held:
                    mine = [key for key in sorted(part) if self._lock(key, held, wait)]
                    self._read(mine, entries)  # another process may have stored them by now
                    mine = sorted(set(mine) - entries.keys(), key=places.__getitem__)
                    computed = compute([places[key] for key in mine]) if mine else ()
                    for key, entry in zip(mine, computed, strict=True):
                        entries[key] = {k: np.asarray(v, order="C") for k, v in entry.items()}
                        errors += self._write(key, entries[key])
                n_computed += len(mine)
        if n_computed:
            self._evict()
        n_found = len(keys) - n_computed
        _COUNTS[os.path.abspath(self.folder)].update(hits=n_found, misses=n_computed)
        if errors:
            warnings.warn(
                f"The cache {str(self.folder)!r} cannot be written to ({errors[0]}), so missing "
                "entries must be computed each time. Free disk space or choose another folder.",
                SmileFusionWarning,
                stacklevel=2,
            )
        return [entries[key] for key in keys]

    def statistics(self) -> Bunch:
        """Return how often this process found entries, and the size of the cache.

        Returns
        -------
        counts : Bunch
            ``hits`` and ``misses``: numbers of clips that this process found and computed.
            ``n_entries`` and ``n_bytes``: number of entries and their size on disk.
        """
        counts = _COUNTS[os.path.abspath(self.folder)]
        sizes = [n_bytes for _, n_bytes, path in self._scan() if path.name[0] != "."]
        return Bunch(
            hits=counts["hits"], misses=counts["misses"], n_entries=len(sizes), n_bytes=sum(sizes)
        )

    def clear(self) -> None:
        """Delete all entries and reset the counts; keep other files in the folder."""
        for _, _, path in self._scan():
            path.unlink(missing_ok=True)
            is_locked(path.with_suffix(".lock"))  # deletes the lock of a dead process
        _COUNTS.pop(os.path.abspath(self.folder), None)

    def _path(self, key: str, suffix: str = ".clip") -> Path:
        return Path(self.folder, f"{key}{suffix}")

    def _lock(self, key: str, held: ExitStack, wait: bool) -> bool:
        """Whether this process may compute an entry; if so, hold the entry's lock."""
        try:
            Path(self.folder).mkdir(parents=True, exist_ok=True)
            return held.enter_context(locked(self._path(key, ".lock"), wait=wait))
        except OSError:  # the folder cannot be written to, which `_write` reports
            return True

    def _read(self, keys: Iterable[str], entries: dict[str, dict]) -> None:
        """Add the undamaged entries of these keys."""
        for key in keys:
            with suppress(OSError, SafetensorError):
                content = self._path(key).read_bytes()
                payload = content[hashlib.sha256().digest_size :]
                if content == _seal(key, payload):
                    entries[key] = load(payload)
                    os.utime(self._path(key))  # the time of the last use, for `_evict`

    def _write(self, key: str, entry: dict) -> list[OSError]:
        """Write an entry; return a list that contains the error, if any."""
        content = _seal(key, save(entry))
        if len(content) <= self.max_bytes:
            try:
                with replacing(self._path(key)) as part:
                    part.write_bytes(content)
            except OSError as error:
                return [error]
        return []

    def _scan(self) -> list[tuple[float, int, Path]]:
        """Return time of last use, size on disk and path of each entry, oldest first."""
        found: list[tuple[float, int, Path]] = []
        with suppress(OSError), os.scandir(os.fspath(self.folder)) as files:
            for file in files:
                with suppress(FileNotFoundError):  # deleted by another process
                    is_own, used = _ENTRY.fullmatch(file.name), file.stat().st_mtime
                    if is_own and (file.name[0] != "." or time.time() - used > _DEAD_SECONDS):
                        n_bytes = -(-file.stat().st_size // _BLOCK) * _BLOCK
                        found.append((used, n_bytes, Path(file.path)))
        return sorted(found)

    def _evict(self) -> None:
        """Delete the least recently used entries until the rest fits."""
        entries = self._scan()
        n_bytes = sum(size for _, size, _ in entries)
        for _, size, path in entries:
            if n_bytes <= self.max_bytes:
                break
            with suppress(OSError):
                path.unlink(missing_ok=True)
            n_bytes -= size


def as_cache(cache: str | os.PathLike | ClipCache | None) -> ClipCache | None:
    """Return a cache for a folder; return a cache or None unchanged."""
    return cache if cache is None or isinstance(cache, ClipCache) else ClipCache(cache)


def _seal(key: str, payload: bytes) -> bytes:
    """Return the content of an entry's file: a digest of key and payload, then the payload."""
    return hashlib.sha256(key.encode() + payload).digest() + payload
