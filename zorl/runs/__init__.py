"""One training run on disk: its folder, curve, summary, replay of failed episodes, watching."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
