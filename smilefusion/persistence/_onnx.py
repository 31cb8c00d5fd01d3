"""ONNX files of fitted classifiers, and their inputs."""

import copy
import json
import os
import warnings
from collections.abc import Sequence
from types import ModuleType
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike
from sklearn.ensemble import VotingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.validation import check_is_fitted, validate_data
from torch import nn

from smilefusion._storage._atomic_files import replacing
from smilefusion._training._torch_state import reproducible_torch
from smilefusion._training._trainer import network_dtype
from smilefusion._version import __version__
from smilefusion.estimators._fusion_classifier import FusionClassifier
from smilefusion.estimators._hadasmilenet import HadaSmileNetClassifier
from smilefusion.estimators._scaling import LIMIT
from smilefusion.exceptions import InvalidDataError

_OUTPUT = "probabilities"
_N_TRIED = 3  # clips for tracing and checking a graph
_TOLERANCE = 1e-4  # far above rounding errors, far below the error of a wrong graph


def export_onnx(
    model: FusionClassifier | HadaSmileNetClassifier | VotingClassifier | Pipeline,
    path: str | os.PathLike,
) -> None:
    """Write a fitted classifier to an ONNX file, which runs without torch and this package.

    Parameters
    ----------
    model : FusionClassifier, HadaSmileNetClassifier, VotingClassifier or Pipeline
        A fitted classifier, such as ``pipeline[1:]`` of `make_smile_classifier`. A
        VotingClassifier must have ``voting="soft"`` and members of the types `FusionClassifier`
        and LogisticRegression. In a pipeline, StandardScalers may come before all of these except
        `HadaSmileNetClassifier`.
    path : str or path-like
        The file to write. An existing file is replaced only when the new one is complete.

    Raises
    ------
    InvalidDataError
        If this type of model cannot be exported, or ONNX cannot represent its network.
    ImportError
        If onnx, onnxruntime or onnxscript is not installed.
    NotFittedError
        If the model is not fitted.

    Notes
    -----
    The graph has one output, ``probabilities`` (n_clips, n_classes), with columns in the order of
    `classes_`. The number of clips is variable. The inputs have the dtype of the network:

    * for tables, ``columns`` (n_clips, n_features);
    * for clips, ``landmarks`` (n_clips, n_frames, n_landmarks, n_dims), displacements from the
      resting face in inter-ocular distances, zero if ``mask`` (n_clips, n_frames) is false;
      ``time`` (n_clips, n_frames) and ``duration`` (n_clips,); if D-Markers are fused,
      ``dmarker`` (n_clips, 225), as computed by `DMarkerTransformer`.

    `onnx_inputs` computes them. The graph includes the scaling. Models trained in mixed precision
    run in single precision. Before the file is put in place, onnxruntime's probabilities for
    random inputs are compared with those of the model.

    The metadata of the file are JSON values: ``model``, ``smilefusion_version``, ``classes``,
    ``feature_names`` of columns or D-Markers and, for clips, ``fps`` and ``time_unit``.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> import onnxruntime
    >>> from sklearn.datasets import make_classification
    >>> from smilefusion import FusionClassifier, export_onnx, onnx_inputs
    >>> X, y = make_classification(n_samples=60, n_features=10, random_state=0)
    >>> model = FusionClassifier(hidden_dim=8, max_epochs=1, random_state=0).fit(X, y)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder, "fusion.onnx")
    ...     export_onnx(model, path)
    ...     session = onnxruntime.InferenceSession(path)
    >>> (inputs,) = onnx_inputs(model, X)
    >>> (probability,) = session.run(["probabilities"], inputs)
    >>> bool(abs(probability - model.predict_proba(X)).max() < 1e-6)
    True
    """
    onnx, onnxruntime = _import_onnx("export_onnx")
    scalers, classifier = _split(model)
    network: torch.nn.Module
    if isinstance(classifier, HadaSmileNetClassifier):
        network, inputs = _ClipNetwork(classifier), _random_clips(classifier)
    else:
        network, inputs = _table_network(model), _random_rows(scalers, classifier)
    with reproducible_torch(), torch.no_grad():
        expected = network.eval()(*map(torch.from_numpy, inputs.values())).numpy()
        program = _trace(network, inputs)
    program.model.metadata_props.update(_metadata(scalers, classifier))
    with replacing(path) as part:
        program.save(part, external_data=False)
        onnx.checker.check_model(part, full_check=True)
        _compare(onnxruntime, part, inputs, expected)


def onnx_inputs(
    model: FusionClassifier | HadaSmileNetClassifier | VotingClassifier | Pipeline,
    X: ArrayLike | Sequence[Any],
) -> list[dict[str, np.ndarray]]:
    """Return the inputs of the graph that `export_onnx` writes.

    Parameters
    ----------
    model : FusionClassifier, HadaSmileNetClassifier, VotingClassifier or Pipeline
        The fitted model that was exported.
    X : array-like of shape (n_clips, n_features) or sequence of clips
        Input of the model's `predict_proba`.

    Returns
    -------
    views : list of dict of str to ndarray
        The inputs by name for each view of the clips: a single view, or the windows and mirror
        images over which `HadaSmileNetClassifier` averages. The model's probabilities are the
        mean over the views.

    Raises
    ------
    InvalidDataError
        If this type of model cannot be exported.
    ValueError
        If the clips or columns are invalid or differ from the training data.
    """
    scalers, classifier = _split(model)
    if isinstance(classifier, HadaSmileNetClassifier):
        views = classifier._test_views(X, scaled=False)
        return [{name: view[name] for name in _clip_inputs(classifier)} for view in views]
    first = (*scalers, classifier)[0]
    rules: dict[str, Any] = {"dtype": network_dtype(_fusion_of(classifier))}
    if isinstance(classifier, FusionClassifier):
        rules["ensure_all_finite"] = "allow-nan"
    return [{"columns": validate_data(first, X, reset=False, **rules)}]


class _Standardize(nn.Module):
    """Fitted StandardScaler, in double precision."""

    mean: torch.Tensor
    scale: torch.Tensor

    def __init__(self, scaler: StandardScaler) -> None:
        super().__init__()
        n_features = scaler.n_features_in_
        mean = scaler.mean_ if scaler.with_mean else np.zeros(n_features)
        scale = scaler.scale_ if scaler.with_std else np.ones(n_features)
        self.register_buffer("mean", torch.from_numpy(mean))
        self.register_buffer("scale", torch.from_numpy(scale))

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        """Standardise values (B, n_features)."""
        return ((values.double() - self.mean) / self.scale).to(values.dtype)


class _FusionNetwork(nn.Module):
    """Fitted FusionClassifier."""

    deep: torch.Tensor
    dmarker: torch.Tensor
    centre: torch.Tensor
    scale: torch.Tensor

    def __init__(self, classifier: FusionClassifier) -> None:
        super().__init__()
        self.network = copy.deepcopy(classifier.net_.module_)
        self.register_buffer("deep", torch.from_numpy(classifier.deep_columns_))
        self.register_buffer("dmarker", torch.from_numpy(classifier.dmarker_columns_))
        self.register_buffer("centre", torch.from_numpy(classifier.center_))
        self.register_buffer("scale", torch.from_numpy(classifier.scale_))

    def forward(self, columns: torch.Tensor) -> torch.Tensor:
        """Return probabilities (B, n_classes) of rows (B, n_features)."""
        z = (columns.double() - self.centre) / self.scale
        z = torch.where(z.isnan(), 0.0, z)
        z = (z / torch.sqrt(1 + (z / LIMIT) ** 2)).to(columns.dtype)
        return _probabilities(self.network(z[:, self.deep], z[:, self.dmarker])).mean(dim=0)


class _Logistic(nn.Module):
    """Fitted LogisticRegression, in double precision."""

    coef: torch.Tensor
    intercept: torch.Tensor

    def __init__(self, classifier: LogisticRegression) -> None:
        super().__init__()
        self.register_buffer("coef", torch.from_numpy(classifier.coef_).double())
        self.register_buffer("intercept", torch.from_numpy(classifier.intercept_).double())

    def forward(self, columns: torch.Tensor) -> torch.Tensor:
        """Return probabilities (B, n_classes) of rows (B, n_features)."""
        logits = columns.double() @ self.coef.T + self.intercept
        return _probabilities(logits).to(columns.dtype)


class _Vote(nn.Module):
    """Fitted VotingClassifier: the weighted mean of the probabilities of its members."""

    def __init__(self, classifier: VotingClassifier) -> None:
        super().__init__()
        self.members = nn.ModuleList(map(_table_network, classifier.estimators_))
        weights = np.asarray(classifier._weights_not_none or [1] * len(self.members), dtype=float)
        self.weights = (weights / weights.sum()).tolist()

    def forward(self, columns: torch.Tensor) -> torch.Tensor:
        """Return probabilities (B, n_classes) of rows (B, n_features)."""
        return sum(w * each(columns) for w, each in zip(self.weights, self.members, strict=True))


def _table_network(model: Any) -> nn.Module:
    """Return the network that maps the columns of a table to a classifier's probabilities."""
    if isinstance(model, Pipeline):
        scalers, classifier = _steps(model)
        return nn.Sequential(*map(_Standardize, scalers), _table_network(classifier))
    for kind, network in _TABLE_NETWORKS.items():
        if isinstance(model, kind) and getattr(model, "voting", "soft") == "soft":
            return network(model)
    raise InvalidDataError(
        f"A VotingClassifier can be exported only with voting='soft' and with members of the "
        f"types FusionClassifier and LogisticRegression, which may follow StandardScalers; got "
        f"{type(model).__name__}. Export one member, or serve the model with load_model."
    )


_TABLE_NETWORKS: dict[type, type[nn.Module]] = {
    FusionClassifier: _FusionNetwork,
    LogisticRegression: _Logistic,
    VotingClassifier: _Vote,
}


class _ClipNetwork(nn.Module):
    """Network that maps frames and D-Markers of clips to probabilities."""

    scale: torch.Tensor

    def __init__(self, classifier: Any) -> None:
        super().__init__()
        self.network = copy.deepcopy(classifier.net_.module_)
        self.network.mixed_precision = False
        scale = classifier.scale_.astype(network_dtype(classifier))
        self.register_buffer("scale", torch.from_numpy(scale))
        if classifier.dmarkers == "fuse":
            self.standardize = _Standardize(classifier.dmarker_scaler_)

    def forward(
        self,
        landmarks: torch.Tensor,
        mask: torch.Tensor,
        time: torch.Tensor,
        duration: torch.Tensor,
        dmarker: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """Return probabilities (B, n_classes) of the inputs that `export_onnx` lists."""
        if dmarker is not None:
            dmarker = self.standardize(dmarker)
        frames = {"landmarks": landmarks / self.scale, "mask": mask, "time": time}
        return _probabilities(self.network(dmarker, duration=duration, **frames))


def _probabilities(logits: torch.Tensor) -> torch.Tensor:
    """Return the probabilities (..., n_classes) of logits, (..., 1) for two classes."""
    if logits.shape[-1] == 1:
        return torch.cat([-logits, logits], dim=-1).sigmoid()
    return logits.softmax(dim=-1)


def _import_onnx(caller: str) -> tuple[ModuleType, ModuleType]:
    try:
        import onnx
        import onnxruntime
        import onnxscript  # noqa: F401 (torch's exporter needs it)
    except ImportError as error:
        raise ImportError(
            f"{caller} needs {error.name}, which is not installed; "
            "run pip install 'smilefusion[onnx]'."
        ) from error
    return onnx, onnxruntime


def _steps(model: Any) -> tuple[list[StandardScaler], Any]:
    """Return the scalers and the classifier of a pipeline or a single classifier."""
    steps = [step for _, step in model.steps] if isinstance(model, Pipeline) else [model]
    *scalers, classifier = steps
    others = [step for step in scalers if not isinstance(step, StandardScaler)]
    if others:
        raise InvalidDataError(
            f"Only StandardScalers can be exported before a classifier; the pipeline has "
            f"{type(others[-1]).__name__}. Export the steps after it, such as pipeline[1:], and "
            f"pass the output of pipeline[:1].transform to the graph."
        )
    return scalers, classifier


def _fusion_of(classifier: Any) -> Any:
    """Return the FusionClassifier of a vote, or its first member; return others unchanged."""
    if not isinstance(classifier, VotingClassifier):
        return classifier
    members = [_steps(each)[1] for each in classifier.estimators_]
    return next((each for each in members if isinstance(each, FusionClassifier)), members[0])


def _split(model: Any) -> tuple[list[StandardScaler], Any]:
    """Return the scalers and the classifier of a fitted model that can be exported."""
    scalers, classifier = _steps(model)
    if isinstance(classifier, VotingClassifier):
        check_is_fitted(classifier)
    inner = _fusion_of(classifier)
    kinds = (FusionClassifier,) if scalers else (FusionClassifier, HadaSmileNetClassifier)
    if not isinstance(inner, kinds):
        raise InvalidDataError(
            f"The classifier must be a {' or '.join(kind.__name__ for kind in kinds)}, or a "
            f"VotingClassifier with a FusionClassifier; got {type(inner).__name__}. For a search "
            f"or a calibrated classifier, export the estimator inside."
        )
    check_is_fitted(classifier)
    if getattr(classifier, "encoder", None) == "curvenet":
        raise InvalidDataError(
            "The control flow of encoder='curvenet' depends on the frames, which ONNX cannot "
            "represent. Serve the model with load_model, or train another encoder."
        )
    return scalers, classifier


def _clip_inputs(classifier: Any) -> tuple[str, ...]:
    fused = ("dmarker",) if classifier.dmarkers == "fuse" else ()
    return ("landmarks", "mask", "time", "duration", *fused)


def _random_rows(scalers: Sequence[StandardScaler], classifier: Any) -> dict[str, np.ndarray]:
    rows = np.random.default_rng(0).normal(size=(_N_TRIED, classifier.n_features_in_))
    for scaler in reversed(scalers):
        rows = scaler.inverse_transform(rows)
    return {"columns": rows.astype(network_dtype(_fusion_of(classifier)))}


def _random_clips(classifier: Any) -> dict[str, np.ndarray]:
    """Return random inputs of a graph of clips; the second clip is short."""
    rng, n_frames = np.random.default_rng(0), classifier.n_frames
    rate = 1.0 if classifier.time_unit_ == "frames" else 25.0
    mask = np.ones((_N_TRIED, n_frames), dtype=bool)
    mask[1, (n_frames + 1) // 2 :] = False
    shape = (*mask.shape, classifier.n_landmarks_, classifier.n_dims_)
    values = {
        "landmarks": rng.normal(size=shape) * classifier.scale_ * mask[..., None, None],
        "time": np.arange(n_frames) / rate * mask,
        "duration": mask.sum(axis=1) / rate,
    }
    if classifier.dmarkers == "fuse":
        scaler = classifier.dmarker_scaler_
        rows = rng.normal(size=(_N_TRIED, scaler.n_features_in_))
        values["dmarker"] = scaler.inverse_transform(rows)
    inputs = {name: array.astype(network_dtype(classifier)) for name, array in values.items()}
    inputs["mask"] = mask
    return {name: inputs[name] for name in _clip_inputs(classifier)}


def _trace(network: nn.Module, inputs: dict[str, np.ndarray]) -> Any:
    """Return the graph of a network, for any number of clips."""
    n_clips = torch.export.Dim("n_clips")
    with warnings.catch_warnings():
        # The inputs share their first axis.
        warnings.filterwarnings("ignore", ".*axis name: n_clips will not be used", UserWarning)
        try:
            return torch.onnx.export(
                network,
                tuple(map(torch.from_numpy, inputs.values())),
                input_names=list(inputs),
                output_names=[_OUTPUT],
                dynamic_shapes=tuple({0: n_clips} for _ in inputs),
                dynamo=True,
                verbose=False,
            )
        except torch.onnx.OnnxExporterError as error:
            raise InvalidDataError(
                f"ONNX cannot represent the network ({_first_line(error)}). Serve the model with "
                f"load_model, or rewrite the module that causes this."
            ) from error


def _first_line(error: BaseException) -> str:
    """Return the first line of the root cause of an error."""
    while error.__cause__ is not None:
        error = error.__cause__
    return f"{type(error).__name__}: {str(error).strip().splitlines()[0]}"


def _metadata(scalers: Sequence[StandardScaler], classifier: Any) -> dict[str, str]:
    first = (*scalers, classifier)[0]
    metadata = {
        "model": type(classifier).__name__,
        "smilefusion_version": __version__,
        "classes": classifier.classes_.tolist(),
    }
    if not isinstance(classifier, HadaSmileNetClassifier):
        numbered = [f"x{index}" for index in range(first.n_features_in_)]
        names = getattr(first, "feature_names_in_", numbered)
        metadata["feature_names"] = np.asarray(names).tolist()
    else:
        metadata["fps"] = classifier.fps
        metadata["time_unit"] = classifier.time_unit_
        if classifier.dmarkers == "fuse":
            names = classifier.dmarker_transformer_.get_feature_names_out()
            metadata["feature_names"] = names.tolist()
    return {key: json.dumps(value) for key, value in metadata.items()}


def _compare(
    onnxruntime: ModuleType, path: os.PathLike, inputs: dict[str, np.ndarray], expected: np.ndarray
) -> None:
    """Raise if a graph does not run or its probabilities differ from the network's."""
    try:
        session = onnxruntime.InferenceSession(path)
    except Exception as error:  # onnxruntime's errors have no common base class
        raise InvalidDataError(
            f"onnxruntime cannot run the graph ({_first_line(error)}). Train without "
            f"module__dtype or with another encoder, or serve the model with load_model."
        ) from error
    for n_clips in (1, _N_TRIED):
        (given,) = session.run([_OUTPUT], {name: each[:n_clips] for name, each in inputs.items()})
        difference = np.abs(given - expected[:n_clips]).max()
        if not difference <= _TOLERANCE:
            raise InvalidDataError(
                f"onnxruntime's probabilities for {n_clips} random clips differ from the model's "
                f"by {difference:.1g}, more than rounding explains. Serve the model with "
                f"load_model."
            )
