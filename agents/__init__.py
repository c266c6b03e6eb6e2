"""What can be trained, by name: the search agent, the SB3 baselines, their settings."""

import lazy_loader

if __name__ != "zorl.agents":
    raise ImportError("this folder is the package zorl.agents; import that")

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
