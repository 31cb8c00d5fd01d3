import numpy as np
import pandas as pd
import pytest
from faces import as_ibug
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from smilefusion import DMarkerTransformer, HadaSmileNetClassifier, make_fusion_pipeline
from smilefusion.clips import read_clip, read_fps
from smilefusion.datasets import make_smile_stream
from smilefusion.exceptions import FrameRateWarning, InvalidClipError
from smilefusion.landmarks import face_geometry
from smilefusion.streaming import SmileStream

FPS = 30


def act(times, amounts, n_frames):
    """Return frames of the mean face whose smile follows a polygon."""
    face = face_geometry()
    smile = np.interp(np.arange(n_frames), times, amounts)
    return face["neutral"] + smile[:, None, None] * face["smile"]


def push_all(stream, clip, times=None):
    """Push a clip; return what each frame gave, and the smiles, the one at the end included."""
    times = [None] * len(clip) if times is None else times
    frames = [stream.push(frame, time) for frame, time in zip(clip, times, strict=True)]
    smiles = [frame.smile for frame in frames if frame.smile]
    last = stream.flush()
    return frames, smiles + [last] * (last is not None)


def find_smiles(clip, **settings):
    return push_all(SmileStream(fps=FPS, **settings), clip)[1]


@pytest.fixture(scope="module")
def recording():
    return make_smile_stream(4, missing_rate=0.02, jitter=0.0075, random_state=3)


@pytest.fixture(scope="module")
def classifier(smiles):
    steps = DMarkerTransformer(fps=FPS), StandardScaler(), LogisticRegression(max_iter=2000)
    return make_pipeline(*steps).fit(smiles.clips, smiles.target)


@pytest.fixture(scope="module")
def found(recording, classifier):
    """Return what the recording's frames give, and its smiles, with a classifier."""
    return push_all(SmileStream(classifier, fps=recording.fps), recording.clip)


@pytest.fixture(scope="module")
def two_smiles():
    """Return a smile of frames 30 to 80, another one of frames 120 to 180, and rest around."""
    return act([30, 45, 60, 80, 120, 135, 160, 180], [0, 0.3, 0.3, 0, 0, 0.2, 0.2, 0], 220)


def test_smiles_of_a_simulated_stream_are_found_once_each(recording, found):
    frames, smiles = found
    middle = recording.truth[["apex_start", "offset_start"]].mean(axis=1)
    inside = [
        [s.first_frame < frame < s.first_frame + len(s.clip) for s in smiles] for frame in middle
    ]
    np.testing.assert_array_equal(inside, np.eye(len(middle), dtype=bool))
    started = np.array([frame.time_s for frame in frames if frame.started])
    assert (np.abs(started - recording.truth["onset_start_s"] - 0.6) < 0.9).all()


def test_probability_is_that_of_the_clip(recording, found, classifier):
    for smile in found[1]:
        part = recording.clip[smile.first_frame :][: len(smile.clip)]
        np.testing.assert_array_equal(smile.clip, part)
        assert smile.probability.tolist() == classifier.predict_proba([part])[0].tolist()
        assert smile.label == classifier.predict([part])[0]


def test_phases_are_those_of_the_clip_in_frames_and_times_of_the_stream(found):
    for smile in found[1]:
        expected = DMarkerTransformer(fps=FPS).phases([smile.clip]).iloc[0]
        limits = ["onset_start", "apex_start", "offset_start", "offset_end"]
        assert (smile.phases[limits] == expected[limits] + smile.first_frame).all()
        np.testing.assert_allclose(
            smile.phases[[f"{limit}_s" for limit in limits]].astype(float),
            smile.phases[limits].astype(float) / FPS,
        )
        assert smile.phases["phase_quality"] == expected["phase_quality"]


def test_whole_stream_is_classified_as_the_clip(smiles, classifier):
    stream = SmileStream(classifier, fps=FPS)
    expected = classifier.predict_proba(smiles.clips[:2])
    phases = DMarkerTransformer(fps=FPS).phases(smiles.clips[:2])
    for row, clip in enumerate(smiles.clips[:2]):
        for frame in clip:
            stream.push(frame)
        whole = stream.flush(whole=True)
        np.testing.assert_array_equal(whole.clip, clip)
        np.testing.assert_allclose(whole.probability, expected[row], rtol=0, atol=1e-12)
        pd.testing.assert_series_equal(whole.phases, phases.iloc[row], check_names=False)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["end to end", "two stages"])
def test_networks_see_in_a_stream_what_they_see_in_clips(recording, smiles, kind):
    settings = {"fps": FPS, "random_state": 0}
    if kind == "end to end":
        model = HadaSmileNetClassifier(max_epochs=2, **settings)
    else:
        model = make_fusion_pipeline(**settings)
        model.set_params(features__deep__max_epochs=2, fusion__max_epochs=2)
    model.fit(smiles.clips, smiles.target, groups=smiles.groups)
    _, found = push_all(SmileStream(model, fps=FPS), recording.clip)
    together = model.predict_proba([smile.clip for smile in found])
    np.testing.assert_allclose([smile.probability for smile in found], together, atol=1e-6)


def test_two_smiles_are_dated(two_smiles):
    first, second = find_smiles(two_smiles)
    assert first.ended_by == second.ended_by == "settled"
    limits = ["onset_start", "apex_start", "offset_start", "offset_end"]
    np.testing.assert_allclose(first.phases[limits].astype(float), [30, 45, 60, 80], atol=2)
    np.testing.assert_allclose(second.phases[limits].astype(float), [120, 135, 160, 180], atol=2)


@pytest.mark.parametrize("move", [lambda clip: 40 * clip - 7, lambda clip: clip[:, :, :2]])
def test_size_place_and_depth_do_not_move_a_smile(two_smiles, move):
    first, moved = find_smiles(two_smiles), find_smiles(move(two_smiles))
    assert [smile.first_frame for smile in first] == [smile.first_frame for smile in moved]
    assert [len(smile.clip) for smile in first] == [len(smile.clip) for smile in moved]


def test_smile_that_follows_at_once_is_another_one():
    valley = act([30, 45, 60, 75, 90, 105, 120], [0, 0.3, 0.3, 0.05, 0.3, 0.3, 0], 150)
    first, second = find_smiles(valley)
    assert (first.ended_by, second.ended_by) == ("risen", "settled")
    assert second.first_frame == first.first_frame + len(first.clip) - 1
    assert second.first_frame == pytest.approx(75, abs=2)


@pytest.mark.parametrize(
    ("times", "amounts", "n_smiles"),
    [
        ([30, 45, 60, 75, 90, 105, 120], [0, 0.3, 0.3, 0.15, 0.3, 0.3, 0], 1),  # a dip
        ([20, 30, 60, 70, 73, 76], [0, 0.3, 0.3, 0.01, 0.2, 0.01], 1),  # a rise that does not last
        ([30, 430], [0, 0.07], 0),  # a slow drift
    ],
)
def test_smaller_movements_are_no_smiles(times, amounts, n_smiles):
    assert len(find_smiles(act(times, amounts, times[-1] + 30))) == n_smiles
    assert find_smiles(make_smile_stream(0, pause=10.0, random_state=0).clip) == []


def test_grin_that_stays_ends_with_the_buffer():
    clip = act([30, 45], [0, 0.3], 200)
    first, *others = find_smiles(clip, max_frames=60)
    assert (first.ended_by, len(first.clip)) == ("length", 60)
    assert others == []


def test_rise_of_less_than_the_least_amplitude_or_duration_is_no_smile():
    small = act([30, 40, 60, 70], [0, 0.1, 0.1, 0], 100)
    assert len(find_smiles(small)) == 1
    assert find_smiles(small, min_amplitude=0.2) == []
    assert find_smiles(small, min_duration=2.0) == []


@pytest.mark.parametrize(("n_missing", "reasons"), [(10, ["settled"]), (11, ["gap"])])
def test_face_that_is_lost_for_long_ends_a_smile(n_missing, reasons):
    clip = act([30, 45, 80, 100], [0, 0.3, 0.3, 0], 140)
    clip[50 : 50 + n_missing] = np.nan
    smiles = find_smiles(clip)
    assert [smile.ended_by for smile in smiles] == reasons
    if reasons == ["gap"]:
        assert smiles[0].first_frame + len(smiles[0].clip) == 50


def test_end_of_a_smile_is_told_when_the_face_is_lost_or_as_it_jumps():
    clip = act([30, 45, 200], [0, 0.3, 0.3], 120)
    lost, jumped = clip.copy(), clip.copy()
    lost[60:], jumped[60:, :, 0] = np.nan, jumped[60:, :, 0] + 3
    for changed, number, reason in ((lost, 70, "gap"), (jumped, 60, "jump")):
        frames, (smile,) = push_all(SmileStream(fps=FPS), changed)
        assert frames[number].smile is smile
        assert smile.ended_by == reason
        assert smile.first_frame + len(smile.clip) == 60


def test_rest_is_learned_anew_after_a_jump():
    clip = act([0, 45], [0.3, 0.3], 60)
    clip[:30] = face_geometry()["neutral"]
    clip[30:] *= 2
    frames, smiles = push_all(SmileStream(fps=FPS), clip)
    assert smiles == []
    assert [np.isnan(frame.lip) for frame in frames[28:36]] == [False] * 2 + [True] * 4 + [
        False
    ] * 2
    assert frames[40].lip == pytest.approx(0, abs=1e-9)


def test_missing_frames_are_none_or_nan(recording):
    clip = recording.clip[:250]
    nothing = [None if np.isnan(frame).all() else frame for frame in clip]
    assert any(frame is None for frame in nothing)
    (given, smiles), (other, others) = (
        push_all(SmileStream(fps=FPS), each) for each in (clip, nothing)
    )
    np.testing.assert_array_equal([f.lip for f in given], [f.lip for f in other])
    np.testing.assert_array_equal(smiles[0].clip, others[0].clip)


def test_flush_of_nothing_gives_nothing():
    stream = SmileStream(fps=FPS)
    assert stream.flush() is None
    stream.push(None)
    assert stream.flush(whole=True) is None


def test_even_timestamps_give_what_a_frame_rate_gives(two_smiles):
    timed = push_all(SmileStream(), two_smiles, 100 + np.arange(len(two_smiles)) / FPS)
    rated = push_all(SmileStream(fps=FPS), two_smiles)
    np.testing.assert_array_equal([f.lip for f in timed[0]], [f.lip for f in rated[0]])
    for smile, other in zip(timed[1], rated[1], strict=True):
        assert smile.fps == pytest.approx(FPS)
        assert smile.phases["onset_start"] == other.phases["onset_start"]
        assert smile.phases["apex_start_s"] == pytest.approx(100 + other.phases["apex_start_s"])


def test_times_of_a_smile_are_its_timestamps(two_smiles):
    rng = np.random.default_rng(0)
    times = np.cumsum(rng.uniform(0.6, 1.4, len(two_smiles)) / FPS)
    smile = push_all(SmileStream(), two_smiles, times)[1][0]
    assert smile.phases["apex_start_s"] == times[int(smile.phases["apex_start"])]


def test_stall_of_the_camera_ends_a_smile(two_smiles):
    times = np.arange(len(two_smiles)) / FPS
    times[50:] += 2.0
    first, *_ = push_all(SmileStream(), two_smiles, times)[1]
    assert first.ended_by == "gap"
    assert first.first_frame + len(first.clip) == 50


def test_stream_without_times_counts_frames(two_smiles):
    frames, smiles = push_all(SmileStream(), two_smiles)
    assert np.isnan([frame.time_s for frame in frames]).all()
    assert [smile.fps for smile in smiles] == [None, None]
    assert np.isnan(smiles[0].phases["onset_start_s"])
    assert smiles[0].phases["onset_start"] == pytest.approx(30, abs=2)


def test_bad_frame_leaves_the_stream_as_it_was(two_smiles):
    stream, bad = SmileStream(fps=FPS), two_smiles[40].copy()
    bad[7] = np.nan
    frames = []
    for number, frame in enumerate(two_smiles):
        for wrong in (bad, np.zeros((478, 3)), frame[:5], "clip.npy") if number in (0, 40) else ():
            with pytest.raises(InvalidClipError, match=r"Frame|landmarks"):
                stream.push(wrong)
        frames.append(stream.push(frame))
    expected, _ = push_all(SmileStream(fps=FPS), two_smiles)
    np.testing.assert_array_equal([f.lip for f in frames], [f.lip for f in expected])


@pytest.mark.parametrize(
    ("settings", "times", "match"),
    [
        ({}, (1.0, 1.0), "later than 1"),
        ({}, (1.0, None), "all frames of a stream have one, or none"),
        ({}, (None, 1.0), "all frames of a stream have one, or none"),
        ({"fps": 30}, (0.0,), "Use only one of them"),
    ],
)
def test_contradictory_times_are_refused(settings, times, match):
    stream, face = SmileStream(**settings), face_geometry()["neutral"]
    for time in times[:-1]:
        stream.push(face, time)
    with pytest.raises(ValueError, match=match):
        stream.push(face, times[-1])


@pytest.mark.parametrize(
    ("settings", "match"),
    [
        ({"classifier": LogisticRegression()}, "Fit it before"),
        ({"classifier": "hadamard"}, "classifier"),
        ({"dmarkers": DMarkerTransformer(definition="hadasmilenet")}, "does not find the phases"),
        ({"max_frames": 54}, "at least 55"),
        ({"fps": 0}, "fps"),
    ],
)
def test_bad_setting_is_refused(settings, match):
    with pytest.raises(ValueError, match=match):
        SmileStream(**settings)


def test_classifier_of_another_frame_rate_is_warned_of_once(two_smiles, classifier):
    with pytest.warns(FrameRateWarning, match=r"parameter fps=30") as caught:
        push_all(SmileStream(classifier, fps=50), two_smiles)
    assert len(caught) == 1


def test_images_go_through_the_landmarker(two_smiles):
    images = {f"image {number}": frame for number, frame in enumerate(two_smiles)}
    stream = SmileStream(fps=FPS, landmarker=images.get)
    found = [stream.push_image(image).lip for image in [*images, "no face"]]
    expected = [frame.lip for frame in push_all(SmileStream(fps=FPS), two_smiles)[0]]
    np.testing.assert_array_equal(found, [*expected, np.nan])
    with pytest.raises(ValueError, match="needs a landmarker"):
        SmileStream(fps=FPS).push_image(None)


def test_68_points_have_no_cheeks(two_smiles):
    frames, smiles = push_all(SmileStream(fps=FPS), as_ibug(two_smiles))
    assert len(smiles) == 2
    assert np.isnan([frame.cheek for frame in frames]).all()
    assert frames[50].lip > 0.2


def test_real_smile_is_found_when_it_begins(shared):
    path = shared / "clips" / "landmarks" / "smile.npz"
    clip, fps = read_clip(path), read_fps(path)
    frames, (smile,) = push_all(SmileStream(fps=fps), clip)
    (started,) = (frame.number for frame in frames if frame.started)
    whole = DMarkerTransformer(fps=fps).phases([clip]).iloc[0]
    assert whole["onset_start"] < started < whole["apex_start"] + 1
    assert abs(smile.phases["onset_start"] - whole["onset_start"]) <= 1


@pytest.mark.parametrize("name", ["no_face_then_smile_vfr", "small_face_please"])
def test_real_smiles_are_found_once(shared, name):
    path = shared / "clips" / "landmarks" / f"{name}.npz"
    clip, times = read_clip(path), np.load(path)["timestamps_s"]
    _, (smile,) = push_all(SmileStream(), clip, times)
    assert smile.first_frame >= np.flatnonzero(~np.isnan(clip[:, 0, 0]))[0]
    assert not smile.phases["no_smile"]
