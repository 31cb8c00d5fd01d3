"""Tables that commands print on a terminal."""

import re
import sys

import numpy as np
import pandas as pd
import pytest

from smilefusion.benchmark import format_table, summarize
from smilefusion.cli import main
from smilefusion.cli._terminal import print_frame, print_parts

NAMES = ["factorized_bilinear_hadamard", "[red]x[/red]", ":smile:", "a\x1b[2Jb"]


@pytest.fixture
def terminal(monkeypatch, capsys):
    """Return a function that sets the width of the window, prints and returns the lines."""

    def print_at(width, print_it, *args):
        monkeypatch.setenv("COLUMNS", str(width))
        monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
        print_it(*args)
        text = re.sub(r"\x1b\[[0-9;]*m", "", capsys.readouterr().out)
        return text.splitlines()

    return print_at


def make_table():
    rng = np.random.default_rng(0)
    rows = [
        {"dataset": "toy", "estimator": name, "repeat": 0, "fold": 0, "clip": clip}
        | {"group": clip // 2, "target": clip % 2, "fit_seconds": 1.0, "n_parameters": 5.0}
        for name in NAMES
        for clip in range(20)
    ]
    table = pd.DataFrame(rows)
    table["probability_1"] = rng.uniform(size=len(table))
    table["probability_0"] = 1 - table["probability_1"]
    table["prediction"] = (table["probability_1"] > 0.5).astype(int)
    return format_table(summarize(table, n_resamples=50))


@pytest.mark.parametrize(
    ("width", "n_intervals", "missing"),
    [(120, 3, []), (80, 2, ["log loss"]), (60, 1, ["ROC AUC", "log loss"])],
)
def test_table_fits_the_window(terminal, width, n_intervals, missing):
    lines = terminal(width, print_parts, ["## Title", make_table()], "out/table.md")
    assert lines[0] == "Title"
    assert max(map(len, lines)) <= width
    row = next(line for line in lines if line.startswith("factorized_bilinear_hadamard "))
    assert len(re.findall(r"\d\.\d{3} \[\S+ \S+\]", row)) == n_intervals
    text = " ".join(" ".join(lines).split())
    assert ("too narrow" in text) == bool(missing)
    assert all(f"{name} [95 %]," in text for name in missing)


def test_names_are_printed_as_they_are(terminal):
    text = "\n".join(terminal(120, print_frame, pd.DataFrame({"file": NAMES}), 2))
    assert all(name in text for name in NAMES[:3])
    assert r"a\x1b[2Jb" in text


def test_phrases_wrap_before_numbers_disappear(terminal):
    frame = pd.DataFrame({"what": ["one of many words " * 4], "long_name": [1.5], "other": [2.25]})
    lines = terminal(40, print_frame, frame, 2)
    assert "1.50" in "\n".join(lines)
    assert lines[0].split() == ["long"]  # the header wraps, too
    assert max(map(len, lines)) <= 40


def test_audit_is_printed_as_a_table(terminal, folder):
    lines = terminal(80, main, ["audit", str(folder)])
    assert lines[0].split() == ["code", "verdict", "check", "AUC", "[95", "%]", "finding"]
    assert any(line.startswith("SF001") for line in lines)
