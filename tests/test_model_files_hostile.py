"""Hostile and damaged model files: each raises a clear error, and nothing in it runs."""

import io
import json
import os
import pickle
import re
import struct
import zipfile

import joblib
import numpy as np
import pytest
import skops.io
import torch
from hostile_files import (
    HUGE,
    Canary,
    assert_refused,
    call,
    copy_zip,
    method_of,
    node,
    npy,
    of_dict,
    of_list,
    rebuild,
    reference,
    saved,
    scalar,
    setting,
    state,
    svc_of,
    tensor,
    tensors,
)
from model_examples import fit_example, make_table
from sklearn.ensemble import RandomForestClassifier, VotingClassifier
from sklearn.model_selection import GridSearchCV
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler
from sklearn.svm import SVC

from smilefusion import FusionClassifier, load_model, read_model_card, read_model_info, save_model
from smilefusion.exceptions import InvalidDataError
from smilefusion.persistence._container import pack, unpack, write_zip

DAMAGED = "is not a smilefusion model file, or it is damaged"


@pytest.fixture(scope="module")
def content(tmp_path_factory):
    """A good file: a pipeline of a scaler, a function and a network."""
    fusion = FusionClassifier(
        n_members=1,
        hidden_dim=4,
        max_epochs=1,
        patience=None,
        random_state=np.random.RandomState(0),
        class_weight={"posed": 2},
    )
    model = make_pipeline(StandardScaler(), FunctionTransformer(np.tanh), fusion)
    return saved(model.fit(*make_table()), tmp_path_factory)


@pytest.fixture(scope="module")
def search_content(tmp_path_factory):
    search = GridSearchCV(SVC(), {"C": [1.0]}, cv=2, scoring="accuracy")
    return saved(search.fit(*make_table()), tmp_path_factory)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "model.smile"


@pytest.fixture
def canary(tmp_path):
    return tmp_path / "canary"


def test_rebuilding_without_a_change_gives_a_good_file(content, path):
    rebuild(content, path, tree=lambda schema, arrays: None)
    assert load_model(path).predict(make_table()[0]).shape == (40,)


def test_canary_sings_if_a_pickle_is_loaded(canary):
    pickle.loads(pickle.dumps(Canary(canary)))
    assert canary.exists()


@pytest.mark.parametrize("dump", [pickle.dump, joblib.dump, torch.save, "npy", "npz"])
def test_pickle_is_refused_and_does_not_run(dump, path, canary):
    with open(path, "wb") as stream:
        if isinstance(dump, str):
            array = np.array([Canary(canary)], dtype=object)
            np.save(stream, array) if dump == "npy" else np.savez(stream, **{"header.json": array})
        else:
            dump(Canary(canary), stream)
    for read in (read_model_card, read_model_info, load_model):
        with pytest.raises(InvalidDataError, match=DAMAGED):
            read(path)
    assert not canary.exists()


@pytest.mark.parametrize("name", ["header.json", "estimator.skops", "network_0.safetensors"])
def test_pickle_as_a_member_is_refused_and_does_not_run(name, content, path, canary):
    rebuild(content, path, members={name: pickle.dumps(Canary(canary))})
    assert_refused(path, DAMAGED)
    assert not canary.exists()


def test_pickle_as_an_array_is_refused_and_does_not_run(content, path, canary):
    def change(schema, arrays):
        stream = io.BytesIO()
        np.save(stream, np.array([Canary(canary)], dtype=object))
        arrays["0.npy"] = stream.getvalue()

    rebuild(content, path, tree=change)
    assert_refused(path, "an array claims dtype object")
    assert not canary.exists()


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"mode": 0o120777 << 16}, "its zip is not as save_model writes it"),
        ({"compression": zipfile.ZIP_DEFLATED}, "is compressed or encrypted"),
        ({"comment": b"x" * 100}, "it is not a complete zip"),
        ({"extra": [("header.json", b"{}")]}, "its zip is not as save_model writes it"),
        ({"extra": [(f"{n}", b"") for n in range(1001)]}, "at most 1000 are allowed"),
    ],
    ids=["link", "compressed", "comment", "duplicate", "members"],
)
def test_zip_of_another_kind_is_refused(options, message, content, path):
    copy_zip(content, path, **options)
    assert_refused(path, message)


@pytest.mark.parametrize("name", ["../up", "/absolute", "model.pkl", "network_01.safetensors"])
def test_other_member_is_refused(name, content, path, tmp_path):
    rebuild(content, path, members={name: b""})
    assert_refused(path, "does not belong in a model file")
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("name", ["header.json", "estimator.skops", "model_card.md"])
def test_missing_member_is_refused(name, content, path):
    path.write_bytes(pack({k: v for k, v in unpack(content).items() if k != name}))
    assert_refused(path, f"it has no member {name}")


def test_encrypted_member_is_refused(content, path):
    altered = bytearray(content)
    for signature, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        for match in re.finditer(signature, content):
            altered[match.start() + offset] |= 1
    path.write_bytes(altered)
    assert_refused(path, "is compressed or encrypted")


@pytest.mark.parametrize("n_bytes", [2**28, 2**32 - 2])
def test_claimed_size_is_refused(n_bytes, content, path):
    altered = bytearray(content)
    start = content.rindex(b"PK\x01\x02")
    altered[start + 20 : start + 28] = struct.pack("<2L", n_bytes, n_bytes)
    path.write_bytes(altered)
    assert_refused(path, "claim to be larger than the file")


def test_bomb_of_zeros_is_refused(content, path):
    copy_zip(content, path, compression=zipfile.ZIP_DEFLATED, extra=[("x", bytes(2**28))])
    assert path.stat().st_size < 2**20
    assert_refused(path, "is compressed or encrypted")


def test_long_json_is_refused(content, path):
    rebuild(content, path, header=b" " * (2**24 + 1))
    assert_refused(path, "'header.json' is too large")


def test_file_above_the_limit_is_refused(content, path):
    path.write_bytes(content)
    assert_refused(path, "larger than 0.001 MiB.*increase max_megabytes", max_megabytes=0.001)
    with open(path, "wb") as stream:
        stream.truncate(2**36)
    assert_refused(path, "larger than 2048 MiB")


@pytest.mark.parametrize("path", ["/dev/zero", "/dev", "pipe"])
def test_other_than_a_regular_file_is_refused(path, tmp_path):
    if path == "pipe":
        path = tmp_path / path
        os.mkfifo(path)
    with pytest.raises(InvalidDataError, match="is not a regular file"):
        load_model(path)


@pytest.mark.parametrize("share", [0, 0.001, 0.3, 0.9, 0.999])
def test_truncated_file_is_refused(share, content, path):
    path.write_bytes(content[: int(share * len(content))])
    assert_refused(path, DAMAGED)


@pytest.mark.parametrize(
    "wrap", [lambda c: b"#!/bin/sh\n" + c, lambda c: c + b"x", lambda c: c * 2]
)
def test_content_around_the_zip_is_refused(wrap, content, path):
    path.write_bytes(wrap(content))
    assert_refused(path, DAMAGED)


def test_flipped_bit_is_refused(content, path):
    for place in range(0, len(content), len(content) // 150):
        altered = bytearray(content)
        altered[place] ^= 1 << place % 8
        path.write_bytes(altered)
        with pytest.raises(InvalidDataError, match=re.escape(str(path))):
            load_model(path)


def test_member_with_another_digest_is_refused(content, path):
    manifest = json.loads(zipfile.ZipFile(io.BytesIO(content)).read("manifest.json"))
    parts = unpack(content) | {"model_card.md": b"Evil"}
    path.write_bytes(write_zip({"manifest.json": json.dumps(manifest).encode(), **parts}))
    assert_refused(path, "do not match the digests in its manifest")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"format": "pickle"}, "its manifest is not that of a model file"),
        ({"format_version": 3}, "has format version 3, but this smilefusion reads version 1"),
        ({"format_version": "\x1b[2J"}, r"has format version '\\x1b\[2J'"),
        ({"sha256": {}}, "do not match the digests"),
        ({"more": 1}, "do not match the digests"),
    ],
)
def test_manifest_that_breaks_a_rule_is_refused(change, message, content, path):
    manifest = json.loads(zipfile.ZipFile(io.BytesIO(content)).read("manifest.json"))
    text = json.dumps(manifest | change).encode()
    path.write_bytes(write_zip({"manifest.json": text, **unpack(content)}))
    assert_refused(path, message)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b'{"metadata": {"a": NaN}}', "damaged|finite"),
        (b'{"metadata": {"a": 1e999}}', "damaged|finite"),
        (b'{"metadata": ' + b"9" * 5000 + b"}", DAMAGED),
        (b'{"a": 1, "a": 2}', "its header is not as save_model writes it"),
        (b"[" * 10**6, DAMAGED),
        (b'{"a":' * 10**6 + b"1" + b"}" * 10**6, DAMAGED),
        (b"{}", "must have the entries"),
        (b"[]", "must have the entries"),
        (b"", DAMAGED),
        (b"\xff\xfe", DAMAGED),
        (b'{"versions": {"torch": 3}, "metadata": {}, "splits": {}}', "versions in its header"),
        (b'{"versions": {}, "metadata": {"\\u001b": 1}, "splits": {}}', "control character"),
        (b'{"versions": {"a": "\\u202e"}, "metadata": {}, "splits": {}}', "control character"),
    ],
    ids=range(13),
)
def test_header_with_tricks_is_refused(text, message, content, path):
    rebuild(content, path, header=text)
    assert_refused(path, message)


@pytest.mark.parametrize("text", ["\x1b]0;evil\x07", "\u202ereversed", "a\x00b", "\r\n"])
def test_card_that_controls_a_terminal_is_refused(text, content, path):
    rebuild(content, path, members={"model_card.md": text.encode()})
    for read in (read_model_card, read_model_info, load_model):
        with pytest.raises(InvalidDataError, match="control character"):
            read(path)


UNTRUSTED = "types that a model file may hold only if"
CANNOT = "which model files cannot hold"
SYSTEM = node("FunctionNode", "os", "system")


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (SYSTEM, f"{UNTRUSTED}.*os.system"),
        (node("TypeNode", "subprocess", "Popen"), UNTRUSTED),
        (node("ObjectNode", "subprocess", "Popen", content=scalar(None)), UNTRUSTED),
        (call("ConstructorFromReduceNode", "os", "mkdir"), f"{UNTRUSTED}.*os.mkdir"),
        (call("ConstructorFromReduceNode", "sklearn.svm._classes", "SVC"), UNTRUSTED),
        (call("OperatorFuncNode", "operator", "methodcaller"), CANNOT),
        (call("LossNode", "sklearn._loss._loss", "CyHuberLoss"), UNTRUSTED),
        (call("TreeNode", "sklearn.tree._tree", "Tree"), UNTRUSTED),
        (node("PartialNode", "functools", "partial", content={}), CANNOT),
        (node("SparseMatrixNode", "scipy.sparse", "csr_matrix", type="scipy"), CANNOT),
        (node("BytesNode", "builtins", "bytes", file="0.npy"), CANNOT),
        (node("DefaultDictNode", "collections", "defaultdict", content={}), CANNOT),
        (node("CachedNode", "builtins", "str", __id__=1), "have the same number"),
        (node("RandomGeneratorNode", "numpy.random", "Generator", content={}), UNTRUSTED),
        (node("FunctionNode", "numpy", "exp"), UNTRUSTED),
        (node("ObjectNode", "sklearn.cluster._birch", "Birch", content=scalar(1)), UNTRUSTED),
        (node("ListNode", "builtins", "map", content=[]), "ListNode of type 'builtins.map'"),
        (node("DictNode", "collections", "OrderedDict", content={}), "DictNode of type"),
        (node("NdArrayNode", "sklearn.svm._classes", "SVC", type="numpy"), "NdArrayNode of type"),
        (of_dict(a=of_list(SYSTEM)), UNTRUSTED),
        (node("JsonNode", "builtins", "str", content="{", is_json=True), DAMAGED),
        (scalar("\x1b[2J"), "control character"),
        (node("NoNode", "builtins", "str"), CANNOT),
        (node("NdArrayNode", "numpy", "ndarray", type="numpy", file="99.npy"), "missing or used"),
        (node("NdArrayNode", "numpy", "ndarray", type="numpy", file="0.npy"), "or used twice"),
        (node("NdArrayNode", "numpy", "ndarray", type="numpy", file="../0.npy"), "missing"),
    ],
)
def test_node_that_is_not_allowed_is_refused(value, message, content, path):
    rebuild(content, path, tree=setting(0, "note_", value))
    assert_refused(path, message)


def test_bound_method_is_refused(content, path):
    rebuild(content, path, tree=lambda s, arrays: setting(0, "note_", method_of(s))(s, arrays))
    assert_refused(path, CANNOT)


@pytest.mark.parametrize("trusted", [[], ["sklearn.tree._tree.Tree"]], ids=["nothing", "trees"])
def test_call_does_not_run_unless_it_is_trusted(trusted, content, path, canary):
    args = node("TupleNode", "builtins", "tuple", content=[scalar(str(canary))])
    value = node("ConstructorFromReduceNode", "os", "mkdir", content=args)
    rebuild(content, path, tree=setting(0, "note_", value))
    assert_refused(path, "os.mkdir", trusted=trusted)
    assert not canary.exists()
    load_model(path, trusted=["os.mkdir"])
    assert canary.exists()


def test_numbers_of_nodes_cannot_hide_a_node(content, path):
    value = scalar(3) | {"__id__": 1}
    rebuild(content, path, tree=setting(0, "note_", value))
    assert_refused(path, "two different parts of its estimator have the same number")


def test_deep_nesting_is_refused(content, path):
    value = scalar(1)
    for _ in range(150):
        value = of_list(value)
    rebuild(content, path, tree=setting(0, "note_", value))
    assert_refused(path, "nested more than 200 levels deep")


@pytest.mark.parametrize(
    ("index", "name", "value", "message"),
    [
        (0, "transform", 1, "cannot have an attribute 'transform'"),
        (0, "__class__", 1, "cannot have an attribute '__class__'"),
        (0, "__sklearn_tags__", 1, "cannot have an attribute"),
        (2, "history_", 1, "cannot have an attribute 'history_'"),
        (0, "copy", "yes", "The 'copy' parameter of StandardScaler must be"),
        (1, "func", "os.system", "'func' parameter of FunctionTransformer must be"),
        (1, "func", reference("named", scalar("os.system")), "a wrong reference to 'named'"),
        (0, "note_", reference("network", scalar(0)), "a wrong reference to 'network'"),
        (0, "net_", reference("network", scalar(0)), "StandardScaler has no network"),
        (
            0,
            "note_",
            reference("distribution", of_list(scalar("rv_histogram"))),
            "wrong reference",
        ),
        (
            0,
            "_metadata_request",
            reference("requests", of_dict(__init__=of_dict())),
            "no metadata requests",
        ),
        (2, "net_", 1, "net_ of FusionClassifier is not a network"),
        (2, "net_", reference("network", scalar(7)), "missing or used twice"),
        (2, "fusion", "os.system", "fusion must be one of"),
        (2, "fusion", reference("named", scalar("torch.optim.SGD")), "must be a key"),
        (2, "device", "cuda", "must be 'auto' or 'cpu'"),
        (2, "hidden_dim", 10**8, "weights do not fit the network"),
        (2, "hidden_dim", HUGE, DAMAGED),
        (2, "max_epochs", -1, "The 'max_epochs' parameter"),
        (2, "fusion_params", of_dict(x=of_list()), "must map names to numbers or text"),
        (2, "fusion_params", of_dict(x=scalar(1)), DAMAGED),
        (2, "net_params", of_dict(callbacks=scalar(1)), "cannot be part of a model file"),
        (2, "net_params", of_dict(train_split=scalar(1)), "cannot be part of a model file"),
        (2, "net_params", of_dict(optimizer=scalar("SGD")), "must be numbers"),
        (2, "net_params", of_dict(module__fusion=scalar("film")), "must be numbers"),
        (2, "net_params", of_dict(module__depth=scalar(HUGE)), "there are fewer weights"),
        (2, "net_params", of_dict(module__dim=scalar(10**8)), "weights do not fit"),
        (None, "memory", "/tmp/cache", "memory of Pipeline must be None"),
        (None, "steps", "abc", DAMAGED),
        (None, "steps", of_list(scalar(3)), DAMAGED),
    ],
)
def test_state_that_breaks_a_rule_is_refused(index, name, value, message, content, path):
    rebuild(content, path, tree=setting(index, name, value))
    assert_refused(path, message)


@pytest.mark.parametrize(("index", "name"), [(0, "copy"), (2, "lr"), (2, "classes_"), (2, "net_")])
def test_missing_attribute_is_refused(index, name, content, path):
    rebuild(content, path, tree=lambda schema, arrays: state(schema, index).pop(name) and None)
    assert_refused(path, "has no parameter|arrays that nothing uses|networks that no estimator")


def test_model_that_is_not_an_estimator_is_refused(content, path):
    protocol = {"protocol": 2, "_skops_version": "0"}
    rebuild(content, path, tree=lambda s, arrays: arrays.clear() or scalar(3) | protocol)
    assert_refused(path, "does not contain an estimator")


@pytest.mark.parametrize(
    "array",
    [
        npy(np.zeros(6), shape=(HUGE,)),
        npy(np.zeros(0), shape=(2**62, 0)),
        npy(np.zeros(6), shape=(-6,)),
        npy(np.zeros(6), descr="|O"),
        npy(np.zeros(6), descr="<U1000000000"),
        npy(np.zeros(6), descr="|V0", shape=(HUGE,)),
        npy(np.zeros(6)) + b"x",
        np.lib.format.magic(3, 0) + b"\x00" * 20,
        b"PK\x03\x04",
    ],
    ids=range(9),
)
def test_array_that_claims_too_much_is_refused(array, content, path):
    rebuild(content, path, tree=lambda schema, arrays: arrays.update({"0.npy": array}))
    assert_refused(path, "an array claims|damaged")


def test_array_without_use_is_refused(content, path):
    rebuild(content, path, tree=lambda s, arrays: arrays.update({"99.npy": npy(np.zeros(3))}))
    assert_refused(path, "arrays that nothing uses")


def test_text_of_an_array_that_controls_a_terminal_is_refused(content, path):
    def change(schema, arrays):
        name = state(schema, 2)["classes_"]["file"]
        arrays[name] = npy(np.array(["\x1b[2J", "spontaneous"]))

    rebuild(content, path, tree=change)
    assert_refused(path, "control character")


@pytest.mark.parametrize("columns", [[-1, 2], [0, 6], [0, 2**40]])
def test_columns_outside_the_table_are_refused(columns, content, path):
    def change(schema, arrays):
        arrays[state(schema, 2)["deep_columns_"]["file"]] = npy(np.array(columns))

    rebuild(content, path, tree=change)
    assert_refused(path, "are not among its 6 columns")


@pytest.mark.parametrize("position", [625, HUGE, -1])
def test_random_state_outside_its_array_is_refused(position, content, path):
    def change(schema, arrays):
        random_state = state(schema, 2)["random_state"]["content"]["content"]
        random_state["state"]["content"]["pos"] = scalar(position)

    rebuild(content, path, tree=change)
    assert_refused(path, "is not a state of MT19937|damaged")


@pytest.mark.parametrize(
    "change",
    [
        lambda t: t.update({key: each.astype(np.float16) for key, each in t.items()}),
        lambda t: t.update({key: each[..., :-1] for key, each in t.items() if each.ndim}),
        lambda t: t.update({key: each[None] for key, each in t.items()}),
        lambda t: t.popitem(),
        lambda t: t.update(more=np.zeros(3, np.float32)),
        lambda t: t.clear(),
    ],
)
def test_weights_of_another_form_are_refused(change, content, path):
    rebuild(content, path, weights=change)
    assert_refused(path, "weights do not fit the network|fewer weights")


@pytest.mark.parametrize(
    "weights",
    [
        struct.pack("<Q", 2**40) + b"{}",
        struct.pack("<Q", 2**63 + 5) + b"{}",
        tensors(tensor([2**60], [0, 8]), bytes(8)),
        tensors(tensor([2**62, 8], [0, 0])),
        tensors(tensor([2**62, 0], [0, 0])),
        tensors(tensor([1], [0, 8], "O"), bytes(8)),
        tensors(tensor([1], [8, 16]), bytes(8)),
        tensors({"__metadata__": {"history": "[[[]]]"}}),
        tensors({}),
        tensors(b"[" * 10**5),
        b"",
    ],
    ids=range(11),
)
def test_weights_that_claim_too_much_are_refused(weights, content, path):
    rebuild(content, path, members={"network_0.safetensors": weights})
    assert_refused(path, DAMAGED)


def test_network_without_use_is_refused(content, path):
    weights = unpack(content)["network_0.safetensors"]
    rebuild(content, path, members={"network_1.safetensors": weights})
    assert_refused(path, "networks that no estimator uses")
    rebuild(content, path, members={"network_5.safetensors": weights})
    assert_refused(path, DAMAGED)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda s, arrays: state(s).update(scoring=scalar("os.system")), DAMAGED),
        (lambda s, arrays: state(s).update(cv=SYSTEM), UNTRUSTED),
        (lambda s, arrays: state(s).update(n_jobs=scalar(-1)), "n_jobs of GridSearchCV must be"),
        (lambda s, arrays: svc_of(s).update(kernel=scalar("precomputed")), "SVC are inconsistent"),
        (lambda s, arrays: svc_of(s).update(_sparse=scalar(True)), "SVC are inconsistent"),
    ],
)
def test_search_that_breaks_a_rule_is_refused(change, message, search_content, path):
    rebuild(search_content, path, tree=change)
    assert_refused(path, message)


def test_vote_without_names_of_its_members_is_refused(path, tmp_path_factory):
    vote = VotingClassifier([("one", GaussianNB())]).fit(*make_table())
    rebuild(saved(vote, tmp_path_factory), path, tree=setting(None, "estimators", of_list()))
    assert_refused(path, "do not match their names")


@pytest.mark.parametrize("counts", [[10**6, 10**6], [-5, 5], [0, 0]])
def test_support_vectors_that_do_not_add_up_are_refused(counts, search_content, path):
    def change(schema, arrays):
        arrays[svc_of(schema)["_n_support"]["file"]] = npy(np.array(counts, dtype=np.int32))

    rebuild(search_content, path, tree=change)
    assert_refused(path, "SVC are inconsistent")


@pytest.mark.parametrize(
    ("example", "name", "value", "message"),
    [
        ("net", "n_frames", HUGE, "n_frames of HadaSmileNetClassifier is above"),
        (
            "net",
            "windows",
            of_dict(n_windows=scalar(HUGE)),
            "n_windows of HadaSmileNetClassifier is above",
        ),
        ("net", "fps", 1e12, "'fps' parameter of HadaSmileNetClassifier"),
        ("deep timm", "encoder", "hf-hub:evil/model", f"encoder must be|{DAMAGED}"),
        ("deep timm", "encoder", "local-dir:/tmp/evil", f"encoder must be|{DAMAGED}"),
        ("deep timm", "encoder", "../evil", f"encoder must be|{DAMAGED}"),
        ("deep timm", "encoder", "vit_giant_patch14_224", "weights do not fit the network"),
        ("deep timm", "weights", "weights.pt", "weights of DeepFeatureExtractor must be None"),
    ],
)
def test_clip_model_that_breaks_a_rule_is_refused(example, name, value, message, path):
    save_model(fit_example(example)[0], path)
    rebuild(path.read_bytes(), path, tree=setting(None, name, value))
    assert_refused(path, message)


def test_compressed_tree_is_refused(content, path):
    tree = skops.io.dumps(StandardScaler(), compression=zipfile.ZIP_DEFLATED)
    rebuild(content, path, members={"estimator.skops": tree})
    assert_refused(path, "is compressed or encrypted")


def test_tree_of_skops_alone_is_refused(content, path):
    forest = RandomForestClassifier(2).fit(*make_table())
    rebuild(content, path, members={"estimator.skops": skops.io.dumps(forest)})
    assert_refused(path, "its zip is not as save_model writes it")
