import numpy as np
import pandas as pd
import pytest

from smilefusion.benchmark._tables import format_table, summarize


def make_predictions(names=("weak", "strong")):
    rng = np.random.default_rng(0)
    target = np.arange(40) % 2
    parts = []
    for strength, name in enumerate(names):
        probability = 1 / (1 + np.exp(-rng.normal(size=40) - 3 * strength * (target - 0.5)))
        fold = np.arange(40) // 2 % 4
        columns = {
            "dataset": "toy",
            "estimator": name,
            "repeat": 0,
            "fold": fold,
            "clip": np.arange(40),
            "group": np.arange(40) // 2,
            "target": target,
            "prediction": (probability > 0.5).astype(int),
            "probability_0": 1 - probability,
            "probability_1": probability,
            "fit_seconds": np.array([1.0, 2.0, 4.0, 50.0])[fold],
            "n_parameters": 1234567.0 if strength else np.nan,
        }
        parts.append(pd.DataFrame(columns))
    return pd.concat(parts, ignore_index=True)


def parse(table):
    lines = table.split("\n\n")[0].split("\n")
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def test_summary_keeps_the_given_order():
    summary = summarize(make_predictions(("b", "a")), n_resamples=20)
    assert summary["estimator"].tolist() == ["b", "a"]


def test_summary_takes_the_median_time_of_the_folds():
    assert (summarize(make_predictions(), n_resamples=20)["fit_seconds"] == 3.0).all()


def test_summary_brackets_each_figure():
    summary = summarize(make_predictions(), n_resamples=200)
    for metric in ("balanced_accuracy", "roc_auc", "log_loss", "accuracy"):
        assert (summary[f"{metric}_low"] <= summary[metric]).all()
        assert (summary[metric] <= summary[f"{metric}_high"]).all()


def test_table_shows_the_numbers_of_the_summary():
    summary = summarize(make_predictions(), n_resamples=50)
    row = summary.iloc[1]
    low, high = (f"{row[f'roc_auc_{end}']:.3f}".removeprefix("0") for end in ("low", "high"))
    cells = parse(format_table(summary))[3]
    assert cells[0] == "strong"
    assert cells[2] == f"{row['roc_auc']:.3f} [{low} {high}]"
    assert cells[-2:] == ["3.00", "1,234,567"]


def test_table_shows_unknown_values_as_dashes():
    assert parse(format_table(summarize(make_predictions(), n_resamples=9)))[2][-1] == "–"


def test_table_lines_are_equally_long():
    table = format_table(summarize(make_predictions(("a | b", "long name")), n_resamples=9))
    lines = table.split("\n\n")[0].split("\n")
    assert len({len(line) for line in lines}) == 1
    assert r"a \| b" in table


@pytest.mark.parametrize("sort_by", ["balanced_accuracy", "roc_auc", "log_loss", "n_parameters"])
def test_table_sorts_best_first(sort_by):
    summary = summarize(make_predictions(), n_resamples=9)
    rows = parse(format_table(summary, sort_by=sort_by))
    assert [row[0] for row in rows[2:]] == ["strong", "weak"]


def test_table_names_its_confidence():
    summary = summarize(make_predictions(), n_resamples=9, confidence=0.9)
    assert "log loss [90 %]" in parse(format_table(summary))[0]


def test_table_has_a_column_and_a_note_per_data_set():
    predictions = make_predictions()
    both = pd.concat([predictions, predictions.assign(dataset="other")])
    table = format_table(summarize(both, n_resamples=9))
    assert [row[0] for row in parse(table)[2:]] == ["toy", "toy", "other", "other"]
    assert table.endswith("toy: 40 clips of 20 subjects.\nother: 40 clips of 20 subjects.")


@pytest.mark.parametrize(
    ("parameters", "match"),
    [
        ({"style": "html"}, r"style must be one of \['markdown'\]; got 'html'"),
        ({"sort_by": "f1"}, "sort_by must be a column"),
    ],
)
def test_table_refuses_parameters(parameters, match):
    summary = summarize(make_predictions(), n_resamples=9)
    with pytest.raises(ValueError, match=match):
        format_table(summary, **parameters)
