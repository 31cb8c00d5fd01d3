import numpy as np
import pytest

from smilefusion import list_fusions
from smilefusion.benchmark import published_results


def printed_table(text, heading):
    """The rows under a heading of a Markdown file: name and figures."""
    lines = text.split(heading)[1].splitlines()
    start = next(i for i, line in enumerate(lines) if line.startswith("|---"))
    rows = {}
    for line in lines[start + 1 :]:
        if not line.startswith("|"):
            return rows
        name, *cells = (cell.strip() for cell in line.strip("|").split("|"))
        rows[name.strip()] = [float(cell) if cell else np.nan for cell in cells]
    return rows


@pytest.mark.parametrize(("table", "heading"), [("methods", "### 3.1"), ("fusions", "### 3.2")])
def test_published_results_are_those_printed(shared, table, heading):
    expected = printed_table((shared / "FACTS.md").read_text(encoding="utf-8"), heading)
    results = published_results(table)
    assert list(results.index) == list(expected)
    np.testing.assert_array_equal(results.to_numpy(), list(expected.values()))


def test_published_results_hold_every_strategy():
    assert set(published_results("fusions").index) == set(list_fusions())


def test_published_results_name_their_tables():
    with pytest.raises(ValueError, match="table must be one of methods, fusions; got 'fusion'"):
        published_results("fusion")


def test_published_results_are_a_table_of_ones_own():
    results = published_results()
    results.loc["HadaSmileNet 2025"] = 0
    assert published_results().loc["HadaSmileNet 2025", "bbc"] == 100
