"""Files, folders and patterns as inputs of commands."""

import shutil

import pandas as pd
import pytest
from made_videos import picture, use_squares, write_video

from smilefusion.cli import main
from smilefusion.clips import read_fps


@pytest.fixture
def clips(folder, tmp_path):
    """A folder of clip1, clip2 and clip10, other files, and a subfolder with clip3."""
    clips = tmp_path / "clips"
    (clips / "sub").mkdir(parents=True)
    for name in ("clip1.npz", "clip2.NPZ", "clip10.npz", ".clip4.npz", "sub/clip3.npz"):
        shutil.copy(folder / "0.npz", clips / name)
    shutil.copy(folder / "labels.csv", clips)
    return clips


@pytest.fixture
def videos(tmp_path, monkeypatch):
    """A folder of two videos; the landmarker finds squares."""
    monkeypatch.setenv("SMILEFUSION_FACE_MODEL", str(use_squares(monkeypatch, tmp_path)))
    videos = tmp_path / "videos"
    videos.mkdir()
    for name in "ab":
        write_video(videos / f"{name}.mkv", [picture((i, 5, 110)) for i in range(20)])
    return videos


def run(*argv):
    return main([str(each) for each in argv])


def files_of(*given, output):
    """Return the files that the command dmarkers reads."""
    assert run("dmarkers", *given, "-o", output) == 0
    return pd.read_csv(output)["file"].tolist()


def test_folder_means_its_clips_in_natural_order(clips):
    names = ["clip1.npz", "clip2.NPZ", "clip10.npz"]
    expected = [str(clips / name) for name in names]
    assert files_of(clips, output=clips / "table.csv") == expected
    assert files_of(clips, output=clips / "table.csv") == expected


@pytest.mark.parametrize(
    ("pattern", "names"),
    [
        ("*.npz", ["clip1.npz", "clip10.npz"]),
        ("clip?.*", ["clip1.npz", "clip2.NPZ"]),
        ("clip[12].*", ["clip1.npz", "clip2.NPZ"]),
        ("**/*", ["clip1.npz", "clip2.NPZ", "clip10.npz", "sub/clip3.npz"]),
    ],
)
def test_pattern_means_its_matches(pattern, names, clips, tmp_path, monkeypatch):
    monkeypatch.chdir(clips)
    assert files_of(pattern, output=tmp_path / "table.csv") == names
    absolute = [str(clips / name) for name in names]
    assert files_of(clips / pattern, output=tmp_path / "table.csv") == absolute


def test_order_of_inputs_is_kept_and_each_file_counts_once(clips, tmp_path):
    one, two, ten = (clips / name for name in ("clip1.npz", "clip2.NPZ", "clip10.npz"))
    given = [ten, clips / "sub" / ".." / "clip10.npz", clips, one]
    assert files_of(*given, output=tmp_path / "table.csv") == list(map(str, [ten, one, two]))


def test_brackets_in_names_are_not_patterns(clips, tmp_path):
    folder = clips.rename(tmp_path / "clips[1]")
    special = (folder / "clip1.npz").rename(folder / "clip[2].npz")
    assert files_of(special, output=tmp_path / "table.csv") == [str(special)]
    names = ["clip10.npz", "clip[2].npz"]
    found = files_of(folder / "*.npz", output=tmp_path / "table.csv")
    assert found == [str(folder / name) for name in names]


@pytest.mark.parametrize(
    ("command", "given", "match"),
    [
        (
            "landmarks",
            "clips",
            "folder 'clips' contains no files with one of the suffixes .3gp",
        ),
        ("dmarkers", "empty", "pattern such as 'empty/**/*' in quotes"),
        ("dmarkers", "*.npz", "'*.npz' matches no files with one of the suffixes .3gp"),
        ("dmarkers", "clips/*.csv", "'clips/*.csv' matches no files"),
    ],
)
def test_inputs_without_files_are_refused(
    command, given, match, clips, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    assert run(command, "clips/clip1.npz", given, "-o", "output") == 2
    assert match in capsys.readouterr().err
    assert not (tmp_path / "output").exists()


def test_output_over_a_file_of_an_input_folder_is_refused(clips, tmp_path, capsys):
    (tmp_path / "table.csv").hardlink_to(clips / "clip10.npz")
    assert run("dmarkers", clips, "-o", tmp_path / "table.csv") == 2
    assert "clip10.npz' and would overwrite it" in capsys.readouterr().err


def test_landmarks_of_a_folder_can_be_stored_in_it(videos, capsys):
    for old in (0, 2):
        assert run("landmarks", videos, "-o", videos) == 0
        assert f"2 of 2 videos done, {old} of them" in capsys.readouterr().err
    (videos / "a.mkv").rename(videos / "b.avi")
    assert run("landmarks", videos, "-o", videos) == 2
    assert "would become the same clip, b.npz" in capsys.readouterr().err


def test_dmarkers_extracts_videos_at_the_given_rate(videos, clips, tmp_path):
    output, stored = tmp_path / "table.csv", tmp_path / "stored"
    argv = [clips / "clip1.npz", videos, "--clips", stored, "--fps", 20]
    assert run("dmarkers", *argv, "-o", output) == 0
    names = [clips / "clip1.npz", videos / "a.mkv", videos / "b.mkv"]
    assert pd.read_csv(output)["file"].tolist() == list(map(str, names))
    assert [read_fps(path) for path in stored.iterdir()] == [20, 20]


def test_stored_clips_do_not_become_inputs(videos, capsys):
    assert run("dmarkers", videos, "--clips", videos, "-o", videos / "table.csv") == 2
    assert "would become inputs of the next run" in capsys.readouterr().err
    argv = [videos / "**" / "*", "--clips", videos / "clips", "-o", videos / "table.csv"]
    assert run("dmarkers", *argv) == 0
    assert run("dmarkers", *argv) == 2
    assert "would become inputs of the next run" in capsys.readouterr().err


def test_failed_clip_of_a_video_is_named_like_the_video(videos, tmp_path, capsys):
    write_video(videos / "b.mkv", [picture((5, 5, 110))] * 2)
    assert run("dmarkers", videos, "-o", tmp_path / "table.csv") == 1
    assert f"failed: {videos / 'b.mkv'}: Clip 1 (b.mkv) has 2 frames" in capsys.readouterr().err


def test_uneven_frames_of_a_video_are_warned_about_once(videos, tmp_path, capsys):
    images = [picture((i, 5, 110)) for i in range(20)]
    write_video(videos / "a.mkv", images, times_ms=[i**2 for i in range(20)], codec="libx264rgb")
    assert run("dmarkers", videos / "a.mkv", "-o", tmp_path / "table.csv") == 0
    warnings = capsys.readouterr().err
    assert warnings.count("not equally spaced") == 1
    assert "Pass --fps to resample them" in warnings
