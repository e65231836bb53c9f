"""Features of any model, read from an .npz or MATLAB .mat file and scored.

The file holds these arrays, row i of each belonging to image i:

    features   [n d] float16, float32 or float64, L2-normalised or not
    ids        [n] identity numbers, integers (or whole numbers stored as floats)
    cameras    [n] camera numbers; for SYSU-MM01 and LLCM
    modality   [n] 0 or "visible", 1 or "infrared"; for all but SYSU-MM01, where
               cameras 3 and 6 are the infrared ones
    paths      [n] file names (optional): a gallery is drawn from files in sorted order,
               which is taken to be the order of the rows where there are no paths

Every other float matrix of n rows and at least two columns is a further kind of
feature, scored in rows of its own, so that the `features.npz` of a run can be read.
"""

import contextlib
import os
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from jreid.evaluation import protocols
from jreid.evaluation.files.arrays_file import read_arrays
from jreid.evaluation.official_draw import read_permutations
from jreid.evaluation.protocols import Score
from jreid.evaluation.trials import (
    SYSU_GALLERY_CAMERAS,
    SYSU_QUERY_CAMERAS,
    sysu_modes,
    sysu_shots,
)
from jreid.shapes import Int

COLUMNS = ("ids", "cameras", "modality", "paths")
MODALITIES = ("visible", "infrared")  # 0 and 1
UNIT = 1e-5  # rows of a length of 1 within this are left as they are

_SURROGATES = 0xD800 >> 11  # half characters of UTF-16
_BLOCK = 4096  # rows normalised at once, in float64
_SHOWN = 10  # rows named in a message

# protocol -> the options of its own that `score_file` takes
OPTIONS = {
    "sysu": ("modes", "shots", "trials", "draw", "permutations"),
    "regdb": ("trial",),
    "llcm": ("trials", "legacy"),
    "custom": (),
}
_NEEDED = {
    "sysu": ("cameras",),
    "regdb": ("modality",),
    "llcm": ("cameras", "modality"),
    "custom": ("modality",),
}


@dataclass(frozen=True)
class FeaturesFile:
    """The columns of a features file; `features` are L2-normalised."""

    features: dict[str, np.ndarray]  # kind -> [n d], float32 or float64
    ids: Int[np.ndarray, " n"]
    cameras: Int[np.ndarray, " n"] | None
    modality: Int[np.ndarray, " n"] | None  # 0 visible, 1 infrared
    paths: np.ndarray | None  # str [n]
    unused: tuple[str, ...] = ()  # names of arrays of no use here


def score_file(
    path: str | os.PathLike[str],
    protocol: str,
    *,
    kinds: tuple[str, ...] | list[str] | None = None,
    **options: Any,
) -> list[Score]:
    """Scores the features of a file, see above, by a published protocol.

        from jreid.evaluation.files.features_file import score_file
        from jreid.evaluation.table import format_table
        print(format_table(score_file("features.npz", "sysu")))

    Args:
        path: an .npz or .mat file.
        protocol: "sysu", "regdb", "llcm" or "custom"; see `protocols.score_*`.
        kinds: score only these of the file's kinds of feature.
        options: `reranking` and `progress` for every protocol; besides "sysu" takes
            `modes`, `shots`, `trials`, `draw` and `permutations` (the path of
            rand_perm_cam.mat), "regdb" `trial` (the split the features belong to),
            "llcm" `trials` and `legacy`.

    Returns:
        Scores by setting, then by kind of feature, then plain before re-ranked.

    Raises:
        ValueError: an option of another protocol, or contents that cannot be scored;
            see `read_features`.
        OSError: the file cannot be opened.
    """
    check_options(protocol, options)
    return score_features(
        read_features(path), protocol, source=path, kinds=kinds, **options
    )


def score_features(
    table: FeaturesFile,
    protocol: str,
    *,
    source: str | os.PathLike[str] = "features",
    kinds: tuple[str, ...] | list[str] | None = None,
    **options: Any,
) -> list[Score]:
    """`score_file` on a file that has been read; `source` names it in errors."""
    check_options(protocol, options)
    columns: dict[str, Any] = {"ids": table.ids}
    if protocol == "sysu":
        options = _with_permutations(options)
    with _named(source):
        for name in _NEEDED[protocol]:
            columns[name] = getattr(table, name)
            if columns[name] is None:
                raise ValueError(
                    f"there is no array {name!r}, which the protocol {protocol!r} "
                    "needs: one value for each image"
                )
        features = _chosen(table.features, kinds)
        if protocol == "sysu":
            _check_sysu(table)
            columns["paths"] = table.paths
            modes, shots = _modes_and_shots(columns["cameras"], options)
            options |= {"modes": modes, "shots": shots}
        elif protocol == "llcm":
            columns["paths"] = table.paths
        elif protocol == "custom" and table.cameras is not None:
            columns["cameras"] = table.cameras
        score = getattr(protocols, f"score_{protocol}")
        return score(features, **columns, **options)


def count_settings(table: FeaturesFile, protocol: str, **options: Any) -> int:
    """How many settings `score_features` scores each kind of feature in."""
    check_options(protocol, options)
    if protocol != "sysu":
        return 2  # directions
    if table.cameras is None:
        return 0
    modes, shots = _modes_and_shots(table.cameras, options)
    return len(modes) * len(shots)


def check_options(protocol: str, options: Mapping[str, Any]) -> None:
    """Raises ValueError for an unknown protocol, or an option it does not take."""
    if protocol not in OPTIONS:
        raise ValueError(
            f"protocol is {protocol!r}; it must be one of {', '.join(OPTIONS)}"
        )
    taken = (*OPTIONS[protocol], "reranking", "progress")
    if unknown := [name for name in options if name not in taken]:
        raise ValueError(
            f"the protocol {protocol!r} has no option {', '.join(unknown)}; it takes "
            f"{', '.join(taken)}"
        )
    trial = options.get("trial")
    if trial is not None and trial not in range(1, 11):
        raise ValueError(f"trial is {trial}; RegDB has the splits 1 to 10")


def _chosen(features, kinds):
    if kinds is None:
        return features
    if missing := [name for name in kinds if name not in features]:
        raise ValueError(
            f"there is no kind of feature {', '.join(map(repr, missing))}; the file "
            f"has {', '.join(map(repr, features))}"
        )
    return {name: features[name] for name in kinds}


def _check_sysu(table: FeaturesFile) -> None:
    assert table.cameras is not None
    known = (*SYSU_QUERY_CAMERAS, *SYSU_GALLERY_CAMERAS["all"])
    other = np.flatnonzero(~np.isin(table.cameras, known))
    if other.size:
        raise ValueError(
            f"cameras is {table.cameras[other[0]]} in {_rows(other)}; SYSU-MM01's "
            "are 1 to 6, of which 3 and 6 are infrared"
        )
    if table.modality is None:
        return
    infrared = np.isin(table.cameras, SYSU_QUERY_CAMERAS)
    wrong = np.flatnonzero(infrared != table.modality)
    if wrong.size:
        row = wrong[0]
        raise ValueError(
            f"modality is {table.modality[row]} ({MODALITIES[table.modality[row]]}) but"
            f" cameras {table.cameras[row]} in {_rows(wrong)}; in SYSU-MM01 cameras 3 "
            "and 6 are infrared, the others visible: correct one, or leave modality out"
        )


def _with_permutations(options):
    """The table of permutations in the place of its file's name."""
    source = options.get("permutations")
    if not source:
        return {k: v for k, v in options.items() if k != "permutations"}
    if options.get("draw") != "official":
        raise ValueError("permutations are of the official draw: choose it as `draw`")
    return {**options, "permutations": read_permutations(source)}


def _modes_and_shots(cameras, options):
    """Those asked for, or all that the images and the draw allow."""
    modes, shots = options.get("modes"), options.get("shots")
    if modes is None:
        modes = sysu_modes(cameras)
    if shots is None:
        shots = sysu_shots(options.get("draw", "agw"), options.get("permutations"))
    return modes, shots


def read_features(path: str | os.PathLike[str]) -> FeaturesFile:
    """Reads and checks a file of features; see the top of this file for its arrays.

    Rows are L2-normalised, unless all have length 1 within 1e-5 as they are: float32
    and float16 become float32. MATLAB files may be v5 to v7 (read by SciPy) or v7.3
    (read by h5py, which must be installed); words may be a char matrix or a cell array.

    Raises:
        ValueError: a missing array, arrays of different length, features that are
            not finite or 0 in a row, ids or cameras that are not whole numbers, an
            unknown modality, or a damaged file. The message names file and rows.
        OSError: the file cannot be opened.
    """
    with _named(path):
        arrays = read_arrays(path)
        if "ids" not in arrays:
            raise ValueError(
                "there is no array 'ids' with the identity number of each image; it "
                f"has {_described(arrays)}"
            )
        columns = {
            name: _column(name, arrays[name]) for name in COLUMNS if name in arrays
        }
        features = _find_features(arrays, len(columns["ids"]))
        _check_lengths({**features, **columns}, len(columns["ids"]))
        return FeaturesFile(
            {name: _normalised(name, rows) for name, rows in features.items()},
            ids=_integers("ids", columns["ids"]),
            cameras=_optional(_integers, "cameras", columns),
            modality=_optional(_modality, "modality", columns),
            paths=_optional(_words, "paths", columns),
            unused=tuple(k for k in arrays if k not in columns and k not in features),
        )


@contextlib.contextmanager
def _named(path: str | os.PathLike[str]) -> Iterator[None]:
    """Puts the file's name before the message of a ValueError."""
    try:
        yield
    except ValueError as error:
        raise ValueError(f"{os.fspath(path)}: {error}") from error


def _find_features(arrays, count: int) -> dict[str, np.ndarray]:
    """`features`, whatever its shape, and the other float matrices of `count` rows."""
    matrices = {
        name: array
        for name, array in arrays.items()
        if array is not None
        and name not in COLUMNS
        and array.ndim == 2
        and array.dtype.kind == "f"
        and array.shape[1] > 1
    }
    found = {k: _floats(k, v) for k, v in matrices.items() if len(v) == count}
    if "features" in arrays:
        found = {"features": _floats("features", arrays["features"]), **found}
    if not found:
        raise ValueError(
            f"there is no array 'features', nor another matrix of floats with {count} "
            f"rows, one for each of the ids; it has {_described(arrays)}"
            f"{_transposed(matrices, count)}"
        )
    return found


def _check_lengths(columns, count: int) -> None:
    if not count:
        raise ValueError("it has no image: every array is empty")
    if {len(values) for values in columns.values()} != {count}:
        matrices = {k: v for k, v in columns.items() if v.ndim == 2}
        lengths = ", ".join(f"{k} has {len(v)}" for k, v in columns.items())
        raise ValueError(
            "every array needs one row for each image, but their numbers of rows "
            f"differ: {lengths}{_transposed(matrices, count)}"
        )


def _transposed(matrices, count: int) -> str:
    turned = [k for k, v in matrices.items() if len(v) != count == v.shape[1]]
    if not turned:
        return ""
    return f". {', '.join(turned)} has one column for each image: transpose it"


def _optional(convert, name, columns):
    return convert(name, columns[name]) if name in columns else None


def _column(name: str, array: np.ndarray | None) -> np.ndarray:
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


def _floats(name: str, array: np.ndarray | None) -> np.ndarray:
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


def _normalised(name: str, rows: np.ndarray) -> np.ndarray:
    """Rows of length 1; refuses those that have no direction."""
    if not rows.shape[1]:
        raise ValueError(f"{name} has no columns")
    bad = np.flatnonzero(~np.isfinite(rows).all(axis=1))
    if bad.size:
        raise ValueError(
            f"{name} holds NaN or infinity in {_rows(bad)}: look at the model or the "
            "images of these rows"
        )
    largest = np.abs(rows).max(axis=1)
    zero = np.flatnonzero(largest == 0)
    if zero.size:
        raise ValueError(
            f"{name} is 0 throughout {_rows(zero)}, which has no direction to compare: "
            "leave out images without features"
        )
    # Divided by its largest value first, no row's squares overflow or vanish.
    unit, change = np.empty_like(rows), 0.0
    for start in range(0, len(rows), _BLOCK):
        part = slice(start, start + _BLOCK)
        scale = largest[part, None].astype(np.float64)
        scaled = rows[part] / scale
        lengths = np.sqrt(np.vecdot(scaled, scaled))[:, None]
        unit[part] = scaled / lengths
        change = max(change, np.abs(lengths * scale - 1).max())
    return rows if change <= UNIT else unit


def _integers(name: str, values: np.ndarray) -> np.ndarray:
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
            f"{name} is {values[bad[0]]} in {_rows(bad)}; it must be a whole number"
        )
    return whole


def _modality(name: str, values: np.ndarray) -> np.ndarray:
    """0 and 1 from numbers or words."""
    if values.dtype.kind in "USO":
        words = np.char.lower(np.char.strip(_words(name, values)))
        found = np.select([words == word for word in MODALITIES], [0, 1], -1)
    elif values.dtype.kind in "iufb":
        found = np.select([values == 0, values == 1], [0, 1], -1)
    else:
        found = np.full(len(values), -1)
    bad = np.flatnonzero(found < 0)
    if bad.size:
        raise ValueError(
            f"{name} is {values[bad[0]]!s} in {_rows(bad)}; it must be 0 or 'visible', "
            "or 1 or 'infrared'"
        )
    return found.astype(np.int64)


def _words(name: str, values: np.ndarray) -> np.ndarray:
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


def _rows(rows: np.ndarray) -> str:
    """`row 3`, or `5 rows: 0, 3, 4, ...`, counted from 0."""
    if len(rows) == 1:
        return f"row {rows[0]} (counted from 0)"
    shown = ", ".join(map(str, rows[:_SHOWN].tolist()))
    more = ", ..." if len(rows) > _SHOWN else ""
    return f"{len(rows)} rows ({shown}{more}, counted from 0)"


def _described(arrays: Mapping[str, np.ndarray | None]) -> str:
    if not arrays:
        return "no arrays"
    return ", ".join(
        f"{name} (unreadable)"
        if array is None
        else f"{name} {array.dtype} {list(array.shape)}"
        for name, array in arrays.items()
    )
