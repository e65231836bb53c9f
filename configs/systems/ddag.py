"""DDAG: stripes that attend to each other, and a graph of a batch's identities.

Paper: Ye, Shen, Crandall, Shao, Luo, "Dynamic Dual-Attentive Aggregation Learning for
Visible-Infrared Person Re-identification", ECCV 2020. Code: mangye16/DDAG, MIT; only
its facts are used here.

Published in its README (R-1 / mAP, not re-ranked, not yet reproduced here):

    SYSU-MM01 all search 54.75 / 53.02, indoor search 61.02 / 67.98
    RegDB visible to infrared 69.34 / 63.46, infrared to visible 68.06 / 61.80
    LLCM (of its authors' README) 42.36 / 48.97 and 51.42 / 38.77

Two streams without non-local blocks, average pooling. The second branch weighs three
stripes, refined by attention, and adds the first one's embedding; both stand under one
classifier. In training a graph attention network classifies the pooled features, joined
by identity: its loss counts nothing in the first epoch, then by 1 / (1 + the last
epoch's mean of the other losses). Ours is the released form without its unused parts: a
linear map with a norm in the attention, two classifiers. The graph's neighbours are all
rows of an identity, in either modality. The logged total has the graph's loss whole:
the factor is on its gradient. The test is the second branch's embedding. The same on
every data set.
"""

from typing import Any

from jreid.config import Config
from jreid.data.augmentations import Flip, PadCrop
from jreid.data.sampling import PerModality
from jreid.data.views import View
from jreid.losses.batch_hard import BatchHardTriplet
from jreid.losses.identity import Identity
from jreid.losses.paced import Paced
from jreid.models.embedding import Embedding
from jreid.models.graph_attention import GraphAttention, GraphTwoStream
from jreid.models.part_attention import WeightedParts
from jreid.models.pooling import Average
from jreid.models.resnet import ResNet
from jreid.models.two_stream import Branch
from jreid.training.optimizers import SGD
from jreid.training.pace import Pace, PaceOfEpoch
from jreid.training.schedules import Steps


def ddag(data: Any) -> Config:
    """Dual-attentive aggregation: parts and a graph (ECCV 2020)."""
    pipe = (PadCrop(10), Flip(0.5))
    return Config(
        name="ddag",
        data=data,
        size=(288, 144),
        resize="lanczos",
        views={"visible": View("visible", pipe), "infrared": View("infrared", pipe)},
        sampling=PerModality(identities=8, images=4),
        network=GraphTwoStream(
            branches=(
                Branch("v1", Average()),
                Branch("parts", WeightedParts(3), adds="v1", shares="v1"),
            ),
            trunk=ResNet(last_stride=1),
            graph=GraphAttention(heads=4, features=512, dropout=0.2),
            of="v1",
        ),
        pretrained="weights/resnet50.npz",
        objective={
            "identity": Identity(on="logits.v1"),
            "triplet": BatchHardTriplet(on="features.v1", margin=0.3),
            "identity_parts": Identity(on="logits.parts"),
            "graph": Paced(Identity(on="logits.graph")),
        },
        optimizer=SGD(lr=0.1, weight_decay=5e-4, groups=(("stems|trunk", 0.1),)),
        schedule=Steps(epochs=81, warmup=10, drops=((20, 0.1), (50, 0.01))),
        memory=Pace("graph"),
        between_epochs=PaceOfEpoch(),
        embedding=Embedding(embeddings=1.0, names=("parts",)),
    )


SYSTEMS = {"ddag": ddag}
PUBLISHED = {
    "ddag": {
        "SYSU all": (54.75, 53.02),
        "SYSU indoor": (61.02, 67.98),
        "RegDB V-I": (69.34, 63.46),
        "RegDB I-V": (68.06, 61.8),
        "LLCM I-V": (42.36, 48.97),
        "LLCM V-I": (51.42, 38.77),
    }
}
