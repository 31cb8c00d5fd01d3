"""Cache the results of clips in a folder, so that each clip is computed once."""

from smilefusion._storage._cache import ClipCache

__all__ = ["ClipCache"]
