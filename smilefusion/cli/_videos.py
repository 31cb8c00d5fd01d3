"""Extract clips from videos that are passed to commands on clips."""

import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from smilefusion._storage._scratch import scratch_folder
from smilefusion.cli._common import Failures
from smilefusion.video._batch import warn_of_videos
from smilefusion.video._extractor import SUFFIXES, FaceMeshExtractor


@contextmanager
def extracted_clips(
    files: list[Path],
    failures: Failures,
    *,
    folder: Path | None,
    **settings: Any,
) -> Iterator[list[tuple[Path, Path]]]:
    """Yield (file, clip) pairs, after extracting a clip from each video."""
    videos = [path for path in files if is_video(path)]
    if not videos:
        yield [(path, path) for path in files]
        return
    with tempfile.TemporaryDirectory(dir=scratch_folder()) as scratch:
        is_progress_shown = len(videos) > 1 and sys.stderr.isatty()
        extractor = FaceMeshExtractor(**settings, progress=is_progress_shown)
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


def is_video(path: Path) -> bool:
    """Whether a file is a video by its suffix."""
    return path.suffix.lower() in SUFFIXES
