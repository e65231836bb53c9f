"""The paper's system on LLCM, which the paper does not report.

    python -m jreid.train --config configs/llcm.py --config.data.root=LLCM

Image size and batch are those of LLCM's authors (Zhang and Wang, CVPR 2023, DEEN
`train.py`): 384 x 144, P = 6 identities with K = 4 images per modality; they also
turn images grey and erase parts of them with probability 0.5, which here are
`--config.data.random_grey=0.5 --config.data.random_erasing=0.5`.

No number of the paper can be compared with this config's scores. Published on LLCM
(infrared to visible, R-1 / mAP, not reproduced here): DEEN 54.9 / 62.9, CAJ 48.8 /
56.6. Variants as in sysu.py.

Cost: 80 epochs of 707 steps of 48 images.
"""

from configs import sysu
from jreid.config import Config


def get_config(variant: str = "full") -> Config:
    """A variant of sysu.py with the image size and batches of LLCM's authors."""
    config = sysu.get_config(variant)
    config.name = config.name.replace("sysu", "llcm")
    data = config.data
    data.dataset = "llcm"
    data.height, data.width = 384, 144
    data.identities, data.images_per_identity = 6, 4
    return config
