"""Load labelled clips from a folder that contains labels.csv and the clips."""

import hashlib
import os
import unicodedata
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from smilefusion._messages import abridge, count, plural, printable
from smilefusion._storage._digests import file_digest
from smilefusion.clips._clip_files import Facts, clip_name, read_facts, read_files
from smilefusion.clips._sequence import ClipSequence, gather_clips
from smilefusion.datasets._data_set import ClipBunch, common_rate
from smilefusion.exceptions import InvalidClipError, InvalidDataError

_Found = dict[Any, tuple[Any, Facts]]  # row of the table → clip and facts
LABELS_FILE = "labels.csv"
_COLUMNS = ("file", "label", "subject")
_METADATA = "metadata_"  # prefix of all other columns, so that they cannot replace new ones
_SUFFIXES = (".npy", ".npz")


def load_clips(folder: str | os.PathLike) -> ClipBunch:
    r"""Load a folder of labelled clips.

    Parameters
    ----------
    folder : str or path-like
        A folder that contains ``labels.csv`` (comma-separated, UTF-8, with a header) and the
        clips. The columns are ``file``, the path of a ``.npy`` or ``.npz`` clip relative to
        the folder; ``label``, the class; ``subject``, the person in the clip. Other columns, such
        as ``sex``, are metadata.

    Returns
    -------
    data : Bunch
        clips : ClipSequence of length n_clips
            The clips in the order of the table, with frame rates and subjects. Each file is
            read when it is needed.
        target : ndarray of shape (n_clips,)
            The labels: int if all are whole numbers, else str.
        groups : ndarray of shape (n_clips,)
            The subjects, str.
        fps : float, ndarray of shape (n_clips,) or None
            Frames per second stated in the ``.npz`` files: one number if all agree, None if
            no file states a rate, and otherwise one per clip, with NaN for unknown rates.
        files : list of str
            The entries of the column ``file``.
        metadata : DataFrame of n_clips rows
            The other columns with a name, for example for ``summarize(by="sex")``. A column
            contains numbers if all its entries are numbers or empty, and otherwise str.
        name : str
            The folder's name.
        DESCR : str
            Number of clips and subjects, folder and classes, in one sentence.

    Raises
    ------
    InvalidDataError
        If the folder, the table or the header of a clip is invalid. The message lists all
        problems of the rows and clips. A cell must not contain a line break, because the usual
        cause is a stray quote. Labels must differ in more than case, spaces and invisible
        characters, and so must subjects. Copies of a clip must have the same label and subject.
    InvalidClipError
        If the clips do not all have the same number of landmarks and dimensions.

    Notes
    -----
    This function reads only the header of each clip, and compares files of equal size to find
    copies. The coordinates are checked when an estimator reads the clip.

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
    >>> data.clips
    2 clips, 478 landmarks, unknown fps, 2 subjects, 60–70 frames
    """
    return load_all_clips(folder, {})


def find_sources(
    folder: str | os.PathLike, is_source: Callable[[Path], bool], *, skip_absent: bool = False
) -> list[Path]:
    """Return the videos and tables listed in labels.csv; check its rows if there are any."""
    folder = Path(folder)
    table = _read_table(folder, {})
    table["is_source"] = [is_source(path) for path in table["path"]]
    sources = table["path"][table["is_source"]].tolist()
    if skip_absent:
        table = table[[os.path.isfile(path) for path in table["path"]]]
    if sources and not table.empty:
        _check_table(folder, table, {})
    return sources


def load_all_clips(folder: str | os.PathLike, extracted: Mapping[Path, Path]) -> ClipBunch:
    """Load a folder like `load_clips`, with the clips extracted from videos and tables."""
    folder = Path(folder)
    table = _read_table(folder, extracted)
    found: _Found = {}
    problems = []
    for row, path, clip in _clip_files(table):
        if not os.path.isfile(clip):
            continue
        try:
            found[row] = clip, read_facts(clip, f"The clip {printable(path.name)}")
        except InvalidClipError as error:
            problems.append(str(error).rstrip("."))
    return _label_clips(folder, table, found, problems)


def load_usable_clips(
    folder: str | os.PathLike,
    extracted: Mapping[Path, Path | None],
    check: Callable[[ClipSequence], object],
    failures: list[tuple[Path, Exception]] | None,
) -> ClipBunch | None:
    """Like `load_all_clips`, but skip failed sources and list failed clips; None if all fail."""
    folder = Path(folder)
    table = _read_table(folder, extracted)
    table = table[table["clip"].notna()]
    found: _Found = {}
    failed = []
    files = _clip_files(table)
    names = [clip_name(index, path) for index, (_, path, _) in enumerate(files)]
    reads = read_files([clip for *_, clip in files], names)
    for (row, path, _), read in zip(files, reads, strict=True):
        try:
            if isinstance(read, Exception):
                raise read
            item, facts = read
            check(gather_clips([item], [facts._replace(is_uneven=False)], files=[path]))
            found[row] = read
        except (ValueError, OSError) as error:
            if failures is None:
                raise
            failures.append((path, error))
            failed.append(row)
    table = table.drop(index=failed)
    return None if table.empty else _label_clips(folder, table, found)


def describe_problem(rule: str, culprits: Iterable[object]) -> str:
    """Insert an abridged list of culprits into a rule; {are} and {have} match their number."""
    culprits = list(culprits)
    are, have = ("is", "has") if len(culprits) == 1 else ("are", "have")
    return rule.format(abridge(culprits), are=are, have=have) if culprits else ""


def _clip_files(table: pd.DataFrame) -> list[tuple[Any, Path, Path]]:
    """Return (row, file, clip) for each row that lists a clip or a file with an extracted clip."""
    rows = zip(table.index, table["path"], table["clip"], strict=True)
    return [row for row in rows if row[-1].suffix.lower() in _SUFFIXES]


def _label_clips(
    folder: Path, table: pd.DataFrame, found: _Found, unreadable: Sequence[str] = ()
) -> ClipBunch:
    """Return the labelled clips of a table; raise if a row or a file is invalid."""
    _check_table(folder, table, found, unreadable)
    target, groups = _parse_labels(table["label"]), table["subject"].to_numpy(dtype=str)
    items, stated = zip(*(found[row] for row in table.index), strict=True)
    # The extraction has already warned about videos with unevenly spaced frames.
    facts = [
        each._replace(is_uneven=each.is_uneven and not is_source)
        for each, is_source in zip(stated, table["is_source"], strict=True)
    ]
    clips = gather_clips(items, facts, files=table["path"].tolist()).replace(subjects=groups)
    name = folder.resolve().name
    return ClipBunch(
        clips=clips,
        target=target,
        groups=groups,
        fps=common_rate(clips.fps),
        files=table["file"].tolist(),
        metadata=_collect_metadata(table),
        name=name,
        DESCR=(
            f"{count(len(clips), 'labelled clip')} of "
            f"{count(len(np.unique(groups)), 'subject')} from the folder "
            f"{name}, classes {', '.join(map(str, np.unique(target)))}."
        ),
    )


def _read_table(folder: Path, extracted: Mapping[Path, Path | None]) -> pd.DataFrame:
    """Read labels.csv as stripped text, and add the paths of each row's file and clip."""
    path = folder / LABELS_FILE
    shown = printable(path)
    if not folder.is_dir():
        raise InvalidDataError(f"There is no folder {str(folder)!r}. Check the path.")
    if not path.is_file():
        raise InvalidDataError(
            f"The folder {str(folder)!r} has no {LABELS_FILE}. Create this table with the columns "
            f"{', '.join(_COLUMNS)} and one row per clip."
        )
    try:
        # With header=None, pandas neither renames columns nor uses one as the index.
        table = pd.read_csv(
            path, header=None, dtype=str, keep_default_na=False, encoding="utf-8-sig"
        )
    except (ValueError, OSError) as error:
        raise InvalidDataError(
            f"{shown} cannot be read ({printable(str(error).strip())}). It must be "
            "comma-separated UTF-8 text with no row longer than the header. Save it in this "
            "format."
        ) from error
    header = table.iloc[0].fillna("").str.strip().tolist()
    missing = [name for name in _COLUMNS if header.count(name) != 1]
    if missing:
        raise InvalidDataError(
            f"{shown} has the columns {abridge(header)}, but needs each of {', '.join(_COLUMNS)} "
            f"exactly once, separated by commas. Correct the {plural(len(missing), 'column')} "
            f"{', '.join(missing)} in the header."
        )
    others = [name for name in header if name and name not in _COLUMNS]
    twice = sorted({name for name in others if others.count(name) > 1})
    if twice:
        raise InvalidDataError(
            f"{shown} has more than one column {printable(repr(twice[0]))}. Rename or delete one."
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
    files = [file.replace("\\", "/") for file in table["file"]]
    paths = [folder / file for file in files]
    metadata = table[others].add_prefix(_METADATA)
    return pd.concat([table[list(_COLUMNS)], metadata], axis=1).assign(
        file=files,
        path=paths,
        clip=[extracted.get(path, path) for path in paths],
        is_source=[path in extracted for path in paths],
    )


def _check_table(
    folder: Path, table: pd.DataFrame, found: _Found, unreadable: Sequence[str] = ()
) -> None:
    """Raise if rows of the table break a rule or clips cannot be read."""
    problems = [*_find_problems(folder, table, found), *unreadable]
    if problems:
        raise InvalidDataError(
            f"{printable(folder / LABELS_FILE)} cannot be used: {'; '.join(problems)}. "
            "Correct the table or the files."
        )


def _find_problems(folder: Path, table: pd.DataFrame, found: _Found) -> list[str]:
    """Describe every rule that rows of the table break."""
    line = table.index + 1
    files = table["file"].map(os.path.normpath)
    outside = files.map(lambda file: os.path.isabs(file) or file.split(os.sep)[0] == os.pardir)
    named = table["file"] != ""
    clip = table["is_source"] | files.map(lambda file: Path(file).suffix.lower() in _SUFFIXES)
    usable = named & ~outside & clip
    absent = usable & ~files.map(lambda file: os.path.isfile(folder / file))
    present = usable & ~absent
    identities = files.copy()  # because of links, one file can have several names
    for row in files.index[present]:
        status = os.stat(folder / files[row])
        identities[row] = f"{status.st_dev} {status.st_ino}"
    twice = named & identities.duplicated()
    problems = [
        describe_problem(
            f"{column} is empty in {{}}", [f"line {n}" for n in line[table[column] == ""]]
        )
        for column in _COLUMNS
    ]
    problems += [
        describe_problem("{} {are} outside the folder", table["file"][named & outside]),
        describe_problem(
            "{} {are} not in .npy or .npz format (extract the landmarks of videos first, with "
            "smilefusion landmarks or FaceMeshExtractor, or read tables of other tools with "
            "smilefusion.readers.read_clips)",
            table["file"][named & ~outside & ~clip],
        ),
        describe_problem("{} {are} missing", table["file"][absent]),
        describe_problem("{} {are} listed twice", table["file"][twice]),
    ]
    problems += _find_spellings(table) + _find_copies(table[present & ~twice], found)
    labels = table["label"][table["label"] != ""].unique()
    if len(labels) == 1:
        problems.append(
            f"all clips have the label {printable(repr(labels[0]))}, but two labels are needed"
        )
    return [problem for problem in problems if problem]


def _find_spellings(table: pd.DataFrame) -> list[str]:
    """Describe labels and subjects that look the same but are not."""
    problems = []
    for column in ("label", "subject"):
        texts = table[column].drop_duplicates()
        for _, alike in texts.groupby(texts.map(_normalise)):
            if len(alike) > 1:
                named = [
                    f"{text!r} (line {n})" for n, text in zip(alike.index + 1, alike, strict=True)
                ]
                problems.append(
                    f"the {column}s {abridge(named)} differ only in case, spaces or invisible "
                    "characters"
                )
    return problems


def _normalise(text: str) -> str:
    """Fold the case of a text, and remove spaces and invisible characters."""
    text = unicodedata.normalize("NFKC", text).casefold()
    return "".join(c for c in text if not c.isspace() and unicodedata.category(c) != "Cf")


def _find_copies(table: pd.DataFrame, found: _Found) -> list[str]:
    """Describe clips or their sources with identical content but different labels or subjects."""
    is_readable = table["is_source"] | table.index.isin(list(found))
    sizes = table["path"].map(os.path.getsize)
    table = table[sizes.duplicated(keep=False) & is_readable]
    digests = [
        file_digest(path) if is_source else _digest_content(*found[row])
        for row, path, is_source in zip(
            table.index, table["path"], table["is_source"], strict=True
        )
    ]
    problems = []
    for _, copies in table.groupby(digests):
        if len(copies[["label", "subject"]].drop_duplicates()) > 1:
            lines = zip(copies.index + 1, copies["file"], strict=True)
            named = [f"{file} (line {n})" for n, file in lines]
            problems.append(
                f"{abridge(named)} contain the same clip but have different labels or subjects"
            )
    return problems


def _digest_content(item: Any, facts: Facts) -> str:
    """Return the digest of a clip's file, or of its coordinates if they are in memory."""
    if isinstance(item, Path):
        return file_digest(item)
    return hashlib.sha256(np.ascontiguousarray(item.clip).data).hexdigest()


def _collect_metadata(table: pd.DataFrame) -> pd.DataFrame:
    """Return the columns of a table that the user added."""
    names = [name for name in map(str, table) if name.startswith(_METADATA)]
    metadata = table[names].reset_index(drop=True).apply(_parse_numbers)
    return metadata.rename(columns=lambda name: name.removeprefix(_METADATA))


def _parse_numbers(texts: pd.Series) -> pd.Series:
    """Return numbers if all entries are numbers or empty; a code such as 007 is not a number."""
    filled = texts[texts != ""]
    if filled.empty or not filled.str.fullmatch(r"[+-]?(0|[1-9]\d*)(\.\d+)?").all():
        return texts
    return pd.to_numeric(texts.where(texts != ""))


def _parse_labels(labels: pd.Series) -> np.ndarray:
    """Return labels as int if all are whole numbers, else as str."""
    if labels.str.fullmatch(r"[+-]?\d{1,9}").all():
        return labels.astype(int).to_numpy()
    return labels.to_numpy(dtype=str)
