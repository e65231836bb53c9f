"""Reads a MATLAB file of version 4 to 7, after a check that SciPy's reader needs.

SciPy trusts the type numbers in a version 5 file: one that a damaged byte has changed
ends the whole process (seen with SciPy 1.17). The format is MathWorks' "MAT-File
Format", chapter 1.
"""

import math
import os
import struct
import warnings
import zlib
from pathlib import Path
from typing import Any

_HEADER = 128
_INT8, _INT32, _UINT32, _MATRIX, _COMPRESSED = 1, 5, 6, 14, 15
_NUMBERS = frozenset((1, 2, 3, 4, 5, 6, 7, 9, 12, 13))
_TEXT = frozenset((1, 2, 4, 16, 17, 18))
_CELL, _STRUCT, _OBJECT, _CHAR, _SPARSE, _CLASSES = 1, 2, 3, 4, 5, range(1, 18)
_COMPLEX = 0x800  # among the array flags
_NUMERIC_CLASSES = range(5, 16)  # sparse, double ... uint64
_DEEPEST = 20  # cells in cells


def read_matlab(path: str | os.PathLike[str]) -> dict[str, Any]:
    """The variables by name, as `scipy.io.loadmat` gives them; sparse ones as arrays.

    Raises ValueError, or what SciPy raises, for a damaged file.
    """
    from scipy.io import loadmat
    from scipy.io.matlab import MatReadWarning

    content = Path(path).read_bytes()
    if 0 not in content[:4]:  # else version 4, whose reader is safe
        _check_file(content)
    with warnings.catch_warnings():
        warnings.simplefilter("error", MatReadWarning)  # two variables of one name
        return loadmat(os.fspath(path), appendmat=False, spmatrix=False)


def _check_file(content: bytes) -> None:
    order = {b"IM": "<", b"MI": ">"}.get(content[126:_HEADER])
    if order is None:
        raise ValueError("no MATLAB file: it has no byte order")
    place = _HEADER
    while place < len(content):
        kind, start, end = _tag(content, place, len(content), order)
        if kind == _COMPRESSED:
            inner = zlib.decompress(content[start:end])
            kind, first, last = _tag(inner, 0, len(inner), order)
            _check_matrix(kind, inner, first, last, order, 0)
        else:
            _check_matrix(kind, content, start, end, order, 0)
        place = end


def _tag(content, place: int, limit: int, order: str) -> tuple[int, int, int]:
    """Type, first byte and end of the element at `place`, which may be a small one."""
    if place + 8 > limit:
        raise ValueError(f"the element at byte {place} is cut off")
    kind, size = struct.unpack_from(f"{order}II", content, place)
    start = place + 8
    if kind >> 16:  # up to four bytes within the tag
        kind, size, start = kind & 0xFFFF, kind >> 16, place + 4
        limit = place + 8
    if start + size > limit:
        raise ValueError(f"the element at byte {place} is longer than what holds it")
    return kind, start, start + size


def _check_matrix(kind, content, place: int, limit: int, order: str, depth: int):
    if kind != _MATRIX or depth > _DEEPEST:
        raise ValueError(f"element type {kind} where a matrix is needed")
    if place == limit:
        return  # an empty cell
    elements = []
    while place < limit:
        found = _tag(content, place, limit, order)
        elements.append(found)
        place += -(-(found[2] - place) // 8) * 8
    kinds = tuple(found[0] for found in elements)
    flags = elements[0]
    if kinds[0] != _UINT32 or flags[2] - flags[1] != 8:
        raise ValueError("a matrix without array flags")
    word = struct.unpack_from(f"{order}I", content, flags[1])[0]
    class_, parts = word & 0xFF, 2 if word & _COMPLEX else 1
    if class_ not in _CLASSES:
        raise ValueError(f"array class {class_} does not exist")
    expected = None  # number of elements with the contents; None: any
    if class_ <= _NUMERIC_CLASSES[-1]:
        cells = _check_head(content, elements[1:3], order)
        expected = {_CELL: cells, _STRUCT: None, _OBJECT: None, _SPARSE: 2 + parts}.get(
            class_, parts
        )
    allowed = _NUMBERS | _TEXT | {_MATRIX}
    if class_ == _CELL:
        allowed = frozenset((_MATRIX,))
    elif class_ == _CHAR:
        allowed = _TEXT
    elif class_ in _NUMERIC_CLASSES:
        allowed = _NUMBERS
    if expected not in (None, len(kinds) - 3) or not allowed.issuperset(kinds[3:]):
        raise ValueError(f"element types {kinds[3:]} in an array of class {class_}")
    for nested, start, end in elements[3:]:
        if nested == _MATRIX:
            _check_matrix(nested, content, start, end, order, depth + 1)


def _check_head(content, elements, order: str) -> int:
    """Checks dimensions and name; returns the number of values."""
    if [kind for kind, _, _ in elements] != [_INT32, _INT8]:
        raise ValueError("a matrix without dimensions and name")
    _, start, end = elements[0]
    dimensions = struct.unpack_from(f"{order}{(end - start) // 4}i", content, start)
    if len(dimensions) < 2 or min(dimensions) < 0:
        raise ValueError(f"dimensions {dimensions}")
    return math.prod(dimensions)
