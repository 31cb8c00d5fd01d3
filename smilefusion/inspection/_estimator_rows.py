"""Panels of one row per estimator, one panel per data set: what such pictures share."""

import textwrap

import numpy as np

from smilefusion.benchmark.stats._metrics import LOSSES
from smilefusion.benchmark.stats._protocol_labels import HONEST, protocol_label
from smilefusion.benchmark.tables._tables import METRIC_NAMES
from smilefusion.inspection._pyplot import COLORS, MARKERS, clear_frame, make_axes

_ROW_HEIGHT = 0.28  # inches
_LETTER = 0.075  # inches
_TITLE_WIDTH = 36  # letters above a panel that has neighbours
_PROTOCOLS = (HONEST, "published", "cross-dataset", "duration-matched", "permuted-labels")


def metric_label(metric):
    """Return what an axis of a metric is called."""
    return f"{METRIC_NAMES[metric]}{' (lower is better)' if metric in LOSSES else ''}"


def check_metric(metric, summary):
    """Raise where a metric has no figures."""
    if metric not in METRIC_NAMES or metric not in summary:
        known = [name for name in METRIC_NAMES if name in summary]
        raise ValueError(f"metric must be one of {known}; got {metric!r}.")


def protocol_style(protocol):
    """Return colour, marker and label of a protocol's points; optimistic ones are hollow."""
    place = _PROTOCOLS.index(protocol) if protocol in _PROTOCOLS else len(_PROTOCOLS)
    style = {"color": COLORS[place], "marker": MARKERS[place], "label": protocol_label(protocol)}
    return style | ({"markerfacecolor": "none"} if protocol == "published" else {})


def start_panels(caller, ax, summary, *, n_lines=1):
    """Return the axes, one per data set, and the names of the rows from top to bottom."""
    estimators = summary["estimator"].unique().tolist()
    n_panels = summary["dataset"].nunique()
    names = _LETTER * max(map(len, map(str, estimators)))
    width = 0.6 + names + (5.2 if n_panels == 1 else 3.2 * n_panels)
    height = 1.6 + _ROW_HEIGHT * len(estimators) * max(1, 0.75 * n_lines)
    axes = make_axes(caller, ax, n_panels, (width, height), sharex=True, sharey=True)
    return axes, estimators


def finish_panel(panel, rows, estimators, *, title, label):
    """Name the rows, the axis and the data set of a panel, with its size."""
    panel.set_yticks(np.arange(len(estimators)), estimators)
    panel.set_ylim(len(estimators) - 0.4, -0.6)
    panel.set_xlabel(label)
    size = "{} clips of {} subjects".format(
        *(count_range(rows[n]) for n in ("n_clips", "n_groups"))
    )
    has_neighbours = len(panel.figure.axes) > 1
    wrapped = f"{textwrap.fill(title, _TITLE_WIDTH)}\n{size}"
    panel.set_title(
        wrapped if has_neighbours else f"{title}: {size}", loc="left", fontsize="medium"
    )
    clear_frame(panel, grid="x")


def write_right(panel, row, text, *, color="black"):
    """Write a figure beside a row."""
    place = panel.get_yaxis_transform()
    panel.text(1.015, row, text, transform=place, va="center", fontsize="small", color=color)


def count_range(counts):
    """Write a count, or its range where it differs."""
    low, high = counts.min(), counts.max()
    return f"{low}" if low == high else f"{low}–{high}"
