"""Resampling by time against closed forms."""

import numpy as np
import pytest

from smilefusion.clips._resampling import mean_rate, nearest_frames, resample_by_time


def clip_of(values):
    """One landmark of two coordinates that take these values."""
    return np.repeat(np.asarray(values, dtype=float), 2).reshape(-1, 1, 2)


def test_resampling_at_the_clip_s_own_rate_changes_nothing():
    clip = np.random.default_rng(0).normal(size=(50, 4, 3))
    resampled, times = resample_by_time(clip, 3 + np.arange(50) / 30, 30)
    np.testing.assert_allclose(resampled, clip, atol=1e-12)
    np.testing.assert_allclose(times, 3 + np.arange(50) / 30)


@pytest.mark.parametrize("fps", [7.0, 25.0, 30.0, 60.0])
def test_resampling_is_exact_where_movement_is_linear(fps):
    times = np.sort(np.random.default_rng(0).uniform(0, 2, size=80))
    resampled, grid = resample_by_time(clip_of(5 * times + 1), times, fps, max_gap_s=1.0)
    inside = grid <= times[-1]
    np.testing.assert_allclose(resampled[inside, 0, 0], 5 * grid[inside] + 1)


def test_resampling_leaves_frames_next_to_missing_ones_missing():
    values = [0, 1, np.nan, 3, 4]
    resampled, _ = resample_by_time(clip_of(values), np.arange(5) / 10, 20)
    expected = [0, 0.5, 1, np.nan, np.nan, np.nan, 3, 3.5, 4]
    np.testing.assert_allclose(resampled[:, 0, 0], expected)


def test_resampling_takes_a_face_within_a_twentieth_of_a_step_beside_a_missing_one():
    milliseconds = np.array([0, 33, 67, 100, 133]) / 1000  # as Matroska rounds 30 per second
    resampled, _ = resample_by_time(clip_of([0, 1, np.nan, 3, 4]), milliseconds, 30)
    np.testing.assert_allclose(resampled[:, 0, 0], [0, 1, np.nan, 3, 4], atol=0.02)


def test_resampling_does_not_bridge_a_long_gap():
    times = np.array([0, 0.1, 0.5, 0.6])
    resampled, _ = resample_by_time(clip_of([0, 1, 5, 6]), times, 10, max_gap_s=0.3)
    np.testing.assert_allclose(resampled[:, 0, 0], [0, 1, np.nan, np.nan, np.nan, 5, 6])


def test_nearest_frames_are_the_nearest():
    times = np.array([0.0, 0.1, 0.4])
    assert nearest_frames(times, np.array([0, 0.04, 0.06, 0.2, 0.3, 9])).tolist() == [
        *(0, 0, 1, 1, 2, 2)
    ]


@pytest.mark.parametrize(
    ("steps_ms", "is_uneven"), [([40] * 9, False), ([33, 33, 34] * 5, False), ([33, 66, 33], True)]
)
def test_mean_rate_tells_uneven_steps_from_a_rounded_clock(steps_ms, is_uneven):
    times = np.r_[0, np.cumsum(steps_ms)] / 1000
    assert mean_rate(times) == (pytest.approx(1000 / np.mean(steps_ms)), is_uneven)
