"""BDTR: ranking in both directions, on a newer trunk.

Paper: Ye, Wang, Lan, Yuen, "Visible Thermal Person Re-Identification via
Dual-Constrained Top-Ranking", IJCAI 2018. Code:
mangye16/Visible-Thermal-Person-Re-Identification, without a licence; only its facts are
used here.

Published (R-1 / mAP, not re-ranked): SYSU-MM01 all search 27.32 / 27.32, indoor search
31.92 / 41.86; RegDB 33.56 / 32.76 and 32.92 / 31.96, of a later version on a ResNet.
With AlexNet, as released, 17.0 / 19.7 on SYSU-MM01 and, on one split of RegDB,
34.3 / 33.1 (README).

Ours has the released losses, 64 identities with one image of each modality, and the
test on the vector that the losses see. The trunk is not theirs: two stems and a shared
ResNet-50 with average pooling, AGW's augmentation, optimiser and schedule; so its
scores are not to be compared with the published ones. The released network, two
AlexNets to fc6, a BatchNorm each without a scale, a shared fc7 of 1,024 and 5,000 steps
at .001 with one random crop, of which its evaluation loads step 2,500, is not made
here. The same on every data set.
"""

from typing import Any

from jreid.config import Config
from jreid.data.augmentations import Flip, PadCrop
from jreid.data.sampling import PerModality
from jreid.data.views import View
from jreid.losses.birank import BiRank
from jreid.losses.identity import Identity
from jreid.models.embedding import Embedding
from jreid.models.pooling import Average
from jreid.models.resnet import ResNet
from jreid.models.two_stream import Branch, TwoStream
from jreid.training.optimizers import SGD
from jreid.training.schedules import Steps


def on_agw_trunk(data: Any, sampling: Any, objective: dict[str, Any]) -> Config:
    """One pooled vector of AGW's trunk, which has the losses and is tested."""
    pipe = (PadCrop(10), Flip(0.5))
    return Config(
        name="bdtr",
        data=data,
        size=(288, 144),
        views={"visible": View("visible", pipe), "infrared": View("infrared", pipe)},
        sampling=sampling,
        network=TwoStream(
            branches=(Branch("v1", Average(), neck=False),), trunk=ResNet(last_stride=1)
        ),
        pretrained="weights/resnet50.npz",
        objective={"identity": Identity(on="logits.v1")} | objective,
        optimizer=SGD(lr=0.1, weight_decay=5e-4, groups=(("stems|trunk", 0.1),)),
        schedule=Steps(epochs=81, warmup=10, drops=((20, 0.1), (50, 0.01))),
        embedding=Embedding(features=1.0, embeddings=0.0),
    )


def bdtr(data: Any) -> Config:
    """Bi-directional ranking (IJCAI 2018) on AGW's trunk."""
    rank = BiRank(on="features.v1", margin_across=0.5, margin_within=0.1, within=0.1)
    return on_agw_trunk(data, PerModality(identities=64, images=1), {"birank": rank})


SYSTEMS = {"bdtr": bdtr}
PUBLISHED = {
    "bdtr": {
        "SYSU all": (27.32, 27.32),
        "SYSU indoor": (31.92, 41.86),
        "RegDB V-I": (33.56, 32.76),
        "RegDB I-V": (32.92, 31.96),
    }
}
