"""What a MuJoCo task's methods compute on arrays, to the bits of numpy; and the calls of C.

numba's own sums run from left to right; numpy's sum in pairs. Its products and roots are numpy's.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.extending import intrinsic, overload

from zorl.rollout.compiled import intrinsics

fenced: Any = intrinsics.fenced
_BLOCK = 128  # numbers that numpy sums in one go


@intrinsic
def called(typing_context: Any, function: Any, model: Any, data: Any) -> Any:
    """Call the C function at an address, `void function(mjModel*, mjData*)`."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        pointer = ir.IntType(8).as_pointer()
        kind = ir.FunctionType(ir.VoidType(), [pointer, pointer])
        target = builder.inttoptr(arguments[0], kind.as_pointer())
        builder.call(target, [builder.inttoptr(value, pointer) for value in arguments[1:]])
        return context.get_dummy_value()

    return types.none(types.uintp, types.uintp, types.uintp), generate


@intrinsic
def _fused(typing_context: Any, x: Any, y: Any, z: Any) -> Any:
    """The sum x · y + z, rounded once."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.fma(*arguments)

    return types.float64(types.float64, types.float64, types.float64), generate


fused: Any = _fused


@njit(error_model="numpy")
def _block(values, first, n):  # type: ignore[no-untyped-def]
    """The sum of up to 128 numbers from `first` on, in numpy's order."""
    if n < 8:
        result = values.dtype.type(0)
        for i in range(first, first + n):
            result += values[i]
        return result
    r0, r1, r2, r3 = values[first], values[first + 1], values[first + 2], values[first + 3]
    r4, r5, r6, r7 = values[first + 4], values[first + 5], values[first + 6], values[first + 7]
    end = first + n - n % 8
    for i in range(first + 8, end, 8):
        r0 += values[i]
        r1 += values[i + 1]
        r2 += values[i + 2]
        r3 += values[i + 3]
        r4 += values[i + 4]
        r5 += values[i + 5]
        r6 += values[i + 6]
        r7 += values[i + 7]
    result = ((r0 + r1) + (r2 + r3)) + ((r4 + r5) + (r6 + r7))
    for i in range(end, first + n):
        result += values[i]
    return result


@njit(error_model="numpy")
def _in_pairs(values):  # type: ignore[no-untyped-def]
    """The same of more: numba cannot keep a function that calls itself in its cache."""
    # Of each open sum: first number, count, count of its left half, whether that is done, its sum.
    parts = np.empty((64, 5))
    depth = 0
    parts[0, 0], parts[0, 1], parts[0, 3] = 0, values.size, 0
    while True:
        while parts[depth, 1] > _BLOCK:
            n = int(parts[depth, 1])
            half = n // 2 - n // 2 % 8
            parts[depth, 2] = half
            parts[depth + 1, 0], parts[depth + 1, 1], parts[depth + 1, 3] = parts[depth, 0], half, 0
            depth += 1
        result = _block(values, int(parts[depth, 0]), int(parts[depth, 1]))
        depth -= 1
        while depth >= 0 and parts[depth, 3] > 0:
            result = values.dtype.type(parts[depth, 4]) + result
            parts[depth, 3] = 0
            depth -= 1
        if depth < 0:
            return result
        half = parts[depth, 2]
        parts[depth, 4], parts[depth, 3] = result, 1
        parts[depth + 1, 0], parts[depth + 1, 1] = parts[depth, 0] + half, parts[depth, 1] - half
        parts[depth + 1, 3] = 0
        depth += 1


@njit(error_model="numpy")
def total(values):  # type: ignore[no-untyped-def]
    """np.sum of a contiguous array of real numbers, or of one dimension."""
    flat = values.ravel()
    if flat.size > _BLOCK:
        return _in_pairs(flat)
    return _block(flat, np.int64(0), flat.size)


@njit(error_model="numpy")
def mean(values):  # type: ignore[no-untyped-def]
    """np.mean of the same."""
    return total(values) / values.size


@njit(error_model="numpy")
def begin(part, start, first):  # type: ignore[no-untyped-def]
    """Fill an array of one dimension with the numbers from `first` on; the index after these."""
    for i in range(part.size):
        part[i] = start[first + i]
    return first + part.size


def copied(value):  # type: ignore[no-untyped-def]
    """A number, or an array of its own."""
    return value.copy() if isinstance(value, np.ndarray) else value


@overload(copied)
def _copied(value):  # type: ignore[no-untyped-def]
    if isinstance(value, types.Array):
        return lambda value: value.copy()
    return lambda value: value


@njit(error_model="numpy")
def norm(values):  # type: ignore[no-untyped-def]
    """np.linalg.norm of up to 15 numbers: the library's dot product fuses, from left to right."""
    if values.size > 15:
        raise ValueError("np.linalg.norm is compiled for up to 15 numbers")
    result = 0.0
    for i in range(values.size):
        result = fused(values[i], values[i], result)
    return math.sqrt(result)


def assign(target, value):  # type: ignore[no-untyped-def]
    """Put target[:] = value, in a loop: numba takes seconds to compile its own."""
    target[...] = value


@overload(assign)
def _assign(target, value):  # type: ignore[no-untyped-def]
    if isinstance(value, types.Number) and target.ndim == 1:

        def number(target, value):  # type: ignore[no-untyped-def]
            for i in range(target.size):
                target[i] = value

        return number
    if isinstance(value, types.Array) and target.ndim == value.ndim == 1:

        def numbers(target, value):  # type: ignore[no-untyped-def]
            if value.size not in (1, target.size):
                raise ValueError("an array has another size than the part that it is assigned to")
            own = value.copy()  # it may be another part of the same memory
            for i in range(target.size):
                target[i] = own[i if own.size > 1 else 0]

        return numbers

    def plain(target, value):  # type: ignore[no-untyped-def]
        target[...] = value

    return plain


def power(x, y):  # type: ignore[no-untyped-def]
    """The power x ** y: of numbers the C library's pow, of an array's square the product."""
    return x**y


@overload(power)
def _power(x, y):  # type: ignore[no-untyped-def]
    if isinstance(x, types.Array):
        if isinstance(y, types.IntegerLiteral) and y.literal_value == 2:
            return lambda x, y: x * x
        return lambda x, y: x**y
    return lambda x, y: math.pow(x, fenced(float(y)))


def constant(text: str, dtype: str, shape: tuple[int, ...]) -> Any:
    """An array from its bytes in hexadecimal digits."""
    return np.frombuffer(bytes.fromhex(text), dtype).reshape(shape).copy()
