"""Embeds any number of images with a trained run: `python -m jreid.embed`.

    python -m jreid.embed --workdir runs/sysu --images FOLDER --out embeddings

--images is a folder, in which an image's modality is told by a folder named `visible`
or `infrared` on its path, or a text file with a line `path` or `path<TAB>modality` per
image, where relative paths begin in the text file's own folder. Writes shards of
Parquet (path, modality, embedding) into --out, and the images that cannot be read into
errors.parquet. The same command continues where it was interrupted, on the same images
only; --part 0/4 ... 3/4 share a job among four processes.
"""

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from jreid import stopping

if __name__ == "__main__":
    stopping.end_quietly()  # while all else is imported

import tyro  # noqa: E402

from jreid import command_line  # noqa: E402

if TYPE_CHECKING:
    import numpy as np

    from jreid.config import Config
    from jreid.run import embedding_job as jobs
    from jreid.run.trained import TrainedNetwork

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
    """Which embedding: fused, or the name of a branch."""
    dtype: Literal["float16", "float32"] = "float16"
    """Of the embeddings in the files."""
    shard_size: int = 8192
    """Images per file."""
    batch_size: int | None = None
    """Images embedded at once; the run's."""
    part: str = "0/1"
    """This process's part, as in 0/4."""
    config: Path | None = None
    """A file of your own whose parts the run uses."""
    traceback: tyro.conf.FlagCreatePairsOff[bool] = False
    """Show where an error was raised."""


def embed(given: Options) -> None:
    """Does this process's part of the job."""
    from jreid import parts
    from jreid.evaluation.files.results_file import make_folder
    from jreid.progress import Progress
    from jreid.run import embedding_job as jobs
    from jreid.run.images import grey16_of_run
    from jreid.run.trained import restore_network
    from jreid.run.workdir import read_config
    from jreid.user_files import load_file

    part, parts_in_all = _parse_part(given.part)
    if given.config is not None:
        load_file(given.config)
    config = parts.from_json(read_config(given.workdir))
    if given.batch_size is not None:
        config.evaluation.batch_size = given.batch_size
    parts.check(config)
    make_folder(given.out)
    images = _list_images(given)
    network = restore_network(config, given.workdir, given.step)
    run, size = _make_embed(config, network, given.kind)
    settings = {
        "config_hash": parts.config_hash(config),
        "step": network.step,
        "kind": given.kind,
        "embedding": parts.to_json(config.embedding),
        "dtype": given.dtype,
    }
    jobs.open_job(given.out, images, settings)
    from jreid.data import decoding  # imports TensorFlow

    grey16 = grey16_of_run(config, given.workdir)
    read = decoding.make_reader(
        config.size, config.resize, config.loading.workers, grey16
    )
    pale: list[str] = []

    def read_noting(paths: list[str]):
        pale.extend(decoding.nearly_empty(paths, grey16))
        return read(paths)

    with jobs.lock_part(given.out, part, parts_in_all):
        shards = jobs.missing_shards(given.out, images, part, parts_in_all)
        total = sum(images.count(shard) for shard in shards)
        done = 0
        with Progress(total, "embed", unit="images") as bar:
            for shard in shards:
                bad = jobs.embed_shard(
                    given.out,
                    images,
                    shard,
                    read=read_noting,
                    embed=run,
                    size=size,
                    batch_size=config.evaluation.batch_size,
                    dtype=given.dtype,
                    progress=lambda batch, before=done: bar.update(before + batch),
                )
                done += images.count(shard)
                if bad:
                    bar.message(f"shard {shard}: {bad} images could not be read")
    decoding.warn_of_nearly_empty(pale)
    _report(given.out, images, jobs.finish_job(given.out, images))


def _parse_part(text: str) -> tuple[int, int]:
    part, _, parts = text.partition("/")
    if part.isdecimal() and parts.isdecimal() and int(part) < int(parts):
        return int(part), int(parts)
    raise ValueError(f"--part is {text!r}; write for example 0/4 to 3/4")


def _list_images(given: Options) -> "jobs.ImageList":
    """The list given, or that of the folder, which is kept in --out."""
    from jreid.data.image_folders import PassedOver
    from jreid.run import embedding_job as jobs

    options: dict[str, Any] = {
        "modality": given.modality or "",
        "shard_size": given.shard_size,
    }
    if not given.images.is_dir():
        root = given.images.parent
        return jobs.index_list(given.images, root=root, **options)
    passed = PassedOver()
    lines = jobs.list_folder(given.images, given.modality or "", passed)
    kept = jobs.keep_list(given.out, lines)
    passed.warn(given.images, "")
    try:
        return jobs.index_list(kept, root=given.images, **options)
    except ValueError as error:
        raise ValueError(f"the images below {given.images}: {error}") from error


def _make_embed(
    config: "Config", network: "TrainedNetwork", kind: str
) -> tuple["jobs.Embed", int]:
    """The network as a function of any number of images, and the vectors' size."""
    import jax
    import numpy as np
    from jax.sharding import NamedSharding, PartitionSpec

    devices = network.embedder.mesh.devices.size
    batch_size = -(-config.evaluation.batch_size // devices) * devices
    shape = (batch_size, *config.size, 3)
    sharding = NamedSharding(network.embedder.mesh, PartitionSpec("data"))
    apply: Callable = network.embedder.embed
    blank = jax.ShapeDtypeStruct(shape, np.uint8)
    made = jax.eval_shape(
        lambda *args: apply(*args, "visible"), network.params, network.stats, blank
    )
    if kind not in made:
        raise ValueError(f"--kind is {kind!r}; this run has {', '.join(made)}")

    def run(pixels: "np.ndarray", modality: str) -> "np.ndarray":
        padded = np.zeros(shape, np.uint8)
        padded[: len(pixels)] = pixels
        placed = jax.device_put(padded, sharding)
        vectors = apply(network.params, network.stats, placed, modality)[kind]
        return np.asarray(vectors)[: len(pixels)]

    return run, made[kind].shape[1]


def _report(out: Path, images: "jobs.ImageList", unreadable: int | None) -> None:
    from jreid.run import embedding_job as jobs

    if unreadable is None:
        left = len(jobs.missing_shards(out, images))
        print(f"{left} of {len(images)} shards are left to other parts")
        return
    if unreadable == images.images:
        raise ValueError(
            f"none of the {unreadable} images could be read: {out / jobs.ERRORS} says "
            "why"
        )
    print(f"{images.images - unreadable} embeddings in {len(images)} shards: {out}")
    if unreadable:
        print(f"{unreadable} images could not be read: {out / jobs.ERRORS}")


def program(arguments: list[str]) -> int:
    """Exit codes: 0 done, also with unreadable images; 130 or so stopped."""
    given = command_line.parse(Options, PROGRAM, arguments, __doc__ or "")
    from jreid.data.quiet import quieten_tensorflow

    quieten_tensorflow()
    try:
        embed(given)
    except KeyboardInterrupt as stopped:
        print(f"{stopped}; the same command continues", file=sys.stderr)
        return getattr(stopped, "exit_code", 130)
    return 0


def main(arguments: list[str]) -> int:
    """The exit code; an error becomes one line and code 2."""
    return command_line.exit_code(program, arguments)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
