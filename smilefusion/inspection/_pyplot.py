"""Lazy import of matplotlib, and the shared style of all pictures."""

import numpy as np

INK = "#1f3a5f"
MUTED = "#6b7280"
GRID = "#e5e7eb"
# Distinct with every kind of colour blindness (CIE76 distance of at least 11) and in lightness.
# Each has its own marker.
COLORS = (INK, "#e08a00", "#1b9e77", "#8c1d4f", "#5fb0ee", "#b7a6d6")
MARKERS = "oDs^vP"
_MARGIN = 0.1  # inches around a panel and its labels


def import_pyplot(caller):
    """Import matplotlib's pyplot; raise an ImportError that names the caller and the extra."""
    try:
        import matplotlib.pyplot as plt
    except ImportError as error:
        raise ImportError(
            f"{caller} needs matplotlib, which is not installed; "
            "run pip install 'smilefusion[plot]'."
        ) from error
    return plt


def make_axes(caller, ax, n_panels, size, *, n_columns=None, **options):
    """Return an array of one axes per panel: the given ones, or those of a new figure."""
    if ax is None:
        plt = import_pyplot(caller)
        n_columns = min(n_columns or n_panels, n_panels)
        shape = -(-n_panels // n_columns), n_columns
        figure, made = plt.subplots(*shape, figsize=size, layout="constrained", **options)
        figure.get_layout_engine().set(w_pad=_MARGIN, h_pad=_MARGIN)
        made = np.ravel(made)
        for spare in made[n_panels:]:
            figure.delaxes(spare)
        return made[:n_panels]
    axes = np.ravel(ax)
    if len(axes) != n_panels:
        raise ValueError(
            f"ax must hold one axes per panel, {n_panels}; got {len(axes)}. Make them with "
            f"plt.subplots(1, {n_panels})."
        )
    return axes


def clear_frame(ax, *, grid="both"):
    """Remove the frame and draw a grid."""
    ax.grid(axis=grid, color=GRID, linewidth=0.8)
    ax.set_axisbelow(True)
    ax.tick_params(length=0)
    ax.spines[["top", "right", "left"]].set_visible(False)


def add_legend(figure, handles, *, n_columns=4):
    """Put a legend below the panels."""
    if figure.get_layout_engine() is None:
        figure.axes[-1].legend(handles=handles, frameon=False, fontsize="small")
        return
    figure.legend(
        handles=handles,
        loc="outside lower left",
        ncols=min(n_columns, len(handles)),
        frameon=False,
        fontsize="small",
    )
