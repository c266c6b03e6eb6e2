"""Helpers for the whole library: errors, options, random streams, statistics, files, checks."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
