"""Build model files that break a rule."""

import copy
import io
import json
import struct
import zipfile
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load as load_arrays
from safetensors.numpy import save as save_arrays

from smilefusion import load_model, save_model
from smilefusion.benchmark.run._provenance import read_peak_memory, reset_peak_memory
from smilefusion.exceptions import InvalidDataError
from smilefusion.persistence._container import pack, unpack, write_zip

HUGE = 10**12
MEMORY = 150 * 2**20  # largest memory that refusing a file may take, in bytes


class Canary:
    """An object whose unpickling creates a file."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


def saved(model, tmp_path_factory, **options):
    path = tmp_path_factory.mktemp("good") / "model.smile"
    save_model(model, path, **options)
    return path.read_bytes()


def assert_refused(path, message, **options):
    """Check that loading gives one clear error that names the file, and takes little memory."""
    is_measured = reset_peak_memory()
    before = read_peak_memory() if is_measured else 0
    with pytest.raises(InvalidDataError, match=message) as caught:
        load_model(path, **options)
    assert not is_measured or read_peak_memory() - before < MEMORY
    assert len(str(caught.value)) < 1200
    assert str(caught.value).isprintable()
    assert str(path) in str(caught.value)


def read_tree(content):
    """The members of the skops dump in a model file, the schema decoded."""
    with zipfile.ZipFile(io.BytesIO(unpack(content)["estimator.skops"])) as archive:
        inner = {name: archive.read(name) for name in archive.namelist()}
    return json.loads(inner.pop("schema.json")), inner


def rebuild(content, path, *, tree=None, weights=None, header=None, members=None):
    """Write a good file with changes to what it holds, and correct digests."""
    parts = unpack(content)
    if tree is not None:
        schema, arrays = read_tree(content)
        schema = tree(schema, arrays) or schema
        parts["estimator.skops"] = write_zip(
            {"schema.json": json.dumps(schema).encode(), **arrays}
        )
    if weights is not None:
        table = load_arrays(parts["network_0.safetensors"])
        weights(table)
        metadata = {"history": "[]"}
        parts["network_0.safetensors"] = save_arrays(table, metadata=metadata)
    if header is not None:
        parts["header.json"] = header
    path.write_bytes(pack(parts | (members or {})))


def scalar(value):
    """The node of a number or text."""
    return {
        "__class__": "str",
        "__module__": "builtins",
        "__loader__": "JsonNode",
        "content": json.dumps(value),
        "is_json": True,
    }


def node(loader, module, cls, **entries):
    return {"__loader__": loader, "__module__": module, "__class__": cls, **entries}


def of_list(*nodes):
    return node("ListNode", "builtins", "list", content=list(nodes))


def of_dict(**nodes):
    text = node("TypeNode", "builtins", "str")
    types = of_list(*[text] * len(nodes))
    return node("DictNode", "builtins", "dict", content=nodes, key_types=types)


def state_node(schema, index=None):
    """The dict of the model's attributes, or of those of a step of the pipeline."""
    if index is None:
        return schema["content"]
    return state(schema)["steps"]["content"][index]["content"][1]["content"]


def state(schema, index=None):
    """The attributes of the model, or of a step of the pipeline."""
    return state_node(schema, index)["content"]


def setting(index, name, value):
    """A change of one attribute of one step."""

    def change(schema, arrays):
        attributes = state_node(schema, index)
        if name not in attributes["content"]:
            attributes["key_types"]["content"].append(node("TypeNode", "builtins", "str"))
        attributes["content"][name] = value if isinstance(value, dict) else scalar(value)

    return change


def copy_zip(content, path, *, compression=zipfile.ZIP_STORED, mode=0, extra=(), comment=b""):
    """Copy a zip with zipfile, which writes what `save_model` does not."""
    with (
        zipfile.ZipFile(io.BytesIO(content)) as old,
        zipfile.ZipFile(path, "w", compression) as new,
    ):
        for name in old.namelist():
            entry = zipfile.ZipInfo(name)
            entry.external_attr, entry.compress_type = mode, compression
            new.writestr(entry, old.read(name))
        for name, data in extra:
            new.writestr(name, data)
        new.comment = comment


def call(loader, module, cls):
    """A node that lets skops call something if it is trusted."""
    args = node("TupleNode", "builtins", "tuple", content=[scalar("x")])
    calls = {"attrs": args, "content": args, "__reduce__": {"args": args}}
    return node(loader, module, cls, **calls)


def method_of(schema):
    scaler = schema["content"]["content"]["steps"]["content"][0]["content"][1]
    owner = node("MethodNode", scaler["__module__"], scaler["__class__"])
    return owner | {"content": {"obj": copy.deepcopy(scaler), "func": "fit"}}


REFERENCE = ("ObjectNode", "smilefusion.persistence._tree", "Reference")


def reference(kind, value):
    return node(*REFERENCE, content=of_dict(kind=scalar(kind), value=value))


def npy(array, **header):
    """A .npy file whose header may lie."""
    stream = io.BytesIO()
    given = {"descr": array.dtype.str, "fortran_order": False, "shape": array.shape}
    np.lib.format.write_array_header_1_0(stream, given | header)
    return stream.getvalue() + array.tobytes()


def tensors(header, data=b""):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data


def tensor(shape, offsets, dtype="F64"):
    entry = {"dtype": dtype, "shape": shape, "data_offsets": offsets}
    return {"a": entry, "__metadata__": {"history": "[]"}}


def svc_of(schema):
    return state(schema)["best_estimator_"]["content"]["content"]
