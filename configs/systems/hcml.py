"""HCML: TONE's features under a metric that is learned after the training.

Paper: Ye, Lan, Li, Yuen, "Hierarchical Discriminative Learning for Visible Thermal
Person Re-Identification", AAAI 2018, its second stage. Code (MATLAB):
mangye16/Visible-Thermal-Person-Re-Identification, without a licence; only its facts are
used here.

Published (R-1 / mAP, not re-ranked): SYSU-MM01 all search 14.32 / 16.16, indoor search
24.52 / 30.08; RegDB visible to infrared 24.44 / 20.08, infrared to visible 21.70 /
22.24, in the README 23.4 / 23.9 on one split.

Ours trains as tone.py. After the last step, on the training images' vectors of length
1, one projection for each modality and one metric are learned from the means of
identities (jreid/training/hcml.py); the test is Euclidean between projected vectors.
`hcml` descends along the released gradients, which are not those of its objective but
gave the published numbers, `hcml_exact` along the true ones. The trunk is not theirs,
see bdtr.py; so its scores are not to be compared with the published ones. Before the
last step, and so in validation and in a run that ends early, vectors are TONE's.
"""

from typing import Any

from jreid.config import Config
from jreid.configs.systems.tone import tone
from jreid.models.embedding import Embedding
from jreid.models.learned_metric import MetricTwoStream
from jreid.training.metric_learning import HCML


def hcml(data: Any) -> Config:
    """TONE's features under a metric learned offline (AAAI 2018)."""
    config = tone(data)
    config.name = "hcml"
    config.network = MetricTwoStream(config.network.branches, config.network.trunk)
    config.after_training = HCML(dimensions=600)
    config.embedding = Embedding(
        features=1.0, embeddings=0.0, normalise="none", measure="euclidean"
    )
    return config


def hcml_exact(data: Any) -> Config:
    """HCML that descends along its objective's true gradient."""
    config = hcml(data)
    config.after_training.exact = True
    return config


SYSTEMS = {"hcml": hcml, "hcml_exact": hcml_exact}
PUBLISHED = {
    "hcml": {
        "SYSU all": (14.32, 16.16),
        "SYSU indoor": (24.52, 30.08),
        "RegDB V-I": (24.44, 20.08),
        "RegDB I-V": (21.7, 22.24),
    }
}
