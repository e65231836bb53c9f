"""Systems on one's own images.

    python -m jreid.train --config custom --config.data.root=FOLDER

FOLDER holds visible/NAME/*.jpg and infrared/NAME/*.jpg, the same NAME for the same
person; or it is a CSV file with the columns path,id,camera,modality,split. Half of
the people are tested on unless they are split already (jreid/data/folder.py); other
fractions with --config.data.test_fraction. 16-bit grey images, as thermal cameras write
them, are scaled by their own range each: --config.grey16.by=window or set keeps the
brightness of one image comparable with that of another.

Batches are P = 4 identities with K = 4 images per modality, for sets of few people;
with some hundreds use --config.sampling.identities=8. Rates are the systems' own, not
scaled with the batch. On few images the ten epochs of warm-up are too short for 0.1;
the program says so; 0.01 to 0.03 (--config.optimizer.lr) is safer. Without a pretrained
trunk, hundreds of images are too few for a ResNet-50: try custom:small, the network and
image size of demo.py. Other variants are the systems of configs/systems.
"""

from jreid.config import Config
from jreid.configs.demo import small
from jreid.configs.systems import DEFAULT, make
from jreid.data.folder import Folder


def get_config(variant: str = DEFAULT) -> Config:
    """A system for a folder of images, or `small`."""
    system = DEFAULT if variant == "small" else variant
    config = make(system, Folder(), "custom")
    if variant == "small":
        config = small(config)
        config.name, config.loading.cache = "custom-small", True
    if hasattr(config.sampling, "identities"):
        config.sampling.identities = 4
    config.grey16.by = "image"
    return config
