"""What a step's batch holds where players draw for themselves, and how many."""

import json
import pathlib
from dataclasses import dataclass, replace
from types import SimpleNamespace

import jax.numpy as jnp
import narrow
import numpy as np
import pytest
import tiny

from jreid import config_files
from jreid.processes.sharding import data_mesh
from jreid.run.batches import batch_files, batches, images_per_step, list_batch
from jreid.run.images import read_images
from jreid.training.plan import Segment, plan
from jreid.training.state import TrainState
from tools.system_cost import images_seen

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


@pytest.mark.slow
@pytest.mark.parametrize(
    "name, expected",  # narrow's samplings: 3 identities x 2 images of each modality
    [
        ("full", (12,)),
        ("jsia", (12, 12 + 12)),  # the encoder, which draws for itself, comes later
        ("aligngan", (6, 12, 12 + 12)),  # a first phase of visible images
        ("hicmd", (6,)),  # an image of each
    ],
)
def test_images_of_a_step_are_those_of_its_batches(name, expected, config):
    system = narrow.narrow(name)
    system.data.root, system.loading.workers = config.data.root, 1
    images = read_images(system)
    phases = plan(system, images.train)
    told = tuple(images_per_step(system, images.train, phase) for phase in phases)
    counted = []
    for phase in phases:
        segment = Segment(phase, phase.first, phase.first + 1)
        (batch,) = batches(system, images, segment, data_mesh())
        drawn = [batch] if "images" in batch else []
        drawn += batch.get("players", {}).values()
        counted.append(sum(len(x) for each in drawn for x in each["images"].values()))
    assert told == tuple(counted) == expected
    steps = [phase.last - phase.first for phase in phases]
    assert images_seen(system) == np.dot(steps, expected)
    system.steps = steps[0] + 1
    if len(steps) > 1:
        assert images_seen(system) == steps[0] * expected[0] + expected[1]


@pytest.mark.parametrize(
    "name, people", [("agw", {1, 2}), ("adca", {1, 2, 3}), ("pgm", {1, 2, 3})]
)
def test_where_clusters_are_the_labels_nobody_lacks_a_modality(name, people, config):
    """Person 3 has no infrared images; who is tested is as ever."""
    system = narrow.narrow(name)
    system.data.root, system.loading.workers = config.data.root, 1
    listed = system.data.read()
    seen = (listed.train.ids != 3) | (listed.train.modality == 0)
    paired = replace(listed, train=listed.train.take(seen))
    images = read_images(system, paired)
    assert set(images.identities) == set(images.train.ids) == people
    assert len(images.train) == (32 if 3 in people else 24)
    np.testing.assert_array_equal(images.test.ids, listed.test.ids)
    np.testing.assert_array_equal(images.val.ids, listed.val.ids)


@pytest.fixture
def labelled(config):
    """A run in the second epoch of a system without labels, with its hook's labels."""
    system = narrow.narrow("adca")
    system.data.root, system.loading.workers = config.data.root, 1
    system.steps_per_epoch = 2
    images = read_images(system)
    labels = np.arange(len(images.train), dtype=np.int32) % 7
    return SimpleNamespace(
        config=system,
        images=images,
        phases=plan(system, images.train),
        state=TrainState(jnp.int32(4), {}, {}, {}, {"labels": labels}),
    )


def test_a_step_s_files_are_those_drawn_by_the_labels_of_its_epoch(labelled, tmp_path):
    config, images, phase = labelled.config, labelled.images, labelled.phases[0]
    labels, step = labelled.state.extra["labels"], 3
    segment = Segment(phase, step - 1, step)
    (batch,) = batches(config, images, segment, data_mesh(), labels)
    told = list_batch(tmp_path, labelled, step)
    path = tmp_path / f"diverged-step-{step}.json"
    assert told == f"Its batch is listed in {path}"
    listed = json.loads(path.read_text())
    assert listed == batch_files(config, images, phase, step, labels)
    label_of = dict(zip(map(str, images.train.paths), labels.tolist(), strict=True))
    for view, ids in batch["ids"].items():
        rows = [row for row in listed["images"] if row["view"] == view]
        assert [label_of[row["path"]] for row in rows] == ids.tolist()
    assert listed != batch_files(config, images, phase, step)


def test_a_step_of_labels_that_are_gone_is_not_listed(labelled, tmp_path):
    told = list_batch(tmp_path, labelled, 2)
    assert "not listed: it was drawn by the labels of an epoch before step 4's" in told
    assert "--config.checkpoint.every_epochs=1" in told
    assert not list(tmp_path.iterdir())
    del labelled.state.extra["labels"]  # a system without a hook
    assert "is listed in" in list_batch(tmp_path, labelled, 2)
