import numpy as np
import pytest

from smilefusion.clips import read_clip
from smilefusion.datasets import make_smiles
from smilefusion.dmarkers._blinks import bridge_blinks, count_blinks, find_blinks
from smilefusion.landmarks import MEDIAPIPE_478

FULL = 0.2  # depth of a full closure, eye widths
every_fps = pytest.mark.parametrize("fps", [10, 25, 30, 50, 100])


def minimum_jerk(share):
    share = np.clip(share, 0, 1)
    return share**3 * (10 - 15 * share + 6 * share**2)


def times(fps, seconds=4):
    return np.arange(round(seconds * fps)) / fps


def pulse(t, start, *, close=0.1, shut=0.0, opening=0.2, depth=FULL):
    """Lids go down from `start` on, stay and come up again; positive is shut."""
    down = minimum_jerk((t - start) / close)
    return depth * (down - minimum_jerk((t - start - close - shut) / opening))


def find(eyelid, fps):
    return find_blinks(eyelid[None], np.array([len(eyelid)]), fps)[0]


def count(eyelid, fps):
    return count_blinks(find(eyelid, fps)[None])[0]


def bridge(eyelid, fps):
    return bridge_blinks(eyelid[None], find(eyelid, fps)[None])[0]


def eye_opening(clip):
    """Return the opening of the eyes in a clip of a head that keeps still, in eye widths."""
    sides = []
    for side in ("right", "left"):
        outer, inner, lid = (
            MEDIAPIPE_478.locate(clip, f"{side}_eye_{point}")[..., :2]
            for point in ("outer", "inner", "upper")
        )
        rise = (outer + inner)[..., 1] / 2 - lid[..., 1]
        height = np.linalg.norm((outer + inner) / 2 - lid, axis=-1)
        sides.append(np.sign(rise) * height / np.linalg.norm(outer - inner, axis=-1))
    return np.mean(sides, axis=0)


def random_walks(n_clips, n_frames, step, seed=0):
    rng = np.random.default_rng(seed)
    return np.cumsum(rng.normal(0, step, (n_clips, n_frames)), axis=1)


@every_fps
@pytest.mark.parametrize("depth", [0.06, FULL / 2, FULL])
def test_blink_is_covered_from_closing_to_opening(fps, depth):
    closed = pulse(times(fps), 2.0, depth=depth)
    blinks = find(-closed, fps)
    assert count(-closed, fps) == 1
    assert blinks[closed > 0.005].all()
    assert not blinks[closed == 0].any()


@every_fps
def test_long_blink_counts_and_closed_eyes_do_not(fps):
    t = times(fps)
    assert count(-pulse(t, 1.0, shut=0.25), fps) == 1
    assert count(-pulse(t, 1.0, shut=0.5), fps) == 0
    assert count(-pulse(t, 1.0, shut=2.0), fps) == 0


@every_fps
@pytest.mark.parametrize("start", [-0.2, 1.0, 3.8])
def test_narrowing_that_stays_is_no_blink(fps, start):
    narrowing = 0.1 * minimum_jerk((times(fps) - start) / 0.5)
    assert not find(-narrowing, fps).any()
    assert not find(narrowing, fps).any()


@every_fps
def test_slow_narrowing_is_no_blink(fps):
    assert not find(-pulse(times(fps), 1.0, close=0.8, opening=0.8, depth=0.15), fps).any()


@every_fps
def test_blinks_are_two_where_the_lids_come_back_between(fps):
    t = times(fps)
    assert count(-pulse(t, 1.0) - pulse(t, 1.3), fps) == 2


@pytest.mark.parametrize("fps", [25, 30, 50, 100])
def test_blinks_are_one_where_the_lids_do_not_come_back(fps):
    t = times(fps)
    shape = {"close": 0.15, "shut": 0.05, "opening": 0.3}
    eyelid = -np.maximum(pulse(t, 1.0, **shape), pulse(t, 1.3, **shape))
    assert count(eyelid, fps) == 1
    np.testing.assert_allclose(bridge(eyelid, fps), 0, atol=0.02)


@every_fps
def test_blink_that_is_cut_holds_the_open_eye(fps):
    t = times(fps)
    eyelid = -pulse(t, -0.1) - pulse(t, 3.75)
    assert count(eyelid, fps) == 2
    np.testing.assert_allclose(bridge(eyelid, fps), 0, atol=0.01)


@every_fps
def test_bridging_leaves_the_narrowing_of_a_smile(fps):
    t = times(fps)
    narrowing = 0.04 * minimum_jerk((t - 1.0) / 0.8)
    bridged = bridge(-narrowing - pulse(t, 1.2), fps)
    np.testing.assert_allclose(bridged, -narrowing, atol=0.012)


@pytest.mark.parametrize("fps", [25, 50])
@pytest.mark.parametrize("memory", [0.0, 0.9, 1.0])
def test_noise_of_a_small_face_is_no_blink(fps, memory):
    shocks = np.random.default_rng(0).normal(size=(500, 5 * fps))
    noise = np.zeros_like(shocks)
    for frame in range(1, 5 * fps):
        noise[:, frame] = memory * noise[:, frame - 1] + shocks[:, frame]
    noise *= 0.03 / noise.std(axis=1, keepdims=True)
    blinks = find_blinks(noise, np.full(500, 5 * fps), fps)
    assert count_blinks(blinks).mean() < 0.08


def test_blinks_do_not_depend_on_the_rest_of_the_batch():
    lengths = np.array([1, 2, 7, 40, 75, 100])
    batch = random_walks(6, 100, 0.004) - pulse(times(25), np.c_[[0, 0, 0.1, 1.5, 2.9, 3.9]])
    blinks = find_blinks(batch, lengths, 25)
    for clip, length in enumerate(lengths):
        np.testing.assert_array_equal(blinks[clip, :length], find(batch[clip, :length], 25))
        assert (blinks[clip, length:] == blinks[clip, length - 1]).all()
    assert count_blinks(blinks).tolist() == [0, 0, 1, 1, 1, 1]


@pytest.mark.parametrize("fps", [0.5, 1, 3.9])
def test_no_blink_is_found_below_four_frames_per_second(fps):
    eyelid = np.tile([0.0, 0.0, 0.0, -FULL, 0.0], 4)
    assert not find(eyelid, fps).any()


def test_bridging_keeps_lines_and_the_signals_given():
    blinks = np.zeros((2, 30), dtype=bool)
    blinks[0, 3:9] = blinks[0, 10:12] = blinks[1, 20:24] = True
    lines = np.arange(30) * np.array([[1.0], [-2.0]]) + np.array([[[0.0]], [[5.0]]])
    spoiled = np.where(blinks, 99.0, lines)  # (2 signals, 2 clips, 30 frames)
    kept = spoiled.copy()
    np.testing.assert_allclose(bridge_blinks(spoiled, blinks), lines, atol=1e-12)
    np.testing.assert_array_equal(spoiled, kept)


@pytest.mark.parametrize("fps", [25, 30, 50])
def test_simulated_blinks_are_counted(fps):
    data = make_smiles(40, n_subjects=10, fps=fps, head_motion=0, missing_rate=0, random_state=0)
    counts = [count(eye_opening(clip), fps) for clip in data.clips]
    agree = counts == data.truth["n_blinks"]
    assert agree.mean() >= 0.95


def test_real_blink_at_smile_onset_is_found(shared):
    clip = read_clip(shared / "clips" / "landmarks" / "smile.npz")  # 30 frames per second
    blinks = np.flatnonzero(find(eye_opening(clip), 30))
    assert 23 <= blinks[0] <= 26
    assert 31 <= blinks[-1] <= 37
    assert (np.diff(blinks) == 1).all()
