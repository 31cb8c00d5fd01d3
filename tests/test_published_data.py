import json
import os
import shutil

import numpy as np
import pandas as pd
import pytest
from sklearn.dummy import DummyClassifier

from smilefusion.benchmark import run_benchmark
from smilefusion.datasets import PublishedFolds, load_bbc, load_mmi, load_spos, load_uva_nemo
from smilefusion.datasets.published import _readers
from smilefusion.datasets.published._folds import PublishedSet
from smilefusion.exceptions import InvalidDataError

# Classes, fold sizes and subjects as counted in the published label files.
PUBLISHED = {
    "uva-nemo": (load_uva_nemo, 643, 597, (124, 126, 125, 127, 125, 125, 124, 125, 114, 125), 400),
    "mmi": (load_mmi, 46, 138, (38, 26, 25, 22, 20, 17, 13, 12, 11), None),
    "spos": (load_spos, 14, 66, (14, 9, 13, 8, 17, 7, 12), 7),
    "bbc": (load_bbc, 10, 10, (2,) * 10, None),
}

# A data set of three subjects, laid out and named as SPOS; every fold tests one of them.
SMALL = {
    1: {"posed_ann-1": 0, "spontaneous_ann-1": 1},
    2: {"posed_bob-1": 0, "spontaneous_bob-2": 1},
    3: {"spontaneous_eve-7": 1},
}


def write_labels(home, tests):
    """Write the label files of folds, {number: labels of the test part}."""
    everything = {name: label for labels in tests.values() for name, label in labels.items()}
    for fold, labels in tests.items():
        folder = home / "labels" / str(fold)
        folder.mkdir(parents=True)
        train = {name: label for name, label in everything.items() if name not in labels}
        (folder / "train.json").write_text(json.dumps(train))
        (folder / "test.json").write_text(json.dumps(labels))
    return everything


def write_arrays(home, names, clip=None):
    (home / "npy").mkdir()
    for name in names:
        np.save(array_file(home, name), np.full((2, 478, 3), 0.5) if clip is None else clip)


def array_file(home, name):
    return home / "npy" / f"{name}.mp4.npy"


def edit_labels(home, file, changes):
    """Change labels of a label file; None removes a video."""
    path = home / "labels" / file
    labels = json.loads(path.read_text()) | changes
    path.write_text(json.dumps({n: label for n, label in labels.items() if label is not None}))


def published_set(monkeypatch, tests, **known):
    """Have the reader of SPOS expect these folds."""
    labels = [label for part in tests.values() for label in part.values()]
    known = {
        "name": "Small",
        "class_sizes": (labels.count(0), labels.count(1)),
        "test_sizes": tuple(len(tests[fold]) for fold in sorted(tests)),
        "ask": "the authors",
        "subject": r"_([^-_]+)-",
        "n_subjects": 3,
        "description": "A fake.",
    } | known
    monkeypatch.setattr(_readers, "SPOS", PublishedSet(**known))


@pytest.fixture
def small(tmp_path, monkeypatch):
    """Folder of the small data set, which load_spos reads."""
    published_set(monkeypatch, SMALL)
    write_arrays(tmp_path, write_labels(tmp_path, SMALL))
    return tmp_path


@pytest.fixture(scope="session")
def real(shared, tmp_path_factory):
    """The four data sets: real label files, fake arrays of two frames."""
    sets = {}
    for key, (load, *_) in PUBLISHED.items():
        home = tmp_path_factory.mktemp(key)
        labels = home / "labels"
        shutil.copytree(shared / "splits" / key / "labels", labels, copy_function=shutil.copyfile)
        names = {
            name for file in labels.glob("*/test.json") for name in json.loads(file.read_text())
        }
        first, *others = sorted(names)
        write_arrays(home, [first], np.full((2, 478, 3), 0.5, dtype=np.float32))
        for name in others:
            os.link(array_file(home, first), array_file(home, name))
        sets[key] = load(home)
    return sets


def problems_of(home):
    with pytest.raises(InvalidDataError) as caught:
        load_spos(home)
    return str(caught.value)


@pytest.mark.parametrize("key", PUBLISHED)
def test_published_sets_have_their_sizes(real, key):
    data, (_, n_posed, n_spontaneous, sizes, _) = real[key], PUBLISHED[key]
    assert np.bincount(data.target).tolist() == [n_posed, n_spontaneous]
    assert tuple(len(test) for _, test in data.folds.split(data.clips)) == sizes
    assert f"{n_posed} posed (0) and {n_spontaneous} spontaneous" in data.DESCR
    assert "ask the" in data.DESCR
    assert "https://" in data.DESCR


@pytest.mark.parametrize("key", PUBLISHED)
def test_published_folds_are_those_of_the_label_files(real, shared, key):
    names = np.array(real[key].names)
    for fold, (train, test) in enumerate(real[key].folds.split(), start=1):
        for part, rows in (("train", train), ("test", test)):
            file = shared / "splits" / key / "labels" / str(fold) / f"{part}.json"
            expected = json.loads(file.read_text())
            assert dict(zip(names[rows], real[key].target[rows], strict=True)) == expected


@pytest.mark.parametrize("key", ["uva-nemo", "spos"])
def test_published_folds_share_no_subject(real, key):
    data = real[key]
    assert len(np.unique(data.groups)) == PUBLISHED[key][4]
    for train, test in data.folds.split():
        assert not set(data.groups[train]) & set(data.groups[test])


def test_published_subjects_are_those_of_the_names(real):
    assert set(real["uva-nemo"].groups) == {name[:3] for name in real["uva-nemo"].names}
    subjects = [set(real["spos"].groups[test]) for _, test in real["spos"].folds.split()]
    assert [len(each) for each in subjects] == [1] * 7
    assert set.union(*subjects) == {"tomas", "nelly", "riku", "yi", "ying", "rui", "xiaopeng"}


@pytest.mark.parametrize("key", ["mmi", "bbc"])
def test_published_groups_are_none_if_subjects_are_unknown(real, key):
    assert real[key].groups is None
    assert "Subjects: not part of the names" in real[key].DESCR
    with pytest.raises(InvalidDataError, match="has no groups"):
        run_benchmark({"prior": DummyClassifier()}, real[key], cv=real[key].folds)


@pytest.mark.parametrize(
    ("key", "aspect", "fps"),
    [("uva-nemo", 16 / 9, 50.0), ("spos", 4 / 3, 25.0), ("bbc", 314 / 286, 25.0)],
)
def test_published_clips_are_isotropic_with_one_frame_rate(real, key, aspect, fps):
    clip = real[key].clips[7]
    np.testing.assert_allclose(clip[1, 3], [0.5 * aspect, 0.5, 0.5 * aspect], rtol=1e-6)
    assert real[key].fps == fps


def test_mmi_classes_differ_in_camera(real):
    data = real["mmi"]
    widths = np.array([clip[0, 0, 0] / clip[0, 0, 1] for clip in data.clips])
    np.testing.assert_allclose(widths, np.where(data.target == 0, 720 / 576, 640 / 480), rtol=1e-6)
    np.testing.assert_array_equal(data.fps, np.where(data.target == 0, 25, 29))


def test_mmi_takes_other_cameras(tmp_path, monkeypatch):
    published_set(monkeypatch, SMALL)
    monkeypatch.setattr(_readers, "MMI", _readers.SPOS)
    write_arrays(tmp_path, write_labels(tmp_path, SMALL))
    data = load_mmi(tmp_path, posed_camera=(768, 576, 24), spontaneous_camera=(10, 10, 24))
    assert data.fps == 24.0
    assert [clip[0, 0, 0] for clip in data.clips] == [2 / 3, 2 / 3, 0.5, 0.5, 0.5]


@pytest.mark.parametrize("camera", [(720, 576), (720, 0, 25), (720, 576, np.nan), 25])
def test_mmi_refuses_cameras(small, camera):
    with pytest.raises(ValueError, match="three positive numbers, width and height"):
        load_mmi(small, posed_camera=camera)


def test_published_data_are_in_the_order_of_names(small):
    data = load_spos(small)
    assert data.names == sorted(name for labels in SMALL.values() for name in labels)
    assert data.target.tolist() == [0, 0, 1, 1, 1]
    assert data.groups.tolist() == ["ann", "bob", "ann", "bob", "eve"]
    assert data.files[0] == "npy/posed_ann-1.mp4.npy"


def test_published_data_without_details_have_empty_metadata(real):
    assert real["uva-nemo"].metadata.shape == (1240, 0)
    assert real["mmi"].metadata.shape == (184, 0)


def test_details_give_sex_and_age_in_the_order_of_the_clips(small, monkeypatch):
    published_set(monkeypatch, SMALL, details_file="details.txt")
    lines = ["Title", "", "Filename\tSubject\tGender", "====\t==\t=="]
    people = {"ann": "female\t46", "bob": "male  \t8", "eve": "female\t30"}
    names = [name for labels in SMALL.values() for name in labels]
    lines += [f"{name}.mp4\t1\t{people[name.split('_')[1][:3]]}\tposed " for name in names]
    (small / "details.txt").write_text("\r\n".join(lines))
    metadata = load_spos(small).metadata
    assert metadata["sex"].tolist() == ["female", "male", "female", "male", "female"]
    assert metadata["age"].tolist() == [46, 8, 46, 8, 30]
    (small / "details.txt").write_text("\r\n".join(lines[:-1]))
    assert "spontaneous_eve-7 has no row with sex and age in details.txt" in problems_of(small)


def test_published_folds_of_two_digits_come_after_those_of_one(tmp_path, monkeypatch):
    tests = {fold: {f"posed_s{fold}-1": fold % 2} for fold in range(1, 13)}
    published_set(monkeypatch, tests, n_subjects=12)
    write_arrays(tmp_path, write_labels(tmp_path, tests))
    data = load_spos(tmp_path)
    subjects = [data.groups[test][0] for _, test in data.folds.split()]
    assert subjects == [f"s{fold}" for fold in range(1, 13)]


def test_published_clips_are_read_when_indexed(small):
    clips = load_spos(small).clips
    np.save(array_file(small, "posed_ann-1"), np.ones((2, 478, 3)))
    array_file(small, "posed_bob-1").unlink()
    before = array_file(small, "posed_ann-1").read_bytes()
    assert clips[0][0, 0].tolist() == clips[-5][0, 0].tolist() == [4 / 3, 1, 4 / 3]
    assert array_file(small, "posed_ann-1").read_bytes() == before
    with pytest.raises(ValueError, match=r"Clip 1 \(posed_bob-1.mp4.npy\)"):
        clips[1]


def test_published_data_run_in_the_benchmark(small, tmp_path):
    data, systems = load_spos(small), {"prior": DummyClassifier()}
    table = run_benchmark(systems, data, cv=data.folds)
    assert set(table["dataset"]) == {"Small"}
    assert table["fold"].tolist() == [0, 1, 0, 1, 2]
    assert table["clip"].tolist() == data.files
    runs = [
        run_benchmark(systems, data, cv=data.folds, results=tmp_path / "run") for _ in range(2)
    ]
    pd.testing.assert_frame_equal(*runs)


@pytest.mark.parametrize("name", ["X", "y", "groups"])
def test_published_folds_refuse_another_number_of_clips(name):
    with pytest.raises(ValueError, match=f"{name} has 3 entries, .* set of 4 clips"):
        PublishedFolds([0, 0, 1, 1]).split(**{name: [0, 1, 2]})


def test_published_data_ignore_the_files_of_macos(small):
    for folder in ("", "npy", "labels", "labels/2"):
        (small / folder / ".DS_Store").write_bytes(b"\0")
        (small / folder / "._x").write_bytes(b"\0")
    assert len(load_spos(small).clips) == 5


@pytest.mark.parametrize("missing", ["", "npy", "labels"])
def test_missing_data_are_an_error_with_the_layout(small, missing):
    shutil.rmtree(small / missing)
    message = problems_of(small)
    assert f"There is no folder {str(small / missing)!r}" in message
    assert "npy/<video>.mp4.npy" in message
    assert "labels/<fold>/train.json" in message
    assert "ask the authors" in message


def write(home, file, text):
    (home / file).write_text(text)


def remove(home, file):
    (home / file).unlink()


def truncate(home, file):
    (home / file).write_bytes((home / file).read_bytes()[:-8])


def save(home, file, array):
    np.save(home / file, array)


ANN = "npy/posed_ann-1.mp4.npy"
FAULTS = [
    (f"{ANN} cannot be read", write, ANN, "no array"),
    ("the file ends before its last frame", truncate, ANN),
    (f"{ANN} has dtype <U3", save, ANN, np.full((2, 478, 3), "0.5")),
    (f"{ANN} has shape (2, 478)", save, ANN, np.zeros((2, 478))),
    (f"{ANN} is (9, 68, 2)", save, ANN, np.zeros((9, 68, 2))),
    (f"{ANN} is absent", remove, ANN),
    ("stray in npy/: x.mp4.npy", write, "npy/x.mp4.npy", ""),
    ("stray in labels/: 01", write, "labels/01", ""),
    ("stray in labels/: 2/x.json", write, "labels/2/x.json", "{}"),
    ("labels/3/test.json is absent", remove, "labels/3/test.json"),
    ("labels/2/train.json (Expecting value", write, "labels/2/train.json", "x"),
    ("labels/2/train.json (it holds a list) is not", write, "labels/2/train.json", "[]"),
    ("('a' is named twice)", write, "labels/2/train.json", '{"a": 0, "a": 1}'),
    ("('a' has label '1')", edit_labels, "2/test.json", {"a": "1"}),
    ("('a' has label True)", edit_labels, "2/test.json", {"a": True}),
    ("('../a' is not a file name)", edit_labels, "2/test.json", {"../a": 1}),
    (
        "bob-1 has label 0 in one file and 1 in another",
        edit_labels,
        "1/train.json",
        {"posed_bob-1": 1},
    ),
    ("share posed_ann-1 (fold 1)", edit_labels, "1/train.json", {"posed_ann-1": 0}),
    ("test has posed_ann-1 (fold 2)", edit_labels, "2/train.json", {"posed_ann-1": None}),
    ("several folds test posed_ann-1", edit_labels, "2/test.json", {"posed_ann-1": 0}),
    ("no fold tests posed_ann-1", edit_labels, "1/test.json", {"posed_ann-1": None}),
    ("ones: fold 1 has 1, not 2", edit_labels, "1/test.json", {"posed_ann-1": None}),
    ("3 posed and 3 spontaneous clips are", edit_labels, "1/test.json", {"posed_ann-2": 0}),
    ("no subject in the name nobody", edit_labels, "1/test.json", {"nobody": 0}),
    ("contain 4 subjects, not 3", edit_labels, "1/test.json", {"posed_zoe-1": 0}),
    ("share the subject ann (fold 2)", edit_labels, "2/test.json", {"posed_ann-9": 0}),
]


@pytest.mark.parametrize(("message", "damage", "file", "change"), [(*f, None)[:4] for f in FAULTS])
def test_published_data_report_a_fault(small, message, damage, file, change):
    damage(small, file) if change is None else damage(small, file, change)
    assert message in problems_of(small)


def test_published_data_report_all_faults_at_once(small):
    write(small, ANN, "no array")
    edit_labels(small, "2/train.json", {"spontaneous_ann-1": 0})
    write(small, "labels/3/train.json", "")
    write(small, "npy/notes.txt", "")
    message = problems_of(small)
    assert "differs from Small as published in 4 respects: " in message
    expected = (
        "labels/3/train.json (Expecting value",
        "spontaneous_ann-1 has label 0 in one file and 1 in another",
        "npy/posed_ann-1.mp4.npy cannot be read",
        "stray in npy/: notes.txt",
    )
    assert all(each in message for each in expected)


def test_clips_without_a_subject_are_not_a_shared_subject(small):
    edit_labels(small, "1/train.json", {"nobody": 0})
    edit_labels(small, "1/test.json", {"nemo": 0})
    message = problems_of(small)
    assert "no subject in the name nemo, nobody" in message
    assert "share the subject" not in message


def test_long_lists_of_faults_are_abridged(small):
    for number in range(8):
        write(small, f"npy/stray{number}.npy", "")
    message = problems_of(small)
    assert "stray in npy/: stray0.npy, stray1.npy" in message
    assert "stray4.npy and 3 more" in message
