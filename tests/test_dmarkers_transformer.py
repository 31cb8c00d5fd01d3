import warnings

import numpy as np
import pytest
from faces import make_clip

from smilefusion import DMarkerTransformer
from smilefusion.clips import check_clips
from smilefusion.exceptions import DataWarning, FrameRateWarning, SmileFusionWarning

STILL = ([0], [0.0])
NAMES = DMarkerTransformer().get_feature_names_out().tolist()
# The limits of a trapezoid are exact, and so are its speeds.
EXACT = {"pose": None, "smoothing": None, "segmentation": "longest_run"}


def extract(clip, **parameters):
    features = DMarkerTransformer(**parameters).fit_transform([clip])
    return dict(zip(NAMES, features[0].tolist(), strict=True))


@pytest.fixture(scope="module")
def clips():
    knots = ([10, 30, 60, 85], [0, 0.2, 0.25, 0.02])
    return [make_clip(jitter=1e-3), make_clip(knots, 100, jitter=1e-3, seed=1)]


@pytest.mark.parametrize("fps", [25.0, 50.0])
def test_dmarkers_of_a_trapezoid_are_known(fps):
    features = extract(make_clip(), fps=fps, **EXACT)
    durations = [features[f"lip__{phase}__duration"] for phase in ("onset", "apex", "offset")]
    assert durations == pytest.approx([25 / fps, 25 / fps, 30 / fps])
    rise = features["lip__apex__max_amplitude"]
    assert rise > 0.2
    assert features["lip__onset__net_amplitude"] == pytest.approx(rise)
    assert features["lip__offset__net_amplitude"] == pytest.approx(-rise)
    assert features["lip__onset__net_amplitude_per_second"] == pytest.approx(rise * fps / 25)
    assert features["lip__offset__mean_speed_falling"] == pytest.approx(rise * fps / 30)


def test_dmarkers_without_frame_rate_count_frames_at_30_per_second(clips):
    in_seconds = DMarkerTransformer(fps=30, missing_phase="nan").fit_transform(clips)
    in_frames = DMarkerTransformer(missing_phase="nan").fit_transform(clips)
    powers = {"_ratio_": 0, "duration": 1, "speed": -1, "per_second": -1, "acceleration": -2}
    powers = [next((p for word, p in powers.items() if word in name), 0) for name in NAMES]
    factors = 30.0 ** np.array(powers)
    np.testing.assert_allclose(in_frames, in_seconds * factors, rtol=1e-12)


@pytest.fixture(scope="module")
def mixed_clips():
    """Return clips of many lengths, some with a gap, a jump or an odd face, and their rates."""
    lengths = [120, 118, 110, 60, 50, 81, 80, 80, 30, 14, 13, 9, 5]
    clips = [make_clip(n_frames=n, jitter=2e-3, seed=seed) for seed, n in enumerate(lengths)]
    clips[0][40:44] = np.nan
    clips[5][:7] = np.nan
    clips[6][60:] += 3
    clips[3] += np.random.default_rng(0).normal(0, 0.5, (478, 3))
    return clips, [50.0, 50, 25, 50, 50, 30, 30, 30, 50, 25, 50, 25, 25]


@pytest.mark.parametrize(
    "parameters",
    [
        *({"smoothing": smoothing} for smoothing in ["savgol", "median", "4253h_twice", None]),
        *({"pose": pose, "segmentation": "longest_run"} for pose in ("rigid", "eyes", None)),
        {"definition": "hadasmilenet"},
    ],
    ids=str,
)
def test_dmarkers_of_a_clip_do_not_depend_on_the_others_by_a_bit(mixed_clips, parameters):
    clips, rates = mixed_clips
    order = np.random.default_rng(0).permutation(len(clips))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SmileFusionWarning)
        together = DMarkerTransformer(**parameters).fit_transform(
            check_clips([clips[i] for i in order], fps=[rates[i] for i in order])
        )
        for row, index in zip(together, order, strict=True):
            alone = DMarkerTransformer(fps=rates[index], **parameters)
            np.testing.assert_array_equal(row, alone.fit_transform([clips[index]])[0])


@pytest.mark.parametrize("n_dims", [2, 3])
def test_dmarkers_float32_is_enough(clips, n_dims):
    clip = clips[0][..., :n_dims]
    expected, got = (extract(c, fps=50) for c in (clip, clip.astype(np.float32)))
    assert got == pytest.approx(expected, rel=1e-3, abs=1e-3)


def test_dmarkers_of_two_dimensions_are_near_those_of_three(clips):
    flat, solid = (extract(clip, fps=50) for clip in (clips[0][..., :2], clips[0]))
    for name in ("duration", "net_amplitude", "mean_speed_rising"):
        name = f"lip__onset__{name}"
        assert flat[name] == pytest.approx(solid[name], rel=0.02)


@pytest.mark.parametrize(("missing_phase", "value"), [("zero", 0.0), ("nan", np.nan)])
def test_dmarkers_absent_phase_value(missing_phase, value):
    features = extract(make_clip()[:60], fps=50, missing_phase=missing_phase)
    offset = [features[name] for name in NAMES if "__offset__" in name]
    np.testing.assert_array_equal(offset, np.full(75, value))
    assert features["lip__apex__duration"] > 0


def test_dmarkers_warning_names_clips():
    clips = [make_clip(jitter=1e-3), *[make_clip(STILL)] * 7]
    with pytest.warns(DataWarning, match="Clip 1, .* and 2 more show no smile") as caught:
        DMarkerTransformer(fps=50).fit_transform(clips)
    assert len(caught) == 1
    assert "Clip 0" not in str(caught[0].message)


def test_dmarkers_warning_points_at_the_call():
    transformer = DMarkerTransformer(fps=50)
    with pytest.warns(DataWarning) as caught:
        transformer.transform([make_clip(STILL)])
    assert caught[0].filename == __file__


def test_dmarkers_names_are_225_and_ordered():
    assert len(set(NAMES)) == 225
    assert NAMES[0] == "eyelid__onset__duration_rising"
    assert NAMES[-1] == "lip__offset__left_right_difference"
    assert [name.split("__")[:2] for name in NAMES[::25]] == [
        [signal, phase]
        for signal in ("eyelid", "cheek", "lip")
        for phase in ("onset", "apex", "offset")
    ]


def test_dmarkers_dtype_by_definition(clips):
    assert DMarkerTransformer().fit_transform(clips).dtype == np.float64
    assert DMarkerTransformer(definition="hadasmilenet").fit_transform(clips).dtype == np.float32


def test_dmarkers_of_real_clips_are_finite(shared):
    folder = shared / "clips" / "landmarks"
    names = ("smile", "no_face_then_smile_vfr", "small_face_please")
    paths = [folder / f"{name}.npz" for name in names]
    with pytest.warns(FrameRateWarning, match="vfr.npz: the frames are not equally spaced"):
        features = DMarkerTransformer().fit_transform(paths)
    assert np.isfinite(features).all()
    onset = features[:, NAMES.index("lip__onset__net_amplitude")]
    assert onset[0] == pytest.approx(onset[1], rel=0.05)
    assert onset[2] < onset[0] / 2
