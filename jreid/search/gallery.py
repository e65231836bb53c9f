"""A gallery: images that were embedded once, and are searched for a person."""

import os
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from jreid.data.single_image import AnyImage, pixels_of, to_size
from jreid.search import refine
from jreid.search.embedder import Embedder
from jreid.search.places import make_store, open_store
from jreid.search.records import EVERYWHERE, Hit, Record, Where, key_of
from jreid.search.store import FORMAT, Store
from jreid.shapes import Float32

_MANY = 8  # images that are looked at for each track that is wanted, at first


class Gallery:
    """A gallery in a folder or in Milvus, opened with the network it was made with."""

    def __init__(self, store: Store, embedder: Embedder | None):
        self.store, self._embedder = store, embedder
        self._settings = store.settings()
        self._probability = None

    @classmethod
    def open(
        cls, place: str | os.PathLike[str], embedder: Embedder | None = None
    ) -> "Gallery":
        """Opens a gallery; without an embedder, for all but queries with images.

        Args:
            place: a folder; `http://host:19530/name` of Milvus; or a file of Milvus
                Lite, whose name ends in .db.

        Raises:
            FileNotFoundError: there is no gallery.
            ValueError: another network than the gallery was made with.
        """
        gallery = cls(open_store(os.fspath(place)), embedder)
        try:
            gallery._check()
        except ValueError:
            gallery.close()
            raise
        return gallery

    @classmethod
    def create(
        cls,
        place: str | os.PathLike[str],
        embedder: Embedder,
        images: str | os.PathLike[str],
    ) -> "Gallery":
        """A new and empty gallery of the images below a folder."""
        settings: dict[str, Any] = {
            "format": FORMAT,
            "dim": embedder.dim,
            "fingerprint": embedder.fingerprint,
            "model": embedder.about,
            "run": None if embedder.workdir is None else str(embedder.workdir),
            "images": str(Path(images).absolute()),
        }
        return cls(make_store(os.fspath(place), settings), embedder)

    def _check(self) -> None:
        settings, place = self._settings, self.store.place
        if settings["format"] != FORMAT:
            raise ValueError(
                f"{place} has the format {settings['format']}, and this version reads "
                f"{FORMAT}: index the images again"
            )
        embedder = self._embedder
        if embedder is not None and embedder.fingerprint != settings["fingerprint"]:
            raise ValueError(
                f"{place} was made with another network or preprocessing "
                f"({settings['fingerprint']}: {_told(settings['model'])}) than is "
                f"given ({embedder.fingerprint}: {_told(embedder.about)}), so that "
                f"their vectors cannot be compared: give the run {settings['run']}, or "
                "index the images again in another gallery"
            )

    @property
    def embedder(self) -> Embedder:
        """That which the gallery was opened with.

        Raises ValueError if it was opened without.
        """
        if self._embedder is None:
            raise ValueError(
                f"{self.store.place} was opened without an embedder: "
                "Gallery.open(place, embedder)"
            )
        return self._embedder

    @property
    def images(self) -> Path:
        """The folder that was indexed."""
        return Path(self._settings["images"])

    def move(self, images: str | os.PathLike[str]) -> None:
        """Says that the indexed folder has another place now."""
        with self.store.writing():
            moved = self._settings | {"images": str(Path(images).absolute())}
            self.store.change(moved)
            self._settings = moved

    @property
    def run(self) -> str | None:
        """The work directory of the run that the gallery was made with."""
        return self._settings["run"]

    @property
    def model(self) -> dict[str, Any]:
        """What is known of the network that the gallery was made with."""
        return self._settings["model"]

    def __len__(self) -> int:
        return len(self.store)

    def query(
        self,
        images: AnyImage | Sequence[AnyImage],
        modality: str | None | Sequence[str | None] = None,
        k: int = 10,
        *,
        where: Where | None = None,
        by_track: bool = False,
        rerank: int = 0,
        liked: Sequence[str] = (),
        disliked: Sequence[str] = (),
    ) -> list[Hit]:
        """The images that are most like the person of the query, nearest first.

        Args:
            images: one, or a list of several of one person, see `Embedder`.
            modality: "visible" or "infrared", of all or of each; None: recognised.
            k: how many are wanted.
            where: which images are looked at.
            by_track: of each track the nearest image only.
            rerank: so many of the nearest are put in the order of k-reciprocal
                re-ranking; their distances stay what they are.
            liked, disliked: keys of images that do, and do not, show the person: the
                query is moved (see `refine`), and those disliked are left out.

        Raises:
            UnreadableImageError, TypeError, ValueError: see `Embedder`.
            KeyError: a key that is not in the gallery.
        """
        where = where or EVERYWHERE
        where.check()
        if k < 1:
            raise ValueError(f"k is {k}; it must be at least 1")
        several = list(images) if isinstance(images, list | tuple) else [images]
        if not several:
            raise ValueError("no image: a query needs at least one")
        own, modalities = self._embedded(several, modality)
        vector = refine.refined(
            refine.fused(own), self.store.vectors(liked), self.store.vectors(disliked)
        )
        left_out = {*disliked}

        def nearest(count: int) -> list[tuple[Record, float]]:
            found = self.store.nearest(vector, count + len(left_out), where)
            found = [one for one in found if one[0].key not in left_out]
            return self._reranked(vector, found[:count], rerank)

        found = (
            _first_of_tracks(nearest, k) if by_track else nearest(max(k, rerank))[:k]
        )
        probabilities = self._probabilities(own, modalities, [r for r, _ in found])
        return [
            _hit(record, distance, probability)
            for (record, distance), probability in zip(
                found, probabilities, strict=True
            )
        ]

    def _embedded(
        self, images: list[AnyImage], modality: str | None | Sequence[str | None]
    ) -> tuple[Float32[np.ndarray, "n d"], list[str]]:
        """Vectors and modalities of the images of a query."""
        one = modality is None or isinstance(modality, str)
        given = [modality] * len(images) if one else list(modality)
        if len(given) != len(images):
            raise ValueError(
                f"{len(images)} images and {len(given)} modalities: give one for all, "
                "or one for each"
            )
        embedder, vectors, modalities = self.embedder, [], []
        for image, own in zip(images, given, strict=True):
            pixels = pixels_of(image)
            modalities.append(own or recognised(pixels))
            read = to_size(pixels, embedder.size, embedder.resize, embedder.grey16)
            vectors.append(embedder.embed(read[None], modalities[-1])[0])
        return np.stack(vectors), modalities

    def _reranked(
        self,
        vector: Float32[np.ndarray, " d"],
        found: list[tuple[Record, float]],
        count: int,
    ) -> list[tuple[Record, float]]:
        """The first `count` in the order of k-reciprocal re-ranking."""
        near, far = found[:count], found[count:]
        if len(near) < 2:
            return found
        from jreid.evaluation.rerank.blocks import rerank

        kept = self.store.vectors([record.key for record, _ in near])
        distances = rerank(vector[None], kept.astype(np.float32))[0]
        return [near[place] for place in np.argsort(distances, kind="stable")] + far

    def _probabilities(
        self,
        own: Float32[np.ndarray, "n d"],
        modalities: list[str],
        records: list[Record],
    ) -> Sequence[float | None]:
        return [None] * len(records)

    def entry(self, key: str) -> Record:
        """What is known of an image; KeyError if there is none of this key."""
        return self.store.record(key)

    def entries(self, offset: int = 0, limit: int = 100) -> list[Record]:
        """Some images, in the order of their paths."""
        return self.store.page(offset, limit)

    def image_path(self, key: str) -> Path:
        """The file of an image.

        Raises:
            KeyError: there is none of this key.
            ValueError: it would lie outside of the indexed folder.
        """
        path = self.images / PurePosixPath(self.store.record(key).path)
        if not path.resolve().is_relative_to(self.images.resolve()):
            raise ValueError(f"{path} lies outside of the indexed folder")
        return path

    def remove(self, paths: Iterable[str | os.PathLike[str]]) -> int:
        """Deletes images: their vectors, and all that is stored of them.

        Args:
            paths: below the indexed folder, or whole; a folder is all that is in it.

        Returns how many there were; a path that is not in the gallery is none.
        """
        names = {self.name_of(path) for path in paths}
        folders = tuple(f"{name}/" for name in names)
        keys = {key_of(name) for name in names}
        with self.store.writing():
            keys |= {
                record.key
                for record in self.store.all()
                if record.path.startswith(folders) or "." in names
            }
            return self.store.remove(keys)

    def name_of(self, path: str | os.PathLike[str]) -> str:
        """The path below the indexed folder, as records have it."""
        given = Path(path)
        if given.is_absolute():
            given = Path(os.path.relpath(given, self.images))
        return PurePosixPath(*given.parts).as_posix()

    def info(self) -> dict[str, Any]:
        """What the gallery holds and what it was made with."""
        return {
            "place": self.store.place,
            "images": len(self),
            **self.store.counts(),
            **{name: self._settings[name] for name in ("dim", "fingerprint", "model")},
            "run": self.run,
            "folder": str(self.images),
            "bytes": self.store.size(),
        }

    def close(self) -> None:
        """Lets go of files and connections."""
        self.store.close()

    def __enter__(self) -> "Gallery":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def recognised(pixels: np.ndarray) -> str:
    """The modality that an image looks to be of, see `guard`."""
    from jreid.search.guard import recognise

    return recognise(pixels).modality


def _first_of_tracks(
    nearest: Callable[[int], list[tuple[Record, float]]], k: int
) -> list[tuple[Record, float]]:
    """Of each of the k nearest tracks its first image; one without a track is its own.

    A tracker counts for itself in each camera.
    """
    count = _MANY * k
    while True:
        found, first = nearest(count), {}
        for record, distance in found:
            track = (
                record.key if record.track is None else (record.camera, record.track)
            )
            first.setdefault(track, (record, distance))
        if len(first) >= k or len(found) < count:
            return list(first.values())[:k]
        count *= 4


def _hit(record: Record, distance: float, probability: float | None) -> Hit:
    return Hit(
        key=record.key,
        path=record.path,
        distance=distance,
        probability=probability,
        camera=record.camera,
        time=record.time,
        track=record.track,
        modality=record.modality,
        identity=record.identity,
    )


def _told(about: dict[str, Any]) -> str:
    names = ("name", "step", "kind", "size", "resize")
    return ", ".join(f"{name} {about[name]}" for name in names if name in about)
