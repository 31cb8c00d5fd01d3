"""Alter model files at random and load them: each must be refused, or be harmless.

Run ``python benchmarks/fuzz_model_files.py --seconds 240``. Half of the files are altered in their
bytes, as damage does: such a file must give the same predictions or an InvalidDataError. The other
half are altered in what they hold, with digests made anew, as an attacker does: such a file must
load or give an InvalidDataError, and a model that loads is asked for predictions, which may fail
by an error of Python but must not crash. Loading must not start a process, open a connection, read
a pickle or write a file, which Python's audit events tell, and must take less than ``--slow``
seconds. The current file is kept as ``fuzz-current.smile`` in the folder of temporary files, so
that a crash leaves its cause; every other find is kept beside it and printed.
"""

import argparse
import faulthandler
import json
import random
import re
import resource
import sys
import tempfile
import time
import warnings
from collections import Counter
from pathlib import Path

import numpy as np
from safetensors.numpy import load as load_arrays
from safetensors.numpy import save as save_arrays
from sklearn.calibration import CalibratedClassifierCV
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import QuantileTransformer, StandardScaler
from sklearn.svm import SVC

from smilefusion import FusionClassifier, HadaSmileNetClassifier, load_model, save_model
from smilefusion._model_files._container import read_members, write_members
from smilefusion._model_files._parts import PARTS
from smilefusion.datasets import make_smiles
from smilefusion.exceptions import InvalidDataError

_FORBIDDEN = ("os.system", "os.exec", "subprocess.Popen", "socket.connect", "pickle.find_class")
_VALUES = (
    *(None, True, False, 0, 1, -1, 2**31, 2**63, -(2**63), 0.5, 1e308, "", "a", "os.system"),
    *("../../etc/passwd", "\x1b[2J", "film", "cuda", "precomputed", [], {}, [0] * 9),
    *({"kind": "named", "name": "numpy.exp"}, {"kind": "list", "entries": []}),
    *({"kind": "part", "name": "KFold", "params": {}}, {"kind": "float", "value": "nan"}),
)
_WORDS = ("predict", "__class__", "__dict__", "net_", "memory", "callbacks", "kind", "name")


def make_models():
    """Return fitted models, with what they predict."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(40, 6))
    y = (X[:, 0] > 0).astype(int)
    fusion = FusionClassifier(hidden_dim=4, max_epochs=1, random_state=0)
    smiles = make_smiles(8, n_subjects=4, fps=25, random_state=0)
    net = HadaSmileNetClassifier(
        fps=25, embedding_dim=8, hidden_dim=8, n_frames=4, max_epochs=1, early_stopping=False
    )
    tables = (
        make_pipeline(StandardScaler(), fusion),
        GridSearchCV(SVC(), {"C": [0.5, 1.0]}, cv=2),
        CalibratedClassifierCV(LogisticRegression(), cv=2, method="isotonic"),
        make_pipeline(QuantileTransformer(n_quantiles=9), LogisticRegression()),
    )
    models = [(model.fit(X, y), X) for model in tables]
    return [*models, (net.fit(smiles.clips, smiles.target), smiles.clips)]


def alter_bytes(content, chance):
    """Return a file with some bytes changed, taken out, put in, doubled or cut off."""
    altered = bytearray(content)
    for _ in range(chance.choice((1, 1, 2, 5))):
        place = chance.randrange(len(altered))
        # Half of the changes fall on the zip's records and the texts, not on the arrays.
        if chance.random() < 0.5:
            place = chance.choice(_marks(altered, chance)) % len(altered)
        kind = chance.randrange(5)
        if kind == 0:
            altered[place] ^= 1 << chance.randrange(8)
        elif kind == 1:
            altered[place] = chance.randrange(256)
        elif kind == 2:
            del altered[place : place + chance.choice((1, 2, 8, 1000))]
        elif kind == 3:
            altered[place:place] = chance.randbytes(chance.choice((1, 4, 30)))
        else:
            altered[place : place + 4] = chance.randbytes(4)
        if len(altered) < 2:
            break
    return bytes(altered)


def _marks(content, chance):
    """Return places near the records of a zip."""
    starts = [match.start() for match in re.finditer(b"PK", content)]
    return [start + chance.randrange(48) for start in starts] or [0]


def alter_content(content, chance):
    """Return a file whose parts are changed, with right digests."""
    members = read_members(content)
    kind = chance.randrange(10)
    if kind < 6:
        header = json.loads(members["model.json"])
        for _ in range(chance.choice((1, 1, 2, 4))):
            _alter_json(header, chance)
        members["model.json"] = json.dumps(header).encode()
    elif kind < 9:
        arrays = load_arrays(members["arrays.safetensors"])
        for key in chance.sample(sorted(arrays), k=min(len(arrays), chance.choice((1, 1, 3)))):
            arrays[key] = np.ascontiguousarray(_alter_array(arrays[key], chance))
        members["arrays.safetensors"] = save_arrays(arrays)
    else:
        name = chance.choice(sorted(members))
        members[name] = alter_bytes(members[name], chance)
    return members


def _alter_json(header, chance):
    """Change one entry of nested JSON in place."""
    places = list(_places(header))
    holder, key = chance.choice(places)
    kind = chance.randrange(6)
    if kind == 0 and isinstance(holder, dict):
        holder[chance.choice(_WORDS)] = holder.pop(key)
    elif kind == 1:
        del holder[key]
    elif kind == 2:
        other, other_key = chance.choice(places)
        if other_key in other if isinstance(other, dict) else other_key < len(other):
            holder[key] = json.loads(json.dumps(other[other_key]))
    elif kind == 3 and isinstance(holder[key], str):
        holder[key] = chance.choice([*PARTS, *_WORDS])
    elif kind == 4 and isinstance(holder[key], (int, float)):
        holder[key] = chance.choice((-1, 2, 1.5)) * holder[key] + chance.choice((0, 1))
    else:
        holder[key] = chance.choice(_VALUES)


def _places(value):
    """Yield each list or dict of nested JSON with each of its keys."""
    keys = value if isinstance(value, dict) else range(len(value))
    for key in keys:
        yield value, key
        if isinstance(value[key], (list, dict)):
            yield from _places(value[key])


def _alter_array(array, chance):
    """Return an array of other values, dtype or shape."""
    kind = chance.randrange(6)
    if kind == 0:
        return array.astype(chance.choice(("f8", "f4", "i8", "i4", "u1", "?")))
    if kind == 1 and array.ndim:
        return array[: chance.randrange(len(array) + 1)]
    if kind == 2:
        return array.reshape(-1) if chance.random() < 0.5 else array[None]
    if kind == 3:
        return np.zeros_like(array)
    if kind == 4 and array.ndim:
        return np.repeat(array, 2, axis=0)
    changed = np.array(array).reshape(-1)
    if changed.size and changed.dtype.kind in "fiu":
        extreme = (0, 1, 100, 2**30) if changed.dtype.kind == "u" else (-1, -(2**30), 0, 2**30)
        with np.errstate(all="ignore"):
            changed[chance.randrange(changed.size)] = chance.choice(extreme)
    return changed.reshape(array.shape)


class Watch:
    """What Python's audit events tell of while a file is loaded."""

    def __init__(self):
        self.active, self.events = False, []
        sys.addaudithook(self._note)

    def _note(self, event, arguments):
        if not self.active:
            return
        writes = (
            event == "open" and isinstance(arguments[1], str) and set(arguments[1]) & set("wax+")
        )
        if event in _FORBIDDEN or writes:
            self.events.append((event, str(arguments)[:200]))


def run_once(path, X, expected, watch, slow):
    """Load a file; return the outcome, and what is wrong where something is."""
    start, model, problem = time.perf_counter(), None, None
    watch.active, watch.events = True, []
    try:
        model = load_model(path)
        outcome = "loaded"
    except InvalidDataError:
        outcome = "refused"
    except BaseException as error:
        outcome, problem = "raised", f"{type(error).__name__}: {error}"
    watch.active = False
    seconds = time.perf_counter() - start
    if watch.events:
        problem = f"did {watch.events[0]}"
    elif seconds > slow:
        problem = f"took {seconds:.1f} s"
    if model is not None:
        outcome, problem = _predict(model, X, expected, problem)
    return outcome, problem


def _predict(model, X, expected, problem):
    """Ask a loaded model for predictions."""
    try:
        predicted = model.predict(X)
    except Exception as error:
        return f"loaded, then {type(error).__name__}", problem
    same = np.array_equal(predicted, expected)
    return "loaded, same predictions" if same else "loaded, other predictions", problem


def main():
    """Run for the time given and print what happened."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seconds", type=float, default=240)
    parser.add_argument("--slow", type=float, default=5)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    faulthandler.enable()
    warnings.simplefilter("ignore")
    chance, watch = random.Random(arguments.seed), Watch()
    folder = Path(tempfile.mkdtemp(prefix="fuzz-model-files-"))
    goods = []
    for number, (model, X) in enumerate(make_models()):
        save_model(model, folder / f"good-{number}.smile")
        goods.append(((folder / f"good-{number}.smile").read_bytes(), X, model.predict(X)))
    path, counts, finds = folder / "fuzz-current.smile", Counter(), []
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    end = time.monotonic() + arguments.seconds
    while time.monotonic() < end:
        content, X, expected = chance.choice(goods)
        kind = chance.choice(("bytes", "content"))
        if kind == "bytes":
            path.write_bytes(alter_bytes(content, chance))
        else:
            write_members(path, alter_content(content, chance))
        outcome, problem = run_once(path, X, expected, watch, arguments.slow)
        if kind == "bytes" and outcome.startswith("loaded") and "same" not in outcome:
            problem = problem or "damage changed the predictions"
        counts[kind, outcome] += 1
        if problem:
            finds.append(problem)
            kept = folder / f"find-{len(finds)}.smile"
            kept.write_bytes(path.read_bytes())
            print(f"{kind}: {problem} ({kept})", flush=True)
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    print(f"{counts.total()} executions in {arguments.seconds:g} s, {len(finds)} finds")
    print(f"the peak of the memory grew by {grown:.0f} MiB")
    for (kind, outcome), n in sorted(counts.items()):
        print(f"  {kind:8} {outcome:40} {n:7}")
    return 1 if finds else 0


if __name__ == "__main__":
    sys.exit(main())
