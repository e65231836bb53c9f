"""SAAI: parts found by learned prototypes, necks of each modality's own.

Paper: Fang, Yang, Fu, "Visible-Infrared Person Re-Identification via Semantic Alignment
and Affinity Inference", ICCV 2023. Code: xiaoye-hhh/SAAI, without a licence; only its
facts are used here.

Published, all re-ranked by its affinity inference (AIM, whose numbers are tuned for
each protocol; it is not made here) and not yet reproduced: SYSU-MM01 all search 75.90
R-1 and 77.03 mAP, indoor search 83.20 and 88.01 (known from memory, not verified);
RegDB visible to infrared 91.07 and 91.45. What it has without re-ranking is not
published, and so no table shows it.

Ours is the released run: 7 prototypes and an average's rate of .02 on every data set,
as its script's defaults have it; `saai_paper` has the 6 prototypes (7 on RegDB) and the
rate of .2 of its configuration file. The spread of the masks is halved twice, to a
weight of .25. It is MPANet with prototypes for masks, a BatchNorm for each modality,
and a cross-entropy with the teacher's prediction; on RegDB without the gates. What is
said of MPANet in mpanet.py holds here too; a map of another size than 18 x 9 needs
`network.branches.0.pool.size`. On RegDB the released code trains one split alone. On
LLCM, where nothing is published, it is the same as on SYSU-MM01.
"""

from typing import Any

from jreid.config import Config
from jreid.configs.demo import small
from jreid.data.augmentations import Flip, PadCrop, RandomChannel
from jreid.data.device_augmentations import EraseNormalised
from jreid.data.regdb import RegDB
from jreid.data.sampling import PerModality
from jreid.data.sysu_mm01 import SysuMM01
from jreid.data.views import View
from jreid.losses.centre_separation import CentreSeparation
from jreid.losses.identity import Identity
from jreid.losses.learned_parts import PrototypeSpread
from jreid.losses.swapped_teacher import SwappedTeacher
from jreid.models.embedding import Embedding
from jreid.models.gates import ModalityAlleviation
from jreid.models.modality_heads import ModalityClassifier
from jreid.models.prototype_pool import PrototypePool
from jreid.models.resnet import ResNet
from jreid.models.two_stream import Branch, Classifier, TwoStream
from jreid.training.memory import MovingAverage
from jreid.training.optimizers import Adam
from jreid.training.schedules import Steps

STEM = "any"


def saai(data: Any) -> Config:
    """Parts by learned prototypes and swapped teachers (ICCV 2023), as released."""
    return system(data, prototypes=7, rate=0.02)


def saai_paper(data: Any) -> Config:
    """SAAI with the prototypes and the average's rate of its configuration file."""
    return system(data, prototypes=7 if isinstance(data, RegDB) else 6, rate=0.2)


def system(data: Any, *, prototypes: int, rate: float) -> Config:
    """SAAI with so many prototypes, and teachers that follow at this rate."""
    regdb = isinstance(data, RegDB)
    # in 3 of 11 images, of either modality, one channel takes the place of all
    pipe = (Flip(0.5), PadCrop(10, fill="symmetric"), RandomChannel(3 / 11))
    erase = EraseNormalised(
        0.5,
        area=(0.02, 0.33),
        aspect=(0.3, 3.3),
        value="noise",
        aspect_law="log-uniform",
    )
    gates = {} if regdb else {"3": ModalityAlleviation(), "4": ModalityAlleviation()}
    config = Config(
        name="saai",
        data=data,
        size=(288, 144),
        views={
            modality: View(STEM, pipe, device=(erase,), modality=modality)
            for modality in ("visible", "infrared")
        },
        sampling=PerModality(identities=4 if regdb else 10, images=4, epoch="pairs"),
        network=TwoStream(
            # the prototypes' means and the global one side by side
            branches=(
                Branch(
                    "v1",
                    PrototypePool(prototypes, size=(18, 9)),
                    neck_of="modality",
                    classifier=Classifier(init="uniform"),
                    own=ModalityClassifier(init="uniform"),
                ),
            ),
            trunk=ResNet(last_stride=1, after=gates),
            stems=(STEM,),
        ),
        pretrained="weights/resnet50.npz",
        objective={
            "identity": Identity(on="logits.v1"),
            # the sum over the two modalities' heads, each of weight 1
            "identity_own": Identity(2.0, on="logits.own_v1"),
            "centres": CentreSeparation(on="features.v1", inner=0.01, outer=0.7),
            "spread": PrototypeSpread(0.25, on="masks.v1"),
            "teacher": SwappedTeacher(on="logits.own_v1", form="cross_entropy"),
        },
        memory=MovingAverage("branches/v1/own", rate=rate, falls=100),
        optimizer=Adam(lr=3.5e-4, weight_decay=5e-4, groups=()),
        schedule=Steps(epochs=160, warmup=10, drops=((80, 0.1), (120, 0.01))),
        embedding=Embedding(embeddings=1.0),
    )
    if isinstance(data, SysuMM01):
        config.evaluation.draw = "official"
    return config


def small_saai(config: Config) -> Config:
    """Made small for the demo, whose last map is 6 x 3."""
    config = small(config)
    config.network.branches[0].pool.size = (6, 3)
    return config


SYSTEMS = {"saai": saai, "saai_paper": saai_paper}
DEMOS = {"saai": small_saai, "saai_paper": small_saai}
PUBLISHED = {}  # re-ranked alone
