"""Descriptions of clips: facts against known clips, flags, and the command."""

import numpy as np
import pandas as pd
import pytest
from faces import as_ibug, make_clip

from smilefusion import DMarkerTransformer
from smilefusion.cli import main
from smilefusion.exceptions import FrameRateWarning, InvalidClipError
from smilefusion.report import describe_clips

FPS = 50.0


def describe(clip, fps=FPS):
    return describe_clips([clip], fps=fps).iloc[0]


def store(path, clip, **entries):
    np.savez(path, landmarks=clip, **entries)
    return path


def without(clip, first, last):
    """Remove the face from frames."""
    clip = clip.copy()
    clip[first:last] = np.nan
    return clip


def moved(clip, frame):
    """Move the face to another place from a frame on."""
    clip = clip.copy()
    clip[frame:] += 3
    return clip


def test_description_states_phases_amplitudes_and_speeds_of_a_known_smile():
    row = describe(make_clip())
    limits = row[["onset_start_s", "apex_start_s", "offset_start_s", "offset_end_s"]]
    assert limits.tolist() == pytest.approx([0.4, 0.9, 1.4, 2.0], abs=0.041)
    # The lip corners move by 0.3 inter-ocular distances in 25 frames, or 0.27 mouth widths.
    assert row["lip_amplitude"] == pytest.approx(0.27, abs=0.01)
    assert row["onset_max_speed"] == pytest.approx(0.27 / 0.5, rel=0.2)
    assert row["offset_max_speed"] == pytest.approx(0.27 / 0.6, rel=0.2)
    assert (row["n_frames"], row["duration_s"], row["face_share"]) == (120, 2.4, 1)
    assert row["flags"] == []


def test_description_repeats_dmarkers(smiles):
    table = describe_clips(smiles.clips)
    names = {"lip_asymmetry": "lip__apex__left_right_difference"}
    names |= {f"{s}_amplitude": f"{s}__apex__mean_amplitude" for s in ("lip", "eyelid", "cheek")}
    features = DMarkerTransformer().set_output(transform="pandas").fit_transform(smiles.clips)
    for column, name in names.items():
        np.testing.assert_array_equal(table[column], features[name])


def test_one_weaker_side_is_asymmetric():
    clip = make_clip()
    clip[:, 291] = clip[0, 291] + (clip[:, 291] - clip[0, 291]) / 2
    assert describe(clip)["lip_asymmetry"] > 0.3 * describe(clip)["lip_amplitude"]
    assert describe(make_clip())["lip_asymmetry"] < 0.01


def test_blinks_have_times():
    row = describe(make_clip(blinks=(5, 50)))
    assert row["n_blinks"] == len(row["blink_times_s"]) == 2
    assert row["blink_times_s"] == pytest.approx([0.2, 1.1], abs=0.05)


def test_jitter_is_relative_to_the_smile():
    low, high = (describe(make_clip(jitter=jitter))["jitter"] for jitter in (0.002, 0.004))
    assert high == pytest.approx(2 * low, rel=0.3)
    assert low == pytest.approx(0.002 / 0.3, rel=0.5)


FLAGS = {
    "no smile found": lambda: make_clip(([0], [0])),
    "the clip starts during the smile": lambda: make_clip()[60:],
    "the clip ends during the smile": lambda: make_clip()[:65],
    "the smile has 2 peaks": lambda: make_clip(
        ([20, 40, 60, 80, 100, 115], [0, 0.3, 0.1, 0.3, 0.3, 0])
    ),
    "face missing in 5 % of the frames (6 frames)": lambda: without(make_clip(), 50, 56),
    "only 0.00 to 1.98 s described, the longest part without a long gap": lambda: without(
        make_clip(), 100, 115
    ),
    "jump at 2.1 s (another person or a cut?)": lambda: moved(make_clip(), 105),
    "only 0.00 to 2.08 s described, the longest part without a jump": lambda: moved(
        make_clip(), 105
    ),
    "jitter of ": lambda: make_clip(jitter=0.03),
    "the phases explain only ": lambda: make_clip((range(0, 120, 10), [0, 0.3] * 6)),
}


@pytest.mark.parametrize("flag", FLAGS)
def test_flag_names_the_problem(flag):
    flags = describe(FLAGS[flag]())["flags"]
    assert any(text.startswith(flag) for text in flags), flags


def test_short_rest_is_flagged_at_a_low_rate():
    clip = make_clip(([3, 15, 30, 50], [0, 0.3, 0.3, 0]), n_frames=60)
    assert describe(clip, fps=25)["flags"] == ["fewer than 5 frames of rest before the smile"]


def test_slow_clip_is_flagged():
    assert describe(make_clip(), fps=20)["flags"] == ["frame rate below 25 (20)"]
    assert describe(make_clip(), fps=24.97)["flags"] == []


def test_flags_of_the_recording_come_from_the_file(tmp_path):
    facts = {"fps": FPS, "face_size_px": 72.4, "n_damaged": 3}
    facts["n_faces"] = np.repeat([1, 2], [90, 30])
    row = describe_clips([store(tmp_path / "clip.npz", make_clip(), **facts)]).iloc[0]
    assert row["flags"] == [
        "small face (72 px)",
        "3 damaged frames",
        "several faces in 25 % of the frames",
    ]
    assert row["face_size_px"] == 72.4


def test_times_of_the_file_are_used(tmp_path):
    times_s = 7 + np.arange(120) / FPS
    times_s[60:] += 0.5  # the rate varies, so the mean rate is lower
    fps = 119 / (times_s[-1] - times_s[0])
    path = store(tmp_path / "clip.npz", make_clip(), fps=fps, timestamps_s=times_s)
    with pytest.warns(FrameRateWarning, match="not equally spaced"):
        row = describe_clips([path]).iloc[0]
    assert row["is_uneven"]
    assert row["flags"] == ["uneven frame rate, so D-Markers are approximate"]
    assert row["onset_start_s"] == pytest.approx(0.4, abs=0.041)
    assert row["offset_end_s"] == pytest.approx(2.5, abs=0.041)


def test_longest_gap_is_in_seconds():
    clip = without(without(make_clip(), 3, 5), 110, 120)
    row = describe(clip)
    assert row["longest_gap_s"] == pytest.approx(0.2)
    assert row["face_share"] == pytest.approx(0.9)


def test_clip_without_cheeks_is_described():
    row = describe(as_ibug(make_clip()))
    assert np.isnan(row["cheek_amplitude"])
    assert row["lip_amplitude"] > 0.2


def test_unknown_rate_is_an_error():
    with pytest.raises(InvalidClipError, match="Clip 0 has no frame rate.*Give fps="):
        describe(make_clip(), fps=None)


def test_real_clips_are_described_with_their_flags(shared):
    files = ["smile.npz", "small_face_please.npz"]
    table = describe_clips([shared / "clips" / "landmarks" / name for name in files])
    assert table["n_blinks"].tolist() == [1, 1]
    assert table["flags"][0] == ["the clip ends during the smile"]
    assert table["onset_start_s"][0] == pytest.approx(0.5, abs=0.1)
    assert "face missing in 15 % of the frames (11 frames)" in table["flags"][1]


def test_command_prints_a_block_for_each_file(folder, tmp_path, capsys):
    small = store(tmp_path / "small.npz", make_clip(blinks=(5,)), fps=FPS, face_size_px=50.0)
    assert main(["describe", str(folder / "0.npz"), str(small)]) == 0
    first, second = capsys.readouterr().out.split("\n\n")
    assert first.splitlines()[0] == str(folder / "0.npz")
    lines = [" ".join(line.split()) for line in second.splitlines()]
    assert "recording 120 frames, 2.40 s at 50 per second" in lines
    assert "lips +0.27 mouth widths" in lines
    assert any(line.startswith("blinks 1 (at 0.2") for line in lines)
    assert "flags small face (50 px)" in lines


def test_command_writes_a_table_of_what_can_be_read(folder, tmp_path, capsys):
    output, bad = tmp_path / "table.csv", tmp_path / "bad.npy"
    bad.write_bytes(b"no array")
    assert main(["describe", str(folder / "0.npz"), str(bad), "-o", str(output)]) == 1
    table = pd.read_csv(output, keep_default_na=False)
    assert table["file"].tolist() == [str(folder / "0.npz")]
    assert float(table["lip_amplitude"][0]) > 0
    assert f"failed: {bad}" in capsys.readouterr().err


def test_command_needs_a_frame_rate(tmp_path, capsys):
    path = tmp_path / "clip.npy"
    np.save(path, make_clip())
    assert main(["describe", str(path)]) == 2
    assert "Give --fps" in capsys.readouterr().err
    assert main(["describe", str(path), "--fps", "50"]) == 0
