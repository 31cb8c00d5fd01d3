"""The commands train and benchmark on folders whose labels.csv names videos."""

import shutil

import numpy as np
import pandas as pd
import pytest
from made_videos import picture, use_squares, write_video

from smilefusion import read_model_card, read_model_info
from smilefusion.cli import main
from smilefusion.cli._benchmark import make_systems
from smilefusion.persistence import digest_names

NAMES = [*(f"{i}.mkv" for i in range(7)), "7.MKV"]
ROWS = [f"{NAMES[i]},{('posed', 'spontaneous')[i % 2]},subject {i // 2}" for i in range(8)]
QUICK = ["--max-epochs", 1]


@pytest.fixture
def data(tmp_path, monkeypatch):
    """A folder of eight videos of four people; the landmarker finds squares."""
    monkeypatch.setenv("SMILEFUSION_FACE_MODEL", str(use_squares(monkeypatch, tmp_path)))
    data = tmp_path / "data"
    data.mkdir()
    for i, name in enumerate(NAMES):
        images = [picture((j % (i + 2), 5, 110)) for j in range(20 + i)]
        write_video(data / name, images)
    write_table(data, ROWS)
    return data


@pytest.fixture
def baselines(monkeypatch):
    """Leave only the systems that need no training of networks."""

    def make_baselines(**settings):
        systems = make_systems(**settings)
        return {name: systems[name] for name in ("majority", "clip duration")}

    monkeypatch.setattr("smilefusion.cli._benchmark.make_systems", make_baselines)


def write_table(folder, rows):
    (folder / "labels.csv").write_text("\n".join(["file,label,subject", *rows]))


def run(*argv):
    return main([str(each) for each in argv])


def benchmark(data, output, *options):
    small = ["--folds", 2, "--inner-folds", 2, "--n-jobs", 1, "--no-figure"]
    return run("benchmark", "--data", data, "-o", output, *small, *options)


def test_training_extracts_the_videos_and_keeps_their_clips(data, tmp_path, monkeypatch):
    clips, first, second = tmp_path / "clips", tmp_path / "first.smile", tmp_path / "second.smile"
    assert run("train", data, "-o", first, "--clips", clips, "--fps", 20, *QUICK) == 0
    assert len(list(clips.iterdir())) == 8
    info = read_model_info(first)
    assert info["splits"]["train"]["sha256"] == digest_names(NAMES)
    assert "8 clips of 4 subjects from the folder data, at 20 frames" in read_model_card(first)
    monkeypatch.setattr("smilefusion.video._extraction.FaceLandmarker", None)
    assert run("train", data, "-o", second, "--clips", clips, "--fps", 20, *QUICK) == 0


def test_training_skips_failed_videos(data, tmp_path, smiles, capsys):
    (data / "2.mkv").write_bytes(b"no video")
    (data / "5.mkv").unlink()
    write_video(data / "6.mkv", [picture((0, 0, 0))] * 6)
    np.savez(data / "clip.npz", landmarks=smiles.clips[0], fps=30.0)
    write_table(data, [*ROWS, "clip.npz,posed,someone"])
    output = tmp_path / "m.smile"
    assert run("train", data, "-o", output, *QUICK) == 1
    lines = capsys.readouterr().err.splitlines()
    failed = [line.split(": ")[1] for line in lines if line.startswith("failed")]
    assert failed == [str(data / f"{i}.mkv") for i in (2, 5, 6)]
    assert "3 clips could not be read" in read_model_card(output)
    assert read_model_info(output)["splits"]["train"]["n"] == 6


def test_training_without_any_sound_video_fails(data, tmp_path, capsys):
    for name in NAMES:
        (data / name).unlink()
    assert run("train", data, "-o", tmp_path / "m.smile") == 2
    assert "8 files failed" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("row", "match"),
    [
        ("0.mkv,,subject 0", "label is empty in line 2"),
        ("../0.mkv,posed,subject 0", "outside the folder"),
        ("1.mkv,posed,subject 0", "listed twice"),
        ("copy.mkv,posed,subject 0", "copy.mkv (line 2), 1.mkv (line 3) contain the same clip"),
        ("labels.csv,posed,subject 0", "labels.csv is not in .npy or .npz format"),
    ],
)
@pytest.mark.parametrize("command", ["train", "benchmark"])
def test_table_is_checked_before_videos_are_extracted(
    command, row, match, data, tmp_path, baselines, capsys
):
    shutil.copy(data / "1.mkv", data / "copy.mkv")
    shutil.copy(data / "1.mkv", tmp_path / "0.mkv")
    write_table(data, [row, *ROWS[1:]])
    output = tmp_path / "output"
    clips = tmp_path / "clips" if command == "train" else output
    argv = ["train", data, "-o", output, "--clips", clips]
    assert (run(*argv) if command == "train" else benchmark(data, output)) == 2
    assert match in capsys.readouterr().err
    assert not clips.exists()


@pytest.mark.parametrize("command", ["train", "benchmark"])
def test_frame_rates_of_videos_and_clips_must_agree(
    command, data, tmp_path, smiles, baselines, capsys
):
    np.savez(data / "clip.npz", landmarks=smiles.clips[0], fps=25.0)
    write_table(data, ["clip.npz,posed,someone", *ROWS])
    output = tmp_path / "output"
    argv = ["train", data, "-o", output, *QUICK]
    for fps, status in ([], 2), (["--fps", 25], 0):
        code = run(*argv, *fps) if command == "train" else benchmark(data, output, *fps)
        assert code == status
    message = capsys.readouterr().err
    assert "frame rates from 25 to 30" in message
    assert "Give --fps to resample the videos" in message


def test_training_does_not_write_over_a_video(data, tmp_path, capsys):
    (tmp_path / "m.smile").hardlink_to(data / "3.mkv")
    assert run("train", data, "-o", tmp_path / "m.smile", *QUICK) == 2
    assert "3.mkv' and would overwrite it" in capsys.readouterr().err


def test_benchmark_keeps_the_clips_of_videos(data, tmp_path, baselines, monkeypatch, capsys):
    output = tmp_path / "out"
    assert benchmark(data, output) == 0
    first = capsys.readouterr().out
    assert len(list((output / "clips").iterdir())) == 8
    clips = pd.read_csv(output / "predictions.csv")["clip"]
    assert set(clips) == set(NAMES)
    monkeypatch.setattr("smilefusion.video._extraction.FaceLandmarker", None)
    assert benchmark(data, output) == 0
    assert capsys.readouterr().out == first
    assert run("report", output) == 0


def test_benchmark_names_failed_videos_and_keeps_the_clips_of_others(
    data, tmp_path, baselines, capsys
):
    good = (data / "2.mkv").read_bytes()
    (data / "2.mkv").write_bytes(b"no video")
    assert benchmark(data, tmp_path / "out") == 2
    message = capsys.readouterr().err
    assert "1 of 8 videos failed: 2.mkv cannot be read as a video" in message
    assert len(list((tmp_path / "out" / "clips").iterdir())) == 7
    (data / "2.mkv").write_bytes(good)
    assert benchmark(data, tmp_path / "out") == 0


def test_benchmark_of_videos_keeps_results_of_others(data, tmp_path, baselines, capsys):
    (tmp_path / "table.md").write_text("precious")
    assert benchmark(data, tmp_path) == 2
    assert "table.md, but no benchmark to resume" in capsys.readouterr().err
    assert not (tmp_path / "clips").exists()


@pytest.mark.slow
def test_model_is_trained_on_real_videos(shared, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("SMILEFUSION_FACE_MODEL", str(shared / "models" / "face_landmarker.task"))
    names = ["smile.mp4", "no_face.mp4", "small_face_please.mkv", "small_face_thanks.mkv"]
    for name in names:
        shutil.copy(shared / "clips" / name, tmp_path)
    write_table(tmp_path, [f"{name},{i // 2},{i}" for i, name in enumerate(names)])
    argv = ["train", tmp_path, "-o", tmp_path / "m.smile", "--fps", 25, "--no-early-stopping"]
    assert run(*argv, *QUICK) == 1
    message = capsys.readouterr().err
    assert "no_face.mp4 shows no face in any" in message
    assert "trained on 3 clips of 3 subjects" in message
