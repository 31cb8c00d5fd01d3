"""Extract clips from videos for commands that work on clips."""

import argparse
import os
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from smilefusion._storage._scratch import scratch_folder
from smilefusion.cli._common import (
    Failures,
    check_folder,
    check_output,
    is_video,
    listing_failures,
    open_clips,
)
from smilefusion.cli._inputs import CLIP_SUFFIXES, list_inputs
from smilefusion.clips._rates import check_fps
from smilefusion.clips._sequence import ClipSequence
from smilefusion.exceptions import InvalidDataError
from smilefusion.video._batch import warn_of_videos
from smilefusion.video._extractor import SUFFIXES, FaceMeshExtractor

INPUT_SUFFIXES = (*CLIP_SUFFIXES, *SUFFIXES)


def make_extractor(args: argparse.Namespace, **settings: Any) -> FaceMeshExtractor:
    """Return an extractor with the options of a command."""
    return FaceMeshExtractor(
        tracking=args.tracking,
        face=args.face,
        rotation=args.rotate,
        model_path=args.face_model,
        min_confidence=args.min_confidence,
        n_jobs=args.n_jobs,
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
    """Extract a clip from each video and yield (file, clip) pairs."""
    videos = [path for path in files if is_video(path)]
    if not videos:
        yield [(path, path) for path in files]
        return
    with tempfile.TemporaryDirectory(dir=scratch_folder()) as scratch:
        extractor = make_extractor(args, fps=fps, progress=len(videos) > 1 and sys.stderr.isatty())
        outcomes = extractor._run(videos, folder=Path(folder or scratch))
        warn_of_videos(outcomes, stacklevel=2)
        remaining, pairs = iter(outcomes), []
        for path in files:
            outcome = next(remaining) if is_video(path) else None
            if outcome is None:
                pairs.append((path, path))
            elif outcome.file is None:
                failures.append((path, outcome.error))
            else:
                pairs.append((path, outcome.file))
        yield pairs


@contextmanager
def opened_inputs(
    args: argparse.Namespace,
) -> Iterator[tuple[list[Path], ClipSequence | None, Failures]]:
    """Check the arguments of a command on clips and videos; yield files, clips and failures."""
    check_fps(args.fps, 1)
    given = list_inputs(args.files, INPUT_SUFFIXES)
    if args.output is not None:
        check_output(args.output, [*given, *filter(None, [args.face_model])])
    check_clip_folder(args, given)
    with (
        listing_failures(args) as failures,
        extracted_clips(given, failures, args, folder=args.clips, fps=args.fps) as pairs,
    ):
        yield *open_clips(pairs, failures, fps=args.fps, debug=args.debug), failures


def check_clip_folder(args: argparse.Namespace, files: Sequence[Path]) -> None:
    """Raise if the folder given with --clips is a file, or if it contains input clips."""
    if args.clips is None:
        return
    check_folder(args.clips, "--clips")
    if not os.path.isdir(args.clips) or not any(map(is_video, files)):
        return
    clips = {path.parent for path in files if not is_video(path)}
    for folder in [*filter(os.path.isdir, args.files), *filter(os.path.isdir, clips)]:
        if folder.samefile(args.clips):
            raise InvalidDataError(
                f"The folder {str(args.clips)!r} contains input files, so the clips that --clips "
                "stores there would become inputs of the next run. Choose another folder with "
                "--clips."
            )
