"""MCJA: one network for both modalities, channel mixing and a mean contrast.

Paper: Liang et al., "Bridging the Gap: Multi-level Cross-modality Joint
Alignment for Visible-infrared Person Re-identification", TCSVT 2024. Code:
workingcoder/MCJA, MIT.

Published (R-1 / mAP, not yet reproduced here): SYSU-MM01, all search, official gallery
draw, 74.48 / 71.34 without re-ranking (known from memory, not verified); its README's
89.51 / 87.58 is re-ranked over galleries of the single channels too (MSER: k-reciprocal
lists with k1 40, k2 20, lambda .3 and without local expansion, on RegDB 50, 10, .2),
which is another row and not made here.

Ours is the released loss, in closed form: its soft ranks never rank (see
jreid/losses/mean_contrast.py). The rectangle of channel cut-mix is placed right, where
the released code exchanges height and width. Batches are drawn by identity, blind to
modality. All identities are as likely in every step, and their images are drawn anew;
the released sampler goes through all images once in an epoch, in groups of one
identity, and so draws identities of many images more often. An epoch has as many steps
as these groups fill, 243 on SYSU-MM01, where a released one can end a step earlier. It
is trained in float32, released in half precision. On RegDB it has 12 masks for 2, 4
identities x 32 images for 8 x 16 and 300 epochs without a drop, as released; on LLCM,
where nothing is published, it is as on SYSU-MM01.
"""

from typing import Any

from jreid.config import Config
from jreid.configs.systems.paper import NON_LOCAL
from jreid.data.augmentations import Flip, PadCrop
from jreid.data.channel_mixing import (
    ChannelCutMix,
    HueJitter,
    OneOf,
    SpectrumJitter,
    WeightedGrey,
)
from jreid.data.device_augmentations import EraseNormalised
from jreid.data.regdb import RegDB
from jreid.data.sampling import ByIdentity
from jreid.data.sysu_mm01 import SysuMM01
from jreid.data.views import View
from jreid.losses.identity import Identity
from jreid.losses.mean_contrast import MeanContrast
from jreid.models.context_gate import ContextGate
from jreid.models.embedding import Embedding
from jreid.models.pooling import GeM
from jreid.models.resnet import ResNet
from jreid.models.two_stream import Branch, Classifier, TwoStream
from jreid.training.optimizers import Adam
from jreid.training.schedules import Steps


def mcja(data: Any) -> Config:
    """Joint alignment in one network, trained on mixed channels (TCSVT 2024)."""
    regdb = isinstance(data, RegDB)
    moved = (Flip(0.5), PadCrop(10, fill=127))
    mixed = OneOf(
        (
            HueJitter(0.5, turn=0.2),
            WeightedGrey(0.5),
            ChannelCutMix(0.5, aspect=(0.3, 3.3), aspect_law="log-uniform"),
            SpectrumJitter(0.5),
        )
    )
    erase = EraseNormalised(
        0.5, area=(0.02, 0.3), aspect=(0.3, 3.3), aspect_law="log-uniform"
    )
    pipes = {"visible": (mixed, *moved), "infrared": moved}
    config = Config(
        name="mcja",
        data=data,
        size=(384, 192),
        views={"any": View("any", pipes, device=(erase,))},
        sampling=ByIdentity(
            identities=4 if regdb else 8, images=32 if regdb else 16, epoch="groups"
        ),
        network=TwoStream(
            branches=(
                Branch(
                    "v1",
                    GeM(3.0, learn=False, form="agw"),
                    scale_std=0.0,
                    classifier=Classifier(init="uniform"),
                ),
            ),
            trunk=ResNet(
                last_stride=2,
                after={place: ContextGate(12 if regdb else 2) for place in NON_LOCAL},
            ),
            stems=("any",),
        ),
        pretrained="weights/resnet50.npz",
        objective={
            "identity": Identity(on="logits.v1"),
            "retrieval": MeanContrast(on="embeddings.v1", strength=0.5),
        },
        optimizer=Adam(lr=3.5e-4, weight_decay=5e-4, groups=()),
        schedule=Steps(
            epochs=300 if regdb else 140,
            warmup=0,
            drops=() if regdb else ((80, 0.1), (120, 0.01)),
        ),
        embedding=Embedding(embeddings=1.0),
    )
    if isinstance(data, SysuMM01):
        config.evaluation.draw = "official"
    return config


SYSTEMS = {"mcja": mcja}
PUBLISHED = {
    "mcja": {
        "SYSU all": (74.48, 71.34),
    }
}
