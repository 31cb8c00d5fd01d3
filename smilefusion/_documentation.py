"""Links from scikit-learn's diagrams of estimators to the documentation."""

import os
from pathlib import Path

_BUILT = Path(__file__).resolve().parents[1] / "docs" / "_build" / "html"


class DocumentedEstimator:
    """Mixin that links the "?" in the diagram of an estimator to its page.

    The address of the documentation is that of the environment variable SMILEFUSION_DOCS, or that
    of the pages built in a checkout. Without either, the diagram has no "?".
    """

    _documented_in = "smilefusion"

    def _get_doc_link(self) -> str:
        if not type(self).__module__.startswith("smilefusion."):  # a subclass of a user
            return ""
        built = _BUILT.as_uri() if _BUILT.is_dir() else ""
        root = os.environ.get("SMILEFUSION_DOCS", built).rstrip("/")
        page = f"{self._documented_in}.{type(self).__name__}.html"
        return f"{root}/api/{page}" if root else ""
