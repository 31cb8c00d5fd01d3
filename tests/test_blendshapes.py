"""Blendshapes from landmarks, against MediaPipe and for faces that move in known ways."""

import re
from itertools import islice
from pathlib import Path
from textwrap import dedent

import av
import numpy as np
import pytest
from made_videos import write_video
from mediapipe_reference import in_image_heights, open_mediapipe

from smilefusion.clips import check_clips
from smilefusion.exceptions import InvalidClipError, InvalidDataError
from smilefusion.landmarks import face_geometry
from smilefusion.video import BLENDSHAPE_NAMES, FaceMeshExtractor, blendshapes

FACE = face_geometry()
GUIDE = Path(__file__).resolve().parents[1] / "docs" / "guide"


@pytest.fixture
def model(shared, monkeypatch):
    """MediaPipe's model, which `blendshapes` finds by its environment variable."""
    path = shared / "models" / "face_landmarker.task"
    monkeypatch.setenv("SMILEFUSION_FACE_MODEL", str(path))
    return path


@pytest.fixture
def clip(shared):
    """A real smile in image heights, (8, 478, 3)."""
    with np.load(shared / "clips" / "landmarks" / "smile.npz") as file:
        aspect = file["width"] / file["height"]
        return file["landmarks"][::10] * np.float32([aspect, 1, aspect])


def read_images(path, *, step):
    with av.open(str(path)) as video:
        frames = islice(video.decode(video=0), 0, None, step)
        return [frame.to_ndarray(format="rgb24") for frame in frames]


def scores(clip):
    return blendshapes([clip])[0].copy()


def test_blendshapes_equal_those_of_mediapipe_for_the_same_landmarks(shared, model):
    with open_mediapipe(model, output_face_blendshapes=True) as detect:
        images = read_images(shared / "clips" / "smile.mp4", step=8)
        results = [detect(image) for image in images]
    pairs = zip(results, images, strict=True)
    clip = np.stack([in_image_heights(each.face_landmarks[0], image) for each, image in pairs])
    table = blendshapes([clip]).table(0)
    for row, result in zip(table.to_numpy(), results, strict=True):
        reference = result.face_blendshapes[0]
        assert tuple(table.columns) == tuple(each.category_name for each in reference)
        np.testing.assert_allclose(row, [each.score for each in reference], rtol=0, atol=1e-4)


@pytest.mark.parametrize(("side", "other", "sign"), [("Left", "Right", 1), ("Right", "Left", -1)])
@pytest.mark.parametrize(
    ("movement", "amount", "name"), [("smile", 0.4, "mouthSmile"), ("blink", 0.12, "eyeBlink")]
)
def test_movement_of_one_side_raises_the_blendshape_of_that_side(
    movement, amount, name, side, other, sign, model
):
    moves = sign * FACE["neutral"][:, :1] > 0.05  # the subject's left is on the right
    clip = FACE["neutral"] + amount * FACE[movement] * moves * [[[0]], [[1]]]
    table = blendshapes([clip]).table(0)
    rise = table.iloc[1] - table.iloc[0]
    assert rise[f"{name}{side}"] > 0.5
    assert rise[f"{name}{other}"] < 0.2


def test_size_and_depth_do_not_matter(clip, model):
    expected = scores(clip)
    np.testing.assert_allclose(scores(640 * clip), expected, rtol=0, atol=1e-4)
    np.testing.assert_allclose(scores(clip[..., :2]), expected, rtol=0, atol=1e-4)


def test_missing_frames_are_nan(clip, model):
    gap = clip.copy()
    gap[[0, 5]] = np.nan
    expected = scores(clip)
    expected[[0, 5]] = np.nan
    np.testing.assert_array_equal(scores(gap), expected)


def test_signals_keep_rates_and_subjects_of_clips(clip, model):
    data = blendshapes(check_clips([clip, clip[:3]], fps=[25, 50], subjects=["ann", "bob"]))
    assert data.fps.tolist() == [25, 50]
    assert data.subjects.tolist() == ["ann", "bob"]
    assert data.signals == BLENDSHAPE_NAMES
    assert [values.shape for values in data] == [(8, 52), (3, 52)]
    assert data[1].dtype == np.float32


def test_blendshapes_of_files_equal_those_of_arrays(shared, clip, model):
    data = blendshapes([shared / "clips" / "landmarks" / "smile.npz"])
    assert data.fps == [30]
    np.testing.assert_allclose(data[0][::10], scores(clip), rtol=0, atol=1e-4)


def test_names_are_in_order_and_complete():
    assert sorted(BLENDSHAPE_NAMES) == [*BLENDSHAPE_NAMES]
    assert len(set(BLENDSHAPE_NAMES)) == 52


@pytest.mark.parametrize("n_landmarks", [68, 468])
def test_clips_of_other_landmarks_are_refused(n_landmarks):
    with pytest.raises(InvalidClipError, match=f"Clip 0 has {n_landmarks} landmarks, but .* 478"):
        blendshapes([np.zeros((5, n_landmarks, 3))])


def test_absent_and_wrong_models_are_named(clip, tmp_path):
    with pytest.raises(InvalidDataError, match=r"absent.task', but this file does not exist"):
        blendshapes([clip], model_path=tmp_path / "absent.task")
    (tmp_path / "wrong.task").write_bytes(b"model")
    with pytest.raises(InvalidDataError, match=r"wrong.task is not a usable face model"):
        blendshapes([clip], model_path=tmp_path / "wrong.task")


def test_extractor_stores_blendshapes_of_the_resampled_frames(shared, model, tmp_path):
    images = read_images(shared / "clips" / "smile.mp4", step=12)
    images.insert(3, np.zeros_like(images[0]))
    video = write_video(tmp_path / "v.mkv", images)
    (path,) = FaceMeshExtractor(fps=50, blendshapes=True).extract_files([video], tmp_path)["file"]
    signals = blendshapes([path])
    with np.load(path, allow_pickle=False) as file:
        assert tuple(file["blendshape_names"]) == BLENDSHAPE_NAMES
        assert file["blendshapes"].dtype == np.float32
        np.testing.assert_array_equal(file["blendshapes"], signals[0])
    assert signals.fps == [50]
    assert 0 < np.isnan(signals[0]).all(axis=1).mean() < 0.5


def test_extractor_stores_no_blendshapes_by_default(shared, model, tmp_path):
    video = write_video(tmp_path / "v.mkv", read_images(shared / "clips" / "smile.mp4", step=40))
    assert not {"blendshapes", "blendshape_names"} & set(FaceMeshExtractor().extract(video))
    data = FaceMeshExtractor(blendshapes=True).extract(video)
    (signals,) = blendshapes([data.landmarks])
    np.testing.assert_array_equal(data.blendshapes, signals)


def test_example_of_the_guide_runs(shared, model, tmp_path, monkeypatch, capsys):
    page = (GUIDE / "video.rst").read_text(encoding="utf-8")
    (code,) = re.findall(r"no longer exist::\n\n(.+?)\n``", page, re.DOTALL)
    (tmp_path / "clips").symlink_to(shared / "clips" / "landmarks")
    monkeypatch.chdir(tmp_path)
    exec(dedent(code), {})
    assert re.match(r"The smile is strongest \d\.\d\d s after", capsys.readouterr().out)
