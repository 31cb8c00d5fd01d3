"""FaceMeshExtractor: batches with a landmarker of squares, and real clips."""

import hashlib
import json
import sys
from concurrent.futures import BrokenExecutor
from fractions import Fraction
from itertools import islice
from pathlib import Path

import av
import numpy as np
import pytest
from made_videos import SquareLandmarker, picture, write_video
from sklearn.utils import get_tags

from smilefusion import ClipCache, DMarkerTransformer
from smilefusion.clips import check_clips, read_clip
from smilefusion.exceptions import (
    DataWarning,
    FrameRateWarning,
    InvalidDataError,
    InvalidVideoError,
    SmileFusionWarning,
)
from smilefusion.video import FaceMeshExtractor

SQUARES = [picture((2 * i, 5, 110)) for i in range(10)]
EYE_CORNERS = (33, 133), (362, 263)


@pytest.fixture
def model(tmp_path):
    """A file in place of the face model."""
    path = tmp_path / "model.task"
    path.write_bytes(b"model")
    return path


@pytest.fixture
def square(model, monkeypatch):
    """Make extractors that find squares; `looked` counts the videos that were searched."""
    looked = []

    def open_landmarker(*args, **kwargs):
        looked.append(args)
        return SquareLandmarker(*args, **kwargs)

    monkeypatch.setattr("smilefusion.video._extraction.FaceLandmarker", open_landmarker)

    def make(**params):
        return FaceMeshExtractor(**{"model_path": model} | params)

    make.looked = looked
    return make


@pytest.fixture
def videos(tmp_path):
    """Make three videos of a square."""
    return [write_video(tmp_path / f"{name}.mkv", SQUARES) for name in "abc"]


@pytest.fixture(scope="module")
def real(shared):
    """Make extractors with the face model."""
    model = shared / "models" / "face_landmarker.task"
    return lambda **params: FaceMeshExtractor(model_path=model, **params)


@pytest.fixture(scope="module")
def smile_clip(real, shared):
    return real().transform([shared / "clips" / "smile.mp4"])[0]


def first_images(path, n_frames):
    with av.open(str(path)) as container:
        frames = islice(container.decode(video=0), n_frames)
        return [frame.to_ndarray(format="rgb24") for frame in frames]


def sha256(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


def eye_distance(clip):
    right, left = (clip[:, corners, :2].mean(axis=1) for corners in EYE_CORNERS)
    return np.linalg.norm(right - left, axis=1)


def difference(clip, reference):
    """Return the mean distance of the landmarks in inter-ocular distances."""
    distance = np.linalg.norm((clip - reference)[..., :2], axis=2).mean(axis=1)
    return np.nanmean(distance / eye_distance(reference))


def test_clips_are_in_image_heights(square, videos):
    (clip,) = square().fit_transform(videos[:1])
    assert (clip.shape, clip.dtype) == ((10, 478, 3), np.float32)
    np.testing.assert_allclose(clip[3, 0], [6 / 120, 5 / 120, 0], rtol=1e-6)
    np.testing.assert_allclose(clip[3, -1], np.array([116, 115, 110]) / 120, rtol=1e-6)


def test_clips_of_wide_pixels_are_in_image_heights(square, tmp_path):
    flags = {"sar": Fraction(2), "codec": "libx264", "pix_fmt": "yuv444p"}
    (clip,) = square().transform([write_video(tmp_path / "v.mp4", SQUARES, **flags)])
    np.testing.assert_allclose(np.ptp(clip[3], axis=0)[:2], [220 / 120, 110 / 120], atol=0.01)


def test_stored_clips_equal_those_in_memory(square, tmp_path):
    flags = {"sar": Fraction(2), "codec": "libx264", "pix_fmt": "yuv444p"}
    video = write_video(tmp_path / "v.mp4", SQUARES, **flags)
    (clip,) = square(fps=25.0).transform([video])
    stored = square(fps=25.0, cache=tmp_path / "cache").transform([video])
    path = stored.file(0)
    assert stored.fps.tolist() == [25.0]
    assert stored.names == ["Clip 0 (v.mp4)"]
    assert stored.n_frames.tolist() == [len(clip)]
    np.testing.assert_array_equal(stored[0], clip)
    np.testing.assert_array_equal(read_clip(path), clip)
    with np.load(path, allow_pickle=False) as entries:
        np.testing.assert_array_equal(entries["landmarks"], clip)
        assert (entries["is_isotropic"], entries["fps"]) == (True, 25)


def test_video_of_an_implausible_rate_is_refused(square, tmp_path):
    path = write_video(tmp_path / "v.mkv", SQUARES[:3], times_ms=[0, 3000, 6000])
    with pytest.raises(InvalidVideoError, match=r"v.mkv has 0.333333 frames per second"):
        square().transform([path])


def test_uneven_frames_warn_and_are_resampled(square, tmp_path):
    times_ms = np.r_[0:200:20, 220:500:40]
    images = [picture((t // 20, 5, 110)) for t in times_ms]
    path = write_video(tmp_path / "v.mkv", images, times_ms=times_ms)
    with pytest.warns(FrameRateWarning, match=r"v.mkv: the frames are not equally spaced"):
        square().transform([path])
    (clip,) = square(fps=50).transform([path])
    np.testing.assert_allclose(120 * clip[:, 0, 0], np.arange(24), atol=1e-3)


def test_different_rates_are_warned_about(square, videos, tmp_path):
    slow = write_video(tmp_path / "slow.mkv", SQUARES, times_ms=np.arange(10) * 40)
    with pytest.warns(FrameRateWarning, match="25 to 30"):
        square().transform([videos[0], slow])
    square(fps=25).transform([videos[0], slow])


def test_small_faces_are_warned_about_in_the_caller(square, tmp_path):
    path = write_video(tmp_path / "v.mkv", [picture((20, 20, 60))] * 3)
    with pytest.warns(DataWarning, match=r"v.mkv \(60\)") as caught:
        square().transform([path])
    assert caught[0].filename == __file__


def test_frames_without_a_face_are_missing(square, tmp_path):
    images = [SQUARES[0], picture(), SQUARES[2]]
    path = write_video(tmp_path / "v.mkv", images)
    (clip,) = square().transform([path])
    assert np.isnan(clip).all(axis=(1, 2)).tolist() == [False, True, False]


def test_damaged_frames_are_missing_and_warned_about(square, tmp_path):
    path = write_video(tmp_path / "v.mkv", SQUARES * 3, codec="mpeg4", pix_fmt="yuv420p")
    content = bytearray(path.read_bytes())
    middle = len(content) // 2
    content[middle : middle + 100] = bytes(100)
    path.write_bytes(content)
    with pytest.warns(DataWarning, match=r"v.mkv \(\d+\).*damaged"):
        (clip,) = square().transform([path])
    missing = np.isnan(clip[:, 0, 0])
    assert 0 < missing.sum() < len(clip)
    assert square().extract(path).n_damaged == missing.sum()


def test_extract_returns_times_sizes_and_versions(square, videos, model):
    data = square(fps=60, max_faces=2).extract(videos[0])
    assert len(data.landmarks) == len(data.timestamps_s) == len(data.n_faces) == 19
    assert (data.fps, data.source_fps) == (60, pytest.approx(30, rel=0.01))
    assert (data.width, data.height, data.sar, data.is_isotropic) == (160, 120, 1, True)
    assert (data.face_size_px, data.detected.all(), data.n_faces.max()) == (110, True, 1)
    assert (data.video, data.video_sha256) == ("a.mkv", sha256(videos[0]))
    assert data.model_sha256 == sha256(model)
    assert json.loads(data.settings)["max_faces"] == 2
    assert data.av_version == av.__version__


def test_extract_returns_a_video_without_faces(square, tmp_path):
    path = write_video(tmp_path / "v.mkv", [picture()] * 3)
    data = square().extract(path)
    assert not data.detected.any()
    with pytest.raises(InvalidVideoError, match="no face in any of its 3 frames"):
        square().transform([path])


def test_progress_is_shown_for_several_videos(square, videos, capsys):
    square(progress=True).transform(videos[:1])
    assert capsys.readouterr().err == ""
    square(progress=True).transform(videos)
    assert f"{len(videos)}/{len(videos)}" in capsys.readouterr().err


def test_cache_follows_content_settings_and_model_only(square, videos, model, tmp_path):
    def extract(**settings):
        return square(cache=tmp_path / "cache", **settings).transform(videos[:1]).file(0)

    changes = [{}, {"fps": 25.0}, {"face": "nearest"}, {"second_look": False}, {"tracking": False}]
    paths = [extract(**change) for change in changes]
    assert extract(max_frames=50, progress=True) == paths[0]
    assert len(square.looked) == len(changes)
    model.write_bytes(b"another model")
    paths.append(extract())
    with pytest.warns(DataWarning, match="2 landmark models"):
        check_clips([paths[0], paths[-1]])
    videos[0].write_bytes(write_video(tmp_path / "other.mkv", SQUARES[::-1]).read_bytes())
    paths.append(extract())
    assert len(set(paths)) == len(changes) + 2


def test_transform_lists_all_failures_after_the_other_videos(square, videos, tmp_path):
    videos[1].write_bytes(b"no video")
    extractor = square(cache=tmp_path / "cache")
    with pytest.raises(InvalidVideoError, match=r"2 of 4 videos failed: b.mkv .*absent"):
        extractor.transform([*videos, tmp_path / "absent.mp4"])
    assert len(list((tmp_path / "cache").iterdir())) == 2


@pytest.mark.parametrize(
    ("X", "match"),
    [
        ("a.mkv", "X is the path"),
        ([], "at least one"),
        ([np.zeros((5, 478, 3))], "Video 0 is of type ndarray"),
    ],
)
def test_other_input_than_paths_is_refused(X, match, square):
    with pytest.raises(InvalidVideoError, match=match):
        square().transform(X)


def test_extract_files_resumes(square, videos, tmp_path):
    square().extract_files(videos[:2], tmp_path / "out")
    table = square().extract_files(videos, tmp_path / "out")
    assert [Path(file).name for file in table["file"]] == ["a.npz", "b.npz", "c.npz"]
    assert table["is_old"].tolist() == [True, True, False]
    assert len(square.looked) == 3


@pytest.mark.parametrize(
    ("held", "match"),
    [
        ("settings", "a clip of the same video made with fps=20.0"),
        ("model", "made with a different model or different package versions"),
        ("video", "the clip of another video, a.mkv"),
        ("array", "not a clip"),
    ],
)
def test_extract_files_does_not_overwrite_other_clips(
    held, match, square, videos, model, tmp_path
):
    file = tmp_path / "out" / "a.npz"
    square(fps=20.0 if held == "settings" else None).extract_files(videos[:1], file.parent)
    if held == "model":
        model.write_bytes(b"another model")
    if held == "video":
        write_video(videos[0], SQUARES[::-1])
    if held == "array":
        np.savez(file, landmarks=np.zeros((3, 478, 3)))
    before = file.read_bytes()
    with pytest.raises(InvalidVideoError, match=f"would overwrite .*a.npz, which is .*{match}"):
        square().extract_files(videos[:1], file.parent)
    assert file.read_bytes() == before


def test_clip_written_meanwhile_is_not_overwritten(square, videos, tmp_path, monkeypatch):
    def save(path, **entries):
        np.savez_compressed(path, **entries)
        np.savez_compressed(tmp_path / "out" / "a.npz", landmarks=np.zeros((3, 478, 3)))

    monkeypatch.setattr(np, "savez", save)
    with pytest.raises(InvalidVideoError, match="would overwrite"):
        square().extract_files(videos[:1], tmp_path / "out")
    assert len(read_clip(tmp_path / "out" / "a.npz")) == 3


@pytest.mark.parametrize("damage", ["cut off", "changed in the middle"])
def test_extract_files_extracts_damaged_clips_again(damage, square, videos, tmp_path):
    (file,) = square().extract_files(videos[:1], tmp_path / "out")["file"]
    whole = Path(file).read_bytes()
    middle = whole.index(np.load(file)["landmarks"][5].tobytes())
    kept = b"" if damage == "cut off" else whole[middle + 100 :]
    Path(file).write_bytes(whole[:middle] + bytes(100) + kept)
    table = square().extract_files(videos[:1], tmp_path / "out")
    assert not table["is_old"][0]
    assert len(read_clip(file)) == 10


@pytest.mark.parametrize("name", ["a" * 240, "\udcff", "\x1b[31m"])
def test_extract_files_takes_any_file_name(name, square, videos, tmp_path):
    video = videos[0].rename(tmp_path / f"{name}.mkv")
    (file,) = square().extract_files([video], tmp_path / "out")["file"]
    assert Path(file).name == f"{name}.npz"
    assert len(read_clip(file)) == 10


def test_name_too_long_for_a_clip_is_refused_before_the_extraction(square, videos, tmp_path):
    video = videos[0].rename(tmp_path / f"{'a' * 252}.ts")
    with pytest.raises(InvalidVideoError, match=r"aaa.npz \(File name too long\). Rename"):
        square().extract_files([video], tmp_path / "out")
    assert not square.looked


def test_folder_that_cannot_be_written_is_named_before_the_extraction(square, videos, tmp_path):
    resource = pytest.importorskip("resource")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (500_000, limits[1]))  # as a disk with little room
    try:
        with pytest.raises(InvalidDataError, match=r"The folder .*out' cannot be written to"):
            square().extract_files(videos[:1], tmp_path / "out")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    (tmp_path / "file").touch()
    with pytest.raises(InvalidDataError, match=r"The folder .*file/out' cannot be written to"):
        square().extract_files(videos[:1], tmp_path / "file" / "out")
    assert not square.looked


def test_bad_videos_are_reported_without_a_model(tmp_path, monkeypatch):
    monkeypatch.setattr("pooch.retrieve", lambda *args, **options: pytest.fail("fetched"))
    monkeypatch.delenv("SMILEFUSION_FACE_MODEL", raising=False)
    with pytest.raises(InvalidVideoError, match="absent.mp4' does not exist"):
        FaceMeshExtractor().transform([tmp_path / "absent.mp4"])
    with pytest.raises(InvalidVideoError, match="is a folder"):
        FaceMeshExtractor().extract_files([tmp_path], tmp_path / "out")


def test_extract_files_refuses_videos_of_the_same_name(square, videos, tmp_path):
    with pytest.raises(InvalidVideoError, match=r"same clip, a.npz. Rename"):
        square().extract_files([videos[0], videos[0].with_suffix(".mp4")], tmp_path / "out")


def test_extract_files_keeps_failures_in_the_table(square, videos, tmp_path):
    videos[1].write_bytes(b"no video")
    table = square().extract_files(videos, tmp_path / "out", on_error="skip")
    assert table["file"].isna().tolist() == [False, True, False]
    assert "b.mkv cannot be read" in table["error"][1]
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["a.npz", "c.npz"]
    with pytest.warns(SmileFusionWarning, match="1 of 3 videos failed"):
        square().extract_files(videos, tmp_path / "out", on_error="warn")
    with pytest.raises(InvalidVideoError, match="1 of 3 videos failed"):
        square().extract_files(videos, tmp_path / "out")
    with pytest.raises(ValueError, match="on_error"):
        square().extract_files(videos, tmp_path / "out", on_error="ignore")


def test_killed_worker_is_reported(square, videos, monkeypatch):
    def die(jobs, n_jobs):
        raise BrokenExecutor

    monkeypatch.setattr("smilefusion.video._batch.run_unordered", die)
    with pytest.raises(InvalidVideoError, match="before it finished a.mkv, b.mkv, c.mkv"):
        square().transform(videos)


def test_failed_write_leaves_nothing(square, videos, tmp_path, monkeypatch):
    def fail(path, **entries):
        Path(path).write_bytes(b"half")
        raise OSError("disk full")

    monkeypatch.setattr(np, "savez", fail)
    table = square().extract_files(videos[:1], tmp_path / "out", on_error="skip")
    assert "The clip of a.mkv cannot be written to" in table["error"][0]
    assert list((tmp_path / "out").iterdir()) == []


@pytest.mark.parametrize("params", [{"fps": 0}, {"face": "first"}, {"max_frames": 1}])
def test_parameters_are_checked(params, square, videos):
    with pytest.raises(ValueError, match=next(iter(params))):
        square(**params).fit(videos)


@pytest.mark.parametrize("package", ["av", "ai_edge_litert"])
def test_absent_package_is_named_with_its_extra(package, square, videos, monkeypatch):
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(ImportError, match=r"FaceMeshExtractor needs .*smilefusion\[video\]"):
        square().transform(videos)


def test_extractor_needs_no_fit_and_no_set_output(square, videos):
    extractor = square().set_output(transform="pandas")
    assert not get_tags(extractor).requires_fit
    assert extractor.transform(videos[:1])[0].shape == (10, 478, 3)


def test_absent_model_is_named(videos, tmp_path, monkeypatch):
    absent = tmp_path / "absent.task"
    with pytest.raises(InvalidDataError, match=r"model_path names .*absent.task"):
        FaceMeshExtractor(model_path=absent).transform(videos)
    monkeypatch.setenv("SMILEFUSION_FACE_MODEL", str(absent))
    with pytest.raises(InvalidDataError, match=r"SMILEFUSION_FACE_MODEL names .*absent.task"):
        FaceMeshExtractor().transform(videos)


def test_environment_names_the_model(square, videos, model, monkeypatch):
    monkeypatch.setenv("SMILEFUSION_FACE_MODEL", str(model))
    assert square(model_path=None).extract(videos[0]).model_sha256 == sha256(model)


def test_model_is_taken_from_the_user_s_cache(shared, videos, tmp_path, monkeypatch):
    monkeypatch.delenv("SMILEFUSION_FACE_MODEL", raising=False)
    monkeypatch.setattr("pooch.os_cache", lambda name: tmp_path / name)
    (tmp_path / "smilefusion").mkdir()
    path = tmp_path / "smilefusion" / "face_landmarker.task"
    path.write_bytes((shared / "models" / "face_landmarker.task").read_bytes())
    data = FaceMeshExtractor().extract(videos[0])  # without network: only the digest is checked
    assert data.model_sha256 == sha256(path)


def test_real_smile_agrees_with_stored_landmarks(smile_clip, shared):
    stored = read_clip(shared / "clips" / "landmarks" / "smile.npz")
    assert difference(smile_clip, stored) < 0.02  # the stored ones lag by half a frame


def test_real_video_with_a_rotation_flag_gives_the_same_landmarks(
    real, smile_clip, shared, tmp_path
):
    images = first_images(shared / "clips" / "smile.mp4", 5)
    flags = {"codec": "libx264", "pix_fmt": "yuv420p", "rotation": 90}
    turned = write_video(tmp_path / "v.mp4", [np.rot90(i, -1) for i in images], **flags)
    assert difference(real().transform([turned])[0], smile_clip[:5]) < 0.01


@pytest.mark.parametrize("rotation", [90, 180])
def test_real_turned_face_is_refused_and_found_with_rotation(
    rotation, real, smile_clip, shared, tmp_path
):
    images = first_images(shared / "clips" / "smile.mp4", 10)
    turned = [np.rot90(image, rotation // 90) for image in images]  # counter-clockwise
    path = write_video(tmp_path / "v.mkv", turned)
    with pytest.raises(InvalidVideoError, match=rf"v.mkv shows .* Pass rotation={rotation} "):
        real().transform([path])
    assert difference(real(rotation=rotation).transform([path])[0], smile_clip[:10]) < 0.01


def test_real_small_faces_are_found_by_a_second_look(real, shared):
    path = shared / "clips" / "small_face_thanks.mkv"
    without = real(second_look=False, tracking=False).extract(path)
    assert without.detected.mean() < 0.2
    assert real().extract(path).detected.all()


def test_real_smile_of_variable_rate_is_found_at_its_time(real, smile_clip, shared):
    (late,) = real(fps=30).transform([shared / "clips" / "no_face_then_smile_vfr.mp4"])
    late, early = DMarkerTransformer(fps=30).phases([late, smile_clip])["apex_start"]
    first_face_s = 3.945
    assert (late - early) / 30 == pytest.approx(first_face_s, abs=0.1)


@pytest.mark.slow
def test_two_processes_give_the_same_clips(real, shared, tmp_path):
    images = first_images(shared / "clips" / "smile.mp4", 5)
    videos = [write_video(tmp_path / f"{name}.mkv", images) for name in "ab"]
    (one,) = real(fps=25).transform(videos[:1])
    for clip in real(fps=25, n_jobs=2).transform(videos):
        np.testing.assert_array_equal(clip, one)


def test_clip_cache_extracts_each_video_once_and_keeps_clips_in_memory(square, videos, tmp_path):
    expected = square(fps=30).transform(videos)
    cache = ClipCache(tmp_path / "cache")
    square.looked.clear()
    for _ in range(2):
        clips = square(fps=30, cache=cache).transform(videos)
        for clip, reference in zip(clips, expected, strict=True):
            assert clip.flags.writeable
            np.testing.assert_array_equal(clip, reference)
    assert len(square.looked) == len(videos)
    square(cache=cache).transform(videos)
    assert (cache.statistics().misses, cache.statistics().hits) == (6, 3)


def test_clip_cache_repeats_warnings_and_failures(square, videos, tmp_path):
    small = write_video(tmp_path / "small.mkv", [picture((5, 5, 20))] * 4)
    blank = write_video(tmp_path / "blank.mkv", [picture()] * 4)
    extractor = square(cache=ClipCache(tmp_path / "cache"))
    for _ in range(2):
        with pytest.warns(DataWarning, match=r"small.mkv \(20\)"):
            extractor.transform([videos[0], small])
        with pytest.raises(InvalidVideoError, match="blank.mkv shows no face"):
            extractor.transform([blank])
