"""A system from ImageNet weights at its own rates: 120 steps on SynVI, small images.

    python -m jreid.train --config docs/ablation/imagenet.py:hc

The schedule keeps its shape: warm-up and drops at the same parts of the whole, and the
phases theirs of it, each at least an epoch of five steps. Network, losses, batches,
optimiser and rates are those of `sysu:hc`, augmentations those of `demo:hc`, and so are
the networks that make and judge images, which no weights are for. `strong+own_size`
keeps the images' size and augmentations too. Not for systems of clusters, whose epochs
cannot be so short.
"""

import copy
import dataclasses
from typing import Any

from jreid.config import Config
from jreid.configs.demo import small
from jreid.configs.systems import demos, make
from jreid.data.sysu_mm01 import SysuMM01
from jreid.training.schedules import Steps

EPOCHS, STEPS = 24, 5
IMAGES_OWN = ("generator", "style", "decoder", "coder", "discriminator")


def get_config(variant: str) -> Config:
    """The system's own config, but for images, length and test."""
    system, *change = variant.split("+")
    if change not in ([], ["own_size"]):
        raise ValueError(f"{variant} has a change that is none; there is +own_size")
    config = make(system, SysuMM01("synvi", train_on_val=False), "imagenet")
    if hasattr(config.between_epochs, "classes"):
        raise ValueError(f"{system} needs longer epochs than five steps to cluster")
    small_images = demos().get(system, small)
    shown = config if change else small_images(copy.deepcopy(config))
    config.views, config.size = shown.views, shown.size
    if hasattr(config.network, "size"):  # of its images, beside the config's
        config.network.size = shown.network.size
    for part in IMAGES_OWN:
        if hasattr(shown.network, part):
            setattr(config.network, part, getattr(shown.network, part))
    branches = (getattr(x.network, "branches", ()) for x in (config, shown))
    for branch, brief in zip(*branches, strict=True):
        if hasattr(branch.pool, "size"):  # of the last map
            branch.pool.size = brief.pool.size
    for phase, brief in zip(config.phases, shown.phases, strict=True):
        phase.views = brief.views
        phase.epochs = max(1, round(EPOCHS / config.schedule.epochs * phase.epochs))
        if phase.schedule is not None:
            phase.schedule = shortened(phase.schedule, phase.epochs)
    epochs = sum(phase.epochs for phase in config.phases) or EPOCHS
    config.schedule, config.steps_per_epoch = shortened(config.schedule, epochs), STEPS
    config.evaluation.draw = "agw"
    config.loading.cache = True
    return config


def shortened(schedule: Any, epochs: int) -> Any:
    """Warm-up and drops at the same parts of the whole."""
    ratio = epochs / schedule.epochs
    warmup = max(1, round(ratio * schedule.warmup)) if schedule.warmup else 0
    changes: dict[str, Any] = {"epochs": epochs, "warmup": warmup}
    if isinstance(schedule, Steps):
        drops = {round(ratio * epoch): factor for epoch, factor in schedule.drops}
        changes["drops"] = tuple(sorted(drops.items()))
    return dataclasses.replace(schedule, **changes)
