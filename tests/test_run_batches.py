"""What a step's batch holds where players draw for themselves."""

import pathlib
from dataclasses import dataclass

import numpy as np
import pytest
import tiny

from jreid import config_files
from jreid.processes.sharding import data_mesh
from jreid.run.batches import batches
from jreid.run.images import read_images
from jreid.training.plan import Segment, plan

PLAYERS = pathlib.Path(__file__).parent / "systems" / "players.py"


@dataclass(slots=True)
class TheSameFour:
    """Two visible and two infrared images, in every step."""

    def make(self, images, views, seed, labels=None):
        rows = [np.flatnonzero(images.modality == m)[:2] for m in (0, 1)]
        return lambda step: dict(zip(("visible", "infrared"), rows, strict=True))

    def steps_per_epoch(self, images):
        return 3


@pytest.fixture(scope="module")
def config(tmp_path_factory):
    config = config_files.load(str(PLAYERS))
    config.data.root = str(tiny.make_tree(tmp_path_factory.mktemp("data") / "tree"))
    config.loading.workers = 1
    del config.players["encoder"]
    return config


def drawn(config, images):
    """The visible columns of both players' batches of two steps."""
    (phase,) = plan(config, images.train)
    segment = Segment(phase, 0, 2)
    drawn = list(batches(config, images, segment, data_mesh()))
    return [
        {
            column: np.concatenate(
                [b["players"][player][column]["visible"] for b in drawn]
            )
            for column in ("ids", "images")
        }
        for player in config.players
    ]


@pytest.mark.slow
def test_players_of_equal_samplings_have_seeds_of_their_own(config):
    images = read_images(config)
    generator, discriminator = drawn(config, images)
    assert (generator["ids"] != discriminator["ids"]).any()
    for player in config.players.values():
        player.sampling = TheSameFour()
    generator, discriminator = drawn(config, images)
    np.testing.assert_array_equal(generator["ids"], discriminator["ids"])
    differ = generator["images"] != discriminator["images"]
    assert differ.any(axis=(1, 2, 3)).sum() >= 2  # augmented anew, of four
