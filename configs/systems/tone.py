"""TONE: identities and a contrastive loss on pairs, on a newer trunk.

Paper: Ye, Lan, Li, Yuen, "Hierarchical Discriminative Learning for Visible Thermal
Person Re-Identification", AAAI 2018. Code:
mangye16/Visible-Thermal-Person-Re-Identification, without a licence; only its facts are
used here.

Published (R-1 / mAP, not re-ranked): SYSU-MM01 all search 12.52 / 14.42, indoor search
20.82 / 26.38; RegDB, one split, 15.7 / 18.0 (README).

Ours has the released losses on half aligned, half random pairs, of features divided by
their own length; the released code divides each dimension by its length over the batch,
which `tone_batch` does. The trunk is not theirs, see bdtr.py; so its scores are not to
be compared with the published ones. The released network, two AlexNets to fc6 and a
shared fc7 of 2,048 that is ranked after its ReLU and tested before it, is not made
here. The same on every data set.
"""

from typing import Any

from jreid.config import Config
from jreid.configs.systems.bdtr import on_agw_trunk
from jreid.data.pair_sampling import RandomPairs
from jreid.losses.contrastive import Contrastive


def tone(data: Any) -> Config:
    """Contrastive pairs beside identities (AAAI 2018) on AGW's trunk."""
    contrastive = Contrastive(0.2, on="features.v1", margin=0.5)
    config = on_agw_trunk(
        data, RandomPairs(pairs=64, alike=0.5), {"contrastive": contrastive}
    )
    config.name = "tone"
    return config


def tone_batch(data: Any) -> Config:
    """TONE with features normalised over the batch, as released."""
    config = tone(data)
    config.objective["contrastive"].normalise = "batch"
    return config


SYSTEMS = {"tone": tone, "tone_batch": tone_batch}
PUBLISHED = {
    "tone": {
        "SYSU all": (12.52, 14.42),
        "SYSU indoor": (20.82, 26.38),
    }
}
