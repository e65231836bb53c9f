"""What a step's batch holds where players draw for themselves."""

import pathlib
from dataclasses import dataclass

import jax
import numpy as np
import pytest
import tiny

from jreid import config_files
from jreid.run import images as run_images
from jreid.training.learner import data_mesh
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
    return config


def drawn(config, name):
    """A column of generator's and discriminator's batches of two steps."""
    images = run_images.read_images(config)
    (phase,) = plan(config, images.train)
    segment = Segment(phase, 0, 2)
    batches = list(run_images.batches(config, images, segment, data_mesh()))
    return [
        np.concatenate([b["players"][player][name]["visible"] for b in batches])
        for player in ("generator", "discriminator")
    ]


def test_players_of_equal_samplings_draw_other_images(config):
    one, other = drawn(config, "ids")
    assert one.shape == other.shape == (8,)
    assert (one != other).any()


def test_one_image_is_augmented_anew_for_each_player(config):
    for player in ("generator", "discriminator"):
        config.players[player].sampling = TheSameFour()
    np.testing.assert_array_equal(*drawn(config, "ids"))
    images = drawn(config, "images")
    assert (images[0] != images[1]).any(axis=(1, 2, 3)).sum() >= 2  # of four
    jax.tree.map(np.testing.assert_array_equal, images, drawn(config, "images"))
