"""Features of any model, read from an .npz or MATLAB .mat file.

The file holds these arrays, row i of each belonging to image i:

    features   [n d] float16, float32 or float64, L2-normalised or not
    ids        [n] identity numbers, integers (or whole numbers stored as floats);
               images of a negative one, junk in Market-1501's convention, are left out
    cameras    [n] camera numbers; for SYSU-MM01 and LLCM
    modality   [n] 0 or "visible", 1 or "infrared"; for all but SYSU-MM01, where
               cameras 3 and 6 are the infrared ones
    paths      [n] file names (optional): a gallery is drawn from files in sorted order,
               which is taken to be the order of the rows where there are no paths
    measure    a word (optional): "cosine", which is taken where there is none,
               "product" or "euclidean"

Every other float matrix of n rows and at least two columns is a further kind of
feature, scored in rows of its own, so that the `features.npz` of a run can be read.
"""

import contextlib
import os
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from jreid.evaluation.files import columns as of_images
from jreid.evaluation.files.arrays_file import read_arrays
from jreid.evaluation.files.feature_table import (
    COLUMNS,
    FeatureTable,
    checked_features,
)
from jreid.evaluation.measures import Measure
from jreid.evaluation.protocols.by_key import make_protocol
from jreid.evaluation.rank_trials import TableProgress
from jreid.evaluation.score import Score
from jreid.evaluation.score_features import score_features


def score_file(
    path: str | os.PathLike[str],
    protocol: str,
    *,
    kinds: Sequence[str] = (),
    reranking: bool = True,
    progress: TableProgress | None = None,
    **options: Any,
) -> list[Score]:
    """Scores the features of a file, see above, by a published protocol.

        from jreid.evaluation.files.features_file import score_file
        from jreid.evaluation.table import format_table
        print(format_table(score_file("features.npz", "sysu")))

    Args:
        path: an .npz or .mat file.
        protocol: "sysu", "regdb", "llcm" or "custom"; see `evaluation.protocols`.
        kinds: score only these of the file's kinds of feature; all if there are none.
        reranking, progress: see `score_features`.
        options: "sysu" takes `modes`, `shots` (one or several), `trials`, `draw` and
            `permutations` (the path of rand_perm_cam.mat), "regdb" `split` (the one
            that the features belong to), "llcm" `trials` and `legacy`.

    Returns:
        Scores by setting, then by kind of feature, then plain before re-ranked.

    Raises:
        ValueError: an option of another protocol, or contents that cannot be scored;
            see `read_features`.
        OSError: the file cannot be opened.
    """
    chosen, gallery = make_protocol(protocol, options)
    table = read_features(path)
    with named(path):
        return score_features(
            table.kinds(kinds),
            table,
            chosen,
            gallery,
            reranking=reranking,
            measure=table.measure,
            progress=progress,
        )


def read_features(path: str | os.PathLike[str]) -> FeatureTable:
    """Reads and checks a file of features; see the top of this file for its arrays.

    Rows are L2-normalised, unless all have length 1 within 1e-5 as they are, or the
    file has a measure other than "cosine": float32 and float16 become float32. MATLAB
    files may be v5 to v7 (read by SciPy) or v7.3 (read by h5py, which must be
    installed); words may be a char matrix or a cell array.

    Raises:
        ValueError: a missing array, arrays of different length, features that are
            not finite or 0 in a row, ids or cameras that are not whole numbers, an
            unknown modality, or a damaged file. The message names file and rows.
        OSError: the file cannot be opened.
    """
    with named(path):
        arrays = read_arrays(path)
        if {"query_f", "gallery_f"} <= arrays.keys():
            raise ValueError(_of_baseline(os.fspath(path)))
        if "ids" not in arrays:
            raise ValueError(
                "there is no array 'ids' with the identity number of each image; it "
                f"has {_described(arrays)}"
            )
        columns = {
            name: of_images.column(name, arrays[name])
            for name in COLUMNS
            if name in arrays
        }
        features = _find_features(arrays, len(columns["ids"]))
        _check_lengths({**features, **columns}, len(columns["ids"]))
        measure = _measure(arrays)
        table = FeatureTable(
            checked_features(features, measure or "cosine"),
            ids=of_images.integers("ids", columns["ids"]),
            cameras=_optional(of_images.integers, "cameras", columns),
            modality=_optional(of_images.modality, "modality", columns),
            paths=_optional(of_images.words, "paths", columns),
            measure=measure or "cosine",
            unused=tuple(
                name
                for name in arrays
                if name not in columns
                and name not in features
                and not (measure and name == "measure")
            ),
        )
        return table.without_junk()


def _of_baseline(path: str) -> str:
    """How a file of the Person_reID_baseline family becomes one of these."""
    out = f"{os.path.splitext(path)[0]}.npz"
    return f"""its images are told apart as query and gallery, as the Person_reID_baseline
family writes them, not by modality; with queries infrared (1) and gallery visible (0):
  m = scipy.io.loadmat({path!r}, squeeze_me=True)
  f, ids, cameras = (np.concatenate([m[s + k] for s in ("query_", "gallery_")]) for k in ("f", "label", "cam"))
  np.savez({out!r}, features=f, ids=ids, cameras=cameras, modality=np.arange(len(f)) < len(m["query_f"]))"""  # noqa: E501


def _measure(arrays: Mapping[str, np.ndarray | None]) -> Measure | None:
    """The word `measure`, if there is one; ValueError for an unknown word."""
    array = arrays.get("measure")
    if array is None or array.dtype.kind not in "US" or array.size != 1:
        return None
    return of_images.measure_named(str(of_images.words("measure", array.ravel())[0]))


@contextlib.contextmanager
def named(path: str | os.PathLike[str]) -> Iterator[None]:
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
    found = {k: of_images.floats(k, v) for k, v in matrices.items() if len(v) == count}
    if "features" in arrays:
        found = {"features": of_images.floats("features", arrays["features"]), **found}
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


def _described(arrays: Mapping[str, np.ndarray | None]) -> str:
    if not arrays:
        return "no arrays"
    return ", ".join(
        f"{name} (unreadable)"
        if array is None
        else f"{name} {array.dtype} {list(array.shape)}"
        for name, array in arrays.items()
    )
