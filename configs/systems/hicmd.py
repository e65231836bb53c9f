"""Hi-CMD: what identifies a person is told from pose and illumination by making images.

Paper: Choi, Lee, Kim, Kim, Kim, "Hi-CMD: Hierarchical Cross-Modality Disentanglement
for Visible-Infrared Person Re-Identification", CVPR 2020. Code: bismex/HiCMD, without a
licence; only its facts are used here.

Published (R-1 / mAP, official galleries, not re-ranked, not yet reproduced here):

    SYSU-MM01 all search 34.94 / 35.94, trained on 296 identities, the others on 395
    RegDB visible to infrared 70.93 / 66.04

--config.data.train_on_val=False trains on those 296 identities.

Theirs and ours: of each modality a prototype encoder with an atrous pyramid, an encoder
of 2048 attributes (a ResNet-50; four groups of style, pose and illumination) and a
discriminator of three sizes; one decoder. Of pairs of one identity, with their styles
exchanged, each image is made from its own prototype, from the other's, and from its own
as it comes back from the other's image; one more takes all but the illumination from
the other. Least-squares judgements of the made images, attributes found again, a
penalty on the discriminators' slope. ReID layers see eight sets of prototypes and
styles, of erased real and made images, crosswise too. A step has two pairs to translate
and two as negatives: the first and the second half of its slots, a slot being a row's
place in each of the views, and its identity drawn. SGD for the ReID layers, Adam for
the others, halved three times.

The terms' weights are the released code's: a discriminator sees each real image beside
both made ones, and its penalty is within the factor of 20, hence 40 and .4 here. The
triplets' anchors are the images with translations; all rows are looked at. The ReID
losses move encoders and ReID layers by the gradient at the same codes and dropout.

Ours deviates: erased images of one modality, real, made and negative, share an
encoder's batch statistics, and all those images those of ReID's convolutions, where
theirs take two at a time; encoders and discriminators of the two modalities begin
apart, not as copies. A test's picture borrows the running mean of the other modality's
illumination, as a single image has no partner. Assumed, as only "kaiming" and
"gaussian" are known: fan in with ReLU's gain, and a deviation of .02. On LLCM, where
nothing is published, it is as on SYSU-MM01.
"""

from typing import Any

from jreid.config import Config
from jreid.configs.demo import small
from jreid.data.augmentations import Flip
from jreid.data.datasets import MODALITY_NAMES
from jreid.data.regdb import RegDB
from jreid.data.sampling import PerModality
from jreid.data.sysu_mm01 import SysuMM01
from jreid.data.views import View
from jreid.losses.gradient_penalty import GradientPenalty
from jreid.losses.identity import Identity
from jreid.losses.image_distance import ImageDistance
from jreid.losses.least_squares import LeastSquares
from jreid.losses.squared_cosine_triplet import SquaredCosineTriplet
from jreid.models.disentangled import (
    SCALES,
    Discriminator,
    DisentangledNetwork,
    PrototypeEncoder,
    StyleDecoder,
    by_modality,
)
from jreid.models.embedding import Embedding
from jreid.training.optimizers import SGD, Adam
from jreid.training.players import Player
from jreid.training.schedules import Steps

SHARE = (("reid/share", 0.01),)  # prototype's against style's, a hundredth of the rate


def hicmd(data: Any) -> Config:
    """Prototype, style, pose and illumination told apart by made images (CVPR 2020)."""
    period = 25 if isinstance(data, RegDB) else 50  # thousands of steps
    drops = tuple((n * period, 0.5**n) for n in (1, 2, 3))
    config = Config(
        name="hicmd",
        data=data,
        size=(256, 128),
        resize="bicubic",
        views={m: View(m, (Flip(0.5),)) for m in MODALITY_NAMES},
        sampling=PerModality(identities=4, images=1),
        steps_per_epoch=1000,
        network=DisentangledNetwork(),
        pretrained="weights/resnet50.npz",
        objective={},
        optimizer=SGD(lr=1e-3, weight_decay=1e-4, groups=SHARE),
        schedule=Steps(epochs=4 * period, warmup=0, drops=drops),
        players=players(),
        embedding=Embedding(features=1.0, embeddings=0.0),
    )
    if isinstance(data, SysuMM01):
        config.evaluation.draw = "official"
    return config


def players() -> dict[str, Player]:
    """In the order of their turns."""
    adam = Adam(lr=1e-4, beta1=0.5, beta2=0.999, weight_decay=1e-4, groups=())
    made = (*_judged("cross"), *_judged("lit"))
    return {
        "discriminators": Player(
            {
                "real": LeastSquares(40.0, on=_judged("real")),
                "fake": LeastSquares(20.0, on=made, target=0.0),
                "penalty": GradientPenalty(0.4, on=_sizes("slopes", MODALITY_NAMES)),
            },
            "discriminators",
            adam,
        ),
        "generators": Player(
            {
                # each the sum of the modalities' means, times 50
                **{kind: _distance(100.0, kind) for kind in ("same", "cross", "cycle")},
                # style's and the rest's means of both modalities, times 10
                "attributes": ImageDistance(
                    40.0,
                    on=_names("codes", "again_"),
                    target=_names("codes", "decoded_"),
                ),
                "prior": LeastSquares(
                    1.0,
                    on=tuple((n, 1.0) for n in _names("codes", "rest_")),
                    target=0.0,
                ),
                "fool": LeastSquares(20.0, on=made),
                **_told(),
            },
            "prototypes|attributes|decoder",
            adam,
        ),
        "reid": Player(_told(), "reid"),
    }


def _told():
    return {"identity": Identity(), "triplet": SquaredCosineTriplet()}


def _names(kind, prefix):
    return tuple(f"{kind}.{name}" for name in by_modality((prefix,)))


def _sizes(kind, names):
    return tuple((f"{kind}.{n}_{size}", 1.0) for n in names for size in range(SCALES))


def _judged(kind):
    return _sizes("judgements", by_modality((f"{kind}_",)))


def _distance(weight, kind):
    return ImageDistance(
        weight, on=_names("images", f"{kind}_"), target=_names("images", "")
    )


def small_hicmd(config: Config) -> Config:
    """Made small for the demo; the colours stay, as images are made of them."""
    pipes = {name: view.pipe for name, view in config.views.items()}
    config = small(config)
    for name, view in config.views.items():
        view.pipe = pipes[name]
    config.network.prototype = PrototypeEncoder(channels=8, blocks=2)
    config.network.decoder = StyleDecoder(hidden=64)
    config.network.discriminator = Discriminator(channels=8, blocks=1)
    config.network.hidden, config.network.features = 256, 128
    config.optimizer.groups = SHARE
    config.sampling = PerModality(identities=8, images=1)
    return config


SYSTEMS = {"hicmd": hicmd}
DEMOS = {"hicmd": small_hicmd}
PUBLISHED = {"hicmd": {"SYSU all": (34.94, 35.94), "RegDB V-I": (70.93, 66.04)}}
