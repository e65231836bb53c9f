"""DSCNet: CAJ's network and views, trained as its released code effectively does.

Paper: Zhang, Kang, Zhao, Shen, "Dual-Semantic Consistency Learning for
Visible-Infrared Person Re-Identification", TIFS 2022. Code: bitreidgroup/DSCNet,
Apache-2.0; only its facts are used here.

Published in its README (R-1 / mAP, not re-ranked, not yet reproduced here): SYSU-MM01
all search 73.89 / 69.47, indoor search 79.35 / 82.68. An issue of the repository asks
for logs: they are not confirmed, and which training gave them is not known.

`dscnet` is what the released code comes to: CAJ's two visible views and erasing,
identity, a plain batch-hard triplet and a tenth of CAJ's divergence. Its own two losses
step an optimiser that holds no parameter, and their gradients are dropped; its loop
runs for 200 epochs, where its README says 50. `dscnet_paper` adds the two, with weight
1 each, on the stems' maps: the distance of the modalities' means, and the divergence of
the first and last third of the channels from the one between. The rate is 1 to epoch
20, .1 to 40, .03 to 50, then .01. The test is without mirror images. On RegDB eight
images of an identity are drawn; its released settings for RegDB do not run. On LLCM,
where nothing is published, it is as on SYSU-MM01.
"""

from typing import Any

from jreid.config import Config
from jreid.configs.systems.caj import caj
from jreid.data.regdb import RegDB
from jreid.data.sampling import PerModality
from jreid.losses.batch_hard import BatchHardTriplet
from jreid.losses.identity import Identity
from jreid.losses.stem_consistency import ChannelDivergence, StemDistance
from jreid.losses.views import ViewDivergence
from jreid.models.embedding import Embedding
from jreid.training.schedules import Steps


def dscnet(data: Any) -> Config:
    """CAJ's views with a plain triplet, DSCNet's effective training (TIFS 2022)."""
    config = caj(data)
    config.name = "dscnet"
    config.sampling = PerModality(
        identities=6, images=8 if isinstance(data, RegDB) else 4
    )
    config.objective = {
        "identity": Identity(on="logits.v1"),
        "triplet": BatchHardTriplet(on="features.v1", margin=0.3),
        # visible (0) learns from infrared (2)
        "divergence": ViewDivergence(0.1, student=0, teacher=2, temperature=3.0),
    }
    config.schedule = Steps(
        epochs=200, warmup=10, drops=((20, 0.1), (40, 0.03), (50, 0.01))
    )
    config.embedding = Embedding(embeddings=1.0)
    return config


def dscnet_paper(data: Any) -> Config:
    """DSCNet with its paper's two consistency losses, which its code leaves out."""
    config = dscnet(data)
    config.name = "dscnet_paper"
    config.network.stem_maps = True
    config.objective |= {
        "stems": StemDistance(on="maps.stem"),
        "channels": ChannelDivergence(on="maps.stem"),
    }
    return config


SYSTEMS = {"dscnet": dscnet, "dscnet_paper": dscnet_paper}
PUBLISHED = {"dscnet": {"SYSU all": (73.89, 69.47), "SYSU indoor": (79.35, 82.68)}}
