import shutil

import numpy as np
import pytest

from smilefusion.clips import check_clips
from smilefusion.datasets import load_clips
from smilefusion.exceptions import InvalidClipError, InvalidDataError

HEADER = "file,label,subject\n"
GOOD = HEADER + "a.npz,posed,anna\nb.npz,spontaneous,anna\nsub/c.npy,posed,ben\n"


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "sub").mkdir()
    clip = np.zeros((20, 478, 3), dtype=np.float32)
    np.savez(tmp_path / "a.npz", landmarks=clip + 1, fps=np.float32(25))
    np.savez(tmp_path / "b.npz", landmarks=clip + 2, fps=np.float32(25))
    np.save(tmp_path / "sub" / "c.npy", clip + 3)
    return tmp_path


def load(folder, table, **options):
    (folder / "labels.csv").write_text(table, **options)
    return load_clips(folder)


def test_folder_gives_clips_labels_and_subjects_in_order(folder):
    data = load(folder, GOOD)
    assert data.target.tolist() == ["posed", "spontaneous", "posed"]
    assert data.groups.tolist() == ["anna", "anna", "ben"]
    assert [clip[0, 0, 0] for clip in check_clips(data.clips)] == [1, 2, 3]


def test_folder_reads_whole_numbers_as_int_labels(folder):
    data = load(folder, HEADER + "a.npz,0,1\nb.npz,1,2\n")
    assert data.target.dtype.kind == "i"
    assert data.groups.tolist() == ["1", "2"]


def test_folder_gives_the_one_frame_rate_or_those_of_the_clips_or_none(folder):
    np.save(folder / "d.npy", np.zeros((9, 478, 3), dtype=np.float32))
    assert load(folder, HEADER + "a.npz,0,1\nb.npz,1,2\n").fps == 25.0
    np.testing.assert_array_equal(load(folder, GOOD).fps, [25.0, 25.0, np.nan])
    assert load(folder, HEADER + "sub/c.npy,0,1\nd.npy,1,2\n").fps is None


def test_folder_ignores_other_columns_their_order_and_spaces(folder):
    table = "age, subject ,file,label\n7,anna, a.npz ,posed\n8,ben,b.npz,spontaneous\n"
    assert load(folder, table).files == ["a.npz", "b.npz"]


def test_folder_reads_a_byte_order_mark(folder):
    assert len(load(folder, GOOD, encoding="utf-8-sig").clips) == 3


def test_folder_accepts_backslashes_in_file_names(folder):
    data = load(folder, HEADER + "a.npz,0,1\nsub\\c.npy,1,2\n")
    assert data.clips.file(1) == folder / "sub" / "c.npy"


@pytest.mark.parametrize(
    ("rows", "match"),
    [
        ("a.npz,posed,anna\nx.npz,spontaneous,ben\n", "x.npz is missing"),
        ("a.npz,posed,anna\nsub/../a.npz,spontaneous,ben\n", "sub/../a.npz is listed twice"),
        ("a.npz,,anna\nb.npz,posed,ben\n", "label is empty in line 2"),
        ("a.npz,posed,anna\nb.npz,spontaneous,\n", "subject is empty in line 3"),
        (",posed,anna\nb.npz,spontaneous,ben\n", "file is empty in line 2"),
        ("a.npz,posed\nb.npz,spontaneous,ben\n", "subject is empty in line 2"),
        (
            "a.npz,posed,anna\nb.npz,posed,ben\n",
            "the label 'posed', but two labels are needed",
        ),
        ("../a.npz,posed,anna\nb.npz,spontaneous,ben\n", "../a.npz is outside the folder"),
        ("/etc/a.npz,posed,anna\nb.npz,spontaneous,ben\n", "/etc/a.npz is outside"),
        (
            "a.mp4,posed,anna\nb.npz,spontaneous,ben\n",
            "a.mp4 is not in .npy .* with smilefusion landmarks or FaceMesh",
        ),
        (
            'a.npz,posed,\'anna\nb.npz,"spontaneous,ben\nsub/c.npy,"posed,cem\n',
            "line 3. The usual cause is a stray",
        ),
        ("a.npz,posed,a\nb.npz,spontaneous,b\nsub/c.npy,Posed,c\n", r"'Posed' \(line 4\) differ"),
        ("a.npz,posed,a\nb.npz,other,b\nsub/c.npy,po\u200bsed,c\n", r"'po\\u200bsed' \(line 4\)"),
        ("a.npz,posed,a\nb.npz,other,b\nsub/c.npy,\ufeffposed,c\n", r"'\\ufeffposed' \(line 4\)"),
        ("a.npz,left up,a\nb.npz,left\xa0up,b\n", r"labels 'left up' \(line 2\), 'left\\xa0up'"),
        ("a.npz,posed,anna\nb.npz,other,Anna\n", r"subjects 'anna' \(line 2\), 'Anna' \(line 3\)"),
        ("", "lists no clips"),
    ],
)
def test_folder_refuses_rows(folder, rows, match):
    with pytest.raises(InvalidDataError, match=match):
        load(folder, HEADER + rows)


def test_folder_refuses_rows_swallowed_by_a_column_that_it_ignores(folder):
    table = 'file,label,subject,note\na.npz,posed,anna,"x\nb.npz,other,ben,"\nsub/c.npy,other,c,\n'
    with pytest.raises(InvalidDataError, match="line break inside a cell .* line 2"):
        load(folder, table)


@pytest.mark.parametrize("link", ["symlink_to", "hardlink_to"])
def test_folder_refuses_a_clip_under_two_names(folder, link):
    getattr(folder / "d.npz", link)(folder / "a.npz")
    with pytest.raises(InvalidDataError, match="d.npz is listed twice"):
        load(folder, HEADER + "a.npz,posed,anna\nb.npz,spontaneous,ben\nd.npz,posed,anna\n")


@pytest.mark.parametrize("row", ["spontaneous,anna", "posed,ben"])
def test_folder_refuses_copies_with_two_labels_or_subjects(folder, row):
    shutil.copy(folder / "a.npz", folder / "d.npz")
    match = r"a.npz \(line 2\), d.npz \(line 4\) contain the same clip but have different"
    with pytest.raises(InvalidDataError, match=match):
        load(folder, HEADER + f"a.npz,posed,anna\nb.npz,spontaneous,ben\nd.npz,{row}\n")


def test_folder_reports_all_problems_at_once(folder):
    (folder / "b.npz").write_bytes(b"PK not a zip")
    rows = "x.npz,posed,anna\nb.npz,,ben\n../a.npz,posed,\n"
    with pytest.raises(InvalidDataError) as caught:
        load(folder, HEADER + rows)
    for problem in (
        "x.npz is missing",
        "line 3",
        "outside",
        "line 4",
        "clip b.npz cannot be read",
    ):
        assert problem in str(caught.value)


def test_folder_abridges_long_lists(folder):
    rows = "".join(f"x{i}.npz,{i % 2},anna\n" for i in range(30))
    with pytest.raises(InvalidDataError, match="x0.npz, .* x4.npz and 25 more are missing"):
        load(folder, HEADER + rows)


def test_folder_refuses_a_table_without_its_columns(folder):
    with pytest.raises(InvalidDataError, match="Correct the columns file, label, subject"):
        load(folder, GOOD.replace(",", ";"))


def test_folder_refuses_bytes_that_are_no_text(folder):
    (folder / "labels.csv").write_bytes(b"\xff\xfe\x00\x01")
    with pytest.raises(InvalidDataError, match="cannot be read"):
        load_clips(folder)


def test_folder_refuses_absence(tmp_path):
    with pytest.raises(InvalidDataError, match="has no labels.csv"):
        load_clips(tmp_path)
    with pytest.raises(InvalidDataError, match="There is no folder"):
        load_clips(tmp_path / "absent")


def test_folder_refuses_clips_of_different_landmarks(folder):
    np.save(folder / "d.npy", np.zeros((9, 68, 2), dtype=np.float32))
    with pytest.raises(InvalidClipError, match="68 landmarks"):
        load(folder, HEADER + "a.npz,0,1\nd.npy,1,2\n")


def test_folder_returns_other_columns_as_metadata(folder):
    header = "subject,sex,age,file,code,clip,,label\n"
    rows = (
        "anna,f,30,a.npz,007,x,?,posed\nben, m ,,b.npz,1,y,?,other\nc,,41.5,sub/c.npy,2,z,?,other"
    )
    metadata = load(folder, header + rows).metadata
    assert metadata.columns.tolist() == ["sex", "age", "code", "clip"]
    assert metadata["sex"].tolist() == ["f", "m", ""]
    np.testing.assert_array_equal(metadata["age"], [30, np.nan, 41.5])
    assert metadata["code"].tolist() == ["007", "1", "2"]
    assert metadata["clip"].tolist() == ["x", "y", "z"]


def test_folder_without_other_columns_has_empty_metadata(folder):
    data = load(folder, HEADER + "a.npz,posed,anna\nb.npz,other,ben\n")
    assert data.metadata.shape == (2, 0)


def test_folder_refuses_two_columns_of_a_name(folder):
    header = "file,label,subject,sex,sex\n"
    with pytest.raises(InvalidDataError, match="more than one column 'sex'. Rename or delete"):
        load(folder, header + "a.npz,posed,anna,f,f\nb.npz,other,ben,m,m\n")
