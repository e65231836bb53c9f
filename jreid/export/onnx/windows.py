"""Convolutions and what slides a window over maps."""

import numpy as np

from jreid.export.onnx.graph import Graph, View, is_one
from jreid.export.onnx.handlers import handles, refuse
from jreid.export.program import Operation


@handles("conv_general_dilated")
def emit_convolution(graph: Graph, operation: Operation) -> View:
    """With any layout, strides, padding, dilation and groups of features."""
    params, (maps, kernel) = operation.params, operation.operands
    numbers = params["dimension_numbers"]
    if any(n != 1 for n in params["lhs_dilation"]):
        raise refuse(operation, "maps that are dilated")
    if params["batch_group_count"] != 1:
        raise refuse(operation, "groups of images")
    if any(n < 0 for pair in params["padding"] for n in pair):
        raise refuse(operation, "negative padding")
    name = graph.add(
        "Conv",
        graph.arrange(maps, numbers.lhs_spec),
        graph.arrange(kernel, numbers.rhs_spec),
        strides=list(params["window_strides"]),
        pads=_pads(params["padding"]),
        dilations=list(params["rhs_dilation"]),
        group=params["feature_group_count"],
    )
    return View.ordered(name, numbers.out_spec, len(numbers.out_spec))


@handles("reduce_window_max", "reduce_window_sum")
def emit_window(graph: Graph, operation: Operation) -> View:
    """Maximum, or sum as a multiple of the mean, over one to three axes."""
    params, operand = operation.params, operation.operands[0]
    window, padding = params["window_dimensions"], params["padding"]
    strides = params["window_strides"]
    if any(n != 1 for n in (*params["base_dilation"], *params["window_dilation"])):
        raise refuse(operation, "dilation")
    moving = [
        axis
        for axis in range(len(window))
        if (window[axis], strides[axis], *padding[axis]) != (1, 1, 0, 0)
    ]
    fixed = [
        axis
        for axis in graph.spread(operand).order
        if axis not in moving and not is_one(operand.shape[axis])
    ]
    # ONNX has two axes without a window: others get one of a single pixel
    fixed, moving = [*fixed[:1], *fixed[-1:]], [*fixed[1:-1], *moving]
    if len(fixed) != 2 or fixed[0] == fixed[1] or not 0 < len(moving) < 4:
        raise refuse(operation, f"a window of {window} over {operand.shape}")
    order = fixed + moving
    options = {
        "kernel_shape": [window[axis] for axis in moving],
        "strides": [strides[axis] for axis in moving],
        "pads": _pads([padding[axis] for axis in moving]),
    }
    x = graph.arrange(operand, order)
    if operation.primitive.name == "reduce_window_max":
        return View.ordered(graph.add("MaxPool", x, **options), order, len(window))
    mean = graph.add("AveragePool", x, count_include_pad=1, **options)
    size = np.array(np.prod(window), operand.dtype)
    name = graph.add("Mul", mean, graph.constant(size))
    return View.ordered(name, order, len(window))


def _pads(padding) -> list[int]:
    return [int(pair[side]) for side in (0, 1) for pair in padding]
