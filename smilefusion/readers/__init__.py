"""Readers of tables of other tools: OpenFace, py-feat, LibreFace, MediaPipe and more."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
