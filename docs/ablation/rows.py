"""The systems on SynVI from ImageNet weights, small images: what the tables ran.

    python -m jreid.train --config docs/ablation/rows.py:full --config.steps_per_epoch=5

After the system come changes of parts: +cosine (4 epochs, one of warm-up), +average or
+max (the second branch's pooling), +hc_tri (the hetero-centre triplet, for `base`,
which has none), +late_vsd (no distillation in the warm-up's ten epochs).
"""

from jreid.config import Config
from jreid.configs.systems import make
from jreid.data.augmentations import Flip, Grey, PadCrop, RandomChannel
from jreid.data.sysu_mm01 import SysuMM01
from jreid.losses.centres import HeteroCenterTriplet
from jreid.models.pooling import Average, Maximum
from jreid.training.phases import Phase
from jreid.training.schedules import Cosine


def get_config(variant: str = "full") -> Config:
    """A system whose peak, length and seed the command line sets."""
    system, *changes = variant.split("+")
    config = make(system, SysuMM01("synvi", train_on_val=False), "ablation")
    config.loading.cache = True
    config.size = (96, 48)
    colour = Grey(0.3), RandomChannel(0.3)
    config.views["visible"].pipe = (PadCrop(5), Flip(0.5), *colour)
    config.views["infrared"].pipe = (PadCrop(5), Flip(0.5))
    for change in changes:
        if change == "cosine":
            config.schedule = Cosine(epochs=4, warmup=1)
        elif change in ("average", "max"):
            pool = Average() if change == "average" else Maximum()
            config.network.branches[1].pool = pool
        elif change == "hc_tri":
            config.objective["hc_tri"] = HeteroCenterTriplet(
                on="features.v1", margin=0.3
            )
        elif change == "late_vsd":
            terms = config.objective.items()
            first = {name: term for name, term in terms if "vsd" not in name}
            config.phases = Phase(10, objective=first), Phase(70)
        else:
            known = "+cosine +average +max +hc_tri +late_vsd"
            raise ValueError(f"+{change} is no change; there are {known}")
    return config
