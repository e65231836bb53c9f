"""Arrays as columns of images: of the right type, or refused with their rows."""

import sys
from typing import cast, get_args

import numpy as np

from jreid.data.modality_words import MODALITY_WORDS
from jreid.evaluation.measures import Measure
from jreid.evaluation.protocols.protocol import rows_in_words

_SURROGATES = 0xD800 >> 11  # half characters of UTF-16


def column(name: str, array: np.ndarray | None) -> np.ndarray:
    """A vector, which MATLAB stores as a matrix of one row or one column."""
    if array is None:
        raise ValueError(f"{name} is not a plain array of numbers or words")
    if array.ndim == 2 and 1 in array.shape:
        array = array.ravel()
    if array.ndim != 1:
        raise ValueError(
            f"{name} has shape {list(array.shape)}; it must be a vector with one value "
            "for each image"
        )
    return array


def floats(name: str, array: np.ndarray | None) -> np.ndarray:
    """A matrix as float64 or, if it is not as wide, float32."""
    if array is None:
        raise ValueError(
            f"{name} is not a plain array of numbers; save it as a full float32 matrix"
        )
    if array.ndim != 2:
        raise ValueError(
            f"{name} has shape {list(array.shape)}; it must be a matrix with one row "
            "for each image"
        )
    if array.dtype.kind != "f" or array.dtype.itemsize > 8:
        raise ValueError(
            f"{name} is of type {array.dtype}; save it as float16, float32 or float64"
        )
    wide = np.float64 if array.dtype.itemsize == 8 else np.float32
    return np.ascontiguousarray(array, wide)


def check_rows(name: str, rows: np.ndarray, *, directions: bool = True) -> None:
    """Raises ValueError for rows not finite, or of zeros where directions count."""
    if not rows.shape[1]:
        raise ValueError(f"{name} has no columns")
    bad = np.flatnonzero(~np.isfinite(rows).all(axis=1))
    if bad.size:
        raise ValueError(
            f"{name} holds NaN or infinity in {rows_in_words(bad)}: look at the model "
            "or the images of these rows"
        )
    zero = np.flatnonzero(~rows.any(axis=1))
    if directions and zero.size:
        raise ValueError(
            f"{name} is 0 throughout {rows_in_words(zero)}, which has no direction to "
            "compare: leave out images without features"
        )


def integers(name: str, values: np.ndarray) -> np.ndarray:
    """Whole numbers, which may be stored as floats."""
    if values.dtype.kind not in "iuf":
        raise ValueError(
            f"{name} is of type {values.dtype}; it must hold whole numbers, one for "
            "each image"
        )
    with np.errstate(invalid="ignore"):
        whole = values.astype(np.int64)
    fits = (whole.astype(values.dtype) == values) & ((whole < 0) == (values < 0))
    bad = np.flatnonzero(~fits)
    if bad.size:
        raise ValueError(
            f"{name} is {values[bad[0]]} in {rows_in_words(bad)}; it must be a whole "
            "number"
        )
    return whole


def modality(name: str, values: np.ndarray) -> np.ndarray:
    """0 and 1 from numbers or words."""
    if values.dtype.kind in "USO":
        given = np.char.lower(np.char.strip(words(name, values))).tolist()
        found = np.array([MODALITY_WORDS.get(word, -1) for word in given])
    elif values.dtype.kind in "iufb":
        found = np.select([values == 0, values == 1], [0, 1], -1)
    else:
        found = np.full(len(values), -1)
    bad = np.flatnonzero(found < 0)
    if bad.size:
        raise ValueError(
            f"{name} is {values[bad[0]]!s} in {rows_in_words(bad)}; it must be 0 or "
            "'visible', or 1 or 'infrared'"
        )
    return found.astype(np.int64)


def words(name: str, values: np.ndarray) -> np.ndarray:
    """Text, of Unicode or of bytes in UTF-8."""
    if values.dtype.kind == "S":
        try:
            return np.char.decode(values, "utf-8")
        except UnicodeDecodeError as error:
            raise ValueError(f"{name} holds bytes that are no text: {error}") from None
    if values.dtype.kind != "U":
        raise ValueError(
            f"{name} is of type {values.dtype}; it must hold words: np.array(..., "
            "dtype=str), or a cell array of char in MATLAB"
        )
    native = np.ascontiguousarray(values, values.dtype.newbyteorder("="))
    if native.nbytes:  # NumPy neither checks these numbers nor survives wrong ones
        codes = native.view(np.uint32)
        if (codes > sys.maxunicode).any() or ((codes >> 11) == _SURROGATES).any():
            raise ValueError(f"{name} holds numbers that are no characters")
    return values


def measure_named(word: str) -> Measure:
    """The measure of this name; ValueError for an unknown word."""
    if word not in get_args(Measure):
        raise ValueError(
            f"measure is {word!r}; allowed are {', '.join(get_args(Measure))}"
        )
    return cast(Measure, word)
