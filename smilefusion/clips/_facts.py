"""Base class of sequences of clips and of signals: frame rates, subjects, names, indexing."""

import html
from collections.abc import Sequence
from numbers import Integral
from typing import Any, Self, overload

import numpy as np
from numpy.typing import ArrayLike

from smilefusion._messages import count
from smilefusion.clips._rates import check_fps, describe_rates


class FactSequence(Sequence[np.ndarray]):
    """Sequence with a frame rate, a number of frames, a subject and a name for each clip."""

    def __init__(
        self,
        n_frames: Sequence[int],
        *,
        fps: ArrayLike | None,
        subjects: ArrayLike | None,
        names: Sequence[str],
    ) -> None:
        self.n_frames = np.array(n_frames, dtype=int)
        self.shape = self.n_frames.shape
        self.fps = check_fps(fps, len(self))
        self.subjects = None if subjects is None else _check_subjects(subjects, len(self))
        self.names = list(names)
        if len(self.names) != len(self):
            raise ValueError(
                f"names must contain one name per clip; got {count(len(self.names), 'name')} for "
                f"{count(len(self), 'clip')}. Pass the name of every clip, in the same order."
            )

    def __len__(self) -> int:
        return len(self.n_frames)

    @overload
    def __getitem__(self, index: int) -> np.ndarray: ...

    @overload
    def __getitem__(self, index: slice | ArrayLike) -> Self: ...

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, Integral):
            return self._read(int(index))
        if isinstance(index, tuple):  # scikit-learn indexes objects with a shape by (rows, ...)
            index = index[0]
        rows = np.arange(len(self))[index]
        subjects = None if self.subjects is None else self.subjects[rows]
        return self._take(rows, fps=self.fps[rows], subjects=subjects)

    def __repr__(self) -> str:
        return ", ".join(self._list_facts())

    def _repr_html_(self) -> str:
        return facts_to_html(self._list_facts())

    def _list_facts(self) -> list[str]:
        """Return texts such as "24 clips"."""
        parts = [count(len(self), "clip"), *self._describe_layout(), describe_rates(self.fps)]
        if self.subjects is not None:
            parts.append(count(len(np.unique(self.subjects)), "subject"))
        if len(self):
            shortest, longest = self.n_frames.min(), self.n_frames.max()
            few = f"{shortest}–" if shortest < longest else ""
            parts.append(f"{few}{count(longest, 'frame')}")
        return parts

    @property
    def time_unit(self) -> str:
        """Unit of times and durations: "s" if all frame rates are known, else "frames"."""
        return "frames" if np.isnan(self.fps).any() else "s"

    def replace(self, *, fps: ArrayLike | None = None, subjects: ArrayLike | None = None) -> Self:
        """Return the same clips with other frame rates or subjects.

        Parameters
        ----------
        fps : float or array-like of shape (n_clips,), default=None
            Frames per second; None keeps those of the sequence.
        subjects : array-like of shape (n_clips,), default=None
            The person in each clip; None keeps those of the sequence.

        Returns
        -------
        clips : sequence of the same type
            The clips. No file is read.
        """
        return self._take(
            np.arange(len(self)),
            fps=self.fps if fps is None else fps,
            subjects=self.subjects if subjects is None else subjects,
        )

    def _read(self, index: int) -> np.ndarray:
        """Return the values of a clip."""
        raise NotImplementedError

    def _take(self, rows: np.ndarray, *, fps: ArrayLike, subjects: ArrayLike | None) -> Self:
        """Return some of the clips with these frame rates and subjects."""
        raise NotImplementedError

    def _describe_layout(self) -> list[str]:
        """Describe the values of a frame, such as ["478 landmarks"]."""
        raise NotImplementedError


def facts_to_html(facts: Sequence[str], *, caption: str = "") -> str:
    """Return a table of facts such as "24 clips" for notebooks, with the nouns as headers."""
    values, _, nouns = zip(*(fact.rpartition(" ") for fact in facts), strict=True)
    rows = [
        "".join(f'<{tag} style="text-align: left">{html.escape(text)}</{tag}>' for text in texts)
        for tag, texts in (("th", nouns), ("td", values))
    ]
    title = f"<caption>{html.escape(caption)}</caption>" if caption else ""
    return f"<table>{title}<tr>{rows[0]}</tr><tr>{rows[1]}</tr></table>"


def _check_subjects(subjects: ArrayLike, n_clips: int) -> np.ndarray:
    subjects = np.asarray(subjects)
    if subjects.shape != (n_clips,):
        raise ValueError(
            f"subjects must contain one label per clip; got shape {subjects.shape} for {n_clips} "
            "clips. Pass the subject of every clip, in the same order."
        )
    return subjects
