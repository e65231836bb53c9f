"""An ONNX graph under construction, whose arrays keep the layout they have.

JAX's maps are [b h w c], ONNX's convolutions want [b c h w]. An array of the program is
therefore a `View`: a tensor of the graph, and which of its axes is which of the
array's. Transposing an array, or adding and dropping axes of one, makes another view
and no node; where a node needs another layout, `arrange` adds what it takes.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from jreid.export.program import Operand, Variable

OPSET = 18
Order = Sequence[int | None]  # of each axis of a tensor which axis of the array it is


@dataclass(frozen=True, slots=True)
class View:
    """`axes[i]` is the tensor's axis of axis i of the array.

    None where the tensor has none: all values along it are the same. Every axis of the
    tensor is one of the array's.
    """

    name: str
    axes: tuple[int | None, ...]

    @property
    def order(self) -> tuple[int, ...]:
        """Of each axis of the tensor which axis of the array it is."""
        placed = [(place, i) for i, place in enumerate(self.axes) if place is not None]
        return tuple(i for _, i in sorted(placed))

    @classmethod
    def ordered(cls, name: str, order: Sequence[int], rank: int) -> "View":
        """The inverse of `order`."""
        places = {axis: place for place, axis in enumerate(order)}
        return cls(name, tuple(places.get(axis) for axis in range(rank)))


class Graph:
    """Nodes and constants so far, and the views of the program's variables.

    Args:
        helper: the module onnx.helper.
        numpy_helper: the module onnx.numpy_helper.
        batch: the symbolic number of images.
    """

    def __init__(self, helper: Any, numpy_helper: Any, batch: Any):
        self.helper, self.numpy_helper, self.batch = helper, numpy_helper, batch
        self.nodes: list[Any] = []
        self.constants: dict[bytes, Any] = {}
        self.views: dict[Variable, View] = {}
        self._arranged: dict[tuple, str] = {}
        self.count = ""  # an int64 tensor of one element: the number of images

    def add(self, kind: str, *inputs: str, **attributes: Any) -> str:
        """A node with one output, whose name is returned."""
        output = f"{kind.lower()}_{len(self.nodes)}"
        node = self.helper.make_node(kind, list(inputs), [output], **attributes)
        self.nodes.append(node)
        return output

    def constant(self, array: Any) -> str:
        """The name of a constant; equal ones are stored once."""
        array = np.ascontiguousarray(array).reshape(np.shape(array))
        told = f"{array.dtype}{array.shape}".encode()
        key = hashlib.sha256(told + array.tobytes()).digest()
        if key not in self.constants:
            name = f"constant_{len(self.constants)}"
            self.constants[key] = self.numpy_helper.from_array(array, name)
        return self.constants[key].name

    def shape(self, sizes: Sequence[Any]) -> str:
        """An int64 tensor of these sizes, of which some may be multiples of the batch.

        Raises ValueError for sizes that are something else of the batch.
        """
        if all(is_static(n) for n in sizes):
            return self.constant(np.array(sizes, np.int64))
        parts = [
            self.constant(np.array([n], np.int64))
            if is_static(n)
            else self._times_batch(n)
            for n in sizes
        ]
        return self.add("Concat", *parts, axis=0)

    def _times_batch(self, size: Any) -> str:
        factor = size // self.batch
        if not is_static(factor) or factor * self.batch != size:
            raise ValueError(
                f"an array has the size {size}, which is no multiple of {self.batch}"
            )
        if factor == 1:
            return self.count
        return self.add("Mul", self.count, self.constant(np.array([factor], np.int64)))

    def view(self, operand: Operand) -> View:
        """The view of an operand; a constant as it is."""
        if isinstance(operand, Variable):
            return self.views[operand]
        return View(self.constant(operand), tuple(range(operand.ndim)))

    def arrange(self, operand: Operand, order: Order, *, spread: bool = True) -> str:
        """A tensor with the operand's axes in this order.

        Args:
            operand: of the program.
            order: for each axis of the tensor the array's, or None for one of size 1.
                Axes of the array that it lacks have one value, or size 1.
            spread: whether an axis along which all values are the same gets its size;
                else it gets 1, which broadcasts.
        """
        key = (
            operand if isinstance(operand, Variable) else id(operand),
            *order,
            spread,
        )
        if not isinstance(operand, Variable):
            return self.constant(_arranged(operand, order))
        if key not in self._arranged:
            self._arranged[key] = self._arrange(operand, list(order), spread)
        return self._arranged[key]

    def _arrange(self, operand: Variable, order: list, spread: bool) -> str:
        view, name = self.views[operand], self.views[operand].name
        wanted = [a for a in order if a is not None and view.axes[a] is not None]
        dropped = [p for p, a in enumerate(view.order) if a not in wanted]
        if dropped:
            name = self.add("Squeeze", name, self.constant(np.array(dropped, np.int64)))
        present = [a for a in view.order if a in wanted]
        if present != wanted:
            name = self.add("Transpose", name, perm=[present.index(a) for a in wanted])
        new = [i for i, a in enumerate(order) if a not in wanted]
        if new:
            name = self.add("Unsqueeze", name, self.constant(np.array(new, np.int64)))
        sizes = [1 if a is None else operand.shape[a] for a in order]
        if spread and any(not is_one(sizes[i]) for i in new):
            name = self.add("Expand", name, self.shape(sizes))
        return name

    def plain(self, operand: Operand) -> str:
        """A tensor laid out as the array is."""
        rank = len(operand.shape)
        return self.arrange(operand, range(rank))

    def spread(self, operand: Operand) -> View:
        """A view in which every axis of a size other than 1 is there."""
        view = self.view(operand)
        sizes = zip(view.axes, operand.shape, strict=True)
        if all(place is not None or is_one(size) for place, size in sizes):
            return view
        return View(self.plain(operand), tuple(range(len(view.axes))))


def is_static(size: Any) -> bool:
    """Whether a size is a number, not symbolic."""
    return isinstance(size, int | np.integer)


def is_one(size: Any) -> bool:
    """Whether a size is known to be 1."""
    return is_static(size) and size == 1


def _arranged(array: np.ndarray, order: Order) -> np.ndarray:
    wanted = [a for a in order if a is not None]
    dropped = tuple(a for a in range(array.ndim) if a not in wanted)
    kept = [a for a in range(array.ndim) if a in wanted]
    array = array.squeeze(dropped).transpose([kept.index(a) for a in wanted])
    return np.expand_dims(array, tuple(i for i, a in enumerate(order) if a is None))
