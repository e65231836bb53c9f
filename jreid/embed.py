"""Embeds any number of images with a trained run: `python -m jreid.embed`.

    python -m jreid.embed --workdir runs/sysu --images FOLDER --out embeddings

--images is a folder, in which an image's modality is told by a folder named `visible`
or `infrared` on its path, or a text file with a line `path` or `path<TAB>modality` per
image, where relative paths begin in the text file's own folder. Writes shards of
Parquet (path, modality, embedding) into --out, and the images that cannot be read into
errors.parquet. The same command continues where it was interrupted, on the same images
only; --part 0/4 ... 3/4 share a job among four processes, and --ray auto gives it to a
Ray cluster, a worker per GPU.
"""

import contextlib
import dataclasses
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from jreid import stopping

if __name__ == "__main__":
    stopping.end_quietly()  # while all else is imported

import tyro  # noqa: E402

from jreid import command_line, ending  # noqa: E402
from jreid.streams import say  # noqa: E402

if TYPE_CHECKING:
    from jreid.run.embedding_batches import EmbeddedBatch, Shard
    from jreid.run.image_list import ImageList

PROGRAM = "python -m jreid.embed"


@dataclass(frozen=True, slots=True)
class Options:
    """What the command line says."""

    workdir: Path
    """The run's folder."""
    images: Path
    """A folder, or a list in a file."""
    out: Path
    """The folder for the embeddings."""
    modality: Literal["visible", "infrared"] | None = None
    """Of images that do not say."""
    step: int | None = None
    """The checkpoint to use instead of the newest."""
    kind: str = "fused"
    """Which embedding: fused, plain where the run has it, or a branch's name."""
    dtype: Literal["float16", "float32"] = "float16"
    """Of the embeddings in the files."""
    shard_size: int = 8192
    """Images per file."""
    batch_size: int | None = None
    """Images embedded at once; the run's."""
    part: str = "0/1"
    """This process's part, as in 0/4."""
    ray: str | None = None
    """Embed on a Ray cluster: auto, local or its address."""
    config: Path | None = None
    """A file of your own whose parts the run uses."""
    traceback: tyro.conf.FlagCreatePairsOff[bool] = False
    """Show where an error was raised."""


def embed(given: Options) -> None:
    """Does this process's part of the job."""
    import jax

    from jreid.evaluation.files.results_file import make_folder
    from jreid.run import embedding_job as jobs
    from jreid.run.embedding_batches import embed_shards
    from jreid.run.file_embedder import FileEmbedder, RunToEmbed
    from jreid.run.ray_embedding import embed_by_ray, joined

    part = _parse_part(given.part)
    run = RunToEmbed(
        given.workdir.absolute(),
        given.step,
        given.kind,
        given.batch_size,
        given.config and given.config.absolute(),
    )
    run.config()  # what is wrong with it is told first
    make_folder(given.out)
    images = _list_images(given)
    with contextlib.ExitStack() as stack:
        if given.ray is not None:
            jax.config.update("jax_platforms", "cpu")  # the devices are the workers'
            stack.enter_context(joined(given.ray))
        network = FileEmbedder(run)
        run = dataclasses.replace(run, step=network.step)
        jobs.open_job(given.out, images, network.settings(given.dtype))
        stack.enter_context(jobs.lock_part(given.out, *part))

        def embedded(shards: Sequence[int]) -> "Iterator[Shard]":
            if given.ray is not None:
                make = partial(FileEmbedder, run)
                return embed_by_ray(make, images, shards, network.batch_size)
            return embed_shards(images, shards, network)

        pale = _write_shards(given, images, part, network.size, embedded)
    _report(given.out, images, pale)


def _parse_part(text: str) -> tuple[int, int]:
    part, _, parts = text.partition("/")
    if part.isdecimal() and parts.isdecimal() and int(part) < int(parts):
        return int(part), int(parts)
    if parts.isdecimal() and int(parts):
        why = f"the parts of {parts} are 0/{parts} to {int(parts) - 1}/{parts}"
        raise ValueError(f"--part is {text!r}; {why}, also where indices begin at 1")
    raise ValueError(f"--part is {text!r}; write for example 0/4 to 3/4")


def _list_images(given: Options) -> "ImageList":
    """The list given, or that of the folder, which is kept in --out."""
    from jreid.data.image_folders import PassedOver
    from jreid.run.embedding_job import keep_list
    from jreid.run.image_list import index_list, list_folder

    options: dict[str, Any] = {
        "modality": given.modality or "",
        "shard_size": given.shard_size,
    }
    if not given.images.is_dir():
        root = given.images.parent.absolute()
        return index_list(given.images, root=root, **options)
    passed = PassedOver()
    lines = list_folder(given.images, given.modality or "", passed)
    kept = keep_list(given.out, lines)
    passed.warn(given.images, "")
    try:
        return index_list(kept, root=given.images.absolute(), **options)
    except ValueError as error:
        raise ValueError(f"the images below {given.images}: {error}") from error


def _write_shards(
    given: Options,
    images: "ImageList",
    part: tuple[int, int],
    size: int,
    embedded: "Callable[[Sequence[int]], Iterator[Shard]]",
) -> list[str]:
    """Writes the shards that are missing; returns which images are nearly empty."""
    from jreid.progress import Progress
    from jreid.run.embedding_shards import missing_shards, write_shard

    shards = missing_shards(given.out, images, *part)
    total = sum(images.count(shard) for shard in shards)
    done, pale = 0, []

    def noting(batches: "Iterable[EmbeddedBatch]") -> "Iterator[EmbeddedBatch]":
        for batch in batches:
            pale.extend(batch.pale)
            yield batch

    with Progress(total, "embed", unit="images") as bar:
        for shard, batches in embedded(shards) if shards else ():
            bad = write_shard(
                *(given.out, images, shard, noting(batches)),
                size=size,
                dtype=given.dtype,
                progress=lambda batch, before=done: bar.update(before + batch),
            )
            done += images.count(shard)
            if bad:
                bar.message(f"shard {shard}: {bad} images could not be read")
    return pale


def _report(out: Path, images: "ImageList", pale: list[str]) -> None:
    from jreid.data.deep_images import warn_of_nearly_empty
    from jreid.run.embedding_shards import ERRORS, finish_job, missing_shards

    warn_of_nearly_empty(pale)
    unreadable = finish_job(out, images)
    if unreadable is None:
        left = len(missing_shards(out, images))
        print(f"{left} of {len(images)} shards are left to other parts")
        return
    if unreadable == images.images:
        raise ValueError(
            f"none of the {unreadable} images could be read: {out / ERRORS} says why"
        )
    print(f"{images.images - unreadable} embeddings in {len(images)} shards: {out}")
    if unreadable:
        print(f"{unreadable} images could not be read: {out / ERRORS}")


def program(arguments: list[str]) -> int:
    """Exit codes: 0 done, also with unreadable images; 130 or so stopped."""
    given = command_line.parse(Options, PROGRAM, arguments, __doc__ or "")
    from jreid.data.quiet import quieten_tensorflow

    quieten_tensorflow()
    try:
        embed(given)
    except KeyboardInterrupt as stopped:
        say(f"{stopped}; the same command continues")
        return getattr(stopped, "exit_code", 130)
    return 0


def main(arguments: list[str]) -> int:
    """The exit code; an error becomes one line and code 2."""
    smaller = "With --batch-size fewer images are embedded at once"
    return ending.exit_code(program, arguments, smaller)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
