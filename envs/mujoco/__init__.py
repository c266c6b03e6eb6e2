"""Tasks made of a MuJoCo model: written once, stepped by Gymnasium and compiled by zorl."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
