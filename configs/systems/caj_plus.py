"""CAJ+: CAJ with stronger augmentation and agreement of the visible views.

Paper: Ye, Wu, Chen, Du, "Channel Augmentation for Visible-Infrared Re-Identification",
TPAMI 2023. Code: mangye16/Cross-Modal-Re-ID-baseline, PAMI23_Supervised, MIT.

Published (R-1 / mAP by other papers' tables, not re-ranked, not yet reproduced here):

    SYSU-MM01 all search 71.5 / 68.2, indoor search 78.4 / 82.0
    RegDB visible to infrared 85.7 / 79.7, infrared to visible 84.9 / 78.6

As released, the stronger augmentation is SYSU-MM01's alone: a tenth of the first view's
images turn grey, visible images are erased with probability .6, infrared ones turn grey
more often; on LLCM, where nothing is published, it is as on RegDB. What is said of CAJ
in caj.py holds here too.
"""

from typing import Any

from jreid.config import Config
from jreid.configs.systems.caj import caj
from jreid.data.augmentations import Grey
from jreid.data.channel_select import ChannelSelect
from jreid.data.sysu_mm01 import SysuMM01
from jreid.losses.views import ViewCrossEntropy


def caj_plus(data: Any) -> Config:
    """CAJ with agreement of the two visible views (TPAMI 2023)."""
    config = caj(data)
    config.name = "caj_plus"
    # the first visible view learns from the one of one channel
    config.objective["agreement"] = ViewCrossEntropy(weight=1.0, student=0, teacher=1)
    if isinstance(data, SysuMM01):
        visible, channel, infrared = config.views.values()
        visible.pipe = (*visible.pipe, Grey(0.1))
        erase, _ = infrared.device
        often = type(erase)(0.6, area=erase.area, value=erase.value)
        visible.device = (often,)
        channel.device = (often, channel.device[1])
        infrared.device = (erase, ChannelSelect(channels=0.75, grey=0.15))
    return config


SYSTEMS = {"caj_plus": caj_plus}
PUBLISHED = {
    "caj_plus": {
        "SYSU all": (71.5, 68.2),
        "SYSU indoor": (78.4, 82.0),
        "RegDB V-I": (85.7, 79.7),
        "RegDB I-V": (84.9, 78.6),
    }
}
