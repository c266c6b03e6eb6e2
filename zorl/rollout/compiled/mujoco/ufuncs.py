"""numpy's own loops of sin, exp and the like, called from kernels.

numpy computes them with SIMD code of its own, whose last bits are not the C library's. A kernel
calls the very loop that numpy has chosen for this processor. Where numpy calls the C library
itself, so does the kernel.
"""

from __future__ import annotations

from typing import Any

import llvmlite.binding
import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic, overload
from numba.np.arrayobj import make_array

from zorl.rollout.compiled.mujoco.loops import found


def like_numpy(name: str, how: str) -> Any:
    """A function for kernels, which computes what numpy's function of this name does.

    Args:
        name: of a ufunc that has a loop over doubles.
        how: what `kind` says, so that it stands in a kernel's source and its code is not used
            where that is otherwise.
    """
    inputs = getattr(np, name).nin
    loop, one = found(name)
    symbol = f"zorl_numpy_{how}_{name}"
    llvmlite.binding.add_symbol(symbol, one if how == "one" else loop)
    return _function(_called_one if how == "one" else _called_loop, symbol, inputs)


_array: Any = make_array
_build: Any = cgutils


def _called_loop(builder: Any, symbol: str, places: list[Any], size: Any) -> None:
    """Call a loop over `size` numbers; `places` of the inputs and of the output."""
    pointer, word = ir.IntType(8).as_pointer(), ir.IntType(64)
    starts = _build.alloca_once(builder, pointer, size=len(places))
    steps = _build.alloca_once(builder, word, size=len(places))
    count = _build.alloca_once_value(builder, size)
    for i, place in enumerate(places):
        where = [ir.Constant(ir.IntType(32), i)]
        builder.store(builder.bitcast(place, pointer), builder.gep(starts, where))
        builder.store(ir.Constant(word, 8), builder.gep(steps, where))
    several, words = pointer.as_pointer(), word.as_pointer()
    kind = ir.FunctionType(ir.VoidType(), [several, words, words, pointer])
    function = _build.get_or_insert_function(builder.module, kind, symbol)
    builder.call(function, [starts, count, steps, ir.Constant(pointer, None)])


def _called_one(builder: Any, symbol: str, places: list[Any], size: Any) -> None:
    """The same by a function of numbers."""
    number = ir.DoubleType()
    kind = ir.FunctionType(number, [number] * (len(places) - 1))
    function = _build.get_or_insert_function(builder.module, kind, symbol)
    with _build.for_range(builder, size) as loop:
        *given, out = [builder.gep(place, [loop.index]) for place in places]
        builder.store(builder.call(function, [builder.load(place) for place in given]), out)


def _function(write: Any, symbol: str, inputs: int) -> Any:
    """A function of numbers or arrays."""
    number = types.float64

    def of_numbers(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        places = [_build.alloca_once_value(builder, argument) for argument in arguments]
        out = _build.alloca_once(builder, ir.DoubleType())
        write(builder, symbol, [*places, out], ir.Constant(ir.IntType(64), 1))
        return builder.load(out)

    def of_arrays(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        arrays = [
            _array(kind)(context, builder, argument)
            for kind, argument in zip(signature.args, arguments, strict=True)
        ]
        write(builder, symbol, [array.data for array in arrays], arrays[0].nitems)
        return context.get_dummy_value()

    if inputs == 1:

        @intrinsic
        def one(typing_context: Any, x: Any) -> Any:
            return number(number), of_numbers

        @intrinsic
        def into(typing_context: Any, x: Any, out: Any) -> Any:
            return types.none(x, out), of_arrays

        return _unary(one, into)

    @intrinsic
    def two(typing_context: Any, x: Any, y: Any) -> Any:
        return number(number, number), of_numbers

    @intrinsic
    def both_into(typing_context: Any, x: Any, y: Any, out: Any) -> Any:
        return types.none(x, y, out), of_arrays

    return _binary(two, both_into)


def _unary(one: Any, into: Any) -> Any:
    def function(x):  # type: ignore[no-untyped-def]
        """Of a number or an array."""

    @overload(function)
    def choose(x):  # type: ignore[no-untyped-def]
        if not isinstance(x, types.Array):
            return lambda x: one(x)
        if x.layout == "C" and x.dtype == types.float64:

            def of_array(x):  # type: ignore[no-untyped-def]
                out = np.empty(x.shape)
                into(x, out)
                return out

            return of_array

        def of_any(x):  # type: ignore[no-untyped-def]
            out = np.ascontiguousarray(x).astype(np.float64)
            into(out, out)
            return out

        return of_any

    return function


def _binary(two: Any, both_into: Any) -> Any:
    def function(x, y):  # type: ignore[no-untyped-def]
        """Of numbers or arrays."""

    @overload(function)
    def choose(x, y):  # type: ignore[no-untyped-def]
        if not (isinstance(x, types.Array) or isinstance(y, types.Array)):
            return lambda x, y: two(x, y)

        def of_arrays(x, y):  # type: ignore[no-untyped-def]
            nothing = np.zeros((0.0 * x + 0.0 * y).shape)  # of the shape of both
            one, other, out = x - nothing, y - nothing, nothing
            both_into(one, other, out)
            return out

        return of_arrays

    return function
