import warnings

import numpy as np
import pytest
from faces import as_ibug, make_clip

from smilefusion import DMarkerTransformer
from smilefusion.dmarkers import amplitude_signals
from smilefusion.exceptions import DataWarning, InvalidClipError

NAMES = DMarkerTransformer().get_feature_names_out().tolist()
IS_CHEEK = np.array([name.startswith("cheek") for name in NAMES])


@pytest.fixture(scope="module")
def clips():
    """Return clips of 478 points, and those of their 68 points that have twins in the mesh."""
    mesh = make_clip(jitter=1e-3)
    return mesh, as_ibug(mesh)


def transform(clip, **parameters):
    return DMarkerTransformer(**{"fps": 50} | parameters).fit_transform([clip])[0]


@pytest.mark.parametrize("pose", ["eyes", None])
@pytest.mark.parametrize("n_dims", [2, 3])
def test_features_equal_those_of_the_mesh_where_the_points_agree(clips, pose, n_dims):
    mesh, points = (clip[..., :n_dims] for clip in clips)
    expected = transform(mesh, pose=pose)
    with pytest.warns(DataWarning):
        features = transform(points, pose=pose)
    np.testing.assert_allclose(features[~IS_CHEEK], expected[~IS_CHEEK], rtol=1e-9, atol=1e-12)
    assert np.count_nonzero(features) > 100


@pytest.mark.parametrize("n_dims", [2, 3])
def test_rigid_pose_gives_near_the_same_smile(clips, n_dims):
    mesh, points = (clip[..., :n_dims] for clip in clips)
    lip, expected = (amplitude_signals(clip)["lip"] for clip in (points, mesh))
    assert np.abs(lip - expected).max() < 0.1 * np.ptp(expected)


@pytest.mark.parametrize(("missing_phase", "value"), [("zero", 0.0), ("nan", np.nan)])
def test_cheek_features_have_the_value_of_absence(clips, missing_phase, value):
    with pytest.warns(DataWarning, match="no points for the cheek") as caught:
        features = transform(clips[1], missing_phase=missing_phase)
    assert len(caught) == 1
    np.testing.assert_array_equal(features[IS_CHEEK], np.full(75, value))
    assert np.isfinite(features[~IS_CHEEK]).mean() > 0.8


def test_chosen_signals_are_columns_of_all_three(clips):
    for clip in clips:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            expected = transform(clip)
            warnings.simplefilter("error")
            chosen = transform(clip, signals=("lip", "eyelid"))
        np.testing.assert_array_equal(chosen, [*expected[150:], *expected[:75]])


@pytest.mark.parametrize("signals", [(), ("lip", "lip"), ("lip", "mouth")])
def test_signals_must_be_different_known_names(clips, signals):
    with pytest.raises(ValueError, match="signals must be one or more of eyelid, cheek, lip"):
        transform(clips[0], signals=signals)


def test_phases_and_signals_need_no_cheeks(clips):
    mesh, points = clips
    tables = [DMarkerTransformer(fps=50, pose="eyes").phases([clip]) for clip in (mesh, points)]
    np.testing.assert_allclose(*(table.astype(float) for table in tables), rtol=1e-9)
    signals = amplitude_signals(points)
    assert signals[["cheek", "cheek_right", "cheek_left"]].isna().all(axis=None)
    assert signals[["eyelid", "lip"]].notna().all(axis=None)


def test_published_definition_needs_cheeks(clips):
    with pytest.raises(InvalidClipError, match="iBUG 68 has no point 'right_cheek'"):
        transform(clips[1], definition="hadasmilenet")
