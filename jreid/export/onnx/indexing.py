"""Indexing with numbers that are known when the file is written."""

import numpy as np

from jreid.export.onnx.graph import Graph, View, is_static
from jreid.export.onnx.handlers import handles, refuse
from jreid.export.onnx.structural import sliced, without
from jreid.export.program import Operation, Variable


@handles("gather")
def emit_gather(graph: Graph, operation: Operation) -> View:
    """Whole slices taken along one axis, as by `x[:, rows]`, or one of any axes."""
    operand, indices = operation.operands
    numbers = operation.params["dimension_numbers"]
    sizes = operation.params["slice_sizes"]
    if isinstance(indices, Variable):
        raise refuse(operation, "indices that depend on the images")
    if indices.ndim == 1:
        return _one_slice(graph, operation)
    (axis, *more) = numbers.start_index_map
    wholes = [n for i, n in enumerate(operand.shape) if i != axis]
    taken = [n for i, n in enumerate(sizes) if i != axis]
    if more or numbers.operand_batching_dims or wholes != taken or sizes[axis] != 1:
        raise refuse(operation, f"{numbers} and slices of {sizes}")
    if tuple(numbers.collapsed_slice_dims) != (axis,):
        raise refuse(operation, f"{numbers}")
    rank, flat = len(operation.results[0].shape), indices[..., 0].astype(np.int64)
    if flat.size and not 0 <= flat.min() <= flat.max() < operand.shape[axis]:
        raise refuse(operation, f"indices from {flat.min()} to {flat.max()}")
    places = graph.constant(flat)
    name = graph.add("Gather", graph.plain(operand), places, axis=int(axis))
    # ONNX puts the indices' axes where the axis was, JAX around the offsets'
    new = [i for i in range(rank) if i not in numbers.offset_dims]
    offsets = list(numbers.offset_dims)
    order = [int(place) for place in offsets[:axis] + new + offsets[axis:]]
    return View.ordered(name, order, rank)


def _one_slice(graph: Graph, operation: Operation) -> View:
    """What indexing with numbers and ranges gives where the batch is symbolic."""
    operand, starts = operation.operands
    assert isinstance(starts, np.ndarray)
    numbers = operation.params["dimension_numbers"]
    sizes = operation.params["slice_sizes"]
    bounds = {
        int(axis): (int(start), int(start) + sizes[axis], 1)
        for axis, start in zip(numbers.start_index_map, starts, strict=True)
    }
    for axis, (start, end, _) in bounds.items():
        if not is_static(end) or not 0 <= start <= end <= operand.shape[axis]:
            raise refuse(operation, f"a slice from {start} to {end}")
    view = sliced(graph, operation, bounds)
    return without(graph, view, [int(axis) for axis in numbers.collapsed_slice_dims])
