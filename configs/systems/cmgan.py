"""cmGAN: an encoder that hides the modality from a discriminator.

Paper: Dai, Ji, Wang, Wu, Huang, "Cross-Modality Person Re-Identification with
Generative Adversarial Training", IJCAI 2018; its text was not seen. No code of its
authors is known; numbers are from a re-implementation, sshkhr/cmGAN, without a licence,
of which only facts are used here.

Published (R-1 / mAP, not re-ranked, from memory, not yet reproduced here): SYSU-MM01
all search 26.97 / 27.80, indoor search 31.63 / 42.19.

Theirs is one ResNet-50 without a neck, an identity perceptron, cross-entropy of each
modality, triplets into the other modality with a margin of 1.4, and a discriminator
(1000, 500, 2) whose loss the encoder raises with weight .05; the discriminator has ten
times the rate. Ours draws eight identities and takes the hardest images, where the
re-implementation has single images at random; images, schedule and test are AGW's,
but for bilinear resizing.

`cmgan` is one descent through a gradient reversal. `cmgan_minmax` stands here for the
same game of two players with an optimiser each, encoder first, and the discriminator
answers the encoder that has just moved. It is not the re-implementation's minimax,
which changes the sign of the whole loss, identity and triplets with it, in every fifth
epoch: that diverges, and is not offered under any name. Images of 288 x 144 in place of
its crops. On RegDB and LLCM, where nothing is published, it is the same.
"""

from typing import Any

from jreid.config import Config
from jreid.configs.demo import small
from jreid.data.augmentations import Flip, PadCrop
from jreid.data.sampling import PerModality
from jreid.data.views import View
from jreid.losses.cross_batch_hard import CrossBatchHard
from jreid.losses.identity import Identity
from jreid.losses.tell_modality import TellModality
from jreid.models.embedding import Embedding
from jreid.models.perceptrons import Discriminator, HiddenClassifier
from jreid.models.pooling import Average
from jreid.models.resnet import ResNet
from jreid.models.two_stream import Branch, TwoStream
from jreid.training.optimizers import SGD
from jreid.training.players import Player
from jreid.training.schedules import Steps


def cmgan(data: Any) -> Config:
    """A modality that is hidden by gradient reversal (after IJCAI 2018)."""
    pipe = (PadCrop(10), Flip(0.5))
    return Config(
        name="cmgan",
        data=data,
        size=(288, 144),
        views={
            modality: View("any", pipe, modality=modality)
            for modality in ("visible", "infrared")
        },
        sampling=PerModality(identities=8, images=4),
        network=TwoStream(
            branches=(
                Branch(
                    "v1", Average(), neck=False, classifier=HiddenClassifier((512,))
                ),
            ),
            trunk=ResNet(last_stride=2),
            stems=("any",),
            discriminators={"modality": Discriminator((1000, 500), reversal=0.05)},
        ),
        pretrained="weights/resnet50.npz",
        objective={
            "triplet": CrossBatchHard(on="features.v1", margin=1.4),
            # the sum of the means over two modalities of as many rows
            "identity": Identity(2.0, on="logits.v1"),
            "modality": TellModality(on="logits.modality"),
        },
        optimizer=SGD(
            lr=0.1, weight_decay=5e-4, groups=(("stems|trunk|branches", 0.1),)
        ),
        schedule=Steps(epochs=81, warmup=10, drops=((20, 0.1), (50, 0.01))),
        embedding=Embedding(embeddings=1.0),
    )


def cmgan_minmax(data: Any) -> Config:
    """cmGAN as two players in turn, an optimiser each."""
    config = cmgan(data)
    config.name = "cmgan_minmax"
    terms, config.objective = config.objective, {}
    config.players = {
        # the reversal turns what it learns from the modality around
        "encoder": Player(
            terms, "stems|trunk|branches", SGD(lr=0.01, weight_decay=5e-4, groups=())
        ),
        "discriminator": Player(
            {"modality": terms["modality"]},
            "discriminators",
            SGD(lr=0.1, weight_decay=5e-4, groups=()),
        ),
    }
    return config


def small_cmgan(config: Config) -> Config:
    """Made small for the demo; at its 0.03 hard triplets of a new network collapse."""
    config = small(config)
    config.optimizer.lr = 0.003
    for player in config.players.values():
        player.optimizer.lr = config.optimizer.lr
    return config


SYSTEMS = {"cmgan": cmgan, "cmgan_minmax": cmgan_minmax}
DEMOS = {"cmgan": small_cmgan, "cmgan_minmax": small_cmgan}
PUBLISHED = {"cmgan": {"SYSU all": (26.97, 27.80), "SYSU indoor": (31.63, 42.19)}}
