"""Frame rates and subjects travel with clips through estimators, splits and commands."""

import re
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.model_selection import (
    GridSearchCV,
    GroupKFold,
    cross_val_score,
    cross_validate,
    learning_curve,
)

from smilefusion import (
    DeepFeatureExtractor,
    DistributionChecker,
    DMarkerTransformer,
    HadaSmileNetClassifier,
    make_fusion_pipeline,
)
from smilefusion.cli import main
from smilefusion.clips import ClipSequence, check_clips
from smilefusion.datasets import load_clips
from smilefusion.exceptions import FrameRateWarning, InvalidClipError

TINY = {"embedding_dim": 8, "max_epochs": 1, "n_frames": 8, "random_state": 0}
TRAINED = TINY | {"objective": "supervised", "weights": None}


def tiny_pipeline():
    model = make_fusion_pipeline(random_state=0)
    return model.set_params(
        **{f"features__deep__{name}": value for name, value in TRAINED.items()},
        fusion__hidden_dim=8,
        fusion__max_epochs=1,
    )


# The sequence.


@pytest.mark.parametrize(
    "index", [slice(1, 3), [1, 2], np.array([1, 2]), np.isin(np.arange(24), [1, 2])]
)
def test_subsets_keep_their_facts(smiles, index):
    part = smiles.clips[index]
    assert isinstance(part, ClipSequence)
    assert part.fps.tolist() == [25.0, 25.0]
    assert part.subjects.tolist() == smiles.groups[1:3].tolist()
    assert part.names == ["Clip 1", "Clip 2"]
    assert np.array_equal(part[1], smiles.clips[2], equal_nan=True)


def test_sequence_prints_in_one_line(smiles):
    text = f"24 clips, 478 landmarks, 25 fps, 8 subjects, {smiles.clips.n_frames.min()}–"
    assert repr(smiles.clips).startswith(text)
    assert repr(smiles) == repr(smiles.clips)


def test_sequence_and_data_set_are_tables_in_notebooks(smiles):
    headers, values = read_rows(smiles.clips._repr_html_())
    assert headers == ["clips", "landmarks", "fps", "subjects", "frames"]
    assert values[:4] == ["24", "478", "25", "8"]
    headers, values = read_rows(smiles.replace(name="<toy>")._repr_html_())
    assert (headers[-1], values[-1]) == ("classes", "0: 12, 1: 12")
    assert "<caption>&lt;toy&gt;</caption>" in smiles.replace(name="<toy>")._repr_html_()


def read_rows(html):
    """The texts of the two rows of a table."""
    return [re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", row) for row in html.split("</tr>")[:2]]


@pytest.mark.parametrize(
    ("fps", "text"), [(None, "unknown fps"), ([25, 30], "25–30 fps"), ([25, np.nan], "25 or unk")]
)
def test_sequence_prints_frame_rates(fps, text):
    assert text in repr(check_clips(np.zeros((2, 5, 478, 3)), fps=fps))


def test_check_clips_overrides_facts(smiles):
    clips = check_clips(smiles.clips, fps=50, subjects=np.arange(24))
    assert set(clips.fps) == {50.0}
    assert clips.subjects[5] == 5
    assert set(check_clips(smiles.clips, fps=50).subjects) == set(smiles.groups)


@pytest.mark.parametrize(
    ("facts", "match"),
    [({"subjects": [1]}, "one label per clip"), ({"fps": [25.0]}, "one number or one per clip")],
)
def test_facts_must_fit_the_clips(smiles, facts, match):
    with pytest.raises(ValueError, match=match):
        check_clips(smiles.clips, **facts)


# Frame rates.

ESTIMATORS = {
    "dmarkers": (lambda fps: DMarkerTransformer(fps=fps), "transform"),
    "deep": (lambda fps: DeepFeatureExtractor(fps=fps, **TINY), "transform"),
    "net": (lambda fps: HadaSmileNetClassifier(fps=fps, hidden_dim=8, **TINY), "predict_proba"),
    "checker": (lambda fps: DistributionChecker(fps=fps), "measure"),
}


@pytest.mark.parametrize("name", ESTIMATORS)
def test_estimator_takes_the_rate_that_clips_state(smiles, name):
    make, method = ESTIMATORS[name]
    stated = getattr(make(None).fit(smiles.clips, smiles.target), method)(smiles.clips)
    arrays = check_clips(list(smiles.clips), subjects=smiles.groups)
    given = getattr(make(25).fit(arrays, smiles.target), method)(arrays)
    np.testing.assert_array_equal(stated, given)


@pytest.mark.parametrize("name", ESTIMATORS)
def test_number_overrides_the_rate_that_clips_state(smiles, name):
    make, method = ESTIMATORS[name]
    model = make(25).fit(smiles.clips, smiles.target)
    expected = getattr(model, method)(smiles.clips)
    np.testing.assert_array_equal(getattr(model, method)(smiles.clips.replace(fps=50)), expected)


def test_rates_of_clips_may_differ(smiles):
    several = smiles.clips[:2].replace(fps=[25, 50])
    apart = [
        DMarkerTransformer(fps=fps).fit_transform([clip])
        for clip, fps in zip(several, (25, 50), strict=True)
    ]
    np.testing.assert_array_equal(DMarkerTransformer().fit_transform(several), np.vstack(apart))


@pytest.mark.parametrize("name", ESTIMATORS)
def test_unknown_rate_is_warned_about(smiles, name):
    with pytest.warns(FrameRateWarning, match="durations are in frames"):
        ESTIMATORS[name][0](None).fit(list(smiles.clips), smiles.target)


@pytest.mark.parametrize("name", ESTIMATORS)
def test_units_of_time_do_not_mix(smiles, name):
    make, method = ESTIMATORS[name]
    model = make(None).fit(smiles.clips, smiles.target)
    with pytest.raises(InvalidClipError, match="state no frame rate, but those of fit did"):
        getattr(model, method)(list(smiles.clips))
    with pytest.raises(InvalidClipError, match="Clip 1: no frame rate is stated"):
        getattr(model, method)(smiles.clips[:2].replace(fps=[25, np.nan]))


# Subjects.


def splits_of(model):
    """The splits of all networks of a model."""
    deep = model.named_steps["features"].transformer_list[0][1]
    return deep.split_, model.named_steps["fusion"].split_


def respects_people(model):
    return all(
        split["early_stopping"] is not None
        and len(split["early_stopping"]) > 0
        and not set(split["train"]) & set(split["early_stopping"])
        for split in splits_of(model)
    )


@pytest.mark.parametrize("n_jobs", [None, 2])
def test_cross_validation_stops_early_on_other_people(folder, n_jobs):
    data = load_clips(folder)
    found = cross_validate(
        tiny_pipeline(),
        data.clips,
        data.target,
        groups=data.groups,
        cv=GroupKFold(2),
        n_jobs=n_jobs,
        return_estimator=True,
        error_score="raise",
    )
    assert all(map(respects_people, found["estimator"]))


def test_search_stops_early_on_other_people(folder):
    data = load_clips(folder)
    search = GridSearchCV(tiny_pipeline(), {"fusion__fusion": ["concat", "film"]}, cv=2)
    assert respects_people(search.fit(data.clips, data.target).best_estimator_)


class Recorder(ClassifierMixin, BaseEstimator):
    """Keep what `fit` and `predict` are given."""

    seen: list = []

    def fit(self, X, y):
        self.classes_ = np.unique(y)
        Recorder.seen.append(X)
        return self

    def predict(self, X):
        Recorder.seen.append(X)
        return np.repeat(self.classes_[:1], len(X))


def run_cross_val(clips, target):
    cross_val_score(Recorder(), clips, target, cv=2)


def run_search(clips, target):
    GridSearchCV(Recorder(), {}, cv=2).fit(clips, target).predict(clips)


def run_learning_curve(clips, target):
    learning_curve(Recorder(), clips, target, cv=2, train_sizes=[0.5, 1.0])


@pytest.mark.parametrize("run", [run_cross_val, run_search, run_learning_curve])
def test_splits_hold_files_and_subjects(folder, run):
    Recorder.seen.clear()
    data = load_clips(folder)
    run(data.clips, data.target)
    assert len(Recorder.seen) >= 4
    for part in Recorder.seen:
        assert part.subjects is not None
        assert all(part.file(index) is not None for index in range(len(part)))


# Files.


def test_commands_open_each_file_once(folder, tmp_path):
    opened = Counter()

    def watch(event, args):  # stays until the process ends
        if event == "open" and str(args[0]).startswith(str(folder)):
            opened[Path(str(args[0])).name] += 1

    sys.addaudithook(watch)
    model, files = tmp_path / "a.smile", sorted(folder.glob("*.npz"))
    commands = {
        24: ["train", folder, "-o", model, "--max-epochs", 1],
        2: ["predict", model, *files[:2], "--plots", tmp_path / "p", "-o", tmp_path / "p.csv"],
        3: ["dmarkers", *files[:3], "-o", tmp_path / "d.csv"],
        4: ["describe", *files[:4], "-o", tmp_path / "facts.csv"],
    }
    for n_files, command in commands.items():
        opened.clear()
        assert main(list(map(str, command))) == 0
        del opened["labels.csv"]
        assert list(opened.values()) == [1] * n_files
