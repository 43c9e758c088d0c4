"""Lanes (see `model.fused_lanes`) as bfloat16 in memory, and their sum."""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from surrogate3d.model.fused_lanes import LANES, lanes

_FLOATS, _INTS, _HALVES = (ir.VectorType(k, LANES) for k in (ir.FloatType(), ir.IntType(32), ir.IntType(16)))


def _address(context: Any, builder: Any, array_type: Any, array: Any, index: Any) -> Any:
    at = builder.gep(context.make_array(array_type)(context, builder, array).data, [index], inbounds=True)
    return builder.bitcast(at, _HALVES.as_pointer())


def _all(value: int) -> Any:
    return ir.Constant(_INTS, [value] * LANES)


@intrinsic
def store_half(typing: Any, array: Any, index: Any, value: Any) -> Any:
    """Put lanes to `array[index : index + 16]` of uint16: the upper half of each float32, rounded to even."""

    def code(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        bits = builder.bitcast(args[2], _INTS)
        odd = builder.and_(builder.lshr(bits, _all(16)), _all(1))
        rounded = builder.lshr(builder.add(builder.add(bits, _all(0x7FFF)), odd), _all(16))
        at = _address(context, builder, signature.args[0], *args[:2])
        builder.store(builder.trunc(rounded, _HALVES), at).align = 2
        return context.get_dummy_value()

    return types.void(array, types.intp, lanes), code


@intrinsic
def load_half(typing: Any, array: Any, index: Any) -> Any:
    """Lanes from `array[index : index + 16]` of uint16."""

    def code(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        halves = builder.load(_address(context, builder, signature.args[0], *args))
        halves.align = 2
        return builder.bitcast(builder.shl(builder.zext(halves, _INTS), _all(16)), _FLOATS)

    return lanes(array, types.intp), code


@intrinsic
def sum_of(typing: Any, value: Any) -> Any:
    """Sum over the lanes."""

    def code(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        kind = ir.FunctionType(ir.FloatType(), [ir.FloatType(), _FLOATS])
        add = cgutils.get_or_insert_function(builder.module, kind, f"llvm.vector.reduce.fadd.v{LANES}f32")  # type: ignore[no-untyped-call]
        return builder.call(add, [ir.Constant(ir.FloatType(), 0.0), args[0]], fastmath=("reassoc",))

    return types.float32(lanes), code
