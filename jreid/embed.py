"""Embeds any number of images with a trained run: `python -m jreid.embed`.

    python -m jreid.embed --workdir runs/sysu --images FOLDER --out embeddings

--images is a folder, in which an image's modality is told by a folder named `visible`
or `infrared` on its path, or a text file with a line `path` or `path<TAB>modality` per
image. Writes shards of Parquet (path, modality, embedding) into --out, and the images
that cannot be read into errors.parquet. The same command continues where it was
interrupted; --part 0/4 ... 3/4 share a job among four processes.
"""

import argparse
import sys
from collections.abc import Callable
from pathlib import Path

import jax
import numpy as np
from jax.sharding import NamedSharding, PartitionSpec

from jreid import system
from jreid.config import Config, config_from_dict, config_hash, validate
from jreid.progress import Progress
from jreid.run import embedding_job as jobs
from jreid.run.trained import TrainedNetwork, restore_network
from jreid.run.workdir import read_config


def parse_arguments(arguments: list[str]) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python -m jreid.embed",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    add = parser.add_argument
    add("--workdir", required=True, type=Path, help="the run's folder")
    add("--images", required=True, type=Path, help="a folder, or a list in a file")
    add("--out", required=True, type=Path, help="the folder for the embeddings")
    add("--modality", choices=jobs.MODALITIES, help="of images that do not say")
    add("--step", type=int, help="the checkpoint to use instead of the newest")
    add("--kind", default="fused", help="fused, or the name of a branch (fused)")
    add("--dtype", choices=("float16", "float32"), default="float16")
    add("--shard-size", type=int, default=8192, help="images per file (8192)")
    add("--batch-size", type=int, help="images embedded at once")
    add("--part", default="0/1", help="this process's part, as in 0/4")
    add("--traceback", action="store_true", help="show where an error was raised")
    return parser.parse_args(arguments)


def embed(given: argparse.Namespace) -> None:
    """Does this process's part of the job."""
    part, parts = _parse_part(given.part)
    config = config_from_dict(read_config(given.workdir))
    if given.batch_size is not None:
        config.evaluation.batch_size = given.batch_size
    validate(config)
    given.out.mkdir(parents=True, exist_ok=True)
    images = _list_images(given)
    network = restore_network(config, given.workdir, given.step)
    run, size = _make_embed(config, network, given.kind)
    settings = {
        "config_hash": config_hash(config),
        "step": network.step,
        "kind": given.kind,
        "feature": config.evaluation.feature,
        "flip": config.evaluation.flip,
        "dtype": given.dtype,
    }
    jobs.open_job(given.out, images, settings)
    from jreid.data.decoding import make_reader  # imports TensorFlow

    data = config.data
    read = make_reader(data.height, data.width, data.workers)
    with jobs.lock_part(given.out, part, parts):
        shards = jobs.missing_shards(given.out, images, part, parts)
        total = sum(images.count(shard) for shard in shards)
        done = 0
        with Progress(total, "embed", unit="images") as bar:
            for shard in shards:
                bad = jobs.embed_shard(
                    given.out,
                    images,
                    shard,
                    read=read,
                    embed=run,
                    size=size,
                    batch_size=config.evaluation.batch_size,
                    dtype=given.dtype,
                    progress=lambda batch, before=done: bar.update(before + batch),
                )
                done += images.count(shard)
                if bad:
                    bar.message(f"shard {shard}: {bad} images could not be read")
    _report(given.out, images, jobs.finish_job(given.out, images))


def _parse_part(text: str) -> tuple[int, int]:
    part, _, parts = text.partition("/")
    if part.isdecimal() and parts.isdecimal() and int(part) < int(parts):
        return int(part), int(parts)
    raise ValueError(f"--part is {text!r}; write for example 0/4 to 3/4")


def _list_images(given: argparse.Namespace) -> jobs.ImageList:
    """The list given, or that of the folder, which is made once and then kept."""
    options = {"modality": given.modality or "", "shard_size": given.shard_size}
    if not given.images.is_dir():
        root = given.images.parent
        return jobs.index_list(given.images, root=root, **options)
    kept = given.out / jobs.LIST
    if not kept.exists():
        lines = jobs.list_folder(given.images, given.modality or "")
        jobs.write_list(kept, lines)
    try:
        return jobs.index_list(kept, root=given.images, **options)
    except ValueError:
        kept.unlink()  # it would be taken for the list of the next try
        raise


def _make_embed(
    config: Config, network: TrainedNetwork, kind: str
) -> tuple[jobs.Embed, int]:
    """The network as a function of any number of images, and the vectors' size."""
    devices = network.embedder.mesh.devices.size
    batch_size = -(-config.evaluation.batch_size // devices) * devices
    shape = (batch_size, config.data.height, config.data.width, 3)
    sharding = NamedSharding(network.embedder.mesh, PartitionSpec("data"))
    apply: Callable = network.embedder.embed
    blank = jax.ShapeDtypeStruct(shape, np.uint8)
    made = jax.eval_shape(
        lambda *args: apply(*args, jobs.MODALITIES[0]),
        network.params,
        network.stats,
        blank,
    )
    if kind not in made:
        raise ValueError(f"--kind is {kind!r}; this run has {', '.join(made)}")

    def run(pixels: np.ndarray, modality: str) -> np.ndarray:
        padded = np.zeros(shape, np.uint8)
        padded[: len(pixels)] = pixels
        placed = jax.device_put(padded, sharding)
        vectors = apply(network.params, network.stats, placed, modality)[kind]
        return np.asarray(vectors)[: len(pixels)]

    return run, made[kind].shape[1]


def _report(out: Path, images: jobs.ImageList, unreadable: int | None) -> None:
    if unreadable is None:
        left = len(jobs.missing_shards(out, images))
        print(f"{left} of {len(images)} shards are left to other parts")
        return
    print(f"{images.images - unreadable} embeddings in {len(images)} shards: {out}")
    if unreadable:
        print(f"{unreadable} images could not be read: {out / jobs.ERRORS}")


def main(arguments: list[str]) -> int:
    """Exit codes: 0 done, also with unreadable images; 2 refused, 130 interrupted."""
    given = parse_arguments(arguments)
    system.quieten_tensorflow()
    try:
        embed(given)
    except (ValueError, OSError) as error:
        if given.traceback:
            raise
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("interrupted; the same command continues", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
