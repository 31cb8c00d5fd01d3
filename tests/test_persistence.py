import json
import os
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
import timm
import torch
from model_examples import EXAMPLES, SPLITTERS, fit_example, make_table, outputs
from sklearn import config_context
from sklearn.base import BaseEstimator, ClassifierMixin, clone
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler
from skorch.callbacks import Callback

import smilefusion
from smilefusion import (
    DeepFeatureExtractor,
    FusionClassifier,
    load_model,
    read_model_card,
    read_model_info,
    save_model,
)
from smilefusion.exceptions import InvalidDataError, ModelVersionWarning, SmileFusionWarning
from smilefusion.persistence import digest_names

SLOW = ("deep curvenet", "net as published", "net of own D-Markers")
GUIDE = Path(__file__).resolve().parents[1] / "docs" / "guide" / "model_files.rst"


@pytest.fixture
def table():
    return make_table()


@pytest.fixture
def model(table):
    params = {"n_members": 1, "hidden_dim": 8, "max_epochs": 2, "patience": None}
    return FusionClassifier(**params, random_state=0).fit(*table)


@pytest.mark.parametrize("exists", [True, False])
def test_symbolic_link_is_followed(model, tmp_path, exists):
    (tmp_path / "store").mkdir()
    target, link = tmp_path / "store" / "target", tmp_path / "model.smile"
    if exists:
        target.write_text("old")
        target.chmod(0o600)
    link.symlink_to("store/target")
    save_model(model, link)
    assert link.is_symlink()
    assert link.read_bytes() == target.read_bytes() != b"old"
    assert not exists or target.stat().st_mode & 0o777 == 0o600
    assert list(target.parent.iterdir()) == [target]


def test_named_pipe_is_refused(model, tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(InvalidDataError, match="is a named pipe, but it must be a regular"):
        save_model(model, tmp_path / "pipe")
    assert (tmp_path / "pipe").is_fifo()


def test_full_disk_names_the_file(model, path, full_disk):
    with full_disk(100), pytest.raises(OSError, match="File too large: .*model.smile"):
        save_model(model, path)
    assert list(path.parent.iterdir()) == []


@pytest.fixture
def path(tmp_path):
    return tmp_path / "model.smile"


def assert_same(first, second):
    """Check that two sets of outputs are equal bit for bit, in type as well."""
    assert first.keys() == second.keys() != set()
    for name in first:
        one, other = np.asarray(first[name]), np.asarray(second[name])
        assert type(first[name]) is type(second[name])
        assert one.dtype == other.dtype
        np.testing.assert_array_equal(one, other)


def text_of(model):
    """Return the text of a model and its parameters, without addresses in memory."""
    return re.sub(r"0x[0-9A-Fa-f]+", "", repr(model))


@pytest.mark.filterwarnings("ignore:objective='frozen' without weights")
@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=[pytest.mark.slow] * (name in SLOW)) for name in EXAMPLES],
)
def test_loaded_model_predicts_the_same(name, path):
    model, X = fit_example(name)
    expected = outputs(model, X)
    save_model(model, path)
    restored = load_model(path)
    assert_same(outputs(restored, X), expected)
    assert text_of(restored) == text_of(model)


@pytest.mark.parametrize("splitter", SPLITTERS)
def test_search_keeps_its_splitter(splitter, path):
    X, y = make_table()
    search = GridSearchCV(LogisticRegression(), {"C": [1.0]}, cv=SPLITTERS[splitter])
    groups = np.arange(40) // 20 if "Group" in splitter else None
    save_model(search.fit(X, y, groups=groups), path)
    restored = load_model(path)
    assert type(restored.cv) is type(SPLITTERS[splitter])
    assert_same(outputs(restored, X), outputs(search, X))


def listed_classes():
    """The classes in the guide's table."""
    table = GUIDE.read_text().partition(".. csv-table::")[2].partition("\n\n")[2]
    return set(re.findall(r"``(\w+)``", table.partition("\n\n")[0]))


def test_guide_lists_every_public_estimator():
    public = [getattr(smilefusion, name) for name in smilefusion.__all__]
    ours = {v.__name__ for v in public if isinstance(v, type) and issubclass(v, BaseEstimator)}
    assert ours
    assert ours <= listed_classes()


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:objective='frozen' without weights")
def test_round_trips_cover_every_class_of_the_guide(path):
    seen = set(SPLITTERS)
    for name in set(EXAMPLES) - set(SLOW):
        save_model(fit_example(name)[0], path)
        with zipfile.ZipFile(path) as archive:
            seen.update(
                re.findall(
                    r'"__class__":"(\w+)"', archive.read("estimator.skops").decode(errors="ignore")
                )
            )
    assert listed_classes() - seen == set()


def test_search_keeps_its_results(path):
    search, X = fit_example("grid search")
    save_model(search, path)
    restored = load_model(path)
    assert restored.best_params_ == search.best_params_
    assert restored.best_score_ == search.best_score_
    assert list(restored.cv_results_) == list(search.cv_results_)
    np.testing.assert_array_equal(
        restored.cv_results_["mean_test_score"], search.cv_results_["mean_test_score"]
    )
    assert restored.score(X, make_table()[1]) == search.score(X, make_table()[1])


def test_search_keeps_results_of_tuples(path):
    search, _ = fit_example("grid search of tuples")
    save_model(search, path)
    name = "param_robustscaler__quantile_range"
    restored = load_model(path).cv_results_[name]
    assert restored.tolist() == search.cv_results_[name].tolist() == [(10, 90), (25, 75)]


def test_training_history_is_kept(model, path):
    save_model(model, path)
    assert load_model(path).history_.equals(model.history_)


def test_restored_model_continues_training(model, table, path):
    save_model(model, path)
    before, models = model.predict_proba(table[0]), (model, load_model(path))
    first, second = (
        each.set_params(warm_start=True).fit(*table).predict_proba(table[0]) for each in models
    )
    np.testing.assert_array_equal(first, second)
    assert not np.array_equal(first, before)


def test_net_of_a_restored_model_only_predicts(model, path):
    save_model(model, path)
    with pytest.raises(RuntimeError, match="cannot be trained. Fit the estimator"):
        load_model(path).net_.partial_fit(None)


def test_extractor_of_images_needs_its_weight_file_no_more(tmp_path, path):
    clips = [np.full((2, 8, 8, 3), 30 * index, dtype=np.uint8) for index in range(4)]
    weights = tmp_path / "weights.pt"
    torch.save(timm.create_model("test_vit").state_dict(), weights)
    model = DeepFeatureExtractor("test_vit", objective="frozen", weights=weights).fit(clips)
    save_model(model, path)
    weights.unlink()
    restored = load_model(path)
    assert restored.weights is None
    np.testing.assert_array_equal(restored.transform(clips), model.transform(clips))


def test_what_belongs_to_the_machine_is_left_out(table, path, tmp_path):
    model = make_pipeline(StandardScaler(), LogisticRegression(), memory=str(tmp_path / "cache"))
    save_model(model.fit(*table), path)
    assert load_model(path).memory is None
    assert str(tmp_path).encode() not in path.read_bytes()


def test_what_belongs_to_the_training_run_is_left_out(table, path):
    X, y = table
    run = {"callbacks": [Callback()], "verbose": 1, "compile": False}
    kept = {"module__dtype": "float64", "optimizer__eps": 1e-7}
    model = FusionClassifier(hidden_dim=8, max_epochs=1, net_params=run | kept).fit(X, y)
    save_model(model, path)
    assert load_model(path).net_params == kept
    assert model.net_params == run | kept


def test_model_of_a_gpu_is_stored_for_any_machine(model, path):
    save_model(model.set_params(device="cuda:1"), path)
    restored = load_model(path)
    assert restored.device == "auto"
    assert {weight.device.type for weight in restored.net_.module_.parameters()} == {"cpu"}


def test_requests_of_metadata_are_kept(table, path):
    with config_context(enable_metadata_routing=True):
        model = StandardScaler().set_fit_request(sample_weight=True).fit(*table)
    save_model(model, path)
    requests = load_model(path)._metadata_request
    assert requests.fit.requests == {"sample_weight": True}


def test_restored_model_gives_the_same_bytes(path, tmp_path):
    save_model(fit_example("fusion pipeline")[0], path)
    save_model(load_model(path), tmp_path / "again")
    assert path.read_bytes() == (tmp_path / "again").read_bytes()


def test_file_has_one_member_per_network(path):
    save_model(fit_example("fusion pipeline")[0], path)
    with zipfile.ZipFile(path) as archive:
        assert archive.testzip() is None
        assert archive.namelist() == [
            *("manifest.json", "header.json", "estimator.skops", "model_card.md"),
            *("network_0.safetensors", "network_1.safetensors"),
        ]
        assert json.loads(archive.read("manifest.json"))["format_version"] == 1


def test_metadata_is_kept(model, path):
    save_model(model, path, metadata={"fps": 25, "name": "ü"})
    assert load_model(path, return_metadata=True)[1] == {"fps": 25, "name": "ü"}


@pytest.mark.parametrize("metadata", [["fps"], {"fps": np.nan}, {"fps": np.float32(1)}])
def test_metadata_must_be_json(metadata, model, path):
    with pytest.raises(InvalidDataError, match="metadata must be a dict"):
        save_model(model, path, metadata=metadata)


def test_splits_are_stored_as_digests(model, path):
    save_model(model, path, splits={"train": ["ben_1", "anna_1"]})
    split = read_model_info(path)["splits"]["train"]
    assert split == {"n": 2, "sha256": digest_names(["anna_1", "ben_1"])}
    assert b"anna_1" not in path.read_bytes()


def test_split_of_one_text_is_refused(model, path):
    with pytest.raises(InvalidDataError, match="must be a sequence of names"):
        save_model(model, path, splits={"train": "anna"})


def test_versions_are_stored(model, path):
    save_model(model, path)
    assert read_model_info(path)["versions"]["torch"] == torch.__version__.partition("+")[0]


def test_other_version_warns(model, path, monkeypatch):
    monkeypatch.setattr("smilefusion.persistence._model_files.__version__", "99.1")
    save_model(model, path)
    monkeypatch.undo()
    with pytest.warns(ModelVersionWarning, match=r"smilefusion 99.1 \(here 0"):
        load_model(path)


def test_card_has_data_metrics_and_limits(model, path):
    card = {"data": "20 clips.", "metrics": {"accuracy": 0.9, "a|b": 1}}
    save_model(model, path, metadata={"fps": 25}, card=card, splits={"train": ["a"]})
    text = read_model_card(path)
    assert text.startswith("# Model card: FusionClassifier\n")
    for line in ("20 clips.", "| fps | 25 |", "| accuracy | 0.9 |", r"| a\|b | 1 |"):
        assert line in text.splitlines()
    headings = [line for line in text.splitlines() if line.startswith("## ")]
    assert [heading[3:] for heading in headings] == [
        *("Model", "Data", "Protocol", "Metrics", "Intended use", "Limits", "Law", "Versions")
    ]
    assert digest_names(["a"]) in text
    assert "must not be used to judge people" in text


def test_card_says_what_is_not_stated(model, path):
    save_model(model, path)
    assert "## Data\n\nNot stated." in read_model_card(path)
    assert "Classes: posed, spontaneous" in read_model_card(path)


def test_card_may_be_given_whole(model, path):
    save_model(model, path, card="# Mine\n\tÜ")
    assert read_model_card(path) == "# Mine\n\tÜ"


@pytest.mark.parametrize(
    ("card", "message"),
    [
        ({"owner": "me"}, "card has no field owner"),
        ({"data": 3}, "must be text or a dict"),
        ("\x1b[2J", "control character '.x1b'"),
        ({"summary": "\u202eevil"}, "control character"),
    ],
)
def test_card_that_breaks_a_rule_is_refused(card, message, model, path):
    with pytest.raises(InvalidDataError, match=message):
        save_model(model, path, card=card)
    assert not path.exists()


class OwnFusion(torch.nn.Module):
    def __init__(self, deep_dim, dmarker_dim, dim, dropout):
        super().__init__()
        self.out_dim = dim
        self.layer = torch.nn.Linear(deep_dim + dmarker_dim, dim)

    def forward(self, deep, dmarker):
        return self.layer(torch.cat([deep, dmarker], dim=1))


class OwnWrapper(ClassifierMixin, BaseEstimator):
    def __init__(self, inner):
        self.inner = inner

    def fit(self, X, y):
        self.fitted_ = clone(self.inner).fit(X, y)
        return self

    def predict_proba(self, X):
        return self.fitted_.predict_proba(X)


@pytest.mark.parametrize("wrap", [lambda model: model, OwnWrapper], ids=["plain", "wrapped"])
def test_own_classes_are_stored_if_trusted(wrap, table, path):
    model = wrap(FusionClassifier(OwnFusion, hidden_dim=8, max_epochs=1)).fit(*table)
    with pytest.raises(InvalidDataError, match=r"OwnFusion.*to save_model and load_model"):
        save_model(model, path)
    trusted = [f"{cls.__module__}.{cls.__name__}" for cls in (OwnFusion, OwnWrapper)]
    save_model(model, path, trusted=trusted)
    assert_same(outputs(load_model(path, trusted=trusted), table[0]), outputs(model, table[0]))


class OwnScaler(StandardScaler):
    """A class of a user."""


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda m: OwnScaler(), r"types that a model file may hold only if.*OwnScaler"),
        (
            lambda m: FunctionTransformer(lambda X: X),
            "types that a model file may hold only if.*<lambda>",
        ),
        (lambda m: m.set_params(net_params={"train_split": None}), r"net_params\['train_split'\]"),
        (lambda m: m.set_params(hidden_dim=16), "its parameters changed since its network"),
        (lambda m: GridSearchCV(m, {"lr": [0.1]}, scoring=max), "builtins.max"),
        (lambda m: 3, "does not contain an estimator"),
    ],
)
def test_model_that_cannot_be_stored_is_refused(change, message, model, path):
    path.write_bytes(b"old")
    with pytest.raises(InvalidDataError, match=message):
        save_model(change(model), path)
    assert path.read_bytes() == b"old"
    assert list(path.parent.iterdir()) == [path]


def test_model_too_large_for_a_file_is_refused(model, path, monkeypatch):
    monkeypatch.setattr("smilefusion.persistence._container._MAX_BYTES", 1000)
    with pytest.raises(InvalidDataError, match="a model file holds less than 4 GiB"):
        save_model(model, path)


def test_results_that_cannot_be_kept_are_left_out(table, path):
    pipeline = make_pipeline(FunctionTransformer(), LogisticRegression())
    grid = {"functiontransformer__func": [None, lambda X: -X]}
    search = GridSearchCV(pipeline, grid, cv=2).fit(*table)
    search.param_grid, search.estimator = {}, pipeline
    with pytest.warns(SmileFusionWarning, match="cv_results_ of the search is not stored"):
        save_model(search, path)
    restored = load_model(path)
    assert not hasattr(restored, "cv_results_")
    assert_same(outputs(restored, table[0]), outputs(search, table[0]))


@pytest.mark.parametrize(
    "estimator",
    [RandomForestClassifier(5, random_state=0), HistGradientBoostingClassifier(max_iter=3)],
    ids=["forest", "boosting"],
)
def test_other_estimators_are_stored_if_trusted(estimator, table, path):
    model = make_pipeline(StandardScaler(), estimator).fit(*table)
    with pytest.raises(InvalidDataError, match="pass trusted=") as caught:
        save_model(model, path)
    trusted = re.findall(r"'([\w.]+)'", str(caught.value))
    save_model(model, path, trusted=trusted)
    assert_same(outputs(load_model(path, trusted=trusted), table[0]), outputs(model, table[0]))
    with pytest.raises(InvalidDataError, match="trust them and the author of the file"):
        load_model(path, trusted=trusted[1:])


@pytest.mark.slow
def test_model_is_loaded_in_a_fresh_process(model, table, path):
    save_model(model, path)
    np.save(path.with_suffix(".npy"), table[0])
    code = (
        "import sys, numpy as np; from smilefusion import load_model; "
        f"p = load_model({str(path)!r}).predict_proba(np.load({str(path.with_suffix('.npy'))!r}));"
        "sys.stdout.buffer.write(p.tobytes()); assert 'torch._dynamo' not in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True)
    assert done.stdout == model.predict_proba(table[0]).tobytes()


def test_absent_file_is_named(path):
    with pytest.raises(InvalidDataError, match="does not exist"):
        load_model(path)


def test_random_state_of_torch_is_left_alone(model, path):
    save_model(model, path)
    before = torch.get_rng_state()
    load_model(path)
    assert torch.equal(torch.get_rng_state(), before)
