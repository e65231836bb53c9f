"""JSIA-ReID: images of one's content and another's style, for sets and pairs.

Paper: Wang, Zhang, Yang, Cheng, Chang, Liang, Hou, "Cross-Modality Paired-Images
Generation for RGB-Infrared Person Re-Identification", AAAI 2020. Code:
wangguanan/JSIA-ReID, MIT by its README; only its facts are used here.

Published (R-1 / mAP, official galleries, not re-ranked, not yet reproduced here):

    SYSU-MM01 all search 38.10 / 36.90, indoor search 43.83 / 52.90
    RegDB visible to infrared 48.50 / 49.30, infrared to visible 48.10 / 48.90

Theirs and ours: grey images' map after a ResNet's first stage (no ReLU in its stem) is
the content, a vector by modality the style; decoders with AdaIN and discriminators of
two scales as MUNIT's, at 128 x 64; LSGAN, reconstruction, cycle, content and style.
600 "epochs" of 200 batches of the generators with the encoder at rest, 50 of all: the
encoder then learns from real images (cross-entropy with smoothing .1, triplets into the
other modality), from made ones (symmetric KL divergence to the real one's scores, which
stand still), and from the images' own losses but not the codes'. An infrared image is
reconstructed by the visible decoder, as the released code does. Rates fall to a tenth
30 epochs into the joint phase. `jsia_paper` has the paper's 100 epochs of the
generators at twice the rate; that infrared images have their own decoder there is our
reading of it.

Ours deviates: players move one after the other, generators, discriminators, encoder,
where theirs take all gradients first; the divergence has no 1e-8 in its logarithms;
infrared and visible training images are halved from 256 x 128 in place of a second
reading; a perceptron's biases begin at 0; the encoder's running statistics, which
tests use, move with its second look at the small images and with the made ones, which
come last, where theirs last see the real ones. The mean style of a modality is kept
for the picture of translations alone. Assumed: on RegDB and LLCM (nothing published
there on the latter) the same settings.
"""

from typing import Any

from jreid.config import Config
from jreid.configs.demo import small
from jreid.data.augmentations import Flip
from jreid.data.datasets import MODALITY_NAMES
from jreid.data.sampling import PerModality
from jreid.data.sysu_mm01 import SysuMM01
from jreid.data.views import View
from jreid.losses.agreement import Agreement
from jreid.losses.cross_batch_hard import CrossBatchHard
from jreid.losses.distillation import SelfDistillation
from jreid.losses.identity import Identity
from jreid.losses.image_distance import ImageDistance
from jreid.losses.least_squares import LeastSquares
from jreid.models.content_style import (
    SCALES,
    STEM,
    ContentStyleNetwork,
    Decoder,
    StyleEncoder,
    TwoScales,
)
from jreid.models.resnet import ResNet
from jreid.training.optimizers import Adam
from jreid.training.phases import Phase
from jreid.training.players import Player
from jreid.training.schedules import Steps

JOINT, DROP = 50, 30  # epochs of the joint phase, and of those before rates fall


def jsia(data: Any) -> Config:
    """Images of one's content and another's style, for sets and pairs (AAAI 2020)."""
    return _config("jsia", data, 600, 1e-4, "visible")


def jsia_paper(data: Any) -> Config:
    """JSIA-ReID with the paper's shorter phase of generators at twice the rate."""
    return _config("jsia_paper", data, 100, 2e-4, "infrared")


def _config(name, data, alone, rate, reconstructs):
    adam = Adam(lr=rate, beta1=0.5, beta2=0.999, weight_decay=1e-4, groups=())
    config = Config(
        name=name,
        data=data,
        size=(256, 128),
        resize="bicubic",
        views={m: View(STEM, (Flip(0.5),), modality=m) for m in MODALITY_NAMES},
        sampling=PerModality(identities=3, images=3),
        steps_per_epoch=200,
        network=ContentStyleNetwork(
            trunk=ResNet(last_stride=1, stem_relu=False), reconstructs=reconstructs
        ),
        pretrained="weights/resnet50.npz",
        objective={},
        optimizer=Adam(lr=4.5e-4, weight_decay=5e-4, groups=()),
        schedule=Steps(alone + JOINT, warmup=0, drops=((alone + DROP, 0.1),)),
        phases=(Phase(alone, players=("generators", "discriminators")), Phase(JOINT)),
        players=_players(adam),
    )
    if isinstance(data, SysuMM01):
        config.evaluation.draw = "official"
    return config


def _players(adam):
    """In the order of their turns; the encoder's images are the generators'."""
    pixels = {
        "fool": LeastSquares(on=_judgements("made")),
        # the sums over the two modalities, of which a term is the mean
        "same": _distance(20.0, "images", "same_"),
        "cycle": _distance(20.0, "images", "cycle_"),
    }
    codes = {
        "content": _distance(2.0, "contents", "made_"),
        "style": _distance(2.0, "styles", "made_"),
    }
    judge = {
        "real": LeastSquares(on=_judgements("real")),
        "fake": LeastSquares(on=_judgements("made"), target=0.0),
    }
    reid = {
        "identity": Identity(on="logits.v1", smoothing=0.1),
        "triplet": CrossBatchHard(0.5),
        **_pairs("visible", "infrared"),
        **_pairs("infrared", "visible"),
    }
    return {
        "generators": Player(pixels | codes, "styles", adam),
        "discriminators": Player(judge, "discriminators", adam),
        "encoder": Player(
            reid | pixels, "encoder", sampling=PerModality(identities=16, images=4)
        ),
    }


def _pairs(real, made):
    """A symmetric divergence of a made image's scores from its real image's."""
    on, target = f"logits.made_{made}", f"logits.{real}"
    return {
        f"pair_{real}": Agreement((target,), 0.01, on),
        f"pair_{real}_back": SelfDistillation(0.01, target, on),
    }


def _judgements(kind):
    return tuple(
        (f"judgements.{kind}_{m}_{s}", 1.0)
        for m in MODALITY_NAMES
        for s in range(SCALES)
    )


def _distance(weight, what, kind):
    return ImageDistance(
        weight,
        on=tuple(f"{what}.{kind}{m}" for m in MODALITY_NAMES),
        target=tuple(f"{what}.{m}" for m in MODALITY_NAMES),
    )


def small_jsia(config: Config) -> Config:
    """Made small for the demo: decoders and phases too."""
    config = small(config)
    network = config.network
    network.size = (48, 24)
    network.style = StyleEncoder(channels=16, halvings=3, features=32)
    network.decoder = Decoder(blocks=1, hidden=64)
    network.discriminator = TwoScales(channels=16, levels=3)
    config.schedule = Steps(epochs=6, warmup=0, drops=((5, 0.1),))
    for phase, epochs in zip(config.phases, (3, 3), strict=True):
        phase.epochs = epochs
    config.players["encoder"].sampling = PerModality(identities=8, images=4)
    return config


SYSTEMS = {"jsia": jsia, "jsia_paper": jsia_paper}
DEMOS = {"jsia": small_jsia, "jsia_paper": small_jsia}
PUBLISHED = {
    "jsia": {
        "SYSU all": (38.10, 36.90),
        "SYSU indoor": (43.83, 52.90),
        "RegDB V-I": (48.50, 49.30),
        "RegDB I-V": (48.10, 48.90),
    }
}
