"""After mtGAN-D: an image and its made counterpart in one vector; much is assumed.

Paper: Fan, Jiang, Luo, Mao, "Modality-transfer generative adversarial network and
dual-level unified latent representation for visible thermal person re-identification",
The Visual Computer, 2020; it is known from other texts about it. No code is released.

Published (R-1 / mAP, not re-ranked): SYSU-MM01 all search 41.10 / 40.50; RegDB
65.60 / 60.00 and 65.80 / 59.60.

Known: a GAN makes of every image its counterpart in the other modality; a dual-path
network takes the pair; structures of both are fused in the images, patch by patch, and
features are fused into one latent vector; triplets of several granularities. Unknown
are the GAN's losses, the network, all weights, and what "-D" stands for.

Assumed: first CycleGAN with AlignGAN's generators, discriminators and weights
(aligngan.py), here at 256 x 128 and without an encoder, for about as many steps, 10,000
of 16 images of each modality; then the generators stay as they are. An image enters the
stem of its modality, its counterpart the other's; the trunk, last stride 1, the neck
and the classifier are shared, and the vector is the mean of the two, in a test as well.
Losses and optimiser are the strong baseline's (Luo et al., CVPRW 2019), on the image's,
the counterpart's and the mean vector alike: cross-entropy with smoothing .1, batch-hard
triplets with margin .3, 120 epochs of Adam with drops at 40 and 70. Not made: the
fusion of patches, other granularities, and the baseline's erasing, which would be
translated with the image. On LLCM, where nothing is published, it is the same. A
trained network is exported as StableHLO alone: jreid's ONNX files have no form of the
generators' transposed convolutions.
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
from jreid.models.aligned import Generator, PatchDiscriminator
from jreid.models.counterparts import BRANCHES, CounterpartNetwork
from jreid.models.embedding import Embedding
from jreid.models.resnet import ResNet
from jreid.training.optimizers import Adam
from jreid.training.phases import Phase
from jreid.training.players import Player
from jreid.training.schedules import Steps

EPOCHS = 120  # of the second phase


def mtgan_like(data: Any) -> Config:
    """Images beside made counterparts, after mtGAN-D (2020); much is assumed."""
    pipe = (PadCrop(10), Flip(0.5))
    making = 80 if isinstance(data, RegDB) else 8
    return Config(
        name="mtgan_like",
        data=data,
        size=(256, 128),
        views={modality: View(modality, pipe) for modality in MODALITY_NAMES},
        sampling=PerModality(identities=8, images=4),
        network=CounterpartNetwork(trunk=ResNet(last_stride=1)),
        pretrained="weights/resnet50.npz",
        objective={},
        optimizer=Adam(lr=3.5e-4, weight_decay=5e-4, groups=()),
        # each phase has its own
        schedule=Steps(epochs=making + EPOCHS, warmup=0, drops=()),
        phases=(
            Phase(
                making,
                players=("generators", *MODALITY_NAMES),
                sampling=PerModality(identities=4, images=4),
                schedule=Steps(epochs=making, warmup=0, drops=()),
            ),
            Phase(
                EPOCHS,
                players=("encoder",),
                schedule=Steps(
                    epochs=EPOCHS, warmup=10, start=0.01, drops=((40, 0.1), (70, 0.01))
                ),
            ),
        ),
        players=players(),
        embedding=Embedding(embeddings=1.0, names=("mean",)),
    )


def players() -> dict[str, Player]:
    """In the order of their turns; see the phases."""
    adam = Adam(lr=2e-4, beta1=0.5, beta2=0.999, weight_decay=0.0, groups=())
    made = tuple((f"judgements.made_{m}", 1.0) for m in MODALITY_NAMES)
    logits, features = (
        tuple((f"{kind}.{branch}", 1.0) for branch in BRANCHES)
        for kind in ("logits", "features")
    )
    generators = Player(
        {
            "fool": LeastSquares(0.5, on=made),
            "cycle": _distance(10.0, "cycle"),
            "same": _distance(5.0, "same"),
        },
        "generators",
        adam,
    )
    encoder = Player(
        {
            "identity": Identity(on=logits, smoothing=0.1),
            "triplet": BatchHardTriplet(on=features, margin=0.3),
        },
        "reid",
    )
    judges = {m: _judge(m, adam) for m in MODALITY_NAMES}
    return {"generators": generators, **judges, "encoder": encoder}


def _distance(weight, kind):
    return ImageDistance(
        weight,
        on=tuple(f"images.{kind}_{m}" for m in MODALITY_NAMES),
        target=tuple(f"images.{m}" for m in MODALITY_NAMES),
    )


def _judge(modality, optimizer):
    terms = {
        "real": LeastSquares(0.5, on="judgements.real"),
        "fake": LeastSquares(0.5, on="judgements.made", target=0.0),
    }
    return Player(terms, f"discriminators/{modality}", optimizer)


def small_mtgan(config: Config) -> Config:
    """Made small for the demo: generators and phases too; the colours stay."""
    config = small(config)
    for view in config.views.values():
        view.pipe = (PadCrop(5), Flip(0.5))
    config.network.generator = Generator(channels=16, blocks=2)
    config.network.discriminator = PatchDiscriminator(16, levels=3)
    config.schedule = Steps(epochs=8, warmup=0, drops=((7, 0.1),))
    for phase, epochs in zip(config.phases, (2, 6), strict=True):
        phase.epochs, phase.schedule = epochs, None
    return config


SYSTEMS = {"mtgan_like": mtgan_like}
DEMOS = {"mtgan_like": small_mtgan}
PUBLISHED = {
    "mtgan_like": {
        "SYSU all": (41.10, 40.50),
        "RegDB V-I": (65.60, 60.00),
        "RegDB I-V": (65.80, 59.60),
    }
}
