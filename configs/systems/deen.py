"""DEEN: fused levels, rows expanded by dilated convolutions, pairs mined among them.

Paper: Zhang, Wang, "Diverse Embedding Expansion Network and Low-Light Cross-Modality
Benchmark for Visible-Infrared Person Re-identification", CVPR 2023. Code: ZYK100/LLCM,
DEEN, without a licence; only its facts are used here.

Published (R-1 / mAP, not re-ranked, not yet reproduced here):

    SYSU-MM01 all search 74.7 / 71.8, indoor search 80.3 / 83.3
    RegDB visible to infrared 91.1 / 85.1, infrared to visible 89.5 / 83.4
    LLCM (its README) infrared to visible 55.52 / 62.07, back 69.21 / 55.52

Ours is the released form: position attention sees the map folded in two, the rate drops
at 20 and 80, on RegDB layer 4 is left out, erased areas are larger on SYSU-MM01. What
the code means but does not reach is an option: a third drop with
`--config.schedule.drops 20 .1 80 .01 120 .001`, the whole map with
`--config.network.trunk.after.1.folded=False` for each of its places. The released test
also prints similarities with .1 of those before the neck and .9 of those after it:
`--config.embedding.features=.1 --config.embedding.embeddings=.9`. Its users report
71.08 (R-1) at 384 x 192. Pair mining is jreid/losses/pair_mining.py, the expansion
jreid/models/expansion.py, the fusion jreid/models/multilevel_fusion.py.
"""

from typing import Any

from jreid.config import Config, Evaluation
from jreid.configs.demo import small
from jreid.data.augmentations import Flip, Grey, PadCrop
from jreid.data.device_augmentations import EraseNormalised
from jreid.data.regdb import RegDB
from jreid.data.sampling import PerModality
from jreid.data.sysu_mm01 import SysuMM01
from jreid.data.views import View
from jreid.losses.batch_hard import BatchHardTriplet
from jreid.losses.identity import Identity
from jreid.losses.pair_mining import Orthogonality, PairMining
from jreid.models.embedding import Embedding
from jreid.models.expansion import DiverseExpansion
from jreid.models.multilevel_fusion import MultilevelFusion
from jreid.models.pooling import Average
from jreid.models.resnet import ResNet
from jreid.models.two_stream import Branch, TwoStream
from jreid.training.optimizers import SGD
from jreid.training.schedules import Steps


def deen(data: Any) -> Config:
    """Diverse embedding expansion (CVPR 2023)."""
    stages = 3 if isinstance(data, RegDB) else 4
    pipe = (PadCrop(10), Grey(0.5), Flip(0.5))
    erase = EraseNormalised(
        0.5,
        area=(0.2, 0.8) if isinstance(data, SysuMM01) else (0.02, 0.4),
        value=(0.485, 0.456, 0.406),
    )
    return Config(
        name="deen",
        data=data,
        size=(384, 144),
        resize="lanczos",
        views={
            modality: View(modality, pipe, device=(erase,))
            for modality in ("visible", "infrared")
        },
        sampling=PerModality(identities=6, images=4),
        network=TwoStream(
            branches=(Branch("v1", Average()),),
            trunk=ResNet(
                last_stride=1,
                stages=stages,
                # the first stage has four times its input's channels
                after={
                    str(stage): MultilevelFusion(ratio=4 if stage == 1 else 2)
                    for stage in range(1, stages)
                },
                before={str(stages): DiverseExpansion(copies=2, dropout=0.01)},
            ),
        ),
        pretrained="weights/resnet50.npz",
        objective={
            "identity": Identity(on="logits.v1"),
            "triplet": BatchHardTriplet(on="features.v1", margin=0.3),
            "pair_mining": PairMining(0.8, on="features.v1", margin=0.2),
            "orthogonality": Orthogonality(0.01, on="features.v1"),
        },
        optimizer=SGD(lr=0.1, weight_decay=5e-4, groups=(("stems|trunk", 0.1),)),
        schedule=Steps(epochs=151, warmup=10, drops=((20, 0.1), (80, 0.01))),
        # six similarities, of image plus mirror: two vectors of each of three rows
        embedding=Embedding(
            0.5, 0.5, flip=True, copies="each", unit=False, measure="product"
        ),
        evaluation=Evaluation(rerank=False),  # products of vectors are no distances
    )


def small_deen(config: Config) -> Config:
    """Made small for the demo; a ResNet-18's first stage does not widen its input."""
    config = small(config)
    config.network.trunk.after["1"] = MultilevelFusion(ratio=1)
    return config


SYSTEMS = {"deen": deen}
DEMOS = {"deen": small_deen}
PUBLISHED = {
    "deen": {
        "SYSU all": (74.7, 71.8),
        "SYSU indoor": (80.3, 83.3),
        "RegDB V-I": (91.1, 85.1),
        "RegDB I-V": (89.5, 83.4),
        "LLCM I-V": (55.52, 62.07),
        "LLCM V-I": (69.21, 55.52),
    }
}
