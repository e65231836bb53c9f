"""AlignGAN: visible images are made infrared ones, by pixels and by features at once.

Paper: Wang, Zhang, Cheng, Liu, Yang, Hou, "RGB-Infrared Cross-Modality Person
Re-Identification via Joint Pixel and Feature Alignment", ICCV 2019. Code:
wangguanan/AlignGAN, MIT by its README; only its facts are used here.

Published (R-1 / mAP, official galleries, not re-ranked, not yet reproduced here):

    SYSU-MM01 all search 42.40 / 40.70, indoor search 45.90 / 54.30
    RegDB visible to infrared 57.90 / 53.60, infrared to visible 56.30 / 53.40

Theirs and ours: CycleGAN's generators with four residual blocks at 128 x 128, LSGAN, a
discriminator of infrared images with the encoder's map beside them (a wrong identity, a
made image, a made image's map and both are found out), an encoder that learns from real
and made infrared images, brought to 384 x 192 and normalised as ImageNet's: one kind
after the other, each with batch statistics of its own. "Epochs" of 100 batches: 50 of
the encoder on infrared images, 100 of the generators, 101 of all, the encoder first.
The encoder guides the generators in their own phase too; there they are judged by two
discriminators of images alone, which play no more in the joint phase. Then a made
infrared image is judged with the real one's map. A test vector is the pooled map of an
infrared or made image and that of its mirror image.

Ours deviates: an instance's own statistics in a test too, where theirs are running; the
optimisers of encoder and generators begin anew with the joint phase; biases begin at 0,
where the embedder's and the discriminators' are drawn. On LLCM, where nothing is
published, it is the same. A trained network is not exported, as visible images pass a
generator that infrared ones do not: the run itself embeds, searches and serves.
"""

from typing import Any

from jreid.config import Config
from jreid.configs.demo import small
from jreid.data.augmentations import Flip
from jreid.data.datasets import MODALITY_NAMES
from jreid.data.sampling import PerModality
from jreid.data.sysu_mm01 import SysuMM01
from jreid.data.views import View
from jreid.losses.cosine_triplet import CosineTriplet
from jreid.losses.identity import Identity
from jreid.losses.image_distance import ImageDistance
from jreid.losses.least_squares import LeastSquares
from jreid.models.aligned import STEM, AlignedNetwork, Generator, PatchDiscriminator
from jreid.models.embedding import Embedding
from jreid.models.resnet import ResNet
from jreid.training.optimizers import SGD, Adam
from jreid.training.phases import Phase
from jreid.training.players import Player
from jreid.training.schedules import Steps

REID = "encoder|embedder"


def aligngan(data: Any) -> Config:
    """Pixels and features aligned by generators in turn with an encoder (ICCV 2019)."""
    views = {m: View(STEM, (Flip(0.5),), modality=m) for m in MODALITY_NAMES}
    config = Config(
        name="aligngan",
        data=data,
        size=(128, 128),
        resize="bicubic",
        views=views,
        sampling=PerModality(identities=4, images=4),
        steps_per_epoch=100,
        network=AlignedNetwork(trunk=ResNet(last_stride=1)),
        pretrained="weights/resnet50.npz",
        objective={},
        optimizer=SGD(lr=0.2, weight_decay=5e-4, groups=(("encoder", 0.1),)),
        schedule=Steps(epochs=251, warmup=0, drops=((200, 0.1),)),
        phases=(
            Phase(
                50, players=("encoder_alone",), views={"infrared": views["infrared"]}
            ),
            Phase(100, players=("generators_alone", "visible_alone", "infrared_alone")),
            Phase(101, players=("encoder", "generators", "visible", "infrared")),
        ),
        players=players(),
        embedding=Embedding(features=1.0, embeddings=0.0),
    )
    if isinstance(data, SysuMM01):
        config.evaluation.draw = "official"
    return config


def players() -> dict[str, Player]:
    """In the order of their turns; see the phases."""
    reid = PerModality(identities=18, images=4)
    adam = Adam(lr=2e-4, beta1=0.5, beta2=0.999, weight_decay=0.0, groups=())
    generated = {
        "fool_visible": LeastSquares(0.5, on="judgements.made_visible"),
        "cycle": _distance(10.0, "cycle"),
        "same": _distance(5.0, "same"),
        "triplet": CosineTriplet(0.1),
        # of made and of real images; those move no generator
        "identity": Identity(0.2, on="logits.v1"),
    }
    fakes = ("wrong", "real_with_made", "made_with_real", "made")
    return {
        "encoder_alone": Player(
            {
                "identity": Identity(on="logits.v1"),
                "triplet": CosineTriplet(others="own modality"),
            },
            REID,
            sampling=reid,
        ),
        "encoder": Player(
            {
                # the sum of the means over real and over made images, of as many rows
                "identity": Identity(2.0, on="logits.v1"),
                "triplet": CosineTriplet(),
                "fool": LeastSquares(0.1, on="judgements.real_with_made"),
            },
            REID,
            sampling=reid,
        ),
        "generators_alone": Player(
            {"fool": LeastSquares(0.5, on="judgements.made"), **generated},
            "generators",
            adam,
        ),
        "generators": Player(
            {
                "fool": LeastSquares(0.5, on="judgements.made_with_real"),
                **generated,
            },
            "generators",
            adam,
        ),
        "visible_alone": _judge("visible_alone", ("made",), adam),
        "infrared_alone": _judge("infrared_alone", ("made",), adam),
        "visible": _judge("visible", ("made",), adam),
        "infrared": _judge("infrared", fakes, adam),
    }


def _distance(weight, kind):
    return ImageDistance(
        weight,
        on=tuple(f"images.{kind}_{m}" for m in MODALITY_NAMES),
        target=tuple(f"images.{m}" for m in MODALITY_NAMES),
    )


def _judge(name, fakes, optimizer):
    shares = tuple((f"judgements.{fake}", 1 / len(fakes)) for fake in fakes)
    terms = {
        "real": LeastSquares(0.5, on="judgements.real"),
        "fake": LeastSquares(0.5, on=shares, target=0.0),
    }
    return Player(terms, f"discriminators/{name}", optimizer)


def small_aligngan(config: Config) -> Config:
    """Made small for the demo: generators and phases too; the colours stay."""
    pipes = {name: view.pipe for name, view in config.views.items()}
    config = small(config)
    for name, view in config.views.items():
        view.pipe = pipes[name]
    config.network.size = config.size
    config.network.generator = Generator(channels=16, blocks=2)
    config.network.discriminator = PatchDiscriminator(16, levels=3, joined=16)
    config.schedule = Steps(epochs=6, warmup=0, drops=((5, 0.1),))
    for phase, epochs in zip(config.phases, (1, 2, 3), strict=True):
        phase.epochs = epochs
    for name in ("encoder_alone", "encoder"):
        config.players[name].sampling = PerModality(identities=8, images=4)
    return config


SYSTEMS = {"aligngan": aligngan}
DEMOS = {"aligngan": small_aligngan}
PUBLISHED = {
    "aligngan": {
        "SYSU all": (42.40, 40.70),
        "SYSU indoor": (45.90, 54.30),
        "RegDB V-I": (57.90, 53.60),
        "RegDB I-V": (56.30, 53.40),
    }
}
