"""A gallery: images that were embedded once, and are searched for a person."""

import os
from collections.abc import Iterable, Sequence
from pathlib import Path, PurePath, PurePosixPath
from typing import Any

from jreid.data.single_image import AnyImage
from jreid.search.asking import Question, answer, embedded
from jreid.search.calibrations import Calibrations
from jreid.search.embedder import Embedder, listed
from jreid.search.places import make_store, open_store
from jreid.search.records import EVERYWHERE, Hit, Record, Where, key_of
from jreid.search.store import FORMAT, Store


class Gallery:
    """A gallery in a folder or in Milvus, opened with the network it was made with."""

    def __init__(self, store: Store, embedder: Embedder | None):
        self.store, self._embedder = store, embedder
        self._settings: dict[str, Any] = store.settings()
        self._calibrations: tuple[Calibrations | None, str] | None = None

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
        *,
        int8: bool = False,
    ) -> "Gallery":
        """A new and empty gallery of the images below a folder.

        With `int8` a folder's file has a byte for each number, see `projection`.

        Raises:
            FileExistsError: there is a gallery, or something else.
            OSError: the place cannot be written, or Milvus does not answer.
            ValueError: `int8` in Milvus.
        """
        settings: dict[str, Any] = {
            "format": FORMAT,
            "dim": embedder.dim,
            "fingerprint": embedder.fingerprint,
            "model": embedder.about,
            "run": None if embedder.workdir is None else str(embedder.workdir),
            "images": str(Path(images).absolute()),
        }
        if int8:
            settings["int8"] = True
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
                f"their vectors cannot be compared: give {_maker(settings)}, or "
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
            moved: dict[str, Any] = {**self._settings}
            moved["images"] = str(Path(images).absolute())
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
        left_out: Sequence[str] = (),
        false_match_rate: float | None = None,
        prior: float | None = None,
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
            left_out: keys of images that are not looked at, as those of the query.
            false_match_rate: only images are returned that lie within the threshold
                that so many pairs of different persons pass; none where nobody does.
            prior: of the probabilities, see `Calibration`.

        Raises:
            UnreadableImageError, TypeError, ValueError: see `Embedder`.
            TimeKindError: `where` has a number and the gallery dates, or the reverse.
            KeyError: a key that is not in the gallery.
        """
        question = Question(
            k=k,
            where=where or EVERYWHERE,
            by_track=by_track,
            rerank=rerank,
            liked=tuple(liked),
            disliked=tuple(disliked),
            left_out=tuple(left_out),
            false_match_rate=false_match_rate,
        )
        if question.where.after is not None or question.where.before is not None:
            question.where.check_times(self.store.time_kinds())
        query = embedded(self.embedder, listed(images), modality)
        calibrations = self.calibrations
        if calibrations is not None and prior is not None:
            calibrations = calibrations.with_prior(prior)
        return answer(self.store, query, question, calibrations)

    @property
    def calibrations(self) -> Calibrations | None:
        """What tells probabilities of distances; None where nothing does.

        `why_no_probability` then says why. Raises ValueError for a damaged file.
        """
        return self._calibrated()[0]

    @property
    def why_no_probability(self) -> str:
        """Why hits have no probability, and what to do; "" where they have."""
        return self._calibrated()[1]

    def _calibrated(self) -> tuple[Calibrations | None, str]:
        if self._calibrations is None:
            run, fingerprint = self.embedder.workdir, self.embedder.fingerprint
            self._calibrations = Calibrations.from_run(run, fingerprint)
        return self._calibrations

    def entry(self, key: str) -> Record:
        """What is known of an image; KeyError if there is none of this key."""
        return self.store.record(key)

    def entries(self, offset: int = 0, limit: int = 100) -> list[Record]:
        """Some images, in the order of their paths (of Milvus: of their keys)."""
        return self.store.page(offset, limit)

    def image_path(self, key: str) -> Path:
        """The file of an image; links are followed, as indexing follows them.

        Raises:
            KeyError: there is none of this key.
            ValueError: its path leads out of the indexed folder: no indexing wrote it.
        """
        path = PurePath(self.store.record(key).path)
        if path.is_absolute() or ".." in path.parts:
            raise ValueError(f"{path} leads out of the indexed folder {self.images}")
        return self.images / path

    def remove(self, paths: Iterable[str | os.PathLike[str]]) -> int:
        """Deletes images: their vectors, and all that is stored of them.

        Args:
            paths: below the indexed folder, or whole; a folder is all that is in it.

        Returns how many there were; a path that is not in the gallery is none.

        Raises ValueError for an empty or blank path.
        """
        given = list(paths)
        if not all(os.fspath(path).strip() for path in given):  # else taken for "."
            raise ValueError(
                "a path is empty: give images or folders; `.` is all of them"
            )
        names = {self.name_of(path) for path in given}
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


def _maker(settings: dict[str, Any]) -> str:
    run, step = settings["run"], settings["model"].get("step")
    if run is None:
        return "the exported file it was made with"
    return f"the run {run}" + ("" if step is None else f" with --step {step}")


def _told(about: dict[str, Any]) -> str:
    names = ("name", "step", "kind", "size", "resize", "precision")
    return ", ".join(f"{name} {about[name]}" for name in names if name in about)
