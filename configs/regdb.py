"""The paper's system on RegDB, one of its ten splits.

    python -m jreid.train --config configs/regdb.py --config.data.root=RegDB \\
        --config.data.trial=1 --workdir runs/regdb-1

A published score is the mean over ten splits, one model each. Reported by the paper
(Table 4; R-1 / mAP / mINP; not yet reproduced here): visible to infrared 78.26 / 77.83
/ 72.50, infrared to visible 75.35 / 75.48 / 70.35. Variants as in sysu.py.

Cost: 80 epochs of 86 steps of 48 images.
"""

from configs import sysu
from jreid.config import Config


def get_config(variant: str = "full") -> Config:
    """A variant of sysu.py with RegDB's batches: P = 6, K = 4 (paper section 3.2)."""
    config = sysu.get_config(variant)
    config.name = config.name.replace("sysu", "regdb")
    config.data.dataset = "regdb"
    config.data.identities = 6
    return config
