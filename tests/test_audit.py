"""audit_dataset: confounds, copies, subjects and labels."""

import numpy as np
import pandas as pd
import pytest
from exports import FPS, openface_2

from smilefusion import audit_dataset
from smilefusion.benchmark import format_table
from smilefusion.cli import main
from smilefusion.clips import check_clips
from smilefusion.datasets import make_smiles
from smilefusion.inspection import AuditDisplay


@pytest.fixture(scope="module")
def smiles():
    return make_smiles(160, n_subjects=40, fps=25, effect=0, random_state=0)


def audit(smiles, clips=None, target=None, groups=None, **options):
    clips = smiles.clips if clips is None else clips
    target = smiles.target if target is None else target
    return audit_dataset(clips, target, groups, **options).set_index("code")


def joined(smiles, *extra, subjects):
    """Return clips with additional ones, as a sequence."""
    groups = [*map(str, smiles.groups), *subjects]
    return check_clips([*smiles.clips, *extra], fps=25, subjects=groups)


def test_like_classes_give_no_warning(smiles):
    assert "warning" not in audit(smiles)["verdict"].tolist()


def test_duration_of_spontaneous_smiles_is_found():
    smiles = make_smiles(160, n_subjects=40, fps=25, effect=1.5, random_state=1)
    row = audit(smiles).loc["SF001"]
    assert row["verdict"] == "warning"
    assert row["low"] < row["auc"] < row["high"]


def test_frame_rate_of_another_camera_is_found(smiles):
    rates = np.where(smiles.target, 29.0, 25.0)
    table = audit(smiles, smiles.clips.replace(fps=rates))
    assert table.loc["SF002", ["auc", "verdict"]].tolist() == [1.0, "warning"]


def test_metadata_of_text_and_numbers_are_rated(smiles):
    rng = np.random.default_rng(0)
    metadata = pd.DataFrame(
        {
            "camera": np.where(smiles.target, "new", "old"),
            "session": smiles.target * 10 + rng.integers(0, 4, 160),
            "age": rng.integers(8, 76, 160),
            "place": "here",
        }
    )
    rows = audit(smiles, metadata=metadata).loc["SF012"].set_index("check")
    verdicts = rows["verdict"].to_dict()
    assert verdicts["metadata: camera"] == verdicts["metadata: session"] == "warning"
    assert rows.loc["metadata: place", "finding"] == "the same in all clips"
    assert verdicts["metadata: age"] != "warning"


def test_sorted_files_are_found(smiles):
    order = np.argsort(smiles.target, kind="stable")
    table = audit(smiles, smiles.clips[order], smiles.target[order])
    assert table.loc["SF010", "verdict"] == "warning"


def test_identical_clips_are_found_across_labels(smiles):
    clips = joined(smiles, smiles.clips[3], subjects=["0"])
    table = audit(smiles, clips, [*smiles.target, 1 - smiles.target[3]])
    assert table.loc["SF020", "finding"] == "1 pair: Clip 3 and Clip 160"
    assert table.loc["SF022", "finding"] == "1 pair: Clip 3 and Clip 160"


def test_nearly_identical_clips_of_one_person_are_no_crossing(smiles):
    noise = np.random.default_rng(0).normal(0, 1e-4, smiles.clips[5].shape)
    copy = 0.7 * (smiles.clips[5] + noise).astype(np.float32)[:-1]
    clips = joined(smiles, copy, subjects=[str(smiles.groups[5])])
    table = audit(smiles, clips, [*smiles.target, smiles.target[5]])
    assert table.loc["SF020", "verdict"] == "ok"
    assert table.loc["SF021", "finding"] == "1 pair: Clip 5 and Clip 160"
    assert table.loc["SF022", "verdict"] == "ok"


def test_subjects_with_one_class_are_counted(smiles):
    people = np.arange(160) % 2 * 50 + smiles.groups
    row = audit(smiles, groups=people).loc["SF030"]
    assert row["finding"] == "80 of 80 subjects have clips of one class only"
    assert row["verdict"] == "warning"


def test_missing_subjects_and_rare_classes_are_reported(smiles):
    chosen = np.r_[np.flatnonzero(smiles.target == 0), np.flatnonzero(smiles.target)[:10]]
    clips = check_clips([smiles.clips[i] for i in chosen], fps=25)
    table = audit(smiles, clips, smiles.target[chosen])
    assert table.loc["SF031", "finding"] == "the rarer class has 11% of the clips"
    assert table.loc["SF032", "verdict"] == "warning"


def test_ignored_codes_are_left_out(smiles):
    assert {"SF001", "SF020"}.isdisjoint(audit(smiles, ignore=("SF001", "SF020")).index)


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"ignore": ["SF999"]}, "Each of ignore .*SF999"),
        ({"target": np.zeros(160)}, "two classes; y has 1"),
        ({"target": np.zeros(3)}, "inconsistent numbers of samples"),
        ({"metadata": pd.DataFrame({"age": [1, 2]})}, "metadata has 2 rows, but there are 160"),
        ({"metadata": [1, 2]}, "metadata must be a DataFrame; got list"),
    ],
)
def test_bad_input_is_refused(options, match, smiles):
    with pytest.raises(ValueError, match=match):
        audit(smiles, **options)


def test_display_draws_the_rated_properties(smiles):
    pytest.importorskip("matplotlib")
    table = audit_dataset(smiles.clips, smiles.target)
    labels = [text.get_text() for text in AuditDisplay.from_audit(table).ax_.get_yticklabels()]
    assert labels[-1] == "SF001  duration"
    assert len(labels) == table["low"].notna().sum()


def test_audit_is_formatted_as_a_table(smiles):
    table = audit_dataset(smiles.clips, smiles.target)
    rows = [line.strip("|").split("|") for line in format_table(table).splitlines()]
    assert [cell.strip() for cell in rows[0]][:2] == ["code", "verdict"]
    assert [row[0].strip() for row in rows[2:] if len(row) > 1] == table["code"].tolist()
    assert rows[2][3].strip().startswith(f"{table['auc'][0]:.2f} [")


def test_command_prints_writes_and_draws(smiles, tmp_path, capsys):
    rows = ["file,label,subject"]
    for i in range(24):
        np.savez(tmp_path / f"{i}.npz", landmarks=smiles.clips[i], fps=25.0)
        rows.append(f"{i}.npz,{('posed', 'spontaneous')[i % 2]},{smiles.groups[i]}")
    (tmp_path / "labels.csv").write_text("\n".join(rows))
    assert main(["audit", str(tmp_path), "--ignore", "SF011"]) == 0
    out, err = capsys.readouterr()
    assert out.startswith("SF001  ")
    assert "SF011" not in out
    assert "SF032  warning  number of subjects" in out
    assert "Audit your data" in err
    options = ["-o", str(tmp_path / "audit.csv"), "--picture", str(tmp_path / "audit.png")]
    assert main(["audit", str(tmp_path), *options]) == 0
    assert pd.read_csv(tmp_path / "audit.csv")["code"][0] == "SF001"
    assert (tmp_path / "audit.png").stat().st_size > 1000


def test_command_does_not_write_over_a_table_that_it_cannot_read(tmp_path, capsys):
    (tmp_path / "labels.csv").write_text("file,label,subject\na.csv,posed,a\nb.csv,real,b\n")
    for name in ("a.csv", "b.csv"):
        (tmp_path / name).write_text(f"not,a,face\n1,2,{name}\n")
    assert main(["audit", str(tmp_path), "-o", str(tmp_path / "a.csv")]) == 2
    assert "would overwrite it" in capsys.readouterr().err
    assert (tmp_path / "a.csv").read_text() == "not,a,face\n1,2,a.csv\n"


def test_table_and_picture_need_different_paths(tmp_path, capsys):
    same = str(tmp_path / "audit.png")
    assert main(["audit", str(tmp_path), "-o", same, "--picture", same]) == 2
    assert "have the same path" in capsys.readouterr().err


def test_command_does_not_rate_the_dates_of_extracted_clips(tmp_path, capsys):
    smiles = make_smiles(12, n_subjects=6, fps=FPS, n_landmarks=68, random_state=0)
    rows = ["file,label,subject"]
    for i, clip in enumerate(smiles.clips):
        openface_2(clip).to_csv(tmp_path / f"{i}.csv", index=False)
        rows.append(f"{i}.csv,{('posed', 'real')[i % 2]},{smiles.groups[i]}")
    (tmp_path / "labels.csv").write_text("\n".join(rows))
    assert main(["audit", str(tmp_path)]) == 0
    assert "SF011" not in capsys.readouterr().out
