"""Systems on SYSU-MM01.

    python -m jreid.train --config sysu --config.data.root=SYSU-MM01
    python -m jreid.train --config sysu:base ...        (a row of the paper's Table 1)

The systems are those of configs/systems; without a name it is the paper's, `full`.

A run of the paper's systems begins with ImageNet weights in weights/resnet50.npz; where
they are missing, the program says how to get and convert them. --config.pretrained=
(nothing after it) trains from scratch.
"""

from jreid.config import Config
from jreid.configs.systems import DEFAULT, make
from jreid.data.sysu_mm01 import SysuMM01


def get_config(variant: str = DEFAULT) -> Config:
    """A system on SYSU-MM01's 395 training identities, all search and indoor search."""
    return make(variant, SysuMM01(), "sysu")
