"""CmCEN: channels exchanged between two images of one identity.

Paper: the cross-modality channel exchange network, ICONIP 2021; a longer text, in
Knowledge-Based Systems, 2022, was not seen. Code: SWU-CS-MediaLab/CmCEN, MIT.

Published (R-1 / mAP, not re-ranked, not yet reproduced here):

    SYSU-MM01 all search 50.09 / 49.46, indoor search 56.84 / 63.55
    RegDB visible to infrared 74.03 / 67.52, infrared to visible 74.22 / 67.36

Ours is what the released training effectively does: identity and weighted triplet
alone. Its discriminator, centre loss and L1 penalty reach no weight of the network. A
channel is exchanged where its scale is below .7; scales start at 1, no penalty lowers
them, and weight decay by itself would take them to .71 on SYSU-MM01, so that little may
be exchanged: the fraction is logged as "exchanged". Infrared test images keep their own
norm; the released code sends them through the visible one's (`released_test` of the
block). The rate is .1 in the last epoch of the warm-up alone. The released code keeps
the best epoch on the test set, ours is the last. What the abstract has besides, and the
code leaves without effect, is `cmcen_adv`. On LLCM, where nothing is published, it is
the same.
"""

from typing import Any

from jreid.config import Config
from jreid.configs.systems.paper import NON_LOCAL
from jreid.data.augmentations import Flip, PadCrop
from jreid.data.sampling import PerModality
from jreid.data.views import View
from jreid.losses.identity import Identity
from jreid.losses.weighted_triplet import WeightedTriplet
from jreid.models.embedding import Embedding
from jreid.models.modality_norm import PairExchange
from jreid.models.non_local import NonLocal
from jreid.models.pooling import GeM
from jreid.models.resnet import ResNet
from jreid.models.two_stream import Branch, TwoStream
from jreid.training.optimizers import SGD
from jreid.training.schedules import Steps
from jreid.training.weak_scales import WeakScales


def cmcen(data: Any) -> Config:
    """Cross-modality channel exchange (ICONIP 2021)."""
    pipe = (PadCrop(10), Flip(0.5))
    return Config(
        name="cmcen",
        data=data,
        size=(288, 144),
        resize="lanczos",
        views={"visible": View("visible", pipe), "infrared": View("infrared", pipe)},
        sampling=PerModality(identities=8, images=4),
        network=TwoStream(
            branches=(Branch("v1", GeM(3.0, learn=False, form="agw")),),
            trunk=ResNet(
                last_stride=1,
                before={"3": PairExchange(threshold=0.7)},
                after={
                    place: NonLocal(inner_channels=1, init="uniform")
                    for place in NON_LOCAL
                },
            ),
            private_stages=3,
        ),
        pretrained="weights/resnet50.npz",
        objective={
            "identity": Identity(on="logits.v1"),
            "triplet": WeightedTriplet(on="features.v1", form="agw"),
        },
        optimizer=SGD(lr=0.1, weight_decay=5e-4, groups=(("stems|trunk", 0.1),)),
        schedule=Steps(epochs=81, warmup=10, drops=((10, 0.1), (50, 0.01))),
        embedding=Embedding(embeddings=1.0),
        memory=WeakScales("trunk/before/layer3/norm/scale", threshold=0.7),
    )


SYSTEMS = {"cmcen": cmcen}
PUBLISHED = {
    "cmcen": {
        "SYSU all": (50.09, 49.46),
        "SYSU indoor": (56.84, 63.55),
        "RegDB V-I": (74.03, 67.52),
        "RegDB I-V": (74.22, 67.36),
    }
}
