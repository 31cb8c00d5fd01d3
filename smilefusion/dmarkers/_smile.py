"""Find the part of each clip that shows the smile."""

import numpy as np

from smilefusion.clips._sequence import ClipSequence
from smilefusion.dmarkers._transformer import DMarkerTransformer

MARGIN_S = 0.2  # kept before the onset and after the offset


def find_smiles(clips: ClipSequence) -> np.ndarray:
    """Return the first and last frame of each smile with margins, (n_clips, 2)."""
    # Clips without a smile, or with too few consecutive faces to find one, keep all frames.
    ends = whole_clips(clips)
    model = DMarkerTransformer(bridge_blinks=False)
    for batch, fps, signals, _ in model._measure(clips, skip_short=True):
        phases, _ = model._segment(signals, batch.lengths, fps)
        margin = round(MARGIN_S * fps)
        part = np.column_stack([np.zeros_like(batch.lengths), batch.lengths - 1])
        smile = phases.frames[:, [0, 3]] + [-margin, margin]
        smile = np.clip(smile, part[:, :1], part[:, 1:]) + batch.starts[:, None]
        ends[batch.indices] = np.where(phases.is_smile[:, None], smile, ends[batch.indices])
    return ends


def whole_clips(clips: ClipSequence) -> np.ndarray:
    """Return the first and last frame of each clip, (n_clips, 2)."""
    return np.column_stack([np.zeros(len(clips), dtype=int), clips.n_frames - 1])
