"""What kernels need and numba does not have: arrays on the stack, a shared counter, a fence."""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types
from numba.extending import intrinsic
from numba.np.arrayobj import make_array, populate_array


@intrinsic(prefer_literal=True)
def stacked(typing_context: Any, size: Any, kind: Any) -> Any:
    """A vector of `size` numbers of dtype `kind` on the stack, not initialised.

    LLVM knows that such memory is no other memory, so that loops over it need no check for overlap
    before they become SIMD, and no slower twin for the case that there is one.
    """
    count = size.literal_value
    element = kind.dtype
    array = types.Array(element, 1, "C")

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        number = context.get_data_type(element)
        with builder.goto_entry_block():
            memory = builder.alloca(ir.ArrayType(number, count))
            memory.align = 64
        result = make_array(array)(context, builder)
        word = context.get_value_type(types.intp)
        width = context.get_abi_sizeof(number)
        populate_array(
            result,
            data=builder.bitcast(memory, number.as_pointer()),
            shape=[ir.Constant(word, count)],
            strides=[ir.Constant(word, width)],
            itemsize=ir.Constant(word, width),
            meminfo=None,
        )
        return result._getvalue()

    return array(size, kind), generate


@intrinsic
def taken(typing_context: Any, counter: Any, count: Any) -> Any:
    """Add `count` to counter[0] (int64) atomically, and return what it was before."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        array = make_array(counter)(context, builder, arguments[0])
        return builder.atomic_rmw("add", array.data, arguments[1], "seq_cst")

    return types.int64(counter, types.int64), generate


@intrinsic
def fenced(typing_context: Any, value: Any) -> Any:
    """Hide a number's value from the compiler: a power of 2 then stays a call of pow."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        fence = builder.module.declare_intrinsic("llvm.arithmetic.fence", [arguments[0].type])
        return builder.call(fence, arguments)

    return value(value), generate
