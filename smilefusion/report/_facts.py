"""The description of a clip in words."""

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from smilefusion._messages import count

# Signal, its label and its unit, in display order.
SIGNAL_LABELS = (
    ("lip", "lips", "mouth widths"),
    ("eyelid", "eyelids", "eye widths"),
    ("cheek", "cheeks", "cheek distances"),
)
PHASE_LIMITS = {
    "onset": ("onset_start_s", "apex_start_s"),
    "apex": ("apex_start_s", "offset_start_s"),
    "offset": ("offset_start_s", "offset_end_s"),
}


def list_facts(row: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return (name, text) pairs for one clip from its row of `describe_clips`."""
    return [*_recording_facts(row), *_smile_facts(row), ("blinks", _describe_blinks(row))]


def phase_spans(row: Mapping[str, Any]) -> list[tuple[str, float, float]]:
    """Return the name, start and end of each phase that a clip has."""
    spans = [
        (name, float(row[start]), float(row[end])) for name, (start, end) in PHASE_LIMITS.items()
    ]
    return [(name, start, end) for name, start, end in spans if np.isfinite(end - start)]


def format_block(title: str, row: Mapping[str, Any]) -> str:
    """Format the facts and flags of one clip as lines of text under a title."""
    facts = list_facts(row)
    flags = [("flags" if place == 0 else "", flag) for place, flag in enumerate(row["flags"])]
    lines = facts + (flags or [("flags", "none")])
    width = max(len(name) for name, _ in lines)
    return "\n".join([title, *(f"  {name:<{width}}  {text}" for name, text in lines)])


def _recording_facts(row: Mapping[str, Any]) -> Iterable[tuple[str, str]]:
    yield (
        "recording",
        f"{count(row['n_frames'], 'frame')}, {row['duration_s']:.2f} s at {row['fps']:.4g} "
        f"per second{', uneven' if row['is_uneven'] else ''}",
    )
    gap = row["longest_gap_s"]
    longest = f", longest gap {gap:.2f} s" if gap else ""
    yield "face visible", f"in {100 * row['face_share']:.3g} % of the frames{longest}"
    if np.isfinite(row["face_size_px"]):
        yield "face size", f"{row['face_size_px']:.0f} px"
    if np.isfinite(row["jitter"]):
        yield "jitter", f"{100 * row['jitter']:.2g} % of the smile"


def _smile_facts(row: Mapping[str, Any]) -> Iterable[tuple[str, str]]:
    spans = phase_spans(row)
    if not spans:
        yield "smile", "not found"
        return
    for name, start, end in spans:
        yield name, f"{start:.2f} to {end:.2f} s ({end - start:.2f} s)"
    yield "phase quality", f"{row['phase_quality']:.2f} (0 to 1)"
    for signal, label, unit in SIGNAL_LABELS:
        if np.isfinite(row[f"{signal}_amplitude"]):
            yield label, f"{signed(row[f'{signal}_amplitude'])} {unit}"
    for phase in ("onset", "offset"):
        if np.isfinite(row[f"{phase}_max_speed"]):
            yield f"{phase} speed", f"at most {row[f'{phase}_max_speed']:.2f} mouth widths per s"
    share = 100 * row["lip_asymmetry"] / abs(row["lip_amplitude"])
    yield "asymmetry", f"{row['lip_asymmetry']:.3f} mouth widths ({share:.0f} % of the amplitude)"


def _describe_blinks(row: Mapping[str, Any]) -> str:
    times = ", ".join(f"{time:.2f}" for time in row["blink_times_s"])
    return f"{row['n_blinks']} (at {times} s)" if times else "none"


def signed(value: float) -> str:
    """Return a number with its sign, such as "+0.30" or "−0.04"."""
    return f"{value:+.2f}".replace("-", "−")
