import json
import re
import shutil
import sys
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.dummy import DummyClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GroupKFold
from sklearn.naive_bayes import GaussianNB
from sklearn.utils import Bunch

from smilefusion.benchmark import compare, load_results, run_benchmark, summarize
from smilefusion.cli import main
from smilefusion.exceptions import SmileFusionWarning
from smilefusion.inspection import write_report
from smilefusion.report._checklists import fill_checklists
from smilefusion.report._results import read_parts

plt = pytest.importorskip("matplotlib.pyplot")
plt.switch_backend("Agg")

PICTURE = re.compile(r"<svg.*?</svg>", re.DOTALL)


class Failing(DummyClassifier):
    """Fail with a message that would be a script."""

    def fit(self, X, y):
        raise ArithmeticError("<script>alert(1)</script>")


def make_data(name="a & b", n_clips=80):
    rng = np.random.default_rng(0)
    target = np.arange(n_clips) % 2
    X = rng.normal(size=(n_clips, 3)) + target[:, None]
    return Bunch(clips=X, target=target, groups=np.arange(n_clips) // 4, name=name)


SYSTEMS = {
    "majority #1f3a5f": DummyClassifier(strategy="prior"),
    "<i>logistic</i>": LogisticRegression(),
    "Bayes": GaussianNB(),
}


class Checker(HTMLParser):
    """Collect the texts and the attributes of a page, and check that elements are closed."""

    VOID = ("meta", "br")

    def __init__(self, page):
        super().__init__()
        self.open, self.words, self.ids, self.links, self.tags = [], [], [], [], []
        self.feed(page)
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        attrs = dict(attrs)
        self.ids += [attrs["id"]] if "id" in attrs else []
        self.links += [value for name, value in attrs.items() if "href" in name or name == "src"]
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.handle_starttag(tag, attrs)
        self.open.pop()

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.words.append(data)

    @property
    def text(self):
        return " ".join(" ".join(self.words).split())


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Results of four systems on two data sets; one system fails."""
    folder = tmp_path_factory.mktemp("runs") / "results"
    systems = SYSTEMS | {"broken": Failing()}
    data = [make_data(), make_data("other", 40)]
    with pytest.warns(SmileFusionWarning):
        run_benchmark(systems, data, cv=4, results=folder, on_error="warn")
    return folder


@pytest.fixture(scope="module")
def page(folder, tmp_path_factory):
    path = tmp_path_factory.mktemp("reports") / "r.html"
    assert write_report(folder, path, n_resamples=100) == path
    return path.read_text(encoding="utf-8")


def test_report_is_well_formed_and_self_contained(page):
    checker = Checker(page)
    assert all(link.startswith("#") for link in checker.links)
    assert not {"script", "link", "img", "iframe"} & set(checker.tags)
    assert not re.search(r"url\((?!#)|@import|https?://", page)
    assert len(set(checker.ids)) == len(checker.ids) > 0
    assert {link[1:] for link in checker.links} <= set(checker.ids)


def test_report_pictures_have_texts_and_the_colours_of_the_page(page):
    words = Checker(page).words
    assert words.count("majority #1f3a5f") > 3  # the colour in a name is not replaced
    for picture in PICTURE.findall(page):
        assert "var(--ink)" in picture
        assert "#1f3a5f" not in re.sub(r">[^<]*</text", "></text", picture)


def test_report_escapes_names_and_messages(page):
    assert "<script>" not in page
    assert "<i>" not in page
    text = Checker(page).text
    assert "ArithmeticError: <script>alert(1)</script>" in text
    assert "<i>logistic</i>" in text
    assert "a & b" in text


def test_report_shows_the_scores_of_the_summary(folder, page):
    predictions = load_results(folder)
    summary = summarize(predictions, n_resamples=100)
    text = Checker(page).text
    for row in summary.dropna(subset="balanced_accuracy").itertuples():
        assert f"{row.balanced_accuracy:.3f} [" in text
    assert "a & b: 80 clips of 20 subjects." in text


def test_report_shows_the_verdicts(folder, page):
    predictions = load_results(folder)
    sound = predictions[predictions["estimator"] != "broken"]
    comparison = compare(sound)
    text = Checker(page).text
    for verdict, n in comparison["verdict"].value_counts().items():
        assert text.count(verdict) >= n
    assert all(remark in text for remark in comparison.attrs["remarks"])


def test_report_lists_failures_and_does_not_rank_them(page):
    text = Checker(page).text
    assert "8 failed, 0 known to be missing" in text
    assert "0/0, 0/1, 0/2, 0/3" in text
    assert "Not ranked, because scores are missing: broken." in text


def test_report_lists_folds_costs_and_parameters(page):
    text = Checker(page).text
    assert "Folds: 60 training clips, 20 test clips, 5 test subjects" in text
    assert "Seconds and parameters: median" in text
    assert "C = 1.0" in text
    assert "sklearn.linear_model._logistic.LogisticRegression" in text


def test_report_names_no_host_and_no_path(folder, tmp_path):
    copy = shutil.copytree(folder, tmp_path / "results")
    for path in (copy / "cells").glob("*.json"):
        record = json.loads(path.read_text())
        record["machine"]["host"] = "secret-host"
        path.write_text(json.dumps(record))
    text = write_report(copy, n_resamples=9).read_text()
    assert "secret-host" not in text
    assert 'File "test_report.py"' in Checker(text).text
    assert str(tmp_path) not in text
    assert str(Path(__file__).parent) not in text


def test_report_of_a_stopped_run_lists_missing_cells(tmp_path):
    run_benchmark(SYSTEMS, make_data(), cv=4, results=tmp_path)
    gone = [path for path in (tmp_path / "cells").iterdir() if "bayes" in path.name]
    for path in sorted(gone)[-2:]:  # the table and the record of the last fold
        path.unlink()
    text = Checker(write_report(tmp_path, n_resamples=20).read_text()).text
    assert "0 failed, 1 known to be missing" in text
    assert "Not finished" in text
    assert "data estimator missing cells a & b Bayes 1 Estimators" in text


def test_report_of_a_run_without_a_finished_estimator_scores_none(tmp_path):
    run_benchmark({"Bayes": GaussianNB()}, make_data(), cv=4, results=tmp_path)
    for path in (tmp_path / "cells").glob("*r0-f1*"):
        path.unlink()
    text = Checker(write_report(tmp_path).read_text()).text
    assert "No estimator has finished all folds, so none is scored." in text
    assert "balanced accuracy [95 %]" not in text


def test_report_lists_results_that_cannot_be_computed(tmp_path):
    data = make_data(n_clips=12)  # of three subjects, one in each fold
    run_benchmark(SYSTEMS, data, cv=GroupKFold(3), results=tmp_path)
    for path in (*(tmp_path / "cells").glob("*f1*"), *(tmp_path / "cells").glob("*f2*")):
        path.unlink()
    text = Checker(write_report(tmp_path, n_resamples=20).read_text()).text
    assert "could not be computed: The predictions on 'a & b' come from one subject" in text


@pytest.fixture
def both_protocols(folder, monkeypatch):
    """Results that are read as those of two protocols."""
    predictions = load_results(folder)
    both = pd.concat(
        [predictions.assign(protocol="honest"), predictions.assign(protocol="published")]
    )
    monkeypatch.setattr("smilefusion.report._results.tidy", lambda _: both)
    return folder


def test_report_labels_optimistic_scores_and_begins_with_honest_ones(both_protocols, tmp_path):
    page = write_report(both_protocols, tmp_path / "r.html", n_resamples=9).read_text()
    text = Checker(page).text
    assert '<p class="stamp">Scores of the published protocol are optimistic' in page
    assert "Optimism of the published protocol" in text
    assert "Comparison on other, published (optimistic)" in text
    pictures = PICTURE.findall(page)
    stamped = [picture for picture in pictures if "published (optimistic)" in picture]
    # Comparison and optimism; ranks and two reliability diagrams of the published protocol.
    assert len(stamped) == 5
    assert page.index("<h2>other</h2>") < page.index("<h2>a &amp; b, published (optimistic)</h2>")


def test_report_shows_many_pairs_as_a_matrix(tmp_path):
    systems = {f"model {i}": LogisticRegression(C=10.0**-i) for i in range(5)}
    systems |= {"majority": DummyClassifier(strategy="prior")}
    run_benchmark(systems, make_data(), cv=4, results=tmp_path)
    page = write_report(tmp_path, n_resamples=50).read_text()
    comparison = compare(load_results(tmp_path))
    matrix = page.split('<table class="matrix"')[1].split("</table>")[0]
    last = re.findall(r"<td[^>]*>([^<]*)</td>", matrix.split("<tr>")[-1])
    expected = comparison[comparison["second"] == "majority"]["difference"]
    shown = [float(cell.strip("=").replace("−", "-")) for cell in last[:-1]]
    np.testing.assert_allclose(shown, -100 * expected, atol=0.05)
    n_better = matrix.count('class="better"') + matrix.count('class="worse"')
    assert n_better == comparison["verdict"].str.contains("better").sum() > 0


def test_report_of_three_classes_has_no_reliability(tmp_path):
    data = make_data()
    data.target = np.arange(80) % 3
    run_benchmark(SYSTEMS, data, cv=4, results=tmp_path)
    text = Checker(write_report(tmp_path, n_resamples=20).read_text()).text
    assert "Reliability" not in text
    assert "Seconds, parameters and memory" in text


def test_command_writes_the_report(folder, tmp_path, capsys):
    path = tmp_path / "out.html"
    assert main(["report", str(folder), "-o", str(path)]) == 0
    assert path.read_text(encoding="utf-8").startswith("<!DOCTYPE html>")
    assert capsys.readouterr().err.strip() == f"The report is in {path}."


@pytest.mark.parametrize("name", ["cells", "cells/new.html", "predictions.csv"])
def test_command_does_not_write_over_results(name, folder, tmp_path, capsys):
    results = shutil.copytree(folder, tmp_path / "results")
    (results / "predictions.csv").write_text("precious")
    if name == "cells":
        name = next(results.glob("cells/*.csv")).relative_to(results)
    before = {path: path.read_bytes() for path in results.glob("**/*.*")}
    assert main(["report", str(results), "-o", str(results / name)]) == 2
    assert "The output" in capsys.readouterr().err
    assert {path: path.read_bytes() for path in results.glob("**/*.*")} == before


def test_command_in_a_folder_that_cannot_be_written_to_names_the_option(folder, full_disk, capsys):
    with full_disk():
        assert main(["report", str(folder)]) == 2
    assert "choose another output with -o" in capsys.readouterr().err


def test_report_names_the_extra_that_is_missing(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.pyplot", None)
    with pytest.raises(ImportError, match="write_report needs matplotlib"):
        write_report(tmp_path)


def test_checklists_are_filled_in_from_the_folder(folder, tmp_path):
    path = write_report(
        folder, tmp_path / "r.html", checklists=("reforms", "tripod+ai"), n_resamples=20
    )
    text = Checker(path.read_text(encoding="utf-8")).text
    assert "80 clips of 20 people" in text
    assert "0 of 16 cells have a person in both training and test" in text
    assert "majority #1f3a5f." in text  # the only baseline
    assert "6c Is each feature legitimate" in text
    assert text.count("to be answered by the authors") > 20
    assert "We evaluated 4 models" in text


@pytest.mark.parametrize(("name", "n_items"), [("reforms", 32), ("tripod+ai", 27)])
def test_checklists_have_all_items(name, n_items, folder):
    ((_, rows),) = fill_checklists([name], read_parts(folder, 9, 0))
    assert len(rows) == n_items
    assert all(len(row) == 4 for row in rows)


def test_report_has_no_checklist_by_default(page):
    assert "to be answered by the authors" not in page


def test_unknown_checklist_is_refused(folder):
    with pytest.raises(ValueError, match="Each of checklists .*'reform'.*reforms"):
        write_report(folder, checklists=["reform"])


def test_report_shows_scores_by_group_of_people_or_the_reason(tmp_path):
    data = make_data()
    subject = data.groups
    data.metadata = pd.DataFrame({"<sex>": np.where(subject % 2, "f", "m"), "age": 20 + subject})
    run_benchmark({"Bayes": GaussianNB()}, data, cv=4, results=tmp_path)
    text = Checker(write_report(tmp_path, n_resamples=9).read_text()).text
    predictions = load_results(tmp_path)
    gap = summarize(predictions, by="<sex>", n_resamples=9)["accuracy"].iloc[-1]
    assert "Scores by <sex>" in text
    assert f"{gap:.3f} [" in text
    assert "'age' has 20 different values" in text
