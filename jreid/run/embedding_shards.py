"""The files of an embedding job: shards of vectors, and what could not be read."""

from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np

from jreid.run.embedding_batches import EmbeddedBatch
from jreid.run.image_list import ImageList
from jreid.whole_files import replacing

ERRORS = "errors.parquet"


def shard_path(out: Path, shard: int, shards: int) -> Path:
    """Where a finished shard lies."""
    return out / f"embeddings-{shard:05d}-of-{shards:05d}.parquet"


def _errors_path(out: Path, shard: int) -> Path:
    return out / f"errors-{shard:05d}.parquet"


def missing_shards(
    out: Path, images: ImageList, part: int = 0, parts: int = 1
) -> list[int]:
    """The shards of this part that are not finished."""
    return [
        shard
        for shard in range(part, len(images), parts)
        if not shard_path(out, shard, len(images)).exists()
    ]


def write_shard(
    out: Path,
    images: ImageList,
    shard: int,
    batches: Iterable[EmbeddedBatch],
    *,
    size: int,
    dtype: str = "float16",
    progress: Callable[[int], None] = lambda done: None,
) -> int:
    """Writes one shard from its batches; returns how many images are unreadable.

    Unreadable images become rows of an errors file, which is written before the shard
    is.

    Args:
        out: the job's folder.
        images, shard: the list, and which part of it.
        batches: all of the shard, in any order.
        size: of a vector.
        dtype: of the stored vectors, "float16" or "float32".
        progress: called after each batch with the number of the shard's images done.
    """
    rows = images.rows(shard)
    reasons: dict[int, str] = {}
    table, done = np.empty((len(rows), size), dtype), 0
    for batch in batches:
        table[list(batch.rows)] = batch.vectors
        reasons |= batch.unreadable
        done += len(batch.rows) + len(batch.unreadable)
        progress(done)
    unreadable = [(*rows[row], reasons[row]) for row in sorted(reasons)]
    errors = _errors_path(out, shard)
    if unreadable:
        _write_errors(errors, unreadable)
    else:  # a try that was interrupted may have found some that are mended now
        errors.unlink(missing_ok=True)
    kept = [row for row in range(len(rows)) if row not in reasons]
    _write_shard(
        shard_path(out, shard, len(images)), [rows[row] for row in kept], table[kept]
    )
    return len(unreadable)


def finish_job(out: Path, images: ImageList) -> int | None:
    """Once no shard is missing: one errors.parquet; returns its number of rows.

    Returns None while shards of other parts are missing. May be called by every part:
    the file is the same.
    """
    import pyarrow.parquet as parquet

    if missing_shards(out, images):
        return None
    found = [
        path for s in range(len(images)) if (path := _errors_path(out, s)).exists()
    ]
    count = 0
    with (
        replacing(out / ERRORS) as temporary,
        parquet.ParquetWriter(temporary, _errors_schema()) as writer,
    ):
        for path in found:
            table = parquet.read_table(path)
            count += table.num_rows
            writer.write_table(table)
    return count


def _write_shard(path: Path, rows: list[tuple[str, str]], vectors: np.ndarray) -> None:
    import pyarrow
    import pyarrow.parquet as parquet

    flat = pyarrow.array(vectors.reshape(-1))
    columns = {
        "path": pyarrow.array([listed for listed, _ in rows], pyarrow.string()),
        "modality": pyarrow.array([own for _, own in rows], pyarrow.string()),
        "embedding": pyarrow.FixedSizeListArray.from_arrays(flat, vectors.shape[1]),
    }
    with replacing(path) as temporary:
        parquet.write_table(pyarrow.table(columns), temporary)


def _errors_schema():
    import pyarrow

    names = ("path", "modality", "reason")
    return pyarrow.schema([(name, pyarrow.string()) for name in names])


def _write_errors(path, rows) -> None:
    import pyarrow
    import pyarrow.parquet as parquet

    schema = _errors_schema()
    columns = [list(column) for column in zip(*rows, strict=True)]
    with replacing(path) as temporary:
        parquet.write_table(pyarrow.table(columns, schema=schema), temporary)
