"""A policy as one file that runs without zorl: C, JavaScript, numpy, ONNX, TorchScript."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
