"""The D-Markers as HadaSmileNet's authors published them."""

import numpy as np
import pytest

from smilefusion import DMarkerTransformer
from smilefusion.exceptions import InvalidClipError
from smilefusion.landmarks import face_geometry


@pytest.fixture(scope="module")
def golden(shared):
    with np.load(shared / "golden" / "published_dmarkers.npz", allow_pickle=False) as archive:
        return dict(archive)


def transform(*clips):
    return DMarkerTransformer(definition="hadasmilenet", fps=50).fit_transform(list(clips))


def test_transformer_published_equals_the_authors(golden):
    clips = [golden[f"clip_{index}"] for index in range(10)]
    features = transform(*clips)
    expected = np.stack([golden[f"features_{index}"] for index in range(10)])
    assert np.array_equal(features, expected)
    assert np.array_equal(transform(clips[5].astype(np.float64))[0], expected[5])


def test_published_missing_frames_are_interpolated(golden):
    clip = golden["clip_5"].astype(np.float64)
    bridged = clip.copy()
    weight = (np.arange(1, 5) / 5)[:, None, None]
    bridged[40:44] = (1 - weight) * clip[39] + weight * clip[44]
    clip[40:44] = np.nan
    features, expected = (transform(each)[0] for each in (clip, bridged))
    np.testing.assert_allclose(features, expected, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("n_frames", [1, 2, 9])
def test_published_phases_that_are_absent_are_zero(n_frames):
    still = np.repeat(face_geometry()["neutral"][None], n_frames, axis=0)
    assert not transform(still)[0].any()
    growing = still.copy()
    growing[:, 61, 0] -= 0.05 * np.arange(n_frames)
    growing[:, 62, 0] -= 0.05 * np.arange(n_frames)
    features = transform(growing)[0].reshape(3, 3, 25)
    assert not features[:, 1:].any()
    assert features[2, 0, 2] == (n_frames if n_frames > 1 else 0)


@pytest.mark.parametrize("pair", [(33, 133), (62, 308)])
def test_published_refuses_a_unit_of_zero(golden, pair):
    clips = [golden["clip_0"].copy() for _ in range(3)]
    clips[1][0, pair[0]] = clips[1][0, pair[1]]
    with pytest.raises(InvalidClipError, match="Clip 1 has a mouth or right eye without width"):
        transform(*clips)


def test_published_refuses_coordinates_beyond_float32_by_name():
    clip = 1e30 * np.random.default_rng(0).normal(size=(8, 478, 3))
    with pytest.raises(InvalidClipError, match="Clip 1 has .* too large for float32"):
        transform(clip / 1e30, clip)
