"""Extract many videos in parallel; one failed video does not stop the others."""

import time
import warnings
from collections.abc import Callable, Sequence
from concurrent.futures import BrokenExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from joblib import delayed

from smilefusion._messages import abridge, printable
from smilefusion._storage._atomic_files import prepare_folder
from smilefusion._storage._cache import ClipCache
from smilefusion._storage._digests import file_digest
from smilefusion._storage._parallel import progress_bar, run_unordered
from smilefusion.clips._clip_files import SMALL_FACE_PX
from smilefusion.clips._rates import differ
from smilefusion.exceptions import (
    DataWarning,
    FrameRateWarning,
    InvalidVideoError,
    SmileFusionError,
)
from smilefusion.video._extraction import (
    check_has_face,
    extract_landmarks,
    extraction_key,
    find_existing,
    store_landmarks,
    summarize_entries,
)
from smilefusion.video._frames import check_is_video_file

# Errors of one video that do not stop the others.
_FAILURES = (SmileFusionError, OSError, ValueError, RuntimeError, MemoryError)
_CLIP_BYTES = 1_000_000  # 174 frames of landmarks
_STEM_LENGTH = 50  # maximum length of a video's name in the file name of its clip


@dataclass(frozen=True)
class Outcome:
    """Result of processing one video: a file, a clip in memory, or an error."""

    video: Path
    file: Path | None = None
    clip: Any = None
    summary: dict | None = None
    seconds: float = 0.0
    is_old: bool = False
    error: str | None = None


def run_batch(
    videos: Sequence[Path],
    find_model: Callable[[], tuple[Path, str]],
    settings: dict[str, Any],
    *,
    folder: Path | ClipCache | None,
    names: Sequence[str] | None = None,
    n_jobs: int | None = None,
    progress: bool = False,
) -> list[Outcome]:
    """Extract the landmarks of many videos."""
    outcomes: dict[int, Outcome] = {}
    for index, video in enumerate(videos):
        try:
            check_is_video_file(video)
        except _FAILURES as error:
            outcomes[index] = Outcome(video, error=_describe(error, video))
    waiting = [index for index in range(len(videos)) if index not in outcomes]
    if not waiting:
        return list(outcomes.values())
    model_path, model_digest = find_model()
    if isinstance(folder, Path):
        prepare_folder(folder, _CLIP_BYTES)
    # Cluster workers may have another working directory, so paths must be absolute.
    model = model_path.absolute(), model_digest
    place = folder.absolute() if isinstance(folder, Path) else folder
    if isinstance(place, ClipCache):
        place = replace(place, folder=Path(place.folder).absolute())
    jobs = [
        delayed(_process)(
            index, videos[index].absolute(), model, settings, place, names and names[index]
        )
        for index in waiting
    ]
    with progress_bar(len(waiting), shown=progress and len(waiting) > 1, unit=" videos") as bar:
        try:
            for index, outcome in run_unordered(jobs, n_jobs):
                file = outcome.file
                if isinstance(folder, Path) and file is not None:
                    file = folder / file.name
                outcomes[index] = replace(outcome, video=videos[index], file=file)
                bar.update()
        except BrokenExecutor as error:
            open_ = [videos[index].name for index in waiting if index not in outcomes]
            raise InvalidVideoError(
                f"A worker process died before it finished {abridge(open_)}, probably because "
                "it ran out of memory or a library crashed. Run again with n_jobs=1 to find out "
                "which video caused it. Finished clips are kept."
            ) from error
    return [outcomes[index] for index in range(len(videos))]


def describe_failures(outcomes: Sequence[Outcome]) -> str:
    """Return a message that lists all failures, or "" if there are none."""
    errors = [outcome.error for outcome in outcomes if outcome.error is not None]
    if not errors:
        return ""
    return f"{len(errors)} of {len(outcomes)} videos failed: {' '.join(errors)}"


def warn_of_videos(outcomes: Sequence[Outcome], *, stacklevel: int) -> None:
    """Warn about damaged and unevenly spaced frames, different frame rates and small faces."""
    done = [(each.video.name, each.summary) for each in outcomes if each.summary is not None]
    damaged = [f"{name} ({it['n_damaged']})" for name, it in done if it["n_damaged"]]
    if damaged:
        warnings.warn(
            f"{abridge(damaged)}: some frames are damaged (their number is in brackets) and are "
            "treated as frames without a face. Replace the video if you have an intact copy.",
            DataWarning,
            stacklevel=stacklevel + 1,
        )
    uneven = [name for name, summary in done if summary["is_uneven"]]
    if uneven:
        warnings.warn(
            f"{abridge(uneven)}: the frames are not equally spaced in time, but speeds and "
            "durations are computed as if they were. Pass fps= to resample them.",
            FrameRateWarning,
            stacklevel=stacklevel + 1,
        )
    rates = np.array([summary["fps"] for _, summary in done])
    if len(rates) and differ(rates, rates.min()).any():
        warnings.warn(
            f"The videos have {rates.min():g} to {rates.max():g} frames per second, but durations "
            "and speeds are comparable only at the same rate. Pass fps= to resample them.",
            FrameRateWarning,
            stacklevel=stacklevel + 1,
        )
    sizes = [(name, summary["face_size_px"]) for name, summary in done]
    small = [f"{name} ({size:.0f})" for name, size in sizes if size < SMALL_FACE_PX]
    if small:
        warnings.warn(
            f"{abridge(small)}: the face is small (its longer side in pixels is in brackets). "
            f"Below {SMALL_FACE_PX} pixels, landmark jitter is large compared with a smile. Move "
            "the camera closer to the face.",
            DataWarning,
            stacklevel=stacklevel + 1,
        )


def _process(
    index: int,
    video: Path,
    model: tuple[Path, str],
    settings: dict[str, Any],
    folder: Path | ClipCache | None,
    name: str | None,
) -> tuple[int, Outcome]:
    start = time.perf_counter()
    try:
        outcome = (
            _store(video, model, settings, folder, name)
            if isinstance(folder, Path)
            else _keep(video, model, settings, folder)
        )
    except _FAILURES as error:
        outcome = Outcome(video, error=_describe(error, video))
    return index, replace(outcome, seconds=time.perf_counter() - start)


def _keep(
    video: Path,
    model: tuple[Path, str],
    settings: dict[str, Any],
    cache: ClipCache | None,
) -> Outcome:
    """Return a clip in memory; read it from a cache if possible."""
    digest = file_digest(video)

    def compute(_: Any) -> list[dict[str, Any]]:
        entries = extract_landmarks(video, digest, model, settings)
        check_has_face(entries)
        return [{"clip": entries["landmarks"], **summarize_entries(entries)}]

    key = extraction_key(digest, model[1], settings)
    (entry,) = compute(None) if cache is None else cache.fetch([key], compute)
    clip = np.require(entry.pop("clip"), requirements="W")
    summary = {name: np.asarray(value).item() for name, value in entry.items()}
    return Outcome(video, clip=clip, summary=summary)


def _store(
    video: Path,
    model: tuple[Path, str],
    settings: dict[str, Any],
    folder: Path,
    name: str | None,
) -> Outcome:
    """Extract a clip to its file, unless an earlier run already did."""
    digest = file_digest(video)
    key = extraction_key(digest, model[1], settings)
    path = folder / (name or f"{video.stem[:_STEM_LENGTH]}-{key[:16]}.npz")
    old = find_existing(path, key, video, digest, settings)
    if old is not None:
        return Outcome(video, path, summary=old, is_old=True)
    prepare_folder(folder, _CLIP_BYTES)
    summary = store_landmarks(path, key, video, digest, model, settings)
    return Outcome(video, path, summary=summary)


def _describe(error: Exception, video: Path) -> str:
    """Return an error message on one line that names the video."""
    text = " ".join(str(error).split()) or type(error).__name__
    known = isinstance(error, SmileFusionError)
    return text if known else f"{printable(video.name)}: {type(error).__name__}: {text}."
