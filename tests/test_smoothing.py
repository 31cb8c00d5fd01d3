import numpy as np
import pytest
from scipy.ndimage import median_filter
from scipy.signal import savgol_filter

from smilefusion.dmarkers._smoothing import SMOOTHINGS, smooth

LENGTHS = np.array([31, 13, 40, 22, 7])
PADDING = 1e3  # values of padding, which must not matter

# Bituminous coal production of the USA, 1920 to 1968, in millions of net tons (Tukey, 1977), and
# its first 37 values smoothed by 4253H, twice, as the NAG Library's manual prints them (example
# of g10caf, which takes its ends from Velleman & Hoaglin, 1981).
COAL = [
    *[569, 416, 422, 565, 484, 520, 573, 518, 501, 505, 468, 382, 310, 334, 359, 372, 439],
    *[446, 349, 395, 461, 511, 583, 590, 620, 578, 534, 631, 600, 438, 516, 534, 467, 457],
    *[392, 467, 500, 493, 410, 412, 416, 403, 422, 459, 467, 512, 534, 522, 545],
]
SMOOTH_COAL = [
    *[491.4, 491.4, 491.4, 498.9, 514.9, 524.7, 525.0, 521.2, 512.6, 493.2, 449.7, 391.6, 353.4],
    *[343.8, 355.2, 382.8, 405.5, 411.9, 411.6, 420.9, 456.1, 513.9, 565.2, 589.5, 594.7, 594.6],
    *[591.8, 583.8, 569.0, 546.3, 517.3, 489.6, 471.2, 463.5, 464.2, 468.5, 470.6],
]

every_method = pytest.mark.parametrize("method", SMOOTHINGS)
every_fps = pytest.mark.parametrize("fps", [25.0, 50.0, 100.0])


def random_batch(lengths=LENGTHS, n_signals=3, seed=0):
    return np.random.default_rng(seed).normal(size=(n_signals, len(lengths), max(lengths)))


def clips_of(batch, lengths=LENGTHS):
    """Return the clips of a batch without their padding."""
    return [batch[..., clip, :length] for clip, length in enumerate(lengths)]


def smooth_clip(signal, *, method="4253h_twice", window=0.14, fps=50.0):
    """Smooth one clip, of shape (..., n_frames)."""
    lengths = np.array([np.shape(signal)[-1]])
    batch = np.asarray(signal, float)[..., None, :]
    return smooth(batch, lengths, method=method, window=window, fps=fps)[..., 0, :]


def test_smooth_4253h_equals_published_values():
    np.testing.assert_allclose(smooth_clip(COAL)[:37], SMOOTH_COAL, rtol=0, atol=0.05)


@pytest.mark.parametrize("n_frames", [5, 7, 8, 60])
@pytest.mark.parametrize(("window", "width"), [(0.10, 5), (0.15, 7), (0.25, 13), (0.25001, 13)])
def test_smooth_savgol_equals_scipy(n_frames, window, width):
    signal = random_batch([n_frames])[:, 0]
    expected = savgol_filter(signal, min(width, n_frames - 1 + n_frames % 2), 2)
    smoothed = smooth_clip(signal, method="savgol", window=window)
    np.testing.assert_allclose(smoothed, expected, rtol=0, atol=1e-13)


@pytest.mark.parametrize("n_frames", [1, 4, 60])
@pytest.mark.parametrize(("window", "width"), [(0.02, 1), (0.15, 7), (0.25, 13)])
def test_smooth_median_equals_scipy(n_frames, window, width):
    signal = random_batch([n_frames])[:, 0]
    expected = median_filter(signal, size=(1, width), mode="nearest")
    np.testing.assert_array_equal(smooth_clip(signal, method="median", window=window), expected)


@every_method
def test_smooth_pads_and_batches_without_effect(method):
    batch = random_batch()
    for clip, length in enumerate(LENGTHS):
        batch[:, clip, length:] = PADDING
    smoothed = smooth(batch, LENGTHS, method=method, window=0.12, fps=50.0)
    for clip, found in zip(clips_of(batch), clips_of(smoothed), strict=True):
        alone = smooth_clip(clip, method=method, window=0.12)
        np.testing.assert_allclose(found, alone, rtol=0, atol=1e-13)


@every_fps
@every_method
def test_smooth_commutes_with_reversal_of_time(method, fps):
    signal = random_batch([51])[:, 0]
    smoothed = smooth_clip(signal, method=method, fps=fps)
    backwards = smooth_clip(signal[:, ::-1], method=method, fps=fps)[:, ::-1]
    np.testing.assert_allclose(backwards, smoothed, rtol=0, atol=1e-12)


@pytest.mark.parametrize("method", ["median", "4253h_twice"])
def test_smooth_removes_a_spike_wherever_it_is(method):
    spikes = np.eye(20)[1:-1]
    assert not smooth_clip(spikes, method=method).any()


@pytest.mark.parametrize("fps", [100.0, 200.0])
def test_smooth_4253h_does_the_same_to_a_smile_at_a_higher_rate(fps):
    times = np.arange(0, 2, 1 / fps)
    smile = np.interp(times, [0.5, 1.0, 1.2, 1.6], [0, 1, 1, 0])
    once = slice(None, None, int(fps / 50))
    np.testing.assert_allclose(
        smooth_clip(smile, fps=fps)[once], smooth_clip(smile[once]), rtol=0, atol=0.01
    )
