"""Summaries and tables of benchmark results."""

import pickle
import re

import numpy as np
import pandas as pd
import predictions as predictions_table
import pytest

from smilefusion.benchmark import compare, format_table, join_published, summarize

OPTIMISTIC = "published (optimistic)"


def make_predictions(names=("weak", "strong"), **columns):
    strengths = dict(zip(names, (0.0, 3.0, 6.0), strict=False))
    options = {"per_group": 2, "n_folds": 4} | columns
    table = predictions_table.make_predictions(strengths, **options)
    seconds = table["fold"].map({0: 1.0, 1: 2.0, 2: 4.0, 3: 50.0})
    n_parameters = table["estimator"].map(lambda name: np.nan if name == names[0] else 1234567.0)
    return table.assign(fit_seconds=seconds, n_parameters=n_parameters)


def both_protocols():
    honest = make_predictions()
    return pd.concat([honest.assign(protocol="honest"), honest.assign(protocol="published")])


def parse(table):
    lines = table.split("\n\n")[0].split("\n")
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def test_summary_takes_the_median_time_of_the_folds():
    assert (summarize(make_predictions(), n_resamples=20)["fit_seconds"] == 3.0).all()


def test_table_shows_the_numbers_of_the_summary():
    summary = summarize(make_predictions(), n_resamples=50)
    row = summary.iloc[1]
    low, high = (f"{row[f'roc_auc_{end}']:.3f}".removeprefix("0") for end in ("low", "high"))
    cells = parse(format_table(summary))[3]
    assert cells[0] == "strong"
    assert cells[2] == f"{row['roc_auc']:.3f} [{low} {high}]"
    assert cells[-2:] == ["3.00", "1,234,567"]
    assert parse(format_table(summary))[2][-1] == "–"


@pytest.mark.parametrize("sort_by", ["balanced_accuracy", "roc_auc", "log_loss", "n_parameters"])
def test_table_sorts_best_first(sort_by):
    summary = summarize(make_predictions(), n_resamples=9)
    rows = parse(format_table(summary, sort_by=sort_by))
    assert [row[0] for row in rows[2:]] == ["strong", "weak"]


def test_table_has_a_column_and_a_note_per_data_set():
    predictions = make_predictions()
    both = pd.concat([predictions, predictions.assign(dataset="other")])
    table = format_table(summarize(both, n_resamples=9))
    assert [row[0] for row in parse(table)[2:]] == ["toy", "toy", "other", "other"]
    assert table.endswith("toy: 40 clips of 20 subjects.\nother: 40 clips of 20 subjects.")


@pytest.mark.parametrize(
    ("parameters", "match"),
    [
        ({"style": "rst"}, r"style must be one of \['markdown', 'latex', 'html'\]; got 'rst'"),
        ({"sort_by": "f1"}, "sort_by must be a column"),
    ],
)
def test_table_refuses_parameters(parameters, match):
    summary = summarize(make_predictions(), n_resamples=9)
    with pytest.raises(ValueError, match=match):
        format_table(summary, **parameters)


def test_summary_has_a_row_per_protocol_data_set_and_estimator():
    summary = summarize(both_protocols(), n_resamples=9)
    assert list(summary.columns[:3]) == ["protocol", "dataset", "estimator"]
    assert summary["protocol"].tolist() == ["honest", "honest", "published", "published"]
    assert summary["fit_seconds"].notna().all()


@pytest.mark.parametrize("given", [{}, {"protocol": None}, {"protocol": np.nan}])
def test_protocol_of_a_summary_is_honest_by_default(given):
    summary = summarize(make_predictions(**given), n_resamples=9)
    assert (summary["protocol"] == "honest").all()


def test_table_is_text_that_notebooks_show_as_a_table():
    summary = summarize(make_predictions(), n_resamples=9)
    table = pickle.loads(pickle.dumps(format_table(summary)))
    assert table + "" == repr(table) == table._repr_markdown_()
    assert table._repr_latex_() == format_table(summary, style="latex")
    cells = re.findall(r"<td [^>]*>(.*?)</td>", table._repr_html_())
    assert cells == [cell for row in parse(table)[2:] for cell in row]


@pytest.mark.parametrize("style", ["markdown", "latex", "html"])
def test_table_labels_optimistic_scores_in_every_style(style):
    text = format_table(summarize(both_protocols(), n_resamples=9), style=style)
    assert text.count(OPTIMISTIC) == 3  # two rows, and the note on the sizes
    assert "highest accuracy on the test clips" in text


def test_table_of_a_comparison_labels_optimistic_scores():
    comparison = compare(both_protocols(), n_permutations=99)
    text = format_table(comparison)
    rows = parse(text)
    assert [row[0] for row in rows[2:]] == ["honest", OPTIMISTIC]
    assert "highest accuracy on the test clips" in text


def test_table_of_a_comparison_shows_its_numbers():
    comparison = compare(make_predictions())
    (row,) = parse(format_table(comparison))[2:]
    figure = comparison.iloc[0]
    assert row[:2] == ["weak", "strong"]
    assert row[2].split()[0] == f"{figure['difference']:+.3f}".replace("-", "−")
    assert row[-1] == figure["verdict"] == "second better"
    assert comparison.attrs["remarks"][0] in format_table(comparison)


def test_table_is_bold_if_one_is_better_than_every_other():
    predictions = make_predictions()
    summary, comparison = summarize(predictions, n_resamples=9), compare(predictions)
    rows = parse(format_table(summary, comparison=comparison))
    assert ["**" in cell for cell in rows[3]] == [False, True, False, False, False, False]
    assert "**" not in "".join(rows[2])


def test_table_is_not_bold_if_the_best_may_be_lucky():
    predictions = make_predictions(("a", "b", "c"))
    summary = summarize(predictions, n_resamples=9)
    comparison = compare(predictions)
    doubtful = comparison["verdict"].where(comparison["first"] != "b", "undecided")
    text = format_table(summary, comparison=comparison.assign(verdict=doubtful))
    assert "**" not in text
    assert "No estimator is significantly better in balanced accuracy" in text


def test_table_refuses_a_comparison_without_its_metric():
    predictions = make_predictions()
    comparison = compare(predictions)
    comparison.attrs.clear()
    with pytest.raises(ValueError, match=r"must be a result of compare"):
        format_table(summarize(predictions, n_resamples=9), comparison=comparison)


@pytest.mark.parametrize(
    ("style", "name", "written"),
    [("markdown", "a | b", r"| a \| b "), ("html", "<b>&", "<td>&lt;b&gt;&amp;</td>")],
)
def test_table_escapes_names(style, name, written):
    summary = summarize(make_predictions((name, "c")), n_resamples=9)
    assert written in format_table(summary, style=style)


def test_latex_escapes_special_characters():
    names = ("100 % & #1_{x}", r"\input{~/a^b} $y$")
    text = format_table(summarize(make_predictions(names), n_resamples=9), style="latex")
    assert r"100 \% \& \#1\_\{x\} &" in text
    assert r"\textbackslash{}input\{\textasciitilde{}/a\textasciicircum{}b\} \$y\$ &" in text


@pytest.mark.parametrize("name", ["[a]", "*a"])
def test_latex_row_is_not_an_argument_of_the_line_break(name):
    summary = summarize(make_predictions((name, "b")), n_resamples=9)
    assert f"\n{{{name}}} &" in format_table(summary, style="latex")


def test_joined_table_contains_published_and_own_accuracies():
    summary = summarize(make_predictions(dataset="UvA-NEMO"), n_resamples=9)
    joined = join_published(summary)
    assert joined["method"].tolist()[-3:] == ["HadaSmileNet 2025", "weak", "strong"]
    assert joined["uva_nemo"].tolist()[-3:] == [88.7, *(100 * summary["accuracy"])]
    assert joined["bbc"].tolist()[-3] == 100
    assert joined["bbc"].isna().tolist()[-2:] == [True, True]


def test_joined_table_names_the_sources():
    summary = summarize(both_protocols(), n_resamples=9)
    sources = join_published(summary, table="fusions")["source"]
    assert sources[:15].str.contains("best of 300 epochs on the test fold").all()
    assert sources[15:].tolist() == ["own, honest"] * 2 + [f"own, {OPTIMISTIC}"] * 2


def test_joined_table_prints_its_sources():
    text = format_table(join_published(summarize(make_predictions(), n_resamples=9)))
    assert "| HadaSmileNet 2025 " in text
    assert "published, best of 300 epochs on the test fold (optimistic)" in text
    assert "highest accuracy on the test clips" in text
