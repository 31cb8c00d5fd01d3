import numpy as np
import pandas as pd
import pytest
from faces import make_clip

from smilefusion import DMarkerTransformer
from smilefusion.clips import read_fps
from smilefusion.datasets import make_smiles
from smilefusion.dmarkers import amplitude_signals
from smilefusion.exceptions import InvalidClipError
from smilefusion.landmarks import face_geometry

FRAMES = ["onset_start", "apex_start", "offset_start", "offset_end"]
SECONDS = [f"{name}_s" for name in FRAMES]
CUT = ["cut_at_start", "cut_at_end"]
FLAGS = ["no_smile", "no_onset", "no_offset", *CUT, "several_peaks", "cut", "too_many_missing"]
COUNTS = ["n_peaks", "n_blinks", "n_missing", "n_jumps"]
EXACT = {"pose": None, "smoothing": None, "segmentation": "longest_run"}


def find(clip, **parameters):
    return DMarkerTransformer(**{"fps": 50} | parameters).phases([clip]).iloc[0]


def flags(row):
    return [name for name in FLAGS if row[name]]


def test_phases_of_a_trapezoid_are_known():
    row = find(make_clip(), **EXACT)
    assert row[FRAMES].tolist() == [20, 45, 70, 100]
    assert row["amplitude"] == pytest.approx(
        amplitude_signals(make_clip(), pose=None)["lip"].max(), rel=1e-9
    )
    assert row["phase_quality"] == pytest.approx(1)
    assert row[COUNTS].tolist() == [1, 0, 0, 0]
    assert flags(row) == []
    assert row[SECONDS].tolist() == pytest.approx((row[FRAMES] / 50).tolist())
    assert find(make_clip(), **EXACT, fps=None)[SECONDS].isna().all()


@pytest.mark.parametrize("n_missing", [1, 13])
def test_phases_are_in_frames_of_the_clip_as_given(n_missing):
    clip = make_clip(jitter=1e-3)
    later = np.concatenate([np.full((n_missing, 478, 3), np.nan), clip])
    row, shifted = find(clip), find(later)
    assert (shifted[FRAMES] - row[FRAMES]).tolist() == [n_missing] * 4
    assert shifted["n_missing"] == n_missing
    assert shifted["phase_quality"] == row["phase_quality"]


@pytest.mark.parametrize(
    ("frames", "absent", "found"),
    [
        (slice(0, 60), ["offset_end"], ["no_offset", "cut_at_end"]),
        (slice(55, 120), ["onset_start"], ["no_onset", "cut_at_start"]),
        (slice(0, 85), [], ["cut_at_end"]),
        (slice(35, 120), [], ["cut_at_start"]),
        (slice(0, 98), [], ["cut_at_end"]),
        (slice(22, 120), [], ["cut_at_start"]),
    ],
)
def test_phases_that_the_clip_cuts_are_flagged(frames, absent, found):
    row = find(make_clip()[frames])
    assert row[FRAMES].index[row[FRAMES].isna()].tolist() == absent
    assert row[SECONDS].isna().sum() == len(absent)
    assert flags(row) == found


@pytest.mark.parametrize("fps", [25, 50])
def test_cuts_of_simulated_smiles_are_flagged(fps):
    options = {"lead_in": 0.4, "tail": 0.4, "jitter": 0.03, "random_state": 0}
    smiles = make_smiles(40, n_subjects=10, fps=fps, **options)
    onsets, offsets = smiles.truth["apex_start"], smiles.truth["offset_start"]
    late = [clip[start - 1 :] for clip, start in zip(smiles.clips, onsets, strict=True)]
    early = [clip[: stop + 2] for clip, stop in zip(smiles.clips, offsets, strict=True)]
    whole, *cut = (DMarkerTransformer(fps=fps).phases(c)[CUT] for c in (smiles.clips, late, early))
    assert whole.mean().max() < 0.1
    assert min(table[name].mean() for table, name in zip(cut, CUT, strict=True)) > 0.9


def test_phases_of_a_still_face_are_nan_and_flagged():
    row = find(make_clip(([0], [0.0]), jitter=1e-4))
    assert row[FRAMES + SECONDS].isna().all()
    assert row["phase_quality"] == row["n_peaks"] == 0
    assert flags(row) == ["no_smile", "no_onset", "no_offset"]


def test_phases_come_in_order():
    rng = np.random.default_rng(0)
    clips = [
        make_clip((np.sort(rng.uniform(0, n, 5)), rng.uniform(0, 0.3, 5)), n, jitter=2e-3, seed=n)
        for n in range(20, 60)
    ]
    table = DMarkerTransformer(fps=25).phases(clips)
    limits = table.loc[~table["no_smile"], FRAMES]
    assert len(limits) > 20
    steps = limits.diff(axis=1).iloc[:, 1:].to_numpy()
    assert (steps[~np.isnan(steps)] >= 0).all()


def test_phase_quality_is_the_share_of_variance_explained():
    clip = make_clip(jitter=0.01)
    row = find(clip, **EXACT | {"segmentation": "transitions"})
    lip = amplitude_signals(clip, pose=None)["lip"].to_numpy()
    t0, t1, t2, t3 = row[FRAMES].astype(int)
    fit = np.empty(120)
    fit[t0:t1] = np.maximum.accumulate(lip[t0:t1])
    fit[t2:t3] = np.maximum.accumulate(lip[t2 : t3 + 1][::-1])[:0:-1]
    for level in (slice(0, t0 + 1), slice(t1, t2 + 1), slice(t3, 120)):
        fit[level] = lip[level].mean()
    expected = 1 - ((lip - fit) ** 2).sum() / ((lip - lip.mean()) ** 2).sum()
    assert row["phase_quality"] == pytest.approx(expected)


@pytest.mark.parametrize(
    ("heights", "n_peaks"),
    [
        ([0, 0.3, 0.3, 0.3, 0], 1),
        ([0, 0.3, 0.27, 0.3, 0], 1),
        ([0, 0.3, 0.15, 0.3, 0], 2),
        ([0, 0.3, 0.15, 0.25, 0], 2),
    ],
)
def test_phases_count_peaks_parted_by_deep_dips(heights, n_peaks):
    row = find(make_clip(([10, 40, 60, 80, 110], heights)))
    assert row["n_peaks"] == n_peaks
    assert row["several_peaks"] == (n_peaks > 1)


def test_phases_count_blinks():
    clip = make_clip(jitter=1e-4, blinks=(15, 60, 102))
    assert find(clip)["n_blinks"] == 3
    assert find(clip, bridge_blinks=False)["n_blinks"] == 3


def test_phases_flag_a_fifth_of_missing_frames():
    clip = make_clip(jitter=1e-4)
    clip[::5] = np.nan
    assert "too_many_missing" not in flags(find(clip))
    clip[1] = np.nan
    row = find(clip)
    assert (row["n_missing"], flags(row)) == (25, ["too_many_missing"])


def test_phases_of_the_published_definition_are_an_error():
    with pytest.raises(ValueError, match='phases needs definition="standard"'):
        DMarkerTransformer(definition="hadasmilenet").phases([make_clip()])


def test_phases_of_a_real_smile_are_where_the_eye_sees_them(shared):
    path = shared / "clips" / "landmarks" / "smile.npz"
    row = DMarkerTransformer(fps=read_fps(path)).phases([path]).iloc[0]
    assert row[SECONDS[:3]].tolist() == pytest.approx([0.5, 0.8, 2.2], abs=0.1)
    assert row["n_blinks"] == row["n_peaks"] == 1
    assert row["phase_quality"] > 0.98


TRAPEZOID = np.interp(np.arange(120), [20, 45, 70, 100], [0, 1, 1, 0])


def noisy(lip, jitter, seed=0):
    return lip + np.random.default_rng(seed).normal(0, jitter, len(lip))


def find_in_signal(lip, method, smoothing=None):
    """Find the phases of a face at 50 frames per second with this lip signal."""
    clip = np.repeat(face_geometry()["neutral"][None].astype(np.float64), len(lip), axis=0)
    width = np.ptp(clip[0, [61, 291], 0])
    clip[:, [61, 291], 0] += np.outer(lip, [-width, width])
    return find(clip, pose=None, smoothing=smoothing, segmentation=method)


def limits(lip, method, **options):
    return find_in_signal(lip, method, **options)[FRAMES].astype(float).tolist()


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


@pytest.mark.parametrize("smoothing", ["savgol", "median", "4253h_twice"])
def test_transitions_durations_follow_the_truth(smoothing):
    rng = np.random.default_rng(0)
    found, truth = [], []
    for seconds in np.exp(rng.normal([0, 0.2, 0.3], 0.5, (20, 3))):
        knots = 50 * np.cumsum([0.5, *seconds])
        lip = np.interp(np.arange(int(knots[-1] + 25)), knots, [0, 1, 1, 0])
        found.append(np.diff(limits(noisy(lip, 0.02), "transitions", smoothing=smoothing)))
        truth.append(np.diff(knots))
    pairs = zip(np.transpose(found), np.transpose(truth), strict=True)
    assert min(np.corrcoef(*pair)[0, 1] for pair in pairs) > 0.95


@pytest.mark.parametrize("method", ["transitions", "longest_run"])
@pytest.mark.parametrize(
    ("height", "jitter", "smiles"),
    [(0.15, 0.001, True), (0.015, 0.0001, False), (0.0, 0.05, False)],
)
def test_smile_needs_amplitude_above_jitter(method, height, jitter, smiles):
    row = find_in_signal(noisy(height * TRAPEZOID, jitter), method, "savgol")
    assert row["no_smile"] != smiles


SIGNALS = [
    *("eyelid", "cheek", "lip"),
    *("eyelid_right", "cheek_right", "lip_right", "eyelid_left", "cheek_left", "lip_left"),
]


def test_amplitude_signals_have_both_sides_blinks_and_time():
    table = amplitude_signals(make_clip(), fps=50)
    assert set(table) == {*SIGNALS, "blink", "jump", "time_s"}
    assert table["time_s"].tolist() == pytest.approx((np.arange(120) / 50).tolist())
    assert "time_s" not in amplitude_signals(make_clip())
    sides = (table["lip_right"] + table["lip_left"]) / 2
    assert table["lip"].tolist() == pytest.approx(sides.tolist(), abs=1e-12)


def test_amplitude_signals_are_zero_at_rest_even_where_it_blinks():
    clip = make_clip(jitter=1e-5)
    blinking = make_clip(jitter=1e-5, blinks=(-3,))
    calm, bridged = (amplitude_signals(c, fps=50)["eyelid"] for c in (clip, blinking))
    assert np.median(bridged[:5]) == 0
    assert bridged.tolist() == pytest.approx(calm.tolist(), abs=0.01)


def test_amplitude_signals_mark_blinks_and_bridge_them():
    clip = make_clip(jitter=1e-5, blinks=(30,))
    bridged, raw = (amplitude_signals(clip, fps=50, bridge_blinks=b) for b in (True, False))
    marked = np.flatnonzero(raw["blink"])
    assert 30 <= marked.min() < marked.max() <= 40
    assert raw["eyelid"].min() < -0.1
    assert bridged["eyelid"].min() > -0.1
    pd.testing.assert_frame_equal(bridged[~raw["blink"]], raw[~raw["blink"]])
    pd.testing.assert_frame_equal(bridged[["cheek", "lip"]], raw[["cheek", "lip"]])


def test_amplitude_signals_are_nan_where_nothing_is_described():
    clip = make_clip()
    clip[[0, 50, 119]] = np.nan
    clip[20:32] = np.nan
    lip = amplitude_signals(clip)["lip"]
    described = [*range(32, 50), *range(51, 119)]
    assert np.flatnonzero(lip.notna()).tolist() == described
    assert np.flatnonzero(amplitude_signals(clip, max_gap=12)["lip"].notna())[0] == 1


def test_amplitude_signals_of_a_path_are_those_of_the_clip(tmp_path):
    np.save(tmp_path / "smile.npy", make_clip())
    table = amplitude_signals(tmp_path / "smile.npy", fps=50)
    pd.testing.assert_frame_equal(table, amplitude_signals(make_clip(), fps=50))


def test_amplitude_signals_of_several_clips_are_an_error():
    with pytest.raises(InvalidClipError, match="shape"):
        amplitude_signals([make_clip(), make_clip()])
