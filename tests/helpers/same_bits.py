"""Equality of arrays to the bit."""

from __future__ import annotations

from typing import Any


def assert_same_bits(a: Any, b: Any) -> None:
    assert a.shape == b.shape and a.dtype == b.dtype
    assert a.tobytes() == b.tobytes()
