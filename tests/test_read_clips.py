"""Files of other tools give back the landmarks and signals that they were made from."""

import exports
import numpy as np
import pandas as pd
import pytest
from exports import FPS, SIZE, as_text, make_signals
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from smilefusion.clips import check_signals, pool_clips
from smilefusion.datasets import make_smiles
from smilefusion.exceptions import DataWarning, FrameRateWarning, InvalidClipError
from smilefusion.readers import read_clips

quick = settings(
    max_examples=5,
    derandomize=True,
    deadline=None,
    database=None,
    suppress_health_check=list(HealthCheck),
    phases=[Phase.generate],  # shrinking such tables takes minutes
)


def _make_clip(n_landmarks):
    """A short simulated clip with missing frames."""
    smiles = make_smiles(
        2, n_subjects=1, fps=FPS, missing_rate=0.1, n_landmarks=n_landmarks, random_state=0
    )
    clip = smiles.clips[1][40:60]
    assert np.isnan(clip).any()
    return clip


MESH = _make_clip(478)
IBUG = _make_clip(68)[..., :2]
SIGNALS_3 = [f"action_unit_{i}" for i in range(8)]
# Format, function that writes it, the clip, whether landmarks are read, signals, frame rate.
CASES = {
    "OpenFace 2": ("OpenFace 2", exports.openface_2, IBUG, True, exports.OPENFACE_SIGNALS, FPS),
    "OpenFace 3": ("OpenFace 3", exports.openface_3, IBUG, True, SIGNALS_3, np.nan),
    "py-feat 1": ("py-feat 1", exports.pyfeat_1, IBUG, True, exports.PYFEAT_SIGNALS, np.nan),
    "mesh": (
        *("py-feat 2", exports.pyfeat_mesh, MESH[..., :2], True),
        *(exports.PYFEAT_SIGNALS, np.nan),
    ),
    "MPDetector": (
        *("py-feat 1", exports.pyfeat_blendshapes, MESH[..., :2], True),
        *(exports.BLENDSHAPE_NAMES, np.nan),
    ),
    "LibreFace": ("LibreFace", exports.libreface, MESH, True, exports.LIBREFACE_SIGNALS, FPS),
    "Live Link Face": (
        *("Live Link Face", exports.live_link, MESH, False, exports.LIVE_LINK_SIGNALS, 60.0),
    ),
    "iMotions": ("iMotions", exports.imotions, MESH, False, exports.IMOTIONS_SIGNALS, FPS),
    "MediaPipe": ("MediaPipe", exports.mediapipe, MESH, True, exports.BLENDSHAPE_NAMES, FPS),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("exports")


def read(text, folder, **options):
    path = folder / "smile.csv"
    path.write_text(text)
    return read_clips(path, **options)


def size_of(case):
    return {"image_size": SIZE} if case in ("LibreFace", "MediaPipe") else {}


def check(data, case, kept=None):
    """Check that a file gave the clip and its signals, of which rows may be absent."""
    found, _, clip, has_landmarks, names, fps = CASES[case]
    signals = make_signals(clip, names)
    if kept is not None:
        clip, signals = clip.copy(), signals.copy()
        absent = np.setdiff1d(np.arange(len(clip)), kept)
        clip[absent], signals.iloc[absent] = np.nan, np.nan
        clip, signals = (each[min(kept) : max(kept) + 1] for each in (clip, signals))
    assert data.format == found
    assert sorted(data.signals.signals) == sorted(names)
    got = pd.DataFrame(data.signals[0], columns=data.signals.signals)[list(names)]
    np.testing.assert_allclose(got, signals, rtol=1e-12)
    assert (data.clips is not None) == has_landmarks
    if has_landmarks:
        assert np.array_equal(data.clips[0], clip, equal_nan=True)
        assert data.clips[0].dtype == np.float32
        assert data.clips.signals is data.signals
    np.testing.assert_equal(data.signals.fps, [fps])


@pytest.mark.parametrize("case", CASES)
def test_export_gives_back_landmarks_and_signals(folder, case):
    _, write, clip, *_ = CASES[case]
    check(read(as_text(write(clip)), folder, **size_of(case)), case)


@pytest.mark.parametrize("case", CASES)
@quick
@given(st.integers(0, 10**6), st.sampled_from(",\t;"), st.sampled_from(("", " ")))
def test_order_separator_blanks_and_holes_change_nothing(folder, case, seed, separator, blank):
    _, write, clip, *_ = CASES[case]
    rng = np.random.default_rng(seed)
    table = write(clip)
    rows = rng.permutation(len(clip))[: rng.integers(12, 21)]
    table = table.iloc[rows][rng.permutation(table.columns)]
    text = as_text(table, separator=separator, blank=blank)
    check(read(text, folder, **size_of(case)), case, sorted(rows))


@pytest.mark.parametrize("options", [{}, {"python": True}, {"lines": True}])
def test_json_of_mediapipe_gives_back_landmarks_and_blendshapes(folder, options):
    data = read(exports.mediapipe_json(MESH, **options), folder, image_size=SIZE)
    check(data, "MediaPipe")


def test_times_of_libreface_in_seconds_or_milliseconds_are_told_apart(folder):
    table = exports.libreface(MESH)
    seconds = table.assign(frame_time_in_ms=table["frame_idx"] / FPS)
    data = read(as_text(seconds), folder, image_size=SIZE)
    assert data.signals.fps.tolist() == data.clips.fps.tolist() == [FPS]
    assert "frame_time_in_ms contains seconds" in data.DESCR


def test_frames_without_numbers_are_numbered_by_their_times(folder):
    table = exports.mediapipe(MESH).drop(columns="frame").drop(index=[3, 4])
    check(read(as_text(table), folder, image_size=SIZE), "MediaPipe", [0, 1, 2, *range(5, 20)])


@pytest.mark.parametrize(("fps", "expected"), [(None, 30.0), (29.97, 29.97)])
def test_timecodes_give_the_frame_rate_unless_it_is_passed(folder, fps, expected):
    data = read(as_text(exports.live_link(MESH, rate=30)), folder, fps=fps)
    assert data.signals.fps.tolist() == [expected]
    assert len(data.signals[0]) == len(MESH)


@pytest.mark.parametrize("ticks", [0.5, 2])
def test_timecodes_may_tick_at_another_rate_than_the_frames(folder, ticks):
    table = exports.live_link(MESH)  # 60 ticks per second
    times = np.arange(len(MESH)) * ticks + 55
    codes = [f"14:03:{t // 60:02.0f}:{t % 60 // 1:02.0f}.{t % 1 * 1000:03.0f}" for t in times]
    data = read(as_text(table.assign(Timecode=codes)), folder)
    assert data.signals.fps.tolist() == [60 / ticks]
    expected = make_signals(MESH, exports.LIVE_LINK_SIGNALS)
    np.testing.assert_allclose(data.signals[0], expected)


def test_fps_replaces_times(folder):
    table = exports.openface_2(IBUG).assign(timestamp=np.nan)
    data = read(as_text(table), folder, fps=50)
    assert data.clips.fps.tolist() == data.signals.fps.tolist() == [50.0]


def test_uneven_times_warn_in_the_caller(folder):
    table = exports.openface_2(IBUG)
    table.loc[5:, "timestamp"] += 0.1
    path = folder / "uneven.csv"
    path.write_text(as_text(table))
    with pytest.warns(FrameRateWarning, match="uneven.csv .* has frames 40 to 140 ms") as caught:
        read_clips(path)
    assert caught[0].filename == __file__


def test_lines_above_the_header_of_imotions_are_skipped(folder):
    comment = "#Study : Smiles\n#Version : 6.1.2667.3\n\n"
    text = as_text(exports.imotions(MESH), separator="\t", comment=comment)
    data = read(text, folder)
    check(data, "iMotions")
    assert data.signals.subjects.tolist() == ["anna"]
    assert data.signals.names == ["Clip 0 (anna joke)"]


def test_rows_of_other_sensors_are_skipped(folder):
    table = exports.imotions(MESH)
    other = table.assign(**dict.fromkeys([*exports.IMOTIONS_SIGNALS, "FrameNo", "FrameTime"]))
    check(read(as_text(pd.concat([table, other]).sort_index()), folder), "iMotions")


@pytest.mark.parametrize("case", ["OpenFace 2", "py-feat 1", "MediaPipe", "LibreFace"])
def test_column_that_names_the_clip_splits_the_table(folder, case):
    write, clip = CASES[case][1:3]
    tables = [
        write(each).drop(columns="input", errors="ignore").assign(video=name, subject=who)
        for each, name, who in ((clip, "b_2", "ben"), (clip[5:], "a_1", "anna"))
    ]
    data = read(as_text(pd.concat(tables)), folder, **size_of(case))
    assert data.clips.names == data.signals.names == ["Clip 0 (b_2)", "Clip 1 (a_1)"]
    assert data.clips.subjects.tolist() == data.signals.subjects.tolist() == ["ben", "anna"]
    assert np.array_equal(data.clips[0], clip, equal_nan=True)
    assert np.array_equal(data.clips[1], clip[5:], equal_nan=True)
    assert len(data.signals[1]) == len(clip) - 5


def test_clips_and_signals_of_several_files_are_pooled(folder):
    table = exports.openface_2(IBUG)
    files = [read(as_text(table.assign(subject=who)), folder) for who in ("anna", "ben")]
    reordered = read(as_text(table[table.columns[::-1]].assign(subject="anna")), folder)
    files.append(reordered)
    clips = pool_clips([data.clips for data in files])
    signals = pool_clips([data.signals for data in files])
    assert clips.names == signals.names == [f"Clip {i} (smile.csv)" for i in range(3)]
    assert signals.subjects.tolist() == clips.signals.subjects.tolist() == ["anna", "ben", "anna"]
    assert signals.signals == files[0].signals.signals
    np.testing.assert_array_equal(signals[2], files[0].signals[0])
    with pytest.raises(InvalidClipError, match="the signal 'AU.*, but others do not"):
        pool_clips([files[0].signals, check_signals(files[1].signals, signals=["AU06_r"])])


def test_pooled_clips_keep_the_signals_that_all_have(folder):
    openface, pyfeat = exports.openface_2(IBUG), exports.pyfeat_1(IBUG)
    few = openface[["frame", "success", "AU12_r", "AU06_r", *openface.filter(regex=r"^[xy]_")]]
    full, part, other = (read(as_text(t), folder).clips for t in (openface, few, pyfeat))
    pooled = pool_clips([full, part])
    assert pooled.signals.signals == ("AU06_r", "AU12_r")
    assert np.array_equal(pooled.signals[1], part.signals[0][:, ::-1], equal_nan=True)
    assert pool_clips([full, other]).signals is None


def test_long_table_of_several_clips_is_split(folder):
    frames, points = np.indices(MESH.shape[:2])
    columns = {"frame": frames.ravel(), "landmark": points.ravel()}
    table = pd.DataFrame(columns | dict(zip("xyz", 900 * MESH.reshape(-1, 3).T, strict=True)))
    tables = [table.assign(clip=name).dropna() for name in ("one", "two")]
    data = read(as_text(pd.concat(tables)), folder)
    assert len(data.clips) == 2
    assert data.signals is None
    assert np.array_equal(data.clips[1], 900 * MESH, equal_nan=True)


@pytest.mark.parametrize(
    ("case", "column", "faces"),
    [
        ("OpenFace 2", "face_id", (0, 1)),
        ("py-feat 1", "Identity", ("Person_0", "Person_1")),
        ("MediaPipe", "face_id", (3, 4)),
        ("OpenFace 3", "face_id", (0, 1)),
    ],
)
def test_one_of_several_faces_is_chosen(folder, case, column, faces):
    write, clip = CASES[case][1:3]
    tables = [
        write(each).assign(**{column: face})
        for each, face in zip((clip, -clip), faces, strict=True)
    ]
    text = as_text(pd.concat(tables))
    with pytest.raises(InvalidClipError, match=f"faces {faces[0]}, {faces[1]}, .* with face_id"):
        read(text, folder, **size_of(case))
    data = read(text, folder, face_id=faces[1], **size_of(case))
    assert np.array_equal(data.clips[0], -clip, equal_nan=True)


@pytest.mark.parametrize("case", ["LibreFace", "MediaPipe"])
def test_landmarks_in_fractions_need_the_image_size(folder, case):
    text = as_text(CASES[case][1](MESH))
    with pytest.warns(DataWarning, match=r"smile.csv .* Pass image_size=\(w") as caught:
        data = read(text, folder)
    assert caught[0].filename == __file__
    assert data.clips is None
    assert data.signals.shape == (1,)
    assert "not read because the shape of the image is unknown" in data.DESCR


def test_landmarks_in_fractions_without_signals_are_refused(folder):
    table = exports.mediapipe(MESH).drop(columns=list(exports.BLENDSHAPE_NAMES))
    with pytest.raises(InvalidClipError, match=r"Pass image_size=\(width, height\)"):
        read(as_text(table), folder)


@pytest.mark.parametrize("size", [(640,), (640, 0), (640, np.nan), ("640", "360"), "640x360"])
def test_bad_image_size_is_named(folder, size):
    with pytest.raises(ValueError, match="image_size"):
        read(as_text(exports.mediapipe(MESH)), folder, image_size=size)


@pytest.mark.parametrize("names", [("AU12_r",), ("AU06_r", "AU12_r")])
def test_signals_can_be_read_without_landmarks(folder, names):
    kept = ["frame", "success", *names]
    data = read(as_text(exports.openface_2(IBUG)[kept]), folder)
    assert data.clips is None
    assert data.signals.signals == names


def test_unused_columns_are_named(folder):
    table = exports.libreface(MESH)
    data = read(as_text(table), folder, image_size=SIZE)
    assert data.DESCR.endswith("Unused columns: pitch, yaw, roll, facial_expression.")
    assert "478 landmarks (x, y, z in image heights) and 24 signals (au_1, au_2," in data.DESCR


def test_model_in_millimetres_is_read_if_the_image_is_absent(folder):
    table = exports.openface_2(IBUG)
    table = table.drop(columns=[c for c in table if c[:2] in ("x_", "y_")])
    data = read(as_text(table), folder)
    assert data.clips[0].shape == (len(IBUG), 68, 3)
    assert "in millimetres" in data.DESCR


def flatten(table):
    """Convert x and y to pixels, but not z."""
    width, height = SIZE
    scale = {
        c: width if c[0] == "x" else height for c in table if c[0] in "xy" and c[1:].isdigit()
    }
    return table.assign(**{column: table[column] * each for column, each in scale.items()})


BAD = {
    "unknown": ("py-feat 1", lambda t: t[["frame"]], "not those of OpenFace 2, OpenFace 3, py-f"),
    "cut in width": ("OpenFace 2", lambda t: t.drop(columns="y_41"), "no column y_41, .* Feature"),
    "no success": ("OpenFace 2", lambda t: t.drop(columns="success"), "no column success"),
    "points only": (
        "OpenFace 2",
        lambda t: t[["frame", *(c for c in t if c[:2] in ("x_", "y_"))]],
        "no column success, .* FeatureExtraction",
    ),
    "half a mesh": ("py-feat 2", lambda t: t.drop(columns="mesh_x_99"), "mesh_x_99, .* py-feat"),
    "half LibreFace": ("LibreFace", lambda t: t.drop(columns="lm_mp_4_z"), "lm_mp_4_z, .* Libre"),
    "no units": ("OpenFace 3", lambda t: t.drop(columns="action_units"), "action_units, .* Open"),
    "short list": ("OpenFace 3", lambda t: t.assign(action_units="[1, 2]"), "1, 2.* 8 numbers"),
    "no timecode": ("Live Link Face", lambda t: t.drop(columns="Timecode"), "Live Link Face, but"),
    "bad timecode": ("Live Link Face", lambda t: t.assign(Timecode="1:2"), "'1:2' in row 1 .* HH"),
    "one second": ("Live Link Face", lambda t: t[:5], "within one second, .* fps=60"),
    "no frames": ("iMotions", lambda t: t.assign(FrameNo=None), "no row with .* from iMotions"),
    "no number": ("py-feat 1", lambda t: t.drop(columns="frame"), "column of frame numbers, such"),
    "mixed": (
        "LibreFace",
        lambda t: t.assign(AU12_r=0.1, FaceRectX=0.0),
        r"of OpenFace 2 \(AU12_r\) and of py-feat 1 \(FaceRectX\) and of LibreFace \(lm_mp_0_x\)",
    ),
    "OpenFace 3 as 2": ("OpenFace 2", lambda t: t.assign(AU03_r=0.1), "AU03_r, .* of OpenFace 3"),
    "cut cell": (
        "OpenFace 2",
        lambda t: t.assign(AU12_r=[0.1, 0.2, *[np.nan] * 18]),
        "no value of 'AU12_r' in frame 2",
    ),
    "text": ("py-feat 1", lambda t: t.assign(AU12="much"), "'much' in row 1 of the column AU12"),
    "two subjects": (
        "OpenFace 2",
        lambda t: t.assign(subject=["anna", "ben"] * 10),
        "subjects anna, ben, .* column 'clip'",
    ),
    "no name": ("OpenFace 2", lambda t: t.assign(clip=["a", None] * 10), "empty cell in row 2"),
    "images": (
        "py-feat 1",
        lambda t: t.assign(input=[f"{i}.png" for i in range(20)]),
        "one row for each value",
    ),
    "two clips": ("OpenFace 2", lambda t: pd.concat([t, t]), "frame 1 twice"),
    "other face": ("LibreFace", lambda t: t, "no column of faces, but face_id=7", {"face_id": 7}),
    "too fast": (
        "Live Link Face",
        lambda t: t.replace({t["Timecode"][0]: "1:2:3:75"}),
        "75 in .* most 59",
    ),
    "far point": (
        "LibreFace",
        lambda t: t.assign(lm_mp_7_y=9.5),
        "coordinate 9.5 among fractions",
    ),
    "flat": ("MediaPipe", flatten, "faces .* deep, but x, y and z must share one unit"),
    "uneven": (
        "MediaPipe",
        lambda t: t.drop(columns="frame").assign(timestamp_ms=np.arange(20.0) ** 3),
        "too uneven to number",
    ),
}


@pytest.mark.parametrize("kind", BAD)
def test_wrong_cut_and_mixed_tables_are_refused(folder, kind):
    case, change, match, *options = BAD[kind]
    named = "" if kind in ("unknown", "mixed") else rf" \({case}\)"
    case = {"py-feat 2": "mesh"}.get(case, case)
    text = as_text(change(CASES[case][1](CASES[case][2])))
    with pytest.raises(InvalidClipError, match=f"smile.csv{named}.*{match}") as error:
        read(text, folder, **size_of(case), **(options[0] if options else {}))
    assert str(error.value).isprintable()


@pytest.mark.parametrize(
    ("change", "match"),
    [
        (lambda text: text[:-40], "looks like JSON of MediaPipe"),
        (lambda text: "[]", "neither faceLandmarks nor faceBlendshapes"),
        (lambda text: '{"a": 1}', "neither faceLandmarks nor faceBlendshapes"),
        (lambda text: '[{"faceLandmarks": []}]', "shows no face: no result has"),
        (lambda text: text.replace('"x"', '"u"', 1), "can be read .*x"),
        (lambda text: text.replace('"timestampMs"', '"frame"', 1), "result has no frame number"),
        (lambda text: text.replace('"_neutral"', '"neutral"', 1), "different blendshapes"),
        (lambda text: text.replace("[[{", "[[{}], [{", 1), "shows 2 faces in result 1"),
    ],
)
def test_bad_json_is_refused(folder, change, match):
    text = change(exports.mediapipe_json(MESH))
    with pytest.raises(InvalidClipError, match=f"smile.csv .*{match}"):
        read(text, folder, image_size=SIZE)
