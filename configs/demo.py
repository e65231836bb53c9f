"""Systems made small, on SynVI, the embedded synthetic set: minutes on two CPU cores.

    python -m jreid.train --config demo             (what `make demo` runs)
    python -m jreid.train --config demo:base        (another system of configs/systems)

A ResNet-18 of half width, trained from scratch on 96 x 48 images; its rate was chosen
on SynVI's validation identities, by which the rows of the paper with DIAM and VRD
cannot be told apart (docs/ablation). Scores on SynVI show that the program works and
tell methods apart; they are not SYSU-MM01 scores.
"""

from collections.abc import Mapping
from typing import Any

from jreid.config import Config
from jreid.configs.systems import demos, make
from jreid.data.augmentations import Flip, Grey, PadCrop, RandomChannel
from jreid.data.sampling import PerModality
from jreid.data.sysu_mm01 import SysuMM01
from jreid.data.views import View, modality_of
from jreid.models.resnet import ResNet
from jreid.training.optimizers import SGD
from jreid.training.schedules import Cosine

DEFAULT = "ours2"  # of the rows with DIAM and VRD, which are level (docs/ablation)


def get_config(variant: str = DEFAULT) -> Config:
    """A system on SynVI, made small enough to train within minutes."""
    config = make(variant, SysuMM01("synvi", train_on_val=False), "demo", DEFAULT)
    config.loading.cache = True
    return demos().get(variant, small)(config)


def small(config: Config) -> Config:
    """A narrow network from scratch, small images, a short schedule."""
    if hasattr(config.network, "trunk"):
        config.network.trunk = _small_trunk(config.network.trunk)
    config.pretrained = ""
    config.size = (96, 48)
    for view in config.views.values():
        view.pipe = _small_pipes(view)
    if isinstance(config.optimizer, SGD):
        config.optimizer.lr = 0.03
    config.optimizer.groups = ()  # nothing is pretrained
    config.schedule = Cosine(epochs=6, warmup=1)
    config.steps_per_epoch = 0  # every system sees the images as often
    if isinstance(config.sampling, PerModality):
        config.sampling.epoch = "larger"
    config.evaluation.draw = "agw"  # one table for all systems
    return config


def _small_trunk(trunk: ResNet) -> ResNet:
    return ResNet(
        18,
        width=0.5,
        last_stride=trunk.last_stride,
        stages=trunk.stages,
        before=_placed(trunk.before),
        after=_placed(trunk.after),
        stem_relu=trunk.stem_relu,
    )


def _placed(blocks: Mapping[str, Any]) -> dict[str, Any]:
    """Blocks at places of a ResNet-18, which has two residual blocks in each stage."""
    moved = {}
    for place, block in blocks.items():
        stage, _, number = place.partition(".")
        moved.setdefault(f"{stage}.1" if number > "1" else place, block)
    return moved


def _small_pipes(view: View) -> Any:
    if isinstance(view.pipe, Mapping):
        return {name: _small_pipe(own, name) for name, own in view.pipe.items()}
    return _small_pipe(view.pipe, modality_of(view))


def _small_pipe(pipe: tuple[Any, ...], modality: str) -> tuple[Any, ...]:
    """Smaller shifts; and of visible images the colour, which misleads in SynVI."""
    cropped = [PadCrop(5, x.fill) if isinstance(x, PadCrop) else x for x in pipe]
    if modality != "visible":
        return tuple(cropped)
    geometric = [x for x in cropped if isinstance(x, PadCrop | Flip)]
    others = [x for x in cropped if x not in geometric]
    return (*geometric, Grey(0.3), RandomChannel(0.3), *others)
