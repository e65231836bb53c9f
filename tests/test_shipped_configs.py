"""Shipped configs are what they were, and light to load."""

import dataclasses
import json
import subprocess
import sys

import pytest

from jreid.config_files import load, shipped
from jreid.config_hash import config_hash
from jreid.config_json import from_json, to_json
from jreid.data.augmentations import Flip, Grey, PadCrop, RandomChannel
from jreid.data.views import View
from jreid.models.embedding import Embedding
from jreid.models.pooling import Average, GeM, Maximum
from jreid.parts import check
from jreid.training.schedules import Cosine, Steps

SYSTEMS = (
    *("full", "base", "ours1", "ours2", "ours3", "ours4"),
    *("gem_only", "average_only", "gem_max", "gem_average"),
)
SPECS = [f"{name}:{system}" for name in shipped() for system in SYSTEMS]
SPECS += ["regdb:all", "regdb:all-base", "custom:small"]


@pytest.mark.parametrize("spec", SPECS)
def test_every_shipped_config_is_allowed_and_survives_json(spec):
    config = load(spec)
    check(config)
    again = from_json(json.loads(json.dumps(to_json(config))))
    assert again == config
    assert config_hash(again) == config_hash(config)


def test_the_names_of_runs():
    names = {spec: load(spec).name for spec in SPECS}
    assert names["sysu:full"] == load("sysu").name == "sysu"
    assert names["sysu:base"] == "sysu-base"
    assert names["regdb:all"] == "regdb"
    assert names["regdb:all-base"] == "regdb-base"
    assert names["custom:small"] == "custom-small"


# Terms in the order of the sum, branches with their pools, and what is refined.
BOTH = {"v1": GeM, "v2": GeM}
ROWS = {
    "full": (
        "identity_v1 identity_v2 identity_z1 identity_z2 vsd_1 vsd_2 wrt hc_tri",
        BOTH,
        ("v1", "v2"),
    ),
    "base": ("identity_v1 wrt", {"v1": GeM}, None),
    "ours1": ("identity_v1 identity_v2 wrt hc_tri", BOTH, None),
    "ours2": (
        "identity_v1 identity_v2 identity_z1 vsd_1 wrt hc_tri",
        BOTH,
        ("v1",),
    ),
    "ours3": (
        "identity_v1 identity_v2 identity_z2 vsd_2 wrt hc_tri",
        BOTH,
        ("v2",),
    ),
    "average_only": ("identity_v1 wrt", {"v1": Average}, None),
    "gem_max": (
        "identity_v1 identity_v2 wrt hc_tri",
        {"v1": GeM, "v2": Maximum},
        None,
    ),
    "gem_average": (
        "identity_v1 identity_v2 wrt hc_tri",
        {"v1": GeM, "v2": Average},
        None,
    ),
}


@pytest.mark.parametrize("row", ROWS)
def test_a_row_of_the_paper(row):
    terms, pools, refined = ROWS[row]
    config = load(f"sysu:{row}")
    assert list(config.objective) == terms.split()
    assert all(term.weight == 1 for term in config.objective.values())
    network = config.network
    assert {b.name: type(b.pool) for b in network.branches} == pools
    assert [b.adds for b in network.branches] == ["", "v1"][: len(pools)]
    assert (network.refine and network.refine.of) == refined
    assert config.pretrained == "weights/resnet50.npz"
    assert config.schedule == Steps(80, 10, ((20, 0.1), (50, 0.01)))
    assert sorted(network.trunk.after) == ["2.2", "2.3", "3.3", "3.4", "3.5"]


def test_rows_of_two_names_are_one_system():
    for one, other in (("full", "ours4"), ("base", "gem_only")):
        configs = [load(f"sysu:{name}") for name in (one, other)]
        assert configs[0].name != configs[1].name
        configs[0].name = configs[1].name
        assert configs[0] == configs[1]


def test_the_demo_has_these_numbers():
    config = load("demo")
    geometric = (PadCrop(5), Flip(0.5))
    assert config.views == {
        "visible": View("visible", (*geometric, Grey(0.3), RandomChannel(0.3))),
        "infrared": View("infrared", geometric),
    }
    assert (config.size, config.resize, config.seed) == ((96, 48), "bilinear", 0)
    assert (config.data.root, config.data.train_on_val) == ("synvi", False)
    assert (config.sampling.identities, config.sampling.images) == (8, 4)
    trunk = config.network.trunk
    assert (trunk.depth, trunk.width, trunk.last_stride) == (18, 0.5, 1)
    assert {k: b.inner_channels for k, b in trunk.after.items()} == {"2.1": 1, "3.1": 1}
    bottleneck = config.network.refine
    assert (bottleneck.hidden, bottleneck.features) == ((1024, 512), 0)
    assert bottleneck.of == ("v1",) and config == load("demo:ours2")
    sgd = config.optimizer
    assert (sgd.lr, sgd.momentum, sgd.nesterov) == (0.03, 0.9, True)
    assert (sgd.weight_decay, sgd.clip_norm, sgd.groups) == (5e-4, 0, ())
    assert config.schedule == Cosine(epochs=6, warmup=1)
    assert config.embedding == Embedding(features=0.0, embeddings=1.0)
    assert config.pretrained == "" and config.loading.cache
    assert config.evaluation.rerank and config.evaluation.trials == 10


def test_each_data_set_has_its_batches_and_size():
    batches = {
        name: (*load(name).size, *dataclasses.astuple(load(name).sampling)[:2])
        for name in shipped()
    }
    assert batches == {
        "sysu": (288, 144, 8, 4),
        "regdb": (288, 144, 6, 4),
        "llcm": (384, 144, 6, 4),
        "custom": (288, 144, 4, 4),
        "demo": (96, 48, 8, 4),
    }
    assert load("regdb").data.split == 1 and load("regdb:all").data.split == 0


def test_nothing_heavy_is_imported_for_a_config():
    code = (
        "import sys\n"
        "from jreid import command_line, config_files, parts\n"
        f"for spec in {SPECS}: parts.check(config_files.load(spec))\n"
        "heavy = {'jax', 'flax', 'optax', 'tensorflow', 'orbax', 'clu', 'torch'}\n"
        "print(*sorted(heavy & set(sys.modules)))"
    )
    command = [sys.executable, "-c", code]
    loaded = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    assert loaded.split() == []
