"""Pictures of results, in scikit-learn's Display convention."""

import lazy_loader

_getattr, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
__all__ += ["write_report"]


def __getattr__(name):
    if name == "write_report":
        from smilefusion.report._report import write_report

        return write_report
    return _getattr(name)
