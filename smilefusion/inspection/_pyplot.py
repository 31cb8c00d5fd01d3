"""matplotlib on demand, and the colours and manners that all pictures share."""

import numpy as np

INK = "#1f3a5f"
MUTED = "#6b7280"
GRID = "#e5e7eb"
# Told apart with every kind of colour blindness (CIE76 distance of at least 11), by lightness too;
# a marker goes with each.
COLORS = (INK, "#e08a00", "#1b9e77", "#8c1d4f", "#5fb0ee", "#b7a6d6")
MARKERS = "oDs^vP"
_MARGIN = 0.1  # inches around a panel and its labels


def import_pyplot(caller):
    """Import matplotlib's pyplot, or say who needs it and what to install.

    Parameters
    ----------
    caller : str
        Name of the function or command that draws.

    Returns
    -------
    pyplot : module
        ``matplotlib.pyplot``.

    Raises
    ------
    ImportError
        If matplotlib is not installed; the message names the caller and the extra.
    """
    try:
        import matplotlib.pyplot as plt
    except ImportError as error:
        raise ImportError(
            f"{caller} needs matplotlib, which is not installed; "
            "run pip install 'smilefusion[plot]'."
        ) from error
    return plt


def make_axes(caller, ax, n_panels, size, *, n_columns=None, **options):
    """Return one axes per panel: those given, or those of a new figure.

    Parameters
    ----------
    caller : str
        Name of the function that draws.
    ax : matplotlib.axes.Axes, array-like of them or None
        Axes to draw on; None makes a figure.
    n_panels : int
        Number of panels.
    size : tuple of (float, float)
        Width and height of a new figure, inches.
    n_columns : int or None, default=None
        Panels beside each other in a new figure; None: all.
    **options : dict
        Further arguments of ``matplotlib.pyplot.subplots``.

    Returns
    -------
    axes : ndarray of matplotlib.axes.Axes of shape (n_panels,)
        The axes.

    Raises
    ------
    ValueError
        If `ax` does not hold one axes per panel.
    ImportError
        If matplotlib is not installed.
    """
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
    """Take away what carries no information, and draw a grid behind the figures."""
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
