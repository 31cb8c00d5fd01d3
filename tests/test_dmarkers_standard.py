import itertools

import numpy as np
import pytest
from scipy.signal import savgol_filter

from smilefusion.dmarkers._descriptors import DESCRIPTORS, PhaseOfSignals, describe_phase
from smilefusion.dmarkers._phases import (
    COST_PER_SECOND,
    Phases,
    is_smile,
    segment_longest_run,
    segment_steepest_path,
)
from smilefusion.dmarkers._signals import smile_signals, smooth
from smilefusion.exceptions import InvalidClipError
from smilefusion.landmarks import IBUG_68, MEDIAPIPE_478, face_geometry

NAMES = [descriptor.name for descriptor in DESCRIPTORS]
# The order of DESCRIPTORS is that of Dibeklioglu, Salah, Gevers (2015), 1 to 25.
ORDER = [
    "duration_rising",
    "duration_falling",
    "duration",
    "duration_ratio_rising",
    "duration_ratio_falling",
    "max_amplitude",
    "mean_amplitude",
    "mean_amplitude_rising",
    "mean_amplitude_falling",
    "std_amplitude",
    "total_rise",
    "total_fall",
    "net_amplitude",
    "amplitude_ratio_rising",
    "amplitude_ratio_falling",
    "max_speed_rising",
    "max_speed_falling",
    "mean_speed_rising",
    "mean_speed_falling",
    "max_acceleration_positive",
    "max_acceleration_negative",
    "mean_acceleration_positive",
    "mean_acceleration_negative",
    "net_amplitude_per_second",
    "left_right_difference",
]


def plain_descriptors(amplitude, right, left, fps):
    """Compute the descriptors of one signal from their definition, step by step."""
    frames = range(len(amplitude))
    step = {t: amplitude[t] - amplitude[t - 1] for t in frames if t >= 1}
    rising = [t for t in step if step[t] > 0]
    falling = [t for t in step if step[t] < 0]
    speed = {t: step[t] * fps for t in step}
    change = [(speed[t] - speed[t - 1]) * fps for t in frames if t >= 2]
    gains, losses = [a for a in change if a > 0], [-a for a in change if a < 0]
    rise, fall = sum(step[t] for t in rising), sum(-step[t] for t in falling)
    n, total = len(frames) - 1, rise + fall

    def mean(values):
        return sum(values) / len(values) if len(values) else np.nan

    def largest(values):
        return max(values, default=np.nan)

    return {
        "duration_rising": len(rising) / fps,
        "duration_falling": len(falling) / fps,
        "duration": n / fps,
        "duration_ratio_rising": len(rising) / n if n else np.nan,
        "duration_ratio_falling": len(falling) / n if n else np.nan,
        "max_amplitude": max(amplitude),
        "mean_amplitude": mean(amplitude),
        "mean_amplitude_rising": mean([amplitude[t] for t in rising]),
        "mean_amplitude_falling": mean([amplitude[t] for t in falling]),
        "std_amplitude": mean([(a - mean(amplitude)) ** 2 for a in amplitude]) ** 0.5,
        "total_rise": rise,
        "total_fall": fall,
        "net_amplitude": rise - fall,
        "amplitude_ratio_rising": rise / total if total else np.nan,
        "amplitude_ratio_falling": fall / total if total else np.nan,
        "max_speed_rising": largest([speed[t] for t in rising]),
        "max_speed_falling": largest([-speed[t] for t in falling]),
        "mean_speed_rising": mean([speed[t] for t in rising]),
        "mean_speed_falling": mean([-speed[t] for t in falling]),
        "max_acceleration_positive": largest(gains),
        "max_acceleration_negative": largest(losses),
        "mean_acceleration_positive": mean(gains),
        "mean_acceleration_negative": mean(losses),
        "net_amplitude_per_second": (rise - fall) * fps / n if n else np.nan,
        "left_right_difference": abs(mean(left) - mean(right)),
    }


def describe(amplitude, fps, right=None, left=None):
    column = np.asarray(amplitude, dtype=np.float64)[:, None]
    right = column if right is None else np.asarray(right)[:, None]
    left = column if left is None else np.asarray(left)[:, None]
    values = describe_phase(PhaseOfSignals(column, right, left, fps))
    return dict(zip(NAMES, values[0].tolist(), strict=True))


def test_descriptors_are_in_the_order_of_the_literature():
    assert NAMES == ORDER


@pytest.mark.parametrize("n_frames", [1, 2, 3, 40])
@pytest.mark.parametrize("fps", [1.0, 25.0])
def test_descriptors_equal_their_definition(n_frames, fps):
    signals = np.random.default_rng(n_frames).normal(size=(3, n_frames))
    got = describe(signals[0], fps, signals[1], signals[2])
    expected = plain_descriptors(*signals.tolist(), fps)
    assert got == pytest.approx(expected, rel=1e-9, nan_ok=True)


@pytest.mark.parametrize("amplitude", [[0.2] * 6, [0, 1, 2, 3], [3, 2, 1], [0, 1, 1, 0]])
def test_descriptors_of_empty_sets_are_nan(amplitude):
    expected = plain_descriptors(amplitude, amplitude, amplitude, 25.0)
    assert describe(amplitude, 25.0) == pytest.approx(expected, nan_ok=True)


def test_descriptors_of_several_signals_are_independent():
    signals = np.random.default_rng(0).normal(size=(20, 3))
    together = describe_phase(PhaseOfSignals(signals, signals, signals, 30.0))
    for index in range(3):
        alone = describe(signals[:, index], 30.0)
        np.testing.assert_allclose(together[index], list(alone.values()))


@pytest.mark.parametrize("descriptor", DESCRIPTORS, ids=NAMES)
def test_descriptor_unit_is_its_scaling(descriptor):
    amplitude = np.random.default_rng(0).normal(size=20)
    power = {"1": (0, 0), "s": (0, -1), "D": (1, 0), "D/s": (1, 1), "D/s^2": (1, 2)}
    of_amplitude, of_fps = power[descriptor.unit]
    base, scaled = (
        describe(factor * amplitude, fps, 2 * factor * amplitude)[descriptor.name]
        for factor, fps in ((1, 25), (3, 50))
    )
    assert base != 0
    assert scaled == pytest.approx(base * 3.0**of_amplitude * 2.0**of_fps)


def plain_steepest_path(lip, fps):
    """Try every pair of segments."""
    cost = COST_PER_SECOND * np.ptp(lip) / fps
    frames = range(len(lip))

    def gain(path):
        rise = lip[path[1]] - lip[path[0]] - cost * (path[1] - path[0])
        fall = lip[path[2]] - lip[path[3]] - cost * (path[3] - path[2])
        return rise + fall

    return max(itertools.combinations_with_replacement(frames, 4), key=gain)


@pytest.mark.parametrize("seed", range(20))
def test_steepest_path_equals_exhaustive_search(seed):
    rng = np.random.default_rng(seed)
    lip = np.interp(np.arange(16), [3, 6, 9, 13], [0, 1, 1, 0]) + rng.normal(0, 0.3, 16)
    phases = segment_steepest_path(lip, 5.0)
    t0, t1, t2, t3 = plain_steepest_path(lip, 5.0)
    assert phases == Phases((t0, t1), (t1, t2), (t2, t3))


TRAPEZOID = np.interp(np.arange(120), [20, 45, 70, 100], [0, 1, 1, 0])


@pytest.mark.parametrize("segment", [segment_steepest_path, segment_longest_run])
def test_segmentation_of_a_trapezoid_is_exact(segment):
    assert segment(TRAPEZOID, 50.0) == Phases((20, 45), (45, 70), (70, 100))


@pytest.mark.parametrize("segment", [segment_steepest_path, segment_longest_run])
@pytest.mark.parametrize("factor", [1e-3, 7.0])
def test_segmentation_ignores_scale_and_level(segment, factor):
    lip = TRAPEZOID + np.random.default_rng(0).normal(0, 0.01, 120)
    assert segment(factor * lip + 3, 50.0) == segment(lip, 50.0)


@pytest.mark.parametrize("segment", [segment_steepest_path, segment_longest_run])
def test_segmentation_time_reversal_swaps_onset_and_offset(segment):
    lip = TRAPEZOID + np.random.default_rng(0).normal(0, 0.01, 120)
    phases, reverse = segment(lip, 50.0), segment(lip[::-1], 50.0)
    flipped = [(119 - b, 119 - a) for a, b in reversed(reverse)]
    assert list(phases) == flipped


def test_steepest_path_bears_jitter_that_cuts_the_longest_run():
    lip = TRAPEZOID + np.random.default_rng(0).normal(0, 0.05, 120)
    steepest, longest = segment_steepest_path(lip, 50.0), segment_longest_run(lip, 50.0)
    assert np.ptp(TRAPEZOID[list(steepest.onset)]) > 0.95
    assert np.ptp(TRAPEZOID[list(longest.onset)]) < 0.5


def test_steepest_path_merges_two_rises():
    lip = np.interp(np.arange(120), [10, 25, 35, 50, 80, 110], [0, 0.5, 0.5, 1, 1, 0])
    assert segment_steepest_path(lip, 50.0).onset == (10, 50)
    assert segment_longest_run(lip, 50.0).onset == (10, 25)


@pytest.mark.parametrize("segment", [segment_steepest_path, segment_longest_run])
def test_segmentation_without_offset_ends_in_the_apex(segment):
    assert segment(TRAPEZOID[:60], 50.0) == Phases((20, 45), (45, 59), None)


@pytest.mark.parametrize("segment", [segment_steepest_path, segment_longest_run])
def test_segmentation_without_onset_starts_in_the_apex(segment):
    assert segment(TRAPEZOID[50:], 50.0) == Phases(None, (0, 20), (20, 50))


@pytest.mark.parametrize("segment", [segment_steepest_path, segment_longest_run])
def test_segmentation_of_a_flat_signal_finds_nothing(segment):
    assert segment(np.full(50, 0.3), 50.0) == Phases(None, None, None)


def test_segmentation_durations_follow_the_truth():
    rng = np.random.default_rng(0)
    found, truth = [], []
    for onset, apex, offset in np.exp(rng.normal([0, 0.2, 0.3], 0.5, (100, 3))):
        knots = 50 * np.cumsum([0.3, onset, apex, offset])
        x = (np.arange(knots[-1] + 20)[:, None] - knots[[0, 2]]) / (50 * np.array([onset, offset]))
        rise, fall = (np.clip(x, 0, 1) ** 3 * (10 - 15 * (s := np.clip(x, 0, 1)) + 6 * s**2)).T
        lip = smooth(rise - fall + rng.normal(0, 0.01, len(x)), method="savgol", window=12)
        phases = segment_steepest_path(lip, 50.0)
        found.append([(b - a) / 50 for a, b in phases])
        truth.append([onset, apex, offset])
    found, truth = np.transpose(found), np.transpose(truth)
    assert all(np.corrcoef(f, t)[0, 1] > 0.9 for f, t in zip(found, truth, strict=True))
    assert np.abs((found - truth).mean(axis=1)).max() < 0.3


@pytest.mark.parametrize(
    ("height", "jitter", "smiles"),
    [(0.15, 0.001, True), (0.015, 0.0001, False), (0.0, 0.05, False)],
)
def test_is_smile_needs_amplitude_above_jitter(height, jitter, smiles):
    lip = height * TRAPEZOID + np.random.default_rng(0).normal(0, jitter, 120)
    smoothed = smooth(lip, method="savgol", window=13)
    assert is_smile(lip, smoothed, segment_steepest_path(smoothed, 50.0)) is smiles


@pytest.mark.parametrize("n_frames", [5, 7, 8, 60])
@pytest.mark.parametrize("window", [5.0, 7.5, 12.5])
def test_smooth_savgol_equals_scipy(n_frames, window):
    signal = np.random.default_rng(0).normal(size=(n_frames, 3, 2))
    width = min(2 * int(window / 2) + 1, n_frames - 1 + n_frames % 2)
    expected = savgol_filter(signal, width, 2, axis=0)
    np.testing.assert_allclose(smooth(signal, method="savgol", window=window), expected)


def test_smooth_median_removes_a_spike():
    signal = np.zeros((20, 3))
    signal[7] = 1
    assert not smooth(signal, method="median", window=5).any()


@pytest.mark.parametrize("method", ["savgol", "median", None])
def test_smooth_keeps_a_line(method):
    line = np.linspace(0, 1, 30)
    smoothed = smooth(line, method=method, window=7)
    np.testing.assert_allclose(smoothed[3:-3], line[3:-3])


def moved_face(offsets, n_frames=12):
    """Return the mean face with points moved from frame 6 on by {index: (dx, dy)}."""
    clip = np.repeat(face_geometry()["neutral"][None].astype(np.float64), n_frames, axis=0)
    for index, (dx, dy) in offsets.items():
        clip[6:, index, :2] += dx, dy
    return clip


def test_signals_lip_is_the_spread_over_twice_the_rest_width():
    signals = smile_signals(moved_face({61: (-0.1, 0), 291: (0.2, 0)}), MEDIAPIPE_478, pose=None)
    width = np.ptp(face_geometry()["neutral"][[61, 291], 0])
    assert signals.both[:6, 2] == pytest.approx(0, abs=1e-12)
    assert signals.both[6:, 2] == pytest.approx(0.3 / (2 * width), rel=1e-5)
    assert signals.right[6:, 2] == pytest.approx(0.1 / width, rel=1e-5)
    assert signals.left[6:, 2] == pytest.approx(0.2 / width, rel=1e-5)


def test_signals_cheek_is_the_spread_of_the_cheeks():
    signals = smile_signals(moved_face({50: (-0.1, 0)}), MEDIAPIPE_478, pose=None)
    width = np.ptp(face_geometry()["neutral"][[50, 280], 0])
    assert signals.both[6:, 1] == pytest.approx(0.1 / (2 * width), rel=1e-5)
    assert not signals.both[:, [0, 2]].any()


def test_signals_eyelid_is_signed_and_in_eye_widths():
    neutral = face_geometry()["neutral"].astype(np.float64)
    centre, width = (
        neutral[[33, 133], :2].mean(axis=0),
        np.linalg.norm(neutral[33, :2] - neutral[133, :2]),
    )
    above, below = centre - neutral[159, :2] - [0, 0.1], centre - neutral[159, :2] + [0, 0.1]
    levels = [
        smile_signals(moved_face({159: shift}), MEDIAPIPE_478, pose=None).right[-1, 0]
        for shift in (above, below)
    ]
    assert levels[0] - levels[1] == pytest.approx(0.2 / width, rel=1e-5)
    assert levels[0] > levels[1]


def test_signals_rest_is_the_median_of_the_first_five_frames():
    clip = moved_face({})
    clip[2, 291, 0] += 0.3
    signals = smile_signals(clip, MEDIAPIPE_478, pose=None)
    assert signals.both[[0, 1, 3, 4, 11], 2] == pytest.approx(0, abs=1e-12)
    assert signals.both[2, 2] > 0.1


def test_signals_need_cheeks():
    with pytest.raises(InvalidClipError, match="iBUG 68 has no point 'right_cheek'"):
        smile_signals(np.zeros((9, 68, 2)), IBUG_68, pose=None)


def test_signals_without_extent_are_an_error():
    with pytest.raises(InvalidClipError, match="Clip 2 has eye corners that coincide"):
        smile_signals(np.zeros((9, 478, 2)), MEDIAPIPE_478, pose=None, name="Clip 2")
