"""Altered files and arbitrary arguments give valid results or the package's own errors."""

import io
import json
import warnings
import zipfile

import numpy as np
import pytest
from exports import as_text, mediapipe_json
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sklearn.dummy import DummyClassifier
from sklearn.utils import Bunch
from strategies import (
    altered,
    altered_json,
    altered_table,
    anything,
    arrays,
    clips,
)
from test_read_clips import CASES as EXPORTS

from smilefusion import DMarkerTransformer
from smilefusion.benchmark import load_results, run_benchmark
from smilefusion.clips import ClipSequence, check_clips, read_clip, read_fps
from smilefusion.datasets import load_bbc, load_clips
from smilefusion.datasets.published import _readers
from smilefusion.datasets.published._folds import PublishedSet
from smilefusion.exceptions import InvalidClipError, InvalidDataError, SmileFusionError
from smilefusion.inspection import write_report
from smilefusion.readers import read_clips, read_mediapipe_csv, read_openface_csv

quick = settings(
    max_examples=25,
    derandomize=True,
    deadline=None,
    database=None,
    suppress_health_check=list(HealthCheck),
)
CLIP = np.random.default_rng(0).uniform(0.3, 0.7, (4, 5, 3)).astype(np.float32)
LABELS = "file,label,subject\na.npy,0,anna\nb.npy,1,ben\n"


def npy(array):
    stream = io.BytesIO()
    np.save(stream, array)
    return stream.getvalue()


def npy_of_header(text):
    """A .npy file with this text as header and the values of a clip."""
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text.encode() + CLIP.tobytes()


def npz(**members):
    """A .npz file of arrays, or of the bytes of its members."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for name, member in members.items():
            data = member if isinstance(member, bytes) else npy(member)
            archive.writestr(f"{name}.npy", data)
    return stream.getvalue()


def csv_table(header, rows):
    return "\n".join(",".join(map(str, row)) for row in [header, *rows]).encode()


OPENFACE = csv_table(
    ["frame", "success", "timestamp", *(f"{axis}_{i}" for i in range(68) for axis in "xy")],
    [[i, 1, i / 25, *range(i, 136 + i)] for i in range(3)],
)
MEDIAPIPE = csv_table(
    ["frame", "landmark", "x", "y", "z"],
    [[0, i, i / 478, i / 956, 0.1] for i in range(478)],
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder that every example writes into anew."""
    return tmp_path_factory.mktemp("fuzzed")


@pytest.fixture
def results(tmp_path):
    """A folder of results of one estimator in two cells."""
    data = Bunch(clips=np.zeros((8, 1)), target=[0, 1] * 4, groups=np.arange(8), name="toy")
    run_benchmark({"prior": DummyClassifier()}, data, cv=2, results=tmp_path)
    return tmp_path


def refusal(call, *arguments, **settings):
    """Call; return the message of the package's own error, None where there is none."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            call(*arguments, **settings)
    except SmileFusionError as error:
        message = str(error)
    else:
        return None
    assert message.isprintable()
    return message


def write(folder, name, content):
    (folder / name).write_bytes(content)
    return folder / name


@quick
@given(altered(npy(CLIP)) | arrays().map(npy))
def test_altered_npy_is_read_or_refused(folder, content):
    path = write(folder, "a.npy", content)
    if refusal(read_clip, path) is None:
        assert read_clip(path).ndim == 3


@quick
@given(altered(npz(landmarks=CLIP, fps=25.0, width=64, height=48)))
def test_altered_npz_is_read_or_refused(folder, content):
    path = write(folder, "a.npz", content)
    refusal(read_clip, path)
    if refusal(read_fps, path) is None:
        assert read_fps(path) is None or read_fps(path) > 0


@quick
@given(altered(LABELS.encode()) | altered_table(LABELS.encode()))
def test_altered_labels_are_read_or_refused(folder, content):
    for name in ("a.npy", "b.npy"):
        write(folder, name, npy(CLIP))
    write(folder, "labels.csv", content)
    if refusal(load_clips, folder) is None:
        assert len(load_clips(folder).clips) == 2


@quick
@given(altered(b'{"one": 0, "two": 1}') | altered_json(b'{"one": 0, "two": 1}'))
def test_altered_folds_are_read_or_refused(folder, content):
    home = folder / "home"
    (home / "npy").mkdir(parents=True, exist_ok=True)
    (home / "labels" / "1").mkdir(parents=True, exist_ok=True)
    write(home, "labels/1/test.json", content)
    assert "respects" in refusal(load_bbc, home)


@quick
@given(altered(OPENFACE) | altered_table(OPENFACE))
def test_altered_openface_table_is_read_or_refused(folder, content):
    path = write(folder, "face.csv", content)
    if refusal(read_openface_csv, path) is None:
        assert read_openface_csv(path)[0].shape[1:] == (68, 2)


@quick
@given(altered(MEDIAPIPE) | altered_table(MEDIAPIPE))
def test_altered_mediapipe_table_is_read_or_refused(folder, content):
    path = write(folder, "face.csv", content)
    refusal(read_mediapipe_csv, path, width=64, height=48)


@quick
@given(st.data())
def test_altered_exports_are_read_or_refused(folder, data):
    _, make, clip, *_ = EXPORTS[data.draw(st.sampled_from(sorted(EXPORTS)))]
    content = as_text(make(clip[:3])).encode()
    path = write(folder, "export", data.draw(altered(content) | altered_table(content)))
    refusal(read_clips, path, image_size=(640, 360))


@quick
@given(
    altered(mediapipe_json(EXPORTS["MediaPipe"][2][:2]).encode())
    | altered_json(mediapipe_json(EXPORTS["MediaPipe"][2][:2]).encode())
)
def test_altered_json_of_mediapipe_is_read_or_refused(folder, content):
    path = write(folder, "export", content)
    refusal(read_clips, path, image_size=(640, 360))


@quick
@given(st.data())
def test_altered_results_are_loaded_or_refused(results, data):
    files = {path: path.read_bytes() for path in (results / "cells").iterdir()}
    path = data.draw(st.sampled_from(sorted(files)))
    by_structure = altered_json if path.suffix == ".json" else altered_table
    path.write_bytes(data.draw(altered(files[path]) | by_structure(files[path])))
    refusal(load_results, results)
    path.write_bytes(files[path])
    assert len(load_results(results)) == 8


@pytest.mark.parametrize(
    "header",
    [
        "{1:" * 2000,
        "-" * 9000 + "1",
        "'''",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (-4, 5, 3)}\n",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (0, 9223372036854775808, 3)}\n",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (4000000000000, 5, 3)}\n",
    ],
)
@pytest.mark.parametrize("suffix", [".npy", ".npz"])
def test_impossible_header_is_refused(tmp_path, header, suffix):
    content = npy_of_header(header)
    content = content if suffix == ".npy" else npz(landmarks=content)
    path = write(tmp_path, f"a{suffix}", content)
    with pytest.raises(InvalidClipError, match="must be a complete .npy or .npz file"):
        read_clip(path)


@pytest.mark.parametrize("member", [b"PK\3\4", npy_of_header("{1:" * 2000)])
def test_entry_that_is_no_array_is_refused(tmp_path, member):
    path = write(tmp_path, "a.npz", npz(landmarks=CLIP, fps=member))
    with pytest.raises(InvalidClipError, match="must be a complete .npy or .npz file"):
        read_fps(path)


def test_entry_that_declares_too_much_is_refused(tmp_path):
    header = "{'descr': '<f4', 'fortran_order': False, 'shape': (4000000000000,)}\n"
    path = write(tmp_path, "a.npz", npz(landmarks=CLIP, fps=npy_of_header(header)))
    with pytest.raises(InvalidClipError, match="the array 'fps' ends before its last entry"):
        read_fps(path)


@pytest.mark.parametrize(("place", "value"), [(6, 1), (8, 99)])
def test_encrypted_or_unknown_member_is_refused(tmp_path, place, value):
    content = bytearray(npz(landmarks=CLIP))
    for mark, shift in ((b"PK\1\2", 2), (b"PK\3\4", 0)):
        content[content.find(mark) + place + shift] = value
    path = write(tmp_path, "a.npz", bytes(content))
    with pytest.raises(InvalidClipError, match=r"encrypted|compression"):
        read_clip(path)


def test_very_large_coordinates_warn_of_nothing(tmp_path):
    path = write(tmp_path, "a.npz", npz(landmarks=np.full_like(CLIP, 3e38)))
    assert read_clip(path).max() > 1e38


def test_size_that_makes_coordinates_infinite_is_refused(tmp_path):
    members = {"landmarks": np.full_like(CLIP, 3e38), "width": 9, "height": 1}
    with pytest.raises(InvalidClipError, match="infinite coordinates in frame 0"):
        read_clip(write(tmp_path, "a.npz", npz(**members)))


@pytest.mark.parametrize(
    ("text", "match"),
    [
        (LABELS.replace("\na", "\nx,a").replace("\nb", "\nx,b"), "no row longer than the header"),
        (LABELS.replace("label", "file "), "label.* exactly once"),
        (LABELS.replace("subject", "subject,file"), "Correct the column file in the header"),
        (LABELS.replace("subject", "\x1b[2J"), r"label, \\x1b\[2J, but needs each"),
        (LABELS.replace("a.npy", f"{'a' * 5000}.npy"), r"a{500}… is missing"),
    ],
)
def test_labels_that_would_be_misread_are_refused(tmp_path, text, match):
    write(tmp_path, "b.npy", npy(CLIP))
    write(tmp_path, "labels.csv", text.encode())
    with pytest.raises(InvalidDataError, match=match) as caught:
        load_clips(tmp_path)
    assert str(caught.value).isprintable()


@pytest.mark.parametrize("cells", [["9" * 400], ["9" * 400, "a"], ["", "9" * 400]])
def test_number_that_no_float_holds_is_refused(tmp_path, cells):
    table = OPENFACE.decode().splitlines()
    for i, cell in enumerate(cells, start=1):
        table[i] = ",".join([*table[i].split(",")[:-1], cell])
    path = write(tmp_path, "face.csv", "\n".join(table).encode())
    with pytest.raises(InvalidClipError, match=r"infinite coordinates|contain a number"):
        read_openface_csv(path)


@pytest.mark.parametrize("name", ["a" * 5000, "f\x7fur", "\ud800"])
def test_fold_of_odd_names_is_refused(tmp_path, monkeypatch, name):
    monkeypatch.setattr(_readers, "BBC", PublishedSet("Small", (1, 1), (2,), "us", "A fake."))
    (tmp_path / "npy").mkdir()
    (tmp_path / "labels" / "1").mkdir(parents=True)
    write(tmp_path, "labels/1/test.json", json.dumps({name: 0, "b": 1}).encode())
    write(tmp_path, "labels/1/train.json", b"{}")
    assert "are absent" in refusal(load_bbc, tmp_path)


@pytest.mark.parametrize(
    "changes",
    [
        {"rank": "first"},
        {"cell": {}},
        {"figures": []},
        {"columns": {}},
        {"rows": ""},
        {"predictions": 1},
        {"machine": {}},
    ],
)
def test_changed_record_is_refused(results, changes):
    path = next(results.glob("cells/*.json"))
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))
    for read in (load_results, write_report):
        with pytest.raises(InvalidDataError, match=f"{path.name} (is not a valid|was changed)"):
            read(results)
    assert not (results / "report.html").exists()


def test_record_under_another_name_is_refused(results):
    first, second = results.glob("cells/*.json")
    second.write_bytes(first.read_bytes())
    with pytest.raises(InvalidDataError, match="was changed or renamed"):
        load_results(results)


def test_record_nested_too_deep_is_refused(results):
    next(results.glob("cells/*.json")).write_bytes(b"[" * 100_000)
    with pytest.raises(InvalidDataError, match="is not a valid record of a cell"):
        load_results(results)


@quick
@given(arrays() | anything | st.lists(arrays(), max_size=3))
def test_any_clips_are_checked_or_refused(X):
    if refusal(check_clips, X) is None:
        assert all(clip.ndim == 3 for clip in check_clips(X))


@quick
@given(st.lists(clips(), min_size=1, max_size=2))
def test_valid_clips_give_dmarkers_or_are_refused(X):
    assert isinstance(check_clips(X), ClipSequence)
    transformer = DMarkerTransformer()
    if refusal(transformer.fit_transform, X) is None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            assert np.isfinite(transformer.transform(X)).all()
