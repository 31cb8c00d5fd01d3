"""Commands ``train`` and ``predict``: labelled clips → model file → classes of new clips."""

import sys
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import sklearn

from smilefusion._atomic_files import replacing
from smilefusion._commands._files import (
    check_files,
    check_output,
    data_rate,
    differ,
    file_rates,
)
from smilefusion._commands._landmarks import clips_of, is_video
from smilefusion._commands._phases import (
    draw_pictures,
    find_dmarkers,
    known_rates,
    prepare_pictures,
    tabulate_limits,
)
from smilefusion._messages import abridge
from smilefusion.benchmark._epochs import groups_for
from smilefusion.datasets._folder import load_clips
from smilefusion.estimators._pipeline import make_fusion_pipeline
from smilefusion.exceptions import FrameRateWarning
from smilefusion.persistence import load_model, save_model


def train(args):
    """Train the whole system on labelled clips and write it to a file.

    Parameters
    ----------
    args : argparse.Namespace
        ``folder``, ``output``, ``fusion``, ``fps``, ``seed`` and ``max_epochs``.
    """
    check_output(args.output)
    data = load_clips(args.folder)
    check_files(data.clips)
    fps = data_rate(data, args.fps)
    model = make_fusion_pipeline(args.fusion, fps=fps, random_state=args.seed)
    set_everywhere(model, "max_epochs", args.max_epochs)
    with sklearn.config_context(enable_metadata_routing=True):
        given = groups_for(model, data.groups)
        model.fit(data.clips, data.target, **given)
    metadata = {
        "data": data.name,
        "n_clips": len(data.clips),
        "n_subjects": len(np.unique(data.groups)),
        "fps": fps,
    }
    card, splits = _describe(data, args, metadata, bool(given)), {"train": data.files}
    save_model(model, args.output, metadata=metadata, card=card, splits=splits)
    classes = ", ".join(map(str, np.unique(data.target)))
    print(
        f"{args.output}: trained on {metadata['n_clips']} clips of {metadata['n_subjects']} "
        f"subjects, classes {classes}. How well it does on new subjects, smilefusion benchmark "
        f"--data {args.folder} estimates.",
        file=sys.stderr,
    )


def predict(args):
    """Write class, probabilities and phases of clips, as a model file predicts them.

    Parameters
    ----------
    args : argparse.Namespace
        ``model``, ``files``, ``output`` (None: stdout), ``fps``, ``face_model`` and ``plots``
        (None: none).
    """
    if args.output is not None:
        check_output(args.output)
    pyplot = None if args.plots is None else prepare_pictures(args.plots)
    check_files([path for path in args.files if not is_video(path)])
    model = load_model(args.model)
    rate = args.fps or _trained_rate(model)
    with clips_of(args.files, rate, face_model=args.face_model) as clips:
        _set_frame_rates(model, clips, args.fps)
        probability = model.predict_proba(clips)
        phases = {"rates": known_rates(clips, args.fps), "dmarkers": find_dmarkers(model)}
        table = _tabulate(model, args.files, probability, tabulate_limits(clips, **phases))
        if pyplot is not None:
            names = [Path(path).stem for path in args.files]
            titles = [
                f"{name}, P({label}) = {share:.2f}"
                for name, label, share in zip(
                    names, table["class"], probability.max(axis=1), strict=True
                )
            ]
            draw_pictures(pyplot, args.plots, clips, names, titles, **phases)
    if args.output is None:
        print(table.to_string(index=False, float_format="{:.3f}".format))
        return
    with replacing(args.output) as part:
        table.to_csv(part, index=False)


def _tabulate(model, files, probability, limits):
    """Return the table of predictions: a row per file."""
    columns = {
        "file": [str(path) for path in files],
        "class": model.classes_[probability.argmax(axis=1)],
    }
    columns |= {f"probability_{k}": probability[:, i] for i, k in enumerate(model.classes_)}
    return pd.DataFrame(columns | limits)


def _describe(data, args, metadata, takes_groups):
    """Return the fields of the model card that the command knows."""
    labels, counts = np.unique(data.target, return_counts=True)
    shares = ", ".join(f"{n} {label}" for label, n in zip(labels, counts, strict=True))
    rate = f"{metadata['fps']:g} frames per second" if metadata["fps"] else "an unknown frame rate"
    kept = "whole subjects" if takes_groups else "clips"
    return {
        "summary": "Tells spontaneous from posed smiles in clips of facial landmarks.",
        "data": (
            f"{metadata['n_clips']} clips of {metadata['n_subjects']} subjects from the folder "
            f"{data.name}, at {rate}: {shares}."
        ),
        "protocol": (
            f"`smilefusion train` with --fusion {args.fusion} and --seed {args.seed} on all "
            f"clips; {kept} were set aside to stop the training of the networks early. No clip "
            f"was kept for a test."
        ),
        "metrics": (
            "Not measured by `smilefusion train`; `smilefusion benchmark --data FOLDER` estimates "
            "how well this kind of model does on new subjects."
        ),
    }


def set_everywhere(model, name, value):
    """Set a parameter of a model and of all its parts; None leaves them as they are."""
    if value is not None:
        keys = [key for key in model.get_params() if key.split("__")[-1] == name]
        model.set_params(**dict.fromkeys(keys, value))


def _trained_rate(model):
    """Return the frame rate that a model was trained at; None where it counts in frames."""
    params = model.get_params()
    return next((params[key] for key in params if key.split("__")[-1] == "fps"), None)


def _set_frame_rates(model, paths, fps):
    """Give a model the files' own frame rates, with a warning where it has not seen such."""
    trained = _trained_rate(model)
    if trained is None:
        return
    rates = file_rates(paths, fps)
    other = [str(path) for path, new in zip(paths, differ(rates, trained), strict=True) if new]
    if other:
        warnings.warn(
            f"{abridge(other)}: the frame rate is not the {trained:g} per second that the model "
            "was trained on; times are converted, but fast movements look smoother at a lower "
            "rate. Prefer a model trained at this rate.",
            FrameRateWarning,
            stacklevel=2,
        )
    set_everywhere(model, "fps", rates)
