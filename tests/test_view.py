"""The page of a video: what it contains, and how it behaves in Chromium."""

import base64
import json
import re
import shutil
from html.parser import HTMLParser

import numpy as np
import pytest
from faces import make_clip
from made_videos import write_video

from smilefusion.cli import main
from smilefusion.exceptions import InvalidClipError, InvalidDataError
from smilefusion.report import write_view

N_FRAMES = 40
KNOTS = ([5, 12, 24, 32], [0, 0.3, 0.3, 0])
SIZE = (90, 160)
LEVELS = 20 + 5 * np.arange(N_FRAMES)  # grey level of each frame
# Grey level of the picture that the browser shows.
LEVEL = """() => {
  const canvas = document.createElement("canvas");
  canvas.width = canvas.height = 4;
  const context = canvas.getContext("2d");
  context.drawImage(document.getElementById("video"), 0, 0, 4, 4);
  return context.getImageData(1, 1, 1, 1).data[0];
}"""
OPAQUE = """() => {
  const canvas = document.getElementById("overlay");
  const pixels = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data;
  const found = [];
  for (let k = 3; k < pixels.length; k += 4) {
    if (pixels[k] > 0) found.push([(k >> 2) % canvas.width, Math.floor((k >> 2) / canvas.width)]);
  }
  return {found, width: canvas.width, height: canvas.height};
}"""


def make_video(path, times_ms=None, **flags):
    """Make a video whose grey level states the frame."""
    images = [np.full((*SIZE, 3), level, np.uint8) for level in LEVELS]
    return write_video(
        path, images, times_ms=times_ms, codec="libx264", pix_fmt="yuv420p", **flags
    )


def store_clip(path, times_s, clip=None, middle=0.89, size=0.15):
    """Store the landmarks of a face; its place and size are in image heights."""
    face = make_clip(KNOTS, n_frames=N_FRAMES, jitter=1e-4) if clip is None else clip
    landmarks = face * size + (middle, 0.4, 0)
    fps = (len(times_s) - 1) / (times_s[-1] - times_s[0])
    np.savez(path, landmarks=landmarks, fps=fps, timestamps_s=times_s)
    return path


@pytest.fixture(scope="module")
def example(tmp_path_factory):
    """Video and clip of 40 frames at 30 per second."""
    folder = tmp_path_factory.mktemp("example")
    video = make_video(folder / "smile.mp4")
    return video, store_clip(folder / "smile.npz", np.arange(N_FRAMES) / 30)


@pytest.fixture(scope="module")
def chromium():
    """Start Chromium once."""
    api = pytest.importorskip("playwright.sync_api", reason="needs playwright")
    names = ("chromium", "chromium-browser", "google-chrome")
    path = next(filter(None, map(shutil.which, names)), None)
    if path is None:
        pytest.skip(f"needs one of {', '.join(names)}")
    with api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def visit(chromium):
    """Open a page; at the end, check that it wrote no errors and asked for nothing else."""
    opened = []

    def note(page, message):
        if message.type == "error":
            page.problems.append(message.text)

    def open_page(path, **options):
        page = chromium.new_page(**{"viewport": {"width": 1280, "height": 720}} | options)
        page.set_default_timeout(120_000)  # a busy machine may stop for a while
        page.problems, page.addresses = [], []
        page.on("console", lambda message: note(page, message))
        page.on("pageerror", lambda error: page.problems.append(str(error)))
        page.on("request", lambda request: page.addresses.append(request.url))
        page.goto(path.as_uri())
        wait_until(page, "() => video.readyState >= 2 || video.error !== null")
        opened.append(page)
        return page

    yield open_page
    for page in opened:
        assert page.problems == []
        own = [url for url in page.addresses if not url.startswith(("data:", "blob:"))]
        assert own[1:] == [url for url in own[1:] if url.endswith(".mp4")]
        assert all(url.startswith("file:") for url in own)
        page.close()


@pytest.fixture(scope="module")
def page_file(example, tmp_path_factory):
    video, clip = example
    return write_view(video, tmp_path_factory.mktemp("page") / "page.html", clip=clip)


def shown_frame(page):
    """Return the frame that the page states."""
    return int(re.search(r"frame (\d+) of", page.text_content("#time"))[1]) - 1


def wait_until(page, condition):
    """Wait until a function in the page returns something true."""
    for _ in range(500):  # a count, because a busy machine may stop
        if page.evaluate(condition):
            return
        page.wait_for_timeout(20)
    pytest.fail(f"{condition} at {page.text_content('#time')}")


def wait_for_frame(page, frame):
    """Wait until the page states a frame and the browser shows its picture."""
    stated = f"frame {frame + 1} of {N_FRAMES}"
    wait_until(page, f"() => document.getElementById('time').textContent.endsWith('{stated}')")
    wait_until(page, f"() => Math.abs(({LEVEL})() - {LEVELS[frame]}) < 3")


def click_at(page, share):
    """Click on the curves at a share of the time axis."""
    box = page.locator("#plot").bounding_box()
    frame = page.locator("#plot .frame").first.bounding_box()
    x = frame["x"] - box["x"] + share * frame["width"]
    page.locator("#plot").click(position={"x": x, "y": 60})


# Content.


class Checker(HTMLParser):
    """Collect elements and check that they are closed."""

    VOID = ("meta", "link", "br", "input")

    def __init__(self, page):
        super().__init__()
        self.open, self.elements = [], []
        self.feed(page)
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def page_data(page):
    return json.loads(re.search(r'id="data">(.*?)</script>', page, re.S)[1])


def test_page_contains_the_video_and_refers_to_nothing(example, page_file):
    video, _ = example
    page = page_file.read_text()
    elements = Checker(page).elements
    (source,) = [attrs["src"] for tag, attrs in elements if tag == "video"]
    assert base64.b64decode(source.removeprefix("data:video/mp4;base64,")) == video.read_bytes()
    links = [attrs.get("href") or attrs.get("src") for tag, attrs in elements if tag != "video"]
    assert set(links) == {None, "data:,"}


def test_page_holds_landmarks_within_a_tenth_of_a_pixel(example, page_file):
    _, clip = example
    points = page_data(page_file.read_text())["points"]
    whole = np.frombuffer(base64.b64decode(points["data"]), "<i2").reshape(N_FRAMES, -1, 2)
    landmarks = np.load(clip)["landmarks"][..., :2]
    np.testing.assert_allclose(whole * points["step"], landmarks, atol=0.1 / 1080)


def test_page_marks_frames_without_a_face(example, tmp_path):
    face = make_clip(KNOTS, n_frames=N_FRAMES)
    face[10:12] = np.nan
    clip = store_clip(tmp_path / "clip.npz", np.arange(N_FRAMES) / 30, face)
    data = page_data(write_view(example[0], tmp_path / "page.html", clip=clip).read_text())
    whole = np.frombuffer(base64.b64decode(data["points"]["data"]), "<i2").reshape(N_FRAMES, -1)
    assert np.flatnonzero((whole == -32768).all(axis=1)).tolist() == [10, 11]
    assert [k for k, value in enumerate(data["signals"][0]["mean"]) if value is None] == [10, 11]


def test_page_states_facts_dmarkers_and_flags(example, tmp_path):
    clip = store_clip(tmp_path / "clip.npz", np.arange(N_FRAMES) / 15)
    page = write_view(example[0], tmp_path / "page.html", clip=clip).read_text()
    text = " ".join(re.sub(r"<[^>]+>", " ", page.split("<script")[0]).split())
    assert "frame rate below 25 (15)" in text
    assert "recording 40 frames, 2.67 s at 15 per second" in text
    assert re.search(r"onset, highest speed \(D/s\) \d\.\d{3}", text)
    assert "mouth widths for the lips, eye widths for the eyelids" in text


def test_names_are_escaped(example, tmp_path):
    title = "</script><script>alert(1)</script>\"'&"
    page = write_view(example[0], tmp_path / "page.html", clip=example[1], title=title).read_text()
    assert "alert(1)</script>" not in page
    assert [tag for tag, _ in Checker(page).elements].count("script") == 2


def test_clip_that_is_not_in_image_heights_is_refused(example, tmp_path):
    clip = make_clip(KNOTS, n_frames=N_FRAMES) * 100 - 500
    with pytest.raises(InvalidClipError, match="Pass landmarks in image heights"):
        write_view(example[0], tmp_path / "page.html", clip=clip, fps=30)


def test_several_clips_are_refused(example, smiles, tmp_path):
    with pytest.raises(InvalidClipError, match="contains 24 clips, but a page shows one"):
        write_view(example[0], tmp_path / "page.html", clip=smiles.clips)


def test_large_video_is_refused_unless_linked(example, tmp_path):
    video = tmp_path / "large.mp4"
    with video.open("wb") as stream:
        stream.truncate(100_000_001)
    with pytest.raises(InvalidDataError, match="100 MB. Pass link=True"):
        write_view(video, tmp_path / "page.html", clip=example[1])
    page = write_view(video, tmp_path / "page.html", clip=example[1], link=True)
    assert 'src="large.mp4"' in page.read_text()


def test_other_files_are_refused(example, tmp_path):
    video = shutil.copy(example[0], tmp_path / "v.avi")
    with pytest.raises(InvalidDataError, match="browsers do not play .avi files.*make_playable"):
        write_view(video, tmp_path / "page.html", clip=example[1])
    assert [path.name for path in tmp_path.iterdir()] == ["v.avi"]


# Behaviour.


def test_playback_moves_the_cursor_with_the_picture(page_file, visit):
    page = visit(page_file)
    first = float(page.locator("#plot .cursor").get_attribute("x1"))
    page.select_option("#speed", "0.5")
    page.click("#play")
    wait_until(page, "() => video.currentTime > 0.3")
    page.evaluate("video.pause()")
    assert page.text_content("#play") == "Play"
    wait_for_frame(page, shown_frame(page))
    assert shown_frame(page) >= 8
    assert float(page.locator("#plot .cursor").get_attribute("x1")) > first + 50
    assert float(page.get_attribute("#plot", "aria-valuenow")) > 0.25


def test_playback_ends_at_the_last_frame_and_starts_again(page_file, visit):
    page = visit(page_file)
    page.keyboard.press("End")
    wait_for_frame(page, N_FRAMES - 1)
    page.keyboard.press("Space")  # at the end, playback starts from the beginning
    wait_until(page, "() => video.ended")
    wait_for_frame(page, N_FRAMES - 1)


@pytest.mark.parametrize("share", [0.1, 0.93])
def test_click_on_the_curves_seeks(page_file, visit, share):
    page = visit(page_file)
    click_at(page, share)
    wait_for_frame(page, int(share * N_FRAMES))


def test_drag_on_the_curves_seeks(page_file, visit):
    page = visit(page_file)
    frame = page.locator("#plot .frame").first.bounding_box()
    y = frame["y"] + 20
    page.mouse.move(frame["x"] + 0.1 * frame["width"], y)
    page.mouse.down()
    page.mouse.move(frame["x"] + 0.78 * frame["width"], y, steps=15)
    page.mouse.up()
    wait_for_frame(page, int(0.78 * N_FRAMES))


def test_keys_step_through_the_frames(page_file, visit):
    page = visit(page_file)
    for _ in range(3):
        page.keyboard.press("ArrowRight")
    wait_for_frame(page, 3)
    page.keyboard.press("ArrowLeft")
    wait_for_frame(page, 2)
    page.keyboard.press("End")
    wait_for_frame(page, N_FRAMES - 1)
    page.keyboard.press("Home")
    wait_for_frame(page, 0)
    page.focus("#plot")
    page.keyboard.press("PageUp")
    wait_for_frame(page, 10)
    assert page.get_attribute("#plot", "aria-valuetext") == "0.33 seconds, frame 11, onset"


def test_keys_leave_other_controls_alone(page_file, visit):
    page = visit(page_file)
    page.focus("#landmarks")
    page.keyboard.press("Space")
    assert not page.is_checked("#landmarks")
    page.focus("#speed")
    page.keyboard.press("ArrowUp")
    assert page.evaluate("document.getElementById('video').playbackRate") == 0.5
    assert shown_frame(page) == 0


def test_uneven_times_after_a_late_start_match_the_pictures(visit, tmp_path, example):
    from smilefusion.video import make_playable

    steps = np.resize([20, 33, 120, 50, 33], N_FRAMES)
    times_ms = 700 + np.r_[0, np.cumsum(steps)[:-1]]
    playable = make_playable(make_video(tmp_path / "v.mp4", times_ms), tmp_path / "new")
    clip = store_clip(tmp_path / "clip.npz", times_ms / 1000)
    with pytest.warns(match="not equally spaced"):
        path = write_view(
            playable.path, tmp_path / "page.html", clip=clip, start_s=playable.start_s
        )
    page = visit(path)
    for frame in (1, 2, 3, 17, 39):
        page.evaluate(
            f"document.getElementById('video').currentTime = {times_ms[frame] / 1e3 - 0.695}"
        )
        wait_for_frame(page, frame)
    page.keyboard.press("ArrowLeft")
    wait_for_frame(page, 38)


def test_landmarks_are_drawn_where_the_face_is(example, page_file, visit):
    page = visit(page_file)
    page.keyboard.press("End")
    wait_for_frame(page, N_FRAMES - 1)
    drawn = page.evaluate(OPAQUE)
    landmarks = np.load(example[1])["landmarks"][-1, :, :2] * drawn["height"]
    found = np.array(drawn["found"])
    assert drawn["width"] / drawn["height"] == pytest.approx(16 / 9, abs=0.01)
    np.testing.assert_allclose(found.min(axis=0), landmarks.min(axis=0), atol=5)
    np.testing.assert_allclose(found.max(axis=0), landmarks.max(axis=0), atol=5)
    page.uncheck("#landmarks")
    assert page.evaluate(OPAQUE)["found"] == []


def test_rotation_flag_turns_the_video_but_not_the_landmarks(visit, tmp_path):
    video = make_video(tmp_path / "v.mp4", rotation=90)
    clip = store_clip(tmp_path / "clip.npz", np.arange(N_FRAMES) / 30, middle=0.28)
    page = visit(write_view(video, tmp_path / "page.html", clip=clip))
    assert page.evaluate("[video.videoWidth, video.videoHeight]") == list(SIZE)
    drawn = page.evaluate(OPAQUE)
    top = np.load(clip)["landmarks"][0, :, 1].min() * drawn["height"]
    assert np.array(drawn["found"])[:, 1].min() == pytest.approx(top, abs=5)


def test_small_face_can_be_enlarged(example, page_file, visit, tmp_path):
    assert not visit(page_file).is_visible("#closer")
    clip = store_clip(tmp_path / "clip.npz", np.arange(N_FRAMES) / 30, size=0.05, middle=0.3)
    page = visit(write_view(example[0], tmp_path / "page.html", clip=clip))
    heights = []
    for _ in range(2):
        drawn = page.evaluate(OPAQUE)
        heights.append(np.ptp(np.array(drawn["found"])[:, 1]))
        page.check("#closer")
    assert heights[1] > 3 * heights[0]
    box, screen = (page.locator(name).bounding_box() for name in ("#video", "#screen"))
    assert box["x"] <= screen["x"]
    assert box["y"] + box["height"] >= screen["y"] + screen["height"]
    middle = box["x"] + 0.3 * box["height"]
    assert middle == pytest.approx(screen["x"] + screen["width"] / 2, rel=0.05)


def test_linked_video_is_played(example, visit, tmp_path):
    folder = tmp_path / "ä & b"
    folder.mkdir()
    video = shutil.copy(example[0], folder / "a #1.mp4")
    path = write_view(video, tmp_path / "page.html", clip=example[1], link=True)
    assert path.stat().st_size < 400_000
    page = visit(path)
    click_at(page, 0.5)
    assert shown_frame(page) == N_FRAMES // 2
    wait_until(page, "() => !video.seeking && video.currentTime > 0.6")


def test_page_fits_a_phone(page_file, visit):
    page = visit(page_file, viewport={"width": 360, "height": 640})
    assert page.evaluate("document.documentElement.scrollWidth") == 360
    click_at(page, 0.5)
    wait_for_frame(page, N_FRAMES // 2)


def test_dark_mode_changes_the_colours(page_file, visit):
    colours = {}
    for scheme in ("light", "dark"):
        page = visit(page_file, color_scheme=scheme)
        colours[scheme] = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert colours == {"light": "rgb(255, 255, 255)", "dark": "rgb(21, 24, 28)"}


def test_page_keeps_its_curves_if_the_video_cannot_be_played(example, visit, tmp_path):
    video = tmp_path / "v.mp4"
    video.write_bytes(b"no video")
    page = visit(write_view(video, tmp_path / "page.html", clip=example[1]))
    assert page.is_visible("#problem")
    click_at(page, 0.5)
    assert shown_frame(page) == N_FRAMES // 2


# Command.


def test_command_writes_the_page_of_a_real_video(shared, visit, tmp_path, capsys):
    pytest.importorskip("ai_edge_litert", reason="needs the extra video")
    video, output = shared / "clips" / "small_face_please.mkv", tmp_path / "page.html"
    model = shared / "models" / "face_landmarker.task"
    assert main(["view", str(video), "-o", str(output), "--face-model", str(model)]) == 0
    assert "browsers do not play .mkv files" in capsys.readouterr().err
    page = visit(output)
    assert page.title() == "small_face_please.mkv"
    assert "small face" in page.text_content(".stamp")
    page.keyboard.press("End")
    wait_until(page, "() => document.getElementById('time').textContent.endsWith('73 of 73')")


def test_command_reports_a_video_without_a_face(shared, tmp_path, capsys):
    pytest.importorskip("ai_edge_litert", reason="needs the extra video")
    video, output = shared / "clips" / "no_face.mp4", tmp_path / "page.html"
    model = shared / "models" / "face_landmarker.task"
    assert main(["view", str(video), "-o", str(output), "--face-model", str(model)]) == 2
    assert "no_face.mp4 shows no face" in capsys.readouterr().err
    assert not output.exists()


BAD = {
    "is not a video": ["clip.npz"],
    "is the input": ["v.mp4", "-o", "v.mp4"],
    "does not exist": ["absent.mp4"],
    "cannot be linked, because browsers do not play .mkv files": ["v.mkv", "--link"],
    "Pass --link": ["large.mp4"],
}


@pytest.mark.parametrize("message", BAD)
def test_command_explains_bad_input(message, example, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("smilefusion.report._view.MOST_BYTES", 100)
    shutil.copy(example[0], "v.mp4")
    shutil.copy(example[0], "large.mp4")
    make_video(tmp_path / "v.mkv")
    argv = BAD[message]
    assert main(["view", *argv, *([] if "-o" in argv else ["-o", "page.html"])]) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "page.html").exists()
