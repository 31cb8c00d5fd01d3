"""Readers of landmark tables: CSV files of OpenFace 2 and of MediaPipe."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
