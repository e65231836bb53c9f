"""Products of arrays, and reductions over axes."""

import string

import numpy as np

from jreid.export.onnx.graph import Graph, View
from jreid.export.onnx.handlers import handles
from jreid.export.program import Operation

REDUCTIONS = {
    "reduce_max": "ReduceMax",
    "reduce_min": "ReduceMin",
    "reduce_prod": "ReduceProd",
    "reduce_sum": "ReduceSum",
}


@handles("dot_general")
def emit_product(graph: Graph, operation: Operation) -> View:
    """A sum of products over any axes, with any that both have in common."""
    left, right = operation.operands
    (contracted, batched) = operation.params["dimension_numbers"]
    letters = iter(string.ascii_letters)
    names = [[""] * len(x.shape) for x in (left, right)]
    for pairs in (contracted, batched):
        for i, j in zip(*pairs, strict=True):
            names[0][i] = names[1][j] = next(letters)
    result = [names[0][i] for i in batched[0]]
    for own in names:
        for axis, letter in enumerate(own):
            if not letter:
                own[axis] = next(letters)
                result.append(own[axis])
    views = [graph.spread(left), graph.spread(right)]
    terms = [
        "".join(own[axis] for axis in view.order)
        for own, view in zip(names, views, strict=True)
    ]
    made = [letter for letter in result if any(letter in term for term in terms)]
    equation = f"{','.join(terms)}->{''.join(made)}"
    name = graph.add("Einsum", *(view.name for view in views), equation=equation)
    return View.ordered(name, [result.index(letter) for letter in made], len(result))


@handles(*REDUCTIONS)
def emit_reduction(graph: Graph, operation: Operation) -> View:
    """Over the axes that the tensor has; the others are of size 1."""
    view = graph.spread(operation.operands[0])
    gone = {int(axis) for axis in operation.params["axes"]}
    places = [view.axes[axis] for axis in sorted(gone) if view.axes[axis] is not None]
    name = view.name
    if places:
        axes = graph.constant(np.array(places, np.int64))
        kind = REDUCTIONS[operation.primitive.name]
        name = graph.add(kind, name, axes, keepdims=0)
    left = [axis for axis in range(len(view.axes)) if axis not in gone]
    order = [left.index(axis) for axis in view.order if axis not in gone]
    return View.ordered(name, order, len(left))


@handles("argmax", "argmin")
def emit_argument(graph: Graph, operation: Operation) -> View:
    """The first place of the largest or smallest element."""
    (axis,) = operation.params["axes"]
    kind = "ArgMax" if operation.primitive.name == "argmax" else "ArgMin"
    name = graph.add(
        kind, graph.plain(operation.operands[0]), axis=int(axis), keepdims=0
    )
    to = graph.helper.np_dtype_to_tensor_dtype(operation.results[0].dtype)
    rank = len(operation.results[0].shape)
    return View(graph.add("Cast", name, to=to), tuple(range(rank)))
