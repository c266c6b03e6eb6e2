"""Recorders: console, JSON lines, TensorBoard, video; consumers of a run's records."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
