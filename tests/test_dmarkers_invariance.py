import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from smilefusion import DMarkerTransformer
from smilefusion.dmarkers import amplitude_signals
from smilefusion.landmarks import MEDIAPIPE_478, face_geometry

FPS = 50
KNOTS = (0.5, 1.1, 2.2, 3.2)  # seconds: the four limits of the smile
TIMES = np.arange(200) / FPS
NAMES = DMarkerTransformer().get_feature_names_out().tolist()
CAMERA = 60 / 6.3  # distance of a face 60 cm away, in eye distances
every_pose = pytest.mark.parametrize("pose", ["rigid", "eyes", None])


def smile_course(times, knots=KNOTS, height=0.3):
    t0, t1, t2, t3 = knots
    rise, fall = (np.clip((times - a) / (b - a), 0, 1) for a, b in ((t0, t1), (t2, t3)))
    return height * (3 * rise**2 - 2 * rise**3 - 3 * fall**2 + 2 * fall**3)


def make_clip(course, jitter=0.0):
    """Return the mean face that smiles by a course over the frames, with jitter."""
    geometry = face_geometry()
    clip = geometry["neutral"] + course[:, None, None] * geometry["smile"].astype(np.float64)
    return clip + np.random.default_rng(0).normal(0, jitter, clip.shape)


def turn(clip, *, yaw=0.0, pitch=0.0, roll=0.0):
    """Rotate every frame by angles in degrees, each one number or one per frame."""
    angles = np.broadcast_arrays(*np.atleast_1d(yaw, pitch, roll))
    return clip @ Rotation.from_euler("yxz", np.transpose(angles), degrees=True).as_matrix()


def project(clip, distance=CAMERA):
    """Return what a pinhole camera sees: x and y magnified by nearness, depth as it is."""
    return np.concatenate(
        [clip[..., :2] * distance / (distance + clip[..., 2:]), clip[..., 2:]], 2
    )


def extract(clip, **parameters):
    features = DMarkerTransformer(**{"fps": FPS} | parameters).fit_transform([clip])
    return dict(zip(NAMES, features[0].tolist(), strict=True))


def lip_of(clip, pose):
    return amplitude_signals(clip, pose=pose)["lip"].to_numpy()


def smiles(clip, pose):
    return not DMarkerTransformer(fps=FPS, pose=pose).phases([clip])["no_smile"][0]


SMILE = make_clip(smile_course(TIMES), jitter=1e-3)
MOVES = {
    "scale": (lambda clip: 37 * clip, ("rigid", "eyes", None)),
    "place": (lambda clip: clip + np.array([110, -70, 30]), ("rigid", "eyes", None)),
    "in-plane rotation": (lambda clip: turn(clip, roll=30), ("rigid", "eyes")),
    "changing size": (lambda clip: clip * (1 + 0.3 * TIMES[:, None, None]), ("rigid", "eyes")),
    "changing place": (lambda clip: clip + 3 * np.sin(TIMES)[:, None, None], ("rigid", "eyes")),
    "tilting": (lambda clip: turn(clip, roll=25 * np.sin(TIMES)), ("rigid", "eyes")),
    "rotation": (lambda clip: turn(clip, yaw=20, pitch=-15, roll=10), ("rigid",)),
    "turning": (lambda clip: turn(clip, yaw=20 * np.sin(2 * TIMES)), ("rigid",)),
    "nodding": (lambda clip: turn(clip, pitch=15 * np.sin(2 * TIMES)), ("rigid",)),
}


@pytest.mark.parametrize(("move", "pose"), [(m, p) for m in MOVES for p in MOVES[m][1]])
def test_features_ignore_the_head(move, pose):
    moved = MOVES[move][0](SMILE)
    expected = extract(SMILE, pose=pose)
    assert extract(moved, pose=pose) == pytest.approx(expected, rel=1e-5, abs=1e-7)
    assert expected["lip__onset__duration"] > 0


@pytest.mark.parametrize("pose", ["rigid", "eyes"])
@pytest.mark.parametrize("move", MOVES)
def test_still_face_that_moves_shows_no_smile(move, pose):
    moved = MOVES[move][0](make_clip(0 * TIMES, jitter=1e-4))
    assert not smiles(moved, pose)


@pytest.mark.parametrize("pose", ["rigid", "eyes"])
@pytest.mark.parametrize(
    ("name", "angles"),
    [
        ("turns", {"yaw": 20 * np.sin(2 * TIMES)}),
        ("nods", {"pitch": 8 * np.sin(2 * TIMES)}),
        ("tilts", {"roll": 25 * np.sin(2 * TIMES)}),
    ],
)
def test_still_face_that_moves_before_a_camera_shows_no_smile(name, angles, pose):
    moved = project(turn(make_clip(0 * TIMES, jitter=1e-4), **angles))
    assert not smiles(moved, pose)
    assert smiles(project(turn(SMILE, **angles)), pose)


@pytest.mark.parametrize("yaw", [-20, 0, 20])
@pytest.mark.parametrize("pitch", [-15, 0, 15])
def test_lip_amplitude_survives_a_camera_and_a_turned_head(yaw, pitch):
    frontal = lip_of(project(SMILE), "rigid")
    turned = lip_of(project(turn(SMILE, yaw=yaw, pitch=pitch)), "rigid")
    assert np.abs(turned - frontal).max() < 0.03 * np.ptp(frontal)


@every_pose
def test_mirroring_changes_no_feature(pose):
    lopsided = SMILE.copy()
    right = face_geometry()["neutral"][:, 0] < 0
    lopsided[:, right] = SMILE[0, right] + 0.3 * (SMILE[:, right] - SMILE[0, right])
    mirrored = lopsided[:, MEDIAPIPE_478.mirror] * [-1, 1, 1]
    expected = extract(lopsided, pose=pose)
    assert extract(mirrored, pose=pose) == pytest.approx(expected, rel=1e-9, abs=1e-10)
    assert expected["lip__apex__left_right_difference"] > 0.1


@every_pose
def test_mirroring_swaps_left_and_right(pose):
    mirrored = SMILE[:, MEDIAPIPE_478.mirror] * [-1, 1, 1]
    signals, swapped = (amplitude_signals(clip, pose=pose) for clip in (SMILE, mirrored))
    for name in ("eyelid", "cheek", "lip"):
        for old, new in (("", ""), ("_right", "_left"), ("_left", "_right")):
            np.testing.assert_allclose(swapped[name + new], signals[name + old], atol=1e-10)


def time_reversed(name):
    """The name of what a descriptor becomes when time runs backwards, and its sign."""
    name = name.replace("onset", "?").replace("offset", "onset").replace("?", "offset")
    for a, b in (("rising", "falling"), ("total_rise", "total_fall")):
        if a in name or b in name:
            name = name.replace(a, "?").replace(b, a).replace("?", b)
    return name, -1 if "net_amplitude" in name else 1


@pytest.mark.parametrize("segmentation", ["transitions", "longest_run"])
@pytest.mark.parametrize("smoothing", ["savgol", "median", None])
def test_time_reversal_swaps_onset_and_offset(segmentation, smoothing):
    course = smile_course(TIMES)
    course += 0.05 * course * np.sin(20 * TIMES)  # without frames that neither rise nor fall
    options = {"segmentation": segmentation, "smoothing": smoothing}
    forwards, backwards = (extract(make_clip(c), **options) for c in (course, course[::-1]))
    for name, value in forwards.items():
        if "mean_amplitude_" in name:  # of a step's later frame
            continue
        reverse, sign = time_reversed(name)
        # The levels before the onset and after the offset differ slightly.
        slack = 5e-3 if name.endswith(("__max_amplitude", "__mean_amplitude")) else 1e-9
        assert backwards[reverse] == pytest.approx(sign * value, rel=1e-6, abs=slack), name
    assert forwards["lip__onset__duration"] < forwards["lip__offset__duration"]


def test_frame_rates_of_25_and_50_agree():
    times = np.arange(0, 6, 0.01)
    rng = np.random.default_rng(0)
    slow, fast = [], []
    for seconds in np.exp(rng.normal([-0.2, 0.1, 0.2], 0.3, (12, 3))):
        course = smile_course(times, 0.5 + np.cumsum([0, *seconds]))
        for fps, clips in ((25, slow), (50, fast)):
            frames = np.arange(0, 5.9, 1 / fps)
            clips.append(make_clip(np.interp(frames, times, course)))
    slow, fast = (
        DMarkerTransformer(fps=25).transform(slow),
        DMarkerTransformer(fps=50).transform(fast),
    )
    words = ("duration", "mean_speed", "mean_acceleration", "per_second")
    timed = [any(w in name for w in words) and "_ratio_" not in name for name in NAMES]
    moving = np.abs(fast) > 1e-9
    change = np.where(moving, np.abs(slow - fast) / np.where(moving, np.abs(fast), 1), np.nan)
    assert np.nanmedian(change[:, timed]) < 0.05
    assert sum(timed) == 72
