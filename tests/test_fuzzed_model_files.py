"""Model files altered at random: each raises a clear error, or loads without harm."""

import contextlib
import io
import json
import random
import re
import sys
import time
import zipfile

import numpy as np
import pytest
from model_examples import fit_example
from safetensors.numpy import load as load_arrays
from safetensors.numpy import save as save_arrays

from smilefusion import load_model, save_model
from smilefusion.exceptions import InvalidDataError
from smilefusion.persistence._container import pack, unpack, write_zip

SECONDS = 4
EXAMPLES = ("fusion hadamard", "svc", "calibrated by isotonic", "quantile", "net")
FORBIDDEN = ("os.system", "os.exec", "subprocess.Popen", "socket.connect", "pickle.find_class")
VALUES = (
    *(None, True, 0, -1, 2**31, 2**63, 1e308, "", "a", "os.system", "../x", "\x1b[2J", "cuda"),
    *([], {}, [0] * 9, '"os.system"', "1e9", "-1", "NaN"),
)
WORDS = (
    *(
        "predict",
        "__class__",
        "net_",
        "memory",
        "os",
        "system",
        "0.npy",
        "builtins",
        "str",
        "eval",
    ),
    *("FunctionNode", "ObjectNode", "ListNode", "ConstructorFromReduceNode", "JsonNode", "SVC"),
)


class Watch:
    """Records what Python's audit events report while a file is loaded."""

    def __init__(self):
        self.is_active, self.events = False, []
        sys.addaudithook(self.note)

    def note(self, event, arguments):
        if self.is_active:
            mode = arguments[1] if event == "open" else ""
            if event in FORBIDDEN or (isinstance(mode, str) and {*mode} & {*"wax+"}):
                self.events.append((event, str(arguments)[:200]))


@pytest.fixture(scope="module")
def watch():
    return Watch()


@pytest.fixture(scope="module")
def goods(tmp_path_factory):
    """The bytes of good files, with inputs and predictions."""
    path, goods = tmp_path_factory.mktemp("good") / "model.smile", []
    for name in EXAMPLES:
        model, X = fit_example(name)
        save_model(model, path)
        goods.append((path.read_bytes(), X, answer(load_model(path), X)))
    return goods


def answer(model, X):
    return model.predict(X) if hasattr(model, "predict") else model.transform(X)


def alter_bytes(content, chance):
    """Change, remove, insert or cut off some bytes, half of them in a zip's records."""
    altered = bytearray(content)
    marks = [match.start() for match in re.finditer(b"PK", content)]
    for _ in range(chance.choice((1, 1, 2, 5))):
        place = chance.randrange(len(altered))
        if marks and chance.random() < 0.5:
            place = (chance.choice(marks) + chance.randrange(48)) % len(altered)
        end = place + chance.choice((0, 1, 1, 4, 1000))
        altered[place:end] = chance.randbytes(chance.choice((0, 1, 1, 4)))
        if len(altered) < 2:
            break
    return bytes(altered)


def places(value):
    """Yield each list or dict of nested JSON with each of its keys."""
    for key in value if isinstance(value, dict) else range(len(value)):
        yield value, key
        if isinstance(value[key], (list, dict)):
            yield from places(value[key])


def alter_json(value, chance):
    """Change an entry of nested JSON in place."""
    holder, key = chance.choice(list(places(value)))
    kind = chance.randrange(5)
    if kind == 0 and isinstance(holder, dict):
        holder[chance.choice(WORDS)] = holder.pop(key)
    elif kind == 1:
        del holder[key]
    elif kind == 2:
        other, other_key = chance.choice(list(places(value)))
        holder[key] = json.loads(
            json.dumps(other.get(other_key) if isinstance(other, dict) else 1)
        )
    else:
        holder[key] = chance.choice(WORDS if isinstance(holder[key], str) else VALUES)


def alter_array(array, chance):
    """Return an array with other values, dtype or shape."""
    changes = (
        lambda a: a.astype(chance.choice(("f8", "f4", "i8", "i4", "u1", "?"))),
        lambda a: a.reshape(-1)[: chance.randrange(a.size + 1)],
        lambda a: a[None],
        lambda a: np.zeros_like(a),
        lambda a: np.repeat(a.reshape(-1), 2),
        lambda a: np.full_like(a, chance.choice((0, 1, 100, -1 if a.dtype.kind in "if" else 7))),
    )
    return np.ascontiguousarray(chance.choice(changes)(array))


def alter_content(content, chance):
    """Return a file with other content and correct digests."""
    members, kind = unpack(content), chance.randrange(8)
    network = "network_0.safetensors"
    if kind == 0:
        name = chance.choice(sorted(members))
        members[name] = alter_bytes(members[name], chance)
    elif kind == 1 and network in members:
        arrays = load_arrays(members[network])
        name = chance.choice(sorted(arrays))
        arrays[name] = alter_array(arrays[name], chance)
        members[network] = save_arrays(arrays, metadata={"history": "[]"})
    else:
        with zipfile.ZipFile(io.BytesIO(members["estimator.skops"])) as archive:
            inner = {name: archive.read(name) for name in archive.namelist()}
        schema = json.loads(inner["schema.json"])
        if kind < 4 and len(inner) > 1:
            name, stream = chance.choice(sorted(set(inner) - {"schema.json"})), io.BytesIO()
            array = np.load(io.BytesIO(inner[name]))
            np.save(stream, alter_array(array, chance) if array.dtype.kind != "U" else array[:1])
            inner[name] = stream.getvalue()
        else:
            for _ in range(chance.choice((1, 1, 2, 4))):
                alter_json(schema, chance)
        inner["schema.json"] = json.dumps(schema).encode()
        members["estimator.skops"] = write_zip(inner)
    return pack(members)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("alter", [alter_bytes, alter_content])
def test_altered_file_is_refused_or_harmless(alter, goods, watch, tmp_path):
    path, chance, n_refused = tmp_path / "model.smile", random.Random(0), 0
    end = time.monotonic() + SECONDS
    while time.monotonic() < end:
        content, X, expected = chance.choice(goods)
        path.write_bytes(alter(content, chance))
        watch.events, watch.is_active = [], True
        try:
            model = load_model(path)
        except InvalidDataError:
            n_refused += 1
            continue
        finally:
            watch.is_active = False
            assert watch.events == []
        if alter is alter_bytes:  # the bytes did not change
            np.testing.assert_array_equal(answer(model, X), expected)
            continue
        with contextlib.suppress(Exception):  # a wrong model may fail, but must not crash
            answer(model, X)
    assert n_refused > 0
