"""The paper's system on SynVI, the embedded synthetic set: minutes on two CPU cores.

    python -m jreid.train --config configs/demo.py        (what `make demo` runs)
    python -m jreid.train --config configs/demo.py:base   (the variants of sysu.py)

A ResNet-18 of half width, trained from scratch on 96 x 48 images; the schedule was
found by experiment. Scores on SynVI show that the program works and tell methods apart;
they are not SYSU-MM01 scores.
"""

from configs import sysu
from jreid.config import Config


def get_config(variant: str = "full") -> Config:
    """A variant of sysu.py, made small enough to train within minutes."""
    config = sysu.get_config(variant)
    config.name = "demo" if variant == "full" else f"demo-{variant}"
    config.model.depth, config.model.width, config.model.pretrained = 18, 0.5, ""
    config.model.non_local_after = ("2.1", "3.1")
    data = config.data
    data.root, data.train_on_val, data.cache = "synvi", False, True
    data.height, data.width, data.padding = 96, 48, 5
    data.random_grey = data.channel_exchange = 0.3  # colour misleads, see SynVI
    optim = config.optim
    optim.pretrained_lr_factor = 1.0  # nothing is pretrained
    optim.epochs, optim.schedule, optim.warmup_epochs = 12, "cosine", 1
    optim.lr = 0.05
    return config
