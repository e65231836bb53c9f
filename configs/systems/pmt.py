"""PMT: a transformer that first learns from grey images, then from both modalities.

Paper: Lu, Zou, Zhang, "Learning Progressive Modality-Shared Transformers for Effective
Visible-Infrared Person Re-identification", AAAI 2023. Code: hulu88/PMT, without a
licence; only its facts are used here.

Published (R-1 / mAP, not re-ranked, not yet reproduced here):

    SYSU-MM01 all search 67.53 / 64.98, indoor search 71.66 / 76.52
    RegDB visible to infrared 84.8 / 76.6, infrared to visible 84.2 / 75.1

Ours is the released form: ViT-B/16 with ImageNet's weights and patches 12 pixels apart,
210 of an image of 256 x 128, one for both modalities and without cameras. Six epochs of
grey visible images, with a triplet in each modality; then colours, one triplet of all
rows, and its two losses. Identity is the sum of the modalities' means, which is twice
the mean of all rows. The rate climbs for two epochs, then follows a cosine that began
with the run. Images are resized and mirrored, not cropped (on RegDB theirs brings
training images to 288 x 144 first). They are resized with Lanczos although the released
transform names bilinear: the script that prepares SYSU-MM01 has by then brought its
images to their size with Pillow's ANTIALIAS, and the transform changes nothing more. Of
infrared ones either brightness and contrast change, or they are blurred; erasing writes
the raw mean into the normalised image.

Ours deviates: bfloat16 or float32 where theirs is half precision with scaled losses;
theirs reports the best mAP on the test images of every second epoch, ours the last
epoch's. The weights with half of the rate begin and end at half of it, where theirs
have the others' floor. An augmented image is rounded to whole grey levels. On LLCM,
where nothing is published, it is as on SYSU-MM01.
"""

from typing import Any

from jreid.config import Config
from jreid.configs.demo import small
from jreid.data.augmentations import Flip, Grey
from jreid.data.blur import GaussianBlur
from jreid.data.channel_mixing import OneOf
from jreid.data.colour_jitter import ColourJitter
from jreid.data.device_augmentations import EraseNormalised
from jreid.data.regdb import RegDB
from jreid.data.sampling import PerModality
from jreid.data.views import View
from jreid.losses.batch_hard import BatchHardTriplet
from jreid.losses.batch_hard_among import BatchHardAmong
from jreid.losses.discriminative_centre import DiscriminativeCentre
from jreid.losses.identity import Identity
from jreid.losses.shared_enhancement import SharedEnhancement
from jreid.models.embedding import Embedding
from jreid.models.vision_transformer import STEM, VisionTransformer
from jreid.training.optimizers import AdamW
from jreid.training.phases import Phase
from jreid.training.schedules import CosineByEpoch

GREY_EPOCHS = 6
MARGIN = 0.1
ERASED = (0.485, 0.456, 0.406)  # of normalised images, where the code writes it
MODALITIES = (((0, 0),), ((1, 0),))


def pmt(data: Any) -> Config:
    """A transformer, grey images first, then its two losses (AAAI 2023)."""
    epochs = 36 if isinstance(data, RegDB) else 24
    identity = Identity(2.0)
    triplets = BatchHardAmong(MODALITIES, margin=MARGIN, reduction="sum")
    grey = Phase(
        GREY_EPOCHS,
        objective={"identity": identity, "triplet": triplets},
        views=views(Grey(1.0)),
    )
    return Config(
        name="pmt",
        data=data,
        size=(256, 128),
        resize="lanczos",
        views=views(),
        sampling=PerModality(identities=8, images=4),
        network=VisionTransformer(),
        pretrained="weights/vit_b_16.npz",
        objective={
            "identity": identity,
            "triplet": BatchHardTriplet(margin=MARGIN),
            "shared": SharedEnhancement(0.5),
            "centres": DiscriminativeCentre(0.5),
        },
        optimizer=AdamW(lr=3e-4, weight_decay=1e-4, groups=(("patches|blocks", 0.5),)),
        schedule=CosineByEpoch(epochs=epochs),
        phases=(grey, Phase(epochs - GREY_EPOCHS)),
        embedding=Embedding(features=0.0, embeddings=1.0),
    )


def views(*visible: Any) -> dict[str, View]:
    """Of both modalities; `visible` are further augmentations of visible images."""
    jitter = ColourJitter(brightness=0.3, contrast=0.3, saturation=0.0, hue=0.0)
    pipes = {
        "visible": (Flip(0.5), *visible),
        "infrared": (Flip(0.5), OneOf((jitter, GaussianBlur(21, (0.1, 3.0))))),
    }
    erase = (EraseNormalised(0.5, value=ERASED),)
    return {
        name: View(STEM, pipe, device=erase, modality=name)
        for name, pipe in pipes.items()
    }


def small_pmt(config: Config) -> Config:
    """Made small for the demo: four narrow blocks from scratch, phases of 2 and 4."""
    config = small(config)
    config.network = VisionTransformer(
        config.size, patch=12, stride=8, width=96, blocks=4, heads=4, hidden=192
    )
    config.optimizer.lr = 3e-3  # nothing is pretrained
    for phase, epochs in zip(config.phases, (2, 4), strict=True):
        phase.epochs = epochs
    return config


SYSTEMS = {"pmt": pmt}
DEMOS = {"pmt": small_pmt}
PUBLISHED = {
    "pmt": {
        "SYSU all": (67.53, 64.98),
        "SYSU indoor": (71.66, 76.52),
        "RegDB V-I": (84.8, 76.6),
        "RegDB I-V": (84.2, 75.1),
    }
}
