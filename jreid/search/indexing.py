"""A folder of images into a gallery: each image is embedded once, until it changes."""

import concurrent.futures
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from jreid import stopping
from jreid.data.image_folders import PassedOver
from jreid.data.single_image import UnreadableImageError, pixels_of, to_size
from jreid.processes.cores import cores
from jreid.run.image_list import list_folder
from jreid.search.crops import perceptual_hash
from jreid.search.duplicates import Copies
from jreid.search.embedder import BATCH, Embedder
from jreid.search.gallery import Gallery
from jreid.search.guard import Recognition, recognise
from jreid.search.labels import Labels
from jreid.search.records import Record, content_of, normal_time
from jreid.shapes import UInt8

COMMIT = 4 * BATCH  # images that are made known together: what a kill may lose


@dataclass
class Indexed:
    """What an indexing has done."""

    added: int = 0
    changed: int = 0
    described: int = 0  # other labels, the same picture
    unchanged: int = 0
    removed: int = 0
    unreadable: list[tuple[str, str]] = field(default_factory=list)  # path, reason
    doubtful: list[tuple[str, str]] = field(default_factory=list)  # path, what is odd

    @property
    def seen(self) -> int:
        """Images of the folder that were looked at."""
        kept = self.added + self.changed + self.described + self.unchanged
        return kept + len(self.unreadable)


@dataclass(frozen=True)
class _Prepared:
    """An image as the gallery will know it; `pixels` where it has to be embedded."""

    record: Record
    pixels: UInt8[np.ndarray, "h w 3"] | None = None
    unreadable: str = ""
    doubts: tuple[str, ...] = ()
    look: int = 0  # perceptual hash


def list_images(folder: Path) -> dict[str, str]:
    """Paths below the folder of all images in it, and the modality that folders name.

    That is "" where no folder on the path is called visible or infrared.

    Raises ValueError if there is none, or a name cannot be kept.
    """
    passed = PassedOver()
    lines = (line.rstrip("\n") for line in list_folder(folder, "", passed))
    split = (line.split("\t") for line in lines)
    found = {Path(path).as_posix(): modality for path, modality in split}
    passed.warn(folder, "")
    if not found:
        raise ValueError(f"there is no image in {folder}, nor in any folder below it")
    return found


def index(
    gallery: Gallery,
    paths: Sequence[str],
    labels_of: Callable[[str], Labels],
    progress: Callable[[Indexed], None] = lambda done: None,
) -> Indexed:
    """Brings a gallery up to date with its folder.

    New and changed images are embedded, `COMMIT` at a time; images whose file is gone,
    or cannot be read any more, are removed. A process that is killed loses the images
    that it had in hand, and the same call goes on.

    Args:
        gallery: opened with an embedder.
        paths: of the images to look at, below the gallery's folder.
        labels_of: what is known of an image. What it does not say stays as it was, of
            another picture at the path the camera alone; without a modality, that is
            recognised.
        progress: called with what is done so far.

    Raises OSError if another process writes the gallery.
    """
    done = Indexed()
    with gallery.store.writing():
        known = {record.path: record for record in gallery.store.all()}
        _remove_missing(gallery, known, paths, done)
        copies = Copies()
        for path in sorted(known.keys() - {*paths}):
            copies.keep(path, known[path].content)
        for batch in _prepared(gallery, known, paths, labels_of):
            _keep(gallery, known, batch, done)
            _doubt(batch, copies, done)
            progress(done)
        done.doubtful += copies.found()
    return done


def _remove_missing(
    gallery: Gallery,
    known: dict[str, Record],
    paths: Sequence[str],
    done: Indexed,
) -> None:
    """Those that are not listed any more because their file is gone."""
    gone = [
        known.pop(path).key
        for path in known.keys() - {*paths}
        if not os.path.exists(gallery.images / path)
    ]
    done.removed += gallery.store.remove(gone)


def _prepared(
    gallery: Gallery,
    known: dict[str, Record],
    paths: Sequence[str],
    labels_of: Callable[[str], Labels],
) -> Iterator[list[_Prepared]]:
    """Batches of what was read; the next is read while one is embedded."""
    embedder, folder = gallery.embedder, gallery.images

    def prepare(path: str) -> _Prepared:
        stopping.check()
        return _prepare(embedder, folder, path, labels_of(path), known.get(path))

    batches = (paths[i : i + COMMIT] for i in range(0, len(paths), COMMIT))
    with concurrent.futures.ThreadPoolExecutor(cores()) as pool:
        begun = [pool.submit(prepare, path) for path in next(batches, ())]
        while begun:
            following = [pool.submit(prepare, path) for path in next(batches, ())]
            yield [future.result() for future in begun]
            begun = following


def _prepare(
    embedder: Embedder,
    folder: Path,
    path: str,
    labels: Labels,
    before: Record | None,
) -> _Prepared:
    """Reads a file, and decodes it if it is not known as it is."""
    record = Record(path, "", "")
    try:
        contents = (folder / path).read_bytes()
        record = _labelled(record, content_of(contents), labels, before)
        if _is_embedded(record, before):
            return _Prepared(record)
        pixels = pixels_of(contents)
        seen = recognise(pixels)
    except OSError as error:
        return _Prepared(record, unreadable=error.strerror or str(error))
    except UnreadableImageError as error:
        return _Prepared(record, unreadable=str(error))
    told, record = record, replace(record, modality=record.modality or seen.modality)
    if _is_embedded(record, before):
        return _Prepared(record)
    return _Prepared(
        record,
        to_size(pixels, embedder.size, embedder.resize, embedder.grey16),
        doubts=_doubts(seen, told.modality),
        look=perceptual_hash(pixels),
    )


def _is_embedded(record: Record, before: Record | None) -> bool:
    as_it_is = (record.content, record.modality)
    return before is not None and (before.content, before.modality) == as_it_is


def _labelled(
    record: Record, content: str, labels: Labels, before: Record | None
) -> Record:
    """With what is said of it, and what was known where that does not say.

    Another picture at its path may be of another person and time, but not elsewhere.
    """
    known = {}
    for name in ("camera", "time", "track", "identity", "modality"):
        said = getattr(labels, name)
        keeps = before is not None and (before.content == content or name == "camera")
        if said is None and keeps:
            said = getattr(before, name)
        known[name] = normal_time(said) if name == "time" and said else said or None
    known["modality"] = known["modality"] or ""
    return replace(record, content=content, **known)


def _doubts(seen: Recognition, told: str) -> tuple[str, ...]:
    """What is odd about a picture, and how it differs from what was told of it."""
    if not told:
        return seen.warnings
    # That a grey picture may be of either kind is of no use where it is told.
    odd = tuple(one for one in seen.warnings if not one.startswith("grey"))
    if told == seen.modality:
        return odd
    return (f"looks {seen.kind}, and is said to be {told}", *odd)


def _keep(
    gallery: Gallery, known: dict[str, Record], batch: list[_Prepared], done: Indexed
) -> None:
    """Embeds what is new and makes it known."""
    new = [one for one in batch if one.pixels is not None]
    if new:
        records = [one.record for one in new]
        vectors = np.empty((len(new), gallery.embedder.dim), np.float32)
        modalities = np.array([record.modality for record in records])
        pixels = np.stack([one.pixels for one in new if one.pixels is not None])
        for name in {*modalities.tolist()}:
            rows = modalities == name
            vectors[rows] = gallery.embedder.embed(pixels[rows], name)
        gallery.store.put(records, vectors)
    changed = sum(one.record.path in known for one in new)
    done.changed, done.added = done.changed + changed, done.added + len(new) - changed
    same = [one.record for one in batch if one.pixels is None and not one.unreadable]
    others = [record for record in same if record != known[record.path]]
    if others:
        gallery.store.describe(others)
    done.described += len(others)
    done.unchanged += len(same) - len(others)
    bad = [one for one in batch if one.unreadable]
    done.unreadable += [(one.record.path, one.unreadable) for one in bad]
    done.removed += gallery.store.remove([one.record.key for one in bad])


def _doubt(batch: list[_Prepared], copies: Copies, done: Indexed) -> None:
    """Notes what is odd about new images, and what they may be copies of."""
    for one in batch:
        path, content = one.record.path, one.record.content
        done.doubtful += [(path, doubt) for doubt in one.doubts]
        if one.pixels is not None:
            copies.add(path, content, one.look)
        elif not one.unreadable:
            copies.keep(path, content)
