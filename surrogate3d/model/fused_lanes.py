"""Sixteen float32 numbers as one value of compiled code: one voxel a lane.

Loops over voxels are vectorised by a compiler only where it can prove that no two arrays overlap, and then its sums go
through memory. Here the vector is a type of its own, `lanes`, which stays in a register (AVX-512) or in a few of them
(AVX2, NEON), so that compiled code reads like arithmetic on one voxel. Products that are added are fused.

The callers' compiled files do not notice a change in this file: numba looks at the file of the cached function only.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic, models, overload, register_model

LANES = 16
"""Voxels that are worked on together."""

_FLOATS, _INTS = ir.VectorType(ir.FloatType(), LANES), ir.VectorType(ir.IntType(32), LANES)
_BYTES = ir.IntType(8).as_pointer()
_MANTISSA_BITS = 23
_HALF_ROOT_BITS = 0x3F3504F3  # of sqrt(1/2)


class LanesType(types.Type):
    """Numba's type of `LANES` float32 numbers."""

    def __init__(self) -> None:
        super().__init__(name=f"lanes{LANES}")


lanes = LanesType()


@register_model(LanesType)
class _LanesModel(models.PrimitiveModel):
    def __init__(self, manager: Any, of: Any) -> None:
        super().__init__(manager, of, _FLOATS)  # type: ignore[no-untyped-call]


_declare: Any = cgutils.get_or_insert_function


def _compiled(write: Callable[..., Any]) -> Any:
    """Numba's intrinsic, of any type to checkers: compiled code is not typed."""
    return intrinsic(write)


def _place(context: Any, builder: Any, array_type: Any, array: Any, index: Any) -> Any:
    """Address of an element; never from the end of the array, as indices of Python's are."""
    return builder.gep(context.make_array(array_type)(context, builder, array).data, [index])


@_compiled
def load(typing: Any, array: Any, index: Any) -> Any:
    """Lanes from `array[index : index + 16]`, aligned or not."""

    def code(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        at = _place(context, builder, signature.args[0], *args)
        value = builder.load(builder.bitcast(at, _FLOATS.as_pointer()))
        value.align = 4
        return value

    return lanes(array, types.intp), code


@_compiled
def store(typing: Any, array: Any, index: Any, value: Any) -> Any:
    """Put lanes to `array[index : index + 16]`."""

    def code(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        at = _place(context, builder, signature.args[0], *args[:2])
        builder.store(args[2], builder.bitcast(at, _FLOATS.as_pointer())).align = 4
        return context.get_dummy_value()

    return types.void(array, types.intp, lanes), code


@_compiled
def fetch(typing: Any, array: Any, index: Any) -> Any:
    """Ask for the cache line of `array[index]`, which will be read soon; the index may be outside."""

    def code(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        at = builder.bitcast(_place(context, builder, signature.args[0], *args), _BYTES)
        kind = ir.FunctionType(ir.VoidType(), [_BYTES, *(ir.IntType(32),) * 3])
        called = _declare(builder.module, kind, "llvm.prefetch.p0")
        builder.call(called, [at, *(ir.Constant(ir.IntType(32), n) for n in (0, 2, 1))])  # to read, to keep, data
        return context.get_dummy_value()

    return types.void(array, types.intp), code


def _splat(builder: Any, value: Any) -> Any:
    zero = ir.Constant(ir.IntType(32), 0)
    one = builder.insert_element(ir.Constant(_FLOATS, ir.Undefined), value, zero)
    return builder.shuffle_vector(one, ir.Constant(_FLOATS, ir.Undefined), ir.Constant(_INTS, None))


@_compiled
def broadcast(typing: Any, array: Any, index: Any) -> Any:
    """`array[index]` in every lane."""

    def code(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return _splat(builder, builder.load(_place(context, builder, signature.args[0], *args)))

    return lanes(array, types.intp), code


@_compiled
def splat(typing: Any, value: Any) -> Any:
    """A number in every lane."""

    def code(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return _splat(builder, args[0])

    return lanes(types.float32), code


def _of_lanes(count: int, make: Callable[..., Any]) -> Any:
    """Intrinsic of `count` lanes; `make(builder, *lanes)` writes it."""

    def typed() -> Any:
        def code(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            return make(builder, *args)

        return lanes(*(lanes,) * count), code

    if count == 1:
        return _compiled(lambda typing, a: typed() if a is lanes else None)
    if count == 2:
        return _compiled(lambda typing, a, b: typed() if a is lanes and b is lanes else None)
    return _compiled(lambda typing, a, b, c: typed())


def _called(name: str, count: int) -> Any:
    """LLVM's own function of `count` lanes."""

    def make(builder: Any, *args: Any) -> Any:
        kind = ir.FunctionType(_FLOATS, [_FLOATS] * count)
        return builder.call(_declare(builder.module, kind, f"llvm.{name}.v{LANES}f32"), args)

    return _of_lanes(count, make)


def _bits_exponent(builder: Any, value: Any) -> Any:
    """Integer lanes e so that value / 2^e is in [sqrt(1/2), sqrt(2))."""
    shifted = builder.sub(builder.bitcast(value, _INTS), ir.Constant(_INTS, [_HALF_ROOT_BITS] * LANES))
    return builder.ashr(shifted, ir.Constant(_INTS, [_MANTISSA_BITS] * LANES))


def _scaled(builder: Any, value: Any, exponent: Any) -> Any:
    shift = builder.shl(exponent, ir.Constant(_INTS, [_MANTISSA_BITS] * LANES))
    return builder.bitcast(builder.add(builder.bitcast(value, _INTS), shift), _FLOATS)


fused = _called("fmuladd", 3)
"""fused(a, b, c) = a * b + c."""

largest = _called("maxnum", 2)
smallest = _called("minnum", 2)
whole = _called("rint", 1)
root = _called("sqrt", 1)

scale = _of_lanes(2, lambda builder, value, n: _scaled(builder, value, builder.fptosi(n, _INTS)))
"""scale(a, n) = a * 2^n for whole n; a and the answer are neither zero nor subnormal."""

exponent = _of_lanes(1, lambda builder, value: builder.sitofp(_bits_exponent(builder, value), _FLOATS))
"""Power of two that brings a positive number into [sqrt(1/2), sqrt(2))."""

_OPERATORS = {
    operator.add: _of_lanes(2, lambda builder, a, b: builder.fadd(a, b, flags=("contract",))),
    operator.sub: _of_lanes(2, lambda builder, a, b: builder.fsub(a, b, flags=("contract",))),
    operator.mul: _of_lanes(2, lambda builder, a, b: builder.fmul(a, b, flags=("contract",))),
    operator.truediv: _of_lanes(2, lambda builder, a, b: builder.fdiv(a, b)),
}


def _define(symbol: Callable[..., Any], of_lanes: Any) -> None:
    """The operator between lanes, and between lanes and a number."""

    @overload(symbol)
    def _(a, b):  # type: ignore[no-untyped-def]  # numba compares the names and annotations of the arguments
        if a is lanes and b is lanes:
            return lambda a, b: of_lanes(a, b)
        if a is lanes and isinstance(b, types.Float | types.Integer):
            return lambda a, b: of_lanes(a, splat(b))
        if b is lanes and isinstance(a, types.Float | types.Integer):
            return lambda a, b: of_lanes(splat(a), b)
        return None


for _symbol, _of in _OPERATORS.items():
    _define(_symbol, _of)
