"""A function of arrays as a flat list of JAX's primitives with folded constants.

JAX traces the function; calls are inlined, and of what a function has in several forms
for several platforms the general one is taken, not a CPU's. What depends on constants
alone is computed once (a BatchNorm's scale times a kernel), but is not blown up by
broadcasting.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import jax.extend.core as jex
import numpy as np


@dataclass(eq=False, slots=True)
class Variable:
    """An array that depends on the inputs. Sizes may be symbolic."""

    shape: tuple[Any, ...]
    dtype: np.dtype


Operand = Variable | np.ndarray


@dataclass(eq=False, slots=True)
class Operation:
    """One primitive at work."""

    primitive: Any
    operands: list[Operand]
    params: Mapping[str, Any]
    results: list[Variable]

    def bind(self, arrays: Sequence[Any]) -> list[Any]:
        """What the primitive makes of these arrays."""
        made = self.primitive.bind(*arrays, **self.params)
        return list(made) if self.primitive.multiple_results else [made]


@dataclass(eq=False, slots=True)
class Program:
    """Operations from inputs to outputs, in an order in which they can be done."""

    inputs: list[Variable]
    operations: list[Operation]
    outputs: list[Operand]

    def __call__(self, *arrays: Any) -> list[Any]:
        """The outputs; can be traced, as by `jax.jit`."""
        known = dict(zip(self.inputs, arrays, strict=True))
        _run(self.operations, known)
        return [_value(output, known) for output in self.outputs]


def trace(function: Callable[..., Any], *inputs: jax.ShapeDtypeStruct) -> Program:
    """The program of a function that returns one array or several.

    Args:
        function: what JAX can trace; arrays that it closes over are constants.
        inputs: shapes and types; sizes may be symbolic (`jax.export.symbolic_shape`).
    """
    closed = jax.make_jaxpr(function)(*inputs)
    given = [_variable(var.aval) for var in closed.jaxpr.invars]
    operations: list[Operation] = []
    constants = [np.asarray(constant) for constant in closed.consts]
    outputs = _inline(closed.jaxpr, constants, given, operations)
    needed = _needed(operations, outputs)
    return _folded(Program(given, needed, outputs))


def _variable(aval: Any) -> Variable:
    return Variable(tuple(aval.shape), np.dtype(aval.dtype))


def _inline(jaxpr, constants, arguments, operations: list[Operation]) -> list[Operand]:
    """Appends the operations of a jaxpr and of all that it calls; its outputs."""
    known: dict[Any, Operand] = dict(zip(jaxpr.constvars, constants, strict=True))
    known |= zip(jaxpr.invars, arguments, strict=True)

    def read(atom) -> Operand:
        if isinstance(atom, jex.Literal):  # a number of Python's has no type of its own
            return np.asarray(atom.val, _variable(atom.aval).dtype)
        return known[atom]

    for eqn in jaxpr.eqns:
        operands = [read(atom) for atom in eqn.invars]
        inner = _called(eqn, operands)
        if eqn.primitive.name == "platform_index":
            others = [i for i, p in enumerate(eqn.params["platforms"]) if p is None]
            results = [np.asarray(others[0], np.int32)]
        elif inner is not None:
            inner_jaxpr, inner_constants, given = inner
            results = _inline(inner_jaxpr, inner_constants, given, operations)
        else:
            results = [_variable(var.aval) for var in eqn.outvars]
            done = Operation(eqn.primitive, operands, eqn.params, results)
            if _is_scalar_constant(done):
                results = [np.asarray(x) for x in done.bind(operands)]
            else:
                operations.append(done)
        known |= zip(eqn.outvars, results, strict=True)
    return [read(atom) for atom in jaxpr.outvars]


def _called(eqn, operands) -> tuple[Any, list, list] | None:
    """Jaxpr, constants and arguments of what an equation calls, if it does."""
    if eqn.primitive.name == "cond":
        which, *given = operands
        if isinstance(which, Variable):
            return None
        branches = eqn.params["branches"]
        called = branches[int(np.clip(which, 0, len(branches) - 1))]
    else:
        names = ("jaxpr", "call_jaxpr", "fun_jaxpr")
        called = next((eqn.params[n] for n in names if n in eqn.params), None)
        given = operands
    if called is None or eqn.primitive.name in ("scan", "while"):
        return None
    constants = [np.asarray(x) for x in getattr(called, "consts", ())]
    jaxpr = called.jaxpr if hasattr(called, "consts") else called
    return jaxpr, constants, given


def _is_scalar_constant(operation: Operation) -> bool:
    """Whether it can be computed at once: of these some decide between branches."""
    return all(not isinstance(x, Variable) for x in operation.operands) and all(
        x.shape == () for x in operation.results
    )


def _needed(operations: list[Operation], outputs: list[Operand]) -> list[Operation]:
    """Without those that no output depends on."""
    wanted = {x for x in outputs if isinstance(x, Variable)}
    kept = []
    for operation in reversed(operations):
        if wanted & set(operation.results):
            wanted |= {x for x in operation.operands if isinstance(x, Variable)}
            kept.append(operation)
    return kept[::-1]


def _folded(program: Program) -> Program:
    """What depends on constants alone is computed, in one compiled function."""
    constant: dict[Variable, Operation] = {}
    for operation in program.operations:
        fixed = all(
            not isinstance(x, Variable) or x in constant for x in operation.operands
        )
        static = all(isinstance(n, int) for x in operation.results for n in x.shape)
        if fixed and static:
            constant |= dict.fromkeys(operation.results, operation)
    rest, wanted = [], {x for x in program.outputs if x in set(constant)}
    for operation in reversed(program.operations):
        result = operation.results[0]
        is_constant = result in constant
        spread = operation.primitive.name == "broadcast_in_dim" and result in wanted
        if not is_constant or spread:
            rest.append(operation)
            wanted |= {x for x in operation.operands if isinstance(x, Variable)}
    wanted = {x for x in wanted if x in constant}
    return _with_constants(program, constant, wanted, rest[::-1])


def _with_constants(program, constant, wanted, rest) -> Program:
    operations = list(dict.fromkeys(constant.values()))
    results = [x for operation in operations for x in operation.results if x in wanted]
    operations = _needed(operations, results)
    arrays = {
        id(x): x for o in operations for x in o.operands if not isinstance(x, Variable)
    }

    @jax.jit
    def compute(given):
        known: dict[Variable, Any] = {}
        _run(operations, known, given)
        return [known[x] for x in results]

    values = dict(zip(results, map(np.asarray, compute(arrays)), strict=True))

    def known(operand):
        return (
            values.get(operand, operand) if isinstance(operand, Variable) else operand
        )

    kept = [
        Operation(o.primitive, [known(x) for x in o.operands], o.params, o.results)
        for o in rest
    ]
    return Program(program.inputs, kept, [known(x) for x in program.outputs])


def _run(
    operations, known: dict[Variable, Any], given: Mapping[int, Any] | None = None
):
    """Does the operations on the known arrays, and adds the results to them."""
    for operation in operations:
        arrays = [_value(x, known, given) for x in operation.operands]
        known |= zip(operation.results, operation.bind(arrays), strict=True)


def _value(operand: Operand, known, given=None) -> Any:
    if isinstance(operand, Variable):
        return known[operand]
    return operand if given is None else given[id(operand)]
