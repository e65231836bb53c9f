"""A system from ImageNet weights at its own rates: 120 steps on SynVI, small images.

    python -m jreid.train --config docs/ablation/imagenet.py:hc

The schedule keeps its shape: warm-up and drops at the same parts of the whole. Network,
losses, batches, optimiser and rates are those of `sysu:hc`, augmentations those of
`demo:hc`. Not for systems of phases.
"""

import copy
import dataclasses
from typing import Any

from jreid.config import Config
from jreid.configs.demo import small
from jreid.configs.systems import make
from jreid.data.sysu_mm01 import SysuMM01
from jreid.training.schedules import Steps

EPOCHS, STEPS = 24, 5


def get_config(variant: str) -> Config:
    """The system's own config, but for images, length and test."""
    config = make(variant, SysuMM01("synvi", train_on_val=False), "imagenet")
    if config.phases:
        raise ValueError(f"{variant} has phases, which this does not shorten")
    config.views, config.size = small(copy.deepcopy(config)).views, (96, 48)
    config.schedule, config.steps_per_epoch = shortened(config.schedule), STEPS
    config.evaluation.draw = "agw"
    config.loading.cache = True
    return config


def shortened(schedule: Any) -> Any:
    """Warm-up and drops at the same parts of the whole."""
    ratio = EPOCHS / schedule.epochs
    warmup = max(1, round(ratio * schedule.warmup)) if schedule.warmup else 0
    changes: dict[str, Any] = {"epochs": EPOCHS, "warmup": warmup}
    if isinstance(schedule, Steps):
        drops = {round(ratio * epoch): factor for epoch, factor in schedule.drops}
        changes["drops"] = tuple(sorted(drops.items()))
    return dataclasses.replace(schedule, **changes)
