"""The paper's system on RegDB: ten splits, one model each.

    python -m jreid.train --config configs/regdb.py:all --config.data.root=RegDB
    python -m jreid.evaluate --workdir 'runs/regdb-*'

The first trains the splits in turn in runs/regdb-1 to runs/regdb-10 and ends with their
mean, which is the published score; it can be stopped and given again. One split alone:

    python -m jreid.train --config configs/regdb.py --config.data.root=RegDB \\
        --config.data.trial=3 --workdir runs/regdb-3

Reported by the paper (Table 4; R-1 / mAP / mINP; not yet reproduced here): visible to
infrared 78.26 / 77.83 / 72.50, infrared to visible 75.35 / 75.48 / 70.35. Variants as
in sysu.py; `configs/regdb.py:all-base` is all ten splits of `:base`.

Cost: 80 epochs of 86 steps of 48 images.
"""

from configs import sysu
from jreid.config import Config


def get_config(variant: str = "full") -> Config:
    """A variant of sysu.py with RegDB's batches: P = 6, K = 4 (paper section 3.2).

    "all" and "all-VARIANT" are all ten splits of it.
    """
    every_split, _, own = variant.partition("-")
    config = sysu.get_config(own or "full" if every_split == "all" else variant)
    config.data.trial = 0 if every_split == "all" else 1
    config.name = config.name.replace("sysu", "regdb")
    config.data.dataset = "regdb"
    config.data.identities = 6
    return config
