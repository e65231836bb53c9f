"""Every field that a config may not have is refused by name; JSON and back."""

import copy
import json

import pytest

from configs import custom, demo, llcm, regdb, sysu
from jreid.config import (
    DEPTHS,
    BranchConfig,
    Config,
    as_dict,
    config_from_dict,
    config_hash,
    validate,
)
from jreid.models.resnet import BLOCKS


@pytest.mark.parametrize("variant", sysu.MODELS)
@pytest.mark.parametrize("module", [sysu, regdb, llcm, demo, custom])
def test_every_variant_is_valid_and_survives_json(module, variant):
    config = module.get_config(variant)
    validate(config)
    assert config_from_dict(json.loads(json.dumps(as_dict(config)))) == config


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("seed", -1, "seed is -1"),
        ("steps", -5, "steps -5"),
        ("data.dataset", "market", "data.dataset is 'market'; allowed are 'sysu_mm01'"),
        ("data.trial", 11, "data.trial is 11; it must be 0 to 10"),
        ("data.trial", 0, "data.trial is 0, all ten splits of RegDB, but"),
        ("evaluation.draw", "random", "allowed are 'agw', 'official'"),
        ("evaluation.permutations", "x.mat", "which only the official draw"),
        ("evaluation.legacy", True, "LLCM alone has a legacy protocol"),
        ("data.flip", 1.5, "data.flip is 1.5; it must be 0 to 1"),
        ("data.identities", 0, "data.identities is 0; it must be at least 1"),
        ("model.depth", 20, "model.depth is 20; allowed are 18, 34, 50, 101"),
        ("model.width", 0.0, "model.width is 0.0"),
        ("model.last_stride", 0, "model.last_stride is 0; it must be 1 to 2"),
        ("model.bottleneck_features", 0, "model.bottleneck_features is 0"),
        ("model.non_local_after", (2.2,), "model.non_local_after has 2.2"),
        ("model.non_local_after", ("22",), "model.non_local_after has '22'"),
        ("model.refined", ("v3",), "model.refined is 'v3'; allowed are 'v1', 'v2'"),
        ("model.branches", (), "at least one is needed"),
        ("model.branches", (BranchConfig("fused"),), 'other than "fused"'),
        (
            "model.branches",
            (BranchConfig("v1", adds="v2"),),
            "branch 'v1' adds is 'v2'",
        ),
        ("model.branches", (BranchConfig("v1", p=0.5),), "p of branch 'v1' is 0.5"),
        ("loss.vsd_temperature", 0.0, "loss.vsd_temperature is 0.0"),
        ("loss.label_smoothing", 3.0, "loss.label_smoothing is 3.0"),
        ("loss.wrt_form", "hard", "loss.wrt_form is 'hard'"),
        ("loss.wrt_branch", "v3", "loss.wrt_branch is 'v3'"),
        ("optim.lr", float("nan"), "optim.lr is nan"),
        ("optim.momentum", -0.9, "optim.momentum is -0.9"),
        ("evaluation.sheet_rows", 0, "evaluation.sheet_rows is 0"),
        ("evaluation.every_epochs", 1, "evaluation.every_epochs needs validation"),
        ("checkpoint.step", -2, "checkpoint.step is -2"),
        ("distributed.process", 1, "from 0 to processes - 1"),
        ("distributed.processes", 2, "give HOST:PORT of process 0"),
        ("distributed.coordinator", "host0", "'host0'; it must be HOST:PORT"),
        ("distributed.timeout", 0.5, "distributed.timeout is 0.5; it must be 3 to 60"),
    ],
)
def test_a_value_that_is_not_allowed_is_named(field, value, message):
    config = Config()
    *sections, name = field.split(".")
    holder = getattr(config, sections[0]) if sections else config
    setattr(holder, name, value)
    with pytest.raises(ValueError) as refused:
        validate(config)
    assert message in str(refused.value)


def test_a_cosine_schedule_needs_a_warm_up_shorter_than_the_run():
    config = demo.get_config()
    config.optim.epochs = 1
    with pytest.raises(ValueError, match="optim.warmup_epochs is 1 of optim.epochs 1"):
        validate(config)


def test_a_field_of_another_version_is_named():
    values = as_dict(Config())
    values["optim"]["larning_rate"] = 0.1
    with pytest.raises(
        ValueError, match=r"unknown config fields \['optim.larning_rate"
    ):
        config_from_dict(values)


def test_the_depths_allowed_are_those_that_the_trunk_has():
    assert set(DEPTHS) == set(BLOCKS)


def test_draw_and_splits_belong_to_their_data_sets():
    config = regdb.get_config("all")
    assert config.data.trial == 0
    validate(config)
    config.evaluation.draw = "official"
    with pytest.raises(ValueError, match="has one draw only"):
        validate(config)
    with pytest.raises(ValueError, match="no variant 'al'"):
        regdb.get_config("al")
    assert regdb.get_config("all-base").model == regdb.get_config("base").model


def test_the_hash_tells_trained_networks_apart():
    config = Config()
    before = config_hash(config)
    assert len(before) == 12
    assert int(before, 16) >= 0
    config.data.root, config.steps, config.evaluation.flip = "elsewhere", 5, True
    config.checkpoint.keep, config.log.every_steps = 9, 3
    assert config_hash(config) == before
    for section, name, value in (
        ("data", "trial", 2),
        ("optim", "lr", 0.2),
        ("model", "depth", 18),
    ):
        changed = copy.deepcopy(config)
        setattr(getattr(changed, section), name, value)
        assert config_hash(changed) != before
