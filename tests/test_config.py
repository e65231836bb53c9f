"""Shipped configs are what they were; every value that is not allowed is named."""

import dataclasses
import json
import pathlib
import subprocess
import sys

import pytest

from jreid.config import Config
from jreid.config_files import load, shipped
from jreid.config_hash import config_hash
from jreid.config_json import from_json, to_json
from jreid.data.augmentations import Erase, Flip, Grey, PadCrop, RandomChannel
from jreid.data.views import View
from jreid.losses.centres import HeteroCenterTriplet
from jreid.losses.identity import Identity
from jreid.models.embedding import Embedding
from jreid.models.pooling import Average, GeM, Maximum
from jreid.parts import check, settled
from jreid.training.phases import Phase
from jreid.training.players import Player
from jreid.training.schedules import Cosine, Steps

STORED = pathlib.Path(__file__).with_name("data") / "configs_v0_2.json"

SYSTEMS = (
    *("full", "base", "ours1", "ours2", "ours3", "ours4"),
    *("gem_only", "average_only", "gem_max", "gem_average"),
)
SPECS = [f"{name}:{system}" for name in shipped() for system in SYSTEMS]
SPECS += ["regdb:all", "regdb:all-base", "custom:small"]


def put(holder, path, value):
    """Sets the field at a path as the command line has it: views.visible.pipe.0.p."""
    if isinstance(holder, dict):  # its keys may have points
        name = next(key for key in holder if f"{path}.".startswith(f"{key}."))
    else:
        name = path.partition(".")[0]
    rest = path[len(name) + 1 :]
    if rest and isinstance(holder, dict | tuple):
        put(holder[int(name) if isinstance(holder, tuple) else name], rest, value)
    elif rest:
        put(getattr(holder, name), rest, value)
    elif isinstance(holder, dict):
        holder[name] = value
    else:
        setattr(holder, name, value)


def refusal(config):
    with pytest.raises(ValueError) as refused:
        check(config)
    return str(refused.value)


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


# (config, field, values that are refused, what is allowed)
BOUNDS = [
    ("sysu", "name", ("", "a/b", ".x", "-x", "a b"), "the name of a folder"),
    ("sysu", "seed", (-1, 2**32), "0 to 4.29497e+09"),
    ("sysu", "steps", (-1,), "0 and more"),
    ("sysu", "steps_per_epoch", (-1,), "0 and more"),
    ("sysu", "size", ((15, 144), (288, 0)), "16 and more"),
    ("sysu", "resize", ("nearest",), "Literal['bilinear', 'lanczos']"),
    ("sysu", "precision", ("float64",), "Literal['float32', 'bfloat16']"),
    ("regdb", "data.split", (-1, 11), "1 to 10, or 0 for all"),
    ("custom", "data.test_fraction", (-0.1, 1.1), "0 to 1"),
    ("sysu", "loading.workers", (-1,), "0 and more"),
    ("sysu", "loading.max_unreadable", (-0.1, 1.1), "0 to 1"),
    ("sysu", "views.visible.pipe.0.pixels", (-1,), "0 and more"),
    ("sysu", "views.visible.pipe.1.p", (-0.1, 1.5), "0 to 1"),
    ("demo", "views.visible.pipe.2.p", (-0.1, 1.5), "0 to 1"),
    ("demo", "views.visible.pipe.3.p", (-0.1, 1.5), "0 to 1"),
    ("sysu", "views.visible.stem", ("thermal",), "visible, infrared"),
    ("sysu", "sampling.identities", (0,), "1 and more"),
    ("sysu", "sampling.images", (0,), "1 and more"),
    ("sysu", "network.trunk.depth", (20,), "Literal[18, 34, 50, 101]"),
    ("sysu", "network.trunk.width", (0.0, 1 / 65), "0.015625 and more"),
    ("sysu", "network.trunk.last_stride", (0, 3), "Literal[1, 2]"),
    ("sysu", "network.trunk.after.2.2.inner_channels", (-1,), "0 and more"),
    ("sysu", "network.branches.0.pool.p", (0.5,), "1 "),
    ("sysu", "network.branches.0.name", ("fused", ""), "a new name"),
    ("sysu", "network.branches.1.adds", ("v3",), "'' and earlier branches"),
    ("sysu", "network.refine.features", (-1,), "0 and more"),
    ("sysu", "network.refine.of", (("v3",),), "branches"),
    ("sysu", "objective.identity_v1.weight", (-1.0,), "0 and more"),
    ("sysu", "objective.identity_v1.smoothing", (-0.1, 1.1), "0 to 1"),
    ("sysu", "objective.identity_v1.on", ("logits.v9",), "features.v1"),
    ("sysu", "objective.vsd_1.weight", (-1.0,), "0 and more"),
    ("sysu", "objective.vsd_1.temperature", (0.0,), "0.001 and more"),
    ("sysu", "objective.vsd_1.teacher", ("logits.v9",), "features.v1"),
    ("sysu", "objective.wrt.weight", (-1.0,), "0 and more"),
    ("sysu", "objective.wrt.form", ("hard",), "Literal['softmax', 'agw']"),
    ("sysu", "objective.hc_tri.weight", (-1.0,), "0 and more"),
    ("sysu", "objective.hc_tri.margin", (-0.1,), "0 and more"),
    ("sysu", "objective.hc_tri.reduction", ("median",), "Literal['mean', 'sum']"),
    ("sysu", "optimizer.lr", (-0.1,), "0 and more"),
    ("sysu", "optimizer.momentum", (-0.9, 1.1), "0 to 1"),
    ("sysu", "optimizer.weight_decay", (-1e-4,), "0 and more"),
    ("sysu", "optimizer.clip_norm", (-1.0,), "0 and more"),
    ("sysu", "schedule.epochs", (0,), "1 and more"),
    ("sysu", "schedule.warmup", (-1,), "0 and more"),
    ("demo", "schedule.warmup", (-1,), "0 and more"),
    ("demo", "schedule.warmup", (12, 13), "0 to 5"),
    ("sysu", "embedding.names", (("v9",),), "v1, v2"),
    ("sysu", "evaluation.every_epochs", (-1,), "0 and more"),
    ("sysu", "evaluation.every_epochs", (1,), "0 without validation identities"),
    ("sysu", "evaluation.batch_size", (0,), "1 and more"),
    ("sysu", "evaluation.trials", (0,), "1 and more"),
    ("sysu", "evaluation.sheet_rows", (0,), "1 and more"),
    ("sysu", "evaluation.draw", ("random",), "Literal['agw', 'official']"),
    ("regdb", "evaluation.draw", ("official",), ""),
    ("sysu", "evaluation.permutations", ("x.mat",), ""),
    ("sysu", "evaluation.legacy", (True,), ""),
    ("sysu", "checkpoint.every_epochs", (0,), "1 and more"),
    ("sysu", "checkpoint.keep", (0,), "1 and more"),
    ("sysu", "checkpoint.step", (-2,), "-1 and more"),
    ("sysu", "log.every_steps", (0,), "1 and more"),
    ("sysu", "distributed.processes", (0,), "1 and more"),
    ("sysu", "distributed.process", (-1, 1), "0 to 0"),
    ("sysu", "distributed.coordinator", ("host0",), "HOST:PORT"),
    ("sysu", "distributed.timeout", (0.5, 61.0), "3 to 60"),
]


@pytest.mark.parametrize(
    ("spec", "path", "value", "allowed"),
    [(s, p, v, a) for s, p, values, a in BOUNDS for v in values],
)
def test_a_value_that_is_not_allowed_is_named(spec, path, value, allowed):
    config = load(spec)
    put(config, path, value)
    message = refusal(config)
    begin, _, rest = message.partition(" ")
    assert begin == f"config.{path}" and allowed in rest
    assert message.splitlines() == [message] and not message.endswith(".")


def test_an_erasing_out_of_bounds():
    for erase in (Erase(p=1.5), Erase(area=(0.0, 0.4)), Erase(aspect=(2.0, 1.0))):
        config = load("sysu")
        config.views["visible"].pipe += (erase,)
        assert refusal(config).startswith("config.views.visible.pipe.2.")


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize("path", ["optimizer.lr", "objective.hc_tri.margin"])
def test_numbers_are_finite(path, value):
    config = load("sysu")
    put(config, path, value)
    assert refusal(config) == f"config.{path} is {value}; allowed are finite numbers"


def test_a_factor_of_a_group_is_named():
    config = load("sysu")
    config.optimizer.groups = (("stems|trunk", -0.1),)
    assert refusal(config).startswith("config.optimizer.groups.0.1 is -0.1; allowed")
    config.optimizer.groups = (("stems|(trunk", 0.1),)
    assert refusal(config).startswith("config.optimizer.groups.0.0 is 'stems|(trunk'")


def test_a_non_local_block_needs_a_place_in_the_trunk():
    for place in ("22", "2.9", "5", "2.x"):
        config = load("sysu")
        trunk = config.network.trunk
        trunk.after = {place: trunk.after["2.2"]}
        message = refusal(config)
        assert message.startswith("config.network.trunk.after") and place in message


def test_every_slot_needs_its_methods():
    slots = {
        "data": "read()",
        "network": "make(classes, rngs)",
        "sampling": "make(images, views, seed)",
        "optimizer": "make(schedule)",
        "schedule": "make(steps_per_epoch, peak)",
        "memory": "init(params)",
        "between_epochs": "__call__(state, embed_train, epoch, seed)",
        "after_training": "__call__(embed_train, images)",
    }
    for slot, needed in slots.items():
        config = load("sysu")
        setattr(config, slot, View("visible"))
        message = refusal(config)
        assert message.startswith(f"config.{slot} is View(") and needed in message


def test_a_term_is_called_and_has_a_weight():
    config = load("sysu")
    config.objective["wrt"] = View("visible")
    message = refusal(config)
    assert message.startswith("config.objective.wrt is View(") and "weight" in message


def test_one_term_has_a_weight():
    config = load("sysu:base")
    for term in config.objective.values():
        term.weight = 0.0
    assert "identity_v1, wrt, all of weight 0" in refusal(config)
    config.objective = {}
    assert refusal(config).startswith("config.objective is {}")
    config.objective = {"wrt": HeteroCenterTriplet(weight=0.0), "id": Identity()}
    check(config)


def test_a_term_may_stand_on_several_outputs():
    config = load("sysu")
    shares = (("logits.v1", 0.5), ("logits.v2", 0.5))
    config.objective["identity_v1"].on = shares
    check(config)
    config.objective["identity_v1"].on = (*shares, ("logits.v3", 1.0))
    message = refusal(config)
    assert message.startswith("config.objective.identity_v1.on is 'logits.v3'; allowed")


def test_a_second_view_of_an_image_names_an_earlier_view_of_its_modality():
    config = load("sysu")
    config.views["grey"] = View("visible", (Grey(1.0),), same_image_as="visible")
    check(config)
    for other in ("infrared", "grey", "none"):
        config.views["grey"].same_image_as = other
        message = refusal(config)
        assert message.startswith(f"config.views.grey.same_image_as is {other!r}")
    config.views = {}
    assert refusal(config).startswith("config.views is ")


def test_views_of_one_modality_alone_are_refused():
    """After a whole training their test images would have no stem to enter."""
    config = load("sysu")
    config.views = {"one": View("infrared"), "two": View("infrared")}
    assert refusal(config).startswith("config.views show infrared images alone; ")
    config.views["two"].modality = "visible"
    check(config)


def test_full_width_weights_fill_no_narrow_trunk():
    config = load("sysu")
    config.network.trunk.width = 0.5
    assert refusal(config).startswith("config.pretrained is 'weights/resnet50.npz'")
    for other in ("", "runs/narrow"):
        config.pretrained = other
        check(config)


def test_processes_of_one_run_have_a_coordinator():
    config = load("regdb:all")
    config.distributed.processes = 2
    assert refusal(config).startswith("config.distributed.coordinator is ''; allowed")
    config.distributed.coordinator = "auto"
    assert "leave processes at 1" in refusal(config)
    config.distributed.coordinator = "host:1234"
    assert "--config.data.split=1 to 10" in refusal(config)
    config.data.split = 3
    check(config)
    config.distributed.processes, config.distributed.coordinator = 1, "auto"
    check(config)


def test_validation_identities_are_there_or_refused():
    config = load("sysu")
    config.data.train_on_val, config.evaluation.every_epochs = False, 1
    check(config)
    config = load("custom")
    config.evaluation.every_epochs = 1
    check(config)


def test_phases_divide_the_epochs():
    config = load("sysu")
    first = Phase(20, objective={"identity": Identity()}, trainable="branches")
    config.phases = (first, Phase(60))
    check(config)
    first.epochs = 10
    assert refusal(config) == (
        "config.phases have 70 epochs in all; allowed is schedule.epochs, 80"
    )
    first.epochs = 0
    assert refusal(config).startswith("config.phases.0.epochs is 0; allowed")
    first.epochs, first.trainable = 20, "("
    assert refusal(config).startswith("config.phases.0.trainable is '('")
    first.trainable, first.schedule = "", Cosine(20, 21)
    assert refusal(config).startswith("config.phases.0.schedule.warmup is 21")
    first.schedule = Cosine(30, 2)
    assert refusal(config).startswith("config.phases.0.schedule.epochs is 30; allowed")
    first.schedule = None
    first.objective["identity"].on = "logits.v9"
    assert refusal(config).startswith("config.phases.0.objective.identity.on is ")
    first.objective = {}
    first.views = {"visible": View("thermal")}
    assert refusal(config).startswith("config.phases.0.views.visible.stem is 'thermal'")


def test_the_objective_is_the_config_s_or_the_phases_or_the_players():
    config = load("sysu")
    terms, config.objective = config.objective, {}
    config.phases = (Phase(40, objective=terms), Phase(40))
    assert refusal(config).startswith("config.objective is {}")
    config.phases = (Phase(40, objective=terms), Phase(40, objective=terms))
    check(config)
    config.phases = ()
    config.players = {"network": Player(terms, "stems|trunk|branches|bottleneck")}
    check(config)
    config.objective = terms
    assert refusal(config).startswith("config.players is network, each with an obj")
    config.objective, config.phases = {}, (Phase(80, objective=terms),)
    assert "where phases.0.objective is empty" in refusal(config)
    config.phases = ()
    player = config.players["network"]
    for field, value in (
        ("every", 0),
        ("params", ""),
        ("params", "["),
        ("objective", {}),
    ):
        changed = dataclasses.replace(player, **{field: value})
        config.players = {"network": changed}
        assert refusal(config).startswith(f"config.players.network.{field} is ")
    config.players = {"network": dataclasses.replace(player, schedule=Steps(70))}
    assert refusal(config).startswith("config.players.network.schedule.epochs is 70")
    config.players = {"network": dataclasses.replace(player, optimizer=Average())}
    assert refusal(config).startswith("config.players.network.optimizer is Average()")


def test_the_hash_tells_trained_networks_apart():
    before = config_hash(load("sysu"))
    assert len(before) == 12 and int(before, 16) >= 0
    same = {
        "data.root": "elsewhere",
        "data.tfds": "built",
        "steps": 5,
        "loading.workers": 3,
        "loading.cache": True,
        "evaluation.rerank": False,
        "embedding.flip": True,
        "checkpoint.keep": 9,
        "log.every_steps": 3,
        "distributed.timeout": 20.0,
    }
    config = load("sysu")
    for path, value in same.items():
        put(config, path, value)
    assert config_hash(config) == before
    other = {
        "seed": 1,
        "data.train_on_val": False,
        "optimizer.lr": 0.2,
        "network.trunk.depth": 34,
        "views.visible.pipe.0.pixels": 9,
    }
    hashes = {before}
    for path, value in other.items():
        config = load("sysu")
        put(config, path, value)
        hashes.add(config_hash(config))
    assert len(hashes) == 1 + len(other)


def test_the_order_of_terms_is_in_the_hash_and_that_of_numbers_is_not():
    config = load("sysu")
    before = config_hash(config)
    config.optimizer.lr = 1
    assert config_hash(settled(config)) != before
    config.optimizer.lr = 0.1
    config.objective = dict(reversed(config.objective.items()))
    assert config_hash(config) != before


@pytest.mark.parametrize("run", json.loads(STORED.read_text()), ids=lambda r: r["spec"])
def test_a_config_stored_by_this_version_is_read_by_every_later_one(run):
    """The file is never written anew: a part that moved gets its line in MOVED."""
    config = from_json(run["config"])
    check(config)
    assert config_hash(config) == run["hash"]


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


def test_a_config_is_made_with_names_only():
    with pytest.raises(TypeError):
        Config("sysu")  # type: ignore[call-arg]
