"""Alter the files that readers read, at random: each must be refused in words, or be harmless.

Run ``python benchmarks/fuzz_readers.py --seconds 300``. Clips, labels.csv, published label files,
tables of OpenFace and MediaPipe, and results folders are made valid and small, then altered
in their bytes, as damage does, or in what they hold, as people and scripts do. A reader must give
a valid result or one of the package's own errors, in a printable message of bounded length. It
must not warn in another's name, write outside of what it is for, start a process, open a
connection or read a pickle (Python's audit events tell), take more than ``--slow`` seconds of the
processor, hang, or ask for more than ``--memory`` MiB. What is read now lies in the folder of
temporary files, so that a crash leaves its cause; the files of every find are kept and printed.
Model files have a test of their own, tests/test_fuzzed_model_files.py.
"""

import argparse
import csv
import faulthandler
import io
import json
import os
import random
import resource
import shutil
import signal
import sys
import tempfile
import time
import traceback
import warnings
import zipfile
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from sklearn.dummy import DummyClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.utils import Bunch

from smilefusion.benchmark import load_results, run_benchmark
from smilefusion.clips import check_clips, read_clip, read_fps
from smilefusion.datasets import load_bbc, load_clips
from smilefusion.datasets.published import _readers
from smilefusion.datasets.published._folds import PublishedSet
from smilefusion.exceptions import SmileFusionError, SmileFusionWarning
from smilefusion.inspection import write_report
from smilefusion.readers import read_mediapipe_csv, read_openface_csv

_N_HANG_SECONDS = 30
_MOST_CHARACTERS = 20_000  # of a message
_FORBIDDEN = ("os.system", "os.exec", "subprocess.Popen", "socket.connect", "pickle.find_class")
_CHANGES = ("os.mkdir", "os.remove", "os.rename", "os.rmdir", "os.link", "os.symlink", "os.chmod")
_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
_TEXTS = (
    *(
        "",
        " ",
        "nan",
        "inf",
        "-inf",
        "1e308",
        "1e400",
        "-1",
        "0",
        "1",
        "2",
        "1e300",
        "0x10",
        "1_0",
    ),
    *(
        "9007199254740993",
        "9" * 400,
        "9" * 5000,
        "True",
        "None",
        "1,2",
        'a"b',
        "a\nb",
        "a\rb",
        "é",
    ),
    *("../../etc/passwd", "/etc/passwd", "a.npy", "A.NPY", ".", "..", "a" * 5000, "a/" * 2000),
    *("\0", "\x1b[2J", "\u202e", "\ud800", "\U0001f600", "=1+1", "NA", "1e-320", "1970-01-01"),
)
_VALUES = (
    *(None, True, False, 0, 1, -1, 2, 2**31, 2**63, -(2**63), 10**30, 0.5, 1e308, float("nan")),
    *(float("inf"), [], {}, [0], [[]], {"a": 1}, [0] * 9, {"": ""}, *_TEXTS),
)
_DTYPES = (
    *("|O", "<U4", "<M8[s]", "<c8", "<f2", "<f16", ">f8", "|V8", "<i8", "|u1", "|b1", "foo"),
    *("<f0", "<U0", "|V0", "|S3", 5, None, [("a", "<f4")], [("a", "|O")], ("<f4", (2,))),
)
_SHAPES = (
    *((), (0,), (1,), (6, 20), (0, 20, 3), (6, 0, 3), (6, 20, 0), (6, 20, 4), (6, 20, 3, 1)),
    *((-1, 20, 3), (6, -20, 3), (True, 20, 3), (10**6, 20, 3), (10**12, 20, 3), (2**62, 2**62, 3)),
    *((2**64, 1, 2), (2**63, 0, 2), (10**4000, 1, 2), [6, 20, 3], (6.0, 20, 3), "abc", None),
)
_NESTS = ("[" * 100_000, "(" * 3000, "-" * 9000 + "1", '{"a":' * 50_000, "{1:" * 2000, "'", '"""')


class Hang(BaseException):
    """A reader takes too long."""


@dataclass(frozen=True)
class Target:
    """A reader: how its valid files are made, and how they are read and what is read checked."""

    make: callable
    read: callable
    weight: float = 1.0  # of its share of the time
    writes: bool = False  # whether it writes into its folder


# Valid files and what reads them.


def make_clips(folder):
    """Write clips in each form, of fractions and of isotropic units."""
    clip = np.random.default_rng(0).uniform(0.3, 0.7, (6, 20, 3)).astype(np.float32)
    clip[2] = np.nan
    np.save(folder / "a.npy", clip)
    np.save(folder / "b.npy", np.asfortranarray(clip, dtype=np.float64))
    size = {"width": 64, "height": 48, "sar": 1.5, "fps": 25.0, "model_sha256": "ab" * 32}
    np.savez(folder / "c.npz", landmarks=clip, **size)
    np.savez_compressed(folder / "d.npz", landmarks=clip)


def read_clips(folder):
    """Read each clip on its own and all together."""
    refusals = []
    for path in sorted(folder.iterdir()):
        for read in (read_clip, read_fps, lambda path: check_clips([path])[0]):
            try:
                _check_clip(read(path))
            except SmileFusionError as error:
                refusals.append(error)
    if refusals:
        raise refusals[0]
    paths = sorted(folder.iterdir())
    assert len(check_clips(paths)) == len(paths)


def _check_clip(clip):
    """Check that what was read is a clip, a frame rate or nothing."""
    if clip is None or isinstance(clip, float):
        assert clip is None or 0 < clip < np.inf
        return
    assert clip.ndim == 3
    assert clip.shape[2] in (2, 3)
    assert clip.dtype in (np.float32, np.float64)
    assert np.isfinite(clip).any()


def make_labels(folder):
    """Write labels.csv and its clips."""
    make_clips(folder)
    rows = "a.npy,posed,anna\nb.npy,spontaneous,anna\nc.npz,posed,ben\nd.npz,spontaneous,eve\n"
    (folder / "labels.csv").write_text(f"file,label,subject\n{rows}")


def read_labels(folder):
    """Load a folder of labelled clips."""
    data = load_clips(folder)
    n_clips = len(data.clips)
    assert n_clips >= 2
    assert data.target.shape == data.groups.shape == (n_clips,)
    assert len(np.unique(data.target)) > 1
    assert all(folder.resolve() in path.resolve().parents for path in data.clips)


def make_published(folder):
    """Write a data set of four clips in two folds in the published layout."""
    labels = {"one": 0, "two": 1, "three": 0, "four": 1}
    (folder / "npy").mkdir()
    for name in labels:
        np.save(folder / "npy" / f"{name}.mp4.npy", np.full((2, 478, 3), 0.5, dtype=np.float32))
    for fold, tested in ((1, ("one", "two")), (2, ("three", "four"))):
        parts = {"test": tested, "train": sorted(labels.keys() - set(tested))}
        (folder / "labels" / f"{fold}").mkdir(parents=True)
        for part, names in parts.items():
            text = json.dumps({name: labels[name] for name in names})
            (folder / "labels" / f"{fold}" / f"{part}.json").write_text(text)


def read_published(folder):
    """Load the published data set."""
    _readers.BBC = PublishedSet("Small", (2, 2), (2, 2), "the authors", "A fake.")
    data = load_bbc(folder)
    assert [len(test) for _, test in data.folds.split(data.clips)] == [2, 2]
    for clip in data.clips:
        _check_clip(clip)


def make_openface(folder):
    """Write a table of OpenFace."""
    points = np.random.default_rng(0).uniform(200, 300, (6, 136)).round(1)
    names = [f"{axis}_{point}" for axis in "xy" for point in range(68)]
    rows = [[i + 1, 0, i / 25, 0.98, 1, *row] for i, row in enumerate(points)]
    head = ["frame", "face_id", "timestamp", "confidence", "success"]
    _write_table(folder / "face.csv", [*head, *names], rows)


def make_wide(folder):
    """Write a wide table of MediaPipe."""
    points = np.random.default_rng(0).uniform(0.3, 0.7, (3, 478 * 3)).round(3)
    names = [f"{axis}_{point}" for point in range(478) for axis in "xyz"]
    rows = [[i, 40 * i, *row] for i, row in enumerate(points)]
    _write_table(folder / "wide.csv", ["frame", "timestamp_ms", *names], rows)


def make_long(folder):
    """Write a long table of MediaPipe."""
    points = np.random.default_rng(0).uniform(0.3, 0.7, (2, 478, 3)).round(3)
    rows = [[i, i / 25, j, *row] for i, face in enumerate(points) for j, row in enumerate(face)]
    _write_table(folder / "long.csv", ["frame", "time", "landmark", *"xyz"], rows)


def _write_table(path, header, rows):
    """Write a CSV file."""
    with path.open("w", newline="", encoding="utf-8") as stream:
        csv.writer(stream).writerows([header, *rows])


def read_table(read, **settings):
    """Return a function that reads the one table of a folder."""

    def read_folder(folder):
        (path,) = folder.iterdir()
        data = read(path, **settings)
        _check_clip(data.clip)
        assert data.fps is None or data.timestamps_s.shape == (len(data.clip),)

    return read_folder


class Failing(DummyClassifier):
    """Fail to fit."""

    def fit(self, X, y):
        """Raise an error."""
        raise ArithmeticError("as it must")


def _run(folder):
    """Run a small benchmark that stores its cells."""
    rng = np.random.default_rng(0)
    target = np.arange(16) % 2
    X = rng.normal(size=(16, 2)) + target[:, None]
    data = Bunch(clips=X, target=target, groups=np.arange(16) // 2, name="toy")
    models = {"prior": DummyClassifier(), "line": LogisticRegression(), "broken": Failing()}
    return run_benchmark(models, data, cv=2, results=folder, on_error="warn")


def make_results(folder):
    """Make a folder of results, one estimator of three having failed."""
    _run(folder)


def read_results(folder):
    """Load the results and check what they are."""
    predictions = load_results(folder)
    assert set(predictions["dataset"]) == {"toy"}
    assert predictions["position" if "position" in predictions else "clip"].notna().all()


def resume_run(folder):
    """Go on with the run of the folder."""
    assert len(_run(folder)) == 48


def report_results(folder):
    """Write the report of a folder; nothing must be left of a refused one."""
    try:
        write_report(folder, n_resamples=20)
    except SmileFusionError:
        assert {path.name for path in folder.iterdir()} == {"cells"}
        raise


TARGETS = {
    "clips": Target(make_clips, read_clips, 1.5),
    "labels.csv": Target(make_labels, read_labels),
    "published": Target(make_published, read_published),
    "openface": Target(make_openface, read_table(read_openface_csv)),
    "mediapipe wide": Target(make_wide, read_table(read_mediapipe_csv, width=64, height=48)),
    "mediapipe long": Target(make_long, read_table(read_mediapipe_csv, width=64, height=48)),
    "load_results": Target(make_results, read_results),
    "run_benchmark": Target(make_results, resume_run, 1.0, writes=True),
    "write_report": Target(make_results, report_results, 1.5, writes=True),
}


# Alterations.


def alter(files, chance):
    """Return {name: bytes} of altered files."""
    altered = dict(files)
    for _ in range(chance.choice((1, 1, 1, 2))):
        name = chance.choice(sorted(altered))
        # One table among many clips or cells shall not be left alone.
        if chance.random() < 0.5:
            name = chance.choice([n for n in altered if n.endswith((".csv", ".json"))] or [name])
        change = _CHANGE_OF.get(Path(name).suffix)
        if change is not None and chance.random() < 0.6:
            try:
                altered[name] = change(altered[name], chance)
                continue
            except Exception:  # altered before so that its parts are not found any more
                pass
        if chance.random() < 0.05:
            altered[name] = altered[chance.choice(sorted(altered))]
        elif chance.random() < 0.03 and len(altered) > 1:
            del altered[name]
        else:
            altered[name] = alter_bytes(altered[name], chance)
    return altered


def alter_bytes(content, chance):
    """Return a file with bytes flipped, cut, put in, doubled, zeroed or spliced."""
    altered = bytearray(content)
    for _ in range(chance.choice((1, 1, 2, 5))):
        if not altered:
            break
        # Half of the changes fall on the head, where the headers are.
        far = chance.random() < 0.5
        place = chance.randrange(len(altered) if far else min(len(altered), 200))
        length = chance.choice((1, 2, 8, 100, 1000))
        kind = chance.randrange(8)
        if kind == 0:
            altered[place] ^= 1 << chance.randrange(8)
        elif kind == 1:
            altered[place] = chance.choice((0, 10, 13, 34, 44, 255, chance.randrange(256)))
        elif kind == 2:
            del altered[place : place + length]
        elif kind == 3:
            altered[place:place] = chance.randbytes(min(length, 8))
        elif kind == 4:
            altered[place:place] = altered[place : place + length]
        elif kind == 5:
            altered[place : place + length] = bytes(min(length, len(altered) - place))
        elif kind == 6:
            other = chance.randrange(len(altered))
            altered[place:place] = altered[other : other + length]
        else:
            del altered[place:]
    return bytes(altered)


def alter_json(content, chance):
    """Return JSON with entries of other names, types and values, or nested too deep."""
    if chance.random() < 0.05:
        return chance.choice(_NESTS).encode()
    holder = [json.loads(content)]
    for _ in range(chance.choice((1, 1, 2))):
        _alter_entry(holder, chance)
    text = json.dumps(holder[0] if holder else None)
    if chance.random() < 0.1:
        number = chance.choice(("9" * 5000, "1e999", "-0", "[" * 5000 + "]" * 5000, "01"))
        text = text.replace(chance.choice(("0", "1", '"', "null")), number, 1)
    if chance.random() < 0.05 and text.startswith("{"):
        text = text[:-1] + "," + text[1:]  # each key twice
    return text.encode()


def _alter_entry(value, chance):
    """Change one entry of nested JSON in place."""
    places = list(_places(value))
    holder, key = chance.choice(places) if places else (value, 0)
    kind = chance.randrange(5)
    if kind == 0 and isinstance(holder, dict):
        other = chance.choice([*holder, *_TEXTS])
        holder[other] = holder.pop(key)
    elif kind == 1 and len(holder):
        del holder[key]
    elif kind == 2:
        other, other_key = chance.choice(places)
        holder[key] = json.loads(json.dumps(other[other_key]))
    else:
        holder[key] = chance.choice(_VALUES)


def _places(value):
    """Yield each list or dict of nested JSON with each of its keys."""
    for key in list(value) if isinstance(value, dict) else range(len(value)):
        yield value, key
        if isinstance(value[key], (list, dict)):
            yield from _places(value[key])


def alter_table(content, chance):
    """Return a CSV file with other cells, columns, rows or encoding."""
    rows = list(csv.reader(io.StringIO(content.decode(), newline="")))
    for _ in range(chance.choice((1, 1, 2, 4))):
        _alter_rows(rows, chance)
    stream = io.StringIO(newline="")
    delimiter, end = chance.choice("," * 9 + ";\t "), chance.choice(("\n", "\r\n", "\r"))
    csv.writer(stream, delimiter=delimiter, lineterminator=end, escapechar="\\").writerows(rows)
    encoding = chance.choice((*["utf-8"] * 9, "utf-8-sig", "utf-16", "latin-1"))
    return stream.getvalue().encode(
        encoding, errors="surrogatepass" if "utf" in encoding else "replace"
    )


def _alter_rows(rows, chance):
    """Change cells, columns or rows of a table in place."""
    row = chance.choice(rows[:3] + rows) if rows else []
    kind = chance.randrange(10)
    if kind < 3 and row:
        row[chance.randrange(min(len(row), chance.choice((6, 10**6))))] = chance.choice(_TEXTS)
    elif kind == 3 and row:
        _alter_column(rows, chance.randrange(min(len(row), chance.choice((6, 10**6)))), chance)
    elif kind == 4 and row:
        row[chance.randrange(len(row)) :] = []
    elif kind == 5:
        row[len(row) :] = [chance.choice(_TEXTS)] * chance.choice((1, 2, 50))
    elif kind == 6 and rows:
        rows.insert(chance.randrange(len(rows)), list(row))
    elif kind == 7 and rows:
        del rows[chance.randrange(len(rows)) :][: chance.choice((1, None))]
        rows[:] = rows[: chance.choice((0, 1, 2, len(rows)))]
    elif kind == 8:
        chance.shuffle(rows)
    elif rows and rows[0]:
        other = chance.choice(rows[0])
        wild = other.upper(), f" {other}", f"{other} ", f"{other}.1", f'"{other}"', "x_0 ", "0_x"
        rows[0][chance.randrange(len(rows[0]))] = chance.choice((other, *wild))


def _alter_column(rows, column, chance):
    """Take out, double, or fill one column of a table in place."""
    kind, text = chance.randrange(4), chance.choice(_TEXTS)
    for i, row in enumerate(rows):
        if column >= len(row):
            continue
        if kind == 0:
            del row[column]
        elif kind == 1:
            row.insert(column, row[column])
        elif kind == 2 and i:
            row[column] = text
        elif i:
            row[column] = chance.choice(_TEXTS)


def alter_array(content, chance):
    """Return a .npy file with another header, or with other values."""
    kind = chance.randrange(4)
    if kind == 0:
        values = chance.choice((np.nan, np.inf, 1e38, 1e300, 0, -1))
        array = np.load(io.BytesIO(content), allow_pickle=False).astype(np.float64)
        array.reshape(-1)[chance.randrange(array.size) :][: chance.choice((1, 60, 10**6))] = values
        return _save(array.astype(chance.choice(("f8", "f4", "f2", "i4"))))
    if kind == 1:
        odd = (
            np.array(["a"]),
            np.array([None, {}]),
            np.array(3),
            np.zeros((0, 4, 3)),
            np.zeros(9),
        )
        return _save(chance.choice(odd))
    version = chance.choice((1, 1, 1, 2, 3, 0, 255))
    fields = {"descr": "<f4", "fortran_order": False, "shape": (6, 20, 3)}
    for _ in range(chance.choice((1, 1, 2))):
        choices = {"descr": _DTYPES, "fortran_order": (True, None, 1, "x"), "shape": _SHAPES}
        key = chance.choice(sorted(fields))
        fields[key] = chance.choice(choices[key])
    text = repr(fields)
    if chance.random() < 0.3:
        text = chance.choice((*_NESTS, text[:-1], text[1:], "{}", "", "{1: 2}", text + text))
    text = f"{text:<64}\n".encode()
    size = (
        len(text).to_bytes(2 if version == 1 else 4, "little")
        if len(text) < 2**16
        else b"\xff" * 4
    )
    return b"\x93NUMPY" + bytes((version, 0)) + size + text + content[-1440:]


def _save(array):
    """Return an array as a .npy file."""
    stream = io.BytesIO()
    np.save(stream, array, allow_pickle=True)
    return stream.getvalue()


def alter_archive(content, chance):
    """Return a .npz file with other members, names, arrays or zip records."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    name = chance.choice(["landmarks.npy", *members])
    kind = chance.randrange(7)
    if kind == 0:
        del members[name]
    elif kind == 1:
        members[chance.choice(("../../a.npy", "/a.npy", "fps.npy", "width.npy", "a\0b"))] = content
    elif kind == 2:
        members[name] = chance.choice((content, b"", b"PK\x03\x04", members["landmarks.npy"]))
    elif kind == 3:
        odd = (
            np.array("x" * 100),
            np.array(-1.0),
            np.array(np.inf),
            np.array(0),
            np.array([25.0]),
        )
        odd += (
            np.array(None),
            np.zeros(10**6),
            np.array(1 + 1j),
            np.array(10**18),
            np.array(True),
        )
        members[chance.choice(("fps.npy", "width.npy", "sar.npy", "model_sha256.npy"))] = _save(
            chance.choice(odd)
        )
    elif kind == 4:
        members[name] = alter_bytes(members[name], chance)
    else:
        members[name] = alter_array(members[name], chance)
    stream = io.BytesIO()
    method = chance.choice((zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2))
    method = chance.choice((method, zipfile.ZIP_LZMA))
    with zipfile.ZipFile(stream, "w", method) as archive:
        for each, data in members.items():
            archive.writestr(each, data)
    return _alter_records(bytearray(stream.getvalue()), chance)


def _alter_records(content, chance):
    """Change a flag, a method or a size in the records of a zip."""
    if chance.random() < 0.3:
        mark = chance.choice((b"PK\x01\x02", b"PK\x03\x04", b"PK\x05\x06"))
        place = content.find(mark) + chance.randrange(4, 46)
        if place < len(content):
            content[place] = chance.choice((0, 1, 8, 99, 255))
    return bytes(content)


_CHANGE_OF = {
    ".json": alter_json,
    ".csv": alter_table,
    ".npy": alter_array,
    ".npz": alter_archive,
}


# Running.


class Watch:
    """What Python's audit events tell of while files are read."""

    def __init__(self):
        self.active, self.allowed, self.events = False, None, []
        sys.addaudithook(self._note)

    def start(self, allowed):
        """Watch from now on; changes below the folder `allowed` may be made."""
        self.allowed, self.events, self.active = allowed, [], True

    def _note(self, event, arguments):
        if not self.active:
            return
        changes = event in _CHANGES or (event == "open" and (arguments[2] or 0) & _WRITING)
        own = changes and arguments[0] == "/proc/self/clear_refs"  # resets the peak of memory
        if event in _FORBIDDEN or (changes and not own and not self._is_inside(arguments[0])):
            self.events.append((event, str(arguments)[:200]))

    def _is_inside(self, path):
        """Whether a path lies below the folder that may be changed, or is a file's number."""
        if isinstance(path, int):
            return True
        return self.allowed is not None and str(path).startswith(f"{self.allowed}{os.sep}")


def run_once(target, folder, watch, slow):
    """Read a folder; return the outcome, and what is wrong where something is."""
    start, problem = time.process_time(), None
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        signal.alarm(_N_HANG_SECONDS)
        watch.start(str(folder) if target.writes else None)
        try:
            target.read(folder)
            outcome = "read"
        except SmileFusionError as error:
            outcome, problem = "refused", _problem_of(str(error))
        except BaseException as error:
            if isinstance(error, KeyboardInterrupt):
                raise
            place = traceback.extract_tb(error.__traceback__)[-1]
            where = f"{Path(place.filename).name}:{place.lineno}"
            outcome = "raised"
            problem = f"{type(error).__name__} at {where}: {str(error)[:200]!r}"
        finally:
            watch.active = False
            signal.alarm(0)
    seconds = time.process_time() - start
    foreign = [each for each in caught if not _is_expected(each)]
    if watch.events:
        problem = f"did {watch.events[0]}"
    elif seconds > slow:
        problem = f"took {seconds:.1f} s"
    elif foreign and problem is None:
        problem = f"warned {foreign[0].category.__name__}: {str(foreign[0].message)[:200]!r}"
    return outcome, problem


def _is_expected(warning):
    """Whether a warning is the package's own, or of the parsers that NumPy reads headers with."""
    parsers = str(warning.message).startswith(("Reading `.npy`", "invalid escape sequence"))
    return parsers or issubclass(warning.category, SmileFusionWarning)


def _problem_of(message):
    """Return what is wrong with the message of an error, None where nothing is."""
    if len(message) > _MOST_CHARACTERS:
        return f"a message of {len(message)} characters: {message[:100]!r}"
    odd = [character for character in message if not character.isprintable()]
    return f"a message not to be printed: {odd[0]!r} in {message[:300]!r}" if odd else None


def restore(folder, files):
    """Make a folder hold these files and no others."""
    for path in [path for path in folder.rglob("*") if path.is_file()]:
        if str(path.relative_to(folder)) not in files:
            path.unlink()
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if not path.is_file() or path.read_bytes() != content:
            path.write_bytes(content)


def run_target(name, seconds, chance, watch, arguments):
    """Fuzz one reader for some seconds; return outcomes and finds, each kind once."""
    target, counts, finds = TARGETS[name], Counter(), {}
    root = Path(tempfile.mkdtemp(prefix=f"fuzz-{name.replace(' ', '-')}-"))
    folder = root / "current"
    folder.mkdir()
    target.make(folder)
    paths = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    goods = {str(path.relative_to(folder)): path.read_bytes() for path in paths}
    target.read(folder)
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        restore(folder, alter(goods, chance))
        outcome, problem = run_once(target, folder, watch, arguments.slow)
        counts[outcome] += 1
        if problem:
            kind = problem.partition(": ")[0]
            if kind not in finds:
                shutil.copytree(folder, root / f"find-{len(finds)}")
                print(f"{name}: {problem} ({root / f'find-{len(finds)}'})", flush=True)
            finds[kind] = finds.get(kind, 0) + 1
    if not finds:
        shutil.rmtree(root)
    return counts, finds


def _hang(number, frame):
    raise Hang(f"more than {_N_HANG_SECONDS} s")


def _limit_memory(n_bytes):
    """Let this process ask for so many bytes beside what it has."""
    held = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (held + n_bytes, resource.RLIM_INFINITY))


def main():
    """Run for the time given and print what happened."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seconds", type=float, default=300)
    parser.add_argument("--slow", type=float, default=5)
    parser.add_argument("--memory", type=float, default=512)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--targets", nargs="*", default=[*TARGETS], choices=[*TARGETS])
    arguments = parser.parse_args()
    faulthandler.enable()
    signal.signal(signal.SIGALRM, _hang)
    watch, n_finds, n_runs = Watch(), 0, 0
    warnings.simplefilter("ignore")
    with tempfile.TemporaryDirectory() as name:  # what is imported late is imported before
        make_results(Path(name))
        report_results(Path(name))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    _limit_memory(int(arguments.memory * 2**20))
    weight = sum(TARGETS[name].weight for name in arguments.targets)
    for name in arguments.targets:
        seconds = arguments.seconds * TARGETS[name].weight / weight
        chance = random.Random(f"{arguments.seed} {name}")
        counts, finds = run_target(name, seconds, chance, watch, arguments)
        n_runs, n_finds = n_runs + counts.total(), n_finds + len(finds)
        told = ", ".join(f"{n} {outcome}" for outcome, n in sorted(counts.items()))
        print(
            f"{name:15} {counts.total():7} executions {seconds:6.1f} s  {len(finds)} finds "
            f"({sum(finds.values())} times)  {told}",
            flush=True,
        )
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    print(f"{n_runs} executions in {arguments.seconds:g} s, {n_finds} kinds of finds")
    print(f"the peak of the memory grew by {grown:.0f} MiB")
    return 1 if n_finds else 0


if __name__ == "__main__":
    sys.exit(main())
