import numpy as np
import pandas as pd
import pytest

from smilefusion.datasets import make_smile_stream
from smilefusion.dmarkers import amplitude_signals

CLEAN = {"jitter": 0.0, "head_motion": 0.0, "missing_rate": 0.0}


@pytest.fixture(scope="module")
def clean():
    return make_smile_stream(4, random_state=0, **CLEAN)


@pytest.fixture(scope="module")
def signals(clean):
    return amplitude_signals(clean.clip, fps=clean.fps, bridge_blinks=False)


def test_lips_rise_by_the_true_amplitude(clean, signals):
    for _, row in clean.truth.iterrows():
        smile = signals["lip"].loc[row["onset_start"] : row["offset_end"]]
        assert smile.max() == pytest.approx(row["amplitude"], rel=0.02)


def test_face_is_back_at_rest_before_the_next_smile(clean, signals):
    before = clean.truth["onset_start"].astype(int) - 1
    np.testing.assert_allclose(signals["lip"].loc[before], 0, atol=1e-4)


def test_truth_is_in_order_and_in_frames_and_seconds(clean):
    limits = ["onset_start", "apex_start", "offset_start", "offset_end"]
    seconds = clean.truth[[f"{limit}_s" for limit in limits]].to_numpy()
    assert (np.diff(seconds.ravel()) > 0).all()
    np.testing.assert_array_equal(clean.truth[limits], np.round(seconds * clean.fps))
    assert seconds.max() < len(clean.clip) / clean.fps


def test_pauses_have_the_length_asked_for():
    for pause in (1.0, 5.0):
        truth = make_smile_stream(6, pause=pause, random_state=0, **CLEAN).truth
        between = truth["onset_start_s"].to_numpy()[1:] - truth["offset_end_s"].to_numpy()[:-1]
        assert (between > 0.5 * pause).all()
        assert (between < 1.5 * pause + 1.5).all()  # a smile's own lead-in and tail


def test_neutral_face_blinks():
    clip = make_smile_stream(0, pause=30.0, random_state=1, **CLEAN).clip
    signals = amplitude_signals(clip, fps=30)
    assert signals["blink"].any()
    np.testing.assert_allclose(signals["lip"], 0, atol=1e-4)


def test_classes_take_turns_and_differ_by_effect():
    stream = make_smile_stream(30, pause=0.5, fps=10, random_state=0, **CLEAN)
    assert stream.target.tolist() == [0, 1] * 15
    duration = stream.truth["offset_end_s"] - stream.truth["onset_start_s"]
    assert duration[stream.target == 1].mean() > 1.1 * duration[stream.target == 0].mean()


def test_same_seed_gives_the_same_recording():
    first, second = (make_smile_stream(2, random_state=5) for _ in range(2))
    np.testing.assert_array_equal(first.clip, second.clip)
    pd.testing.assert_frame_equal(first.truth, second.truth)
    assert not np.array_equal(first.clip[:50], make_smile_stream(2, random_state=6).clip[:50])


def test_missing_frames_are_as_many_as_asked_for():
    clip = make_smile_stream(8, missing_rate=0.1, random_state=0).clip
    assert 0.05 < np.isnan(clip[:, 0, 0]).mean() < 0.15


@pytest.mark.parametrize(
    ("settings", "match"), [({"n_smiles": -1}, "n_smiles"), ({"pause": 0.1}, "pause")]
)
def test_setting_out_of_range_is_refused(settings, match):
    with pytest.raises(ValueError, match=match):
        make_smile_stream(**settings)
