"""CAJ: channel augmentation, a second visible view of one channel.

Paper: Ye, Ruan, Du, Shou, "Channel Augmented Joint Learning for Visible-Infrared
Recognition", ICCV 2021. Code: mangye16/Cross-Modal-Re-ID-baseline, ICCV21_CAJ, MIT.

Published there (R-1 / mAP, not re-ranked, not yet reproduced here):

    SYSU-MM01 all search 69.88 / 66.89, indoor search 76.3 / 80.4
    RegDB visible to infrared 85.03 / 79.14, infrared to visible 84.8 / 77.8
    LLCM (of its authors' README) infrared to visible 49.86 / 56.40, back 63.73 / 47.71

Ours is the released form: AGW's released network, the squared weighted triplet over all
rows of both visible views, clamped at 88, beyond which an anchor has no gradient;
between views the divergence has weight 0 as in the released default. An identity's
images are drawn without replacement. The same on every data set. The loss collapsed for
some users of the released code; a plain BatchHardTriplet in its place is what they went
on with. `--config.objective.triplet.limit=0` takes the clamp away,
`--config.objective.divergence.weight=1` adds the divergence.
"""

from typing import Any

from jreid.config import Config
from jreid.configs.systems.agw import agw
from jreid.data.augmentations import Flip, PadCrop
from jreid.data.channel_select import ChannelSelect
from jreid.data.device_augmentations import EraseNormalised
from jreid.data.sampling import PerModality
from jreid.data.views import View
from jreid.losses.identity import Identity
from jreid.losses.squared_weighted_triplet import SquaredWeightedTriplet
from jreid.losses.views import ViewDivergence
from jreid.models.embedding import Embedding
from jreid.training.optimizers import SGD
from jreid.training.schedules import Steps


def caj(data: Any) -> Config:
    """Channel augmentation with a second visible view (ICCV 2021)."""
    pipe = (PadCrop(10), Flip(0.5))
    erase = EraseNormalised(0.5, area=(0.02, 0.4), value=(0.4914, 0.4822, 0.4465))
    one_channel = ChannelSelect(channels=1.0, grey=0.0)
    some_channel = ChannelSelect(channels=0.75, grey=0.125)
    return Config(
        name="caj",
        data=data,
        size=(288, 144),
        resize="lanczos",
        views={
            "visible": View("visible", pipe, device=(erase,)),
            "channel": View(
                "visible", pipe, device=(erase, one_channel), same_image_as="visible"
            ),
            "infrared": View("infrared", pipe, device=(erase, some_channel)),
        },
        sampling=PerModality(identities=8, images=4),
        network=agw(data).network,
        pretrained="weights/resnet50.npz",
        objective={
            "identity": Identity(on="logits.v1"),
            "triplet": SquaredWeightedTriplet(on="features.v1", limit=88.0),
            # visible (0) learns from infrared (2)
            "divergence": ViewDivergence(weight=0.0, student=0, teacher=2),
        },
        optimizer=SGD(lr=0.1, weight_decay=5e-4, groups=(("stems|trunk", 0.1),)),
        schedule=Steps(epochs=100, warmup=10, drops=((20, 0.1), (50, 0.01))),
        embedding=Embedding(flip=True),
    )


SYSTEMS = {"caj": caj}
PUBLISHED = {
    "caj": {
        "SYSU all": (69.88, 66.89),
        "SYSU indoor": (76.3, 80.4),
        "RegDB V-I": (85.03, 79.14),
        "RegDB I-V": (84.8, 77.8),
        "LLCM I-V": (49.86, 56.4),
        "LLCM V-I": (63.73, 47.71),
    }
}
