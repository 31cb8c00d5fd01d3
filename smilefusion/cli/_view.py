"""Command ``view``: a video → one HTML page with its landmarks, curves and D-Markers."""

import argparse
import tempfile
from pathlib import Path

from smilefusion._messages import printable
from smilefusion._storage._scratch import scratch_folder
from smilefusion.cli._common import (
    check_folder,
    check_output,
    is_video,
    listing_failures,
    open_clips,
    print_message,
)
from smilefusion.cli._videos import extracted_clips
from smilefusion.cli._wording import reword
from smilefusion.clips._rates import check_fps
from smilefusion.exceptions import InvalidDataError
from smilefusion.report._view import check_showable, write_view
from smilefusion.video._playable import PlayableVideo, make_playable, plan_playback


def run(args: argparse.Namespace) -> int:
    """Convert the video if necessary, extract its landmarks and write the page."""
    check_fps(args.fps, 1)
    check_output(args.output, [args.video, *filter(None, [args.face_model])])
    if args.clips is not None:
        check_folder(args.clips, "--clips")
    if not is_video(args.video):
        raise InvalidDataError(
            f"{str(args.video)!r} is not a video, but the page needs a video to play. Pass a "
            "video file."
        )
    with (
        tempfile.TemporaryDirectory(dir=scratch_folder()) as scratch,
        listing_failures(args) as failures,
    ):
        playable = _prepare(args, Path(scratch))
        with extracted_clips(
            [args.video], failures, args, folder=args.clips, fps=args.fps
        ) as pairs:
            _, clips = open_clips(pairs, failures, fps=None, debug=args.debug)
            if clips is None:
                return 2
            write_view(
                playable.path,
                args.output,
                clip=clips,
                link=args.link,
                start_s=playable.start_s,
                title=args.video.name,
            )
    print_message(f"{args.output}: page written. Open it in a browser.")
    return 0


def _prepare(args: argparse.Namespace, scratch: Path) -> PlayableVideo:
    """Return a video that browsers can play and the page can contain; report changes."""
    plan = plan_playback(args.video, args.rotate)
    if args.link and plan.action != "keep":
        raise InvalidDataError(
            f"{printable(args.video.name)} cannot be linked, because {plan.reason}. Omit "
            "--link to embed a converted copy."
        )
    playable = make_playable(args.video, scratch, rotation=args.rotate)
    check_showable(playable.path, link=args.link)
    if playable.change:
        print_message(f"{args.video}: {reword(playable.change, args)}.")
    return playable
