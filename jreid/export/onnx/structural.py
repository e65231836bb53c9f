"""Primitives that move elements, or only say otherwise where they are."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from jreid.export.onnx.graph import Graph, View, is_one, is_static
from jreid.export.onnx.handlers import handles, refuse
from jreid.export.program import Operation


def numbers_of(graph: Graph, values: Sequence[Any]) -> str:
    """The name of a constant of int64."""
    return graph.constant(np.array(values, np.int64))


@handles("copy", "optimization_barrier", "stop_gradient")
def emit_nothing(graph: Graph, operation: Operation) -> View:
    """What means something to a gradient or a compiler only."""
    if len(operation.results) > 1:
        raise refuse(operation, f"{len(operation.results)} arrays")
    return graph.view(operation.operands[0])


@handles("transpose")
def emit_transpose(graph: Graph, operation: Operation) -> View:
    """No node: what reads it may not need it turned."""
    view = graph.view(operation.operands[0])
    return View(view.name, tuple(view.axes[i] for i in operation.params["permutation"]))


@handles("broadcast_in_dim")
def emit_broadcast(graph: Graph, operation: Operation) -> View:
    """No node: elementwise ones broadcast by themselves."""
    (operand, *_), new = operation.operands, operation.results[0].shape
    places = operation.params["broadcast_dimensions"]
    kept = [
        axis
        for axis in graph.view(operand).order
        if not (is_one(operand.shape[axis]) and not is_one(new[places[axis]]))
    ]
    name = graph.arrange(operand, kept) if operand.shape else graph.view(operand).name
    return View.ordered(name, [int(places[axis]) for axis in kept], len(new))


@handles("reshape", "squeeze")
def emit_reshape(graph: Graph, operation: Operation) -> View:
    """Without a node where only axes of size 1 come and go."""
    operand, new = operation.operands[0], operation.results[0].shape
    turned = operation.primitive.name == "reshape" and operation.params["dimensions"]
    if turned:
        raise refuse(operation, "an order of dimensions")
    before = [axis for axis, size in enumerate(operand.shape) if not is_one(size)]
    after = [axis for axis, size in enumerate(new) if not is_one(size)]
    if [operand.shape[a] for a in before] == [new[a] for a in after]:
        kept = [axis for axis in graph.view(operand).order if axis in before]
        name = graph.arrange(operand, kept)
        return View.ordered(name, [after[before.index(a)] for a in kept], len(new))
    symbolic = [size for size in new if not is_static(size)]
    sizes = [size if is_static(size) else -1 for size in new]
    shape = numbers_of(graph, sizes) if len(symbolic) < 2 else graph.shape(new)
    return View(
        graph.add("Reshape", graph.plain(operand), shape), tuple(range(len(new)))
    )


@handles("concatenate")
def emit_concatenate(graph: Graph, operation: Operation) -> View:
    """In the layout of the first operand."""
    dimension = operation.params["dimension"]
    order: Sequence[int] = graph.spread(operation.operands[0]).order
    rank = len(operation.results[0].shape)
    if dimension not in order:
        order = range(rank)
    names = [graph.arrange(operand, order) for operand in operation.operands]
    name = graph.add("Concat", *names, axis=list(order).index(dimension))
    return View.ordered(name, order, rank)


@handles("stack")
def emit_stack(graph: Graph, operation: Operation) -> View:
    """Arrays side by side along a new axis."""
    axis, rank = operation.params["axis"], len(operation.results[0].shape)
    order: list[int | None] = [*range(rank - 1)]
    order.insert(axis, None)
    names = [graph.arrange(operand, order) for operand in operation.operands]
    return View(graph.add("Concat", *names, axis=axis), tuple(range(rank)))


@handles("unstack")
def emit_unstack(graph: Graph, operation: Operation) -> list[View]:
    """The slices along an axis, without it."""
    axis, operand = operation.params["axis"], operation.operands[0]
    views = []
    for place in range(operand.shape[axis]):
        whole = sliced(graph, operation, {axis: (place, place + 1, 1)})
        views.append(without(graph, whole, [axis]))
    return views


@handles("slice")
def emit_slice(graph: Graph, operation: Operation) -> View:
    """Of the axes that are cut; symbolic ones must be whole."""
    params, operand = operation.params, operation.operands[0]
    strides = params["strides"] or (1,) * len(operand.shape)
    bounds = {}
    for axis, size in enumerate(operand.shape):
        cut = (
            params["start_indices"][axis],
            params["limit_indices"][axis],
            strides[axis],
        )
        if cut != (0, size, 1):
            bounds[axis] = cut
    return sliced(graph, operation, bounds)


@handles("rev")
def emit_reverse(graph: Graph, operation: Operation) -> View:
    """Axes from their end to their beginning."""
    end = int(np.iinfo(np.int64).min)
    return sliced(
        graph,
        operation,
        {int(a): (-1, end, -1) for a in operation.params["dimensions"]},
    )


def sliced(graph: Graph, operation: Operation, bounds: dict[int, Any]) -> View:
    """The first operand, cut: axis -> start, end and step."""
    if not all(is_static(n) for cut in bounds.values() for n in cut):
        raise refuse(operation, "a part of the batch")
    view = graph.view(operation.operands[0])
    cut = [axis for axis in view.order if axis in bounds]
    if not cut:
        return view
    starts, ends, steps = (
        numbers_of(graph, [bounds[axis][i] for axis in cut]) for i in range(3)
    )
    axes = numbers_of(graph, [view.order.index(axis) for axis in cut])
    return View(graph.add("Slice", view.name, starts, ends, axes, steps), view.axes)


@handles("pad")
def emit_pad(graph: Graph, operation: Operation) -> View:
    """By a constant, before and after; negative: elements are cut off."""
    operand, value = operation.operands
    config = operation.params["padding_config"]
    if any(interior for *_, interior in config):
        raise refuse(operation, "padding between elements")
    order = graph.spread(operand).order
    if any((low or high) and a not in order for a, (low, high, _) in enumerate(config)):
        order = tuple(range(len(config)))
    pads = [config[a][side] for side in (0, 1) for a in order]
    inputs = (
        graph.arrange(operand, order),
        numbers_of(graph, pads),
        graph.view(value).name,
    )
    return View.ordered(graph.add("Pad", *inputs), order, len(config))


def without(graph: Graph, view: View, gone: Sequence[int]) -> View:
    """The view without some of the array's axes, which are of size 1."""
    places = [view.axes[axis] for axis in gone if view.axes[axis] is not None]
    name = view.name
    if places:
        name = graph.add("Squeeze", name, numbers_of(graph, places))
    left = [axis for axis in range(len(view.axes)) if axis not in gone]
    order = [left.index(axis) for axis in view.order if axis not in gone]
    return View.ordered(name, order, len(left))
