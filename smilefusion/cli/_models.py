"""Commands ``train`` and ``predict``: labelled clips → model file → classes of new clips."""

import argparse
import tempfile
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from sklearn.utils import Bunch

from smilefusion._messages import abridge, count, one_line, printable, unknown_key
from smilefusion.benchmark.tables._published_results import published_results
from smilefusion.cli._common import (
    check_folder,
    check_not_input,
    check_output,
    check_rates,
    is_source,
    is_video,
    listing_failures,
    open_clips,
    print_message,
    shared_rate,
    skipping_failures,
    write_table,
)
from smilefusion.cli._inputs import CLIP_SUFFIXES, is_table, list_inputs
from smilefusion.cli._phase_pictures import (
    draw_pictures,
    find_dmarkers,
    prepare_pictures,
    tabulate_limits,
)
from smilefusion.cli._videos import INPUT_SUFFIXES, check_folders, extracted_clips
from smilefusion.clips._rates import check_fps, differ
from smilefusion.clips._sequence import ClipSequence
from smilefusion.datasets._folder import LABELS_FILE, find_sources, load_usable_clips
from smilefusion.dmarkers._transformer import DMarkerTransformer
from smilefusion.exceptions import FrameRateWarning, InvalidDataError

_MODEL_BYTES = 1 << 24  # free space for a model file; the default model takes 6 MB


def train(args: argparse.Namespace) -> int:
    """Train the whole system on labelled clips and write it to a file."""
    _check_fusion(args.fusion)
    check_output(args.output, [Path(args.folder, LABELS_FILE)], n_bytes=_MODEL_BYTES)
    check_fps(args.fps, 1)
    if args.clips is not None:
        check_folder(args.clips, "--clips")
    sources = find_sources(args.folder, is_source, skip_absent=True)
    check_not_input(args.output, [*sources, *filter(None, [args.face_model])])
    with (
        listing_failures(args) as failures,
        extracted_clips(sources, failures, args, folder=args.clips, fps=args.fps) as pairs,
    ):
        extracted = dict.fromkeys(sources) | dict(pairs)
        unusable = None if args.debug else failures
        data = load_usable_clips(args.folder, extracted, _check_clip, unusable)
        if data is None:
            return 2
        check_not_input(args.output, [Path(args.folder, file) for file in data.files])
        _train(data, args, n_failed=len(failures))
    return 1 if failures else 0


def _check_fusion(name: str) -> None:
    """Raise if a strategy is unknown; unlike `get_fusion`, without importing torch."""
    known = list(published_results("fusions").index)
    if name not in known:
        raise InvalidDataError(unknown_key(name, known, "--fusion"))


def _train(data: Bunch, args: argparse.Namespace, n_failed: int) -> None:
    """Train on checked clips and write the model."""
    from smilefusion.estimators._pipeline import make_smile_classifier  # imports torch

    clips = data.clips.replace(fps=args.fps)
    fps = shared_rate(clips, data.files)
    model = make_smile_classifier(args.fusion, random_state=args.seed)
    set_everywhere(model, "max_epochs", args.max_epochs)
    if args.early_stopping is False:
        model.set_params(vote__network__n_members=1, vote__network__patience=None)
    model.fit(clips, data.target)
    metadata = {
        "data": data.name,
        "n_clips": len(clips),
        "n_subjects": len(np.unique(data.groups)),
        "fps": fps,
    }
    card = _fill_card(data, args, metadata, n_failed)
    facts = {"metadata": metadata, "card": card, "splits": {"train": data.files}}
    _save(model, args.output, **facts)
    classes = ", ".join(map(str, np.unique(data.target)))
    print_message(
        f"{args.output}: trained on {_size(metadata)}, classes {classes}. To estimate how well it "
        f"does on new subjects, run smilefusion benchmark --data {args.folder}."
    )


def _check_clip(clips: ClipSequence) -> None:
    """Raise if the features of clips cannot be computed."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        DMarkerTransformer().fit_transform(clips)


def _save(model: Any, path: Path, **facts: Any) -> None:
    """Save a model; if that fails, save it to a temporary folder and report where."""
    from smilefusion.persistence._model_files import save_model

    try:
        save_model(model, path, **facts)
    except OSError as error:
        kept = Path(tempfile.mkdtemp(prefix="kept-model-"), Path(path).name)
        try:
            save_model(model, kept, **facts)
        except OSError:
            kept.parent.rmdir()
            raise error from None
        raise InvalidDataError(
            f"{str(path)!r} cannot be written ({error.strerror}). The trained model was saved as "
            f"{str(kept)!r} instead. Move it to where you want it."
        ) from error


def predict(args: argparse.Namespace) -> int:
    """Write the predicted class, probabilities and phases of clips."""
    _check_is_model(args.model, args.files)
    check_fps(args.fps, 1)
    given = list_inputs(args.files, *INPUT_SUFFIXES)
    inputs = [args.model, *given, *filter(None, [args.face_model])]
    if args.output is not None:
        check_output(args.output, inputs)
        inputs.append(args.output)
    check_folders(args, given)
    pictures = None if args.plots is None else prepare_pictures(args.plots, given, inputs)
    from smilefusion.persistence._model_files import load_model

    model, metadata = load_model(args.model, return_metadata=True)
    trained = _trained_rate(model, metadata)
    dmarkers = find_dmarkers(model)

    def compute(clips: ClipSequence) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        probability = model.predict_proba(_with_rates(model, clips, trained))
        return probability, tabulate_limits(_with_one_unit(clips), dmarkers)

    fps = args.fps or trained  # of videos
    with (
        listing_failures(args) as failures,
        extracted_clips(given, failures, args, folder=args.clips, fps=fps) as pairs,
    ):
        files, clips = open_clips(pairs, failures, fps=args.fps, debug=args.debug)
        files, clips, result = skipping_failures(files, clips, compute, failures, debug=args.debug)
        if clips is None:
            return 2
        probability, limits = result
        table = _tabulate_predictions(model, files, probability, limits)
        if args.output is None:
            shown = table.map(lambda cell: one_line(cell) if isinstance(cell, str) else cell)
            print(shown.to_string(index=False, float_format="{:.3f}".format))
        else:
            write_table(args.output, table)
        if pictures is not None:
            named = zip(given, pictures, strict=True)
            paths = [path for file, path in named if file in files]
            titles = _titles(table, probability)
            draw_pictures(_with_one_unit(clips), paths, titles, dmarkers)
    return 1 if failures else 0


def _check_is_model(model: Path, files: list[Path]) -> None:
    """Raise if the model is a clip, a video or a table, or if no files follow."""
    kinds = {
        "video": is_video(model),
        "table": is_table(model),
        "clip": model.suffix.lower() in CLIP_SUFFIXES,
    }
    kind = next((kind for kind, holds in kinds.items() if holds), None)
    if kind is not None or not files:
        given = f"{str(model)!r} is a {kind}" if kind else "No clips, videos or tables were given"
        raise InvalidDataError(
            f"{given}. The command predict takes a model file first, then clips, videos or "
            "tables: smilefusion predict MODEL FILE. To make a model, run smilefusion train "
            "FOLDER -o MODEL."
        )


def _titles(table: pd.DataFrame, probability: np.ndarray) -> list[str]:
    """Return the title of each picture: name, class and probability."""
    rows = zip(table["file"], table["class"], probability.max(axis=1), strict=True)
    return [f"{printable(Path(file).stem)}, P({label}) = {p:.2f}" for file, label, p in rows]


def _tabulate_predictions(
    model: Any, files: list[Path], probability: np.ndarray, limits: dict[str, np.ndarray]
) -> pd.DataFrame:
    """Return the table of predictions: a row per file."""
    columns = {
        "file": [str(path) for path in files],
        "class": model.classes_[probability.argmax(axis=1)],
    }
    columns |= {f"probability_{k}": probability[:, i] for i, k in enumerate(model.classes_)}
    return pd.DataFrame(columns | limits)


def _size(metadata: dict[str, Any]) -> str:
    """Describe the size of the training data, such as "60 clips of 12 subjects"."""
    return f"{count(metadata['n_clips'], 'clip')} of {count(metadata['n_subjects'], 'subject')}"


def _fill_card(
    data: Bunch, args: argparse.Namespace, metadata: dict[str, Any], n_failed: int
) -> dict[str, str]:
    """Return the fields of the model card that the command can fill in."""
    labels, counts = np.unique(data.target, return_counts=True)
    shares = ", ".join(f"{n} {label}" for label, n in zip(labels, counts, strict=True))
    rate = f"{metadata['fps']:g} frames per second" if metadata["fps"] else "an unknown frame rate"
    stop = "each network left out a fold of whole subjects, used for early stopping"
    if args.early_stopping is False:
        stop = "early stopping was off"
    left_out = f" {count(n_failed, 'clip')} could not be read." if n_failed else ""
    return {
        "summary": "Tells spontaneous from posed smiles in clips of facial landmarks.",
        "data": (f"{_size(metadata)} from the folder {data.name}, at {rate}: {shares}.{left_out}"),
        "protocol": (
            f"`smilefusion train` with --fusion {args.fusion} and --seed {args.seed} on all "
            f"of them; {stop}. No clips were kept for testing."
        ),
        "metrics": (
            "Not measured by `smilefusion train`; `smilefusion benchmark --data FOLDER` estimates "
            "how well this kind of model does on new subjects."
        ),
    }


def set_everywhere(model: Any, name: str, value: Any) -> None:
    """Set a parameter of a model and of all its parts; None leaves them as they are."""
    if value is not None:
        keys = [key for key in model.get_params() if key.split("__")[-1] == name]
        model.set_params(**dict.fromkeys(keys, value))


def _trained_rate(model: Any, metadata: dict) -> float | None:
    """Return the frame rate that a model assumes for every clip, or was trained at."""
    return next(iter(_find_values(model, "fps")), metadata.get("fps"))


def _find_values(model: Any, name: str) -> list:
    """Return the values of a parameter or fitted attribute in a model and all its parts."""
    parts = [model, *model.get_params().values()]
    values = [vars(part).get(name) for part in parts if hasattr(part, "get_params")]
    return [value for value in values if value is not None]


def _with_one_unit(clips: ClipSequence) -> ClipSequence:
    """Return clips without frame rates unless all rates are known."""
    unknown = np.full(len(clips), np.nan)
    return clips.replace(fps=unknown) if clips.time_unit == "frames" else clips


def _with_rates(model: Any, clips: ClipSequence, trained: float | None) -> ClipSequence:
    """Return clips with the rates that a model needs; warn if the model was trained at another."""
    overrides = bool(_find_values(model, "fps"))
    if not overrides and "frames" in _find_values(model, "time_unit_"):
        return clips.replace(fps=np.full(len(clips), np.nan))
    if not overrides:
        check_rates(clips)
    if trained is None:
        return clips
    other = [
        name for name, new in zip(clips.names, differ(clips.fps, trained), strict=True) if new
    ]
    if other:
        result = (
            f"so its times are wrong, since its parameter fps={trained:g} overrides that of the "
            "clips. Train it with fps=None."
            if overrides
            else "times are converted, but fast movements look smoother at a lower rate. Prefer a "
            "model trained at this rate."
        )
        warnings.warn(
            f"{abridge(other)}: the frame rate is not the {trained:g} per second that the model "
            f"was trained on; {result}",
            FrameRateWarning,
            stacklevel=2,
        )
    return clips
