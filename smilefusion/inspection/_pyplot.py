"""matplotlib on demand, and the colours that all pictures share."""

INK = "#1f3a5f"
MUTED = "#6b7280"
GRID = "#e5e7eb"


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
