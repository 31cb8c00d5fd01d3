"""Tables written in each layout give the clip back; malformed ones give one clear error."""

import numpy as np
import pandas as pd
import pytest

from smilefusion import DMarkerTransformer
from smilefusion.clips import check_clips, pool_clips, read_clip
from smilefusion.datasets import make_smiles
from smilefusion.exceptions import FrameRateWarning, InvalidClipError
from smilefusion.readers import read_mediapipe_csv, read_openface_csv

WIDTH, HEIGHT = 640, 360
SIZE = {"width": WIDTH, "height": HEIGHT}
ISOTROPIC = {"coordinates": "isotropic"}


@pytest.fixture(scope="module")
def smile():
    """A clip with missing frames, at 25 frames per second."""
    data = make_smiles(2, n_subjects=1, fps=25, missing_rate=0.1, random_state=0)
    clip = data.clips[1]
    assert np.isnan(clip).any()
    return clip


@pytest.fixture
def path(tmp_path):
    return tmp_path / "smile.csv"


def wide_table(clip, pattern="{axis}{point}", first=0):
    """A row per frame."""
    names = [
        pattern.format(axis=axis, AXIS=axis.upper(), point=point)
        for point in range(first, first + clip.shape[1])
        for axis in "xyz"[: clip.shape[2]]
    ]
    table = pd.DataFrame(clip.reshape(len(clip), -1), columns=names)
    table.insert(0, "frame", np.arange(len(clip)))
    return table


def long_table(clip, first=0):
    """A row per frame with a face and landmark."""
    frames, points = np.indices(clip.shape[:2])
    columns = {"frame": frames.ravel(), "landmark": points.ravel() + first}
    columns |= {axis: clip[..., i].ravel() for i, axis in enumerate("xyz"[: clip.shape[2]])}
    return pd.DataFrame(columns).dropna().reset_index(drop=True)


def openface_table(clip, world=None, first=1):
    """The columns of OpenFace; frames without a face hold what the tracker last saw."""
    seen = ~np.isnan(clip[:, 0, 0])
    rows = pd.DataFrame(
        {
            "frame": np.arange(first, first + len(clip)),
            "face_id": 0,
            "timestamp": np.round(np.arange(len(clip)) / 25, 3),
            "confidence": np.where(seen, 0.98, 0.2),
            "success": seen.astype(int),
        }
    )
    parts = [(clip, "xy")] + ([] if world is None else [(world, "XYZ")])
    points = {
        f"{axis}_{point}": np.nan_to_num(array[:, point, i], nan=123.0)
        for array, axes in parts
        for i, axis in enumerate(axes)
        for point in range(68)
    }
    return pd.concat([rows, pd.DataFrame(points)], axis=1)


def write(table, path):
    table.to_csv(path, index=False)
    return path


def fractions(clip):
    """The clip as MediaPipe would give it of an image of `SIZE`."""
    return clip.astype(np.float64) / [WIDTH / HEIGHT, 1.0, WIDTH / HEIGHT]


def faces(n_frames=6, n_landmarks=478, n_dims=3):
    return np.random.default_rng(0).uniform(size=(n_frames, n_landmarks, n_dims))


def ibug(n_frames=6, n_dims=2):
    return np.random.default_rng(0).uniform(100, 400, size=(n_frames, 68, n_dims))


@pytest.mark.parametrize(
    "pattern",
    [
        *("{axis}{point}", "{AXIS}{point}", "{axis}_{point}", "{axis}.{point}", "{axis} {point}"),
        *("{axis}_{point:03}", "{point}_{axis}", "lm_{point}_{axis}", "landmark_{point}_{axis}"),
        *("face_{point}.{axis}", "face_landmark_{axis}_{point}", "point{point}{axis}"),
    ],
)
def test_mediapipe_wide_names_give_the_clip(path, pattern):
    clip = faces(2)
    got = read_mediapipe_csv(write(wide_table(clip, pattern), path), **ISOTROPIC)
    assert np.array_equal(got[0], clip.astype(np.float32))


@pytest.mark.parametrize("first", [0, 1])
@pytest.mark.parametrize("layout", [wide_table, long_table])
def test_mediapipe_round_trip_is_exact(path, smile, layout, first):
    table = layout(fractions(smile), first=first)
    got = read_mediapipe_csv(write(table, path), **SIZE)
    assert got[0].dtype == np.float32
    assert np.array_equal(got[0], smile, equal_nan=True)
    assert np.array_equal(check_clips(got)[0], smile, equal_nan=True)


@pytest.mark.parametrize("layout", [wide_table, long_table])
def test_mediapipe_without_z_is_planar(path, layout):
    clip = faces(n_dims=2)
    got = read_mediapipe_csv(write(layout(clip), path), **ISOTROPIC)
    assert np.array_equal(got[0], clip.astype(np.float32))


def test_mediapipe_absent_frames_are_missing(path, smile):
    seen = ~np.isnan(smile[:, 0, 0])
    table = wide_table(fractions(smile))[seen].assign(frame=np.flatnonzero(seen) + 7)
    got = read_mediapipe_csv(write(table, path), **SIZE)
    assert np.array_equal(got[0], smile, equal_nan=True)


def test_mediapipe_milliseconds_equal_seconds(path):
    table = wide_table(faces())
    seconds = write(table.assign(timestamp=table["frame"] / 25), path)
    expected = read_mediapipe_csv(seconds, **ISOTROPIC)
    got = read_mediapipe_csv(write(table.assign(time_ms=40 * table["frame"]), path), **ISOTROPIC)
    assert got.fps.tolist() == expected.fps.tolist() == [25.0]


def test_mediapipe_irises_can_be_estimated(path, smile):
    table = wide_table(fractions(smile)[:, :468])
    got = read_mediapipe_csv(write(table, path), iris="eye_centre", **SIZE)[0]
    transformer = DMarkerTransformer(fps=25)
    assert np.array_equal(got[:, :468], smile[:, :468], equal_nan=True)
    assert np.array_equal(transformer.fit_transform([got]), transformer.transform([smile]))
    eye_width = np.linalg.norm(smile[:, 33] - smile[:, 133], axis=1)
    off = np.linalg.norm(got[:, 468:] - smile[:, 468:], axis=2).max(axis=1)
    assert np.nanmax(off / eye_width) < 0.5


def test_mediapipe_face_is_chosen(path):
    clips = faces(), faces()[::-1]
    rows = [
        wide_table(clip).assign(face_id=face) for face, clip in zip((3, 5), clips, strict=True)
    ]
    write(pd.concat(rows), path)
    got = read_mediapipe_csv(path, face_id=5, **ISOTROPIC)
    assert np.array_equal(got[0], clips[1].astype(np.float32))


def test_mediapipe_real_clip_equals_its_npz(path, shared):
    npz = shared / "clips" / "landmarks" / "small_face_please.npz"
    with np.load(npz) as archive:
        table = wide_table(archive["landmarks"]).assign(timestamp=archive["timestamps_s"])
        size = {key: int(archive[key]) for key in ("width", "height")}
    got = read_mediapipe_csv(write(table, path), **size)
    np.testing.assert_allclose(got[0], read_clip(npz), rtol=1e-6)
    assert abs(got.fps[0] - 30.0) < 0.02


def test_openface_round_trip_is_exact(path):
    image, world = ibug(), ibug(n_dims=3)
    image[2:4] = world[2:4] = np.nan
    write(openface_table(image, world), path)
    for coordinates, clip in (("image", image), ("world", world)):
        got = read_openface_csv(path, coordinates=coordinates)
        assert got[0].dtype == np.float32
        assert np.array_equal(got[0], clip.astype(np.float32), equal_nan=True)


def test_openface_windows_not_a_number_is_no_text(path):
    table = openface_table(ibug()).astype({"x_7": object})
    table.loc[2, ["success", "x_7"]] = 0, "-nan(ind)"
    got = read_openface_csv(write(table, path))[0]
    assert np.isnan(got).all(axis=(1, 2)).tolist() == [False, False, True, False, False, False]


def test_openface_low_confidence_is_missing(path):
    table = openface_table(ibug()).assign(confidence=[0.9, 0.8, 0.7, np.nan, 0.9, 0.8])
    write(table, path)
    assert not np.isnan(read_openface_csv(path)[0]).any()
    missing = np.isnan(read_openface_csv(path, min_confidence=0.8)[0][:, 0, 0])
    assert missing.tolist() == [False, False, True, True, False, False]


def test_openface_skipped_frames_are_missing(path):
    clip = ibug()
    got = read_openface_csv(write(openface_table(clip).drop(index=[2, 3]), path))
    clip[2:4] = np.nan
    assert np.array_equal(got[0], clip.astype(np.float32), equal_nan=True)
    assert got.fps.tolist() == [25.0]


def test_openface_face_is_chosen(path):
    clips = ibug(), ibug()[::-1]
    tables = [openface_table(clip).assign(face_id=face) for face, clip in enumerate(clips)]
    write(pd.concat(tables).sort_values("frame"), path)
    got = read_openface_csv(path, face_id=1)
    assert np.array_equal(got[0], clips[1].astype(np.float32))
    assert got.fps.tolist() == [25.0]


@pytest.mark.parametrize("fps", [25.0, 29.97, 59.94, 240.0])
def test_openface_frame_rate_survives_rounded_times(path, fps):
    times = np.round(np.arange(100) / fps, 3)
    got = read_openface_csv(write(openface_table(ibug(100)).assign(timestamp=times), path))
    assert got.fps[0] == pytest.approx(fps, rel=3e-4)


@pytest.mark.parametrize(
    "change",
    [lambda t: t.assign(timestamp=0.0), lambda t: t.drop(columns="timestamp"), lambda t: t[:1]],
)
def test_openface_without_different_times_has_no_frame_rate(path, change):
    got = read_openface_csv(write(change(openface_table(ibug())), path))
    assert np.isnan(got.fps).all()


def test_openface_unequal_steps_warn_in_the_caller(path):
    table = openface_table(ibug()).assign(timestamp=[0.0, 0.04, 0.08, 0.2, 0.24, 0.28])
    with pytest.warns(FrameRateWarning, match="smile.csv has frames 40 to 120 ms") as caught:
        read_openface_csv(write(table, path))
    assert caught[0].filename == __file__


def test_clips_of_several_tables_state_rates_and_file_names(tmp_path):
    paths = [write(openface_table(ibug()), tmp_path / name) for name in ("anna.csv", "ben.csv")]
    clips = pool_clips([read_openface_csv(path) for path in paths])
    assert clips.fps.tolist() == [25.0, 25.0]
    assert clips.names == ["Clip 0 (anna.csv)", "Clip 1 (ben.csv)"]
    assert clips.subjects is None


BAD_OPENFACE = {
    "no landmarks": (lambda t: t.loc[:, :"success"], "has no columns x_0, .* -2Dfp"),
    "one landmark short": (lambda t: t.drop(columns="y_41"), "has no column y_41, only"),
    "an image": (lambda t: t.drop(columns="frame"), "has no column frame, only face_id"),
    "no success": (lambda t: t.drop(columns="success"), "has no column success, only"),
    "text": (lambda t: t.assign(x_3="3,5"), "has '3,5' in row 1 of the column x_3"),
    "text in time": (lambda t: t.assign(timestamp="soon"), "'soon' in row 1 .* timestamp"),
    "empty cell": (lambda t: t.assign(x_3=np.nan), "empty or infinite .* of frame 1,"),
    "infinite": (lambda t: t.assign(x_3=np.inf), "empty or infinite .* of frame 1,"),
    "beyond float32": (lambda t: t.assign(x_3=1e300), "empty or infinite .* of frame 1,"),
    "no success at all": (lambda t: t.assign(success=0), "shows no face: all 6 frames"),
    "one point": (lambda t: t.assign(**{c: 5.0 for c in t if c[1] == "_"}), "at one point"),
    "two faces": (lambda t: t.assign(face_id=[0, 2] * 3), "faces 0, 2, .* with face_id"),
    "frame twice": (lambda t: t.assign(frame=[1, 2, 3, 3, 4, 5]), "has frame 3 twice"),
    "half a frame": (lambda t: t.assign(frame=t["frame"] / 2), "has 0.5 in row 1 .* frame"),
    "no frame number": (lambda t: t.assign(frame=np.nan), "has nan in row 1 .* frame"),
    "far frames": (lambda t: t.assign(frame=t["frame"] * 1000), "has 6 of the frames 1000 to"),
    "equal times": (lambda t: t.assign(timestamp=[0, 1, 2, 2, 3, 4]), "2 and 2 s .* 3 and 4"),
    "empty time": (lambda t: t.assign(timestamp=[0, 1, 2, np.nan, 3, 4]), "nan s at frame 4"),
    "infinite time": (lambda t: t.assign(timestamp=np.inf), "has the time inf s at frame 1"),
    "milliseconds": (
        lambda t: t.assign(timestamp=40 * t["frame"]),
        "imply 0.03 frames per",
    ),
    "no rows": (lambda t: t[:0], "no rows below its header"),
}


@pytest.mark.parametrize("kind", BAD_OPENFACE)
def test_openface_bad_table_is_named(path, kind):
    change, match = BAD_OPENFACE[kind]
    write(change(openface_table(ibug())), path)
    with pytest.raises(InvalidClipError, match=f"^The clip smile.csv .*{match}"):
        read_openface_csv(path)


def test_openface_absent_columns_of_an_option_are_named(path):
    write(openface_table(ibug()).drop(columns="confidence"), path)
    assert read_openface_csv(path)[0].shape == (6, 68, 2)
    with pytest.raises(InvalidClipError, match="has no column confidence"):
        read_openface_csv(path, min_confidence=0.5)
    with pytest.raises(InvalidClipError, match="has no columns X_0, .* -3Dfp"):
        read_openface_csv(path, coordinates="world")


@pytest.mark.parametrize(("drop", "match"), [([], "face_id=4"), (["face_id"], "no column of")])
def test_openface_face_that_is_not_there_is_named(path, drop, match):
    write(openface_table(ibug()).drop(columns=drop), path)
    with pytest.raises(InvalidClipError, match=f"smile.csv .*{match}"):
        read_openface_csv(path, face_id=4)


BAD_MEDIAPIPE = {
    "no frames": (wide_table, lambda t: t.drop(columns="frame"), "no column of frame numbers"),
    "no layout": (wide_table, lambda t: t[["frame"]], "named like x_0 .* the columns 'landmark'"),
    "no x": (long_table, lambda t: t.drop(columns="x"), "has no column x, only"),
    "no z of one": (wide_table, lambda t: t.drop(columns="z7"), "has no column z7, only"),
    "a point short": (long_table, lambda t: t[t["landmark"] != 477], "0 to 476, 477 in total"),
    "a gap": (long_table, lambda t: t.replace({"landmark": {9: 500}}), "landmarks 0 to 500, 478"),
    "from two": (long_table, lambda t: t.assign(landmark=t["landmark"] + 2), "2 to 479, 478"),
    "a row short": (long_table, lambda t: t.drop(index=480), "477 rows for frame 1, but one"),
    "two clips": (long_table, lambda t: pd.concat([t, t]), "956 rows for frame 0"),
    "a row twice": (long_table, lambda t: t.replace({"landmark": {3: 4}}), "0 to 477, 477"),
    "two names": (wide_table, lambda t: t.assign(x_4=0.5), "x4 and x_4, .* x of landmark 4"),
    "two cases": (wide_table, lambda t: t.assign(X4=0.5), "column 'x4' twice, because case"),
    "two clocks": (wide_table, lambda t: t.assign(time=0, timestamp=0), "columns time and timest"),
    "part of a face": (wide_table, lambda t: t.assign(x3=[0.1, *[np.nan] * 5]), "frame 1, but"),
    "two faces": (wide_table, lambda t: t.assign(face_id=[0, 1] * 3), "shows the faces 0, 1, but"),
    "pixels": (wide_table, lambda t: t.assign(y9=250.0), "coordinate 250, .*='isotropic'"),
}


@pytest.mark.parametrize("kind", BAD_MEDIAPIPE)
def test_mediapipe_bad_table_is_named(path, kind):
    layout, change, match = BAD_MEDIAPIPE[kind]
    write(change(layout(faces())), path)
    with pytest.raises(InvalidClipError, match=f"^The clip smile.csv .*{match}"):
        read_mediapipe_csv(path, **SIZE)


def test_mediapipe_openface_table_names_the_right_reader(path):
    write(openface_table(ibug(), ibug(n_dims=3)), path)
    with pytest.raises(InvalidClipError, match="read a table of OpenFace with read_openface_csv"):
        read_mediapipe_csv(path, **ISOTROPIC)


def test_mediapipe_depth_in_another_unit_is_named(path):
    clip = faces() * [WIDTH, HEIGHT, 1]  # z stays a fraction
    with pytest.raises(InvalidClipError, match="smile.csv has faces .* must share one unit"):
        read_mediapipe_csv(write(wide_table(clip), path), **ISOTROPIC)


def test_mediapipe_without_irises_needs_a_choice(path):
    write(wide_table(faces(n_landmarks=468)), path)
    with pytest.raises(InvalidClipError, match="468 landmarks, .* iris='eye_centre'"):
        read_mediapipe_csv(path, **SIZE)


@pytest.mark.parametrize("size", [{}, {"width": 640}, SIZE | ISOTROPIC, {"height": 3} | ISOTROPIC])
def test_mediapipe_size_and_coordinates_go_together(path, size):
    write(wide_table(faces()), path)
    with pytest.raises(ValueError, match="width and height .* got width="):
        read_mediapipe_csv(path, **size)


@pytest.mark.parametrize("size", [0, np.nan, "640"])
def test_mediapipe_bad_size_is_named(path, size):
    with pytest.raises(ValueError, match="'width' parameter"):
        read_mediapipe_csv(path, width=size, height=360)


@pytest.mark.parametrize(
    ("content", "match"),
    [
        (b"", "cannot be read from"),
        (b"\xff\xfe\x00f", "utf-8"),
        (b"frame,x0, x0\n1,2,3\n", "more than once: x0.* Column names must be unique"),
        (b"frame,x0\n1,2,3\n", "cannot be read from .* rows must match the header"),
        (b"frame,x0\n1,2\n1,2,3\n", "in line 3, saw 3.* rows must match the header"),
        (b"frame|x0\n1|2\n", r"frame\|x0"),
        (b"\n\nframe,x0\n", "no rows below its header"),
    ],
)
@pytest.mark.parametrize("reader", [read_openface_csv, read_mediapipe_csv])
def test_readers_bad_file_is_named(path, reader, content, match):
    path.write_bytes(content)
    options = SIZE if reader is read_mediapipe_csv else {}
    with pytest.raises(InvalidClipError, match=f"^The clip smile.csv (?s:.*){match}"):
        reader(path, **options)


@pytest.mark.parametrize("reader", [read_openface_csv, read_mediapipe_csv])
def test_readers_absent_file_is_named(path, reader):
    options = SIZE if reader is read_mediapipe_csv else {}
    with pytest.raises(InvalidClipError, match="smile.csv cannot be read: .* does not exist"):
        reader(path, **options)
