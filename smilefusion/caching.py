"""ClipCache: what was computed of a clip, kept in a folder that processes share."""

import os
import time
import warnings
from contextlib import ExitStack
from dataclasses import KW_ONLY, dataclass
from numbers import Real
from pathlib import Path

import numpy as np
from sklearn.utils import Bunch, gen_batches

from smilefusion._cache_counts import NAMES, forget_counts, sum_counts, tally_of
from smilefusion._cache_files import (
    LOCK,
    delete,
    entry_path,
    evict,
    read_entry,
    scan,
    write_entry,
)
from smilefusion._locks import locked
from smilefusion.exceptions import CacheWarning

_LOOK_SHARE = 1 / 16  # of the limit: bytes written after which a process looks what others wrote
_POLL_SECONDS = 0.02
_PATIENCE_SECONDS = 600  # a lock so old is not waited for; a clip computed twice does no harm


@dataclass(frozen=True)
class ClipCache:
    """Keep what extractors compute of clips in a folder, so that each clip is computed once.

    Extractors take it as ``cache``. Folds, candidates of a search, runs, processes and machines
    may share a folder at once. An entry is found by the digest of the clip's content, of all
    settings that decide the result, of a network's weights, and of the versions of the packages
    that compute it; so the cache changes no result, and need not be cleared when something
    changes. Entries that are damaged are computed again.

    Parameters
    ----------
    folder : str or path-like
        The folder; it is made where it is absent.
    max_bytes : float, default=4294967296
        Size of the entries on the disk above which those that were not used for longest are
        deleted, in bytes. Processes that write at the same time may exceed it by a sixteenth
        each for a while.

    Notes
    -----
    If several processes need the same clip at once, one computes it and the others wait.

    Loading an entry runs no code. Digests protect from damage and not from malice: who may write
    to the folder can change results.

    Examples
    --------
    >>> import tempfile
    >>> from smilefusion import ClipCache, DMarkerTransformer
    >>> from smilefusion.datasets import make_smiles
    >>> smiles = make_smiles(8, n_subjects=4, fps=25, random_state=0)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     cache = ClipCache(folder)
    ...     for _ in range(3):
    ...         features = DMarkerTransformer(fps=25, cache=cache).fit_transform(smiles.clips)
    ...     counts = cache.statistics()
    >>> counts.misses, counts.hits, counts.n_entries
    (8, 16, 8)
    """

    folder: str | os.PathLike
    _: KW_ONLY
    max_bytes: float = 2**32

    def __post_init__(self):
        """Check the arguments."""
        if not isinstance(self.folder, (str, os.PathLike)):
            raise TypeError(
                f"folder must be a path; got {type(self.folder).__name__}. Name a folder."
            )
        if not isinstance(self.max_bytes, Real) or not self.max_bytes > 0:
            raise ValueError(
                f"max_bytes must be a positive number of bytes; got {self.max_bytes!r}. Give the "
                "size that the folder may have."
            )

    def fetch(self, keys, compute, *, n_at_once=1):
        """Return entries, those that are not there being computed and kept.

        Parameters
        ----------
        keys : sequence of str of length n_clips
            The key of each clip's entry: the SHA-256 of all that decides it, in hexadecimal.
        compute : callable
            Takes a list of positions in `keys` and gives an iterable of the entries there, each
            a dict of str to ndarray. What it gives for a clip must not depend on the others.
        n_at_once : int, default=1
            Number of clips that are computed in one call, at most.

        Returns
        -------
        entries : list of dict of str to ndarray
            The entry of each clip.
        """
        places = {}
        for place, key in enumerate(keys):
            places.setdefault(key, place)
        entries = {key: read_entry(entry_path(self._path, key), key) for key in places}
        n_damaged = sum(arrays == {} for arrays in entries.values())
        entries = {key: arrays for key, arrays in entries.items() if arrays}
        missing = [key for key in places if key not in entries]
        n_computed = 0
        while missing:
            for part in gen_batches(len(missing), n_at_once):
                n_computed += self._compute(missing[part], entries, compute, places)
            left = [key for key in missing if key not in entries]
            if len(left) == len(missing):
                time.sleep(_POLL_SECONDS)  # all that is left is being computed elsewhere
            missing = left
        self._tally.add(hits=len(keys) - n_computed, misses=n_computed, damaged=n_damaged)
        self._writing(self._tally.write)
        return [entries[key] for key in keys]

    def statistics(self, *, scope="all"):
        """Return how often entries were found, and how much there is.

        Parameters
        ----------
        scope : {"all", "process"}, default="all"
            Whether to sum over all processes that have used the folder since it was cleared, or
            to count this process alone.

        Returns
        -------
        counts : Bunch
            ``hits`` and ``misses``, clips that were found and computed; ``bytes_written``, what
            the entries of these take of the disk; ``evictions``, entries deleted to keep to the
            limit; ``damaged``, entries found so; ``n_entries`` and ``n_bytes``, the entries that
            there are, and what they take of the disk, whatever the scope.
        """
        if scope not in ("all", "process"):
            raise ValueError(f"scope must be 'all' or 'process'; got {scope!r}.")
        counts = sum_counts(self._path) if scope == "all" else self._tally.counts
        entries = scan(self._path)
        return Bunch(
            **{name: counts[name] for name in NAMES},
            n_entries=len(entries),
            n_bytes=sum(entry.n_bytes for entry in entries),
        )

    def clear(self):
        """Delete all entries and counts; nothing else in the folder is touched."""
        for entry in scan(self._path):
            delete(entry.path)
        forget_counts(self._path)

    @property
    def _path(self):
        return Path(self.folder)

    @property
    def _tally(self):
        return tally_of(self._path)

    def _compute(self, keys, entries, compute, places):
        """Compute those entries that no other process is computing; return their number."""
        with ExitStack() as held:
            mine = [key for key in keys if self._claim(key, held)]
            # What was missing a while ago may have been computed by another since.
            late = {key: read_entry(entry_path(self._path, key), key) for key in mine}
            entries.update({key: arrays for key, arrays in late.items() if arrays})
            mine = [key for key in mine if key not in entries]
            computed = compute([places[key] for key in mine]) if mine else ()
            for key, arrays in zip(mine, computed, strict=True):
                entries[key] = {name: np.asarray(each, order="C") for name, each in arrays.items()}
                self._writing(self._keep, key, entries[key])
        return len(mine)

    def _claim(self, key, held):
        """Return whether this process may compute an entry, and hold its lock meanwhile."""
        path = entry_path(self._path, key, LOCK)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            return held.enter_context(locked(path)) or _age(path) > _PATIENCE_SECONDS
        except OSError:  # where nothing can be written there are no locks; keeping tells it
            return True

    def _keep(self, key, arrays):
        """Write an entry, and delete others where they have become too many."""
        if sum(array.nbytes for array in arrays.values()) > self.max_bytes:
            return
        n_bytes = write_entry(entry_path(self._path, key), key, arrays)
        tally = self._tally
        tally.add(bytes_written=n_bytes)
        tally.n_unseen += n_bytes
        known = None if tally.n_bytes is None else tally.n_bytes + tally.n_unseen
        look_after = _LOOK_SHARE * self.max_bytes
        if known is None or known > self.max_bytes or tally.n_unseen > look_after:
            n_evicted, tally.n_bytes = evict(self._path, self.max_bytes)
            tally.n_unseen = 0
            tally.add(evictions=n_evicted)

    def _writing(self, write, *arguments):
        """Write; where that fails, say so: results do not depend on it."""
        try:
            write(*arguments)
        except OSError as error:
            warnings.warn(
                f"The cache {str(self.folder)!r} cannot be written to ({error}); what is not in "
                "it is computed every time. Make room, or give a folder that can be written to.",
                CacheWarning,
                stacklevel=2,
            )


def as_cache(cache):
    """Return the cache that a parameter names.

    Parameters
    ----------
    cache : str, path-like, ClipCache or None
        A folder or a cache.

    Returns
    -------
    cache : ClipCache or None
        The cache, of default size where a folder was given.
    """
    return cache if cache is None or isinstance(cache, ClipCache) else ClipCache(cache)


def _age(path):
    """Return the seconds since a lock was made; 0 where it is open by now."""
    try:
        return time.time() - path.stat().st_mtime
    except FileNotFoundError:
        return 0.0
