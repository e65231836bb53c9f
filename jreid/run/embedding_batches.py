"""Batches of an embedding job: which images they are of, and how they are embedded.

A batch is of one shard and one modality, whoever embeds it, so that a vector's bits
do not depend on how a job is shared.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple, Protocol, runtime_checkable

import numpy as np

from jreid.data.datasets import MODALITY_NAMES
from jreid.run.image_list import ImageList
from jreid.shapes import Float, UInt8

Pixels = UInt8[np.ndarray, "n h w 3"]
Vectors = Float[np.ndarray, "n d"]


@runtime_checkable
class Embeds(Protocol):
    """A network at work on files; see `file_embedder.FileEmbedder`."""

    size: int
    """Of a vector."""
    batch_size: int
    """Images that are read and embedded at once."""

    def read(self, paths: list[str]) -> tuple[Pixels, list[str | None]]:
        """The files' pixels, and per file why it is unreadable or None."""
        ...

    def nearly_empty(self, paths: list[str]) -> list[str]:
        """Those that are nearly of one grey level as they are read."""
        ...

    def embed(self, pixels: Pixels, modality: str) -> Vectors:
        """Vectors of up to a batch of images of one modality."""
        ...


class Batch(NamedTuple):
    """Images that are read and embedded at once."""

    modality: str
    rows: tuple[int, ...]  # of the shard
    paths: list[str]


class EmbeddedBatch(NamedTuple):
    """What has become of a batch."""

    rows: tuple[int, ...]  # of the shard, whose images could be read
    vectors: Vectors  # of these rows
    unreadable: Mapping[int, str]  # the other rows, and why
    pale: Sequence[str] = ()  # paths of images nearly of one grey level


Shard = tuple[int, Iterable[EmbeddedBatch]]


def embed_shards(
    images: ImageList, shards: Sequence[int], network: Embeds
) -> Iterator[Shard]:
    """The shards, each with its batches, in their order, from this process."""
    for shard in shards:
        rows = images.rows(shard)
        batches = batches_of(rows, images.root, network.batch_size)
        yield shard, embed_batches(batches, network)


def batches_of(
    rows: Sequence[tuple[str, str]], root: Path, batch_size: int
) -> list[Batch]:
    """A shard's paths and modalities as batches, the visible images first.

    Args:
        rows: path and modality of each image.
        root: where relative paths begin.
        batch_size: the most images of a batch.
    """
    batches = []
    for modality in MODALITY_NAMES:
        mine = [row for row, (_, own) in enumerate(rows) if own == modality]
        for start in range(0, len(mine), batch_size):
            numbers = tuple(mine[start : start + batch_size])
            paths = [str(root / rows[row][0]) for row in numbers]
            batches.append(Batch(modality, numbers, paths))
    return batches


def embed_batches(batches: Sequence[Batch], network: Embeds) -> Iterator[EmbeddedBatch]:
    """What becomes of the batches, in their order.

    The next batch is read while the device computes.
    """

    def read(batch: Batch):
        return network.read(batch.paths), network.nearly_empty(batch.paths)

    with ThreadPoolExecutor(1) as reader:
        following = reader.submit(read, batches[0])
        for number, batch in enumerate(batches):
            (pixels, why), pale = following.result()
            if number + 1 < len(batches):
                following = reader.submit(read, batches[number + 1])
            good = [place for place, reason in enumerate(why) if reason is None]
            vectors = np.zeros((0, network.size), np.float32)
            if good:
                vectors = network.embed(pixels[good], batch.modality)
            unreadable = {
                batch.rows[place]: reason
                for place, reason in enumerate(why)
                if reason is not None
            }
            rows = tuple(batch.rows[place] for place in good)
            yield EmbeddedBatch(rows, vectors, unreadable, pale)
