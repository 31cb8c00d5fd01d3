"""Commands ``train`` and ``predict``: labelled clips → model file → classes of new clips."""

import argparse
import tempfile
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from sklearn.utils import Bunch

from smilefusion._messages import abridge, count, one_line, printable
from smilefusion._version import __version__
from smilefusion.benchmark.stats._subgroups import MOST_SUBGROUPS, to_texts
from smilefusion.benchmark.tables._styles import TextTable, to_markdown
from smilefusion.cli._common import (
    check_fusion,
    check_output,
    check_rates,
    is_video,
    listing_failures,
    open_clips,
    print_message,
    shared_rate,
    skipping_failures,
    write_table,
)
from smilefusion.cli._inputs import CLIP_SUFFIXES, is_pattern, is_table, list_inputs
from smilefusion.cli._phase_pictures import (
    draw_pictures,
    find_dmarkers,
    prepare_pictures,
    tabulate_limits,
)
from smilefusion.cli._terminal import print_frame
from smilefusion.cli._videos import (
    INPUT_SUFFIXES,
    check_folders,
    extracted_clips,
    labelled_clips,
)
from smilefusion.clips._rates import check_fps, differ
from smilefusion.clips._sequence import ClipSequence
from smilefusion.datasets._folder import LABELS_FILE
from smilefusion.dmarkers._transformer import DMarkerTransformer
from smilefusion.exceptions import FrameRateWarning, InvalidDataError

_PRETRAINED_NOTE = (
    f"Using the pretrained model of smilefusion {__version__}, which was trained on simulated "
    "smiles only. It may be less accurate on your recordings than on those in the guide. See the "
    "page 'Use the pretrained model' in the guide."
)
_MODEL_BYTES = 1 << 24  # free space for a model file; the default model takes 6 MB


def train(args: argparse.Namespace) -> int:
    """Train the whole system on labelled clips and write it to a file."""
    if args.from_pretrained:
        _check_no_training_options(args)
    check_fusion(args.fusion)
    check_output(args.output, [Path(args.folder, LABELS_FILE)], n_bytes=_MODEL_BYTES)
    with labelled_clips(args, [args.output], _check_clip) as (data, failures):
        if data is None:
            return 2
        fit = _adapt if args.from_pretrained else _train
        fit(data, args, n_failed=len(failures))
    return 1 if failures else 0


def _check_no_training_options(args: argparse.Namespace) -> None:
    """Raise if a training option is combined with --from-pretrained."""
    given = {
        "--fusion": args.fusion != "hadamard",
        "--max-epochs": args.max_epochs is not None,
        "--no-early-stopping": args.early_stopping is False,
        "--seed": args.seed != 0,
    }
    for option in (option for option, holds in given.items() if holds):
        raise InvalidDataError(
            f"{option} cannot be combined with --from-pretrained, which adapts the pretrained "
            "model. Omit one of them."
        )


def _adapt(data: Bunch, args: argparse.Namespace, n_failed: int) -> None:
    """Adapt the pretrained model to checked clips and write it."""
    from smilefusion.persistence._pretrained import (  # imports torch
        N_FULL_FIT,
        adapt,
        load_pretrained,
    )

    clips = data.clips.replace(fps=args.fps)
    model = adapt(load_pretrained(), clips, data.target, data.groups)
    metadata = _measure_size(data, None)
    card = _fill_card(data, args, metadata, n_failed)
    intercept, slope = model.calibration_
    card["protocol"] = (
        "`smilefusion train --from-pretrained`: the pretrained model, trained on simulated smiles "
        f"and recalibrated on these clips, with intercept {intercept:.2f} and slope {slope:.2f}."
    )
    if len(clips) >= N_FULL_FIT:
        card["protocol"] = (
            "`smilefusion train --from-pretrained`: the average of the pretrained model, "
            "recalibrated on these clips, and a new model that was trained only on them."
        )
    _save(model, args.output, metadata=metadata, card=card, splits={"train": data.files})
    print_message(f"{args.output}: adapted to {_size(metadata)}. {card['protocol']}")


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
    metadata = _measure_size(data, fps)
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
    path, files = _split_model(args.files)
    check_fps(args.fps, 1)
    given = list_inputs(files, *INPUT_SUFFIXES)
    inputs = [*given, *filter(None, [path, args.face_model])]
    if args.output is not None:
        check_output(args.output, inputs)
        inputs.append(args.output)
    check_folders(args, given)
    pictures = None if args.plots is None else prepare_pictures(args.plots, given, inputs)
    from smilefusion.persistence._model_files import load_model
    from smilefusion.persistence._pretrained import load_pretrained

    if path is None:
        model, metadata = load_pretrained(), {}
        print_message(_PRETRAINED_NOTE)
    else:
        model, metadata = load_model(path, return_metadata=True)
    trained = _trained_rate(model, metadata)
    dmarkers = find_dmarkers(model)

    def compute(clips: ClipSequence) -> tuple[pd.DataFrame, dict[str, np.ndarray]]:
        answers = _answer(model, _with_rates(model, clips, trained))
        return answers, tabulate_limits(_with_one_unit(clips), dmarkers)

    fps = args.fps or trained  # of videos
    with (
        listing_failures(args) as failures,
        extracted_clips(given, failures, args, folder=args.clips, fps=fps) as pairs,
    ):
        files, clips = open_clips(pairs, failures, fps=args.fps, debug=args.debug)
        files, clips, result = skipping_failures(files, clips, compute, failures, debug=args.debug)
        if clips is None:
            return 2
        answers, limits = result
        answers.insert(0, "file", [str(file) for file in files])
        if args.output is not None:
            write_table(args.output, answers.assign(**limits))
        else:
            _print_answers(answers, limits, model)
        if pictures is not None:
            named = zip(given, pictures, strict=True)
            paths = [path for file, path in named if file in files]
            titles = [_title(row, model) for _, row in answers.iterrows()]
            draw_pictures(_with_one_unit(clips), paths, titles, dmarkers)
    return 1 if failures else 0


def _split_model(files: list[Path]) -> tuple[Path | None, list[Path]]:
    """Return the path of the model, or None if the first file is an input, and the inputs."""
    first = files[0]
    is_input = is_video(first) or is_table(first) or first.suffix.lower() in CLIP_SUFFIXES
    if is_input or first.is_dir() or (is_pattern(first) and not first.exists()):
        return None, files
    if len(files) == 1:
        raise InvalidDataError(
            f"{str(first)!r} is not a clip, video or table. Pass the files to classify, after the "
            "model if you have one: smilefusion predict [MODEL] FILE. The default is the "
            "pretrained model in the package."
        )
    return first, files[1:]


def _answer(model: Any, clips: ClipSequence) -> pd.DataFrame:
    """Return classes and probabilities, and intervals and reasons if the model gives them."""
    if not hasattr(model, "answer"):
        probability = model.predict_proba(clips)
        table = pd.DataFrame({"class": model.classes_[probability.argmax(axis=1)]})
    else:
        table = model.answer(clips)
        second = table.pop("probability")
        probability = np.column_stack([1 - second, second])
    for position, label in enumerate(model.classes_):
        table.insert(1 + position, f"probability_{label}", probability[:, position])
    return table


def _print_answers(answers: pd.DataFrame, limits: dict[str, np.ndarray], model: Any) -> None:
    """Print a sentence for each clip, or a table if the model gives no reasons."""
    if "reason" in answers:
        print(*(one_line(_sentence(row, model)) for _, row in answers.iterrows()), sep="\n")
        return
    shown = answers.assign(**limits)
    shown = shown.map(lambda cell: one_line(cell) if isinstance(cell, str) else cell)
    print_frame(shown, n_digits=3, advice="Write all columns with -o.")


def _sentence(row: pd.Series, model: Any) -> str:
    """Return the line to print: probability, interval and class, or the reason to abstain."""
    name, label = row["file"], model.classes_[1]
    if row["reason"]:
        return f"{name}: {row['class']}: {row['reason']}"
    interval = f"{row['low']:.2f} to {row['high']:.2f}"
    return f"{name}: P({label}) = {row[f'probability_{label}']:.2f} ({interval}), {row['class']}"


def _title(row: pd.Series, model: Any) -> str:
    """Return the title of a picture: name, class and, if known, its probability."""
    label, name = row["class"], printable(Path(row["file"]).stem)
    p = row.get(f"probability_{label}")
    return f"{name}, {label}" if p is None else f"{name}, P({label}) = {p:.2f}"


def _measure_size(data: Bunch, fps: float | None) -> dict[str, Any]:
    """Return the metadata of a model that is trained on a data set."""
    n_subjects = len(np.unique(data.groups))
    return {"data": data.name, "n_clips": len(data.clips), "n_subjects": n_subjects, "fps": fps}


def _size(metadata: dict[str, Any]) -> str:
    """Describe the size of the training data, such as "60 clips of 12 subjects"."""
    return f"{count(metadata['n_clips'], 'clip')} of {count(metadata['n_subjects'], 'subject')}"


def _fill_card(
    data: Bunch, args: argparse.Namespace, metadata: dict[str, Any], n_failed: int
) -> dict[str, str]:
    """Return the fields of the model card that the command can fill in."""
    people = [_describe_people(name, column, data) for name, column in data.metadata.items()]
    labels, counts = np.unique(data.target, return_counts=True)
    shares = ", ".join(f"{n} {label}" for label, n in zip(labels, counts, strict=True))
    rate = f"{metadata['fps']:g} frames per second" if metadata["fps"] else "an unknown frame rate"
    stop = "each network left out a fold of whole subjects, used for early stopping"
    if args.early_stopping is False:
        stop = "early stopping was off"
    left_out = f" {count(n_failed, 'clip')} could not be read." if n_failed else ""
    return {
        "summary": "Tells spontaneous from posed smiles in clips of facial landmarks.",
        "data": "\n\n".join(
            [
                f"{_size(metadata)} from the folder {data.name}, at {rate}: {shares}.{left_out}",
                *filter(None, people),
            ]
        ),
        "protocol": (
            f"`smilefusion train` with --fusion {args.fusion} and --seed {args.seed} on all "
            f"of them; {stop}. No clips were kept for testing."
        ),
        "metrics": (
            "Not measured by `smilefusion train`; `smilefusion benchmark --data FOLDER` estimates "
            "how well this kind of model does on new subjects."
        ),
    }


def _describe_people(name: str, values: pd.Series, data: Bunch) -> str:
    """Describe a metadata column: clips, people and shares of the classes in each group."""
    shown = one_line(name)
    groups = to_texts(values).fillna("not stated")
    if set(groups) == {"not stated"}:
        return ""
    if groups.nunique() > MOST_SUBGROUPS:  # may be notes that are not meant for others
        if not pd.api.types.is_numeric_dtype(values):
            return f"{shown}: {groups.nunique()} different values."
        return f"{shown}: {values.min():g} to {values.max():g}, median {values.median():g}."
    labels = np.unique(data.target)
    rows = []
    for group in sorted(groups.unique()):
        own = (groups == group).to_numpy()
        n_people = len(np.unique(data.groups[own]))
        shares = [f"{(data.target[own] == label).mean():.0%}" for label in labels]
        rows.append([one_line(group), str(own.sum()), str(n_people), *shares])
    headers = [shown, "clips", "people", *map(str, labels)]
    is_text = [True] + [False] * (len(headers) - 1)
    return to_markdown(TextTable(headers, rows, is_text, frozenset(), [])).rstrip()


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
