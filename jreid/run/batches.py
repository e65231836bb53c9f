"""The batches of a run: drawn, made by each process in part, listed as files."""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from jax.sharding import Mesh

from jreid.config import Config
from jreid.data.datasets import MODALITY_NAMES, Images
from jreid.data.rows import groups, joined
from jreid.processes.sharding import own_rows
from jreid.run.images import RunImages
from jreid.run.workdir import saved_steps
from jreid.training.between_epochs import labels_of
from jreid.training.plan import PlannedPhase, Segment, epoch_of
from jreid.whole_files import write_text

if TYPE_CHECKING:
    from jreid.run.build import Run

PLAYERS_APART = 2**32  # between the seeds of two players: above any run's seed


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
            config, images.train, segment.phase, labels
        ).items()
    }
    for _ in range(segment.first, segment.last):
        batch = {name: next(columns) for name, columns in drawn.items()}
        yield batch.pop("", {}) | ({"players": batch} if batch else {})


def samplings(config: Config, phase: PlannedPhase) -> dict[str, tuple[Any, int]]:
    """Sampling and seed of the phase as "", and of each player that draws for itself.

    With seeds of their own, players of equal samplings still see other images, and
    other augmentations of one image. Where all draw for themselves there is no "".
    """
    parts = {
        name: (player.sampling, config.seed + number * PLAYERS_APART)
        for number, (name, player) in enumerate(config.players.items(), 1)
        if player.sampling is not None and name in (phase.players or config.players)
    }
    if not parts or len(parts) < len(phase.players or config.players):
        parts = {"": (phase.sampling, config.seed)} | parts
    return parts


def _draws(config, train: Images, phase: PlannedPhase, labels=None):
    return {
        name: (part.make(train, phase.views, seed, labels), seed)
        for name, (part, seed) in samplings(config, phase).items()
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


def images_per_step(config: Config, train: Images, phase: PlannedPhase) -> int:
    """Images in a step of the phase: of all views, and of every player's own batch."""
    drawn = columns_of_step(config, train, phase)
    return sum(sum(lengths.values()) for lengths in drawn.values())


def columns_of_step(
    config: Config, train: Images, phase: PlannedPhase
) -> dict[str, dict[str, int]]:
    """Of each batch that a step draws the images in each view, as `samplings` names."""
    drawn = {}
    for name, (sampler, _) in _draws(config, train, phase).items():
        rows = sampler(phase.first)
        drawn[name] = {view: len(rows[view]) for view in phase.views}
    return drawn


def check_batches(
    config: Config, images: RunImages, phases: Sequence[PlannedPhase], devices: int
) -> tuple[int, ...]:
    """The images in a step of each phase.

    Raises ValueError if no batch can be drawn, or not divided over the devices.
    """
    counts = []
    for phase in phases:
        drawn = [
            list(columns.values())
            for columns in columns_of_step(config, images.train, phase).values()
        ]
        counts.append(sum(map(sum, drawn)))
        for lengths in drawn:
            if groups(lengths) % devices:
                raise ValueError(
                    f"a batch has {groups(lengths)} groups of images (the greatest "
                    f"common divisor of its columns' lengths, {lengths}), which "
                    f"{devices} devices cannot share evenly; choose other numbers with "
                    "--config.sampling.identities= and --config.sampling.images="
                )
    return tuple(counts)


def batch_files(
    config: Config,
    images: RunImages,
    phase: PlannedPhase,
    step: int,
    labels: np.ndarray | None = None,
) -> dict[str, Any]:
    """The files in the batch of `step`, counted from 1 as in the log: JSON values.

    `labels` are those that it was drawn by in place of the identities'.
    """
    listed = []
    for player, (sampler, _) in _draws(config, images.train, phase, labels).items():
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


def list_batch(workdir: Path, run: "Run", step: int) -> str:
    """Saves which files a step has drawn; returns a sentence that says so.

    Where a hook labels the images, a step of an earlier epoch than the newest one's is
    not listed: its labels are gone.
    """
    path = workdir / f"diverged-step-{step}.json"
    saved = max(saved_steps(workdir / "checkpoints"), default=0)
    intact = f". The checkpoint of step {saved} is intact" if saved else ""
    labels, taken = labels_of(run.state), int(run.state.step)
    if labels is not None and _epoch(run, step) != _epoch(run, taken):
        return (
            "Its batch is not listed: it was drawn by the labels of an epoch before "
            f"step {taken}'s; --config.checkpoint.every_epochs=1 stops in time{intact}"
        )
    phase = next(phase for phase in run.phases if step <= phase.last)
    files = batch_files(run.config, run.images, phase, step, labels)
    try:
        write_text(path, json.dumps(files))
    except OSError as failure:
        return f"Its batch is not listed: {failure}{intact}"
    return f"Its batch is listed in {path}{intact}"


def _epoch(run: "Run", step: int) -> int:
    return epoch_of(run.phases, step - 1)[0]
