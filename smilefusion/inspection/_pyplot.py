"""Lazy import of matplotlib, and the shared style of all pictures."""

from typing import Any

INK = "#1f3a5f"
MUTED = "#6b7280"
GRID = "#e5e7eb"
# Distinct in lightness and for every type of colour blindness (CIE76 distance of at least 11).
# Each has its own marker.
COLORS = (INK, "#e08a00", "#1b9e77", "#8c1d4f", "#5fb0ee", "#b7a6d6")
MARKERS = "oDs^vP"


def import_pyplot(caller: str) -> Any:
    """Import matplotlib's pyplot; raise an ImportError that names the caller and the extra."""
    try:
        import matplotlib.pyplot as plt
    except ImportError as error:
        raise ImportError(
            f"{caller} needs matplotlib, which is not installed; "
            "run pip install 'smilefusion[plot]'."
        ) from error
    return plt


def clear_frame(ax: Any, *, grid: str = "both") -> None:
    """Remove the frame and draw a grid."""
    ax.grid(axis=grid, color=GRID, linewidth=0.8)
    ax.set_axisbelow(True)
    ax.tick_params(length=0)
    ax.spines[["top", "right", "left"]].set_visible(False)


def add_legend(figure: Any, handles: list, *, n_columns: int = 4) -> None:
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
