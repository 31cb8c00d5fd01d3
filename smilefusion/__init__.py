"""Tell spontaneous from posed smiles in face video, with scikit-learn estimators."""

from smilefusion._version import __version__

__all__ = ["__version__"]
