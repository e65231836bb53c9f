"""After D2RL: colours and infrared in one image, of which one is made; much is assumed.

Paper: Wang, Wang, Zheng, Chuang, Satoh, "Learning to Reduce Dual-Level Discrepancy for
Infrared-Visible Person Re-Identification", CVPR 2019; its abstract and other texts
about it are known. No code is released.

Published (R-1 / mAP, not re-ranked, not yet reproduced here): SYSU-MM01 all search
28.90 / 29.20; RegDB visible to infrared 43.40 / 44.10.

Known: a first network of two variational autoencoders with one space of codes, and of
two discriminators, translates images both ways; its terms are the codes' divergence
from a unit Gaussian, an L1 reconstruction, the adversarial one and the cycle's. A
second one, an ordinary ResNet-50 with triplets and softmax whose first convolution has
four channels, sees red, green, blue and infrared of every image, in a test too: what
was not taken is made. Both are trained one after the other, then jointly. Unknown are
all weights and sizes, the schedule, and how far the second network's gradient reaches
into the first.

Assumed: the first network is UNIT (Liu, Breuel, Kautz, NeurIPS 2017) as its authors
released it, mingyuliutw/UNIT, not for commercial use; only its facts are used here. 64
channels, two halvings, four residual blocks, judges at three scales, no shared layers;
LSGAN 1, reconstruction 10, cycle 10, codes .01, those of made images too; Adam at 1e-4.
A code has variance 1, so that its divergence is half its mean's square; theirs and ours
is the mean square. Its term on VGG's maps is not made. Infrared images keep their three
channels. It works at 128 x 64, for some 20,000 steps of 16 images of each modality.

The second network sees 256 x 128; made images are brought there, and are those of the
mean code. The fourth channel is the mean of the infrared image's three, and its kernels
begin as the mean of ImageNet's three. Neck, batches and rates are the strong
baseline's (Luo et al., CVPRW 2019), with batch-hard triplets of margin .3: 70 epochs
with a drop at 40, the first network at rest. Then all learn for 50 epochs at a tenth of
their first rates, and the second network's terms, with weight 1, move encoders and
decoders too. On LLCM, where nothing is published, it is the same. A trained network is
exported as ONNX and as StableHLO, both with the translation inside.
"""

from typing import Any

from jreid.config import Config
from jreid.configs.demo import small
from jreid.data.augmentations import Flip, PadCrop
from jreid.data.datasets import MODALITY_NAMES
from jreid.data.regdb import RegDB
from jreid.data.sampling import PerModality
from jreid.data.views import View
from jreid.losses.batch_hard import BatchHardTriplet
from jreid.losses.identity import Identity
from jreid.losses.image_distance import ImageDistance
from jreid.losses.least_squares import LeastSquares
from jreid.models.multispectral import (
    SCALES,
    LatentCoder,
    MultispectralNetwork,
    ThreeScales,
)
from jreid.models.resnet import ResNet
from jreid.training.optimizers import Adam
from jreid.training.phases import Phase
from jreid.training.players import Player
from jreid.training.schedules import Steps

ALONE, JOINT = 70, 50  # epochs of the second network alone, and of all


def d2rl_like(data: Any) -> Config:
    """Colours and infrared in one image, one of them made, after D2RL (CVPR 2019)."""
    pipe = (PadCrop(10), Flip(0.5))
    making = 160 if isinstance(data, RegDB) else 16
    return Config(
        name="d2rl_like",
        data=data,
        size=(256, 128),
        views={modality: View(modality, pipe) for modality in MODALITY_NAMES},
        sampling=PerModality(identities=8, images=4),
        network=MultispectralNetwork(trunk=ResNet(last_stride=1)),
        pretrained="weights/resnet50.npz",
        objective={},
        optimizer=Adam(lr=3.5e-4, weight_decay=5e-4, groups=()),
        # each phase has its own
        schedule=Steps(epochs=making + ALONE + JOINT, warmup=0, drops=()),
        phases=(
            Phase(
                making,
                players=("generators_alone", "discriminators"),
                sampling=PerModality(identities=4, images=4),
                schedule=Steps(epochs=making, warmup=0, drops=()),
            ),
            Phase(
                ALONE,
                players=("reid",),
                schedule=Steps(epochs=ALONE, warmup=10, start=0.01, drops=((40, 0.1),)),
            ),
            Phase(
                JOINT,
                players=("generators", "discriminators", "reid"),
                schedule=Steps(epochs=JOINT, warmup=0, drops=((0, 0.1),)),
            ),
        ),
        players=players(),
    )


def players() -> dict[str, Player]:
    """In the order of their turns; see the phases."""
    adam = Adam(lr=1e-4, beta1=0.5, beta2=0.999, weight_decay=1e-4, groups=())
    judge = {
        "real": LeastSquares(on=_judgements("real")),
        "fake": LeastSquares(on=_judgements("made"), target=0.0),
    }
    coders = "encoders|decoders"
    return {
        "generators_alone": Player(_translated(), coders, adam),
        "generators": Player(_translated() | _told(), coders, adam),
        "discriminators": Player(judge, "discriminators", adam),
        "reid": Player(_told(), "reid"),
    }


def _translated():
    codes = tuple(
        (f"codes.{kind}{m}", 1.0) for kind in ("", "again_") for m in MODALITY_NAMES
    )
    return {
        "fool": LeastSquares(on=_judgements("made")),
        # the sums over the two modalities, of which a term is the mean
        "same": _distance(20.0, "same"),
        "cycle": _distance(20.0, "cycle"),
        "divergence": LeastSquares(0.01, on=codes, target=0.0),
    }


def _told():
    return {"identity": Identity(), "triplet": BatchHardTriplet(margin=0.3)}


def _judgements(kind):
    return tuple(
        (f"judgements.{kind}_{m}_{s}", 1.0)
        for m in MODALITY_NAMES
        for s in range(SCALES)
    )


def _distance(weight, kind):
    return ImageDistance(
        weight,
        on=tuple(f"images.{kind}_{m}" for m in MODALITY_NAMES),
        target=tuple(f"images.{m}" for m in MODALITY_NAMES),
    )


def small_d2rl(config: Config) -> Config:
    """Made small for the demo: coders and phases too; the colours stay."""
    config = small(config)
    for view in config.views.values():
        view.pipe = (PadCrop(5), Flip(0.5))
    network = config.network
    network.size = (48, 24)
    network.coder = LatentCoder(channels=16, blocks=2)
    network.discriminator = ThreeScales(channels=16, levels=2)
    config.schedule = Steps(epochs=9, warmup=0, drops=((7, 0.1),))
    for phase, epochs in zip(config.phases, (3, 4, 2), strict=True):
        phase.epochs, phase.schedule = epochs, None
    return config


SYSTEMS = {"d2rl_like": d2rl_like}
DEMOS = {"d2rl_like": small_d2rl}
PUBLISHED = {"d2rl_like": {"SYSU all": (28.90, 29.20), "RegDB V-I": (43.40, 44.10)}}
