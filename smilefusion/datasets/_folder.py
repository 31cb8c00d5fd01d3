"""Load labelled clips from a folder that contains labels.csv and the clips."""

import os
import unicodedata
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.utils import Bunch

from smilefusion._messages import abridge, count, plural, printable
from smilefusion._storage._digests import file_digest
from smilefusion.clips import check_clips, read_fps
from smilefusion.exceptions import InvalidClipError, InvalidDataError

LABELS_FILE = "labels.csv"
_COLUMNS = ("file", "label", "subject")
_SUFFIXES = (".npy", ".npz")


def load_clips(folder: str | os.PathLike) -> Bunch:
    r"""Load a folder of labelled clips.

    Parameters
    ----------
    folder : str or path-like
        A folder that holds ``labels.csv`` (comma-separated, UTF-8, with a header) and the
        clips. Its columns are ``file``, the path of a ``.npy`` or ``.npz`` clip relative to
        the folder; ``label``, the class; ``subject``, who is seen. Other columns are ignored.

    Returns
    -------
    data : Bunch
        clips : list of Path of length n_clips
            The files in the order of the table; every estimator on clips reads them lazily.
        target : ndarray of shape (n_clips,)
            The labels: int where all are whole numbers, else str.
        groups : ndarray of shape (n_clips,)
            The subjects, str.
        fps : float, ndarray of shape (n_clips,) or None
            Frames per second as the ``.npz`` files state it: one number where all agree, one
            per clip with NaN for unknown where not, None where no file states any.
        files : list of str
            The entries of the column ``file``.
        name : str
            The folder's name.
        DESCR : str
            Where the clips come from and how many there are.

    Raises
    ------
    InvalidDataError
        If the folder or the table breaks a rule; all problems are reported at once. A cell must
        not contain a line break, which is a sign of a stray quote. Different labels, and
        different subjects, must differ by more than case, spaces and invisible characters.
        Copies of a clip must have the same label and subject.
    InvalidClipError
        If the shape or dtype of a clip breaks a rule of `check_clips`.

    Notes
    -----
    This function reads the header and the frame rate of each clip, and compares files of equal
    size to find copies. Values are checked when an estimator reads the clip.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> import numpy as np
    >>> from smilefusion.datasets import load_clips
    >>> with tempfile.TemporaryDirectory() as name:
    ...     for file, n_frames in (("anna.npy", 60), ("ben.npy", 70)):
    ...         np.save(Path(name) / file, np.zeros((n_frames, 478, 3), dtype=np.float32))
    ...     _ = Path(name, "labels.csv").write_text(
    ...         "file,label,subject\nanna.npy,posed,anna\nben.npy,spontaneous,ben\n"
    ...     )
    ...     data = load_clips(name)
    >>> data.target.tolist()
    ['posed', 'spontaneous']
    """
    return _load(Path(folder), _read_table(Path(folder)))


def load_usable_clips(folder, check, failures):
    """Load a folder as `load_clips` does, but skip clips that fail a check.

    Parameters
    ----------
    folder : path-like
        The folder.
    check : callable
        Takes the path of a clip and raises an error if the clip cannot be used.
    failures : list or None
        List to which a (path, error) pair is appended for each clip that fails; None raises the
        first error.

    Returns
    -------
    data : Bunch or None
        The remaining clips, as `load_clips` returns them; None if none remain.
    """
    folder = Path(folder)
    table = _read_table(folder)
    failed = []
    for row, file in table["file"].items():
        if Path(file).suffix.lower() not in _SUFFIXES:
            continue  # the table is wrong, not the clip
        try:
            check(folder / file)
        except (ValueError, OSError) as error:
            if failures is None:
                raise
            failures.append((folder / file, error))
            failed.append(row)
    return None if len(failed) == len(table) else _load(folder, table.drop(index=failed))


def describe(rule, culprits):
    """Insert culprits, abridged, into a rule; {are} and {have} agree with their number."""
    culprits = list(culprits)
    are, have = ("is", "has") if len(culprits) == 1 else ("are", "have")
    return rule.format(abridge(culprits), are=are, have=have) if culprits else ""


def _load(folder, table):
    """Return the labelled clips of a table."""
    paths = [folder / file for file in table["file"]]
    rates, unreadable = _read_rates([path for path in paths if os.path.isfile(path)])
    problems = _find_problems(folder, table) + unreadable
    if problems:
        raise InvalidDataError(
            f"{printable(folder / LABELS_FILE)} cannot be used: {'; '.join(problems)}. "
            "Correct the table or the files."
        )
    check_clips(paths)
    target, groups = _parse_labels(table["label"]), table["subject"].to_numpy(dtype=str)
    name = folder.resolve().name
    return Bunch(
        clips=paths,
        target=target,
        groups=groups,
        fps=_common_rate(rates),
        files=table["file"].tolist(),
        name=name,
        DESCR=(
            f"{count(len(paths), 'labelled clip')} of "
            f"{count(len(np.unique(groups)), 'subject')} from the folder "
            f"{name}, classes {', '.join(map(str, np.unique(target)))}."
        ),
    )


def _read_table(folder):
    """Read labels.csv as stripped text; raise if it is not a valid table."""
    path = folder / LABELS_FILE
    shown = printable(path)
    if not folder.is_dir():
        raise InvalidDataError(f"There is no folder {str(folder)!r}; correct the path.")
    if not path.is_file():
        raise InvalidDataError(
            f"The folder {str(folder)!r} has no {LABELS_FILE}; it must list the clips in the "
            f"columns {', '.join(_COLUMNS)}. Write one."
        )
    try:
        # Without a header of its own pandas neither renames columns nor takes one for row names.
        table = pd.read_csv(
            path, header=None, dtype=str, keep_default_na=False, encoding="utf-8-sig"
        )
    except (ValueError, OSError) as error:
        raise InvalidDataError(
            f"{shown} cannot be read ({printable(str(error).strip())}). It must be "
            "comma-separated UTF-8 text whose rows match its header. Save it in this format."
        ) from error
    header = table.iloc[0].fillna("").str.strip().tolist()
    missing = [name for name in _COLUMNS if header.count(name) != 1]
    if missing:
        raise InvalidDataError(
            f"{shown} has the columns {abridge(header)}, but needs each of {', '.join(_COLUMNS)} "
            f"exactly once, separated by commas. Correct the {plural(len(missing), 'column')} "
            f"{', '.join(missing)} in the header."
        )
    table = table.iloc[1:].set_axis(header, axis=1)
    if table.empty:
        raise InvalidDataError(
            f"{shown} lists no clips, but at least two are needed. Add one row per clip."
        )
    table = table.fillna("").apply(lambda column: column.str.strip())
    broken = table.apply(lambda row: row.str.contains(r"[\r\n]").any(), axis=1)
    if broken.any():
        raise InvalidDataError(
            f"{shown} has a line break inside a cell of the row that starts on line "
            f"{table.index[broken][0] + 1}. The usual cause is a stray quote, which joins rows. "
            "Delete the quote or the line break."
        )
    table = table[list(_COLUMNS)]
    return table.assign(file=table["file"].map(lambda file: file.replace("\\", "/")))


def _find_problems(folder, table):
    """Describe every rule that the table's rows break."""
    line = table.index + 1
    files = table["file"].map(os.path.normpath)
    outside = files.map(lambda file: os.path.isabs(file) or file.split(os.sep)[0] == os.pardir)
    named = table["file"] != ""
    clip = files.map(lambda file: Path(file).suffix.lower() in _SUFFIXES)
    usable = named & ~outside & clip
    absent = usable & ~files.map(lambda file: os.path.isfile(folder / file))
    present = usable & ~absent
    identities = files.copy()  # links give one file several names
    for row in files.index[present]:
        status = os.stat(folder / files[row])
        identities[row] = f"{status.st_dev} {status.st_ino}"
    twice = named & identities.duplicated()
    problems = [
        describe(f"{column} is empty in {{}}", [f"line {n}" for n in line[table[column] == ""]])
        for column in _COLUMNS
    ]
    problems += [
        describe("{} {are} outside the folder", table["file"][named & outside]),
        describe(
            "{} {are} not in .npy or .npz format (extract the landmarks of videos first)",
            table["file"][named & ~outside & ~clip],
        ),
        describe("{} {are} absent", table["file"][absent]),
        describe("{} {are} listed twice", table["file"][twice]),
    ]
    problems += _find_spellings(table) + _find_copies(folder, table[present & ~twice])
    labels = table["label"][table["label"] != ""].unique()
    if len(labels) == 1:
        problems.append(
            f"all clips have the one label {printable(repr(labels[0]))}, but two are needed"
        )
    return [problem for problem in problems if problem]


def _find_spellings(table):
    """Describe labels and subjects that look the same but are not."""
    problems = []
    for column in ("label", "subject"):
        texts = table[column].drop_duplicates()
        for _, alike in texts.groupby(texts.map(_normalise)):
            if len(alike) > 1:
                named = [f"{text!r} (line {row + 1})" for row, text in alike.items()]
                problems.append(
                    f"the {column}s {abridge(named)} differ only in case, spaces or invisible "
                    "characters"
                )
    return problems


def _normalise(text):
    """Remove case, spaces and invisible characters from a text."""
    text = unicodedata.normalize("NFKC", text).casefold()
    return "".join(c for c in text if not c.isspace() and unicodedata.category(c) != "Cf")


def _find_copies(folder, table):
    """Describe files of equal content that have different labels or subjects."""
    sizes = table["file"].map(lambda file: os.path.getsize(folder / file))
    table = table[sizes.duplicated(keep=False)]
    problems = []
    for _, copies in table.groupby(table["file"].map(lambda file: file_digest(folder / file))):
        if len(copies[["label", "subject"]].drop_duplicates()) > 1:
            named = [f"{file} (line {row + 1})" for row, file in copies["file"].items()]
            problems.append(
                f"{abridge(named)} hold the same clip but have different labels or subjects"
            )
    return problems


def _read_rates(paths):
    """Return the frame rate of each clip, NaN where unknown, and the files' problems."""
    rates, problems = [], []
    for path in paths:
        if path.suffix.lower() not in _SUFFIXES:
            continue
        try:
            rates.append(read_fps(path) or np.nan)
        except InvalidClipError as error:
            problems.append(str(error).rstrip("."))
    return rates, problems


def _common_rate(rates):
    """Return one frame rate for all clips where they agree, else one per clip, or None."""
    rates = np.asarray(rates, dtype=float)
    if np.isnan(rates).all():
        return None
    return float(rates[0]) if (rates == rates[0]).all() else rates


def _parse_labels(labels):
    """Return labels as int where all are whole numbers, else as str."""
    if labels.str.fullmatch(r"[+-]?\d{1,9}").all():
        return labels.astype(int).to_numpy()
    return labels.to_numpy(dtype=str)
