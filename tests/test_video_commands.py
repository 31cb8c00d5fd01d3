"""The commands landmarks and predict on video files."""

import re

import numpy as np
import pytest
from made_videos import picture, use_squares, write_video

from smilefusion.cli import main
from smilefusion.clips import check_clips


@pytest.fixture
def model(tmp_path, monkeypatch):
    """A file in place of the face model, with a landmarker that finds squares."""
    return use_squares(monkeypatch, tmp_path)


@pytest.fixture
def videos(tmp_path):
    images = [picture((i, 5, 110)) for i in range(6)]
    return [write_video(tmp_path / f"{name}.mkv", images) for name in "ab"]


@pytest.fixture(scope="module")
def trained(smiles, tmp_path_factory):
    """A trained model's file; its frame rate is 25."""
    from smilefusion import make_fusion_pipeline, save_model

    pipeline = make_fusion_pipeline(fps=25, random_state=0)
    pipeline.set_params(features__deep__max_epochs=1, fusion__max_epochs=1)
    path = tmp_path_factory.mktemp("models") / "model.smile"
    save_model(pipeline.fit(smiles.clips, smiles.target), path)
    return path


def run(*argv):
    return main([str(each) for each in argv])


def test_landmarks_writes_clips_and_a_table_and_resumes(videos, model, tmp_path, capsys):
    videos[1] = videos[1].rename(tmp_path / "\udcff\x1b.mkv")  # not UTF-8
    output = tmp_path / "clips"
    argv = ["landmarks", *videos, "-o", output, "--face-model", model, "--fps", 15]
    assert run(*argv) == 0
    assert check_clips(sorted(output.iterdir())).fps.tolist() == [15, 15]
    table = capsys.readouterr().out.splitlines()
    assert table[0].split()[:3] == ["video", "frames", "with"]
    assert table[1].split()[:5] == ["a.mkv", "3", "3", "1", "110"]
    assert table[2].split()[0] == r"\udcff\x1b.mkv"
    assert run(*argv) == 0
    assert "2 of 2 videos done, 2 of them in an earlier run" in capsys.readouterr().err


def test_landmarks_reports_failures_and_does_the_rest(videos, model, tmp_path, capsys):
    output = tmp_path / "clips"
    argv = ["landmarks", tmp_path / "absent.mp4", *videos, "-o", output, "--face-model", model]
    assert run(*argv) == 1
    assert "absent.mp4' does not exist" in capsys.readouterr().err
    assert len(list(output.iterdir())) == 2


@pytest.mark.parametrize(
    ("argv", "match"),
    [
        (["landmarks", "a.mp4", "-o", "FILE"], "is a file, but -o needs a folder"),
        (["landmarks", "a.mkv", "-o", "DIR", "--face-model", "absent.task"], "absent.task"),
    ],
)
def test_landmarks_names_a_bad_argument(argv, match, videos, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "FILE").write_text("a file")
    assert run(*argv) == 2
    assert match in capsys.readouterr().err


def test_landmarks_checks_the_videos_before_the_model(videos, tmp_path, monkeypatch, capsys):
    def fail(*args, **options):
        raise ConnectionError("no network")

    monkeypatch.delenv("SMILEFUSION_FACE_MODEL", raising=False)
    monkeypatch.setattr("pooch.retrieve", fail)
    assert run("landmarks", "absent.mp4", "-o", tmp_path / "clips") != 0
    assert "absent.mp4' does not exist" in capsys.readouterr().err
    assert run("landmarks", *videos, "-o", tmp_path / "clips") == 2
    assert re.search(
        r"cannot be downloaded \(no network\).* --face-model", capsys.readouterr().err
    )
    assert not (tmp_path / "clips").exists()


def test_predict_reads_videos_and_clips(shared, trained, tmp_path, monkeypatch):
    monkeypatch.setenv("SMILEFUSION_FACE_MODEL", str(shared / "models" / "face_landmarker.task"))
    video = shared / "clips" / "smile.mp4"
    clips, output = tmp_path / "clips", tmp_path / "classes.csv"
    assert run("landmarks", video, "-o", clips, "--fps", 25) == 0
    assert run("predict", trained, video, clips / "smile.npz", "-o", output) == 0
    header, *rows = [line.split(",") for line in output.read_text().splitlines()]
    assert header[:2] == ["file", "class"]
    assert [row[0] for row in rows] == [str(video), str(clips / "smile.npz")]
    assert rows[0][1] == rows[1][1]
    scores = np.array([row[2:] for row in rows], dtype=float)
    np.testing.assert_allclose(*scores, atol=1e-6)
    shares = [name.startswith("probability_") for name in header]
    np.testing.assert_allclose(np.array(rows[0])[shares].astype(float).sum(), 1, rtol=1e-5)


@pytest.mark.parametrize("command", ["dmarkers", "predict"])
def test_uneven_frames_are_warned_about_once(command, smiles, trained, tmp_path, capsys):
    times_s = np.arange(len(smiles.clips[0])) / 25 + np.linspace(0, 1, len(smiles.clips[0])) ** 2
    np.savez(tmp_path / "a.npz", landmarks=smiles.clips[0], fps=25, timestamps_s=times_s)
    model = [trained] if command == "predict" else []
    assert run(command, *model, tmp_path / "a.npz", "-o", tmp_path / "table.csv") == 0
    assert capsys.readouterr().err.count("a.npz: the frames are not equally spaced") == 1


def test_predict_skips_a_bad_video(trained, model, smiles, tmp_path, capsys):
    bad, clip, output = tmp_path / "bad.mp4", tmp_path / "clip.npz", tmp_path / "classes.csv"
    bad.write_bytes(b"no video")
    np.savez(clip, landmarks=smiles.clips[0], fps=25.0)
    assert run("predict", trained, bad, "--face-model", model) == 2
    assert "bad.mp4 cannot be read as a video" in capsys.readouterr().err
    assert run("predict", trained, bad, clip, "-o", output, "--face-model", model) == 1
    assert f"failed: {bad}: bad.mp4 cannot be read as a video" in capsys.readouterr().err
    assert [line.split(",")[0] for line in output.read_text().splitlines()[1:]] == [str(clip)]


def test_predict_keeps_the_clips_of_videos(trained, model, videos, tmp_path, monkeypatch, capsys):
    argv = ["predict", trained, tmp_path, "--face-model", model, "--clips", tmp_path / "clips"]
    assert run(*argv) == 0
    first = capsys.readouterr().out
    assert sorted(path.name[:2] for path in (tmp_path / "clips").iterdir()) == ["a-", "b-"]
    monkeypatch.setattr("smilefusion.video._extraction.FaceLandmarker", None)
    assert run(*argv) == 0
    assert capsys.readouterr().out == first


def test_predict_names_options_instead_of_parameters(trained, model, tmp_path, capsys):
    video = write_video(tmp_path / "dark.mkv", [picture((0, 0, 0))] * 6)
    assert run("predict", trained, video, "--face-model", model) == 2
    message = capsys.readouterr().err
    assert "lower --min-confidence, or pass --rotate 90" in message
