"""Extract clips from videos and tables for commands that work on clips."""

import argparse
import os
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sklearn.utils import Bunch

from smilefusion._storage._scratch import scratch_folder
from smilefusion.cli._common import (
    FILE_ERRORS,
    Failures,
    check_folder,
    check_not_input,
    check_output,
    is_source,
    is_video,
    listing_failures,
    open_clips,
)
from smilefusion.cli._inputs import CLIP_SUFFIXES, TABLE_SUFFIXES, is_table, list_inputs
from smilefusion.cli._tables import convert_table
from smilefusion.clips._rates import check_fps
from smilefusion.clips._sequence import ClipSequence
from smilefusion.datasets._folder import find_sources, load_usable_clips
from smilefusion.exceptions import InvalidDataError
from smilefusion.video._batch import warn_of_videos
from smilefusion.video._extractor import SUFFIXES, FaceMeshExtractor

INPUT_SUFFIXES = ((*CLIP_SUFFIXES, *SUFFIXES), *TABLE_SUFFIXES)


def make_extractor(args: argparse.Namespace, **settings: Any) -> FaceMeshExtractor:
    """Return an extractor with the options of a command."""
    return FaceMeshExtractor(
        tracking=args.tracking,
        face=args.face,
        rotation=args.rotate,
        model_path=args.face_model,
        min_confidence=args.min_confidence,
        n_jobs=args.n_jobs,
        progress=sys.stderr.isatty(),
        **settings,
    )


@contextmanager
def extracted_clips(
    files: Sequence[Path],
    failures: Failures,
    args: argparse.Namespace,
    *,
    folder: Path | None,
    fps: float | None,
) -> Iterator[list[tuple[Path, Path]]]:
    """Extract a clip from each video and table, and yield (file, clip) pairs."""
    if not any(map(is_source, files)):
        yield [(path, path) for path in files]
        return
    with tempfile.TemporaryDirectory(dir=scratch_folder()) as scratch:
        target = Path(folder or scratch)
        videos = [path for path in files if is_video(path)]
        tables = [path for path in files if is_table(path)]
        extracted = _extract_videos(videos, args, target, fps) if videos else {}
        extracted |= {path: _try_table(path, args, target) for path in tables}
        pairs = []
        for path in files:
            clip = extracted.get(path, path)
            if isinstance(clip, Path):
                pairs.append((path, clip))
            else:
                failures.append((path, clip))
        yield pairs


def _extract_videos(
    videos: list[Path], args: argparse.Namespace, folder: Path, fps: float | None
) -> dict[Path, Any]:
    """Write the clips of videos to a folder; return the path or the error of each."""
    extractor = make_extractor(args, fps=fps)
    outcomes = extractor._run(videos, folder=folder)
    warn_of_videos(outcomes, stacklevel=3)
    return {
        path: each.error if each.file is None else each.file
        for path, each in zip(videos, outcomes, strict=True)
    }


def _try_table(path: Path, args: argparse.Namespace, folder: Path) -> Path | Exception:
    """Write the clip of a table to a folder; return its path or the error."""
    try:
        return convert_table(path, args, folder)
    except FILE_ERRORS as error:
        if args.debug:
            raise
        return error


@contextmanager
def opened_inputs(
    args: argparse.Namespace,
) -> Iterator[tuple[list[Path], ClipSequence | None, Failures]]:
    """Check the arguments of a command; yield its files, clips and failures."""
    check_fps(args.fps, 1)
    given = list_inputs(args.files, *INPUT_SUFFIXES)
    if args.output is not None:
        check_output(args.output, [*given, *filter(None, [args.face_model])])
    check_folders(args, given)
    with (
        listing_failures(args) as failures,
        extracted_clips(given, failures, args, folder=args.clips, fps=args.fps) as pairs,
    ):
        yield *open_clips(pairs, failures, fps=args.fps, debug=args.debug), failures


@contextmanager
def labelled_clips(
    args: argparse.Namespace, outputs: Sequence[Path], check: Callable[[ClipSequence], object]
) -> Iterator[tuple[Bunch | None, Failures]]:
    """Check the outputs of a command; yield its labelled clips (None if all fail) and failures."""
    check_fps(args.fps, 1)
    if args.clips is not None:
        check_folder(args.clips, "--clips")
    sources = find_sources(args.folder, is_source, skip_absent=True)
    for path in outputs:
        check_not_input(path, [*sources, *filter(None, [args.face_model])])
    with (
        listing_failures(args) as failures,
        extracted_clips(sources, failures, args, folder=args.clips, fps=args.fps) as pairs,
    ):
        extracted = dict.fromkeys(sources) | dict(pairs)
        unusable = None if args.debug else failures
        data = load_usable_clips(args.folder, extracted, check, unusable)
        files = [] if data is None else data.files
        for path in outputs:
            check_not_input(path, [Path(args.folder, file) for file in files])
        yield data, failures


def check_folders(args: argparse.Namespace, files: Sequence[Path]) -> None:
    """Raise if the output or the clips would become inputs of the next run."""
    for folder in filter(os.path.isdir, args.files):
        has_tables = any(is_table(file) and file.parent == folder for file in files)
        output = args.output if args.output is not None and is_table(args.output) else None
        if has_tables and output is not None and output.parent.samefile(folder):
            raise InvalidDataError(
                f"The output {str(output)!r} is in the folder {str(folder)!r}, whose tables are "
                "inputs, so it would become an input of the next run. Choose another folder."
            )
    if args.clips is None:
        return
    check_folder(args.clips, "--clips")
    if not os.path.isdir(args.clips) or not any(map(is_source, files)):
        return
    clips = {path.parent for path in files if not is_source(path)}
    for folder in [*filter(os.path.isdir, args.files), *filter(os.path.isdir, clips)]:
        if folder.samefile(args.clips):
            raise InvalidDataError(
                f"The folder {str(args.clips)!r} contains input files, so the clips that --clips "
                "stores there would become inputs of the next run. Choose another folder with "
                "--clips."
            )
