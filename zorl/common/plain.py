"""Plain values: what JSON holds exactly, for everything that a user gives and a file keeps."""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping
from typing import Any


def plain(value: Any) -> Any:
    """The value with Python's own numbers, truth values and text in place of numpy's scalars.

    Looks into lists, tuples and dicts; everything else is returned as it is.

    Example:
        >>> import numpy as np
        >>> plain({"m": np.int64(3), "hidden": (np.int32(8),)})
        {'m': 3, 'hidden': (8,)}
    """
    numpy = sys.modules.get("numpy")  # where it was not imported, nothing is of it
    if numpy is not None and isinstance(value, numpy.generic):
        for kind, make in ((numpy.bool_, bool), (numpy.integer, int), (numpy.floating, float)):
            if isinstance(value, kind):
                return make(value)
        return value.item()
    if type(value) in (list, tuple):
        return type(value)(map(plain, value))
    if type(value) is dict:
        return {name: plain(item) for name, item in value.items()}
    return value


def whole(value: Any) -> Any:
    """As `plain`, but a float without a fraction, as 1e6, is an integer."""
    value = plain(value)
    return int(value) if isinstance(value, float) and value.is_integer() else value


def why_not_json(value: Any, name: str) -> str | None:
    """Why a value cannot be written as JSON and read back the same; None where it can.

    Args:
        value: any value; tuples count as lists, numpy's scalars do not count as numbers.
        name: what the answer calls it.
    """
    if value is None or isinstance(value, (bool, int, str)):
        return None
    if isinstance(value, float):
        return None if math.isfinite(value) else f"{name} is {value}, which JSON cannot hold"
    if isinstance(value, (list, tuple)):
        reasons = (why_not_json(item, f"{name}[{i}]") for i, item in enumerate(value))
    elif isinstance(value, Mapping):
        for key in value:
            if not isinstance(key, str):
                return f"{name} has the key {key!r}, and keys must be text"
        reasons = (why_not_json(item, f"{name}.{key}") for key, item in value.items())
    else:
        return (
            f"{name} is {value!r} of type {type(value).__name__}, which no file can hold; files "
            "hold numbers, text, None, True, False, and lists and mappings of these"
        )
    return next((reason for reason in reasons if reason), None)
