"""After MACE: what is known is its idea alone; every number and formula is assumed.

Paper: Ye, Lan, Leng, Shen, "Cross-Modality Person Re-Identification via Modality-aware
Collaborative Ensemble Learning", TIP 2020; only its abstract was seen. No code is
released.

Published (R-1 / mAP, not re-ranked): SYSU-MM01 all search 51.64 / 50.11; RegDB visible
to infrared 72.37 / 69.09.

Known: shared middle and high layers, an ensemble of sharable and modalities' own
outputs, consistency of the own predictions with the ensemble. Assumed: the network of
mac_like.py; the ensemble is the mean of both logits and has a cross-entropy of its own;
the own prediction's divergence from the ensemble, whose gradient is stopped, has weight
1.
"""

from typing import Any

from jreid.config import Config
from jreid.configs.systems.mac_like import OWN, SHARED, with_own_classifiers
from jreid.losses.agreement import Agreement, IdentityOfMean


def mace_like(data: Any) -> Config:
    """An ensemble of classifiers after MACE (TIP 2020); formulas assumed."""
    config = with_own_classifiers(
        data,
        {
            "identity_ensemble": IdentityOfMean(on=((SHARED, 0.5), (OWN, 0.5))),
            "own_agrees": Agreement(target=(SHARED, OWN), on=OWN),
        },
    )
    config.name = "mace_like"
    return config


SYSTEMS = {"mace_like": mace_like}
PUBLISHED = {
    "mace_like": {
        "SYSU all": (51.64, 50.11),
        "RegDB V-I": (72.37, 69.09),
    }
}
