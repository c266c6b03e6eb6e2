"""Arguments of constructors as a value: compared, hashed, written to JSON, and given back the same.

JSON has neither tuples nor numpy's types; wrappers such as `ResizeObservation(shape=(84, 84))` and
`RescaleAction` ask for just these. In JSON they are mappings with one of the keys below.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from zorl.common.errors import ConfigurationError
from zorl.common.options import FrozenList, Options

_TUPLE, _ARRAY, _DTYPE, _TYPE = "python/tuple", "numpy/array", "numpy/dtype", "numpy/type"


class Arguments(Options):
    """Options whose values may be tuples, arrays and dtypes too; `build` gives them back.

    Args:
        values: names to values, or what `thaw` gave.

    Raises:
        ConfigurationError: for a value that no file can hold.

    Example:
        >>> arguments = Arguments({"shape": (84, 84), "dtype": np.uint8})
        >>> arguments.thaw()
        {'shape': {'python/tuple': [84, 84]}, 'dtype': {'numpy/type': 'uint8'}}
        >>> Arguments(arguments.thaw()) == arguments, arguments.build()["shape"]
        (True, (84, 84))
    """

    __slots__ = ()

    def __init__(self, values: Mapping[str, Any] | None = None) -> None:
        if isinstance(values, Options):
            values = values.thaw()
        if isinstance(values, Mapping):
            values = {name: _encoded(value) for name, value in values.items()}
        super().__init__(values)

    def build(self) -> dict[str, Any]:
        """Return what a constructor takes; its own to change."""
        return {name: _decoded(value) for name, value in self.thaw().items()}


def _encoded(value: Any) -> Any:
    if isinstance(value, Options):  # of others, which are encoded already
        return value.thaw()
    if isinstance(value, tuple) and not isinstance(value, FrozenList):
        return {_TUPLE: [_encoded(item) for item in value]}
    if isinstance(value, (list, FrozenList)):
        return [_encoded(item) for item in value]
    if isinstance(value, np.ndarray):
        return {_ARRAY: value.tolist(), "dtype": value.dtype.name}
    if isinstance(value, np.dtype):
        return {_DTYPE: value.name}
    if isinstance(value, type) and issubclass(value, np.generic):
        return {_TYPE: np.dtype(value).name}
    if isinstance(value, Mapping):
        return {name: _encoded(item) for name, item in value.items()}
    return value


def _decoded(value: Any) -> Any:
    if isinstance(value, list):
        return [_decoded(item) for item in value]
    if not isinstance(value, dict):
        return value
    try:
        if value.keys() == {_TUPLE} and isinstance(value[_TUPLE], list):
            return tuple(_decoded(item) for item in value[_TUPLE])
        if value.keys() == {_ARRAY, "dtype"}:
            return np.array(value[_ARRAY], np.dtype(value["dtype"]))
        if value.keys() == {_DTYPE}:
            return np.dtype(value[_DTYPE])
        if value.keys() == {_TYPE}:
            return np.dtype(value[_TYPE]).type
    except (TypeError, ValueError) as error:
        raise ConfigurationError(f"{value} is no value of an argument: {error}") from error
    return {name: _decoded(item) for name, item in value.items()}
