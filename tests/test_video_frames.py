"""Decode videos: times, rotation, pixel aspect, and damaged files."""

from fractions import Fraction

import av
import numpy as np
import pytest
from made_videos import QUADRANTS, picture, write_video

from smilefusion.exceptions import InvalidVideoError
from smilefusion.video import FaceMeshExtractor
from smilefusion.video._crops import Cropper
from smilefusion.video._frames import VideoReader


def read(path, **limits):
    """Return the reader and all frames."""
    reader = VideoReader(path, **{"max_frames": 100, "max_pixels": 10**6} | limits)
    return reader, list(reader)


def upright(frame):
    """Return the whole frame as an upright RGB image with square pixels."""
    width, height = frame.geometry.width, frame.geometry.height
    n = max(width, height)
    top, left = (n - height) // 2, (n - width) // 2
    return Cropper(n, "zeros").crop(frame, frame.square)[top : top + height, left : left + width]


@pytest.mark.parametrize("times_ms", [[0, 10, 300, 310], range(60_000, 61_000, 40)])
def test_times_are_those_of_the_container(times_ms, tmp_path):
    path = write_video(tmp_path / "v.mkv", [QUADRANTS] * len(times_ms), times_ms=times_ms)
    _, frames = read(path)
    assert [frame.time_s for frame in frames] == [t / 1000 for t in times_ms]


@pytest.mark.parametrize("rotation", [0, 90, 180, -90])
@pytest.mark.parametrize("hflip", [False, True])
def test_display_matrix_turns_and_mirrors_frames(rotation, hflip, tmp_path):
    flags = {"codec": "libx264rgb", "pix_fmt": "rgb24", "rotation": rotation, "hflip": hflip}
    _, frames = read(write_video(tmp_path / "v.mp4", [QUADRANTS] * 3, **flags))
    expected = np.rot90(QUADRANTS, rotation // 90)  # counter-clockwise, as the flag
    expected = expected[:, ::-1] if hflip else expected
    assert upright(frames[0]).shape == expected.shape
    middles = np.s_[12::24, 12::24] if rotation % 180 == 0 else np.s_[16::32, 12::24]
    np.testing.assert_allclose(upright(frames[0])[middles], expected[middles], atol=40)


@pytest.mark.parametrize(
    ("sar", "shape"), [(Fraction(4, 3), (48, 85)), (Fraction(1, 2), (96, 64))]
)
def test_frames_have_square_pixels(sar, shape, tmp_path):
    flags = {"codec": "mpeg4", "pix_fmt": "yuv420p", "sar": sar}
    reader, frames = read(write_video(tmp_path / "v.mkv", [QUADRANTS] * 2, **flags))
    assert upright(frames[0]).shape[:2] == shape
    assert (reader.width, reader.height, reader.sar) == (64, 48, pytest.approx(float(sar)))


def test_rotation_turns_the_pixel_aspect_too(tmp_path):
    flags = {"codec": "libx264", "pix_fmt": "yuv420p", "rotation": 90, "sar": Fraction(2)}
    reader, frames = read(write_video(tmp_path / "v.mp4", [QUADRANTS] * 2, **flags))
    assert (reader.width, reader.height, reader.sar) == (48, 64, 0.5)
    assert upright(frames[0]).shape[:2] == (128, 48)


@pytest.mark.parametrize(
    ("codec", "pix_fmt"),
    [("ffv1", "yuv420p10le"), ("ffv1", "gray"), ("libx264", "yuv444p"), ("mjpeg", "yuvj420p")],
)
def test_pixel_formats_give_rgb_bytes(codec, pix_fmt, tmp_path):
    images = [picture((40, 40, 40))] * 3
    path = write_video(tmp_path / "v.mkv", images, codec=codec, pix_fmt=pix_fmt)
    _, frames = read(path)
    assert len(frames) == 3
    np.testing.assert_allclose(upright(frames[0])[60, [20, 60]], [[0] * 3, [255] * 3], atol=5)


@pytest.mark.parametrize("content", [b"text " * 100, np.random.default_rng(0).bytes(10_000)])
def test_other_content_than_video_is_refused(content, tmp_path):
    path = tmp_path / "v.mp4"
    path.write_bytes(content)
    with pytest.raises(InvalidVideoError, match="cannot be read as a video"):
        read(path)


def noise(n_frames):
    """Return images that do not compress."""
    rng = np.random.default_rng(0)
    return rng.integers(0, 256, size=(n_frames, 48, 64, 3), dtype=np.uint8)


def damage(path):
    """Write zeros to the middle of a file."""
    content = bytearray(path.read_bytes())
    middle = len(content) // 2
    content[middle : middle + 200] = bytes(200)
    path.write_bytes(content)


@pytest.mark.parametrize("share", [0.0005, 0.3, 0.6])
def test_truncated_file_is_refused(share, tmp_path):
    path = write_video(tmp_path / "v.mkv", noise(60))
    path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])
    with pytest.raises(InvalidVideoError, match=r"cannot be read|ends after .* but its header"):
        read(path)


def test_frames_are_marked_from_a_damaged_one_to_the_next_key_frame(tmp_path):
    path = write_video(tmp_path / "v.mkv", noise(30), codec="mpeg4", pix_fmt="yuv420p")
    damage(path)
    reader, frames = read(path)
    damaged = [index for index, frame in enumerate(frames) if frame.is_damaged]
    assert damaged == list(range(damaged[0], damaged[-1] + 1))
    assert frames[damaged[-1] + 1].raw.key_frame
    assert reader.n_damaged == len(damaged)


def test_frame_that_cannot_be_decoded_is_refused(tmp_path):
    path = write_video(tmp_path / "v.mkv", noise(30), codec="mjpeg", pix_fmt="yuvj420p")
    damage(path)
    with pytest.raises(InvalidVideoError, match="cannot be read as a video after"):
        read(path)


@pytest.mark.parametrize(("n_frames", "match"), [(0, "contains no video"), (1, "has 1 frame,")])
def test_video_of_less_than_two_frames_is_refused(n_frames, match, tmp_path):
    path = write_video(
        tmp_path / "v.mp4", [QUADRANTS] * n_frames, codec="mpeg4", pix_fmt="yuv420p"
    )
    with pytest.raises(InvalidVideoError, match=match):
        read(path)


def test_still_image_is_refused(tmp_path):
    path = tmp_path / "v.png"
    av.VideoFrame.from_ndarray(QUADRANTS, format="rgb24").save(str(path))
    with pytest.raises(InvalidVideoError, match=r"v.png .* a playlist, an image"):
        read(path)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("list.mp4", "ffconcat version 1.0\nfile same.ts\n"),
        ("list.m3u8", "#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nsame.ts\n#EXT-X-ENDLIST\n"),
    ],
)
def test_file_that_refers_to_other_files_is_refused(name, text, tmp_path):
    images = [QUADRANTS] * 5
    write_video(tmp_path / "same.ts", images, codec="mpeg2video", pix_fmt="yuv420p")
    (tmp_path / name).write_text(text)
    with pytest.raises(InvalidVideoError, match=f"{name} cannot be read as a video"):
        read(tmp_path / name)


@pytest.mark.parametrize(
    ("suffix", "codec"),
    [
        *[(suffix, "mpeg4") for suffix in ("3gp", "avi", "m4v", "mkv", "mov", "mp4")],
        *[(suffix, "mpeg2video") for suffix in ("mpeg", "mpg", "ts")],
        ("webm", "libvpx"),
        ("wmv", "wmv2"),
    ],
)
def test_usual_containers_are_read(suffix, codec, tmp_path):
    path = write_video(tmp_path / f"v.{suffix}", [QUADRANTS] * 5, codec=codec, pix_fmt="yuv420p")
    times_s = [frame.time_s for frame in read(path)[1]]
    np.testing.assert_allclose(np.subtract(times_s, times_s[0]), np.arange(5) / 30, atol=1e-3)


def test_sound_without_video_is_refused(tmp_path):
    path = tmp_path / "v.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=44_100)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 4096), dtype=np.float32), "fltp", "mono")
        frame.sample_rate = 44_100
        container.mux(stream.encode(frame))
        container.mux(stream.encode())
    with pytest.raises(InvalidVideoError, match="contains no video, only audio"):
        read(path)


@pytest.mark.parametrize(
    ("name", "match"),
    [
        ("absent.mp4", "does not exist"),
        ("", "is a folder"),
        ("v.mp4", "is empty"),
    ],
)
def test_path_of_no_content_is_refused(name, match, tmp_path):
    (tmp_path / "v.mp4").touch()
    with pytest.raises(InvalidVideoError, match=match):
        FaceMeshExtractor().fit([tmp_path / name])


@pytest.mark.parametrize(
    ("limit", "sar", "match"),
    [
        ({"max_pixels": 3000}, 1, "64 x 48 pixels"),
        ({"max_pixels": 10_000}, 8, "512 x 48 pixels"),
        ({"max_frames": 4}, 1, "more than max_frames=4"),
    ],
)
def test_limits_are_enforced(limit, sar, match, tmp_path):
    flags = {"codec": "mpeg4", "pix_fmt": "yuv420p", "sar": Fraction(sar)}
    path = write_video(tmp_path / "v.mkv", [QUADRANTS] * 5, **flags)
    with pytest.raises(InvalidVideoError, match=match):
        read(path, **limit)


@pytest.mark.parametrize(
    ("suffix", "codec"), [("mp4", "mpeg4"), ("avi", "mpeg4"), ("mkv", "mpeg4"), ("webm", "libvpx")]
)
def test_too_many_frames_are_refused_before_the_first_is_decoded(suffix, codec, tmp_path):
    path = write_video(tmp_path / f"v.{suffix}", [QUADRANTS] * 30, codec=codec, pix_fmt="yuv420p")
    with pytest.raises(InvalidVideoError, match=f"v.{suffix} has more than max_frames=20 frames"):
        next(iter(VideoReader(path, max_frames=20, max_pixels=10**6)))


def test_real_variable_frame_rate_is_kept(shared):
    path = shared / "clips" / "no_face_then_smile_vfr.mp4"
    _, frames = read(path, max_frames=200)
    stored = np.load(path.parent / "landmarks" / "no_face_then_smile_vfr.npz")["timestamps_s"]
    assert [frame.time_s for frame in frames] == stored.tolist()
