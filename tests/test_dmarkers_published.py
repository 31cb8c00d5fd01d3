import numpy as np
import pytest

from smilefusion import DMarkerTransformer
from smilefusion.dmarkers._published import (
    PUBLISHED_POINTS,
    published_dmarkers,
)
from smilefusion.exceptions import InvalidClipError
from smilefusion.landmarks import MEDIAPIPE_478, face_geometry

POINTS = [MEDIAPIPE_478.indices(name)[0] for name in PUBLISHED_POINTS]


@pytest.fixture(scope="module")
def golden(shared):
    with np.load(shared / "golden" / "published_dmarkers.npz", allow_pickle=False) as archive:
        return dict(archive)


def stack_paths(clips):
    """The published points of clips, padded by their last frame, and the clips' lengths."""
    lengths = np.array([len(clip) for clip in clips])
    frames = np.minimum(np.arange(lengths.max()), lengths[:, None] - 1)
    paths = [clip[own][:, POINTS, :2] for clip, own in zip(clips, frames, strict=True)]
    return np.stack(paths).astype(np.float32).transpose(2, 3, 0, 1), lengths


def dmarkers_by_loops(clip):
    """The published computation for one window, as plainly as it can be written."""
    points = clip[:, :, :2].astype(np.float32)
    signals = signals_by_loops(points)
    steps = np.diff(signals[2])
    onset, offset = longest_run(steps > 0), longest_run(steps < 0)
    apex = slice(onset[1] + 2, offset[0]) if onset and offset else slice(0)
    onset, offset = (slice(run[0], run[1] + 2) if run else slice(0) for run in (onset, offset))
    phases = onset, apex, offset
    values = [describe_by_loops(signal[phase]) for signal in signals for phase in phases]
    return np.array(values, dtype=np.float32).ravel()


def signals_by_loops(points):
    def distance(start, end):
        return np.sqrt(((start - end) ** 2).sum(axis=-1))

    eyelid, cheek = 0, 0
    for outer, inner, lid, cheek_point in ((33, 133, 159, 50), (263, 362, 386, 280)):
        centre = (points[:, outer] + points[:, inner]) / 2
        sign = np.array([-1 if below else 1 for below in points[:, lid, 1] > centre[:, 1]])
        eyelid = eyelid + sign * distance(centre, points[:, lid])
        cheek = cheek + distance(centre, points[:, cheek_point])
    right, left = points[:, 62], points[:, 308]
    centre = (right + left) / 2
    lip = (distance(centre, right) + distance(centre, left)) / (2 * distance(right, left)[0])
    eye_width = 2 * distance(points[0, 33], points[0, 133])
    return eyelid / eye_width, cheek / eye_width, lip


def longest_run(holds):
    """The first longest run: its first step and the one that ends it, or the last of all."""
    runs, start = [], None
    for step, held in enumerate(holds):
        if held and start is None:
            start = step
        if not held and start is not None:
            runs.append((start, step))
            start = None
    if start is not None:
        runs.append((start, len(holds) - 1))
    return max(runs, key=lambda run: run[1] - run[0], default=None)


def describe_by_loops(levels):
    if len(levels) == 0:
        return [0] * 25
    speeds = np.diff(levels)
    accelerations = np.diff(speeds)
    rising, falling = levels[1:][speeds > 0], levels[1:][speeds < 0]
    rise, fall, n_frames = rising.sum(), np.abs(falling).sum(), len(levels)
    total = rise + fall
    speeds = speeds[speeds > 0], -speeds[speeds < 0]
    accelerations = accelerations[accelerations > 0], -accelerations[accelerations < 0]
    return [
        *(len(rising), len(falling), n_frames, len(rising) / n_frames, len(falling) / n_frames),
        *(levels.max(), levels.mean()),
        *(part.mean() if len(part) else 0 for part in (rising, falling)),
        *(levels.std(), rise, fall, rise - fall),
        *(part / total if total > 0 else 0 for part in (rise, fall)),
        *(part.max() if len(part) else 0 for part in speeds),
        *(part.mean() if len(part) else 0 for part in speeds),
        *(part.max() if len(part) else 0 for part in accelerations),
        *(part.mean() if len(part) else 0 for part in accelerations),
        *((rise - fall) / n_frames, 0),
    ]


def random_window(rng, n_frames, kind):
    """The 478 points of a face that does what no face does."""
    face = face_geometry()["neutral"][:, :2]
    time = np.arange(n_frames)[:, None, None]
    noise = rng.normal(size=(n_frames, *face.shape))
    window = {
        "noise": noise,
        "tremor": face + 0.003 * noise,
        "ties": np.round(8 * face + noise) / 2,
        "constant": np.repeat(face[None], n_frames, axis=0),
        "monotone": face * (1 + 0.01 * time),
        "waves": face * (1.5 + np.sin(time / rng.uniform(2, 60))),
    }[kind]
    return window.astype(rng.choice([np.float32, np.float64]))


KINDS = ("noise", "tremor", "ties", "constant", "monotone", "waves")


def test_loops_equal_the_authors(golden):
    for index in range(10):
        found = dmarkers_by_loops(golden[f"clip_{index}"])
        assert np.array_equal(found, golden[f"features_{index}"])


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("longest", [1, 2, 16, 400])
def test_published_dmarkers_equal_the_loops_bit_for_bit(kind, longest):
    rng = np.random.default_rng([KINDS.index(kind), longest])
    windows = [random_window(rng, n, kind) for n in rng.integers(1, longest + 1, size=6)]
    features = published_dmarkers(*stack_paths(windows))
    assert np.array_equal(features, [dmarkers_by_loops(window) for window in windows])


def test_transformer_published_equals_the_authors(golden):
    clips = [golden[f"clip_{index}"] for index in range(10)]
    features = DMarkerTransformer(definition="hadasmilenet", fps=50).fit_transform(clips)
    expected = np.stack([golden[f"features_{index}"] for index in range(10)])
    assert np.array_equal(features, expected)


def test_transformer_published_takes_float64_as_float32(golden):
    clip = golden["clip_5"].astype(np.float64)
    features = DMarkerTransformer(definition="hadasmilenet").fit_transform([clip])
    assert np.array_equal(features[0], golden["features_5"])


def test_published_missing_frames_are_interpolated(golden):
    clip = golden["clip_5"].copy()
    gap = slice(40, 44)
    clip[gap] = np.nan
    bridged = clip.copy()
    weight = (np.arange(1, 5, dtype=np.float32) / np.float32(5))[:, None, None]
    bridged[gap] = (1 - weight) * clip[39] + weight * clip[44]
    transformer = DMarkerTransformer(definition="hadasmilenet")
    np.testing.assert_allclose(
        transformer.fit_transform([clip])[0],
        published_dmarkers(*stack_paths([bridged]))[0],
        rtol=1e-4,
        atol=1e-6,
    )


@pytest.mark.parametrize("pair", [("right_eye_outer", "right_eye_inner"), PUBLISHED_POINTS[8:]])
def test_published_refuses_a_unit_of_zero(pair):
    clips = [random_window(np.random.default_rng(0), 8, "tremor") for _ in range(3)]
    first, second = (MEDIAPIPE_478.indices(name)[0] for name in pair)
    clips[1][0, first] = clips[1][0, second]
    with pytest.raises(InvalidClipError, match=r"Clip 1 has a mouth or right eye without width"):
        published_dmarkers(*stack_paths(clips))


def test_published_refuses_coordinates_beyond_float32_by_name():
    clip = 1e30 * random_window(np.random.default_rng(0), 8, "tremor")
    with pytest.raises(InvalidClipError, match=r"smile\.npy has .* too large for float32"):
        published_dmarkers(*stack_paths([clip]), names=["smile.npy"])
