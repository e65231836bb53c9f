"""Systems made small, on SynVI, the embedded synthetic set: minutes on two CPU cores.

    python -m jreid.train --config demo             (what `make demo` runs)
    python -m jreid.train --config demo:base        (another system of configs/systems)

A ResNet-18 of half width, trained from scratch on 96 x 48 images; the schedule was
found by experiment. Scores on SynVI show that the program works and tell methods apart;
they are not SYSU-MM01 scores.
"""

from typing import Any

from jreid.config import Config
from jreid.configs.systems import DEFAULT, demos, make
from jreid.data.augmentations import Flip, Grey, PadCrop, RandomChannel
from jreid.data.sysu_mm01 import SysuMM01
from jreid.data.views import View, modality_of
from jreid.models.non_local import NonLocal
from jreid.models.resnet import ResNet
from jreid.training.schedules import Cosine


def get_config(variant: str = DEFAULT) -> Config:
    """A system on SynVI, made small enough to train within minutes."""
    config = make(variant, SysuMM01("synvi", train_on_val=False), "demo")
    config.loading.cache = True
    return demos().get(variant, small)(config)


def small(config: Config) -> Config:
    """A narrow network from scratch, small images, a short schedule."""
    trunk = config.network.trunk
    non_local = {"2.1": NonLocal(), "3.1": NonLocal()} if trunk.after else {}
    config.network.trunk = ResNet(
        18, width=0.5, last_stride=trunk.last_stride, after=non_local
    )
    config.pretrained = ""
    config.size = (96, 48)
    for view in config.views.values():
        view.pipe = _small_pipe(view)
    config.optimizer.lr = 0.05
    config.optimizer.groups = ()  # nothing is pretrained
    config.schedule = Cosine(epochs=12, warmup=1)
    return config


def _small_pipe(view: View) -> tuple[Any, ...]:
    """Smaller shifts; and of visible images the colour, which misleads in SynVI."""
    cropped = [PadCrop(5) if isinstance(x, PadCrop) else x for x in view.pipe]
    if modality_of(view) != "visible":
        return tuple(cropped)
    geometric = [x for x in cropped if isinstance(x, PadCrop | Flip)]
    others = [x for x in cropped if x not in geometric]
    return (*geometric, Grey(0.3), RandomChannel(0.3), *others)
