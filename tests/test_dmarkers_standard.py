import numpy as np
import pytest

from smilefusion.datasets.simulated._time_courses import minimum_jerk
from smilefusion.dmarkers._amplitude import amplitude_signals
from smilefusion.dmarkers._descriptors import DESCRIPTORS, PhaseSums, describe_phases
from smilefusion.dmarkers._phases import (
    COST_PER_SECOND,
    SEGMENTATIONS,
    segment,
    steepest_path,
)
from smilefusion.dmarkers._smoothing import smooth
from smilefusion.landmarks import face_geometry

NAMES = [descriptor.name for descriptor in DESCRIPTORS]
# The phase 0, 1, 3, 2, 2, 5 at 10 frames per second: steps 1, 2, -1, 0, 3, their changes
# 1, -3, 1, 3. The order is that of Dibeklioglu, Salah, Gevers (2015), 1 to 25.
AMPLITUDE = np.array([0.0, 1, 3, 2, 2, 5])
WORKED = {
    "duration_rising": 0.3,
    "duration_falling": 0.1,
    "duration": 0.5,
    "duration_ratio_rising": 3 / 5,
    "duration_ratio_falling": 1 / 5,
    "max_amplitude": 5,
    "mean_amplitude": 13 / 6,
    "mean_amplitude_rising": (1 + 3 + 5) / 3,
    "mean_amplitude_falling": 2,
    "std_amplitude": (43 / 6 - (13 / 6) ** 2) ** 0.5,
    "total_rise": 6,
    "total_fall": 1,
    "net_amplitude": 5,
    "amplitude_ratio_rising": 6 / 7,
    "amplitude_ratio_falling": 1 / 7,
    "max_speed_rising": 30,
    "max_speed_falling": 10,
    "mean_speed_rising": 20,
    "mean_speed_falling": 10,
    "max_acceleration_positive": 300,
    "max_acceleration_negative": 300,
    "mean_acceleration_positive": 500 / 3,
    "mean_acceleration_negative": 300,
    "net_amplitude_per_second": 10,
    "left_right_difference": 2 * 13 / 6,
}
every_segmentation = pytest.mark.parametrize("method", SEGMENTATIONS)


def describe(amplitude, fps, *, right=0.0, left=2.0, limits=None):
    """Describe the phases of one clip, by default all of it; the sides are its multiples."""
    amplitude = np.asarray(amplitude, dtype=float)[None]
    limits = [0, amplitude.shape[1] - 1] if limits is None else limits
    sums = PhaseSums(amplitude, right * amplitude, left * amplitude, np.array([limits]), fps)
    return [dict(zip(NAMES, phase, strict=True)) for phase in describe_phases(sums)[0].tolist()]


def test_descriptors_of_a_worked_phase():
    assert list(WORKED) == NAMES
    assert describe(AMPLITUDE, 10)[0] == pytest.approx(WORKED)


@pytest.mark.parametrize(
    ("amplitude", "empty"),
    [
        ([0, 1, 2, 4], ["falling", "negative"]),
        ([4, 3, 2, 0], ["rising", "positive"]),
        ([1, 1, 1], ["rising", "falling", "positive", "negative"]),
    ],
)
def test_descriptors_of_empty_sets_are_nan(amplitude, empty):
    values = describe(amplitude, 10)[0]
    missing = [name for name, value in values.items() if np.isnan(value)]
    totals = ("duration", "amplitude_ratio")  # numbers of steps and shares: 0, or 0 of 0
    expected = [n for n in NAMES if n.endswith(tuple(empty)) and not n.startswith(totals)]
    shares = ["amplitude_ratio_rising", "amplitude_ratio_falling"] if len(empty) == 4 else []
    assert sorted(missing) == sorted(expected + shares)


def test_descriptors_of_a_phase_without_steps():
    values = describe([3.0], 10)[0]
    assert values["max_amplitude"] == values["mean_amplitude"] == 3
    counted = ("duration", "std_amplitude", "total_rise", "total_fall", "net_amplitude")
    assert [values[name] for name in counted] == [0] * 5
    ratios = ("duration_ratio_rising", "max_speed_rising", "net_amplitude_per_second")
    assert np.isnan([values[name] for name in ratios]).all()


def test_descriptors_of_phases_share_their_end_frame():
    signal = np.concatenate([AMPLITUDE, AMPLITUDE[-2::-1]])
    first, middle, second = describe(signal, 10, limits=[0, 5, 5, 10])
    assert first == pytest.approx(WORKED)
    assert middle["max_amplitude"] == second["max_amplitude"] == 5
    assert second["total_fall"] == first["total_rise"]


def test_descriptors_of_clips_and_signals_are_independent():
    rng = np.random.default_rng(0)
    signals = rng.normal(size=(3, 2, 5, 20))  # both, right and left of 2 signals of 5 clips
    limits = np.sort(rng.integers(0, 20, (5, 4)), axis=1)
    together = describe_phases(PhaseSums(*signals, limits, 30.0))
    for signal in range(2):
        for clip in range(5):
            alone = PhaseSums(*signals[:, signal, clip, None], limits[clip, None], 30.0)
            np.testing.assert_array_equal(together[signal, clip], describe_phases(alone)[0])


@pytest.mark.parametrize("descriptor", DESCRIPTORS, ids=NAMES)
def test_descriptor_unit_is_its_scaling(descriptor):
    powers = {"1": (0, 0), "s": (0, -1), "D": (1, 0), "D/s": (1, 1), "D/s^2": (1, 2)}
    of_amplitude, of_fps = powers[descriptor.unit]
    base, scaled = (
        describe(factor * AMPLITUDE, fps)[0][descriptor.name] for factor, fps in ((1, 25), (3, 50))
    )
    assert base != 0
    assert scaled == pytest.approx(base * 3.0**of_amplitude * 2.0**of_fps)


TRAPEZOID = np.interp(np.arange(120), [20, 45, 70, 100], [0, 1, 1, 0])


def noisy(lip, jitter, seed=0):
    return lip + np.random.default_rng(seed).normal(0, jitter, len(lip))


def find(lip, method, *, fps=50.0, smoothing=None):
    """Find the phases of one lip signal."""
    lip, lengths = np.asarray(lip)[None], np.array([len(lip)])
    coarse, fine = (
        smooth(lip, lengths, method=smoothing, window=window, fps=fps) for window in (0.5, 0.3)
    )
    return segment(lip, coarse, fine, lengths, fps, method=method)


def limits(lip, method, **options):
    return find(lip, method, **options).frames[0].tolist()


def test_longest_run_of_a_trapezoid_is_exact():
    assert limits(TRAPEZOID, "longest_run") == [20, 45, 70, 100]


def test_transitions_of_a_trapezoid_are_within_its_flanks():
    found = np.array(limits(TRAPEZOID, "transitions"))
    inward = (found - [20, 45, 70, 100]) * [1, -1, 1, -1] / [25, 25, 30, 30]
    assert (inward >= 0).all()
    assert (inward < 0.1).all()


@every_segmentation
@pytest.mark.parametrize("factor", [0.1, 7.0])
def test_segmentation_ignores_scale_and_level(method, factor):
    lip = noisy(TRAPEZOID, 0.01)
    assert limits(factor * lip + 3, method) == limits(lip, method)


@every_segmentation
@pytest.mark.parametrize("smoothing", [None, "savgol"])
def test_segmentation_time_reversal_swaps_onset_and_offset(method, smoothing):
    lip = noisy(TRAPEZOID, 0.01)
    forwards, backwards = (limits(x, method, smoothing=smoothing) for x in (lip, lip[::-1]))
    assert forwards == [119 - frame for frame in reversed(backwards)]


@every_segmentation
def test_segmentation_does_not_depend_on_padding(method):
    find_limits = SEGMENTATIONS[method]
    for seed in range(20):
        lip = np.cumsum(np.random.default_rng(seed).normal(size=60))[None]
        padded = np.pad(lip, ((0, 0), (0, 30)), mode="edge")
        alone = find_limits(lip, lip, lip, np.array([60]), 25.0)
        together = find_limits(padded, padded, padded, np.array([60]), 25.0)
        np.testing.assert_array_equal(np.hstack(together[1:]), np.hstack(alone[1:]))
        inside = np.minimum(together[0], 59)
        np.testing.assert_array_equal(inside, alone[0])


@every_segmentation
def test_segmentation_is_ordered_within_the_clip(method):
    rng = np.random.default_rng(0)
    for n_frames in (5, 6, 10, 40):
        lip = np.cumsum(rng.normal(size=(50, n_frames)), axis=1)
        lengths = np.full(50, n_frames)
        phases = segment(lip, lip, lip, lengths, 25.0, method=method)
        assert (np.diff(phases.frames, axis=1) >= 0).all()
        assert phases.frames.min() >= 0
        assert phases.frames.max() < n_frames
        has_extent = np.diff(phases.frames, axis=1)[:, [0, 2]] > 0
        assert has_extent[phases.present[:, [0, 2]]].all()


def test_transitions_bear_jitter_that_cuts_the_longest_run():
    lip = noisy(TRAPEZOID, 0.05)
    robust, longest = (limits(lip, method) for method in ("transitions", "longest_run"))
    assert np.ptp(TRAPEZOID[robust[:2]]) > 0.75
    assert np.ptp(TRAPEZOID[longest[:2]]) < 0.5


def test_transitions_join_two_rises():
    lip = np.interp(np.arange(120), [10, 25, 35, 50, 80, 110], [0, 0.5, 0.5, 1, 1, 0])
    start, stop = limits(lip, "transitions")[:2]
    assert (start < 13, stop > 47) == (True, True)
    assert limits(lip, "longest_run")[:2] == [10, 25]


@every_segmentation
def test_segmentation_without_offset_ends_in_the_apex(method):
    phases = find(TRAPEZOID[:60], method)
    assert phases.present.tolist() == [[True, True, False]]
    assert phases.frames[0, 2:].tolist() == [59, 59]


@every_segmentation
def test_segmentation_without_onset_starts_in_the_apex(method):
    phases = find(TRAPEZOID[50:], method)
    assert phases.present.tolist() == [[False, True, True]]
    assert phases.frames[0, :2].tolist() == [0, 0]


@every_segmentation
@pytest.mark.parametrize("level", [0.0, 0.3])
def test_segmentation_of_a_flat_signal_finds_nothing(method, level):
    phases = find(np.full(50, level), method)
    assert phases.amplitude == 0
    assert not phases.present.any()


def test_steepest_path_gains_most_of_all_paths():
    lip = noisy(np.interp(np.arange(12), [2, 5, 7, 10], [0, 1, 1, 0]), 0.3)
    cost = COST_PER_SECOND * np.ptp(lip) / 5.0
    t = np.array(np.meshgrid(*[np.arange(12)] * 4)).reshape(4, -1)
    t = t[:, (np.diff(t, axis=0) >= 0).all(axis=0)]
    gain = lip[t[1]] - lip[t[0]] + lip[t[2]] - lip[t[3]] - cost * (t[1] - t[0] + t[3] - t[2])
    np.testing.assert_array_equal(steepest_path(lip[None], 5.0)[0], t[:, gain.argmax()])


def smooth_smile(onset, apex, offset, fps):
    """A signal of minimum-jerk rise and fall with rests of 0.5 s, and its limits in frames."""
    knots = fps * np.cumsum([0.5, onset, apex, offset])
    t = np.arange(int(knots[-1] + fps / 2))
    rise, fall = (minimum_jerk((t - knots[i]) / (knots[i + 1] - knots[i])) for i in (0, 2))
    return rise - fall, knots


@pytest.mark.parametrize("smoothing", ["savgol", "median", "4253h_twice"])
def test_transitions_durations_follow_the_truth(smoothing):
    rng = np.random.default_rng(0)
    found, truth = [], []
    for seconds in np.exp(rng.normal([0, 0.2, 0.3], 0.5, (60, 3))):
        lip, knots = smooth_smile(*seconds, 50.0)
        jittery = lip + rng.normal(0, 0.02, len(lip))
        found.append(np.diff(limits(jittery, "transitions", smoothing=smoothing)))
        truth.append(np.diff(knots))
    pairs = zip(np.transpose(found), np.transpose(truth), strict=True)
    assert min(np.corrcoef(*pair)[0, 1] for pair in pairs) > 0.95


@every_segmentation
@pytest.mark.parametrize(
    ("height", "jitter", "smiles"),
    [(0.15, 0.001, True), (0.015, 0.0001, False), (0.0, 0.05, False)],
)
def test_smile_needs_amplitude_above_jitter(method, height, jitter, smiles):
    phases = find(noisy(height * TRAPEZOID, jitter), method, smoothing="savgol")
    assert phases.is_smile.tolist() == [smiles]


def moved_face(offsets, n_frames=12):
    """Return the mean face with points moved from frame 6 on by {index: (dx, dy)}."""
    clip = np.repeat(face_geometry()["neutral"][None].astype(np.float64), n_frames, axis=0)
    for index, (dx, dy) in offsets.items():
        clip[6:, index, :2] += dx, dy
    return clip


def raw_signals(clip):
    """Return the signals of a clip by name, the head's pose left in."""
    table = amplitude_signals(clip, pose=None, bridge_blinks=False)
    return {name: table[name].to_numpy() for name in table}


def test_lip_signal_is_the_spread_over_twice_the_rest_width():
    signals = raw_signals(moved_face({61: (-0.1, 0), 291: (0.2, 0)}))
    width = np.ptp(face_geometry()["neutral"][[61, 291], 0])
    assert signals["lip"][:6] == pytest.approx(0, abs=1e-12)
    assert signals["lip"][6:] == pytest.approx(0.3 / (2 * width), rel=1e-5)
    assert signals["lip_right"][6:] == pytest.approx(0.1 / width, rel=1e-5)
    assert signals["lip_left"][6:] == pytest.approx(0.2 / width, rel=1e-5)


def test_cheek_signal_is_the_spread_of_the_cheeks():
    signals = raw_signals(moved_face({50: (-0.1, 0)}))
    width = np.ptp(face_geometry()["neutral"][[50, 280], 0])
    assert signals["cheek"][6:] == pytest.approx(0.1 / (2 * width), rel=1e-5)
    assert not np.any([signals["eyelid"], signals["lip"]])


def test_eyelid_signal_is_signed_and_in_eye_widths():
    neutral = face_geometry()["neutral"].astype(np.float64)
    outer, inner, lid = neutral[[33, 133, 159], :2]
    centre, width = (outer + inner) / 2, np.linalg.norm(outer - inner)
    above, below = (
        raw_signals(moved_face({159: centre - lid + [0, dy]}))["eyelid_right"][-1]
        for dy in (-0.1, 0.1)
    )
    assert above - below == pytest.approx(0.2 / width, rel=1e-5)


def test_eyelid_signal_is_in_widths_of_the_same_frame():
    clip = moved_face({}) * np.repeat([1, 1.2], 6)[:, None, None]
    signals = raw_signals(clip)
    assert signals["eyelid"] == pytest.approx(0, abs=1e-12)
    assert signals["lip"][-1] > 0.1  # its unit is the width at rest


def test_signals_are_zero_at_the_median_of_the_first_five_frames():
    clip = moved_face({})
    clip[2, 291, 0] += 0.3
    lip = raw_signals(clip)["lip"]
    assert lip[[0, 1, 3, 4, 11]] == pytest.approx(0, abs=1e-12)
    assert lip[2] > 0.1
