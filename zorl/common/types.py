"""Array types and callables that the whole library shares."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

Vector = NDArray[np.float64]
Matrix = NDArray[np.float64]

# Called between records; returns whether to stop now (a signal arrived, a goal is reached).
Stop = Callable[[], bool]


def frozen(array: NDArray[Any]) -> NDArray[Any]:
    """Make the array read-only and return it."""
    array.setflags(write=False)
    return array
