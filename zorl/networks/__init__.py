"""Large networks: noise regenerated from seeds, and populations evaluated with shared products."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
