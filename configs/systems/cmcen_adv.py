"""After CmCEN's abstract: three losses that its released code leaves without effect.

Paper: the cross-modality channel exchange network, ICONIP 2021, of which the abstract
was seen; a longer text, in Knowledge-Based Systems, 2022, was not. Code:
SWU-CS-MediaLab/CmCEN, MIT; only its facts are used here.

Published, of a training that was not this one (R-1 / mAP, not re-ranked): SYSU-MM01 all
search 50.09 / 49.46, indoor search 56.84 / 63.55; RegDB 74.03 / 67.52 and
74.22 / 67.36. They stand in cmcen.py's row of a table, as what the code trains.

Known: the abstract adds a discriminator on latent features. In the code it is a
perceptron (1024, 512, 1) on the maximum of the last map, at a tenth of the rate; the
squared distance of identities' mean logits above .1 has the weight .001; a penalty on
the scales of the exchanged channels is computed and not added. Assumed: binary
cross-entropy through a gradient reversal of .05, where the code has two optimisers and
a penalty on the gradients of scalars; 1e-4 for the penalty, on all scales, where the
code computes it of half of each modality's. The penalty is what makes scales
fall below the threshold sooner than weight decay alone. All else is cmcen.py. On LLCM,
where nothing is published, it is the same.
"""

from typing import Any

from jreid.config import Config
from jreid.configs.systems.cmcen import cmcen
from jreid.losses.hetero_centre import HeteroCentre
from jreid.losses.sparsity import Sparsity
from jreid.losses.tell_modality import TellModality
from jreid.models.perceptrons import Discriminator
from jreid.models.pooling import Maximum
from jreid.training.optimizers import SGD


def cmcen_adv(data: Any) -> Config:
    """CmCEN with an adversary, after its abstract; weights assumed."""
    config = cmcen(data)
    config.name = "cmcen_adv"
    config.network.discriminators = {
        "modality": Discriminator(
            hidden=(1024, 512), outputs=1, reversal=0.05, pool=Maximum()
        )
    }
    config.objective |= {
        "modality": TellModality(on="logits.modality"),
        "centres": HeteroCentre(0.001, on="logits.v1", normalise=False, margin=0.1),
        "scales": Sparsity("trunk/before/layer3/norm/scale", 1e-4),
    }
    config.optimizer = SGD(
        lr=0.1, weight_decay=5e-4, groups=(("stems|trunk|discriminators", 0.1),)
    )
    return config


SYSTEMS = {"cmcen_adv": cmcen_adv}
PUBLISHED: dict[str, Any] = {}
