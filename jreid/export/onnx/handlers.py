"""Which function emits which primitive, by name."""

from collections.abc import Callable

from jreid.export.onnx.graph import Graph, View
from jreid.export.program import Operation

Handler = Callable[[Graph, Operation], View | list[View]]
HANDLERS: dict[str, Handler] = {}


def handles(*names: str) -> Callable[[Handler], Handler]:
    """Enters a function `(graph, operation) -> view of its result` for primitives.

    Of one with several results it returns a list.
    """

    def enter(handler: Handler) -> Handler:
        HANDLERS.update(dict.fromkeys(names, handler))
        return handler

    return enter


def refuse(operation: Operation, what: str) -> ValueError:
    """The error of a primitive used in a way that is not emitted."""
    return ValueError(
        f"the network has the primitive {operation.primitive.name} with {what}, which "
        "has no ONNX form here: --format stablehlo takes every network"
    )
