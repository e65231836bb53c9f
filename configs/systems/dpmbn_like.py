"""After DPMBN: three granularities on two streams; its sizes and losses are assumed.

Paper: Xiang et al., on a dual-path multi-branch network, IEEE Sensors Journal, 2019; it
is known from a survey alone. No code is released.

Published (R-1 / mAP, not re-ranked): SYSU-MM01 all search 37.02 / 40.28, indoor search
44.17 / 54.51.

Known: MGN (ACM MM 2018) in a dual-path network. MGN's trunk ends after the first block
of stage 3; three copies of the rest make a global vector, one with two stripes and one
with three, eight vectors in all. Assumed: a stem for each modality and the rest shared;
maximum pooling, a reduction to 256, stride 2 in the copy without stripes; cross-entropy
on all eight, batch-hard triplets over both modalities with margin 1.2 on the three
global ones, all of weight 1; 384 x 128, 8 x 4, SGD .01 for all weights from the first
epoch on, 80 epochs, drops at 40 and 60.
"""

from typing import Any

from jreid.config import Config
from jreid.data.augmentations import Flip, PadCrop
from jreid.data.sampling import PerModality
from jreid.data.views import View
from jreid.losses.batch_hard import BatchHardTriplet
from jreid.losses.identity import Identity
from jreid.models.embedding import Embedding
from jreid.models.pooling import Maximum, Stripe
from jreid.models.resnet import ResNet
from jreid.models.two_stream import Branch, Project, TwoStream
from jreid.training.optimizers import SGD
from jreid.training.schedules import Steps

STRIPES = {"one": 0, "two": 2, "three": 3}  # of each copy, besides its global vector


def dpmbn_like(data: Any) -> Config:
    """Three granularities on two streams, after DPMBN (2019); much is assumed."""
    pipe = (PadCrop(10), Flip(0.5))
    branches = [
        Branch(name, pool, project=Project(256, relu=True), neck=False, tail=tail)
        for tail, count in STRIPES.items()
        for name, pool in {
            tail: Maximum(),
            **{f"{tail}_{i}": Stripe(i, count, Maximum()) for i in range(count)},
        }.items()
    ]
    return Config(
        name="dpmbn_like",
        data=data,
        size=(384, 128),
        views={"visible": View("visible", pipe), "infrared": View("infrared", pipe)},
        sampling=PerModality(identities=8, images=4),
        network=TwoStream(
            branches=tuple(branches),
            trunk=ResNet(last_stride=1),
            tails={"one": 2, "two": 1, "three": 1},
        ),
        pretrained="weights/resnet50.npz",
        objective={
            "identity": Identity(on=tuple((f"logits.{b.name}", 1.0) for b in branches)),
            "triplet": BatchHardTriplet(
                on=tuple((f"features.{name}", 1.0) for name in STRIPES), margin=1.2
            ),
        },
        optimizer=SGD(lr=0.01, weight_decay=5e-4, groups=()),
        schedule=Steps(epochs=80, warmup=0, drops=((40, 0.1), (60, 0.01))),
        embedding=Embedding(features=1.0, embeddings=0.0, normalise="whole"),
    )


SYSTEMS = {"dpmbn_like": dpmbn_like}
PUBLISHED = {
    "dpmbn_like": {
        "SYSU all": (37.02, 40.28),
        "SYSU indoor": (44.17, 54.51),
    },
}
