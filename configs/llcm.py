"""Systems on LLCM, which the paper does not report.

    python -m jreid.train --config llcm --config.data.root=LLCM

Image size and batch of the paper's systems are those of LLCM's authors (Zhang and Wang,
CVPR 2023, DEEN `train.py`): 384 x 144, P = 6 identities with K = 4 images per modality;
they also turn images grey and erase parts of them with probability 0.5. Other systems
have their own.

No number of the paper can be compared with this config's scores. Published by LLCM's
README (infrared to visible, R-1 / mAP, not reproduced here): DEEN 55.52 / 62.07, CAJ
49.86 / 56.40. Variants are the systems of configs/systems.

Cost of the paper's system: 80 epochs of 707 steps of 48 images. Its rate is that of 64.
"""

from jreid.config import Config
from jreid.configs.systems import DEFAULT, make
from jreid.data.llcm import LLCM


def get_config(variant: str = DEFAULT) -> Config:
    """A system on LLCM's 713 training identities."""
    return make(variant, LLCM(), "llcm")
