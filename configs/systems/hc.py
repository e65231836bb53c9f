"""HC: two whole networks, whose identity centres come together stripe by stripe.

Paper: Zhu, Yang, Wang, Zhao, Hu, Tao, "Hetero-Center Loss for Cross-Modality Person
Re-identification", Neurocomputing 2020. Code:
98zyx/Hetero-center-loss-for-cross-modality-person-re-id, MIT.

Published (R-1 / mAP, not re-ranked, not yet reproduced here): the README has about
56 / 54 on SYSU-MM01, all search, and about 83 / 72 on RegDB, visible to infrared; the
paper 56.96 / 54.95 on SYSU-MM01, which is known from memory and not verified.

Ours is the released form: no stage is shared, only the six stripes' linear maps and
classifiers are. The released crop does nothing, as its images have the crop's size, so
there is none. Every rate falls at epoch 30 and, for the last epoch alone, at 60, where
the released script leaves those of the last four stripes' maps and of all classifiers
as they are. On LLCM, where nothing is published, it is the same.
"""

from typing import Any

from jreid.config import Config
from jreid.data.augmentations import Flip
from jreid.data.sampling import PerModality
from jreid.data.views import View
from jreid.losses.hetero_centre import HeteroCentre
from jreid.losses.identity import Identity
from jreid.models.embedding import Embedding
from jreid.models.resnet import ResNet
from jreid.models.two_stream import Classifier, Project, TwoStream, stripes
from jreid.training.optimizers import SGD
from jreid.training.schedules import Steps

STRIPES = 6


def hc(data: Any) -> Config:
    """The hetero-centre loss on six stripes of two networks (Neurocomputing 2020)."""
    pipe = (Flip(0.5),)
    each = {
        kind: tuple((f"{kind}.s{i}", 1.0) for i in range(STRIPES))
        for kind in ("logits", "features")
    }
    return Config(
        name="hc",
        data=data,
        size=(288, 144),
        resize="lanczos",
        views={"visible": View("visible", pipe), "infrared": View("infrared", pipe)},
        sampling=PerModality(identities=4, images=8),
        network=TwoStream(
            branches=stripes(
                STRIPES,
                project=Project(512, bias=True, scale_std=0.01),
                neck=False,
                classifier=Classifier(bias=True, slope=0.1),
            ),
            trunk=ResNet(last_stride=1),
            private_stages=5,
        ),
        pretrained="weights/resnet50.npz",
        objective={
            "identity": Identity(on=each["logits"]),
            "hetero_centre": HeteroCentre(weight=0.5, on=each["features"]),
        },
        optimizer=SGD(lr=0.01, weight_decay=5e-4, groups=(("stems", 0.1),)),
        schedule=Steps(epochs=61, warmup=0, drops=((30, 0.1), (60, 0.01))),
        embedding=Embedding(features=1.0, embeddings=0.0, normalise="each"),
    )


SYSTEMS = {"hc": hc}
PUBLISHED = {
    "hc": {
        "SYSU all": (56.0, 54.0),
        "RegDB V-I": (83.0, 72.0),
    }
}
