"""The images of a run: read, checked, drawn into batches, remembered with the run."""

import json
import os
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from jax.sharding import Mesh

from jreid.config import Config
from jreid.data.datasets import MODALITY_NAMES, Dataset, Images, drop_unpaired
from jreid.data.deep_images import deep_images
from jreid.data.grey16 import HIGH_BYTES, Grey16, window_of
from jreid.data.rows import groups, joined
from jreid.data.views import modalities_of
from jreid.processes.sharding import own_rows
from jreid.progress import Progress
from jreid.run.people import (
    contents_of,
    fingerprint,
    names_below,
    write_training_images,
)
from jreid.run.workdir import (
    TRAINING_SET,
    read_training_set,
    saved_steps,
    write_text,
)
from jreid.training.plan import PlannedPhase, Segment

GREY16 = "grey16"  # in the record of the training images
PLAYERS_APART = 2**32  # between the seeds of two players: above any run's seed


@dataclass(frozen=True)
class RunImages:
    """The images of a run, every file of them decoded once and found readable."""

    train: Images
    labels: np.ndarray  # of `train`: 0 to len(identities) - 1
    identities: np.ndarray  # the data set's numbers of the training identities
    names: list[str]  # of them, where the data set names them
    digest: int  # of the names of `train`'s files
    pixels: np.ndarray | None  # of `train`, if they are kept in memory
    val: Images
    test: Images
    contents: np.ndarray  # of `train`, see `people.contents_of`
    content: str  # fingerprint of `train`
    test_content: str  # fingerprint of `test`


def read_images(config: Config) -> RunImages:
    """Lists and checks all images before any work: a bad file is met now, not later."""
    dataset = config.data.read()
    needed = modalities_of(config.views)
    paired = drop_unpaired(dataset.train, dataset.names, needed)
    grey16 = _grey16_of_images(config, paired)
    paired = replace(paired, grey16=grey16)
    train = readable(config, paired, "training", keep_pixels=config.loading.cache)
    val = replace(dataset.val, grey16=grey16)
    if config.evaluation.every_epochs:
        if not len(val):
            raise ValueError(
                "config.evaluation.every_epochs needs validation identities, and "
                f"{config.data.root} has no split val; add one, or set it to 0"
            )
        val = readable(config, val, "validation").images
    test = readable(config, replace(dataset.test, grey16=grey16), "test").images
    return described(dataset, train.images, val, test, train.pixels)


def described(
    dataset: Dataset,
    train: Images,
    val: Images,
    test: Images,
    pixels: np.ndarray | None = None,
) -> RunImages:
    """These images, with labels and the fingerprints that a run remembers."""
    identities, labels = np.unique(train.ids, return_inverse=True)
    contents = contents_of(train)
    return RunImages(
        train=train,
        labels=labels,
        identities=identities,
        names=[dataset.names[i] for i in identities.tolist() if dataset.names],
        digest=digest(train),
        pixels=pixels,
        val=val,
        test=test,
        contents=contents,
        content=fingerprint(train, contents),
        test_content=fingerprint(test, contents_of(test)),
    )


def _grey16_of_images(config: Config, train: Images) -> Grey16:
    """How 16-bit images are read, where need be by the range of the training ones."""
    if config.grey16.by != "set":
        return config.grey16
    found = deep_images(train.paths.tolist(), train.read)
    return window_of(values for _, values in found)


def grey16_of_run(config: Config, workdir: Path) -> Grey16:
    """How the run in `workdir` reads 16-bit images."""
    if config.grey16.by != "set":
        return config.grey16
    return Grey16(**read_training_set(workdir)[GREY16])


def say_untested() -> None:
    """What a run ends with whose config leaves nobody to test on."""
    print("trained on everybody: there is nobody to test on (data.test_fraction is 0)")


def digest(images: Images) -> int:
    """CRC-32 of the names below the data set's folder, which stay when it is moved."""
    return zlib.crc32(os.fsencode("\n".join(names_below(images))))


def readable(config: Config, images: Images, label: str, *, keep_pixels: bool = False):
    """Leaves out the files that cannot be decoded; see `reading.drop_unreadable`."""
    from jreid.data.reading import drop_unreadable  # imports TensorFlow

    with Progress(len(images), f"check {label} images", unit="images") as bar:
        return drop_unreadable(
            images,
            size=config.size,
            resize=config.resize,
            max_fraction=config.loading.max_unreadable,
            keep_pixels=keep_pixels,
            workers=config.loading.workers,
            progress=lambda done, _: bar.update(done),
        )


def batches(
    config: Config,
    images: RunImages,
    segment: Segment,
    mesh: Mesh,
    labels: np.ndarray | None = None,
) -> Iterator[dict[str, Any]]:
    """This process's share of the batches of a segment's steps, in their order.

    With players that draw for themselves a batch holds theirs as well, as "players".
    `labels` take the place of the identities' (see `sampling`).
    """
    drawn = {
        name: _columns(config, images, segment, sampler, mesh, labels, seed)
        for name, (sampler, seed) in _draws(
            config, images, segment.phase, labels
        ).items()
    }
    for _ in range(segment.first, segment.last):
        batch = {name: next(columns) for name, columns in drawn.items()}
        yield batch.pop("", {}) | ({"players": batch} if batch else {})


def _draws(config, images, phase: PlannedPhase, labels):
    """Sampler and seed of the phase as "", and of each player that draws for itself.

    With seeds of their own, players of equal samplings still see other images, and
    other augmentations of one image.
    """
    parts = {
        name: (player.sampling, config.seed + number * PLAYERS_APART)
        for number, (name, player) in enumerate(config.players.items(), 1)
        if player.sampling is not None
    }
    if not parts or len(parts) < len(config.players):
        parts = {"": (phase.sampling, config.seed)} | parts
    return {
        name: (part.make(images.train, phase.views, seed, labels), seed)
        for name, (part, seed) in parts.items()
    }


def _columns(config, images, segment, sampler, mesh, labels, seed):
    from jreid.data.pipeline import train_batches  # imports TensorFlow

    rows = sampler(segment.first)
    count = groups([len(rows[view]) for view in segment.phase.views])
    found = train_batches(
        images.train,
        sampler,
        views=segment.phase.views,
        start_step=segment.first,
        stop_step=segment.last,
        seed=seed,
        size=config.size,
        resize=config.resize,
        labels=images.labels if labels is None else labels,
        pixels=images.pixels,
        workers=config.loading.workers,
        groups=own_rows(mesh, count),
    )
    for batch in found:
        yield {name: batch[name] for name in ("images", "ids", "modality")}


def check_batches(
    config: Config, images: RunImages, phases: Sequence[PlannedPhase], devices: int
) -> int:
    """The images of a step, of the first phase.

    Raises ValueError if no batch can be drawn, or not divided over the devices.
    """
    counts = []
    for phase in phases:
        count = 0
        for sampler, _ in _draws(config, images, phase, None).values():
            rows = sampler(phase.first)
            lengths = [len(rows[view]) for view in phase.views]
            count += sum(lengths)
            if groups(lengths) % devices:
                raise ValueError(
                    f"a batch has {groups(lengths)} groups of images (the greatest "
                    f"common divisor of its columns' lengths, {lengths}), which "
                    f"{devices} devices cannot share evenly; choose other numbers with "
                    "--config.sampling.identities= and --config.sampling.images="
                )
        counts.append(count)
    return counts[0]


def batch_files(
    config: Config, images: RunImages, phase: PlannedPhase, step: int
) -> dict[str, Any]:
    """The files in the batch of `step`, counted from 1 as in the log: JSON values."""
    listed = []
    for player, (sampler, _) in _draws(config, images, phase, None).items():
        rows = sampler(step - 1)
        columns = [rows[view] for view in phase.views]
        names = [np.full(len(rows[view]), view) for view in phase.views]
        listed += [
            {
                "row": place,
                "view": str(view),
                "path": str(images.train.paths[row]),
                "identity": int(images.train.ids[row]),
                "camera": int(images.train.cameras[row]),
                "modality": MODALITY_NAMES[images.train.modality[row]],
            }
            | ({"player": player} if player else {})
            for place, (row, view) in enumerate(
                zip(joined(columns), joined(names), strict=True)
            )
        ]
    return {"step": step, "seed": config.seed, "images": listed}


def list_batch(
    config: Config,
    workdir: Path,
    images: RunImages,
    phases: Sequence[PlannedPhase],
    step: int,
) -> str:
    """Saves which files a step has drawn; returns a sentence that says so."""
    path = workdir / f"diverged-step-{step}.json"
    saved = max(saved_steps(workdir / "checkpoints"), default=0)
    intact = f". The checkpoint of step {saved} is intact" if saved else ""
    phase = next(phase for phase in phases if step <= phase.last)
    try:
        write_text(path, json.dumps(batch_files(config, images, phase, step)))
    except OSError as failure:
        return f"Its batch is not listed: {failure}{intact}"
    return f"Its batch is listed in {path}{intact}"


def facts(images: RunImages, weights: Any) -> dict[str, Any]:
    """What several processes must have found alike."""
    return {
        "the names of the training images": images.digest,
        "the contents of the training images": images.content,
        "the names of the test images": digest(images.test),
        "the pretrained weights": weights and weights.sha256,
    }


def write_training_set(
    workdir: Path, images: RunImages, phases: Sequence[PlannedPhase]
) -> None:
    """Keeps with the run which identities and images it is trained on.

    Raises ValueError if the run began with others: labels and batches would differ.
    """
    path = workdir / TRAINING_SET
    now = {
        "identities": images.identities.tolist(),  # in the order of their labels
        "images": len(images.train),
        "crc32_of_names": images.digest,
        "steps_per_epoch": phases[0].steps_per_epoch,
    }
    if images.names:
        now["names"] = images.names
    if images.train.grey16 != HIGH_BYTES:
        now[GREY16] = {
            n: getattr(images.train.grey16, n) for n in ("by", "low", "high")
        }
    now["content"] = images.content
    now["test_content"] = images.test_content
    now["last_step"] = phases[-1].last
    if path.exists():
        before = read_training_set(workdir)
        fixed = now.keys() - {"last_step", "test_content"}
        if any(before.get(name, now[name]) != now[name] for name in fixed):
            raise ValueError(
                f"{path} names other training images than can be read now, or of other "
                "contents, so the run cannot be continued as it began; restore the "
                "images, or give another --workdir"
            )
    write_training_images(workdir, images.train, images.contents)
    write_text(path, json.dumps(now) + "\n")


def read_identities(workdir: Path) -> list[int]:
    """The training identities of a run, in the order of their labels."""
    return read_training_set(workdir)["identities"]
