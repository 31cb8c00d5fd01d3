"""Videos for browsers: which are kept, copied or re-encoded, and what that preserves."""

from fractions import Fraction

import av
import numpy as np
import pytest
from made_videos import QUADRANTS, write_video

from smilefusion.exceptions import InvalidVideoError
from smilefusion.video import make_playable

H264 = {"codec": "libx264", "pix_fmt": "yuv420p"}
VP9 = {"codec": "libvpx-vp9", "pix_fmt": "yuv420p"}
TIMES_MS = [0, 40, 60, 160, 200, 250]
MIDDLES = {False: np.s_[12::24, 16::32], True: np.s_[16::32, 12::24]}  # whether it lies


def read(path):
    """Return the codec, the times in milliseconds and the decoded frames."""
    with av.open(str(path)) as container:
        name = container.streams.video[0].codec_context.name
        frames = list(container.decode(video=0))
    return name, [round(1000 * frame.time) for frame in frames], frames


def add_sound(video, path, codec):
    """Copy a video and add a tenth of a second of silence."""
    with av.open(str(video)) as source, av.open(str(path), "w") as sink:
        copied = sink.add_stream_from_template(source.streams.video[0])
        sound = sink.add_stream(codec, rate=48000)
        for packet in source.demux(video=0):
            if packet.size:
                packet.stream = copied
                sink.mux(packet)
        silence = np.zeros((1, 4800), dtype=np.float32)
        frame = av.AudioFrame.from_ndarray(silence, format="fltp", layout="mono")
        frame.sample_rate = 48000
        sink.mux(sound.encode(frame))
        sink.mux(sound.encode())
    return path


@pytest.mark.parametrize(("name", "flags"), [("v.mp4", H264), ("v.mov", H264), ("v.webm", VP9)])
def test_playable_video_is_kept(name, flags, tmp_path):
    video = write_video(tmp_path / name, [QUADRANTS] * 6, **flags)
    playable = make_playable(video, tmp_path / "new")
    assert (playable.path, playable.start_s, playable.change) == (video, 0, "")
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize(("flags", "suffix"), [(H264, ".mp4"), (VP9, ".webm")])
def test_unsuitable_container_is_replaced_without_encoding(flags, suffix, tmp_path):
    times_ms = [1000 + time for time in TIMES_MS]
    video = write_video(tmp_path / "v.mkv", [QUADRANTS] * 6, times_ms=times_ms, **flags)
    playable = make_playable(video, tmp_path)
    assert playable.path == tmp_path / f"v{suffix}"
    assert playable.start_s == 1
    assert playable.change.startswith(
        "copied without re-encoding; browsers do not play .mkv files"
    )
    old, new = read(video), read(playable.path)
    assert new[:2] == (old[0], TIMES_MS)
    for before, after in zip(old[2], new[2], strict=True):
        np.testing.assert_array_equal(before.to_ndarray(), after.to_ndarray())


@pytest.mark.parametrize("rotation", [90, 180, -90])
def test_copy_keeps_the_rotation_flag(rotation, tmp_path):
    flags = {**H264, "rotation": rotation}
    video = write_video(tmp_path / "v.mov", [QUADRANTS] * 6, times_ms=range(500, 560, 10), **flags)
    playable = make_playable(video, tmp_path / "new")
    assert "starts at 0.5 s" in playable.change
    assert read(playable.path)[2][0].rotation == read(video)[2][0].rotation != 0


def test_late_start_is_moved_to_zero(tmp_path):
    video = write_video(tmp_path / "v.mp4", [QUADRANTS] * 3, times_ms=[700, 740, 900], **H264)
    playable = make_playable(video, tmp_path / "new")
    assert playable.start_s == pytest.approx(0.7)
    assert read(playable.path)[1] == [0, 40, 200]


@pytest.mark.parametrize(("codec", "kept"), [("aac", True), ("ac3", False)])
def test_sound_is_left_out_if_browsers_do_not_play_it(codec, kept, tmp_path):
    silent = write_video(tmp_path / "silent.mp4", [QUADRANTS] * 6, **H264)
    video = add_sound(silent, tmp_path / "v.mkv", codec)
    playable = make_playable(video, tmp_path / "new")
    with av.open(str(playable.path)) as container:
        assert len(container.streams.audio) == kept
    assert ("its sound (ac3)" in playable.change) is not kept


CASES = {
    "codec": {"codec": "mpeg4", "pix_fmt": "yuv420p"},
    "pixel format": {"codec": "libx264", "pix_fmt": "yuv444p"},
    "depth": {"codec": "libx264", "pix_fmt": "yuv420p10le"},
}


@pytest.mark.parametrize("case", CASES)
def test_other_videos_are_encoded_again_with_their_times(case, tmp_path):
    times_ms = [300 + time for time in TIMES_MS]
    video = write_video(tmp_path / "v.mkv", [QUADRANTS] * 6, times_ms=times_ms, **CASES[case])
    playable = make_playable(video, tmp_path)
    assert playable.start_s == pytest.approx(0.3)
    assert playable.change.startswith("re-encoded without sound; browsers do not play")
    name, times, frames = read(playable.path)
    assert (name, times, frames[0].format.name) == ("h264", TIMES_MS, "yuv420p")
    image = frames[0].to_ndarray(format="rgb24")
    np.testing.assert_allclose(image[MIDDLES[False]], QUADRANTS[MIDDLES[False]], atol=40)


@pytest.mark.parametrize("rotation", [90, 180, 270])
@pytest.mark.parametrize("hflip", [False, True])
def test_encoding_turns_frames_upright(rotation, hflip, tmp_path):
    flags = {"codec": "libx264rgb", "pix_fmt": "rgb24", "rotation": 90, "hflip": hflip}
    video = write_video(tmp_path / "v.mkv", [QUADRANTS] * 3, **flags)
    playable = make_playable(video, tmp_path, rotation=rotation)
    upright = np.rot90(QUADRANTS, 1)[:, ::-1] if hflip else np.rot90(QUADRANTS, 1)
    expected = np.rot90(upright, -rotation // 90)  # clockwise
    image = read(playable.path)[2][0].to_ndarray(format="rgb24")
    assert image.shape == expected.shape
    middles = MIDDLES[image.shape[0] > image.shape[1]]
    np.testing.assert_allclose(image[middles], expected[middles], atol=60)


def test_encoding_makes_pixels_square_and_sides_even(tmp_path):
    flags = {"codec": "mpeg4", "pix_fmt": "yuv420p", "sar": Fraction(4, 3)}
    playable = make_playable(write_video(tmp_path / "v.mkv", [QUADRANTS] * 3, **flags), tmp_path)
    frame = read(playable.path)[2][0]
    assert (frame.width, frame.height) == (86, 48)


def test_damaged_video_is_an_error(tmp_path):
    video = tmp_path / "v.mp4"
    video.write_bytes(b"no video" * 100)
    with pytest.raises(InvalidVideoError, match="v.mp4 cannot be read as a video"):
        make_playable(video, tmp_path)


def test_failed_encoding_leaves_no_file(tmp_path):
    video = write_video(tmp_path / "v.mkv", [QUADRANTS], codec="mpeg4", pix_fmt="yuv420p")
    with pytest.raises(InvalidVideoError, match="needs at least two"):
        make_playable(video, tmp_path / "new")
    assert list((tmp_path / "new").iterdir()) == []
