"""Primitives that work element by element, in whatever layout their operands have."""

from collections.abc import Sequence

import numpy as np

from jreid.export.onnx.graph import Graph, View, is_one
from jreid.export.onnx.handlers import handles, refuse
from jreid.export.program import Operand, Operation, Variable

NODES = {
    "abs": "Abs",
    "add": "Add",
    "ceil": "Ceil",
    "cos": "Cos",
    "div": "Div",
    "eq": "Equal",
    "erf": "Erf",
    "exp": "Exp",
    "floor": "Floor",
    "ge": "GreaterOrEqual",
    "gt": "Greater",
    "le": "LessOrEqual",
    "log": "Log",
    "logistic": "Sigmoid",
    "lt": "Less",
    "max": "Max",
    "min": "Min",
    "mul": "Mul",
    "neg": "Neg",
    "pow": "Pow",
    "sign": "Sign",
    "sin": "Sin",
    "sqrt": "Sqrt",
    "sub": "Sub",
    "tanh": "Tanh",
}
LOGICAL = {"and": "And", "not": "Not", "or": "Or", "xor": "Xor"}


def aligned(graph: Graph, operation: Operation) -> tuple[list[str], list[int]]:
    """The operands' tensors so that ONNX's broadcasting fits them; their axes' order.

    It is the order of the variable with the most axes, so that none of those that
    convolutions made is turned back.
    """
    operands = operation.operands
    orders = [graph.view(x).order for x in operands if isinstance(x, Variable)]
    order = max(orders, key=len, default=())
    needed = {a for other in orders for a in other}
    for x in operands:
        if not isinstance(x, Variable):
            needed |= {a for a, size in enumerate(x.shape) if not is_one(size)}
    if not needed <= set(order):
        order = sorted(needed)
    return [_aligned(graph, x, order) for x in operands], list(order)


def _aligned(graph: Graph, operand: Operand, order: Sequence[int]) -> str:
    if operand.shape == ():
        return graph.view(operand).name
    return graph.arrange(operand, order, spread=False)


def result(operation: Operation, name: str, order: Sequence[int]) -> View:
    """The view of an operation's only result."""
    return View.ordered(name, order, len(operation.results[0].shape))


@handles(*NODES)
def emit_simple(graph: Graph, operation: Operation) -> View:
    """One node of ONNX does the same."""
    names, order = aligned(graph, operation)
    kind = NODES[operation.primitive.name]
    if kind == "Max" and (variable := _rectified(operation)) is not None:
        names, kind = [names[variable]], "Relu"
    return result(operation, graph.add(kind, *names), order)


def _rectified(operation: Operation) -> int | None:
    """The place of x in max(x, 0) of floating point, which is a ReLU."""
    for place in (0, 1):
        other = operation.operands[1 - place]
        is_zero = isinstance(other, np.ndarray) and other.shape == () and not other
        if is_zero and np.issubdtype(other.dtype, np.floating):
            return place
    return None


@handles(*LOGICAL)
def emit_logical(graph: Graph, operation: Operation) -> View:
    """Of truth values; bits of numbers are refused."""
    if operation.results[0].dtype != bool:
        raise refuse(operation, "numbers")
    names, order = aligned(graph, operation)
    return result(
        operation, graph.add(LOGICAL[operation.primitive.name], *names), order
    )


@handles("ne")
def emit_unequal(graph: Graph, operation: Operation) -> View:
    """Not equal."""
    names, order = aligned(graph, operation)
    return result(operation, graph.add("Not", graph.add("Equal", *names)), order)


@handles("rsqrt")
def emit_rsqrt(graph: Graph, operation: Operation) -> View:
    """1 / sqrt(x)."""
    names, order = aligned(graph, operation)
    return result(operation, graph.add("Reciprocal", graph.add("Sqrt", *names)), order)


@handles("square")
def emit_square(graph: Graph, operation: Operation) -> View:
    """x times x."""
    (name,), order = aligned(graph, operation)
    return result(operation, graph.add("Mul", name, name), order)


@handles("integer_pow")
def emit_integer_power(graph: Graph, operation: Operation) -> View:
    """x to the power of a whole number."""
    (name,), order = aligned(graph, operation)
    if operation.params["y"] == 2:
        return result(operation, graph.add("Mul", name, name), order)
    exponent = np.array(operation.params["y"], operation.results[0].dtype)
    return result(operation, graph.add("Pow", name, graph.constant(exponent)), order)


@handles("is_finite")
def emit_is_finite(graph: Graph, operation: Operation) -> View:
    """Neither infinite nor NaN."""
    (name,), order = aligned(graph, operation)
    either = graph.add("Or", graph.add("IsInf", name), graph.add("IsNaN", name))
    return result(operation, graph.add("Not", either), order)


@handles("clamp")
def emit_clamp(graph: Graph, operation: Operation) -> View:
    """Between a lower and an upper bound."""
    (lower, x, upper), order = aligned(graph, operation)
    name = graph.add("Min", graph.add("Max", x, lower), upper)
    return result(operation, name, order)


@handles("select_n")
def emit_select(graph: Graph, operation: Operation) -> View:
    """One of two cases, by a truth value or by 0 or 1."""
    (which, *cases), order = aligned(graph, operation)
    if len(cases) != 2:
        raise refuse(operation, f"{len(cases)} cases")
    if operation.operands[0].dtype != bool:
        which = graph.add("Cast", which, to=_type(graph, np.dtype(bool)))
    return result(operation, graph.add("Where", which, cases[1], cases[0]), order)


@handles("convert_element_type")
def emit_cast(graph: Graph, operation: Operation) -> View:
    """Another type of numbers."""
    (name,), order = aligned(graph, operation)
    to = _type(graph, operation.results[0].dtype)
    return result(operation, graph.add("Cast", name, to=to), order)


def _type(graph: Graph, dtype: np.dtype) -> int:
    return graph.helper.np_dtype_to_tensor_dtype(dtype)
