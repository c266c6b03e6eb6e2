"""Networks of many parameters: noise that is made from numbers, and what a population costs."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
