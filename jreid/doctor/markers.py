"""Whether an environment marker, as behind a requirement's semicolon, holds here.

The doctor has to work where no package does, and so without `packaging`.
"""

import ast
import operator
import platform
import sys

_COMPARED = {
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.In: lambda one, other: one in other,
    ast.NotIn: lambda one, other: one not in other,
}


def environment(extra: str = "") -> dict[str, str]:
    """What the project's markers may ask for, of this machine and Python."""
    return {
        "extra": extra,
        "platform_machine": platform.machine(),
        "python_version": ".".join(map(str, sys.version_info[:2])),
        "sys_platform": sys.platform,
    }


def holds(marker: str, here: dict[str, str]) -> bool:
    """Of a marker by https://peps.python.org/pep-0508/, which reads as Python does.

    Raises KeyError for a variable that `here` has not.
    """
    if not marker.strip():
        return True
    return _evaluate(ast.parse(marker.strip(), mode="eval").body, here)


def _evaluate(node: ast.expr, here: dict[str, str]) -> bool:
    if isinstance(node, ast.BoolOp):
        values = [_evaluate(value, here) for value in node.values]
        return all(values) if isinstance(node.op, ast.And) else any(values)
    assert isinstance(node, ast.Compare), ast.unparse(node)
    sides = (node.left, *node.comparators)
    one, other = (
        here[side.id] if isinstance(side, ast.Name) else ast.literal_eval(side)
        for side in sides
    )
    if any(isinstance(side, ast.Name) and "version" in side.id for side in sides):
        one, other = (tuple(map(int, text.split("."))) for text in (one, other))
    return _COMPARED[type(node.ops[0])](one, other)
