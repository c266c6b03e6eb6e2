"""What zorl can be trained on: tasks, reward shaping and the native return beside it."""

import lazy_loader

if __name__ != "zorl.envs":
    raise ImportError("this folder is the package zorl.envs; import that")

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
