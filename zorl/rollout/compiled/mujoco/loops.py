"""Where numpy keeps the loops of its functions over doubles."""

from __future__ import annotations

import ctypes

import numpy as np

_DOUBLE = np.dtype(np.float64).num


class _Ufunc(ctypes.Structure):
    """How `numpy/ufuncobject.h` begins, in all versions of numpy."""

    _fields_ = (
        ("object", ctypes.c_ssize_t * 2),
        ("numbers", ctypes.c_int * 4),  # inputs, outputs, both, identity
        ("functions", ctypes.POINTER(ctypes.c_void_p)),
        ("data", ctypes.POINTER(ctypes.c_void_p)),
        ("ntypes", ctypes.c_int),
        ("reserved", ctypes.c_int),
        ("name", ctypes.c_char_p),
        ("types", ctypes.c_void_p),
    )


def kind(name: str) -> str:
    """How numpy computes a function of doubles: by a "loop" of its own, or a function of "one"."""
    return "one" if found(name)[1] else "loop"


def found(name: str) -> tuple[int, int]:
    """The addresses of a ufunc's loop over doubles, and of what it is to call, if anything.

    Args:
        name: of a ufunc that has such a loop, "sin".
    """
    whole = _Ufunc.from_address(id(getattr(np, name)))
    width = whole.numbers[2]
    kinds = ctypes.string_at(whole.types, whole.ntypes * width)
    index = next(
        i for i in range(whole.ntypes) if set(kinds[i * width : (i + 1) * width]) == {_DOUBLE}
    )
    called = whole.data[index] if whole.data else None
    return whole.functions[index] or 0, called or 0
