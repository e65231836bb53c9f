"""MPANet: parts found by masks; each modality's head learns from the other's.

Paper: Wu, Dai, Chen, Chen, Zhao, Huang, Zheng, Lin, Ji, "Discover Cross-Modality
Nuances for Visible-Infrared Person Re-Identification", CVPR 2021. Code:
DoubtedSteam/MPANet, MIT.

Published (R-1 / mAP, not re-ranked, not yet reproduced here):

    SYSU-MM01 all search 70.58 / 68.24, indoor search 76.74 / 80.95
    RegDB visible to infrared 82.8 / 80.7, infrared to visible 83.7 / 80.9 (other texts
    exchange the two; the released code tests one split alone)

Ours is the released form with its effective weights: modalities' own identity terms are
added twice, 1 each instead of the paper's .5 (`objective.identity_own.weight` is the
sum over both, 2; 1 is the paper's). The divergence is of the student from its teacher,
which is the other modality's classifier, averaged over the steps. One network for both
modalities; gates after stages 3 and 4 alleviate what is the modality's.

What differs: it is trained in float32, released in half precision. The distance to a
centre has a gradient of 0 where it is 0. An identity's images are drawn anew in every
step; an epoch has as many steps as the released sampler can fill. The average's rate,
which falls with every epoch from the 100th on, falls one step later. On LLCM, where
nothing is published, it is the same as on SYSU-MM01.
"""

from typing import Any

from jreid.config import Config
from jreid.data.augmentations import Flip, PadCrop
from jreid.data.device_augmentations import EraseNormalised
from jreid.data.regdb import RegDB
from jreid.data.sampling import PerModality
from jreid.data.sysu_mm01 import SysuMM01
from jreid.data.views import View
from jreid.losses.centre_separation import CentreSeparation
from jreid.losses.identity import Identity
from jreid.losses.learned_parts import MaskOverlap
from jreid.losses.swapped_teacher import SwappedTeacher
from jreid.models.embedding import Embedding
from jreid.models.gates import ModalityAlleviation
from jreid.models.modality_heads import ModalityClassifier
from jreid.models.prototype_pool import MaskPool
from jreid.models.resnet import ResNet
from jreid.models.two_stream import Branch, Classifier, TwoStream
from jreid.training.memory import MovingAverage
from jreid.training.optimizers import Adam
from jreid.training.schedules import Steps

STEM = "any"


def mpanet(data: Any) -> Config:
    """Modality and pattern alignment by masks and swapped teachers (CVPR 2021)."""
    regdb = isinstance(data, RegDB)
    pipe = (Flip(0.5), PadCrop(10, fill=127))
    erase = EraseNormalised(
        0.5, area=(0.02, 0.33), aspect=(0.3, 3.3), aspect_law="log-uniform"
    )
    config = Config(
        name="mpanet",
        data=data,
        size=(256, 128) if regdb else (384, 128),
        views={
            modality: View(STEM, pipe, device=(erase,), modality=modality)
            for modality in ("visible", "infrared")
        },
        sampling=PerModality(
            identities=12 if regdb else 16, images=5 if regdb else 4, epoch="pairs"
        ),
        network=TwoStream(
            # six masks' means and the global one side by side, and on their neck a
            # classifier for all rows and one of each modality's own
            branches=(
                Branch(
                    "v1",
                    MaskPool(6),
                    scale_std=0.0,
                    classifier=Classifier(init="uniform"),
                    own=ModalityClassifier(init="uniform"),
                ),
            ),
            trunk=ResNet(
                last_stride=1,
                after={"3": ModalityAlleviation(), "4": ModalityAlleviation()},
            ),
            stems=(STEM,),
        ),
        pretrained="weights/resnet50.npz",
        objective={
            "identity": Identity(on="logits.v1"),
            "identity_own": Identity(2.0, on="logits.own_v1"),
            "centres": CentreSeparation(on="features.v1", inner=0.0, outer=0.7),
            "overlap": MaskOverlap(0.5, on="masks.v1"),
            "teacher": SwappedTeacher(2.5, on="logits.own_v1", form="divergence"),
        },
        memory=MovingAverage("branches/v1/own", rate=0.2, falls=100),
        optimizer=Adam(lr=3.5e-4, weight_decay=5e-4, groups=()),
        schedule=Steps(
            epochs=140,
            warmup=0,
            drops=((110, 0.1),) if regdb else ((80, 0.1), (120, 0.01)),
        ),
        embedding=Embedding(embeddings=1.0),
    )
    if isinstance(data, SysuMM01):
        config.evaluation.draw = "official"
    return config


SYSTEMS = {"mpanet": mpanet}
PUBLISHED = {
    "mpanet": {
        "SYSU all": (70.58, 68.24),
        "SYSU indoor": (76.74, 80.95),
        "RegDB V-I": (82.8, 80.7),
        "RegDB I-V": (83.7, 80.9),
    }
}
