"""SmileDynamicsDisplay: the signals of a clip over time, with phases and blinks."""

import warnings
from dataclasses import KW_ONLY, dataclass
from typing import Any, Self

import numpy as np
import pandas as pd
from sklearn.base import clone

from smilefusion.clips._sequence import ClipSequence, check_clips
from smilefusion.dmarkers._amplitude import amplitude_signals
from smilefusion.dmarkers._transformer import DMarkerTransformer
from smilefusion.exceptions import FrameRateWarning
from smilefusion.inspection._display import Display
from smilefusion.inspection._pyplot import GRID, INK, MUTED

UNITS = {"lip": "mouth widths", "cheek": "cheek distances", "eyelid": "eye widths"}
_LIMITS = ("onset_start", "apex_start", "offset_start", "offset_end")
_SHADES = {"onset": "#cfe0f1", "apex": "#f6ead0", "offset": "#dfe8d3"}
_SIDES = {"right": "#b45309", "left": "#0f766e"}


@dataclass(eq=False, repr=False)
class SmileDynamicsDisplay(Display):
    """Show the lip, cheek and eyelid signals of a clip with its phases and blinks.

    Thin lines show the right and the left side, thick lines their mean. Onset, apex and offset
    are shaded, blinks are hatched, and missing frames leave gaps. The title states the quality
    of the phases and the flags. Use `from_clip` to create a display.

    Parameters
    ----------
    signals : pandas.DataFrame
        Amplitudes of n_frames frames as returned by `amplitude_signals`.
    phases : pandas.Series
        The clip's row of `DMarkerTransformer.phases`.
    title : str or None, default=None
        Name of the clip in the title. None: no title.

    Attributes
    ----------
    axes_, figure_ : ndarray of 3 Axes, Figure
        Axes and figure that `plot` drew on.
    """

    signals: pd.DataFrame
    phases: pd.Series
    _: KW_ONLY
    title: str | None = None

    @classmethod
    def from_clip(
        cls,
        clip: Any,
        *,
        fps: float | None = None,
        dmarkers: DMarkerTransformer | None = None,
        title: str | None = None,
        ax: Any = None,
    ) -> Self:
        """Compute the signals and phases of a clip and draw the picture.

        Parameters
        ----------
        clip : array-like of shape (n_frames, n_landmarks, n_dims), path or ClipSequence
            The clip, as taken by `check_clips`, or a sequence of one clip.
        fps : float or None, default=None
            Frames per second. None uses the rate of `dmarkers`, or the one stored with the clip.
            If the rate is unknown, time is in frames.
        dmarkers : DMarkerTransformer or None, default=None
            Transformer whose parameters define signals and phases. None: the defaults.
        title : str or None, default=None
            Name of the clip in the title. None: no title.
        ax : array-like of 3 matplotlib.axes.Axes or None, default=None
            Axes to draw on, from top to bottom; None creates a figure.

        Returns
        -------
        display : SmileDynamicsDisplay
            The drawn display.

        Raises
        ------
        InvalidClipError
            If the clip is invalid.
        ValueError
            If `fps` is not positive, `dmarkers` is invalid or has ``definition="hadasmilenet"``,
            or `ax` does not hold three axes.
        ImportError
            If matplotlib is not installed.
        """
        dmarkers = clone(DMarkerTransformer() if dmarkers is None else dmarkers)
        if fps is not None:
            dmarkers.set_params(fps=fps)
        clips = check_clips(clip if isinstance(clip, ClipSequence) else [clip], fps=dmarkers.fps)
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "The clips state no frame rate", FrameRateWarning)
            phases = dmarkers.phases(clips).iloc[0]
        shared = ("pose", "smoothing", "bridge_blinks", "max_gap")
        parameters = {name: getattr(dmarkers, name) for name in shared}
        signals = amplitude_signals(clips, **parameters)
        return cls(signals, phases, title=title).plot(ax=ax)

    def _plot(self, ax: Any) -> None:
        axes = self._make_axes(ax, len(UNITS), (7.5, 6.0), n_columns=1, sharex=True)
        self.axes_ = axes
        for panel, name in zip(axes, UNITS, strict=True):
            self._draw_phases(panel)
            self._draw_signal(panel, name)
        self._draw_blinks(axes[-1])
        self._label(axes)

    def _times(self) -> tuple[np.ndarray, str]:
        """Return the time of each frame and the suffix of the limits in the same unit."""
        if "time_s" in self.signals:
            return self.signals["time_s"].to_numpy(), "_s"
        return self.signals.index.to_numpy(), ""

    def _draw_phases(self, panel: Any) -> None:
        """Shade the phases that the clip has."""
        _, suffix = self._times()
        start, apex, offset, end = (self.phases[limit + suffix] for limit in _LIMITS)
        spans = {"onset": (start, apex), "apex": (apex, offset), "offset": (offset, end)}
        for phase, span in spans.items():
            if np.isfinite(span).all():
                panel.axvspan(*span, color=_SHADES[phase], linewidth=0, label=phase)

    def _draw_signal(self, panel: Any, name: str) -> None:
        """Draw both sides of a signal and their mean, or state that it is missing."""
        times, _ = self._times()
        for side, color in _SIDES.items():
            amplitude = self.signals[f"{name}_{side}"]
            panel.plot(times, amplitude, color=color, linewidth=0.8, label=side)
        panel.plot(times, self.signals[name], color=INK, linewidth=2.2, label="mean")
        panel.axhline(0, color=MUTED, linestyle="--", linewidth=0.8, zorder=1)
        if self.signals[name].isna().all():
            text = f"these landmarks have no {name} points"
            panel.text(0.5, 0.7, text, transform=panel.transAxes, ha="center", color=MUTED)
        panel.set_ylabel(f"{name}\n({UNITS[name]})", fontsize="small")
        panel.grid(axis="y", color=GRID, linewidth=0.8)
        panel.set_axisbelow(True)
        panel.set_xlim(times[0], times[-1])
        panel.spines[["top", "right"]].set_visible(False)

    def _draw_blinks(self, panel: Any) -> None:
        """Hatch the frames of blinks."""
        times, _ = self._times()
        step = times[1] - times[0] if len(times) > 1 else 1.0
        closed = self.signals["blink"].to_numpy(dtype=bool)
        edges = np.flatnonzero(np.diff(closed, prepend=False, append=False))
        starts, ends = times[0] + (edges.reshape(-1, 2).T - 0.5) * step
        style = {"fill": False, "edgecolor": MUTED, "hatch": "////", "linewidth": 0}
        for start, end in zip(starts, ends, strict=True):
            label = "blink" if start == starts[0] else ""  # once in the legend
            panel.axvspan(start, end, label=label, **style)

    def _label(self, axes: np.ndarray) -> None:
        """Add the unit of time, a title with quality and flags, and a legend."""
        _, suffix = self._times()
        axes[-1].set_xlabel("time (s)" if suffix else "time (frames)")
        head = f"{self.title}: " if self.title else ""
        title = f"{head}phase quality {self.phases['phase_quality']:.2f}"
        flags = [
            str(name).replace("_", " ")
            for name, value in self.phases.items()
            if isinstance(value, bool | np.bool_) and value
        ]
        if flags:
            title += "\n" + ", ".join(flags)
        axes[0].set_title(title, loc="left", fontsize="medium")
        place = {"loc": "upper center", "bbox_to_anchor": (0.5, -0.3)}
        axes[-1].legend(**place, ncols=7, frameon=False, fontsize="small")
