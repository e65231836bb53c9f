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

from typing import Any

from jreid.config import Config
from jreid.configs.systems.deen import deen, small_deen
from jreid.data.channel_select import PhaseResidual
from jreid.data.sampling import PerModality
from jreid.losses.batch_hard import BatchHardTriplet
from jreid.losses.centre_separation import CentreSeparation
from jreid.losses.identity import Identity
from jreid.losses.learned_parts import PrototypeSpread
from jreid.losses.pair_mining import Orthogonality, PairMining
from jreid.models.embedding import Embedding
from jreid.models.gates import ConvolutionalAttention, EnergyGate
from jreid.models.pooling import Average
from jreid.models.prototype_pool import PrototypePool
from jreid.models.two_stream import Branch
from jreid.training.optimizers import SGD
from jreid.training.schedules import Steps

POOLED, PARTS = "v1", "v2"
BOTH = tuple((f"features.{name}", 1.0) for name in (POOLED, PARTS))


def pdm(data: Any) -> Config:
    """Prototype-driven multi-feature generation (ICASSP 2025), as released."""
    config = deen(data)
    config.name, config.size = "pdm", (384, 192)
    for view in config.views.values():
        view.device = (*view.device, PhaseResidual(0.8))
    config.sampling = PerModality(identities=8, images=4)
    config.network.branches = (
        Branch(POOLED, Average()),
        Branch(PARTS, PrototypePool(10, size=(24, 12))),
    )
    # DEEN's trunk with the stems' output gated, and attention among what is expanded
    trunk = config.network.trunk
    ((last, expansion),) = trunk.before.items()
    expansion.between = ConvolutionalAttention(reduction=16, kernel=49)
    trunk.before = {"1": EnergyGate(), last: expansion}
    config.objective = {
        "identity": Identity(on=f"logits.{POOLED}"),
        "identity_parts": Identity(on=f"logits.{PARTS}"),
        "triplet": BatchHardTriplet(on=f"features.{POOLED}", margin=0.3),
        "pair_mining": PairMining(0.4, on=BOTH, margin=0.2),
        "orthogonality": Orthogonality(0.01, on=f"features.{POOLED}"),
        "spread": PrototypeSpread(0.25, on=f"masks.{PARTS}"),
        "centres": CentreSeparation(on=f"features.{PARTS}", inner=0.01, outer=0.7),
    }
    config.optimizer = SGD(
        lr=0.1, weight_decay=5e-4, groups=((f"stems|trunk|branches/{PARTS}", 0.1),)
    )
    config.schedule = Steps(epochs=200, warmup=10, drops=((20, 0.1), (80, 0.01)))
    # six similarities, of image plus mirror: both embeddings of each of three rows
    config.embedding = Embedding(
        embeddings=1.0, flip=True, copies="each", unit=False, measure="product"
    )
    return config


def pdm_paper(data: Any) -> Config:
    """PDM with the epochs and drops that its paper prints."""
    config = pdm(data)
    config.schedule = Steps(epochs=150, warmup=10, drops=((80, 0.1), (120, 0.01)))
    return config


def pdm_tri(data: Any) -> Config:
    """PDM by the repository's second script: a triplet of the parts too."""
    config = pdm(data)
    config.objective["triplet"] = BatchHardTriplet(on=BOTH, margin=0.3)
    pool = f"branches/{PARTS}/pool"
    config.optimizer.groups = ((f"stems|trunk|{pool}", 0.1),)
    return config


def small_pdm(config: Config) -> Config:
    """Made small for the demo: DEEN's small network, a last map of 6 x 3."""
    config = small_deen(config)
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
