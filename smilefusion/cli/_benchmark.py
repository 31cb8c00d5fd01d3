"""Command ``benchmark``: fusion strategies and other models under nested cross-validation."""

import argparse
import os
import sys
import tempfile
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np
import pandas as pd
from joblib import Memory
from sklearn.base import BaseEstimator, ClassifierMixin, clone
from sklearn.dummy import DummyClassifier
from sklearn.ensemble import RandomForestClassifier, VotingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss
from sklearn.model_selection import GridSearchCV, StratifiedGroupKFold
from sklearn.pipeline import FeatureUnion
from sklearn.preprocessing import FunctionTransformer, StandardScaler
from sklearn.utils import Bunch

from smilefusion._messages import count
from smilefusion._storage._atomic_files import replacing
from smilefusion._storage._scratch import scratch_folder
from smilefusion.benchmark.run._runner import run_benchmark
from smilefusion.benchmark.run._store import load_results, read_cells
from smilefusion.benchmark.stats._shift_scores import score_shifts
from smilefusion.benchmark.tables._tables import format_table, summarize
from smilefusion.cli._common import (
    BENCHMARK_FILES,
    Failures,
    check_files,
    check_folder,
    check_fusion,
    check_output,
    is_source,
    is_video,
    print_message,
    save_picture,
    shared_rate,
    write_table,
)
from smilefusion.cli._models import set_everywhere
from smilefusion.cli._terminal import print_parts
from smilefusion.cli._videos import extracted_clips
from smilefusion.clips._rates import check_fps
from smilefusion.clips._sequence import check_clips
from smilefusion.datasets._folder import LABELS_FILE, find_sources, load_all_clips
from smilefusion.datasets.simulated._smiles import make_smiles
from smilefusion.dmarkers._transformer import DMarkerTransformer
from smilefusion.estimators._deep_features import DeepFeatureExtractor
from smilefusion.estimators._pipeline import FusionPipeline, make_smile_classifier
from smilefusion.exceptions import DataWarning, InvalidDataError
from smilefusion.inspection._fusion_comparison import FusionComparisonDisplay
from smilefusion.inspection._pyplot import import_pyplot
from smilefusion.nn._fusion import FUSIONS

SIMULATED = "simulated"
_CLIPS = "clips"  # subfolder of the results for the landmarks of videos and tables
SIMULATION_DEFAULTS = {"n_clips": 240, "n_subjects": 60, "effect": 1.0}
_STRENGTHS = np.logspace(-4, 1, 6)  # C of the logistic regressions
_N_TREES = 500
# A quarter of the default. With 256, the bilinear strategies have 17 million weights, too many for
# a few hundred clips, and their training would take longer than everything else.
_HIDDEN_DIM = 64
_CHOICE = "chosen inside"


def run(args: argparse.Namespace) -> None:
    """Run the benchmark, print its table and write predictions, table and picture."""
    if not args.no_figure:
        import_pyplot("smilefusion benchmark")
    output = Path(args.output)
    check_folder(output, "-o")
    for name in args.fusion or ():
        check_fusion(name)
    with tempfile.TemporaryDirectory(dir=scratch_folder()) as scratch:
        data = _load_data(args, Path(scratch))
        is_simulated = args.data == SIMULATED
        inputs = [] if is_simulated else [Path(args.data, file) for file in data.files]
        _prepare_folder(data.name, inputs, args)
        systems = make_systems(
            inner_folds=args.inner_folds,
            memory=Memory(Path(scratch, "cache"), verbose=0),
            random_state=args.seed,
            max_epochs=args.max_epochs,
            fusions=args.fusion,
        )
        with warnings.catch_warnings():
            if is_simulated:  # users cannot record simulated clips again
                warnings.simplefilter("ignore", DataWarning)
            # "chosen inside" runs last, because it reuses the losses of the strategies.
            predictions = run_benchmark(
                {
                    name: systems[name]
                    for name in sorted(systems, key=lambda name: name == _CHOICE)
                },
                data,
                protocol=args.protocol,
                cv=args.folds,
                n_jobs=args.n_jobs,
                random_state=args.seed,
                progress=sys.stderr.isatty(),
                results=output,
                shifts=args.shifts,
            )
    predictions = _in_order(predictions, list(systems))
    summary = summarize(predictions, random_state=args.seed)
    parts = _compose(data, summary, args)
    if args.shifts:
        scores = _in_order(score_shifts(load_results(output, shifts=True)), list(systems))
        parts += ["### Recording shifts", format_table(scores)]
    write_table(output / "predictions.csv", predictions)
    with replacing(output / "table.md") as part:
        part.write_text("\n\n".join(parts) + "\n", encoding="utf-8")
    if not args.no_figure:
        display = FusionComparisonDisplay(summary, n_classes=predictions["target"].nunique())
        save_picture(display.plot(), output / "figure.png")
    print_parts(parts, output / "table.md")
    print_message(f"The results are in {output}.")


def _prepare_folder(name: str, inputs: list[Path], args: argparse.Namespace) -> None:
    """Create the results folder; raise if the results would overwrite other files."""
    output = Path(args.output)
    if inputs and output.exists() and output.samefile(args.data):
        raise InvalidDataError(
            f"The folder {str(output)!r} contains the data, but the results need a separate "
            f"folder. Choose one with -o, such as {str(output / 'benchmark')!r}."
        )
    held = set()
    if any(output.glob("cells/*.json")):
        cells = [record["cell"] for record, _ in read_cells(output)]
        held = {(cell["dataset"], cell["protocol"]) for cell in cells}
    for dataset, protocol in held - {(name, args.protocol)}:
        raise InvalidDataError(
            f"The folder {str(output)!r} contains a benchmark on {dataset} with the protocol "
            f"{protocol}. A benchmark on {name} with the protocol {args.protocol} would "
            "overwrite its files. Choose another folder with -o."
        )
    found = [file for file in BENCHMARK_FILES if os.path.exists(output / file)]
    if found and not held:
        raise InvalidDataError(
            f"The folder {str(output)!r} contains {', '.join(found)}, but no benchmark to resume, "
            "so existing files would be overwritten. Choose another folder with -o."
        )
    output.mkdir(parents=True, exist_ok=True)
    for file in BENCHMARK_FILES:
        check_output(output / file, [Path(args.data, LABELS_FILE), *inputs])


def make_systems(
    *,
    inner_folds: int,
    memory: Memory,
    random_state: int,
    max_epochs: int | None = None,
    fusions: Sequence[str] | None = None,
) -> dict[str, Any]:
    """Assemble the systems that the benchmark compares.

    With `fusions`, only these strategies are included, without a choice between them.
    """
    inner = StratifiedGroupKFold(inner_folds, shuffle=True, random_state=random_state)
    duration = ("duration", FunctionTransformer(log_duration))
    # Stateless, so that all systems share the features of training and test clips.
    deep, dmarker = (
        (name, FunctionTransformer(memory.cache(extract)))
        for name, extract in (("deep", extract_embeddings), ("dmarker", extract_dmarkers))
    )
    both = ("features", FeatureUnion([deep, dmarker]))

    def regress(step: tuple[str, Any]) -> FusionPipeline:
        search = GridSearchCV(
            LogisticRegression(max_iter=1000),
            {"C": _STRENGTHS},
            cv=inner,
            scoring="neg_log_loss",
            error_score="raise",
        )
        return FusionPipeline([step, ("scale", StandardScaler()), ("regress", search)])

    last = make_smile_classifier(random_state=random_state).steps[-1][1]
    set_everywhere(last, "max_epochs", max_epochs)
    set_everywhere(last, "hidden_dim", _HIDDEN_DIM)
    network = last.get_params()["network"]
    streams = {"deep": network.deep, "dmarker": network.dmarker}
    single = [
        (name, clone(network).set_params(deep=columns, dmarker=columns))
        for name, columns in streams.items()
    ]
    forest = RandomForestClassifier(_N_TREES, random_state=random_state)
    measure = memory.cache(measure_left_out, ignore=["fitted"])
    heads = {
        "late fusion": VotingClassifier(single, voting="soft"),
        **{key: ChosenNetwork(network, [key], measure) for key in fusions or FUSIONS},
        **({} if fusions else {_CHOICE: ChosenNetwork(network, list(FUSIONS), measure)}),
        "recommended": last,
    }
    return {
        "majority": DummyClassifier(strategy="prior"),
        "clip duration": regress(duration),
        "D-Markers alone": regress(dmarker),
        "D-Markers, forest": FusionPipeline([dmarker, ("forest", forest)]),
        "deep alone": regress(deep),
        "both, regression": regress(both),
        **{name: FusionPipeline([both, ("fusion", head)]) for name, head in heads.items()},
    }


class ChosenNetwork(ClassifierMixin, BaseEstimator):
    """The strategy with the lowest log loss on the clips that its networks left out."""

    __metadata_request__fit = {"groups": True}

    def __init__(self, network: Any, fusions: list[str], measure: Any) -> None:
        self.network, self.fusions, self.measure = network, fusions, measure

    def fit(self, X: Any, y: Any, groups: Any = None) -> Self:
        """Train the strategy with the lowest loss, and store its loss in the cache."""
        networks = [clone(self.network).set_params(fusion=key) for key in self.fusions]
        best = networks[0]
        if len(networks) > 1:
            best = min(networks, key=lambda network: self.measure(network, X, y, groups))
        self.network_ = clone(best).fit(X, y, groups=groups)
        self.classes_ = self.network_.classes_
        self.measure(best, X, y, groups, self.network_)
        return self

    def predict(self, X: Any) -> np.ndarray:
        """Return the most probable classes."""
        return self.network_.predict(X)

    def predict_proba(self, X: Any) -> np.ndarray:
        """Return the probabilities."""
        return self.network_.predict_proba(X)


def measure_left_out(network: Any, X: Any, y: Any, groups: Any, fitted: Any = None) -> float:
    """Return the log loss on left-out clips; train the networks if `fitted` is None."""
    fitted = fitted or clone(network).fit(X, y, groups=groups)
    return log_loss(y, fitted.oof_proba_)


def extract_embeddings(X: Any) -> np.ndarray:
    """Return the embeddings of clips from the encoder of the package."""
    return DeepFeatureExtractor(objective="frozen", weights="simulated").fit_transform(X)


def extract_dmarkers(X: Any) -> np.ndarray:
    """Return the D-Markers of clips."""
    return DMarkerTransformer().fit_transform(X)


def log_duration(X: Any) -> np.ndarray:
    """Return the logarithm of each clip's length in seconds, or frames without frame rates."""
    clips = check_clips(X)
    return np.log(clips.n_frames / np.nan_to_num(clips.fps, nan=1.0)).reshape(-1, 1)


def _load_data(args: argparse.Namespace, scratch: Path) -> Bunch:
    """Return the labelled clips as files, with their common frame rate."""
    given = {name: getattr(args, name) for name in SIMULATION_DEFAULTS}
    given = {name: value for name, value in given.items() if value is not None}
    if args.data != SIMULATED:
        if given:
            options = ", ".join(f"--{name.replace('_', '-')}" for name in given)
            raise InvalidDataError(
                f"{options} can be used only with simulated data, but --data is the folder "
                f"{args.data!r}. Use one or the other."
            )
        data = load_all_clips(args.data, _extract_clips(args))
        check_files(Path(args.data, file) for file in data.files if not is_source(file))
        data.clips = data.clips.replace(fps=args.fps)
        data.fps = shared_rate(data.clips, data.files)
        return data
    if args.fps is not None:
        raise InvalidDataError(
            "--fps sets the frame rate of recorded clips, but the data are simulated at 50 "
            "frames per second. Omit --fps."
        )
    return _store_simulated(SIMULATION_DEFAULTS | given, args.seed, scratch)


def _extract_clips(args: argparse.Namespace) -> dict[Path, Path]:
    """Extract the videos and tables of a labelled folder to the results; return their clips."""
    sources = find_sources(args.data, is_source)
    if not sources:
        return {}
    check_fps(args.fps, 1)
    _prepare_folder(Path(args.data).resolve().name, sources, args)
    failures: Failures = []
    folder = Path(args.output, _CLIPS)
    with extracted_clips(sources, failures, args, folder=folder, fps=args.fps) as pairs:
        if not failures:
            return dict(pairs)
    kind = "video" if all(map(is_video, sources)) else "file"
    raise InvalidDataError(
        f"{len(failures)} of {count(len(sources), kind)} failed: "
        f"{' '.join(str(error) for _, error in failures)} Remove these rows from {LABELS_FILE}, "
        f"or fix the {kind}s. The clips of the other {kind}s are kept in {str(folder)!r}."
    )


def _store_simulated(settings: dict[str, Any], seed: int, scratch: Path) -> Bunch:
    """Simulate clips and store them, so that workers and caches receive paths, not arrays."""
    smiles = make_smiles(**settings, random_state=seed)
    paths = [scratch / f"clip-{index:04d}.npy" for index in range(len(smiles.clips))]
    for path, clip in zip(paths, smiles.clips, strict=True):
        np.save(path, clip)
    effect = "" if settings["effect"] == 1 else f" (effect {settings['effect']:g})"
    return Bunch(
        clips=check_clips(paths, fps=smiles.fps, subjects=smiles.groups),
        files=[path.name for path in paths],
        target=smiles.target,
        groups=smiles.groups,
        fps=smiles.fps,
        name=f"simulated data{effect}",
    )


def _in_order(table: pd.DataFrame, systems: list[str]) -> pd.DataFrame:
    """Return the rows of a table in the order of the systems."""
    rows = table["estimator"].map(systems.index)
    return table.loc[rows.sort_values(kind="stable").index].reset_index(drop=True)


def _compose(data: Bunch, summary: pd.DataFrame, args: argparse.Namespace) -> list[str]:
    """Return the heading, the table and its notes."""
    scope = (
        "These clips are simulated: the scores say nothing about real smiles."
        if args.data == SIMULATED
        else f"Clips of the folder {data.name}. The intervals account for the choice of test "
        "subjects, but not for the choice of training subjects."
    )
    choice = (
        "Chosen inside: the strategy with the lowest log loss on the folds that its networks left "
        "out. These losses come from the rows of the strategies, so its time is only the time to "
        "train the chosen strategy again. "
    )
    return [
        f"## Benchmark on {data.name}",
        scope,
        format_table(summary),
        f"Nested, subject-disjoint cross-validation: {args.folds} outer folds for the "
        f"scores, and {args.inner_folds} inner folds of each training part to choose C of "
        f"the logistic regressions. {'' if args.fusion else choice}"
        "Late fusion: mean of one network per stream. "
        "Recommended: mean of the hadamard network and a logistic regression on both "
        "streams. No model is trained on changed copies of the clips. "
        "Intervals: bootstrap over subjects. AUC: pairs within a fold. Fit "
        "seconds: median of the outer folds. The systems share the features, which are "
        "computed only once, so the time of the first system includes computing them.",
    ]
