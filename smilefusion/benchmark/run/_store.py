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
from collections.abc import Callable
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pandas as pd

from smilefusion._messages import count, printable
from smilefusion._storage._atomic_files import replacing
from smilefusion._storage._csv_cells import protect_cells, restore
from smilefusion._storage._locks import is_locked, locked
from smilefusion.benchmark.run._cells import Cell
from smilefusion.benchmark.run._provenance import IMMATERIAL, describe_machine
from smilefusion.benchmark.stats._scores import PROBABILITY_PREFIX
from smilefusion.benchmark.stats._shift_scores import AS_RECORDED
from smilefusion.benchmark.stats._subgroups import METADATA_PREFIX
from smilefusion.exceptions import InvalidDataError, SmileFusionWarning

FIGURES = ("fit_seconds", "predict_seconds", "n_parameters", "n_train", "epoch")
_FORMAT = 1
_CELLS = "cells"
_POLL_SECONDS = 0.2
_SILENT_POLLS = 25  # before a warning names the lock that blocks the run
_N_SHOWN = 3  # differences that an error names
# Python's own parser restores every float exactly.
_READERS: dict[str, Callable] = {
    "bool": "True".__eq__,
    "int": int,
    "float": float,
    "str": restore,
    "none": lambda _: None,
}
_MACHINE = {"packages", "python", "platform", "n_cpus"}


def load_results(folder: str | os.PathLike, *, shifts: bool = False) -> pd.DataFrame:
    """Load the predictions that `run_benchmark` stored in a folder.

    Parameters
    ----------
    folder : str or path-like
        The folder given to `run_benchmark` as ``results``.
    shifts : bool, default=False
        Whether to load the predictions under each recording shift, for cells that have them.

    Returns
    -------
    predictions : pandas.DataFrame
        The table that `run_benchmark` returns, for all cells in the folder. Protocols are sorted
        by name, data sets and estimators in the order of the run that computed them, then by name.
        Unfinished cells have no rows; failed cells have missing predictions. With `shifts`, the
        first column is ``shift``, and the rows of the clips as recorded come first. Under a
        shift, the prediction is the most probable class. `score_shifts` scores the table.

    Raises
    ------
    InvalidDataError
        If the folder has no finished cell, or none with recording shifts if `shifts` is True, or
        if a file was changed.

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
    cells = read_cells(folder)
    predictions = tidy_shifts(cells) if shifts else tidy(cells)
    if predictions is None:
        raise InvalidDataError(
            f"{str(folder)!r} has no finished cell with recording shifts. Run the benchmark with "
            "shifts=True and another results folder."
        )
    return predictions


def read_cells(folder: str | os.PathLike) -> list[tuple[dict, pd.DataFrame]]:
    """Return record and rows of every finished cell of a folder, sorted as in `load_results`."""
    if not Path(folder).is_dir():
        raise InvalidDataError(f"There is no folder {str(folder)!r}. Check the path.")
    paths = [path for path in Path(folder, _CELLS).glob("*.json") if not _is_part(path)]
    if not paths:
        raise InvalidDataError(
            f"{str(folder)!r} has no finished cell. It must be a folder that was passed to "
            "run_benchmark as results. Check the path, or wait for the first cell."
        )
    return sorted(
        map(_read, paths),
        key=lambda result: (
            result[0]["cell"]["protocol"],
            result[0]["rank"],
            *result[0]["cell"].values(),
        ),
    )


def tidy(results: list[tuple[dict, pd.DataFrame]], *, shifts: bool = False) -> pd.DataFrame:
    """Combine records and rows of cells into one table in the order of `run_benchmark`."""
    order: dict[tuple, int] = {}
    parts = []
    for record, rows in results:
        cell = record["cell"]
        place = order.setdefault(
            (cell["protocol"], cell["dataset"], cell["estimator"]), len(order)
        )
        own = rows if shifts else rows[rows["shift"] == AS_RECORDED]
        parts.append(own.assign(**cell, **record["figures"], order=place))
    table = pd.concat(parts)
    table["turn"] = pd.factorize(table["shift"])[0]
    table = table.sort_values(["turn", "order", "repeat", "position"], ignore_index=True)
    probability = [name for name in table if str(name).startswith(PROBABILITY_PREFIX)]
    metadata = [name for name in table if str(name).startswith(METADATA_PREFIX)]
    outcome = ("clip", "group", "target", "prediction", *probability)
    cell = results[0][0]["cell"]
    return table[[*["shift"] * shifts, *cell, *outcome, *FIGURES, *metadata]]


def tidy_shifts(results: list[tuple[dict, pd.DataFrame]]) -> pd.DataFrame | None:
    """Return the predictions under each shift as one table; None if no cell has shifts."""
    shifted = [result for result in results if result[0]["settings"].get("shifts")]
    return tidy(shifted, shifts=True) if shifted else None


class CellStore:
    """Finished cells of a folder, and locks of running cells."""

    # The JSON file of a finished cell has the digest of its CSV file and is written after it.
    # Files are written atomically. If two processes compute the same cell by accident,
    # they write the same predictions.

    def __init__(self, folder: str | os.PathLike) -> None:
        self.folder = Path(folder, _CELLS).absolute()  # workers may have another working directory
        self.folder.mkdir(parents=True, exist_ok=True)

    def path(self, cell: Cell, suffix: str) -> Path:
        """Return the unique path of a cell's file."""
        return self.folder / f"{_file_name(cell.key)}{suffix}"

    def locked(self, cell: Cell) -> AbstractContextManager[bool]:
        """Lock a cell during the block; yield False if another process is running it."""
        return locked(self.path(cell, ".lock"))

    def record(self, cell: Cell) -> dict[str, Any] | None:
        """Return the record of a cell, or None if it is not finished."""
        path = self.path(cell, ".json")
        return _read_record(path) if path.exists() else None

    def read(self, cell: Cell) -> tuple[dict[str, Any], pd.DataFrame]:
        """Return record and rows of a finished cell."""
        return _read(self.path(cell, ".json"))

    def write(
        self,
        cell: Cell,
        settings: dict[str, Any],
        record: dict[str, Any],
        rows: pd.DataFrame,
    ) -> None:
        """Store record and rows of a cell; the record of a failed cell includes its rows."""
        text = _to_text(rows)
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
            "columns": {str(name): _kind(column) for name, column in rows.items()},
            "predictions": _digest(text),
            # A later success could replace a separate file before it replaces this record.
            "rows": text if record["error"] else None,
        }
        record["digest"] = _digest_record(record)
        _write(self.path(cell, ".json"), json.dumps(record, indent=1, allow_nan=False) + "\n")

    def check(self, cell: Cell, settings: dict[str, Any]) -> dict[str, Any] | None:
        """Return a cell's record, if any; raise if it was computed with other settings."""
        record = self.record(cell)
        differences = _describe_changes(record["settings"], settings) if record else []
        if differences:
            raise InvalidDataError(
                f"The folder {str(self.folder.parent)!r} contains {cell} with "
                f"{'; '.join(differences[:_N_SHOWN])}. All runs in a folder must have the same "
                "settings. Choose another folder, or delete this one."
            )
        return record

    def sweep(self) -> None:
        """Delete the locks of dead processes, and half-written files if no process is running."""
        # A process that writes one of these files holds a lock, which the next line finds.
        parts = [path for path in self.folder.iterdir() if _is_part(path)]
        held = [path for path in self.folder.glob("*.lock") if is_locked(path)]
        for part in [] if held else parts:
            part.unlink(missing_ok=True)

    def wait(self, cells: list[Cell]) -> None:
        """Block until any of the running cells finishes or its process dies."""
        locks = [self.path(cell, ".lock") for cell in cells]
        n_polls = 0
        while all(map(is_locked, locks)):
            time.sleep(_POLL_SECONDS)
            n_polls += 1
            if n_polls == _SILENT_POLLS:
                warnings.warn(
                    f"Waiting for {count(len(cells), 'cell')} of other processes. The first is "
                    f"{cells[0]}: another process holds the lock {printable(locks[0])}. The run "
                    "continues when that process finishes the cell or ends; stop the process if "
                    "it hangs.",
                    SmileFusionWarning,
                    stacklevel=3,
                )


def _file_name(key: dict[str, Any]) -> str:
    """Return the unique name of a cell's files, without suffix."""
    names = key["protocol"], key["dataset"], key["estimator"]
    digest = hashlib.sha256("\0".join(names).encode()).hexdigest()[:8]
    readable = "-".join(re.sub(r"[^a-z0-9]+", "-", name.lower())[:40] for name in names)
    return f"{readable}-{digest}-r{key['repeat']}-f{key['fold']}"


def _is_part(path: Path) -> bool:
    """Whether a file is half-written."""
    return path.name.startswith(".")


def _write(path: Path, text: str) -> None:
    """Write a text file atomically, even if the power fails."""
    with replacing(path) as part, part.open("w", encoding="utf-8", newline="") as stream:
        stream.write(text)
        stream.flush()
        os.fsync(stream.fileno())


def _read(path: Path) -> tuple[dict[str, Any], pd.DataFrame]:
    """Return record and rows of a cell from its JSON file."""
    record = _read_record(path)
    table, text = path.with_suffix(".csv"), record["rows"]
    if text is None:
        text = table.read_bytes().decode("utf-8", errors="replace") if table.exists() else ""
    if _digest(text) != record["predictions"]:
        raise InvalidDataError(
            f"{printable(table)} was changed or deleted after the benchmark wrote it. Delete "
            f"{path.name} in the same folder and run the benchmark again."
        )
    names, *lines = csv.reader(io.StringIO(text, newline=""))
    rows = pd.DataFrame(
        {
            name: list(map(_READERS[record["columns"][name]], texts))
            for name, texts in zip(names, zip(*lines, strict=True), strict=True)
        }
    )
    return record, rows


def _read_record(path: Path) -> dict[str, Any]:
    """Read a record from a JSON file, with NaN for unknown numbers."""
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


def _to_text(rows: pd.DataFrame) -> str:
    """Return rows as the text of a CSV file."""
    return protect_cells(rows).to_csv(index=False, na_rep="nan", lineterminator="\n")


def _kind(column: pd.Series) -> str:
    """Return the key of the reader that restores a column."""
    if column.dtype == object and column.isna().all():
        return "none"
    return {"b": "bool", "i": "int", "u": "int", "f": "float"}.get(column.dtype.kind, "str")


def _digest(text: str) -> str:
    """Return the SHA-256 digest of a text."""
    return hashlib.sha256(text.encode()).hexdigest()


def _digest_record(record: dict[str, Any]) -> str:
    """Return the digest of a record without its machine, which may be edited."""
    rest = {key: value for key, value in record.items() if key not in ("digest", "machine")}
    machine = record["machine"]
    if not isinstance(machine["packages"], dict) or _MACHINE - machine.keys():
        raise ValueError("it has no machine information")
    return _digest(json.dumps(rest, sort_keys=True))


def _describe_changes(stored: dict[str, Any], settings: dict[str, Any]) -> list[str]:
    """Describe differences between stored and current settings, ignoring caches and the like."""
    words = [
        words
        for field, words in (
            ("protocol", "different protocol settings"),
            ("data", "different clips"),
            ("split", "different folds, names, labels or metadata"),
            ("shifts", "different recording shifts"),
        )
        if stored.get(field) != settings.get(field)
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
