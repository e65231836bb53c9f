"""PDM: DEEN with prototypes, whose parts are a second branch.

Paper: "Prototype-Driven Multi-Feature Generation for Visible-Infrared Person
Re-identification", ICASSP 2025. Code: mmunhappy/ICASSP2025-PDM, without a licence; only
its facts are used here.

Published (R-1 / mAP, not re-ranked, not yet reproduced here):

    SYSU-MM01 all search 79.3 / 76.3, indoor search 88.7 / 89.8
    LLCM 57.1 / 63.6 (infrared to visible) and 64.9 / 67.3, after an older protocol:
    not comparable with other systems' here

Ours is the script that its README trains with, which has parts that the paper has not:
an image plus .8 of its phases' image (in training), a gate without weights on the
stems' output, and DEEN's fusion of levels. The prototypes are kept apart by SAAI's
loss, where the paper has cosines; pair mining counts half. The second neck and
classifier learn at a tenth of the first ones' rate. The rate drops at 20 and 80, as the
third drop is never reached, and it trains 200 epochs; `pdm_paper` has the paper's 150,
80 and 120. `pdm_tri` is the repository's second script: a triplet of the parts too, and
both heads at the whole rate. What is said of DEEN in deen.py holds here too; a map of
another size than 24 x 12 needs `network.branches.1.pool.size`. On RegDB, where nothing
was found published, layer 4 is left out as the code does.
"""

from typing import Any, Literal

from jreid.config import Config, Evaluation
from jreid.configs.demo import small
from jreid.data.augmentations import Flip, Grey, PadCrop
from jreid.data.channel_select import PhaseResidual
from jreid.data.device_augmentations import EraseNormalised
from jreid.data.regdb import RegDB
from jreid.data.sampling import PerModality
from jreid.data.sysu_mm01 import SysuMM01
from jreid.data.views import View
from jreid.losses.batch_hard import BatchHardTriplet
from jreid.losses.centre_separation import CentreSeparation
from jreid.losses.identity import Identity
from jreid.losses.learned_parts import PrototypeSpread
from jreid.losses.pair_mining import Orthogonality, PairMining
from jreid.models.embedding import Embedding
from jreid.models.expansion import DiverseExpansion
from jreid.models.gates import ConvolutionalAttention, EnergyGate
from jreid.models.multilevel_fusion import MultilevelFusion
from jreid.models.pooling import Average
from jreid.models.prototype_pool import PrototypePool
from jreid.models.resnet import ResNet
from jreid.models.two_stream import Branch, TwoStream
from jreid.training.optimizers import SGD
from jreid.training.schedules import Steps

POOLED, PARTS = "v1", "v2"


def pdm(data: Any) -> Config:
    """Prototype-driven multi-feature generation (ICASSP 2025), as released."""
    pipe = (PadCrop(10), Grey(0.5), Flip(0.5))
    erase = EraseNormalised(
        0.5,
        area=(0.2, 0.8) if isinstance(data, SysuMM01) else (0.02, 0.4),
        value=(0.485, 0.456, 0.406),
    )
    both = tuple((f"features.{name}", 1.0) for name in (POOLED, PARTS))
    return Config(
        name="pdm",
        data=data,
        size=(384, 192),
        views={
            modality: View(modality, pipe, device=(erase, PhaseResidual(0.8)))
            for modality in ("visible", "infrared")
        },
        sampling=PerModality(identities=8, images=4),
        network=TwoStream(
            branches=(
                Branch(POOLED, Average()),
                Branch(PARTS, PrototypePool(10, size=(24, 12))),
            ),
            trunk=trunk(stages=3 if isinstance(data, RegDB) else 4),
        ),
        pretrained="weights/resnet50.npz",
        objective={
            "identity": Identity(on=f"logits.{POOLED}"),
            "identity_parts": Identity(on=f"logits.{PARTS}"),
            "triplet": BatchHardTriplet(on=f"features.{POOLED}", margin=0.3),
            "pair_mining": PairMining(0.4, on=both, margin=0.2),
            "orthogonality": Orthogonality(0.01, on=f"features.{POOLED}"),
            "spread": PrototypeSpread(0.25, on=f"masks.{PARTS}"),
            "centres": CentreSeparation(on=f"features.{PARTS}", inner=0.01, outer=0.7),
        },
        optimizer=SGD(
            lr=0.1,
            weight_decay=5e-4,
            groups=((f"stems|trunk|branches/{PARTS}", 0.1),),
        ),
        schedule=Steps(epochs=200, warmup=10, drops=((20, 0.1), (80, 0.01))),
        # six similarities, of image plus mirror: both embeddings of each of three rows
        embedding=Embedding(
            embeddings=1.0, flip=True, copies="each", unit=False, measure="product"
        ),
        evaluation=Evaluation(rerank=False),  # products of vectors are no distances
    )


def trunk(stages: Literal[3, 4]) -> ResNet:
    """Stems' output gated, levels fused, rows expanded before the last stage."""
    attention = ConvolutionalAttention(reduction=16, kernel=49)
    return ResNet(
        last_stride=1,
        stages=stages,
        # the first stage has four times its input's channels
        after={
            str(stage): MultilevelFusion(ratio=4 if stage == 1 else 2)
            for stage in range(1, stages)
        },
        before={
            "1": EnergyGate(),
            str(stages): DiverseExpansion(copies=2, dropout=0.01, between=attention),
        },
    )


def pdm_paper(data: Any) -> Config:
    """PDM with the epochs and drops that its paper prints."""
    config = pdm(data)
    config.schedule = Steps(epochs=150, warmup=10, drops=((80, 0.1), (120, 0.01)))
    return config


def pdm_tri(data: Any) -> Config:
    """PDM by the repository's second script: a triplet of the parts too."""
    config = pdm(data)
    both = tuple((f"features.{name}", 1.0) for name in (POOLED, PARTS))
    config.objective["triplet"] = BatchHardTriplet(on=both, margin=0.3)
    pool = f"branches/{PARTS}/pool"
    config.optimizer.groups = ((f"stems|trunk|{pool}", 0.1),)
    return config


def small_pdm(config: Config) -> Config:
    """Made small for the demo: DEEN's small network, a last map of 6 x 3."""
    config = small(config)
    config.network.trunk.after["1"] = MultilevelFusion(ratio=1)
    config.network.branches[1].pool.size = (6, 3)
    return config


SYSTEMS = {"pdm": pdm, "pdm_paper": pdm_paper, "pdm_tri": pdm_tri}
DEMOS = {name: small_pdm for name in SYSTEMS}
PUBLISHED = {
    "pdm": {
        "SYSU all": (79.3, 76.3),
        "SYSU indoor": (88.7, 89.8),
    }
}
