"""A gallery in a folder: a file of vectors, and a catalogue of their records.

Vectors are written to places that nobody has, before the transaction that makes them
known, so that a process that is killed leaves the gallery as it was before its last
batch.
"""

import contextlib
import os
import tempfile
from collections.abc import Collection, Iterator, Mapping, Sequence, Set
from pathlib import Path
from typing import Any

import numpy as np

from jreid.processes.cores import cores
from jreid.search import catalogue, vectors_file
from jreid.search.catalogue import Catalogue
from jreid.search.locking import only_writer
from jreid.search.records import EVERYWHERE, Record, TimeKind, Where
from jreid.search.store import distances, in_order, is_there
from jreid.search.vectors_file import VectorsFile
from jreid.shapes import Bool, Float, Float32

LOCK = "lock"
_NEW = ".new-"  # begins the name of a folder in which a catalogue is made
# Found by single precision, and compared again: as many more than are wanted.
_DOUBTFUL = 16
_FILTERS = 8  # of which is remembered what they choose


class FolderStore:
    """See `store.Store`."""

    def __init__(self, folder: Path):
        """Opens a gallery.

        Raises:
            FileNotFoundError: there is none.
            ValueError: it is damaged.
        """
        if not (folder / catalogue.NAME).is_file():
            raise FileNotFoundError(
                f"there is no gallery in {folder}: python -m jreid.search index IMAGES "
                f"--gallery {folder} --workdir RUN makes one"
            )
        self.place, self._folder = str(folder), folder
        self._catalogue = Catalogue(folder)
        with _named(folder):
            self._file = _vectors_file(folder, self._catalogue.settings())
        self._index, self._generation = None, -1
        self._chosen: dict[Where, Bool[np.ndarray, " n"]] = {}

    @classmethod
    def create(cls, folder: Path, settings: Mapping[str, Any]) -> "FolderStore":
        """A new and empty gallery; settings: with the vectors' "dim".

        Raises OSError where the folder cannot be written, or holds a gallery or
        something else.
        """
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise OSError(
                f"{folder} cannot be the folder of a gallery ({error.strerror}): give "
                "another --gallery"
            ) from error
        with only_writer(folder / LOCK, str(folder)):
            if (folder / catalogue.NAME).exists():
                raise is_there(str(folder))
            _refuse_others(folder)
            _vectors_file(folder, settings).create()
            with tempfile.TemporaryDirectory(prefix=_NEW, dir=folder) as new:
                made = Catalogue(Path(new), create=True)
                made.change_settings(settings)
                made.close()
                os.replace(Path(new) / catalogue.NAME, folder / catalogue.NAME)
        return cls(folder)

    def settings(self) -> dict[str, Any]:  # noqa: D102
        return self._catalogue.settings()

    def change(self, settings: Mapping[str, Any]) -> None:  # noqa: D102
        self._catalogue.change_settings(settings)

    @contextlib.contextmanager
    def writing(self) -> Iterator[None]:  # noqa: D102
        with only_writer(self._folder / LOCK, self.place):
            self._fill_holes()  # of a change that was killed
            yield

    def __len__(self) -> int:
        return self._catalogue.count()

    def count(self, where: Where) -> int:  # noqa: D102
        return len(self._catalogue.rows(where))

    def time_kinds(self) -> Set[TimeKind]:  # noqa: D102
        return self._catalogue.time_kinds()

    def all(self) -> Iterator[Record]:  # noqa: D102
        return self._catalogue.all()

    def page(self, offset: int, limit: int) -> list[Record]:  # noqa: D102
        return self._catalogue.page(offset, limit)

    def record(self, key: str) -> Record:  # noqa: D102
        with self._catalogue.reading():
            return self._catalogue.records([self._catalogue.places([key])[key]])[0]

    def counts(self) -> dict[str, dict[str, int]]:  # noqa: D102
        return self._catalogue.counts()

    def size(self) -> dict[str, int]:  # noqa: D102
        paths = (self._file.path, self._folder / catalogue.NAME)
        return {path.name: path.stat().st_size for path in paths}

    def put(  # noqa: D102
        self, records: Sequence[Record], vectors: Float32[np.ndarray, "n d"]
    ) -> None:
        left = self._catalogue.places([record.key for record in records]).values()
        end = self._catalogue.end()
        rows = range(end, end + len(records))
        self._file.write(dict(zip(rows, vectors, strict=True)))
        self._catalogue.write(dict(zip(rows, records, strict=True)), left)
        self._fill_holes()

    def describe(self, records: Sequence[Record]) -> None:  # noqa: D102
        places = self._catalogue.places([record.key for record in records])
        self._catalogue.write({places[record.key]: record for record in records})

    def remove(self, keys: Collection[str]) -> int:  # noqa: D102
        rows = sorted(self._catalogue.places(keys).values())
        if rows:
            self._catalogue.remove(rows)
            self._fill_holes()
            self._catalogue.shrink()
        return len(rows)

    def nearest(  # noqa: D102
        self, vector: Float32[np.ndarray, " d"], count: int, where: Where
    ) -> list[tuple[Record, float]]:
        with self._catalogue.reading():
            index = self._refreshed()
            end = self._catalogue.end()
            rows = index.nearest(vector, count + _DOUBTFUL, self._allowed(where, end))
            records = self._catalogue.records(rows.tolist())
            kept = self._file.map(end)[rows]
        found = zip(records, distances(vector, kept).tolist(), strict=True)
        return in_order(list(found), count)

    def vectors(self, keys: Sequence[str]) -> Float[np.ndarray, "n d"]:  # noqa: D102
        with self._catalogue.reading():
            places = self._catalogue.places(keys)
            return self._file.map(self._catalogue.end())[[places[key] for key in keys]]

    def close(self) -> None:  # noqa: D102
        if self._index is not None:
            self._index.close()
        self._catalogue.close()

    def _refreshed(self):
        """The index of what is there now, read anew after a change."""
        from jreid.search.exact import ExactIndex

        generation = self._catalogue.generation()
        if self._index is None or generation != self._generation:
            if self._index is not None:
                self._index.close()
            self._index = None  # two would not fit where one does
            vectors = self._file.map(self._catalogue.end())
            self._index, self._generation = ExactIndex(vectors, cores()), generation
            self._chosen.clear()
        return self._index

    def _allowed(self, where: Where, end: int) -> Bool[np.ndarray, " end"] | None:
        """Which rows are looked at, None for all: of the last few filters, known."""
        if where == EVERYWHERE and end == self._catalogue.count():
            return None
        if where not in self._chosen:
            if len(self._chosen) >= _FILTERS:
                self._chosen.clear()
            self._chosen[where] = np.zeros(end, bool)
            self._chosen[where][self._catalogue.rows(where)] = True
        return self._chosen[where]

    def _fill_holes(self) -> None:
        """Moves the last images into the places of removed ones, and cuts the file."""
        holes = self._catalogue.holes()
        if not holes:
            return
        images = self._catalogue.count()
        targets = [row for row in holes if row < images]
        sources = self._catalogue.rows_from(images)
        moves = dict(zip(sources, targets, strict=True))
        self._file.move(moves)
        self._catalogue.move(moves)
        self._file.cut(images)
        self._catalogue.forget_holes()


def _vectors_file(folder: Path, settings: Mapping[str, Any]) -> VectorsFile:
    return VectorsFile(folder, settings["dim"], settings.get("int8", False))


def _refuse_others(folder: Path) -> None:
    """Raises FileExistsError unless all there is was left by a killed `create`."""
    for path in folder.iterdir():
        is_ours = path.name in (vectors_file.NAME, vectors_file.NAME_INT8)
        left = is_ours and not path.stat().st_size
        if not (left or path.name == LOCK or path.name.startswith(_NEW)):
            raise FileExistsError(
                f"{folder} is no gallery and holds {path.name}: give another --gallery"
            )


@contextlib.contextmanager
def _named(folder: Path) -> Iterator[None]:
    """What is damaged is told with its name."""
    try:
        yield
    except Exception as error:
        raise ValueError(
            f"{folder / catalogue.NAME} is damaged ({error}): delete the gallery's "
            "folder and index the images again"
        ) from error
