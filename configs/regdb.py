"""Systems on RegDB: ten splits, one model each.

    python -m jreid.train --config regdb:all --config.data.root=RegDB
    python -m jreid.evaluate --workdir 'runs/regdb-*'

The first trains the splits in turn in runs/regdb-1 to runs/regdb-10 and ends with their
mean, which is the published score; it can be stopped and given again. One split alone:

    python -m jreid.train --config regdb --config.data.root=RegDB \\
        --config.data.split=3 --workdir runs/regdb-3

Reported by the paper (Table 4; R-1 / mAP / mINP; not yet reproduced here): visible to
infrared 78.26 / 77.83 / 72.50, infrared to visible 75.35 / 75.48 / 70.35. Variants are
the systems of configs/systems; `regdb:all-base` is all ten splits of `base`.

Cost of the paper's system: 80 epochs of 86 steps of 48 images. Its rate is that of 64.
"""

from jreid.config import Config
from jreid.configs.systems import DEFAULT, make
from jreid.data.regdb import RegDB


def get_config(variant: str = DEFAULT) -> Config:
    """A system on RegDB; the paper's with P = 6, K = 4 (section 3.2).

    "all" and "all-SYSTEM" are all ten splits of it.
    """
    every_split, _, own = variant.partition("-")
    if every_split == "all":
        data, system = RegDB(split=0), own or DEFAULT
    else:
        data, system = RegDB(split=1), variant
    return make(system, data, "regdb")
