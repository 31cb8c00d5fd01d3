"""Model files made to hurt: each is refused with a sentence, and nothing of it runs."""

import io
import json
import os
import pickle
import re
import struct
import zipfile
from pathlib import Path

import joblib
import numpy as np
import pytest
import skops.io
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from model_examples import fit_example, make_table
from safetensors.numpy import load as load_arrays
from safetensors.numpy import save as save_arrays
from sklearn.ensemble import RandomForestClassifier
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler
from sklearn.svm import SVC

from smilefusion import FusionClassifier, load_model, read_model_card, read_model_info, save_model
from smilefusion._model_files._container import read_members, write_members
from smilefusion.benchmark.run._provenance import read_peak_memory, reset_peak_memory
from smilefusion.exceptions import InvalidDataError

FOREST = ["sklearn.ensemble._forest.RandomForestClassifier", "sklearn.tree._tree.Tree"]
MEMORY = 150 * 2**20  # what refusing a file may take, in bytes


class Canary:
    """An object whose unpickling creates a file."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


@pytest.fixture(scope="module")
def content(tmp_path_factory):
    """The bytes of a good file: a scaler, a fusion, and a search over a support vector machine."""
    X, y = make_table()
    path = tmp_path_factory.mktemp("good") / "model.smile"
    fusion = FusionClassifier(hidden_dim=4, max_epochs=1, random_state=0)
    save_model(
        make_pipeline(StandardScaler(), FunctionTransformer(np.tanh), fusion).fit(X, y), path
    )
    return path.read_bytes()


@pytest.fixture(scope="module")
def search_content(tmp_path_factory):
    X, y = make_table()
    path = tmp_path_factory.mktemp("search") / "model.smile"
    save_model(GridSearchCV(SVC(), {"C": [1.0]}, cv=2, scoring="accuracy").fit(X, y), path)
    return path.read_bytes()


@pytest.fixture
def path(tmp_path):
    return tmp_path / "model.smile"


@pytest.fixture
def canary(tmp_path):
    return tmp_path / "canary"


def assert_refused(path, message, **options):
    """Check that each way of opening a file gives one clear error and takes little memory."""
    measured = reset_peak_memory()
    before = read_peak_memory() if measured else 0
    with pytest.raises(InvalidDataError, match=message) as caught:
        load_model(path, **options)
    assert not measured or read_peak_memory() - before < MEMORY
    assert len(str(caught.value)) < 1000
    assert str(caught.value).isprintable()
    assert str(path) in str(caught.value)


def rebuild(content, path, *, header=None, arrays=None, members=None):
    """Write a good file anew, with right digests, after changes to what it holds."""
    parts = read_members(content)
    if header is not None:
        value = json.loads(parts["model.json"])
        header(value)
        parts["model.json"] = json.dumps(value).encode()
    if arrays is not None:
        table = load_arrays(parts["arrays.safetensors"])
        arrays(table)
        parts["arrays.safetensors"] = save_arrays(table)
    parts.update(members or {})
    write_members(path, parts)


def step(header, index):
    """Return the JSON form of a step of the good file's pipeline."""
    return header["model"]["params"]["steps"]["entries"][index]["entries"][1]


def test_rebuilding_without_a_change_gives_the_good_file(content, path):
    rebuild(content, path)
    assert path.read_bytes() == content
    assert load_model(path).predict(make_table()[0]).shape == (40,)


def test_canary_sings_where_a_pickle_is_loaded(canary):
    pickle.loads(pickle.dumps(Canary(canary)))
    assert canary.exists()


def _pickle(path, canary):
    path.write_bytes(pickle.dumps(Canary(canary)))


def _joblib(path, canary):
    joblib.dump(Canary(canary), path)


def _torch(path, canary):
    torch.save(Canary(canary), path)


def _numpy(path, canary):
    with open(path, "wb") as stream:
        np.save(stream, np.array([Canary(canary)], dtype=object))


def _numpy_zip(path, canary):
    with open(path, "wb") as stream:
        np.savez(stream, **{"model.json": np.array([Canary(canary)], dtype=object)})


def _pickled_members(path, canary):
    pickled = pickle.dumps(Canary(canary))
    write_members(
        path, dict.fromkeys(("model.json", "arrays.safetensors", "model_card.md"), pickled)
    )


@pytest.mark.parametrize("write", [_pickle, _joblib, _torch, _numpy, _numpy_zip, _pickled_members])
def test_pickle_is_refused_and_does_not_run(write, path, canary):
    write(path, canary)
    assert_refused(path, "is not a smilefusion model file, or it is damaged")
    for read in (read_model_card, read_model_info):
        with pytest.raises(InvalidDataError):
            read(path)
    assert not canary.exists()


def test_pickle_beside_the_members_is_refused(content, path, canary):
    rebuild(content, path, members={"model.pkl": pickle.dumps(Canary(canary))})
    assert_refused(path, "member 'model.pkl' has no place in a model file")
    assert not canary.exists()


# What a zip may claim: each change of a good file's entries.
def _rewrite(content, path, change, extra=()):
    """Copy a zip entry by entry, each changed, and add further ones."""
    with zipfile.ZipFile(io.BytesIO(content)) as old, zipfile.ZipFile(path, "w") as new:
        for entry in old.infolist():
            fresh = zipfile.ZipInfo(entry.filename)
            change(fresh)
            new.writestr(fresh, old.read(entry.filename))
        for name, data in extra:
            new.writestr(name, data)


def _link(entry):
    entry.create_system, entry.external_attr = 3, 0o120777 << 16


def _compress(entry):
    entry.compress_type = zipfile.ZIP_DEFLATED


@pytest.mark.parametrize(
    ("change", "extra", "message"),
    [
        (_link, [], "is a link or another special file"),
        (_compress, [], "is compressed, and could grow"),
        (lambda e: None, [("../climbs", b"")], "'../climbs' has no place"),
        (lambda e: None, [("/absolute", b"")], "'/absolute' has no place"),
        (lambda e: None, [("foreign/", b"")], "'foreign/' has no place"),
        (lambda e: None, [("foreign/../../a.skops", b"")], "has no place"),
        (lambda e: None, [("foreign/7.skops", b"")], "its manifest lists"),
        (lambda e: None, [(f"foreign/{n}.skops", b"") for n in range(100)] * 2, "members, more"),
    ],
)
def test_zip_that_claims_too_much_is_refused(change, extra, message, content, path, tmp_path):
    if len(extra) > 100:
        with pytest.warns(UserWarning, match="Duplicate name"):
            _rewrite(content, path, change, extra)
    else:
        _rewrite(content, path, change, extra)
    assert_refused(path, message)
    assert list(tmp_path.iterdir()) == [path]


def test_member_that_is_there_twice_is_refused(content, path):
    with pytest.warns(UserWarning, match="Duplicate name"):
        _rewrite(content, path, lambda entry: None, [("model.json", b"{}")])
    assert_refused(path, "'model.json' is there twice")


def test_encrypted_member_is_refused(content, path):
    altered = bytearray(content)
    for signature, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        for match in re.finditer(signature, content):
            altered[match.start() + offset] |= 1
    path.write_bytes(altered)
    assert_refused(path, "is encrypted")


@pytest.mark.parametrize("n_bytes", [2**28, 2**32 - 2])
def test_claimed_size_is_refused(n_bytes, content, path):
    altered = bytearray(content)
    start = content.index(b"PK\x01\x02")
    altered[start + 20 : start + 28] = struct.pack("<2L", n_bytes, n_bytes)
    path.write_bytes(altered)
    assert_refused(path, "is too large")


def test_bomb_of_zeros_is_refused(content, path):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in read_members(content).items():
            archive.writestr(name, data if name != "model.json" else bytes(2**28))
        archive.writestr("manifest.json", b"{}")
    assert path.stat().st_size < 2**20
    assert_refused(path, "is compressed, and could grow")


def test_file_above_the_limit_is_refused(path):
    with open(path, "wb") as stream:
        stream.truncate(2**36)
    assert_refused(path, "more than 2048 MiB; if you trust")


def test_limit_may_be_chosen(content, path):
    path.write_bytes(content)
    assert_refused(path, "more than 0.001 MiB", max_megabytes=0.001)


@pytest.mark.parametrize("path", ["/dev/zero", "/dev"])
def test_what_is_no_regular_file_is_refused(path):
    with pytest.raises(InvalidDataError, match="is no regular file"):
        load_model(path)


def test_pipe_does_not_block(path):
    os.mkfifo(path)
    with pytest.raises(InvalidDataError, match="is no regular file"):
        load_model(path)


@pytest.mark.parametrize("share", [0, 0.001, 0.3, 0.9, 0.999])
def test_truncated_file_is_refused(share, content, path):
    path.write_bytes(content[: int(share * len(content))])
    assert_refused(path, "is not a smilefusion model file, or it is damaged")


@pytest.mark.parametrize(
    "wrap", [lambda c: b"#!/bin/sh\n" + c, lambda c: c + b"x", lambda c: c * 2]
)
def test_what_stands_around_the_zip_is_refused(wrap, content, path):
    path.write_bytes(wrap(content))
    assert_refused(path, "is not a smilefusion model file, or it is damaged")


def test_comment_of_the_zip_is_refused(content, path):
    path.write_bytes(content)
    with zipfile.ZipFile(path, "a") as archive:
        archive.comment = b"x" * 100
    assert_refused(path, "its end is not that of a model file")


@pytest.mark.parametrize("name", ["model.json", "arrays.safetensors", "model_card.md"])
def test_altered_member_is_refused(name, content, path):
    members = read_members(content)
    middle = content.index(members[name]) + len(members[name]) // 2
    path.write_bytes(content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :])
    assert_refused(path, "Bad CRC-32")


def test_member_with_another_digest_is_refused(content, path):
    with zipfile.ZipFile(io.BytesIO(content)) as old, zipfile.ZipFile(path, "w") as new:
        for name in old.namelist():
            new.writestr(name, b"Evil" if name == "model_card.md" else old.read(name))
    assert_refused(path, "the digest of its member 'model_card.md' is not that")


def manifest_of(content):
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        return json.loads(archive.read("manifest.json"))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"format": "pickle"}, "does not say 'smilefusion-model'"),
        ({"format_version": 3}, "has format version 3, and this smilefusion reads 2"),
        ({"format_version": 1}, "has format version 1"),
        ({"format_version": "2"}, "has format version '2'"),
        ({"members": {}}, "lacks arrays.safetensors, model.json, model_card.md"),
        ({"more": 1}, "other entries than it must"),
        ({"members": {"model.json": 3}}, "lacks arrays.safetensors"),
        ({"format_version": "\x1b[2J"}, r"has format version '\\x1b\[2J'"),
    ],
)
def test_manifest_that_breaks_a_rule_is_refused(change, message, content, path):
    manifest = json.dumps(manifest_of(content) | change)
    with zipfile.ZipFile(io.BytesIO(content)) as old, zipfile.ZipFile(path, "w") as new:
        for name in old.namelist():
            new.writestr(name, manifest if name == "manifest.json" else old.read(name))
    assert_refused(path, message)


def test_file_of_version_1_is_refused(path):
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("model.json", json.dumps({"format": "smilefusion-model"}))
        archive.writestr("arrays.safetensors", save_arrays({}))
    assert_refused(path, "files of format version 1 are no longer read")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b'{"versions": NaN}', "its JSON holds NaN"),
        (b'{"versions": -Infinity}', "its JSON holds -Infinity"),
        (b'{"versions": 1e999}', "its JSON holds the number 1e999"),
        (b'{"versions": ' + b"9" * 5000 + b"}", "its JSON holds the number 9999"),
        (b'{"a": 1, "a": 2}', "a key stands twice"),
        (b"[" * 10**6, "nested too deeply|JSON"),
        (b'{"a":' * 10**6 + b"1" + b"}" * 10**6, "nested too deeply"),
        (b"{}", "must have the entries"),
        (b"[]", "must have the entries"),
        (b"", "damaged"),
        (b"\xff\xfe", "damaged"),
        (b" " * (2**24 + 1), "is too large"),
    ],
    ids=range(12),
)
def test_json_with_tricks_is_refused(text, message, content, path):
    rebuild(content, path, members={"model.json": text})
    assert_refused(path, message)


def nest(header):
    form = {"kind": "list", "entries": []}
    for _ in range(100):
        form = {"kind": "list", "entries": [form]}
    step(header, 0)["learned"]["mean_"] = form


def set_model(value):
    return lambda header: header.update(model=value)


def set_name(value):
    return lambda header: step(header, 0).update(name=value)


def set_learned(index, name, value):
    return lambda header: step(header, index)["learned"].update({name: value})


def set_param(index, name, value):
    return lambda header: step(header, index)["params"].update({name: value})


def pairs(**entries):
    return {"kind": "dict", "pairs": [[key, value] for key, value in entries.items()]}


def drop(index, name):
    return lambda header: step(header, index)["learned"].pop(name)


CALL = {"kind": "named", "name": "os.system"}
HUGE = 10**12


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (set_model(3), "holds no estimator"),
        (set_model({"kind": "list", "entries": []}), "holds no estimator"),
        (set_model({"kind": "part", "name": "KFold", "params": {}}), "holds no estimator"),
        (set_model({"kind": "__init__"}), "holds no estimator"),
        (set_name("Popen"), "got 'Popen'"),
        (set_name("os.system"), "got 'os.system'"),
        (set_name(["StandardScaler"]), r"got \['StandardScaler'\]"),
        (set_name("MinMaxScaler"), "MinMaxScaler has no parameters"),
        (nest, "nested more than 60 deep"),
        (set_learned(0, "predict", 1), "holds no attribute 'predict'"),
        (set_learned(0, "__class__", 1), "holds no attribute '__class__'"),
        (set_learned(0, "__dict__", pairs(a=1)), "holds no attribute '__dict__'"),
        (set_learned(0, "transform", CALL), "'os.system' is no function or type"),
        (set_learned(2, "net_", 1), "holds no attribute 'net_'"),
        (set_learned(2, "_logits", 1), "holds no attribute '_logits'"),
        (set_learned(0, "mean_", "abc"), "mean_ of StandardScaler has not the form"),
        (set_learned(0, "mean_", pairs(a=1)), "mean_ of StandardScaler has not the form"),
        (drop(0, "mean_"), "StandardScaler lacks the attribute 'mean_'"),
        (drop(2, "classes_"), "FusionClassifier lacks the attribute 'classes_'"),
        (set_param(0, "memory", "/tmp/cache"), "has no parameters .'memory'"),
        (set_param(0, "copy", "yes"), "The 'copy' parameter of StandardScaler must be"),
        (set_param(1, "func", CALL), "'os.system' is no function or type"),
        (set_param(1, "func", "os.system"), "'func' parameter of FunctionTransformer must be"),
        (set_param(1, "func", {"kind": "foreign", "member": "x", "class": "y"}), "no member 'x'"),
        (set_param(2, "callbacks", None), "has no parameters .'callbacks'"),
        (set_param(2, "weights", "weights.pt"), "has no parameters .'weights'"),
        (set_param(2, "fusion", "os.system"), "fusion must be one of"),
        (set_param(2, "fusion", CALL), "is no function or type"),
        (set_param(2, "fusion", {"kind": "named", "name": "torch.optim.SGD"}), "must be the key"),
        (set_param(2, "device", "cuda"), "must be 'auto' or 'cpu'"),
        (set_param(2, "hidden_dim", 10**8), "weights do not fit the network"),
        (set_param(2, "hidden_dim", HUGE), "size calculation overflowed"),
        (set_param(2, "max_epochs", -1), "The 'max_epochs' parameter"),
        (set_param(2, "fusion_params", pairs(context=CALL)), "is no function or type"),
        (set_param(2, "fusion_params", pairs(x=1)), "damaged"),
        (set_param(2, "net_params", pairs(callbacks=1)), "cannot be part of a model file"),
        (set_param(2, "net_params", pairs(train_split=1)), "cannot be part of a model file"),
        (set_param(2, "net_params", pairs(optimizer="SGD")), "must be numbers"),
        (set_param(2, "net_params", pairs(module__fusion="film")), "must be numbers"),
        (set_param(2, "net_params", pairs(module__depth=HUGE)), "there are fewer weights"),
        (set_param(2, "net_params", pairs(module__dim=10**8)), "weights do not fit"),
        (lambda h: step(h, 2).pop("learned"), "has not the entries"),
        (lambda h: step(h, 2).update(more=1), "has not the entries"),
        (lambda h: step(h, 0).update(net={"weights": {}, "history": []}), "damaged"),
        (lambda h: step(h, 2)["net"]["weights"].popitem(), "weights do not fit|no use for"),
        (lambda h: step(h, 0).update(output={"transform": "os"}), "form of output is unknown"),
        (lambda h: step(h, 0).update(requests={"__init__": {"a": True}}), "no requests"),
        (lambda h: step(h, 0).update(requests={"fit": {"a": True}}), "damaged"),
        (lambda h: h["model"]["params"]["steps"]["entries"].append(3), "part of Pipeline"),
        (lambda h: h["model"]["params"].update(steps="abc"), "Pipeline has no list of parts"),
        (lambda h: h["model"]["params"].update(verbose="\x1b[2J"), "control character"),
        (lambda h: h["versions"].update(torch=3), "its versions are no text"),
        (lambda h: h.update(metadata=[]), "its metadata are no object"),
        (lambda h: h["metadata"].update(a=["\x1b[2J"]), "control character"),
        (lambda h: h["versions"].update(torch="\x1b[2J"), "control character"),
    ],
)
def test_model_that_breaks_a_rule_is_refused(change, message, content, path):
    rebuild(content, path, header=change)
    assert_refused(path, message)


def strings(**change):
    return {"kind": "strings", "dtype": "<U3", "shape": [2], "entries": ["a", "b"]} | change


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (strings(dtype="<U1000000000"), "an array of strings is too large"),
        (strings(dtype="O"), "is no dtype of strings"),
        (strings(dtype="<U0"), "dtype that is too short"),
        (strings(shape=[HUGE, 0]), "does not hold 2 entries"),
        (strings(shape=[-1, -2]), "does not hold 2 entries"),
        (strings(entries=["a", "\ud800"]), "control character"),
        (strings(entries=[1, 2]), "holds something else"),
        (strings(more=1), "has not the entries"),
        ({"kind": "objects", "shape": [HUGE], "entries": []}, "does not hold 0 entries"),
        ({"kind": "float", "value": "1e5"}, "'1e5' is no float"),
        ({"kind": "dtype", "name": "O,O"}, "is no dtype"),
        ({"kind": "dtype", "name": "<U9999999"}, "is no dtype"),
        ({"kind": "slice", "parts": [1, 2]}, "a slice has no three parts"),
        ({"kind": "list", "entries": "abc"}, "a list has no entries"),
        ({"kind": "dict", "pairs": [[1, 2], [1, 3]]}, "a key stands twice in a dict"),
        ({"kind": "dict", "pairs": [[{"kind": "list", "entries": []}, 2]]}, "damaged"),
        ({"kind": "array", "key": "zz", "shape": [7], "order": "C"}, "there is no array 'zz'"),
        ({"kind": "distribution", "name": "rv_histogram", "args": [1]}, "damaged"),
        ([1, 2], "no such kind of value"),
    ],
)
def test_value_that_breaks_a_rule_is_refused(value, message, content, path):
    rebuild(content, path, header=set_param(2, "random_state", value))
    assert_refused(path, message)


@pytest.mark.parametrize(
    ("key", "position"),
    [
        (np.zeros(624, np.uint32), 625),
        (np.zeros(624, np.uint32), HUGE),
        (np.zeros(6, np.uint32), 1),
    ],
)
def test_random_state_that_breaks_a_rule_is_refused(key, position, content, path):
    form = {"kind": "array", "key": "more", "shape": [len(key)], "order": "C"}
    state = pairs(
        bit_generator="MT19937", state=pairs(key=form, pos=position), has_gauss=0, gauss=0.0
    )
    change = set_param(2, "random_state", {"kind": "random_state", "state": state})
    rebuild(content, path, header=change, arrays=lambda table: table.update(more=key))
    assert_refused(path, "is no state of MT19937")


def test_shape_of_an_array_that_is_wrong_is_refused(content, path):
    def change(header):
        step(header, 0)["learned"]["mean_"]["shape"] = [HUGE]

    rebuild(content, path, header=change)
    assert_refused(path, r"has shape \[6\], not \[1000000000000\]")


def test_array_used_twice_is_refused(content, path):
    def change(header):
        learned = step(header, 0)["learned"]
        learned["var_"] = learned["mean_"]

    rebuild(content, path, header=change)
    assert_refused(path, "or it is used twice")


def test_array_without_use_is_refused(content, path):
    rebuild(content, path, arrays=lambda table: table.update(more=np.zeros(3)))
    assert_refused(path, "that the model has no use for")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda a: a.astype(bool), "has not the form|has dtype"),
        (lambda a: a[..., :-1], "has shape"),
        (lambda a: a.astype(np.float16), "has dtype|has not the form"),
        (lambda a: a[None], "has shape"),
    ],
)
def test_array_of_another_form_is_refused(change, message, content, path):
    def change_all(table):
        for key, array in table.items():
            table[key] = np.ascontiguousarray(change(array)) if array.ndim else array

    rebuild(content, path, arrays=change_all)
    assert_refused(path, message)


def _tensors(header, data=b""):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data


@pytest.mark.parametrize(
    "tensors",
    [
        struct.pack("<Q", 2**40) + b"{}",
        struct.pack("<Q", 2**63 + 5) + b"{}",
        _tensors({"a0": {"dtype": "F64", "shape": [2**60], "data_offsets": [0, 8]}}, bytes(8)),
        _tensors({"a0": {"dtype": "F64", "shape": [2**62, 8], "data_offsets": [0, 0]}}),
        _tensors({"a0": {"dtype": "F64", "shape": [2**62, 0], "data_offsets": [0, 0]}}),
        _tensors({"a0": {"dtype": "O", "shape": [1], "data_offsets": [0, 8]}}, bytes(8)),
        _tensors({"a0": {"dtype": "F64", "shape": [1], "data_offsets": [8, 16]}}, bytes(8)),
        _tensors(b"[" * 10**5),
        b"",
    ],
    ids=range(9),
)
def test_tensors_that_claim_too_much_are_refused(tensors, content, path):
    rebuild(content, path, members={"arrays.safetensors": tensors})
    assert_refused(path, "damaged")


@pytest.mark.parametrize("columns", [[-1, 2], [0, 6], [0, 2**40]])
def test_columns_outside_the_table_are_refused(columns, content, path):
    key = {}

    def change(header):
        form = step(header, 2)["learned"]["deep_columns_"]
        key["name"], form["shape"] = form["key"], [2]

    rebuild(content, path, header=change)
    rebuild(path.read_bytes(), path, arrays=lambda t: t.update({key["name"]: np.array(columns)}))
    assert_refused(path, "are not among its 6 columns")


def svc_of(header):
    return header["model"]["learned"]["best_estimator_"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda h: h["model"]["params"].update(scoring="os.system"), "damaged"),
        (lambda h: h["model"]["params"].update(cv=CALL), "is no function or type"),
        (lambda h: h["model"]["params"].update(n_jobs=-1), "has no parameters .'n_jobs'"),
        (lambda h: h["model"]["learned"].update(scorer_=CALL), "is no function or type"),
        (lambda h: h["model"]["learned"].update(best_estimator_=3), "has not the form"),
        (lambda h: svc_of(h)["params"].update(kernel="precomputed"), "four kernels"),
        (lambda h: svc_of(h)["params"].update(kernel=CALL), "is no function or type"),
        (lambda h: svc_of(h)["learned"].update(_sparse=True), "not those of a dense fit"),
    ],
)
def test_search_that_breaks_a_rule_is_refused(change, message, search_content, path):
    rebuild(search_content, path, header=change)
    assert_refused(path, message)


@pytest.mark.parametrize("counts", [[10**6, 10**6], [-5, 5], [0, 0]])
def test_support_vectors_that_do_not_add_up_are_refused(counts, search_content, path):
    members = read_members(search_content)
    key = svc_of(json.loads(members["model.json"]))["learned"]["_n_support"]["key"]
    wrong = {key: np.array(counts, dtype=np.int32)}
    rebuild(search_content, path, arrays=lambda table: table.update(wrong))
    assert_refused(path, "do not add up")


@pytest.mark.parametrize(
    ("name", "value"), [("n_frames", HUGE), ("n_windows", HUGE), ("fps", 1e12)]
)
def test_size_that_would_exhaust_the_memory_is_refused(name, value, path, tmp_path):
    save_model(fit_example("net")[0], path)
    rebuild(path.read_bytes(), path, header=lambda h: h["model"]["params"].update({name: value}))
    assert_refused(path, f"{name} of HadaSmileNetClassifier is above")


@pytest.mark.parametrize(
    "encoder", ["hf-hub:evil/model", "local-dir:/tmp/evil", "../evil", "resnet18.evil"]
)
def test_encoder_from_elsewhere_is_refused(encoder, path):
    save_model(fit_example("deep timm")[0], path)
    rebuild(path.read_bytes(), path, header=lambda h: h["model"]["params"].update(encoder=encoder))
    assert_refused(path, "encoder must be|damaged")


def test_model_of_another_size_is_not_built(path):
    save_model(fit_example("deep timm")[0], path)
    change = {"encoder": "vit_giant_patch14_224"}
    rebuild(path.read_bytes(), path, header=lambda h: h["model"]["params"].update(change))
    assert_refused(path, "weights do not fit the network")


@pytest.fixture(scope="module")
def forest_content(tmp_path_factory):
    path = tmp_path_factory.mktemp("forest") / "model.smile"
    forest = make_pipeline(StandardScaler(), RandomForestClassifier(2, random_state=0))
    save_model(forest.fit(*make_table()), path, trusted=FOREST)
    return path.read_bytes()


def skops_call(folder):
    """Return a skops file that calls os.mkdir where it is loaded in trust."""
    with zipfile.ZipFile(io.BytesIO(skops.io.dumps(Path("folder")))) as archive:
        schema = json.loads(archive.read("schema.json"))
    schema |= {"__class__": "mkdir", "__module__": "os"}
    schema["content"]["content"][0]["content"] = json.dumps(str(folder))
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr("schema.json", json.dumps(schema))
    return stream.getvalue()


def test_code_in_a_skops_file_runs_where_it_is_trusted(canary):
    skops.io.loads(skops_call(canary), trusted=["posix.mkdir", "os.mkdir"])
    assert canary.exists()


@pytest.mark.parametrize("trusted", [[], FOREST], ids=["nothing", "forests"])
def test_code_in_a_foreign_part_does_not_run(trusted, forest_content, path, canary):
    rebuild(forest_content, path, members={"foreign/0.skops": skops_call(canary)})
    message = "mkdir, which trusted does not name" if trusted else "If you trust who made the file"
    assert_refused(path, message, trusted=trusted)
    assert not canary.exists()


@pytest.mark.parametrize(
    ("foreign", "message"),
    [
        (skops.io.dumps(StandardScaler()), "its foreign part is no sklearn.ensemble"),
        (skops.io.dumps(StandardScaler(), compression=zipfile.ZIP_DEFLATED), "is compressed"),
        (pickle.dumps(3), "damaged"),
    ],
    ids=["another class", "compressed", "pickle"],
)
def test_foreign_part_of_another_kind_is_refused(foreign, message, forest_content, path):
    rebuild(forest_content, path, members={"foreign/0.skops": foreign})
    assert_refused(path, message, trusted=FOREST)


def test_foreign_part_under_a_trusted_name_is_refused(forest_content, path):
    def change(header):
        step(header, 1)["class"] = "my.Own"

    rebuild(forest_content, path, header=change)
    assert_refused(path, "holds 'my.Own', stored through skops", trusted=FOREST)
    assert_refused(path, "which trusted does not name", trusted=["my.Own"])


@pytest.mark.parametrize("text", ["\x1b]0;evil\x07", "\u202ereversed", "a\x00b", "\r\n"])
def test_card_that_a_terminal_would_obey_is_refused(text, content, path):
    rebuild(content, path, members={"model_card.md": text.encode()})
    for read in (read_model_card, read_model_info, load_model):
        with pytest.raises(InvalidDataError, match="control character"):
            read(path)


@settings(max_examples=150, deadline=5000, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_mutated_file_gives_the_same_predictions_or_an_error(data, content, tmp_path):
    altered = bytearray(content)
    for _ in range(data.draw(st.integers(1, 3))):
        place = data.draw(st.integers(0, len(altered) - 1))
        altered[place] = data.draw(st.integers(0, 255))
    path = tmp_path / "mutated"
    path.write_bytes(altered)
    X = make_table()[0]
    (tmp_path / "good").write_bytes(content)
    try:
        model = load_model(path)
    except InvalidDataError:
        return
    expected = load_model(tmp_path / "good").predict_proba(X)
    np.testing.assert_array_equal(model.predict_proba(X), expected)
