import numpy as np
import pytest

from smilefusion.dmarkers._published import (
    published_descriptors,
    published_dmarkers,
    published_phases,
)
from smilefusion.dmarkers._transformer import DMarkerTransformer
from smilefusion.exceptions import InvalidClipError
from smilefusion.landmarks import MEDIAPIPE_478


@pytest.fixture(scope="module")
def golden(shared):
    with np.load(shared / "golden" / "published_dmarkers.npz", allow_pickle=False) as archive:
        return dict(archive)


@pytest.mark.parametrize("index", range(10))
def test_published_dmarkers_equal_the_authors_bit_for_bit(golden, index):
    features = published_dmarkers(golden[f"clip_{index}"], MEDIAPIPE_478)
    assert features.dtype == np.float32
    assert np.array_equal(features, golden[f"features_{index}"])


def test_transformer_published_equals_the_authors(golden):
    clips = [golden[f"clip_{index}"] for index in range(10)]
    features = DMarkerTransformer(definition="hadasmilenet", fps=50).fit_transform(clips)
    expected = np.stack([golden[f"features_{index}"] for index in range(10)])
    assert np.array_equal(features, expected)


def test_published_dmarkers_float64_input_is_taken_as_float32(golden):
    features = published_dmarkers(golden["clip_5"].astype(np.float64), MEDIAPIPE_478)
    assert np.array_equal(features, golden["features_5"])


@pytest.mark.parametrize(
    ("lip", "onset", "apex", "offset"),
    [
        ([0, 1, 2, 3], (0, 4), (0, 0), (0, 0)),
        ([3, 2, 1, 0], (0, 0), (0, 0), (0, 4)),
        ([0, 1, 2, 2, 2, 2, 2, 1, 0], (0, 4), (4, 6), (6, 9)),
        ([0, 1, 0, 1, 2, 1], (2, 6), (6, 6), (1, 4)),
        ([1, 1, 1], (0, 0), (0, 0), (0, 0)),
        ([1], (0, 0), (0, 0), (0, 0)),
    ],
)
def test_published_phases_by_hand(lip, onset, apex, offset):
    phases = published_phases(np.array(lip, dtype=np.float32))
    spans = [(phase.start, phase.stop) for phase in phases]
    assert spans[0] == onset
    assert spans[2] == offset
    assert [*range(*spans[1])] == [*range(*apex)]


def test_published_descriptors_by_hand():
    values = published_descriptors(np.array([1.0, 3.0, 2.0, 4.0]))
    rise, fall = 3 + 4, 2
    expected = [2, 1, 4, 2 / 4, 1 / 4, 4, 10 / 4, 7 / 2, 2, np.std([1, 3, 2, 4])]
    expected += [rise, fall, rise - fall, rise / 9, fall / 9, 2, 1, 2, 1, 3, 3, 3, 3]
    expected += [(rise - fall) / 4, 0]
    np.testing.assert_allclose(values, expected)


def test_published_mean_of_falling_levels_keeps_its_sign():
    values = published_descriptors(np.array([-1.0, -2.0, -4.0]))
    assert values[8] == -3
    assert values[11] == 6


@pytest.mark.parametrize("segment", [[], [0.5]])
def test_published_descriptors_of_short_segments(segment):
    values = published_descriptors(np.array(segment))
    expected = np.zeros(25)
    expected[[2, 5, 6]] = [1, 0.5, 0.5] if segment else 0
    np.testing.assert_array_equal(values, expected)


def test_published_left_right_difference_is_always_zero(golden):
    features = np.stack([golden[f"features_{index}"] for index in range(10)])
    assert not features[:, 24::25].any()


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
        published_dmarkers(bridged, MEDIAPIPE_478),
        rtol=1e-4,
        atol=1e-6,
    )


def test_published_needs_cheeks():
    clip = np.random.default_rng(0).normal(size=(12, 68, 2))
    with pytest.raises(InvalidClipError, match="iBUG 68 has no point 'right_cheek'"):
        DMarkerTransformer(definition="hadasmilenet").fit([clip])
