"""Folders of benchmark results: one CSV and one JSON file per finished cell."""

import csv
import hashlib
import io
import json
import math
import os
import re
import time
import warnings
from datetime import UTC, datetime
from pathlib import Path

import pandas as pd

from smilefusion._atomic_files import replacing
from smilefusion._csv_cells import protect_cells, restore
from smilefusion._locks import is_locked, locked
from smilefusion._messages import count, printable
from smilefusion.benchmark.run._provenance import IMMATERIAL, describe_machine
from smilefusion.benchmark.stats._scores import PROBABILITY_PREFIX
from smilefusion.exceptions import InvalidDataError, WaitingWarning

FIGURES = ("fit_seconds", "predict_seconds", "n_parameters", "n_train", "epoch")
_FORMAT = 3
_CELLS = "cells"
_POLL_SECONDS = 0.2
_SILENT_POLLS = 25  # before a warning names the lock that blocks the run
_N_SHOWN = 3  # differences that an error names
# Python's own parser gives every float back as it was.
_READERS = {
    "bool": "True".__eq__,
    "int": int,
    "float": float,
    "str": restore,
    "none": lambda _: None,
}
_MACHINE = {"packages", "python", "platform", "n_cpus"}


def load_results(folder):
    """Load the predictions that `run_benchmark` stored in a folder.

    Parameters
    ----------
    folder : str or path-like
        The folder given to `run_benchmark` as ``results``.

    Returns
    -------
    predictions : pandas.DataFrame
        The table that `run_benchmark` returns, of all cells that the folder holds: protocols by
        name, data sets and estimators in the order of the run that computed them, then by name.
        Cells that are not finished have no rows; failed ones have missing predictions.

    Raises
    ------
    InvalidDataError
        Where the folder holds no finished cell, or a file was changed.

    Examples
    --------
    >>> import tempfile
    >>> from sklearn.datasets import load_iris
    >>> from sklearn.dummy import DummyClassifier
    >>> from sklearn.utils import Bunch
    >>> from smilefusion.benchmark import load_results, run_benchmark
    >>> X, y = load_iris(return_X_y=True)
    >>> data = Bunch(clips=X, target=y, groups=range(150), name="iris")
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     predictions = run_benchmark({"prior": DummyClassifier()}, data, results=folder)
    ...     load_results(folder).equals(predictions)
    True
    """
    return tidy(read_cells(folder))


def read_cells(folder):
    """Return record and rows of every finished cell of a folder, sorted as in `load_results`."""
    if not Path(folder).is_dir():
        raise InvalidDataError(f"There is no folder {str(folder)!r}. Correct the path.")
    paths = [path for path in Path(folder, _CELLS).glob("*.json") if not _is_part(path)]
    if not paths:
        raise InvalidDataError(
            f"{str(folder)!r} holds no finished cell; a folder that run_benchmark was given as "
            "results is needed. Check the path, or wait for the first cell."
        )
    return sorted(
        map(_read, paths),
        key=lambda result: (
            result[0]["cell"]["protocol"],
            result[0]["rank"],
            *result[0]["cell"].values(),
        ),
    )


def tidy(results):
    """Assemble records and rows of cells into one table, sorted as `run_benchmark` says."""
    order, parts = {}, []
    for record, rows in results:
        cell = record["cell"]
        place = order.setdefault(
            (cell["protocol"], cell["dataset"], cell["estimator"]), len(order)
        )
        parts.append(rows.assign(**cell, **record["figures"], order=place))
    table = pd.concat(parts)
    table = table.sort_values(["order", "repeat", "position"], ignore_index=True)
    probability = [name for name in table if name.startswith(PROBABILITY_PREFIX)]
    outcome = ("clip", "group", "target", "prediction", *probability)
    return table[[*results[0][0]["cell"], *outcome, *FIGURES]]


class CellStore:
    """The finished cells of a folder, and locks on those in work.

    A finished cell has a JSON file, its provenance, written after the CSV file of its
    predictions, whose digest it holds. Each appears whole or not at all. Two runners that
    should come to compute one cell would write the same predictions.
    """

    def __init__(self, folder):
        self.folder = Path(folder, _CELLS).absolute()  # workers may run in another one
        self.folder.mkdir(parents=True, exist_ok=True)

    def path(self, cell, suffix):
        """Return the path of a cell's file; names that differ give paths that differ."""
        return self.folder / f"{_file_name(cell.key)}{suffix}"

    def locked(self, cell):
        """Hold a cell during the block; yield False where another process has it in work."""
        return locked(self.path(cell, ".lock"))

    def record(self, cell):
        """Return what is recorded of a cell, None where it was never finished."""
        path = self.path(cell, ".json")
        return _read_record(path) if path.exists() else None

    def read(self, cell):
        """Return record and rows of a finished cell."""
        return _read(self.path(cell, ".json"))

    def write(self, cell, settings, record, rows):
        """Store record and rows of a cell; the rows of a failed cell go into its record."""
        text = protect_cells(rows).to_csv(index=False, na_rep="nan", lineterminator="\n")
        if not record["error"]:
            _write(self.path(cell, ".csv"), text)
        figures = {
            name: None if math.isnan(value) else value for name, value in record["figures"].items()
        }
        record = {
            "format": _FORMAT,
            "cell": cell.key,
            "rank": cell.rank,
            "seed": cell.seed,
            **record,
            "figures": figures,
            "settings": settings,
            "machine": describe_machine(),
            "finished": datetime.now(UTC).isoformat(),
            "columns": {name: _kind(column) for name, column in rows.items()},
            "predictions": _digest(text),
            # A file of its own could be replaced by a later success before this record is.
            "rows": text if record["error"] else None,
        }
        record["digest"] = _digest_record(record)
        _write(self.path(cell, ".json"), json.dumps(record, indent=1, allow_nan=False) + "\n")

    def check(self, cell, settings):
        """Return a cell's record, if any; raise where it was computed with other settings."""
        record = self.record(cell)
        differences = _differences(record["settings"], settings) if record else []
        if differences:
            raise InvalidDataError(
                f"The folder {str(self.folder.parent)!r} holds {cell} with "
                f"{'; '.join(differences[:_N_SHOWN])}; a folder keeps to one. Give another "
                "folder, or delete this one."
            )
        return record

    def sweep(self):
        """Delete the locks of dead processes, and half-written files if no process is running."""
        # A process that writes one of these files holds a lock, which the next line finds.
        parts = [path for path in self.folder.iterdir() if _is_part(path)]
        held = [path for path in self.folder.glob("*.lock") if is_locked(path)]
        for part in [] if held else parts:
            part.unlink(missing_ok=True)

    def wait(self, cells):
        """Block until any of the running cells finishes or its process dies."""
        locks = {self.path(cell, ".lock"): cell for cell in cells}
        n_polls = 0
        while all(map(is_locked, locks)):
            time.sleep(_POLL_SECONDS)
            n_polls += 1
            if n_polls == _SILENT_POLLS:
                path, cell = next(iter(locks.items()))
                _warn_of_waiting(path, cell, len(cells))


def _warn_of_waiting(path, cell, n_cells):
    """Warn that the run waits for a lock of another process."""
    warnings.warn(
        f"Waiting for {count(n_cells, 'cell')} of other processes. The first is {cell}: another "
        f"process holds the lock {printable(path)}. The run continues when that process finishes "
        "the cell or ends; stop the process if it hangs.",
        WaitingWarning,
        stacklevel=4,
    )


def _file_name(key):
    """Return the name of a cell's files without suffix; cells that differ have others."""
    names = key["protocol"], key["dataset"], key["estimator"]
    digest = hashlib.sha256("\0".join(names).encode()).hexdigest()[:8]
    readable = "-".join(re.sub(r"[^a-z0-9]+", "-", name.lower())[:40] for name in names)
    return f"{readable}-{digest}-r{key['repeat']}-f{key['fold']}"


def _is_part(path):
    """Whether a file is one that was not finished."""
    return path.name.startswith(".")


def _write(path, text):
    """Write a text file that appears whole or not at all, even if the power fails."""
    with replacing(path) as part, part.open("w", encoding="utf-8", newline="") as stream:
        stream.write(text)
        stream.flush()
        os.fsync(stream.fileno())


def _read(path):
    """Return record and rows of the cell of a JSON file."""
    record = _read_record(path)
    table = path.with_suffix(".csv")
    text = record["rows"]
    if text is None:
        text = table.read_bytes().decode("utf-8", errors="replace") if table.exists() else ""
    if _digest(text) != record["predictions"]:
        raise InvalidDataError(
            f"{printable(table)} was changed or deleted after the benchmark wrote it. Delete "
            f"{path.name} in the same folder and run the benchmark again."
        )
    names, *lines = csv.reader(io.StringIO(text, newline=""))
    return record, pd.DataFrame(
        {
            name: list(map(_READERS[record["columns"][name]], texts))
            for name, texts in zip(names, zip(*lines, strict=True), strict=True)
        }
    )


def _read_record(path):
    """Return the record of a JSON file, unknown figures as NaN."""
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        known = record["format"] == _FORMAT
        unchanged = not known or record["digest"] == _digest_record(record)
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise InvalidDataError(
            f"{printable(path)} is not a valid record of a cell ({printable(error)}). Files in a "
            "results folder must not be changed. Delete this file and run the benchmark again."
        ) from error
    if not known:
        raise InvalidDataError(
            f"{printable(path)} has format {printable(record['format'])}, but this version of "
            f"smilefusion reads format {_FORMAT}. Read it with the version that wrote it."
        )
    if not unchanged or path.stem != _file_name(record["cell"]):
        raise InvalidDataError(
            f"{printable(path)} was changed or renamed after the benchmark wrote it, but only its "
            "entry 'machine' may be changed. Delete this file and run the benchmark again."
        )
    figures = record["figures"].items()
    record["figures"] = {name: math.nan if value is None else value for name, value in figures}
    return record


def _kind(column):
    """Return the key of the reader that gives a column back."""
    if column.dtype == object and column.isna().all():
        return "none"
    return {"b": "bool", "i": "int", "u": "int", "f": "float"}.get(column.dtype.kind, "str")


def _digest(text):
    """Return the SHA-256 digest of a text."""
    return hashlib.sha256(text.encode()).hexdigest()


def _digest_record(record):
    """Return the digest of a record, of the machine only whether a report can tell of it."""
    rest = {key: value for key, value in record.items() if key not in ("digest", "machine")}
    machine = record["machine"]
    if not isinstance(machine["packages"], dict) or _MACHINE - machine.keys():
        raise ValueError("it tells of no machine")
    return _digest(json.dumps(rest, sort_keys=True))


def _differences(stored, settings):
    """Return in words where settings differ from stored ones, caches and the like left out."""
    words = [
        words
        for field, words in (
            ("protocol", "other settings of the protocol"),
            ("data", "other clips"),
            ("split", "other folds, names or labels"),
        )
        if stored[field] != settings[field]
    ]
    if stored["class"] != settings["class"]:
        return [f"class {stored['class']}, not {settings['class']}", *words]
    old, new = stored["parameters"], settings["parameters"]
    names = [name for name in old | new if name.rpartition("__")[2] not in IMMATERIAL]
    changed = [
        f"{name}={old.get(name, 'absent')}, not {new.get(name, 'absent')}"
        for name in names
        if old.get(name) != new.get(name)
    ]
    return changed + words
