"""After DFE: the two alignments are known as ideas; their formulas are assumed.

Paper: Hao, Wang, Gao, Li, Wang, "Dual-alignment Feature Embedding for Cross-modality
Person Re-identification", ACM MM 2019; two figures and the abstract were seen. No code
is released.

Published (R-1 / mAP, not re-ranked): SYSU-MM01 all search 48.71 / 48.59, indoor search
52.25 / 59.68; RegDB 70.13 / 69.14 and 67.99 / 66.70.

Known: one ResNet-50 for both modalities; six stripes, average pooled, each with a 1 x 1
convolution, a BatchNorm and a classifier; losses on the distribution of an image's
stripes and on the correlation of images. Assumed: 256 features of each stripe, last
stride 1, 384 x 128, AGW's augmentation, the formulas in jreid/losses/alignment.py with
weights 1, images paired by their places in the batch, and the batches, optimiser and
schedule of HC (hc.py). Without either loss its abstract has 57.5 / 57.3 on RegDB.
"""

from typing import Any

from jreid.config import Config
from jreid.data.augmentations import Flip, PadCrop
from jreid.data.sampling import PerModality
from jreid.data.views import View
from jreid.losses.alignment import CorrelationAlignment, DistributionAlignment
from jreid.losses.identity import Identity
from jreid.models.embedding import Embedding
from jreid.models.resnet import ResNet
from jreid.models.two_stream import Project, TwoStream, stripes
from jreid.training.optimizers import SGD
from jreid.training.schedules import Steps

STRIPES = 6


def dfe_like(data: Any) -> Config:
    """Stripes aligned in distribution and correlation, after DFE (ACM MM 2019)."""
    pipe = (PadCrop(10), Flip(0.5))
    each = {
        kind: tuple((f"{kind}.s{i}", 1.0) for i in range(STRIPES))
        for kind in ("logits", "features")
    }
    return Config(
        name="dfe_like",
        data=data,
        size=(384, 128),
        views={
            modality: View("any", pipe, modality=modality)
            for modality in ("visible", "infrared")
        },
        sampling=PerModality(identities=4, images=8),
        network=TwoStream(
            branches=stripes(STRIPES, project=Project(256), neck=False),
            trunk=ResNet(last_stride=1),
            stems=("any",),
        ),
        pretrained="weights/resnet50.npz",
        objective={
            "identity": Identity(on=each["logits"]),
            "distribution": DistributionAlignment(each["features"]),
            "correlation": CorrelationAlignment(each["features"]),
        },
        optimizer=SGD(lr=0.01, weight_decay=5e-4, groups=(("stems|trunk", 0.1),)),
        schedule=Steps(epochs=61, warmup=0, drops=((30, 0.1), (60, 0.01))),
        embedding=Embedding(features=1.0, embeddings=0.0, normalise="whole"),
    )


SYSTEMS = {"dfe_like": dfe_like}
PUBLISHED = {
    "dfe_like": {
        "SYSU all": (48.71, 48.59),
        "SYSU indoor": (52.25, 59.68),
        "RegDB V-I": (70.13, 69.14),
        "RegDB I-V": (67.99, 66.7),
    }
}
