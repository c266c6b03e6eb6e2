"""Pickles read without running code: arrays and plain values; all else becomes inert `Thing`s."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np

from zorl.common.errors import ConfigurationError

# What numpy's arrays and numbers are rebuilt with.
_ARRAY: Any = np.zeros(1).__reduce__()[0]
_NUMBER: Any = np.float64(0).__reduce__()[0]
_BUFFER: Any = np.zeros(1).__reduce_ex__(5)[0]
_PLAIN: dict[tuple[str, str], Any] = {
    ("numpy", "ndarray"): np.ndarray,
    ("numpy", "dtype"): np.dtype,
    **{
        (f"numpy.{core}.{module}", known.__name__): known
        for core in ("core", "_core")  # numpy has had both
        for module, known in (
            ("multiarray", _ARRAY),
            ("multiarray", _NUMBER),
            ("numeric", _BUFFER),
        )
    },
}


class Thing:
    """What a pickle says of an object of any other class; it does nothing.

    Attributes:
        state: what the object's attributes are set from.
    """

    state: Any = None

    def __new__(cls, *args: Any, **kwargs: Any) -> Thing:
        """Any arguments."""
        return super().__new__(cls)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        pass

    def __setstate__(self, state: Any) -> None:
        self.state = state

    def __setitem__(self, key: Any, value: Any) -> None:
        pass

    def append(self, item: Any) -> None:
        """As of a list."""


class _Reader(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        return _PLAIN.get((module, name), Thing)


def read_pickle(path: Path) -> Any:
    """What a pickle holds.

    Raises:
        ConfigurationError: it cannot be read in this way.
    """
    try:
        with path.open("rb") as file:
            return _Reader(file).load()
    except OSError:
        raise
    except Exception as error:  # a pickle can ask for anything
        raise ConfigurationError(
            f"{path} cannot be read without running its code ({type(error).__name__}: {error}); "
            "numpy arrays and plain values can"
        ) from error
