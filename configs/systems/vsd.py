"""VSD: three networks, whose observations teach their bottlenecks' representations.

Paper: Tian, Zhang, Lin, Qu, Xie, Ma, "Farewell to Mutual Information: Variational
Distillation for Cross-Modal Person Re-Identification", CVPR 2021. Code:
FutabaSakuraXD/Farewell-to-Mutual-Information-Variational-Distiilation-for-Cross-Modal-
Person-Re-identification, without a licence; only its facts are used here.

Published in its README (R-1 / mAP, not re-ranked, not yet reproduced here):

    SYSU-MM01 all search 60.02 / 58.80, indoor search 66.05 / 72.98
    RegDB visible to infrared 73.2 / 71.6, infrared to visible 71.8 / 70.1

Ours is the released form, in which the divergence is called on probabilities and is
none; across modalities it is between the shared network's outputs on the two inputs.
`vsd_eq8` has the same network and weights with the paper's divergence. The released
code trains on two GPUs with batch statistics of each half, ours are of the whole batch;
it keeps the best epoch on the test set from the 100th, ours is the last; its RegDB
score is of eight of the ten splits. SYSU-MM01's galleries are the official ones. An
epoch has each training identity once. On LLCM, where nothing is published, it is as on
SYSU-MM01.
"""

from typing import Any

from jreid.config import Config
from jreid.data.augmentations import Flip
from jreid.data.regdb import RegDB
from jreid.data.sampling import PerModality
from jreid.data.sysu_mm01 import SysuMM01
from jreid.data.views import View
from jreid.losses.distillation import SelfDistillation
from jreid.losses.identity import Identity
from jreid.losses.rank_list import RankList
from jreid.losses.released_distillation import ReleasedSelfDistillation
from jreid.losses.sinkhorn import Sinkhorn
from jreid.models.embedding import Embedding
from jreid.models.mutual import BRANCHES, STEM, MutualNetwork
from jreid.training.optimizers import Adam
from jreid.training.schedules import Steps

SHARES = dict(zip(BRANCHES, (0.5, 0.5, 0.25, 0.25), strict=True))
# student, teacher and weight: within a network, then across the shared one's inputs
DISTILLED = (
    ("infrared", "infrared", 2.0),
    ("visible", "visible", 2.0),
    ("infrared_shared", "visible_shared", 1.0),
    ("visible_shared", "infrared_shared", 1.0),
)


def vsd(data: Any) -> Config:
    """Variational distillation between three networks (CVPR 2021), as released."""
    return system(data, ReleasedSelfDistillation)


def vsd_eq8(data: Any) -> Config:
    """VSD with the divergence that its paper's eq. 8 prints."""
    return system(data, SelfDistillation)


def system(data: Any, distillation: type) -> Config:
    """VSD with this distillation of observations into representations."""
    pipe = (Flip(0.5),)
    observed = {
        kind: tuple((f"{kind}.{name}", share) for name, share in SHARES.items())
        for kind in ("logits", "embeddings")
    }
    represented = {
        kind: tuple((f"{kind}.z_{name}", share) for name, share in SHARES.items())
        for kind in ("logits", "refined")
    }
    objective: dict[str, Any] = {
        "identity": Identity(
            on=observed["logits"] + represented["logits"], smoothing=0.1
        ),
        "rank": RankList(on=observed["embeddings"] + represented["refined"]),
        "mutual": Sinkhorn(8.0, on="logits.infrared", other="logits.visible"),
    }
    for student, teacher, weight in DISTILLED:
        name = "vsd" if student == teacher else "vcd"
        objective[f"{name}_{student}"] = distillation(
            weight=weight, teacher=f"logits.{teacher}", on=f"logits.z_{student}"
        )
    config = Config(
        name="vsd",
        data=data,
        size=(256, 128),
        views={
            modality: View(STEM, pipe, modality=modality)
            for modality in ("visible", "infrared")
        },
        sampling=PerModality(
            identities=8 if isinstance(data, RegDB) else 16,
            images=4,
            epoch="identities",
        ),
        network=MutualNetwork(),
        pretrained="weights/resnet50.npz",
        objective=objective,
        optimizer=Adam(lr=2.6e-4, weight_decay=5e-4, groups=()),
        schedule=Steps(epochs=600, warmup=10, start=0.01, drops=((209, 0.1),)),
        embedding=Embedding(embeddings=1.0, normalise="whole"),
    )
    if isinstance(data, SysuMM01):
        config.evaluation.draw = "official"
    return config


SYSTEMS = {"vsd": vsd, "vsd_eq8": vsd_eq8}
PUBLISHED = {
    "vsd": {
        "SYSU all": (60.02, 58.8),
        "SYSU indoor": (66.05, 72.98),
        "RegDB V-I": (73.2, 71.6),
        "RegDB I-V": (71.8, 70.1),
    }
}
