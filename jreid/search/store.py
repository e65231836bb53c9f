"""What a gallery needs of the place that keeps its vectors."""

from collections.abc import Collection, Iterator, Mapping, Sequence, Set
from contextlib import AbstractContextManager
from typing import Any, Protocol, runtime_checkable

import numpy as np

from jreid.search.records import Record, TimeKind, Where
from jreid.shapes import Float, Float32

FORMAT = 1  # of what is stored


@runtime_checkable
class Store(Protocol):
    """Vectors with their records, in a folder or in Milvus.

    Vectors have length 1 and are kept in float16; what is found is compared with these.
    """

    place: str

    def settings(self) -> dict[str, Any]:
        """What the gallery was made with, in values that JSON can hold."""
        ...

    def change(self, settings: Mapping[str, Any]) -> None:
        """Replaces the settings; only while `writing`."""
        ...

    def writing(self) -> AbstractContextManager[None]:
        """Keeps other writers out; OSError if there is one."""
        ...

    def __len__(self) -> int:
        """How many images there are."""
        ...

    def count(self, where: Where) -> int:
        """How many images are looked at."""
        ...

    def time_kinds(self) -> Set[TimeKind]:
        """Which kinds of times its images have."""
        ...

    def all(self) -> Iterator[Record]:
        """Every record."""
        ...

    def page(self, offset: int, limit: int) -> list[Record]:
        """Some records, in the order of their paths; in Milvus, of their keys."""
        ...

    def record(self, key: str) -> Record:
        """One record; KeyError if there is none."""
        ...

    def put(self, records: Sequence[Record], vectors: Float32[np.ndarray, "n d"]):
        """Adds images, or replaces those of the same path, all or none."""
        ...

    def describe(self, records: Sequence[Record]) -> None:
        """Replaces what is known of images, whose vectors stay."""
        ...

    def remove(self, keys: Collection[str]) -> int:
        """Deletes images with all that is stored of them; how many there were."""
        ...

    def nearest(
        self, vector: Float32[np.ndarray, " d"], count: int, where: Where
    ) -> list[tuple[Record, float]]:
        """The nearest images and their distances, nearest first; equal ones by key."""
        ...

    def vectors(self, keys: Sequence[str]) -> Float[np.ndarray, "n d"]:
        """The vectors as they are kept; KeyError for a key that is not there."""
        ...

    def counts(self) -> dict[str, dict[str, int]]:
        """Images by camera and by modality, "" where it is not known."""
        ...

    def size(self) -> dict[str, int]:
        """Bytes of the files, by name; {} where they are not to be seen."""
        ...

    def close(self) -> None:
        """Lets go of files and connections."""
        ...


def distances(
    vector: Float[np.ndarray, " d"], kept: Float[np.ndarray, "n d"]
) -> Float[np.ndarray, " n"]:
    """Squared Euclidean distances of vectors of length 1, in float64: 2 - 2 <a, b>."""
    products = np.einsum("nd,d->n", kept.astype(np.float64), vector.astype(np.float64))
    return np.clip(2 - 2 * products, 0, 4)


def in_order(
    found: list[tuple[Record, float]], count: int
) -> list[tuple[Record, float]]:
    """The nearest first, equal distances by key."""
    return sorted(found, key=lambda one: (one[1], one[0].key))[:count]


def is_there(place: str) -> FileExistsError:
    """What is raised where a new gallery is to be made in the place of one."""
    return FileExistsError(
        f"there is a gallery in {place} already: open it (Gallery.open), or give "
        "another place"
    )
