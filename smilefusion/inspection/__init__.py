"""Pictures of results, in scikit-learn's Display convention."""

from typing import Any

import lazy_loader

_getattr, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
__all__ += ["write_report"]


def __getattr__(name: str) -> Any:
    if name == "write_report":
        from smilefusion.report._report import write_report

        return write_report
    return _getattr(name)
