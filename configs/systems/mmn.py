"""MMN: a middle modality, made of both by a few pixelwise weights.

Paper: Zhang, Yan, Lu, Wang, "Towards a Unified Middle Modality Learning for
Visible-Infrared Person Re-Identification", ACM MM 2021. Code: ZYK100/MMN, without a
licence; only its facts are used here.

Published (R-1 / mAP, not re-ranked, not yet reproduced here):

    SYSU-MM01 all search 70.6 / 66.9, indoor search 76.2 / 79.6
    RegDB visible to infrared 91.6 / 84.1, infrared to visible 87.5 / 80.5
    LLCM (of its authors' README) infrared to visible 50.14 / 56.66, back 63.97 / 48.47

Ours is the released form. Its distance of the made images is under random layers that
are never trained, which it keeps; our random numbers are others. The same on every data
set.
"""

from typing import Any

from jreid.config import Config, Evaluation
from jreid.data.augmentations import Flip, PadCrop
from jreid.data.device_augmentations import EraseNormalised
from jreid.data.sampling import PerModality
from jreid.data.views import View
from jreid.losses.batch_hard_among import BatchHardAmong
from jreid.losses.identity import Identity
from jreid.losses.random_projection import RandomProjectionDistance
from jreid.models.adapters import Adapters, Decoder, Encoder
from jreid.models.embedding import Embedding
from jreid.models.resnet import ResNet
from jreid.models.two_stream import TwoStream, stripes
from jreid.training.optimizers import SGD
from jreid.training.schedules import Steps

VISIBLE, INFRARED = ((0, 0), (0, 1)), ((1, 0), (1, 1))  # images, and those made of them


def mmn(data: Any) -> Config:
    """Middle modality learning (ACM MM 2021)."""
    pipe = (PadCrop(10), Flip(0.5))
    erase = EraseNormalised(0.5, area=(0.02, 0.4), value=(0.0, 0.0, 0.0))
    quarters = {
        kind: tuple((f"{kind}.s{i}", 1 / 4) for i in range(4))
        for kind in ("logits", "features")
    }
    return Config(
        name="mmn",
        data=data,
        size=(384, 192),
        resize="lanczos",
        views={
            modality: View(modality, pipe, device=(erase,))
            for modality in ("visible", "infrared")
        },
        sampling=PerModality(identities=4, images=4),
        network=TwoStream(
            branches=stripes(4),
            trunk=ResNet(last_stride=1),
            adapters=Adapters(
                {"visible": Encoder(), "infrared": Encoder()}, then=Decoder()
            ),
        ),
        pretrained="weights/resnet50.npz",
        objective={
            "identity": Identity(on=quarters["logits"]),
            "triplet": BatchHardAmong(
                tuple((v, i) for v in VISIBLE for i in INFRARED),
                on=quarters["features"],
                margin=0.3,
            ),
            "middle": RandomProjectionDistance(0.2, on=quarters["features"]),
        },
        optimizer=SGD(
            lr=0.1, weight_decay=5e-4, groups=(("stems|trunk|adapters", 0.1),)
        ),
        schedule=Steps(epochs=81, warmup=10, drops=((20, 0.1), (50, 0.01))),
        # four similarities: of the image and of what is made of it, with the other's
        embedding=Embedding(
            normalise="kind", copies="sum", unit=False, measure="product"
        ),
        evaluation=Evaluation(rerank=False),  # products of vectors are no distances
    )


SYSTEMS = {"mmn": mmn}
PUBLISHED = {
    "mmn": {
        "SYSU all": (70.6, 66.9),
        "SYSU indoor": (76.2, 79.6),
        "RegDB V-I": (91.6, 84.1),
        "RegDB I-V": (87.5, 80.5),
        "LLCM I-V": (50.14, 56.66),
        "LLCM V-I": (63.97, 48.47),
    }
}
