import numpy as np
import pytest

from smilefusion import DMarkerTransformer
from smilefusion.datasets.simulated._time_courses import minimum_jerk
from smilefusion.dmarkers import amplitude_signals
from smilefusion.dmarkers._descriptors import DESCRIPTORS, PhaseSums, describe_phases
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
FRAMES = ["onset_start", "apex_start", "offset_start", "offset_end"]
every_segmentation = pytest.mark.parametrize("method", ["transitions", "longest_run"])


def describe(amplitude, fps, *, right=0.0, left=2.0, limits=None):
    """Describe the phases of one clip, by default all of it; the sides are its multiples."""
    amplitude = np.asarray(amplitude, dtype=float)[None]
    limits = [0, amplitude.shape[1] - 1] if limits is None else limits
    sums = PhaseSums(amplitude, right * amplitude, left * amplitude, np.array([limits]), fps)
    return [dict(zip(NAMES, phase, strict=True)) for phase in describe_phases(sums)[0].tolist()]


def test_descriptors_of_a_worked_phase():
    assert list(WORKED) == NAMES
    assert describe(AMPLITUDE, 10)[0] == pytest.approx(WORKED)


def test_units_of_descriptors_are_their_scaling():
    powers = {"1": (0, 0), "s": (0, -1), "D": (1, 0), "D/s": (1, 1), "D/s^2": (1, 2)}
    base, scaled = (describe(k * AMPLITUDE, fps)[0] for k, fps in ((1, 25), (3, 50)))
    for descriptor in DESCRIPTORS:
        of_amplitude, of_fps = powers[descriptor.unit]
        factor = 3.0**of_amplitude * 2.0**of_fps
        assert scaled[descriptor.name] == pytest.approx(base[descriptor.name] * factor)


TRAPEZOID = np.interp(np.arange(120), [20, 45, 70, 100], [0, 1, 1, 0])


def noisy(lip, jitter, seed=0):
    return lip + np.random.default_rng(seed).normal(0, jitter, len(lip))


def find(lip, method, *, smoothing=None):
    """Find the phases of a face at 50 frames per second with this lip signal."""
    clip = np.repeat(face_geometry()["neutral"][None].astype(np.float64), len(lip), axis=0)
    width = np.ptp(clip[0, [61, 291], 0])
    clip[:, [61, 291], 0] += np.outer(lip, [-width, width])
    options = {"pose": None, "smoothing": smoothing, "segmentation": method}
    return DMarkerTransformer(fps=50, **options).phases([clip]).iloc[0]


def limits(lip, method, **options):
    return find(lip, method, **options)[FRAMES].astype(float).tolist()


def test_transitions_of_a_trapezoid_are_within_its_flanks():
    found = np.array(limits(TRAPEZOID, "transitions"))
    inward = (found - [20, 45, 70, 100]) * [1, -1, 1, -1] / [25, 25, 30, 30]
    assert (inward >= 0).all()
    assert (inward < 0.1).all()


@every_segmentation
@pytest.mark.parametrize("factor", [0.5, 2.0])
def test_segmentation_ignores_scale(method, factor):
    lip = noisy(TRAPEZOID, 0.01)
    assert limits(factor * lip, method) == limits(lip, method)


def test_transitions_bear_jitter_that_cuts_the_longest_run():
    lip = noisy(TRAPEZOID, 0.05)
    robust, longest = (
        np.array(limits(lip, method), int) for method in ("transitions", "longest_run")
    )
    assert np.ptp(TRAPEZOID[robust[:2]]) > 0.75
    assert np.ptp(TRAPEZOID[longest[:2]]) < 0.5


def test_transitions_join_two_rises():
    lip = np.interp(np.arange(120), [10, 25, 35, 50, 80, 110], [0, 0.5, 0.5, 1, 1, 0])
    start, stop = limits(lip, "transitions")[:2]
    assert (start < 13, stop > 47) == (True, True)
    assert limits(lip, "longest_run")[:2] == [10, 25]


def smooth_smile(*seconds):
    """A signal of minimum-jerk rise and fall with rests of 0.5 s, and its limits in frames."""
    knots = 50 * np.cumsum([0.5, *seconds])
    t = np.arange(int(knots[-1] + 25))
    rise, fall = (minimum_jerk((t - knots[i]) / (knots[i + 1] - knots[i])) for i in (0, 2))
    return rise - fall, knots


@pytest.mark.parametrize("smoothing", ["savgol", "median", "4253h_twice"])
def test_transitions_durations_follow_the_truth(smoothing):
    rng = np.random.default_rng(0)
    found, truth = [], []
    for seconds in np.exp(rng.normal([0, 0.2, 0.3], 0.5, (40, 3))):
        lip, knots = smooth_smile(*seconds)
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
    row = find(noisy(height * TRAPEZOID, jitter), method, smoothing="savgol")
    assert row["no_smile"] != smiles


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


def test_eyelid_signal_is_signed_and_in_eye_widths():
    neutral = face_geometry()["neutral"].astype(np.float64)
    outer, inner, lid = neutral[[33, 133, 159], :2]
    centre, width = (outer + inner) / 2, np.linalg.norm(outer - inner)
    above, below = (
        raw_signals(moved_face({159: centre - lid + [0, dy]}))["eyelid_right"][-1]
        for dy in (-0.1, 0.1)
    )
    assert above - below == pytest.approx(0.2 / width, rel=1e-5)
