"""Every value of a config that is not allowed is named, with what is."""

import dataclasses

import pytest
from fields import put

from jreid.config import Config
from jreid.config_files import load
from jreid.data.augmentations import Erase, Grey
from jreid.data.views import View
from jreid.losses.centres import HeteroCenterTriplet
from jreid.losses.identity import Identity
from jreid.models.pooling import Average
from jreid.parts import check
from jreid.training.phases import Phase
from jreid.training.players import Player
from jreid.training.schedules import Cosine, Steps


def refusal(config):
    with pytest.raises(ValueError) as refused:
        check(config)
    return str(refused.value)


# (config, field, values that are refused, what is allowed)
BOUNDS = [
    ("sysu", "name", ("", "a/b", ".x", "-x", "a b"), "the name of a folder"),
    ("sysu", "seed", (-1, 2**32), "0 to 4.29497e+09"),
    ("sysu", "steps", (-1,), "0 and more"),
    ("sysu", "steps_per_epoch", (-1,), "0 and more"),
    ("sysu", "size", ((15, 144), (288, 0)), "16 and more"),
    ("sysu", "resize", ("nearest",), "Literal['bilinear', 'bicubic', 'lanczos']"),
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


def test_a_data_set_says_what_results_call_it_and_where_it_is():
    @dataclasses.dataclass
    class Nameless:
        protocol = load("sysu").data.protocol

        def read(self):
            raise AssertionError

    @dataclasses.dataclass
    class Rootless(Nameless):
        key = "own"

    config = load("sysu")
    for config.data, missing in ((Nameless(), "key"), (Rootless(), "root")):
        assert refusal(config).endswith(f"it needs {missing}")


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


def test_an_adapter_is_of_a_view_which_in_tests_is_a_modality():
    """Others would make no rows, or none of test images, without a word."""
    config = load("sysu:mmn")
    config.network.adapters.of["visibel"] = config.network.adapters.of.pop("visible")
    message = refusal(config)
    assert message.startswith("config.network.adapters.of has 'visibel'; allowed are")
    config = load("sysu:mmn")
    config.views = {"rgb": config.views["visible"], "ir": config.views["infrared"]}
    for name, view in config.views.items():
        view.modality = {"rgb": "visible", "ir": "infrared"}[name]
    adapters = config.network.adapters
    adapters.of = dict(zip(("rgb", "ir"), adapters.of.values(), strict=True))
    assert adapters.in_test and "the name of their modality" in refusal(config)


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


def test_a_config_is_made_with_names_only():
    with pytest.raises(TypeError):
        Config("sysu")  # type: ignore[call-arg]
