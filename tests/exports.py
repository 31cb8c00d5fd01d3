"""Make files in the formats of other tools from a clip and its signals."""

import io
import json

import numpy as np
import pandas as pd

from smilefusion.landmarks import BLENDSHAPE_NAMES

FPS = 25.0
SIZE = (640, 360)  # width and height of the image

# https://github.com/TadasBaltrusaitis/OpenFace/wiki/Output-Format, and the names in
# feat/utils/__init__.py of py-feat, which reads such tables.
_OPENFACE_AUS = (1, 2, 4, 5, 6, 7, 9, 10, 12, 14, 15, 17, 20, 23, 25, 26, 45)
_OPENFACE_HEAD = ("frame", "face_id", "timestamp", "confidence", "success")
_OPENFACE_POSE = (
    *(f"gaze_{eye}_{axis}" for eye in (0, 1) for axis in "xyz"),
    *("gaze_angle_x", "gaze_angle_y"),
    *(f"eye_lmk_{axis}_{point}" for axis in "xyXYZ" for point in range(56)),
    *("pose_Tx", "pose_Ty", "pose_Tz", "pose_Rx", "pose_Ry", "pose_Rz"),
)
_OPENFACE_SHAPE = (
    "p_scale",
    "p_rx",
    "p_ry",
    "p_rz",
    "p_tx",
    "p_ty",
    *(f"p_{i}" for i in range(34)),
)
OPENFACE_SIGNALS = (
    *(f"AU{number:02}_r" for number in _OPENFACE_AUS),
    *(f"AU{number:02}_c" for number in sorted((*_OPENFACE_AUS, 28))),
)
# The header of feat/tests/data/Feat_Test.csv of py-feat 1.
_PYFEAT_BOX = ("FaceRectX", "FaceRectY", "FaceRectWidth", "FaceRectHeight", "FaceScore")
_PYFEAT_AUS = (1, 2, 4, 5, 6, 7, 9, 10, 11, 12, 14, 15, 17, 20, 23, 24, 25, 26, 28, 43)
PYFEAT_SIGNALS = tuple(f"AU{number:02}" for number in _PYFEAT_AUS)
_PYFEAT_EMOTIONS = (*("anger", "disgust", "fear", "happiness", "sadness", "surprise", "neutral"),)
# feat/detector_v2.py and feat/multitask/__init__.py of py-feat 2.
_PYFEAT_POSE = ("Pitch", "Roll", "Yaw", "X", "Y", "Z")
_PYFEAT_2 = (
    *("Neutral", "Happy", "Sad", "Surprise", "Fear", "Disgust", "Anger", "valence", "arousal"),
    *("gaze_pitch", "gaze_yaw", "gaze_angle", *(f"Identity_{i + 1}" for i in range(512))),
)
_PYFEAT_END = ("FrameHeight", "FrameWidth", "input", "frame", "approx_time", "Identity")
# "Output Format" in README_pypi.rst of LibreFace.
LIBREFACE_SIGNALS = (
    *(f"au_{number}" for number in (1, 2, 4, 6, 7, 10, 12, 14, 15, 17, 23, 24)),
    *(f"au_{number}_intensity" for number in (1, 2, 4, 5, 6, 9, 12, 15, 17, 20, 25, 26)),
)
# The header of a take of Live Link Face.
LIVE_LINK_SIGNALS = (
    *("EyeBlinkLeft", "EyeLookDownLeft", "EyeLookInLeft", "EyeLookOutLeft", "EyeLookUpLeft"),
    *("EyeSquintLeft", "EyeWideLeft", "EyeBlinkRight", "EyeLookDownRight", "EyeLookInRight"),
    *("EyeLookOutRight", "EyeLookUpRight", "EyeSquintRight", "EyeWideRight", "JawForward"),
    *("JawRight", "JawLeft", "JawOpen", "MouthClose", "MouthFunnel", "MouthPucker", "MouthRight"),
    *("MouthLeft", "MouthSmileLeft", "MouthSmileRight", "MouthFrownLeft", "MouthFrownRight"),
    *("MouthDimpleLeft", "MouthDimpleRight", "MouthStretchLeft", "MouthStretchRight"),
    *("MouthRollLower", "MouthRollUpper", "MouthShrugLower", "MouthShrugUpper"),
    *("MouthPressLeft", "MouthPressRight", "MouthLowerDownLeft", "MouthLowerDownRight"),
    *("MouthUpperUpLeft", "MouthUpperUpRight", "BrowDownLeft", "BrowDownRight", "BrowInnerUp"),
    *("BrowOuterUpLeft", "BrowOuterUpRight", "CheekPuff", "CheekSquintLeft", "CheekSquintRight"),
    *("NoseSneerLeft", "NoseSneerRight", "TongueOut", "HeadYaw", "HeadPitch", "HeadRoll"),
    *("LeftEyeYaw", "LeftEyePitch", "LeftEyeRoll", "RightEyeYaw", "RightEyePitch", "RightEyeRoll"),
)
# The header of feat/tests/data/iMotions_Test_v6.txt of py-feat, an export of iMotions 6.1.
_IMOTIONS_HEAD = (
    *("StudyName", "ExportDate", "Name", "Age", "Gender", "StimulusName", "SlideType"),
    *("EventSource", "Timestamp", "MediaTime", "PostMarker", "Annotation", "FrameNo", "FrameTime"),
    *("NoOfFaces", "FaceRect X", "FaceRect Y", "FaceRect Width", "FaceRect Height"),
)
_IMOTIONS_STATES = ("Joy", "Anger", "Surprise", "Fear", "Contempt", "Disgust", "Sadness")
_IMOTIONS_STATES += ("Confusion", "Frustration", "Neutral", "Positive", "Negative")
_IMOTIONS_AUS = (1, 2, 4, 5, 6, 7, 9, 10, 12, 14, 15, 17, 18, 20, 23, 24, 25, 26, 28, 43)
IMOTIONS_SIGNALS = tuple(f"AU{number} Evidence" for number in _IMOTIONS_AUS)
_IMOTIONS_POINTS = (
    *("LEFT_EYE_LATERAL", "LEFT_EYE_PUPIL", "LEFT_EYE_MEDIAL", "RIGHT_EYE_MEDIAL"),
    *("RIGHT_EYE_PUPIL", "RIGHT_EYE_LATERAL", "NOSE_TIP", "7"),
)
_IMOTIONS_END = (
    *("HasGlasses Probability", "IsMale Probability"),
    *("Yaw Degrees", "Pitch Degrees", "Roll Degrees"),
    *(f"{point} {axis}" for point in _IMOTIONS_POINTS for axis in "XY"),
    *("LiveMarker", "KeyStroke", "MarkerText", "SceneType", "SceneOutput", "SceneParent"),
)


def make_signals(clip, names):
    """Return signals of a clip: multiples of the distance between the lip corners."""
    corners = (61, 291) if clip.shape[1] == 478 else (48, 54)
    width = np.linalg.norm(clip[:, corners[0], :2] - clip[:, corners[1], :2], axis=1)
    values = np.outer(width.astype(np.float64), np.arange(1, len(names) + 1))
    return pd.DataFrame(values, columns=list(names))


def landmark_columns(clip, pattern, axes):
    """Return the landmarks as columns, one axis after another."""
    return {
        pattern.format(axis=axis, point=point): clip[:, point, k].astype(np.float64)
        for k, axis in enumerate(axes)
        for point in range(clip.shape[1])
    }


def _frame(n_frames, names, **columns):
    """Return a table with columns in the order of `names`; columns without values are 0.5."""
    data = {name: columns.get(name, 0.5) for name in names}
    return pd.DataFrame(data, index=range(n_frames))


def openface_2(clip):
    """Return an OpenFace 2 table for a clip (n_frames, 68, 2)."""
    seen = ~np.isnan(clip[:, 0, 0])
    world = np.dstack([clip, clip[..., :1]])
    points = landmark_columns(clip, "{axis}_{point}", "xy")
    points |= landmark_columns(world, "{axis}_{point}", "XYZ")
    head = {
        "frame": np.arange(1, len(clip) + 1),
        "face_id": 0,
        "timestamp": np.round(np.arange(len(clip)) / FPS, 3),
        "confidence": np.where(seen, 0.98, 0.2),
        "success": seen.astype(int),
    }
    names = (*_OPENFACE_HEAD, *_OPENFACE_POSE, *points, *_OPENFACE_SHAPE, *OPENFACE_SIGNALS)
    table = _frame(len(clip), names, **head, **points, **make_signals(clip, OPENFACE_SIGNALS))
    return table.fillna(0.0)  # what OpenFace writes without a face


def openface_3(clip):
    """Return an OpenFace 3 table, with 98 points, for a clip (n_frames, 68, 2)."""
    names = [f"action_unit_{i}" for i in range(8)]
    signals = make_signals(clip, names)
    points = np.full((len(clip), 98, 2), -1.0)
    eyes = (60, 61, 63, 64, 65, 67, 68, 69, 71, 72, 73, 75)
    ours = (
        *range(0, 33, 2),
        *range(33, 38),
        *range(42, 47),
        *range(51, 60),
        *eyes,
        *range(76, 96),
    )
    points[:, ours] = clip
    seen = ~np.isnan(clip[:, 0, 0])
    return pd.DataFrame(
        {
            "timestamp": "2026-02-03 10:11:12",
            "video_path": "smile.mp4",
            "frame_index": range(len(clip)),
            "face_id": np.where(seen, 0, np.nan),
            "face_detection": [str([1.0, 2.0, 3.0, 4.0, 0.9]) if s else None for s in seen],
            "landmarks": [
                str(p.tolist()) if s else None for p, s in zip(points, seen, strict=True)
            ],
            "emotion": 1,
            "gaze_yaw": 0.1,
            "gaze_pitch": 0.1,
            "action_units": [
                str([row.tolist()]) if s else None
                for row, s in zip(signals.to_numpy(), seen, strict=True)
            ],
        }
    )


def _pyfeat_score(clip):
    return np.where(np.isnan(clip[:, 0, 0]), 0.0, 0.99)


def pyfeat_1(clip):
    """Return a py-feat 1 table for a clip (n_frames, 68, 2)."""
    points = landmark_columns(clip, "{axis}_{point}", "xy")
    names = ("frame", *_PYFEAT_BOX, *points, *PYFEAT_SIGNALS)
    names += ("Pitch", "Roll", "Yaw", *_PYFEAT_EMOTIONS, "input")
    signals = make_signals(clip, PYFEAT_SIGNALS)
    head = {"frame": np.arange(len(clip)), "FaceScore": _pyfeat_score(clip), "input": "smile.mp4"}
    return _frame(len(clip), names, **head, **points, **signals).fillna(0.0)


def pyfeat_mesh(clip):
    """Return a table of py-feat 2's Detectorv2 for a clip (n_frames, 478, 2)."""
    mesh = landmark_columns(np.dstack([clip, clip[..., :1]]), "mesh_{axis}_{point}", "xyz")
    few = [f"{axis}_{point}" for axis in "xy" for point in range(68)]
    names = (*_PYFEAT_BOX, *few, *_PYFEAT_POSE, *PYFEAT_SIGNALS, *_PYFEAT_2, *mesh, *_PYFEAT_END)
    return _frame(
        len(clip), names, **_pyfeat_end(clip), **mesh, **make_signals(clip, PYFEAT_SIGNALS)
    )


def pyfeat_blendshapes(clip):
    """Return a table of py-feat's MPDetector for a clip (n_frames, 478, 2)."""
    points = landmark_columns(np.dstack([clip, clip[..., :1]]), "{axis}_{point}", "xyz")
    names = (*_PYFEAT_BOX, *points, *_PYFEAT_POSE, *BLENDSHAPE_NAMES, *_PYFEAT_EMOTIONS)
    names += ("gaze_angle", *_PYFEAT_END)
    signals = make_signals(clip, BLENDSHAPE_NAMES)
    return _frame(len(clip), names, **_pyfeat_end(clip), **points, **signals)


def _pyfeat_end(clip):
    return {
        "FaceScore": _pyfeat_score(clip),
        "input": "smile.mp4",
        "frame": np.arange(len(clip)),
        "approx_time": "00:00",
        "Identity": "Person_0",
    }


def libreface(clip):
    """Return a LibreFace table for a clip (n_frames, 478, 3) in image heights."""
    points = landmark_columns(_fractions(clip), "lm_mp_{point}_{axis}", "xyz")
    head = {
        "frame_idx": np.arange(len(clip)),
        "frame_time_in_ms": np.arange(len(clip)) * 1e3 / FPS,
        "facial_expression": "Happiness",
    }
    names = ("frame_idx", "frame_time_in_ms", "pitch", "yaw", "roll", *points)
    names += (*LIBREFACE_SIGNALS, "facial_expression")
    return _frame(len(clip), names, **head, **points, **make_signals(clip, LIBREFACE_SIGNALS))


def live_link(clip, rate=60):
    """Return a Live Link Face table with the signals of a clip, without landmarks."""
    frames = 60 * rate - 10 + np.arange(len(clip))  # the clip spans a change of second and minute
    codes = [f"14:03:{f // rate % 60:02}:{f % rate:02}.207" for f in frames]
    codes = [
        code if f < 60 * rate else f"14:04{code[5:]}"
        for code, f in zip(codes, frames, strict=True)
    ]
    names = ("Timecode", "BlendShapeCount", *LIVE_LINK_SIGNALS)
    head = {"Timecode": codes, "BlendShapeCount": 61}
    return _frame(len(clip), names, **head, **make_signals(clip, LIVE_LINK_SIGNALS))


def imotions(clip):
    """Return an iMotions table with the signals of a clip; its landmarks are not read."""
    states = [f"{name} {kind}" for name in _IMOTIONS_STATES for kind in ("Evidence", "Intensity")]
    names = (*_IMOTIONS_HEAD, *states, *IMOTIONS_SIGNALS, *_IMOTIONS_END)
    seen = ~np.isnan(clip[:, 0, 0])
    head = {
        "Name": "anna",
        "StimulusName": "joke",
        "EventSource": "Emotient FACET",
        "FrameNo": np.arange(len(clip)),
        "FrameTime": np.round(35 + np.arange(len(clip)) * 1e3 / FPS),
        "NoOfFaces": seen.astype(int),
    }
    return _frame(len(clip), names, **head, **make_signals(clip, IMOTIONS_SIGNALS))


def mediapipe(clip):
    """Return a wide MediaPipe table for a clip (n_frames, 478, 3) in image heights."""
    points = landmark_columns(_fractions(clip), "{axis}{point}", "xyz")
    head = {"frame": np.arange(len(clip)), "timestamp_ms": np.arange(len(clip)) * 1e3 / FPS}
    signals = make_signals(clip, BLENDSHAPE_NAMES)
    return _frame(len(clip), (*head, *points, *BLENDSHAPE_NAMES), **head, **points, **signals)


def mediapipe_json(clip, *, python=False, lines=False):
    """Return FaceLandmarker results (tasks-vision or Python) for a clip in image heights."""
    scores = make_signals(clip, BLENDSHAPE_NAMES).to_numpy()
    results = []
    for i, (face, row) in enumerate(zip(_fractions(clip), scores, strict=True)):
        is_seen = not np.isnan(face[0, 0])
        points = [dict(zip("xyz", point.tolist(), strict=True)) for point in face]
        name = "category_name" if python else "categoryName"
        scored = [
            {"index": k, "score": score, name: BLENDSHAPE_NAMES[k]} for k, score in enumerate(row)
        ]
        shapes = scored if python else {"categories": scored, "headIndex": -1, "headName": ""}
        keys = (
            ("face_landmarks", "face_blendshapes")
            if python
            else ("faceLandmarks", "faceBlendshapes")
        )
        values = ([points], [shapes]) if is_seen else ([], [])
        results.append({**dict(zip(keys, values, strict=True)), "timestampMs": i * 1e3 / FPS})
    if lines:
        return "\n".join(map(json.dumps, results))
    return json.dumps(results)


def as_text(table, *, separator=",", blank="", comment=""):
    """Return a table as text."""
    stream = io.StringIO()
    table.rename(columns=lambda name: f"{blank}{name}").to_csv(stream, sep=separator, index=False)
    return comment + stream.getvalue()


def _fractions(clip):
    width, height = SIZE
    return clip.astype(np.float64) / [width / height, 1.0, width / height]
