"""After FBP-AL: parts, an adversary, three triplets are known; all numbers are assumed.

Paper: Wei, Yang, Wang, Gao, "Flexible Body Partition-Based Adversarial Learning for
Visible Infrared Person Re-Identification", TNNLS 2021; it is known from a survey, and
its abstract from memory. No code is released.

Published (R-1 / mAP, not re-ranked): SYSU-MM01 all search 54.14 / 50.20; RegDB
73.98 / 68.24 and 70.05 / 66.61.

Known: parts that are found from the feature maps, a modality classifier that features
are trained against, an adaptive weighting of what identities teach, a threefold triplet
loss. Assumed: two stems and AGW's trunk without non-local blocks, average pooling; six
of SAAI's prototypes for parts, whose masks' spread has the weight .25; cross-entropy of
the global vector, and of each part, weighted by the softmax of a learned score; batch-
hard triplets over all images, into the other modality and within each, margin .3, on
the global vector and on the parts' side by side; a perceptron (1000, 500, 2) on the
global vector through a gradient reversal of .05; all other weights 1. Batches,
augmentation, optimiser and schedule are AGW's, resizing is bilinear. Scores learn at a
hundredth of the rate: at all of it a part that is easier by .2 nats would be up by 3
after a hundred steps, a share of four fifths, and the others would hardly learn. So do
prototypes: at all of it the triplets, whose distances are large at first, close every
mask within sixty steps, and the parts are 0 from then on. A test vector is the global
one and the parts', each at length 1. A map of another size than 18 x 9 needs
`network.branches.1.pool.size`. On LLCM, where nothing is published, it is the same.
"""

from typing import Any

from jreid.config import Config
from jreid.configs.demo import small
from jreid.data.augmentations import Flip, PadCrop
from jreid.data.sampling import PerModality
from jreid.data.views import View
from jreid.losses.batch_hard import BatchHardTriplet
from jreid.losses.batch_hard_among import BatchHardAmong
from jreid.losses.cross_batch_hard import CrossBatchHard
from jreid.losses.identity import Identity
from jreid.losses.learned_parts import PrototypeSpread
from jreid.losses.part_identity import PartIdentity
from jreid.losses.tell_modality import TellModality
from jreid.models.embedding import Embedding
from jreid.models.part_classifiers import PartClassifiers
from jreid.models.perceptrons import Discriminator
from jreid.models.pooling import Average
from jreid.models.prototype_pool import PrototypePool
from jreid.models.resnet import ResNet
from jreid.models.two_stream import Branch, TwoStream
from jreid.training.optimizers import SGD
from jreid.training.schedules import Steps

PARTS = 6
VECTORS = (("features.global", 1.0), ("features.parts", 1.0))
SCORES = "branches/parts/classifier/scores"
SLOW = (f"{SCORES}|branches/parts/pool", 0.01)  # and their share of the rate
VISIBLE, INFRARED = (0, 0), (1, 0)  # modality and copy of rows


def fbp_like(data: Any) -> Config:
    """Parts against an adversary, after FBP-AL (TNNLS 2021); numbers are assumed."""
    pipe = (PadCrop(10), Flip(0.5))
    return Config(
        name="fbp_like",
        data=data,
        size=(288, 144),
        views={"visible": View("visible", pipe), "infrared": View("infrared", pipe)},
        sampling=PerModality(identities=8, images=4),
        network=TwoStream(
            branches=(
                Branch("global", Average()),
                Branch(
                    "parts",
                    PrototypePool(PARTS, size=(18, 9), whole=False),
                    classifier=PartClassifiers(PARTS),
                ),
            ),
            trunk=ResNet(last_stride=1),
            discriminators={"modality": Discriminator((1000, 500), reversal=0.05)},
        ),
        pretrained="weights/resnet50.npz",
        objective={
            "identity": Identity(on="logits.global"),
            "identity_parts": PartIdentity(on="logits.parts", scores=SCORES),
            "triplet": BatchHardTriplet(on=VECTORS, margin=0.3),
            "triplet_cross": CrossBatchHard(on=VECTORS, margin=0.3),
            "triplet_within": BatchHardAmong(
                ((VISIBLE,), (INFRARED,)), on=VECTORS, margin=0.3, reduction="sum"
            ),
            "spread": PrototypeSpread(0.25, on="masks.parts"),
            "modality": TellModality(on="logits.modality"),
        },
        optimizer=SGD(lr=0.1, weight_decay=5e-4, groups=(SLOW, ("stems|trunk", 0.1))),
        schedule=Steps(epochs=81, warmup=10, drops=((20, 0.1), (50, 0.01))),
        embedding=Embedding(embeddings=1.0),
    )


def small_fbp(config: Config) -> Config:
    """Made small for the demo, whose last map is 6 x 3; what is slow stays so."""
    config = small(config)
    config.network.branches[1].pool.size = (6, 3)
    config.optimizer.groups = (SLOW,)
    return config


SYSTEMS = {"fbp_like": fbp_like}
DEMOS = {"fbp_like": small_fbp}
PUBLISHED = {
    "fbp_like": {
        "SYSU all": (54.14, 50.20),
        "RegDB V-I": (73.98, 68.24),
        "RegDB I-V": (70.05, 66.61),
    }
}
