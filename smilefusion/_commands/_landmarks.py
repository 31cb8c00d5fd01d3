"""Command ``landmarks``: videos → clips of landmarks; videos given to other commands."""

import sys
import tempfile
from contextlib import contextmanager
from pathlib import Path

from smilefusion._messages import printable
from smilefusion._scratch import scratch_folder
from smilefusion.exceptions import InvalidDataError
from smilefusion.video import SUFFIXES, FaceMeshExtractor


def run(args):
    """Write one clip of landmarks per video and print a table of them.

    Parameters
    ----------
    args : argparse.Namespace
        ``videos``, ``output``, ``fps``, ``face``, ``rotate``, ``face_model`` and ``n_jobs``.

    Returns
    -------
    status : int
        0 if all videos are done, 1 if some failed.
    """
    if args.output.exists() and not args.output.is_dir():
        raise InvalidDataError(
            f"{str(args.output)!r} is a file, but the clips need a folder. Name another output."
        )
    extractor = FaceMeshExtractor(
        fps=args.fps,
        face=args.face,
        rotation=args.rotate,
        model_path=args.face_model,
        n_jobs=args.n_jobs,
        progress=True,
    )
    table = extractor.extract_files(args.videos, args.output, on_error="skip")
    done = table[table["error"].isna()]
    if len(done):
        print(_format(done))
    for error in table["error"].dropna():
        print(f"failed: {error}", file=sys.stderr)
    print(
        f"{args.output}: {len(done)} of {len(table)} videos are done, {table['is_old'].sum()} of "
        "them by an earlier run.",
        file=sys.stderr,
    )
    return 0 if len(done) == len(table) else 1


def is_video(path):
    """Whether a file is a video by its suffix."""
    return path.suffix.lower() in SUFFIXES


@contextmanager
def clips_of(files, fps, *, face_model):
    """Yield files with clips in place of the videos among them, which last during the block.

    Parameters
    ----------
    files : list of Path
        Clips and videos.
    fps : float or None
        Frames per second to which videos are resampled; None leaves them as recorded.
    face_model : Path or None
        File of the landmark model.

    Yields
    ------
    clips : list of Path
        Clips, in the order of the files.
    """
    videos = [path for path in files if is_video(path)]
    if not videos:
        yield files
        return
    with tempfile.TemporaryDirectory(dir=scratch_folder()) as scratch:
        extractor = FaceMeshExtractor(
            fps=fps, model_path=face_model, cache=Path(scratch), progress=True
        )
        extracted = dict(zip(videos, extractor.transform(videos), strict=True))
        yield [extracted.get(path, path) for path in files]


def _format(table):
    """Return the table of finished videos as text."""
    shown = table.assign(
        video=[printable(Path(video).name) for video in table["video"]],
        face_size_px=table["face_size_px"].round().astype(int),
    )
    names = {
        "video": "video",
        "n_frames": "frames",
        "n_detected": "with a face",
        "n_faces_most": "faces at most",
        "face_size_px": "face pixels",
        "fps": "fps",
        "seconds": "seconds",
    }
    counts = dict.fromkeys(("n_frames", "n_detected", "n_faces_most"), int)
    shown = shown.astype(counts)[list(names)].rename(columns=names)
    return shown.to_string(index=False, float_format="{:.2f}".format)
