"""Embeds a folder's images, those that are new or have changed, into a gallery.

Images whose file is gone are removed from it. The folder needs no order and no names;
camera, time, track, modality and identity are read from --csv or from --pattern where
one is given, as --pattern 'cam(?P<camera>[0-9]+)/(?P<track>[0-9]+)_'. A command that
was stopped, or killed, is given again and goes on.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import tyro

if TYPE_CHECKING:
    from jreid.search.gallery import Gallery
    from jreid.search.indexing import Indexed
    from jreid.search.labels import Labels


@dataclass(frozen=True, slots=True)
class Options:
    """What the command line says."""

    images: tyro.conf.Positional[Path]
    """The folder of images."""
    gallery: str
    """A folder, http://host:19530/name of Milvus, or a file NAME.db of Milvus Lite."""
    workdir: Path | None = None
    """The run's folder; by default the one that the gallery was made with."""
    model: Path | None = None
    """Instead of a run, the ONNX file that jreid.export has written of it."""
    step: int | None = None
    """The checkpoint to use instead of the newest."""
    kind: str | None = None
    """Of a new gallery, which embedding: fused, as without this, plain where the run
    has it, or a branch's name."""
    dim: int | None = None
    """Of a new gallery: vectors of so many numbers, by principal axes of the run's
    training images, which are embedded for it once."""
    int8: tyro.conf.FlagCreatePairsOff[bool] = False
    """Of a new gallery in a folder: its file has a byte for each number, not two."""
    csv: Path | None = None
    """A file that lists the images with what is known of them."""
    pattern: str | None = None
    """A regular expression with named groups for what paths say."""
    modality: Literal["visible", "infrared", "auto"] = "auto"
    """Of images whose line or path does not say; auto: by folders of that name, else by
    the picture."""
    config: Path | None = None
    """A file of your own whose parts the run uses."""
    traceback: tyro.conf.FlagCreatePairsOff[bool] = False
    """Show where an error was raised."""


def run(given: Options) -> None:
    """Brings the gallery up to date, and says what was done."""
    from jreid.progress import Progress
    from jreid.search.indexing import index

    if not given.images.is_dir():
        raise FileNotFoundError(
            f"{given.images} is no folder: give the one that holds the images"
        )
    if given.csv is not None and given.pattern is not None:
        raise ValueError("--csv and --pattern are both given; give one")
    found = _images(given)
    with _gallery(given) as gallery:
        before = _inside(gallery, given.images)
        paths = [before + path for path in found]
        with Progress(len(paths), "index", unit="images") as bar:

            def show(done: "Indexed") -> None:
                bar.update(done.seen, f"{done.added + done.changed} embedded")

            done = index(
                gallery, paths, lambda path: found[path.removeprefix(before)], show
            )
        _report(gallery, done)


def _images(given: Options) -> "dict[str, Labels]":
    """The images' paths below the folder, and what is known of each."""
    from jreid.search.indexing import list_images
    from jreid.search.labels import Labels, read_labels

    own = None if given.modality == "auto" else given.modality
    if given.csv is not None:
        listed = read_labels(given.csv, given.images)
        if own is None:
            return listed
        return {p: replace(x, modality=x.modality or own) for p, x in listed.items()}
    labels_of: Callable[[str], Labels | None] = lambda path: None  # noqa: E731
    if given.pattern is not None:
        from jreid.search.labels import pattern_labels

        labels_of = pattern_labels(given.pattern)
    found, strangers = {}, []
    for path, folders in list_images(given.images).items():
        labels = labels_of(path)
        if labels is None:
            strangers.append(path)
            labels = Labels()
        # last of all "", said to be unknown, or None, not said
        modality = labels.modality or own or folders or labels.modality
        found[path] = replace(labels, modality=modality)
    if given.pattern is not None and strangers:
        print(
            f"{len(strangers)} of {len(found)} paths do not match --pattern, the first "
            f"is {strangers[0]}"
        )
    return found


def _gallery(given: Options) -> "Gallery":
    """The gallery, or a new one."""
    from jreid.search.gallery import Gallery
    from jreid.search.places import exists
    from jreid.search.verbs.opening import embedder_of, exported, open_with_network

    if exists(given.gallery):
        if given.dim is not None or given.int8:
            raise ValueError(
                f"{given.gallery} is there: --dim and --int8 are of new galleries"
            )
        return open_with_network(
            given.gallery,
            given.workdir,
            given.step,
            given.config,
            given.model,
            given.kind,
        )
    if given.model is not None:
        embedder = exported(
            given.model,
            given.workdir,
            step=given.step,
            kind=given.kind,
            dim=given.dim,
            config=given.config,
        )
        return Gallery.create(given.gallery, embedder, given.images, int8=given.int8)
    if given.workdir is None:
        raise ValueError(
            f"{given.gallery} is to be a new gallery: give the run whose network "
            "embeds its images, --workdir RUN, or its exported file, --model FILE.onnx"
        )
    embedder = embedder_of(
        given.workdir, given.step, given.kind or "fused", given.config, given.dim
    )
    return Gallery.create(given.gallery, embedder, given.images, int8=given.int8)


def _inside(gallery: "Gallery", images: Path) -> str:
    """What comes before paths below `images` in the gallery's: "" or "some/folder/".

    Raises ValueError for a folder that is not the gallery's own, nor in it.
    """
    here, there = images.resolve(), gallery.images.resolve()
    if here.is_relative_to(there):
        inside = here.relative_to(there).as_posix()
        return "" if inside == "." else f"{inside}/"
    if gallery.images.is_dir():
        raise ValueError(
            f"{gallery.store.place} holds the images below {gallery.images}, and "
            f"{images} is not in it: give another --gallery, or one for a folder that "
            "holds both"
        )
    print(f"{gallery.images} is gone: its images are taken to be in {images} now")
    gallery.move(images)
    return ""


def _report(gallery: "Gallery", done: "Indexed") -> None:
    counts = {
        "new": done.added,
        "changed": done.changed,
        "with other labels": done.described,
        "as they were": done.unchanged,
        "removed": done.removed,
    }
    told = ", ".join(f"{count} {what}" for what, count in counts.items() if count)
    print(f"{len(gallery)} images in {gallery.store.place}: {told or 'none'}")
    if done.unreadable:
        print(f"{len(done.unreadable)} images cannot be read:")
        for path, reason in done.unreadable[:10]:
            print(f"  {path}: {reason}")
    kinds: dict[str, list[tuple[str, str]]] = {}
    for path, doubt in done.doubtful:
        kind, why = re.split("[:,] ", doubt, maxsplit=1)
        kinds.setdefault(kind, []).append((path, why))
    for kind, found in kinds.items():
        path, why = found[0]
        several = f"{len(found)} images, the first is" if len(found) > 1 else "1 image,"
        print(f"{kind}: {several} {path}: {why}")
