"""The paper's system on one's own images.

    python -m jreid.train --config configs/custom.py --config.data.root=FOLDER

FOLDER holds visible/NAME/*.jpg and infrared/NAME/*.jpg, the same NAME for the same
person; or it is a CSV file with the columns path,id,camera,modality,split. Half of
the people are tested on unless they are split already (jreid/data/folder.py); other
fractions with --config.data.test_fraction.

Batches are P = 4 identities with K = 4 images per modality, for sets of few people;
with some hundreds use sysu.py's --config.data.identities=8. Without a pretrained
trunk, hundreds of images are too few for a ResNet-50: try :small, the network and
image size of demo.py. Other variants as in sysu.py.
"""

from configs import demo, sysu
from jreid.config import Config


def get_config(variant: str = "full") -> Config:
    """A variant of sysu.py for a folder of images, or `small`."""
    config = demo.get_config() if variant == "small" else sysu.get_config(variant)
    config.name = "custom" if variant == "full" else f"custom-{variant}"
    data = config.data
    data.dataset, data.root, data.train_on_val = "folder", "", True
    data.identities = 4
    return config
