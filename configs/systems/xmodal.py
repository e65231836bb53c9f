"""Xmodal (XIV): one network for both modalities and a third, made of visible images.

Paper: Li, Wei, Hong, Gong, "Infrared-Visible Cross-Modal Person Re-Identification with
an X Modality", AAAI 2020. Code: Alexadlu/XIVReID, without a licence; only its facts are
used here.

Published (R-1 / mAP, not re-ranked, not yet reproduced here): SYSU-MM01 all search
49.92 / 50.73, RegDB visible to infrared 62.21 / 60.18.

Ours is the released form with the correct distance between centres: the released one
exchanges two squared norms off the diagonal, as `xmodal_released` does. The released
cross term is counted in both directions, which are the same: its weight is .2 once. An
epoch is as long as elsewhere. The released settings of RegDB were not seen, and whether
the published number is of Euclidean distances or of the cosines that are commented out
is not known. On LLCM, where nothing is published, it is the same.
"""

from typing import Any

from jreid.config import Config
from jreid.data.augmentations import Flip, PadCrop
from jreid.data.device_augmentations import EraseNormalised
from jreid.data.sampling import PerModality
from jreid.data.views import View
from jreid.losses.batch_hard_among import BatchHardAmong
from jreid.losses.both_sides import BothSidesTriplet
from jreid.losses.identity import Identity
from jreid.models.adapters import Adapters, PixelAdapter
from jreid.models.embedding import Embedding
from jreid.models.pooling import Average
from jreid.models.resnet import ResNet
from jreid.models.two_stream import Branch, TwoStream
from jreid.training.optimizers import Adam
from jreid.training.schedules import Steps

VISIBLE, INFRARED, MADE = (0, 0), (1, 0), (0, 1)  # modality and copy of rows


def xmodal(data: Any) -> Config:
    """A modality between the two, of ten weights (AAAI 2020)."""
    pipe = (Flip(0.5), PadCrop(10))
    erase = EraseNormalised(0.5, area=(0.02, 0.4), value=(0.485, 0.456, 0.406))
    return Config(
        name="xmodal",
        data=data,
        size=(256, 128),
        views={
            modality: View("any", pipe, device=(erase,), modality=modality)
            for modality in ("visible", "infrared")
        },
        sampling=PerModality(identities=12, images=4),
        network=TwoStream(
            branches=(Branch("v1", Average(), scale_std=0.0),),
            trunk=ResNet(last_stride=1, stem_relu=False),
            stems=("any",),
            adapters=Adapters({"visible": PixelAdapter()}, in_test=False),
        ),
        pretrained="weights/resnet50.npz",
        objective={
            # the sum of the means over three blocks of as many rows
            "identity": Identity(3.0, on="logits.v1", smoothing=0.1),
            "triplet": BatchHardAmong(
                ((VISIBLE,), (INFRARED,), (MADE,)),
                on="features.v1",
                margin=0.3,
                reduction="sum",
            ),
            "cross_visible": BothSidesTriplet(
                0.2, "features.v1", INFRARED, VISIBLE, margin=0.5
            ),
            "cross_made": BothSidesTriplet(
                0.2, "features.v1", INFRARED, MADE, margin=0.5
            ),
        },
        optimizer=Adam(lr=3.5e-4, weight_decay=5e-4, groups=()),
        # the released scheduler steps before the first epoch
        schedule=Steps(
            epochs=120, warmup=10, start=0.01, drops=((39, 0.1), (69, 0.01))
        ),
        embedding=Embedding(features=1.0, embeddings=0.0),
    )


def xmodal_released(data: Any) -> Config:
    """Xmodal with the released slip in the distance between centres."""
    config = xmodal(data)
    for name in ("cross_visible", "cross_made"):
        config.objective[name].exchanged = True
    return config


SYSTEMS = {"xmodal": xmodal, "xmodal_released": xmodal_released}
PUBLISHED = {
    "xmodal": {
        "SYSU all": (49.92, 50.73),
        "RegDB V-I": (62.21, 60.18),
    }
}
