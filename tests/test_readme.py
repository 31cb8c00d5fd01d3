"""Every command and example of the README is run here."""

import re
import shlex
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from smilefusion.cli import main

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
COMMANDS = [
    line
    for block in re.findall(r"```console\n(.*?)```", README, re.S)
    for line in block.splitlines()
]
PROGRAM = [line for line in COMMANDS if line.startswith("smilefusion ")]


def test_readme_has_only_commands_that_are_tested_here():
    first = {line.split()[0] for line in COMMANDS}
    assert first == {"pip", "make", "smilefusion"}
    assert [line for line in COMMANDS if line.startswith("pip ")] == [
        'pip install ".[plot,video]"'
    ]


@pytest.mark.slow
def test_readme_example_prints_what_the_readme_shows(capsys):
    (code,) = re.findall(r"```python\n(.*?)```", README, re.S)
    exec(compile(code, "README.md", "exec"), {})
    (shown,) = re.findall(r"```text\n(.*?)```", README, re.S)
    printed = capsys.readouterr().out
    classes = r"posed|spontaneous"
    assert re.findall(classes, printed) == re.findall(classes, shown)
    numbers = [list(map(float, re.findall(r"0\.\d+", text))) for text in (printed, shown)]
    assert numbers[0] == pytest.approx(numbers[1], abs=0.02)


@pytest.mark.slow
@pytest.mark.parametrize("line", PROGRAM)
def test_readme_command_runs_on_a_video(line, shared, tmp_path, monkeypatch):
    pytest.importorskip("av", reason="needs the extra video")
    (model,) = (shared / "models").glob("*.task")
    monkeypatch.setenv("SMILEFUSION_FACE_MODEL", str(model))
    (tmp_path / "smile.mp4").write_bytes((shared / "clips" / "smile.mp4").read_bytes())
    monkeypatch.chdir(tmp_path)
    assert main(shlex.split(line)[1:]) == 0


@pytest.mark.slow
def test_make_demo_runs_the_benchmark_without_warnings(tmp_path, monkeypatch, capsys):
    dry = subprocess.run(
        ["make", "--dry-run", "demo"], cwd=ROOT, check=True, capture_output=True, text=True
    )
    (command,) = re.findall(r"^\S+/smilefusion (benchmark .*)$", dry.stdout, re.M)
    options = shlex.split(command)
    monkeypatch.chdir(tmp_path)
    assert main([*options, "--max-epochs", "1", "--fusion", "concat"]) == 0
    assert "warning" not in capsys.readouterr().err
    assert (tmp_path / "demo-results" / "table.md").read_text().count("\n| ") >= 9


@pytest.mark.parametrize("target", ["demo", "test", "docs"])
def test_make_targets_of_the_readme_exist(target):
    assert f"make {target}" in README
    dry = subprocess.run(["make", "--dry-run", target], cwd=ROOT, capture_output=True, check=False)
    assert dry.returncode == 0


@pytest.mark.slow
def test_wheel_contains_the_package_and_its_data(tmp_path):
    source = tmp_path / "source"  # setuptools writes next to its sources
    shutil.copytree(ROOT / "smilefusion", source / "smilefusion")
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    pip = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation"]
    subprocess.run([*pip, "--wheel-dir", tmp_path, source], check=True)
    (wheel,) = tmp_path.glob("*.whl")
    packed = set(zipfile.ZipFile(wheel).namelist())
    ours = {path.relative_to(ROOT).as_posix() for path in (ROOT / "smilefusion").rglob("*.*")}
    assert {name for name in ours if "__pycache__" not in name} <= packed
