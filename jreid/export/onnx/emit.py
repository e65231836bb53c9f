"""A program as an ONNX model."""

import importlib
from typing import Any

import numpy as np

from jreid.export.onnx.graph import OPSET, Graph, View
from jreid.export.onnx.handlers import HANDLERS
from jreid.export.program import Program, Variable
from jreid.extra import library

ROOMS = ("elementwise", "indexing", "structural", "sums", "windows")
for _room in ROOMS:
    importlib.import_module(f"jreid.export.onnx.{_room}")
IR_VERSION = 8  # of the files that came with opset 18


def emit(
    program: Program, inputs: list[str], outputs: list[str], metadata: dict[str, str]
) -> Any:
    """The onnx.ModelProto of a program.

    Args:
        program: its first input's first size is the symbolic number of images.
        inputs: their names.
        outputs: their names.
        metadata: what the file says of itself.

    Raises:
        ValueError: a primitive that is not known here, by name, or onnx is missing.
    """
    onnx = library("onnx", "export")
    batch = program.inputs[0].shape[0]
    graph = Graph(onnx.helper, importlib.import_module("onnx.numpy_helper"), batch)
    for name, variable in zip(inputs, program.inputs, strict=True):
        graph.views[variable] = View(name, tuple(range(len(variable.shape))))
    if unknown := sorted(_names(program) - HANDLERS.keys()):
        raise ValueError(
            f"the network has the primitives {', '.join(unknown)}, which have no ONNX "
            "form here: --format stablehlo takes every network"
        )
    graph.count = graph.add("Shape", inputs[0], start=0, end=1)
    for operation in program.operations:
        made = HANDLERS[operation.primitive.name](graph, operation)
        views = made if isinstance(made, list) else [made]
        graph.views |= zip(operation.results, views, strict=True)
    for name, output in zip(outputs, program.outputs, strict=True):
        last = graph.plain(output)
        graph.nodes.append(onnx.helper.make_node("Identity", [last], [name]))
    return _model(onnx, graph, program, inputs, outputs, metadata)


def _names(program: Program) -> set[str]:
    return {operation.primitive.name for operation in program.operations}


def _model(onnx, graph: Graph, program, inputs, outputs, metadata) -> Any:
    used = {name for node in graph.nodes for name in node.input}
    graph.nodes = [n for n in graph.nodes if n.output[0] in used | set(outputs)]
    made = onnx.helper.make_graph(
        graph.nodes,
        "jreid",
        [_described(onnx, n, v) for n, v in zip(inputs, program.inputs, strict=True)],
        [_described(onnx, n, v) for n, v in zip(outputs, program.outputs, strict=True)],
        [constant for constant in graph.constants.values() if constant.name in used],
    )
    model = onnx.helper.make_model(
        made,
        opset_imports=[onnx.helper.make_opsetid("", OPSET)],
        ir_version=IR_VERSION,
        producer_name="jreid",
    )
    onnx.helper.set_model_props(model, metadata)
    onnx.checker.check_model(model, full_check=True)
    return model


def _described(onnx, name: str, variable: Variable) -> Any:
    kind = onnx.helper.np_dtype_to_tensor_dtype(np.dtype(variable.dtype))
    sizes = [n if isinstance(n, int) else str(n) for n in variable.shape]
    return onnx.helper.make_tensor_value_info(name, kind, sizes)
