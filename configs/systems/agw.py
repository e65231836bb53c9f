"""AGW as its released code trains it.

Paper: Ye, Shen, Lin, Xiang, Shao, Hoi, "Deep Learning for Person Re-identification: A
Survey and Outlook", TPAMI 44(6), 2022; released code (MIT), its visible-infrared part.

Reported there (R-1 / mAP / mINP, not re-ranked):

    SYSU-MM01, all-search single-shot      47.50 / 47.65 / 35.30
    SYSU-MM01, indoor-search single-shot   54.17 / 62.97 / 59.23
    RegDB, visible to infrared             70.05 / 66.37 / 50.19
    RegDB, infrared to visible             70.49 / 65.90 / 51.24

The row "Base" of the paper's Table 1 has the same digits. `base` differs from this file
in what the paper's text says or leaves open: a WRT without AGW's overflow of its
softmax, a GeM whose exponent learns, non-local blocks that begin near the identity,
bilinear resizing, 80 epochs for 81.
"""

from typing import Any

from jreid.config import Config
from jreid.configs.systems import paper
from jreid.losses.identity import Identity
from jreid.losses.weighted_triplet import WeightedTriplet
from jreid.models.non_local import NonLocal
from jreid.models.pooling import GeM
from jreid.models.two_stream import Branch
from jreid.training.schedules import Steps


def agw(data: Any) -> Config:
    """AGW in its released form."""
    config = paper.system(data, (Branch("v1", GeM(p=3.0, learn=False, form="agw")),))
    config.resize = "lanczos"
    blocks = config.network.trunk.after
    config.network.trunk.after = {
        place: NonLocal(inner_channels=1, init="uniform") for place in blocks
    }
    config.objective = {
        "identity_v1": Identity(on="logits.v1"),
        "wrt": WeightedTriplet(on="features.v1", form="agw"),
    }
    config.schedule = Steps(epochs=81, warmup=10, drops=((20, 0.1), (50, 0.01)))
    return config


SYSTEMS = {"agw": agw}
