"""ExplanationDisplay: draw which parts of a smile affected a prediction."""

import textwrap
from dataclasses import KW_ONLY, dataclass
from typing import Any, Self

import numpy as np
import pandas as pd

from smilefusion.clips._sequence import ClipSequence, check_clips
from smilefusion.dmarkers._amplitude import amplitude_signals
from smilefusion.inspection._display import Display
from smilefusion.inspection._explanation import explain, explain_in_words
from smilefusion.inspection._occlusion import REGIONS, region_weights
from smilefusion.inspection._pyplot import INK, MUTED, clear_frame
from smilefusion.landmarks import face_geometry, landmark_scheme

_SIGNALS = {"lip": INK, "cheek": "#1b9e77", "eyelid": "#e08a00"}

_FOR, _AGAINST = "#b2182b", "#2166ac"
_UNKNOWN_FPS = 30.0


@dataclass(eq=False, repr=False)
class ExplanationDisplay(Display):
    """Draw the explanation of a prediction.

    The panels show the amplitude signals, a face with the effects of its regions, the effect of
    each moment, and the effects of properties and phases. Positive effects (red) favour the
    predicted class, and negative effects (blue) count against it. Use `from_clip` to create a
    display.

    Parameters
    ----------
    effects : DataFrame
        Result of `explain` for one clip, with all kinds.
    signals : DataFrame
        Amplitudes of the clip, one row per frame, as returned by `amplitude_signals`.
    n_landmarks : int, default=478
        Number of landmarks of the clip.
    title : str or None, default=None
        Title of the figure. None uses the sentence from `explain_in_words`.

    Attributes
    ----------
    axes_, figure_ : ndarray of 4 Axes, Figure
        Axes and figure that `plot` drew on. The axes show, in this order, the signals, the face,
        the moments, and the properties and phases.
    """

    effects: pd.DataFrame
    signals: pd.DataFrame
    _: KW_ONLY
    n_landmarks: int = 478
    title: str | None = None

    @classmethod
    def from_clip(cls, model: Any, clip: Any, *, title: str | None = None, ax: Any = None) -> Self:
        """Explain the prediction for a clip and draw the explanation.

        Parameters
        ----------
        model : estimator
            Fitted classifier of clips that has `predict_proba` and two classes.
        clip : array-like of shape (n_frames, n_landmarks, n_dims), path or ClipSequence
            One clip in any form that `check_clips` accepts, or a sequence of one clip.
        title : str or None, default=None
            Title of the figure. None uses the sentence from `explain_in_words`.
        ax : array-like of 4 matplotlib.axes.Axes or None, default=None
            Axes to draw on; None creates a figure.

        Returns
        -------
        display : ExplanationDisplay
            The drawn display.

        Raises
        ------
        ValueError
            If the model is not a fitted classifier with two classes, the clip shows no smile, or
            `ax` does not hold four axes.
        InvalidClipError
            If the clip is invalid.
        ImportError
            If matplotlib is not installed.
        """
        clips = check_clips(clip if isinstance(clip, ClipSequence) else [clip])
        effects = explain(model, clips)
        if effects.empty:
            raise ValueError(
                "The clip shows no smile, so there is nothing to explain. Use another clip."
            )
        signals = amplitude_signals(clips, smoothing="savgol")
        return cls(effects, signals, n_landmarks=clips.n_landmarks, title=title).plot(ax=ax)

    def _plot(self, ax: Any) -> None:
        self.axes_ = self._make_axes(ax, 4, (9.0, 5.4), n_columns=2)
        above, face, below, bars = self.axes_
        self._draw_signals(above)
        self._draw_moments(below, above.get_xlim())
        self._draw_face(face)
        self._draw_properties(bars)
        title = self.title or explain_in_words(self.effects).iloc[0]
        self.figure_.suptitle(textwrap.fill(title, 95), x=0.01, ha="left", fontsize="medium")

    def _effects_of(self, kind: str) -> pd.Series:
        """Return the effects of one kind, indexed by name."""
        rows = self.effects[self.effects["kind"] == kind]
        return rows.set_index("name")["effect"]

    def _draw_signals(self, panel: Any) -> None:
        """Draw each signal relative to its largest amplitude."""
        times = self.signals.get("time_s", self.signals.index.to_series() / _UNKNOWN_FPS)
        for name, color in _SIGNALS.items():
            signal = self.signals[name].to_numpy()
            if np.isfinite(signal).any():
                largest = np.nanmax(np.abs(signal))
                panel.plot(times, signal / (largest or 1), color=color, label=name)
        panel.set(ylabel="share of the largest\namplitude", xlim=(times.iloc[0], times.iloc[-1]))
        panel.legend(frameon=False, fontsize="small")
        clear_frame(panel)

    def _draw_moments(self, panel: Any, limits: tuple[float, float]) -> None:
        """Draw the effect of each moment."""
        effects = self._effects_of("moment")
        seconds = effects.index.str.removesuffix(" s").astype(float)
        panel.axhline(0, color=MUTED, linewidth=0.8)
        for sign, color in ((1, _FOR), (-1, _AGAINST)):
            height = np.maximum(sign * effects.to_numpy(), 0)
            panel.fill_between(seconds, sign * height, color=color, alpha=0.6, linewidth=0)
        panel.plot(seconds, effects, color=INK, linewidth=1)
        panel.set(xlabel="time (s)", ylabel="effect of the moment\n(logits)", xlim=limits)
        clear_frame(panel)

    def _draw_face(self, panel: Any) -> None:
        """Colour the landmarks of each region by its effect."""
        scheme, effects = landmark_scheme(self.n_landmarks), self._effects_of("region")
        weights = np.hstack([region_weights(scheme, (region,)) for region in REGIONS])
        x, y, _ = face_geometry()["neutral"][list(scheme.in_mesh)].T
        limit = max(np.abs(effects).max(), 1e-9)
        colors = weights @ effects[list(REGIONS)].to_numpy()
        style = {"cmap": "RdBu_r", "vmin": -limit, "vmax": limit, "edgecolor": MUTED}
        points = panel.scatter(x, y, c=colors, s=12, linewidth=0.2, **style)
        self.figure_.colorbar(points, ax=panel, label="effect (logits)", shrink=0.8)
        panel.set(aspect="equal")
        panel.invert_yaxis()
        panel.set_axis_off()
        panel.set_title("effect of the region", fontsize="small")

    def _draw_properties(self, panel: Any) -> None:
        """Draw the effects of the properties and phases as bars."""
        effects = pd.concat([self._effects_of("property"), self._effects_of("phase")])[::-1]
        colors = np.where(effects > 0, _FOR, _AGAINST)
        panel.barh(np.arange(len(effects)), effects, color=colors)
        panel.axvline(0, color=MUTED, linewidth=0.8)
        panel.set_yticks(np.arange(len(effects)), effects.index, fontsize="small")
        panel.set_xlabel("effect (logits)")
        clear_frame(panel)
