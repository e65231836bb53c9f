"""The programs of both modalities as one, which is told the modality of its images.

The modalities' own weights are all that differs where a network has a stem for each:
the operations are the same, and the constants that differ are chosen by an input.
"""

from typing import Any

import jax.extend.core as jex
import numpy as np

from jreid.export.program import Operand, Operation, Program, Variable


def merged(first: Program, second: Program) -> Program:
    """A program with one more input, int32 []: 0 for the first, 1 for the second.

    Raises:
        ValueError: the programs are not of the same operations.
    """
    which = Variable((), np.dtype(np.int32))
    twin: dict[Variable, Variable] = dict(zip(second.inputs, first.inputs, strict=True))
    operations: list[Operation] = []

    def chosen(one: Operand, other: Operand) -> Operand:
        if isinstance(one, Variable) or isinstance(other, Variable):
            if isinstance(other, Variable) and twin.get(other) is one:
                return one
            raise _different(f"{_told(one)} and {_told(other)}")
        if one.shape != other.shape or one.dtype != other.dtype:
            raise _different(f"{_told(one)} and {_told(other)}")
        if one is other or np.array_equal(one, other, equal_nan=one.dtype.kind == "f"):
            return one
        made = Variable(one.shape, one.dtype)
        operations.append(Operation(_select(), [which, one, other], {}, [made]))
        return made

    if len(first.operations) != len(second.operations):
        counts = len(first.operations), len(second.operations)
        raise _different(f"{counts[0]} operations and {counts[1]}")
    for one, other in zip(first.operations, second.operations, strict=True):
        if one.primitive is not other.primitive or not _same(one.params, other.params):
            raise _different(f"{one.primitive} and {other.primitive}")
        operands = [
            chosen(x, y) for x, y in zip(one.operands, other.operands, strict=True)
        ]
        operations.append(Operation(one.primitive, operands, one.params, one.results))
        twin |= zip(other.results, one.results, strict=True)
    outputs = [chosen(x, y) for x, y in zip(first.outputs, second.outputs, strict=True)]
    return Program([*first.inputs, which], operations, outputs)


def _select() -> Any:
    return jex.primitives.select_n_p


def _same(one: Any, other: Any) -> bool:
    return one.keys() == other.keys() and all(
        one[name] == other[name] or str(one[name]) == str(other[name]) for name in one
    )


def _told(operand: Operand) -> str:
    return f"{operand.dtype}{list(operand.shape)}"


def _different(what: str) -> ValueError:
    return ValueError(
        "the network is not the same for both modalities, but for its weights: it has "
        f"{what}. Only networks whose stems are built alike can be one file; use the "
        "run itself: python -m jreid.embed, jreid.search and jreid.serve take --workdir"
    )
