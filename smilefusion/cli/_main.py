"""Command line of smilefusion: arguments, one-line messages, exit codes."""

import argparse
import os
import signal
import sys
import threading
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from importlib import import_module
from pathlib import Path
from typing import Any

from smilefusion._messages import LAW
from smilefusion._version import __version__
from smilefusion.cli._wording import describe_error, reword
from smilefusion.exceptions import SmileFusionWarning

# Command → module and function, imported when the command runs: --help must not load torch.
_COMMANDS = {
    "audit": ("smilefusion.cli._audit", "run"),
    "benchmark": ("smilefusion.cli._benchmark", "run"),
    "landmarks": ("smilefusion.cli._landmarks", "run"),
    "dmarkers": ("smilefusion.cli._dmarkers", "run"),
    "train": ("smilefusion.cli._models", "train"),
    "predict": ("smilefusion.cli._models", "predict"),
    "describe": ("smilefusion.cli._describe", "run"),
    "view": ("smilefusion.cli._view", "run"),
    "report": ("smilefusion.cli._write_report", "run"),
}
_OR_SEVERAL = "folder of such files, or pattern such as '*.mp4'"
_FILES = (
    ".npy or .npz clip, video, table of another tool (OpenFace, py-feat, LibreFace, MediaPipe), "
    f"{_OR_SEVERAL}"
)
_LABELLED_FOLDER = (
    "folder with labels.csv (columns file, label, subject) and the .npy/.npz clips, videos or "
    "tables that it lists"
)
_USER_ERRORS = (ValueError, OSError, ImportError)  # smilefusion's own errors are ValueErrors


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line.

    Parameters
    ----------
    argv : list of str or None, default=None
        Arguments after the program's name; None uses ``sys.argv``.

    Returns
    -------
    status : int
        0 on success, 1 if some files failed, 2 if all files failed or an argument or input is
        invalid, 130 if interrupted, 141 if the output pipe was closed, 143 if terminated.
    """
    try:
        args = _make_parser().parse_args(argv)
    except SystemExit as stop:
        return int(stop.code or 0)
    shown = set()

    def show_warning(message: Warning | str, *_: Any, **__: Any) -> None:
        text = reword(message, args)
        if text not in shown:  # several steps of one command may check the same clips
            shown.add(text)
            print(f"warning: {text}", file=sys.stderr)

    with warnings.catch_warnings(), _unwinding_on_sigterm():
        warnings.showwarning = show_warning
        warnings.simplefilter("always", SmileFusionWarning)
        try:
            module, function = _COMMANDS[args.command]
            status = getattr(import_module(module), function)(args) or 0
            print(end="", flush=True)
            return status
        except BrokenPipeError:  # the reader, such as head, has closed the pipe; no message
            with suppress(OSError, ValueError):  # otherwise Python reports an error at exit
                os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return 141
        except _USER_ERRORS as error:
            if args.debug:
                raise
            print(f"smilefusion {args.command}: {describe_error(error, args)}", file=sys.stderr)
            return 2
        except KeyboardInterrupt:
            print(f"smilefusion {args.command}: interrupted.", file=sys.stderr)
            return 130
        except _TerminatedError:
            print(f"smilefusion {args.command}: terminated.", file=sys.stderr)
            return 143


class _TerminatedError(BaseException):
    """The process received SIGTERM."""


@contextmanager
def _unwinding_on_sigterm() -> Iterator[None]:
    """Turn SIGTERM into an exception, so that locks and temporary files are removed."""
    if threading.current_thread() is not threading.main_thread():
        yield  # only the main thread may set handlers
        return
    before = signal.signal(signal.SIGTERM, _raise_terminated)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _raise_terminated(number: int, frame: Any) -> None:
    """Handle SIGTERM."""
    raise _TerminatedError


def _make_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="smilefusion", description="Tell spontaneous from posed smiles in face video."
    )
    parser.add_argument("--version", action="version", version=f"smilefusion {__version__}")
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    _add_audit(commands)
    _add_benchmark(commands)
    _add_landmarks(commands)
    _add_dmarkers(commands)
    _add_train(commands)
    _add_predict(commands)
    _add_describe(commands)
    _add_view(commands)
    _add_report(commands)
    return parser


def _add_audit(commands: argparse._SubParsersAction) -> None:
    parser = _add(commands, "audit", "find confounds, copies and other problems of labelled clips")
    parser.add_argument("folder", metavar="FOLDER", help=_LABELLED_FOLDER)
    parser.add_argument(
        "--output",
        "-o",
        type=Path,
        metavar="CSV",
        help="CSV file to write (default: print the table)",
    )
    parser.add_argument("--picture", type=Path, metavar="PNG", help="PNG file to write")
    parser.add_argument(
        "--ignore",
        type=_names,
        default=[],
        metavar="CODES",
        help="codes to ignore, separated by commas, such as SF001,SF030",
    )
    _add_fps(parser)
    _add_extraction(parser)


def _add_benchmark(commands: argparse._SubParsersAction) -> None:
    parser = _add(
        commands,
        "benchmark",
        "compare fusion strategies and other models under nested, subject-disjoint "
        "cross-validation",
    )
    parser.add_argument(
        "--data",
        default="simulated",
        metavar="FOLDER",
        help=f"{_LABELLED_FOLDER}, or 'simulated' (default)",
    )
    parser.add_argument(
        "--n-clips", type=_positive_int, help="number of simulated clips (default: 240)"
    )
    parser.add_argument(
        "--n-subjects", type=_positive_int, help="number of simulated people (default: 60)"
    )
    parser.add_argument(
        "--effect",
        type=_non_negative,
        help="size of the simulated difference between the classes, 0 for none (default: 1)",
    )
    _add_fps(parser)
    parser.add_argument(
        "--fusion",
        nargs="+",
        metavar="NAME",
        help="fusion strategies to compare, such as concat hadamard for a first look; rerun the "
        "command with other strategies to add them to the same folder (default: all 15, and "
        "'chosen inside', the best of them in the training part)",
    )
    parser.add_argument(
        "--folds", type=_folds, default=5, help="number of outer folds (default: 5)"
    )
    parser.add_argument(
        "--inner-folds",
        type=_folds,
        default=3,
        help="number of inner folds of each training part, which choose the strength of the "
        "logistic regressions (default: 3)",
    )
    parser.add_argument(
        "--protocol",
        choices=("honest", "duration-matched", "permuted-labels"),
        default="honest",
        help="honest (default), or the same with clips paired by duration or with shuffled labels",
    )
    parser.add_argument(
        "--shifts",
        action="store_true",
        help="also test under recording shifts, such as still frames, cuts or another frame rate",
    )
    parser.add_argument("--n-jobs", type=int, default=2, help="number of processes (default: 2)")
    _add_image_size(parser)
    _add_face_finder(parser)
    _add_training(parser)
    parser.add_argument(
        "--output",
        "-o",
        default="smilefusion-benchmark",
        metavar="DIR",
        help="folder for predictions.csv, table.md, figure.png, extracted clips and finished "
        "cells; rerun the command to resume (default: smilefusion-benchmark)",
    )
    parser.add_argument("--no-figure", action="store_true", help="do not draw the figure")


def _add_landmarks(commands: argparse._SubParsersAction) -> None:
    parser = _add(commands, "landmarks", "write the facial landmarks of videos to .npz clips")
    parser.add_argument(
        "videos", nargs="+", type=Path, metavar="VIDEO", help=f"video file, {_OR_SEVERAL}"
    )
    parser.add_argument(
        "--output",
        "-o",
        type=Path,
        required=True,
        metavar="DIR",
        help="folder for the clips; videos extracted by an earlier run are skipped",
    )
    parser.add_argument(
        "--fps",
        type=_positive,
        help="resample to this many frames per second (default: as recorded)",
    )
    parser.add_argument(
        "--blendshapes",
        action="store_true",
        help="also store MediaPipe's 52 blendshapes (movements of the face) in each clip",
    )
    _add_face_finder(parser)
    _add_video_jobs(parser)


def _add_dmarkers(commands: argparse._SubParsersAction) -> None:
    parser = _add(commands, "dmarkers", "write 225 D-Markers per clip, video or table")
    _add_files(parser)
    parser.add_argument(
        "--output", "-o", type=Path, required=True, metavar="CSV", help="CSV file to write"
    )
    _add_fps(parser)
    parser.add_argument(
        "--definition",
        choices=("standard", "hadasmilenet"),
        help="standard (default): the D-Markers of this package; hadasmilenet: as published",
    )
    parser.add_argument(
        "--signals",
        type=_names,
        metavar="NAMES",
        help="signals of tables, separated by commas, such as AU12_r,AU06_r: write 75 markers of "
        "each signal instead of D-Markers; the first signal defines the phases",
    )
    parser.add_argument(
        "--min-amplitude",
        type=_non_negative,
        metavar="A",
        help="with --signals: minimum change of the first signal that counts as a smile, in its "
        "own unit; 0.5 is useful for intensities from 0 to 5 (default: 0.02)",
    )
    _add_extraction(parser)


def _add_train(commands: argparse._SubParsersAction) -> None:
    parser = _add(commands, "train", "train on a folder of labelled clips, videos or tables")
    parser.add_argument(
        "folder",
        metavar="FOLDER",
        help=_LABELLED_FOLDER,
    )
    parser.add_argument(
        "--output", "-o", type=Path, required=True, metavar="MODEL", help="model file to write"
    )
    parser.add_argument(
        "--from-pretrained",
        action="store_true",
        help="adapt the pretrained model to clips with the labels posed and spontaneous; "
        "use 10 or more clips",
    )
    parser.add_argument("--fusion", default="hadamard", help="fusion strategy (default: hadamard)")
    parser.add_argument(
        "--no-early-stopping",
        dest="early_stopping",
        action="store_false",
        default=None,
        help="train a single network on all subjects for all epochs (default: train five "
        "networks, each without a fifth of the subjects, and stop early based on the loss on "
        "these subjects)",
    )
    _add_fps(parser)
    _add_extraction(parser)
    _add_training(parser)


def _add_predict(commands: argparse._SubParsersAction) -> None:
    parser = _add(commands, "predict", "classify clips, videos or tables")
    parser.usage, parser.epilog = "%(prog)s [OPTION ...] [MODEL] FILE [FILE ...]", LAW
    parser.add_argument(
        "files",
        nargs="+",
        type=Path,
        metavar="FILE",
        help=f"model file written by train (default: the pretrained model), then {_FILES}",
    )
    parser.add_argument(
        "--output",
        "-o",
        type=Path,
        metavar="CSV",
        help="CSV file to write (default: print the predictions)",
    )
    parser.add_argument(
        "--plots",
        type=Path,
        metavar="DIR",
        help="folder for one figure per clip, with signals, phases, blinks and probability",
    )
    _add_fps(parser, videos="the model's rate")
    _add_extraction(parser)


def _add_describe(commands: argparse._SubParsersAction) -> None:
    parser = _add(
        commands, "describe", "print recording quality, phases, amplitudes, blinks and flags"
    )
    _add_files(parser)
    parser.add_argument(
        "--output",
        "-o",
        type=Path,
        metavar="CSV",
        help="CSV file to write (default: print the facts)",
    )
    _add_fps(parser)
    _add_extraction(parser)


def _add_view(commands: argparse._SubParsersAction) -> None:
    parser = _add(
        commands, "view", "write an HTML page that plays a video with its landmarks and curves"
    )
    parser.add_argument("video", type=Path, metavar="VIDEO", help="video file")
    parser.add_argument(
        "--output", "-o", type=Path, required=True, metavar="HTML", help="HTML file to write"
    )
    parser.add_argument(
        "--link",
        action="store_true",
        help="link to the video by its relative path (default: embed the video in the page)",
    )
    parser.add_argument(
        "--fps",
        type=_positive,
        help="resample the landmarks to this many frames per second (default: as recorded)",
    )
    _add_clips(parser)
    _add_face_finder(parser)
    parser.set_defaults(n_jobs=1)


def _add_report(commands: argparse._SubParsersAction) -> None:
    parser = _add(commands, "report", "write an HTML report of a benchmark's results")
    parser.add_argument(
        "folder",
        type=Path,
        metavar="FOLDER",
        help="output folder of the command benchmark, or the results= folder of run_benchmark",
    )
    parser.add_argument(
        "--output",
        "-o",
        type=Path,
        metavar="HTML",
        help="HTML file to write (default: report.html in the folder)",
    )
    parser.add_argument(
        "--checklists",
        nargs="+",
        choices=("reforms", "tripod+ai"),
        default=(),
        help="reporting checklists to fill in, with a draft of the methods section",
    )
    parser.add_argument("--seed", type=_seed, default=0, help="random seed (default: 0)")


def _add(commands: argparse._SubParsersAction, name: str, purpose: str) -> argparse.ArgumentParser:
    """Add a command with a one-line help text."""
    return commands.add_parser(
        name, help=purpose, description=f"{purpose[0].upper()}{purpose[1:]}."
    )


def _add_files(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("files", nargs="+", type=Path, metavar="FILE", help=_FILES)


def _add_extraction(parser: argparse.ArgumentParser) -> None:
    """Add the options of commands that extract the landmarks of videos and tables first."""
    _add_clips(parser)
    _add_image_size(parser)
    _add_face_finder(parser)
    _add_video_jobs(parser)


def _add_clips(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--clips",
        type=Path,
        metavar="DIR",
        help="folder that stores the clips of videos and tables, so that a rerun does not extract "
        "videos again (default: not stored)",
    )


def _add_image_size(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--image-size",
        type=_positive,
        nargs=2,
        metavar=("WIDTH", "HEIGHT"),
        help="size of the image, needed for tables of MediaPipe and LibreFace, whose landmarks "
        "are fractions of the image size; any two numbers with the same ratio work",
    )


def _add_video_jobs(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--n-jobs",
        type=int,
        default=1,
        help="number of videos to process in parallel (default: 1)",
    )


def _add_face_finder(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--face",
        choices=("largest", "nearest"),
        default="largest",
        help="which face to follow: the largest (default), or the one nearest to the face in the "
        "previous frame",
    )
    parser.add_argument(
        "--no-tracking",
        dest="tracking",
        action="store_false",
        help="detect faces in every frame, as MediaPipe does for images (default: follow the "
        "face, which is faster)",
    )
    parser.add_argument(
        "--face-model",
        type=Path,
        metavar="FILE",
        help="MediaPipe's face_landmarker.task (default: the file named by "
        "SMILEFUSION_FACE_MODEL, or a file that is downloaded once)",
    )
    parser.add_argument(
        "--rotate",
        type=int,
        choices=(0, 90, 180, 270),
        default=0,
        help="rotate all videos clockwise by this many degrees (default: 0); an error message "
        "names the videos that need it",
    )
    parser.add_argument(
        "--min-confidence",
        type=_share,
        default=0.5,
        help="minimum confidence of a detected face, from 0 to 1 (default: 0.5)",
    )


def _add_fps(parser: argparse.ArgumentParser, videos: str = "as recorded") -> None:
    """Add the frame rate of clips and videos."""
    parser.add_argument(
        "--fps",
        type=_positive,
        help="frames per second; videos are resampled to this rate, and clips and tables are "
        f"assumed to have it (default: {videos} for videos, as stored for clips and tables)",
    )


def _add_training(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--seed", type=_seed, default=0, help="random seed (default: 0)")
    parser.add_argument(
        "--max-epochs",
        type=_positive_int,
        help="maximum number of training epochs of each network",
    )


def _names(text: str) -> list[str]:
    """Return the names in a text, separated by commas."""
    names = [name for name in map(str.strip, text.split(",")) if name]
    if not names:
        raise argparse.ArgumentTypeError("pass names of signals, separated by commas")
    return names


def _number_type(convert: Callable, rule: Callable, name: str) -> Callable[[str], Any]:
    """Return an argparse type that converts and checks a number; messages show its name."""

    def parse(text: str) -> Any:
        number = convert(text)
        if not rule(number):
            raise ValueError
        return number

    parse.__name__ = name
    return parse


_positive_int = _number_type(int, lambda n: n >= 1, "positive integer")
_folds = _number_type(int, lambda n: n >= 2, "number of folds, at least 2,")
_seed = _number_type(int, lambda n: 0 <= n < 2**31, "seed, an integer from 0 to 2^31 - 1,")
_positive = _number_type(float, lambda x: 0 < x < float("inf"), "positive number")
_share = _number_type(float, lambda x: 0 <= x <= 1, "number from 0 to 1")
_non_negative = _number_type(float, lambda x: 0 <= x < float("inf"), "non-negative number")
