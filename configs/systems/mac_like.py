"""After MAC: what is known is its idea alone; every number and formula is assumed.

Paper: Ye, Lan, Leng, "Modality-aware Collaborative Learning for Visible Thermal Person
Re-Identification", ACM MM 2019; only its abstract was seen. No code is released.

Published (R-1 / mAP, not re-ranked): SYSU-MM01 all search 33.26 / 36.22, indoor search
33.37 / 44.95; RegDB 36.43 / 37.03 and 36.20 / 36.63.

Known: two streams; one sharable and two modalities' own identity classifiers of one
shape; a collaborative term that regularises the outputs of each by the other's.
Assumed: AGW's trunk without non-local blocks, average pooling, a linear classifier each
on one neck; cross-entropy of both and the divergence of each from the other, whose
gradient is stopped, all of weight 1; AGW's augmentation, optimiser and schedule. It
will score above the published number, as the trunk is newer.
"""

from typing import Any

from jreid.config import Config
from jreid.data.augmentations import Flip, PadCrop
from jreid.data.sampling import PerModality
from jreid.data.views import View
from jreid.losses.agreement import Agreement
from jreid.losses.identity import Identity
from jreid.models.embedding import Embedding
from jreid.models.modality_heads import ModalityClassifier
from jreid.models.pooling import Average
from jreid.models.resnet import ResNet
from jreid.models.two_stream import Branch, TwoStream
from jreid.training.optimizers import SGD
from jreid.training.schedules import Steps

SHARED, OWN = "logits.v1", "logits.own_v1"


def with_own_classifiers(data: Any, objective: dict[str, Any]) -> Config:
    """A sharable and two modalities' own classifiers on one neck."""
    pipe = (PadCrop(10), Flip(0.5))
    return Config(
        name="mac_like",
        data=data,
        size=(288, 144),
        views={"visible": View("visible", pipe), "infrared": View("infrared", pipe)},
        sampling=PerModality(identities=8, images=4),
        network=TwoStream(
            branches=(Branch("v1", Average(), own=ModalityClassifier()),),
            trunk=ResNet(last_stride=1),
        ),
        pretrained="weights/resnet50.npz",
        objective={
            "identity_shared": Identity(on=SHARED),
            "identity_own": Identity(on=OWN),
        }
        | objective,
        optimizer=SGD(lr=0.1, weight_decay=5e-4, groups=(("stems|trunk", 0.1),)),
        schedule=Steps(epochs=81, warmup=10, drops=((20, 0.1), (50, 0.01))),
        embedding=Embedding(embeddings=1.0),
    )


def mac_like(data: Any) -> Config:
    """Collaborating classifiers after MAC (ACM MM 2019); formulas assumed."""
    return with_own_classifiers(
        data,
        {
            "own_agrees": Agreement(target=(SHARED,), on=OWN),
            "shared_agrees": Agreement(target=(OWN,), on=SHARED),
        },
    )


SYSTEMS = {"mac_like": mac_like}
PUBLISHED = {
    "mac_like": {
        "SYSU all": (33.26, 36.22),
        "SYSU indoor": (33.37, 44.95),
        "RegDB V-I": (36.43, 37.03),
        "RegDB I-V": (36.2, 36.63),
    }
}
