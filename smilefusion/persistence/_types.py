"""The only types that a model file may contain, and the check of a skops dump against them.

skops trusts all estimators of scikit-learn and everything that is declared as data. Model files
are stricter: before skops sees a dump, the kind and type of every node must be listed here or
trusted by the user.
"""

import io
import json
import math
import zipfile
from collections.abc import Collection, Sequence
from functools import cache
from importlib import import_module
from typing import Any

import numpy as np

from smilefusion.exceptions import InvalidDataError
from smilefusion.persistence._container import check_text, read_zip, write_zip

_SCHEMA = "schema.json"
_MAX_ARRAYS = 2**15
_MAX_DEPTH = 200
# Kinds of nodes that may name types trusted by the user.
_CALLED = (
    *("ConstructorFromReduceNode", "FunctionNode", "LossNode", "RandomGeneratorNode", "TreeNode"),
)
_OPEN = ("ObjectNode", "TypeNode", *_CALLED)
# Classes whose instances may occur. None of them runs code that its attributes contain.
_CLASSES = {
    "smilefusion": "AbstainingClassifier CheckedClassifier DMarkerTransformer "
    "DeepFeatureExtractor DistributionChecker FusionClassifier HadaSmileNetClassifier "
    "SignalMarkerTransformer",
    "smilefusion.estimators._pipeline": "FusionPipeline",
    "smilefusion.persistence._tree": "Reference",
    "sklearn.calibration": "CalibratedClassifierCV _CalibratedClassifier _SigmoidCalibration "
    "_TemperatureScaling",
    "sklearn.compose": "ColumnTransformer make_column_selector",
    "sklearn.decomposition": "PCA",
    "sklearn.discriminant_analysis": "LinearDiscriminantAnalysis",
    "sklearn.dummy": "DummyClassifier",
    "sklearn.ensemble": "VotingClassifier",
    "sklearn.feature_selection": "SelectKBest VarianceThreshold",
    "sklearn.frozen": "FrozenEstimator",
    "sklearn.impute": "KNNImputer MissingIndicator SimpleImputer",
    "sklearn.isotonic": "IsotonicRegression",
    "sklearn.linear_model": "LogisticRegression RidgeClassifier",
    "sklearn.model_selection": "GridSearchCV GroupKFold GroupShuffleSplit KFold LeaveOneGroupOut "
    "LeaveOneOut PredefinedSplit RandomizedSearchCV ShuffleSplit StratifiedGroupKFold "
    "StratifiedKFold StratifiedShuffleSplit",
    "sklearn.naive_bayes": "GaussianNB",
    "sklearn.pipeline": "FeatureUnion Pipeline",
    "sklearn.preprocessing": "FunctionTransformer LabelBinarizer LabelEncoder MaxAbsScaler "
    "MinMaxScaler Normalizer PowerTransformer QuantileTransformer RobustScaler StandardScaler",
    "sklearn.svm": "LinearSVC SVC",
}
# Functions and types that are allowed as parameters.
_NAMED = {
    "numpy": "abs cbrt exp expm1 log log10 log1p log2 nan_to_num sqrt square tanh number integer "
    "floating float32 float64 int64",
    "sklearn.feature_selection": "chi2 f_classif f_regression mutual_info_classif",
    "torch.optim": "ASGD Adadelta Adagrad Adam AdamW Adamax NAdam RAdam RMSprop SGD",
}


def full_name(value: Any) -> str:
    """Return the module and name of a class or function."""
    return f"{value.__module__}.{value.__name__}"


def _resolve(table: dict[str, str]) -> dict[str, Any]:
    return {
        f"{module}.{name}": getattr(import_module(module), name)
        for module, names in table.items()
        for name in names.split()
    }


@cache
def named() -> dict[str, Any]:
    """Return the functions and types that are allowed as parameters, by name."""
    return _resolve(_NAMED)


@cache
def allowed_types() -> dict[str, Collection[str]]:
    """Return the full names of the types that each kind of node of a skops dump may have."""
    scalars = {t for t in np.sctypeDict.values() if issubclass(t, (np.number, np.bool_, np.str_))}
    return {
        "ObjectNode": {full_name(each) for each in _resolve(_CLASSES).values()},
        "JsonNode": {"builtins.str"},
        "TypeNode": {"builtins.str"},  # of the keys of a dict
        "DictNode": {"builtins.dict"},
        "ListNode": {"builtins.list"},
        "TupleNode": {"builtins.tuple"},
        "SliceNode": {"builtins.slice"},
        "NdArrayNode": {full_name(each) for each in (np.ndarray, *scalars)},
        "MaskedArrayNode": {full_name(np.ma.MaskedArray)},
        "DTypeNode": {"numpy.dtype"},
        "RandomStateNode": {full_name(np.random.RandomState)},
        # skops calls the objects that these name, so they may only name objects the user trusts.
        **dict.fromkeys(_CALLED, ()),
        "SetNode": {"builtins.set"},
    }


def dump(value: Any) -> bytes:
    """Return the skops dump of a value; the same value gives the same bytes."""
    import skops.io  # slow: it imports all of scikit-learn

    with zipfile.ZipFile(io.BytesIO(skops.io.dumps(value))) as archive:
        schema = json.loads(archive.read(_SCHEMA))
        files: dict[str, str] = {}
        _renumber(schema, {}, files)
        arrays = {new: archive.read(old) for old, new in files.items()}
    return write_zip({_SCHEMA: json.dumps(schema, separators=(",", ":")).encode(), **arrays})


def _renumber(node: Any, seen: dict[int, dict], files: dict[str, str]) -> None:
    """Replace addresses in memory by numbers in nested nodes, in place."""
    if isinstance(node, list):
        for entry in node:
            _renumber(entry, seen, files)
    elif isinstance(node, dict):
        kind = node.get("__loader__")
        address = node.pop("__id__") if isinstance(kind, str) else None
        if address in seen:  # the same object again
            node.update(seen[address])
            return
        if address is not None and kind != "JsonNode":
            seen[address] = node
            node["__id__"] = len(seen)
            if node.get("type") == "numpy":
                node["file"] = files.setdefault(node["file"], f"{len(files)}.npy")
        for entry in node.values():
            _renumber(entry, seen, files)


def load(content: bytes, trusted: Sequence[str]) -> Any:
    """Return the value of a skops dump that contains only allowed and trusted types."""
    members = read_zip(content, _MAX_ARRAYS)
    names = _Check(members, trusted).run(json.loads(members.pop(_SCHEMA)))
    import skops.io

    return skops.io.loads(content, trusted=sorted(names))


class _Check:
    """Check all nodes of a skops dump before skops builds anything."""

    def __init__(self, arrays: dict[str, bytes], trusted: Sequence[str]) -> None:
        self.arrays, self.trusted = arrays, frozenset(trusted)
        self.names: set[str] = set()
        self.unknown: dict[str, None] = {}
        self.seen: dict[int, dict] = {}

    def run(self, schema: Any) -> set[str]:
        """Return the names of the types; raise if one is not allowed."""
        self._visit(schema, 0)
        if self.unknown:
            raise InvalidDataError(
                f"it contains types that a model file may hold only if you trust them. If you "
                f"trust them and the author of the file, pass trusted={list(self.unknown)} to "
                f"save_model and load_model"
            )
        if self.arrays:
            raise ValueError("its estimator has arrays that nothing uses")
        return self.names

    def _visit(self, value: Any, depth: int) -> None:
        """Check the nodes in nested lists and dicts, wherever they are."""
        if depth > _MAX_DEPTH:
            raise ValueError(f"its estimator is nested more than {_MAX_DEPTH} levels deep")
        if isinstance(value, dict):
            number = value.get("__id__")
            # skops builds each number once, and ignores later nodes with the same number.
            if number is not None and self.seen.setdefault(number, value) is not value:
                if self.seen[number] != value:
                    raise ValueError("two different parts of its estimator have the same number")
                return
            if isinstance(value.get("__loader__"), str):
                self._check_type(value["__loader__"], value["__module__"], value["__class__"])
            if isinstance(value.get("file"), str):
                if value["file"] not in self.arrays:
                    raise ValueError(f"an array {value['file']!r:.40} is missing or used twice")
                _check_array(self.arrays.pop(value["file"]))
        if isinstance(value, (dict, list)):
            for entry in value.values() if isinstance(value, dict) else value:
                self._visit(entry, depth + 1)

    def _check_type(self, kind: str, module: str, cls: str) -> None:
        """Check the type of a node, or note that it needs trust."""
        name = check_text(f"{module}.{cls}")
        if kind not in allowed_types():
            raise ValueError(f"its estimator has a {kind!r:.40}, which model files cannot hold")
        if name not in allowed_types()[kind]:
            if kind not in _OPEN:
                raise ValueError(f"its estimator has a {kind} of type {name!r:.80}")
            if name not in self.trusted:
                self.unknown[name] = None
        self.names.add(name)


def _check_array(content: bytes) -> None:
    """Check that a .npy file holds the plain data that its header claims."""
    stream = io.BytesIO(content)
    version = np.lib.format.read_magic(stream)
    readers = {
        (1, 0): np.lib.format.read_array_header_1_0,
        (2, 0): np.lib.format.read_array_header_2_0,
    }
    shape, _, dtype = readers[version](stream)
    n_bytes = len(content) - stream.tell()
    fits = all(0 <= n <= max(2**16, n_bytes) for n in shape) and dtype.itemsize
    if dtype.hasobject or not fits or math.prod(shape) * dtype.itemsize != n_bytes:
        raise ValueError(f"an array claims dtype {dtype!s:.40} and shape {shape!s:.80}")
