"""PGM: ADCA's clusters, matched between the modalities, contrasted across in turns.

Paper: Wu, Ye, "Unsupervised Visible-Infrared Person Re-Identification via Progressive
Graph Matching and Alternate Learning", CVPR 2023. Code: zesenwu23/USL-VI-ReID, MIT;
only its facts are used here.

Published (R-1 / mAP, not re-ranked, not verified, not yet reproduced here):

    SYSU-MM01 all search 57.3 / 51.8, indoor search 56.2 / 62.7
    RegDB visible to infrared 69.5 / 65.4

As ADCA, with non-local blocks, a memory that keeps more of the old, and colour jitter
on the second visible view, in the first stage, but for RegDB's, on infrared too. In the
second stage clusters are matched by the least total cost, those that are left over once
more; images are also contrasted with their cluster's partner, in even epochs the
visible ones, in odd ones the infrared ones, with weight 0.25, and move it. On SYSU-MM01
a cluster then follows the least similar of its images alone, on RegDB all; RegDB has
stages of 30 epochs.

Ours is the released form; its main script leaves the second stage as a comment. What
adca.py says of ADCA holds here too. The released code for SYSU-MM01 contrasts across
only while there are at least as many visible clusters as infrared ones, ours always,
as its code for RegDB; a cluster without partner is left out. Gradients are those of
the memory as a step finds it; there it has already moved by the contrast across when
the other term of the same memory comes. LLCM, where nothing is published, is as SYSU-
MM01.
"""

from dataclasses import replace
from typing import Any

from jreid.config import Config
from jreid.configs.systems.adca import adca, reach, small_adca, stage
from jreid.configs.systems.agw import agw
from jreid.data.colour_jitter import ColourJitter
from jreid.data.regdb import RegDB
from jreid.data.views import View
from jreid.losses.cross_cluster_contrast import CrossClusterContrast
from jreid.training.cluster_matching import MatchedClusters
from jreid.training.cross_cluster_memory import CrossClusterMemory
from jreid.training.phases import Phase


def pgm(data: Any) -> Config:
    """Unsupervised: clusters matched and contrasted across modalities (CVPR 2023)."""
    regdb, config = isinstance(data, RegDB), adca(data)
    epochs = 30 if regdb else 50
    config.name = "pgm"
    config.network.trunk = agw(data).network.trunk
    config.views["channel"] = jittered(config.views["channel"])
    first = dict(config.views)
    if not regdb:
        first["infrared"] = jittered(first["infrared"])
    alone = dict(config.objective)
    config.objective["cross"] = CrossClusterContrast(0.25, cross_from=epochs)
    drops = ((10, 0.1), (20, 0.01)) if regdb else ((20, 0.1), (40, 0.01))
    config.schedule.epochs = 2 * epochs
    config.phases = (stage(epochs, drops), stage(epochs, drops))
    config.phases[0].objective, config.phases[0].views = alone, first
    config.between_epochs = MatchedClusters(
        classes=2000, eps=reach(data), match_from=epochs
    )
    config.memory = CrossClusterMemory(
        classes=2000, keep=0.2, cross_from=epochs, hardest=not regdb
    )
    return config


def jittered(view: View) -> View:
    """A view with random colours."""
    return replace(view, pipe=(*view.pipe, ColourJitter(0.5, 0.5, 0.5, 0.5)))


def small_pgm(config: Config) -> Config:
    """Made small for the demo as ADCA, and with the second stage from its epoch on."""
    first = config.phases[0]
    config = small_adca(config)
    half = config.phases[0].epochs
    views = config.views | {"infrared": jittered(config.views["infrared"])}
    config.phases = (Phase(half, first.objective, views), Phase(half))
    config.between_epochs.match_from = config.memory.cross_from = half
    config.objective["cross"].cross_from = half
    return config


SYSTEMS = {"pgm": pgm}
DEMOS = {"pgm": small_pgm}
PUBLISHED = {
    "pgm": {
        "SYSU all": (57.3, 51.8),
        "SYSU indoor": (56.2, 62.7),
        "RegDB V-I": (69.5, 65.4),
    }
}
