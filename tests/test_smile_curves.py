"""SmileCurvesDisplay: bands, cluster test, lag and initial acceleration."""

import numpy as np
import pytest

from smilefusion.benchmark.stats._curves import cluster_test, simultaneous_band
from smilefusion.clips import check_clips
from smilefusion.datasets import make_smiles
from smilefusion.inspection import SmileCurvesDisplay
from smilefusion.landmarks import face_geometry

pytest.importorskip("matplotlib")
TIMES = np.arange(100) / 50


@pytest.fixture(scope="module")
def smiles():
    return make_smiles(80, n_subjects=20, fps=50, missing_rate=0, effect=1.5, random_state=0)


def draw(smiles, y=None, groups=None, **options):
    y = np.array(["posed", "spontaneous"])[smiles.target] if y is None else y
    options = {"n_resamples": 200, "random_state": 0} | options
    return SmileCurvesDisplay.from_clips(smiles.clips, y, groups, **options)


def smooth_noise(rng, n_subjects):
    """Return smooth curves without a difference."""
    noise = rng.normal(size=(n_subjects, len(TIMES) + 20))
    return np.array([np.convolve(row, np.ones(21) / 21, mode="valid") for row in noise])


def test_simulated_classes_differ_during_the_onset(smiles):
    clusters = draw(smiles).clusters
    best = clusters.loc[clusters["p_value"].idxmin()]
    assert best["p_value"] < 0.05
    assert best["mass"] > 0  # posed smiles rise faster
    assert best["start_s"] < 0.3


def test_band_contains_the_mean_and_starts_at_zero(smiles):
    curves = draw(smiles).curves
    assert (curves["low"] <= curves["mean"]).all()
    assert (curves["mean"] <= curves["high"]).all()
    assert curves.loc[curves["time_s"].abs() < 0.02, "mean"].abs().max() < 0.02


def test_speed_is_the_derivative_of_the_amplitude(smiles):
    amplitude, speed = (draw(smiles, speed=value).curves for value in (False, True))
    first = amplitude[amplitude["condition"] == "posed"].set_index("time_s")["mean"]
    second = speed[speed["condition"] == "posed"].set_index("time_s")["mean"]
    part = slice(0.2, 0.6)
    difference = np.gradient(first.loc[part], 0.02) - second.loc[part]
    assert np.abs(difference[1:-1]).max() < 0.05 * second.max()


@pytest.mark.parametrize("is_paired", [True, False])
def test_cluster_test_rarely_finds_a_difference_where_there_is_none(is_paired):
    rng, n_found = np.random.default_rng(0), 0
    for _ in range(200):
        first, second = smooth_noise(rng, 12), smooth_noise(rng, 12)
        if not is_paired:
            first[:6], second[6:] = np.nan, np.nan
        clusters = cluster_test(first, second, TIMES, n_resamples=200, rng=rng)
        n_found += (clusters["p_value"] < 0.05).any()
    assert 2 <= n_found <= 20  # 10 expected


def test_band_covers_whole_curves():
    rng, n_covered = np.random.default_rng(1), 0
    for _ in range(200):
        _, low, high = simultaneous_band(
            smooth_noise(rng, 30), confidence=0.9, n_resamples=200, rng=rng
        )
        n_covered += ((low < 0) & (high > 0)).all()
    assert 165 <= n_covered <= 195  # 180 expected


def test_lag_of_a_side_is_found():
    face = face_geometry()
    right = np.arange(478)[face["neutral"][:, 0] < 0]
    clips = []
    for _ in range(12):
        rise = np.interp(np.arange(-30, 120), [0, 30], [0, 0.3])
        late = np.interp(np.arange(-30, 120), [4, 34], [0, 0.3])
        clip = face["neutral"] + late[:, None, None] * face["smile"]
        clip[:, right] = face["neutral"][right] + rise[:, None, None] * face["smile"][right]
        clips.append(clip)
    X = check_clips(clips, fps=50, subjects=np.arange(12) // 2)
    display = SmileCurvesDisplay.from_clips(X, np.arange(12) % 2, n_resamples=50, random_state=0)
    measures = display.measures.set_index("measure")
    np.testing.assert_allclose(measures.loc["left_right_lag_s", "mean"], 0.08, atol=0.021)
    assert (measures.loc["initial_acceleration", "mean"] > 0).all()


def test_same_seed_gives_the_same_display(smiles):
    assert draw(smiles).clusters.equals(draw(smiles).clusters)


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"signal": "brow"}, "signal must be one of lip, cheek, eyelid; got 'brow'"),
        ({"y": np.arange(80) % 3}, "two conditions; got 3"),
        ({"y": np.arange(80) < 3}, "at least 5 subjects; the condition .*True.* has 1"),
        ({"groups": [1, 2]}, "inconsistent numbers of samples"),
    ],
)
def test_bad_input_is_refused(options, match, smiles):
    with pytest.raises(ValueError, match=match):
        draw(smiles, **options)


def test_unknown_subjects_and_rates_are_refused(smiles):
    y = smiles.target
    with pytest.raises(ValueError, match="need the subject of each clip"):
        SmileCurvesDisplay.from_clips(check_clips([*smiles.clips], fps=50), y)
    with pytest.raises(ValueError, match="a clip states no frame rate"):
        SmileCurvesDisplay.from_clips(check_clips([*smiles.clips]), y, smiles.groups)
