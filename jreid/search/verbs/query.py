"""Finds the images of a gallery that show the person of an image, the best first.

Several images are several pictures of one person. --like and --unlike name images of
the gallery, by key or by path, that do and do not show the person: the query is moved
towards the first and away from the others.
"""

import dataclasses
import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, TextIO

import tyro

if TYPE_CHECKING:
    import numpy as np

    from jreid.search.gallery import Gallery
    from jreid.search.records import Hit, Where


@dataclass(frozen=True, slots=True)
class Options:
    """What the command line says."""

    images: tyro.conf.Positional[tuple[Path, ...]]
    """One image, or several of one person."""
    gallery: str
    """A folder, http://host:19530/name of Milvus, or a file NAME.db of Milvus Lite."""
    k: Annotated[int, tyro.conf.arg(aliases=["-k"])] = 10
    """How many images are wanted."""
    modality: Literal["visible", "infrared", "auto"] = "auto"
    """Of the query's images; auto: by the picture."""
    camera: tuple[str, ...] = ()
    """Look at images of these cameras only."""
    track: tuple[str, ...] = ()
    """Look at images of these tracks only."""
    after: str | None = None
    """Look at images of this time or later: ISO 8601, or a number."""
    before: str | None = None
    """Look at images before this time."""
    gallery_modality: Literal["visible", "infrared"] | None = None
    """Look at images of this modality only."""
    by_track: tyro.conf.FlagCreatePairsOff[bool] = False
    """Of each track the best image only."""
    false_match_rate: float | None = None
    """Print images only that so many pairs of different persons would pass for."""
    prior: float | None = None
    """Of the probabilities: the share of the gallery's images that show the person."""
    rerank: int = 0
    """Put so many of the nearest in the order of k-reciprocal re-ranking."""
    like: tuple[str, ...] = ()
    """Images of the gallery that show the person."""
    unlike: tuple[str, ...] = ()
    """Images of the gallery that show somebody else."""
    picture: Path | None = None
    """A PNG file to write: the query, and what was found."""
    identity: str | None = None
    """The person's name, for the picture's frames: right ones green, wrong ones red."""
    json: tyro.conf.FlagCreatePairsOff[bool] = False
    """Print a line of JSON for each image."""
    workdir: Path | None = None
    """The run's folder; by default the one that the gallery was made with."""
    model: Path | None = None
    """Instead of a run, the ONNX file that jreid.export has written of it."""
    step: int | None = None
    """The checkpoint that the gallery was made with."""
    config: Path | None = None
    """A file of your own whose parts the run uses."""
    traceback: tyro.conf.FlagCreatePairsOff[bool] = False
    """Show where an error was raised."""


def run(given: Options) -> None:
    """Answers the query, and prints what was found."""
    from jreid.search.records import Where
    from jreid.search.verbs.opening import open_with_network
    from jreid.search.verbs.picture import check_picture

    if not given.images:
        raise ValueError("no image: give one, or several of one person")
    where = Where(
        cameras=given.camera,
        after=given.after,
        before=given.before,
        modality=given.gallery_modality,
        tracks=given.track,
    )
    where.check()
    check_picture(given.picture)
    told = sys.stderr if given.json else sys.stdout
    pixels, modalities = _look(given, told)
    with open_with_network(
        given.gallery, given.workdir, given.step, given.config, given.model
    ) as gallery:
        hits = gallery.query(
            pixels,
            modalities,
            given.k,
            where=where,
            by_track=given.by_track,
            rerank=given.rerank,
            liked=[_key(gallery, name) for name in given.like],
            disliked=[_key(gallery, name) for name in given.unlike],
            false_match_rate=given.false_match_rate,
            prior=given.prior,
        )
        if gallery.why_no_probability:
            print(gallery.why_no_probability, file=told)
        if not hits:
            print(_nobody(gallery, where, given.false_match_rate), file=told)
        _print(hits, given.json)
        gone = [hit.path for hit in hits if not (gallery.images / hit.path).is_file()]
        if gone:
            print(
                f"files that are not there any more: {', '.join(gone)}; the same index "
                "command removes them from the gallery",
                file=told,
            )
        if given.picture is not None:
            _draw(gallery, given, hits)
            print(f"picture: {given.picture}", file=told)


def _look(given: Options, out: TextIO) -> "tuple[list[np.ndarray], list[str]]":
    """The query's pixels and modalities; prints what they look to be."""
    from jreid.data.single_image import pixels_of
    from jreid.search.guard import recognise

    pixels = [pixels_of(path) for path in given.images]
    modalities = []
    for path, own in zip(given.images, pixels, strict=True):
        seen, modality = recognise(own), given.modality
        modalities.append(seen.modality if modality == "auto" else modality)
        known = [f"{name} {value}" for name, value in seen.numbers.items()]
        print(
            f"{path}: {modalities[-1]}, looks {seen.kind} ({', '.join(known)})",
            file=out,
        )
        for warning in seen.warnings:
            if modality == "auto" or not warning.startswith("grey"):
                print(f"  {warning}", file=out)
    return pixels, modalities


def _nobody(gallery: "Gallery", where: "Where", rate: float | None) -> str:
    looked_at = gallery.store.count(where)
    if rate is not None and looked_at:
        return (
            f"nobody: no image of {looked_at} is within the threshold of a "
            f"false-match rate of {rate:g}"
        )
    return (
        f"none of {len(gallery)} images is of these cameras, tracks, times and this "
        "modality: ask for less"
    )


def _key(gallery: "Gallery", name: str) -> str:
    """The key of an image, given by its key or its path.

    Raises ValueError if the gallery has none of that name.
    """
    from jreid.search.records import key_of

    for key in (name, key_of(gallery.name_of(name))):
        try:
            return gallery.entry(key).key
        except KeyError:
            continue
    raise ValueError(
        f"{name} is no image of {gallery.store.place}: give the key that a query "
        f"prints, or a path below {gallery.images}"
    )


def _print(hits: "list[Hit]", as_json: bool) -> None:
    if as_json:
        for hit in hits:
            print(json.dumps(dataclasses.asdict(hit)))
        return
    names = ("camera", "time", "track", "modality", "identity")
    for rank, hit in enumerate(hits, 1):
        known = [
            f"{name} {getattr(hit, name)}" if name != "modality" else hit.modality
            for name in names
            if getattr(hit, name) is not None
        ]
        chance = "" if hit.probability is None else f"P {hit.probability:.3f}  "
        print(
            f"{rank:3}  {hit.distance:.4f}  {chance}{hit.path}  "
            f"({', '.join(known)}; key {hit.key})"
        )


def _draw(gallery: "Gallery", given: Options, hits: "list[Hit]") -> None:
    from jreid.search.sheet import save_sheet

    assert given.picture is not None
    save_sheet(
        given.picture,
        given.images,
        hits,
        [gallery.image_path(hit.key) for hit in hits],
        identity=given.identity,
        grey16=gallery.embedder.grey16,
    )
