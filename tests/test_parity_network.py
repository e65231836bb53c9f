"""The Flax network against tools/torch_reference: one set of weights, equal numbers."""

import jax
import numpy as np
import parity
import pytest

from jreid.config_files import load
from jreid.export.torch_network import weights
from jreid.models.pooling import GeM
from jreid.processes.sharding import data_mesh
from jreid.training.build import network_maker
from jreid.training.state import abstract_params_and_stats
from tools.torch_reference import from_config

pytestmark = pytest.mark.torch


def assert_equal(config, dtype, limit, trees=None):
    """Outputs, terms, gradients and statistics of one batch agree to within `limit`."""
    params, stats = trees or parity.random_weights(config, dtype)
    batch = parity.make_batch()
    ours = parity.run_jax(config, params, stats, batch, dtype)
    network = parity.torch_network(config, params, stats, dtype)
    theirs = parity.run_torch(config, network, batch, dtype)
    gradients = {}
    for name, parameter in network.named_parameters():
        assert (parameter.grad is not None) == parameter.requires_grad
        # None has the necks' bias, which jreid has not.
        gradients[name] = 0 * parameter if parameter.grad is None else parameter.grad
    their_gradients, _ = weights.from_state_dict(gradients, params, {})
    _, their_statistics = weights.from_state_dict(network.state_dict(), params, stats)
    compared = {
        "outputs": parity.deviations(ours[0], theirs[0]),
        "outputs in evaluation": parity.deviations(ours[1], theirs[1]),
        "terms": parity.deviations(ours[2], theirs[2]),
        "gradients": parity.deviations(ours[3], their_gradients),
        "statistics": parity.deviations(ours[4], their_statistics),
    }
    worst = {
        kind: max((deviation, name) for name, deviation in found.items())
        for kind, found in compared.items()
    }
    assert max(worst.values())[0] < limit, worst
    return ours


ROWS = ("base", "ours1", "ours2", "ours3", "ours4", "full")
ROWS += ("gem_only", "average_only", "gem_max", "gem_average")
# Two of the paper's rows are one network each with another; the last name stands.
VARIANTS = {repr(load(f"sysu:{row}").network): row for row in ROWS}.values()


# Of what the others have one by one.
LONG = ("ours2", "ours3", "gem_only", "gem_average")


@pytest.mark.parametrize(
    "variant",
    [pytest.param(v, marks=[pytest.mark.long] if v in LONG else []) for v in VARIANTS],
)
def test_every_variant_in_float64(variant):
    with parity.one_block_per_stage(), jax.enable_x64(True):
        assert_equal(parity.tiny(variant, depth=10), np.float64, 1e-11)


@pytest.mark.parametrize("depth", [pytest.param(18, marks=pytest.mark.long), 50])
def test_residual_blocks_of_both_kinds_in_float64(depth):
    with jax.enable_x64(True):
        assert_equal(parity.tiny(depth=depth), np.float64, 1e-11)


@pytest.mark.long
def test_float32():
    with parity.one_block_per_stage():
        assert_equal(parity.tiny(depth=10), np.float32, 1e-4)


def test_options_of_model_and_loss():
    """What no variant sets: strides, half the channels, fixed p, AGW's forms, a sum."""
    config = parity.tiny(depth=10)
    config.network.trunk.last_stride = 2
    for block in config.network.trunk.after.values():
        block.inner_channels = 0
    first, second = config.network.branches
    first.pool = GeM(p=10.0, learn=False)
    second.adds = ""
    terms = config.objective
    terms["wrt"].form, terms["wrt"].on = "agw", "features.v2"
    terms["hc_tri"].reduction, terms["hc_tri"].margin = "sum", 2.0
    terms["hc_tri"].on = "features.v2"
    for name, term in terms.items():
        if name.startswith("identity"):
            term.smoothing, term.weight = 0.1, 0.5
        if name.startswith("vsd"):
            term.weight, term.temperature, term.stop_gradient = 2.0, 3.0, False
    with parity.one_block_per_stage(), jax.enable_x64(True):
        assert_equal(config, np.float64, 1e-11)


@pytest.mark.parametrize("learn", [True, False])
def test_the_base_row_in_agws_form(learn):
    config = parity.tiny("base", depth=10)
    config.network.branches[0].pool = GeM(learn=learn, form="agw")
    config.objective["wrt"].form = "agw"
    with parity.one_block_per_stage(), jax.enable_x64(True):
        assert_equal(config, np.float64, 1e-11)


def test_what_pytorch_has_not_is_refused_by_name():
    config = parity.tiny()
    config.network.branches[1].neck = False
    with pytest.raises(ValueError, match=r"network.branches \(v2\) is Branch.*has not"):
        from_config.build_network(config, parity.CLASSES)
    config.network.trunk.stages = 3
    with pytest.raises(ValueError, match=r"network.trunk is ResNet.*has not"):
        from_config.build_network(config, parity.CLASSES)
    config.objective["wrt"].on = (("features.v1", 1.0),)
    with pytest.raises(ValueError, match=r"objective.wrt.on is .*has not"):
        from_config.build_objective(config)


def test_a_learned_exponent_below_1_agrees():
    with parity.one_block_per_stage(), jax.enable_x64(True):
        config = parity.tiny("base", depth=10)
        trees = parity.random_weights(config, np.float64)
        trees[0]["branches"]["v1"]["pool"]["p"] = np.float64(0.4)
        gradients = assert_equal(config, np.float64, 1e-11, trees)[3]
    assert float(gradients["branches"]["v1"]["pool"]["p"]) != 0


# --- Conversion of weights -----------------------------------------------------------


def abstract_trees(config):
    return abstract_params_and_stats(network_maker(config, parity.CLASSES), data_mesh())


@pytest.mark.parametrize("depth", [18, 34, 50, 101])
def test_weights_return_unchanged(depth):
    config = parity.tiny(depth=depth)
    config.network.trunk.width = 1 / 32
    params, stats = parity.random_weights(config, np.float32)
    network = parity.torch_network(config, params, stats, np.float32)
    returned = weights.from_state_dict(network.state_dict(), *abstract_trees(config))
    jax.tree.map(np.testing.assert_array_equal, returned, (params, stats))


def test_names_and_layouts_are_torchvisions():
    config = parity.tiny(depth=18)
    params, stats = parity.random_weights(config, np.float32)
    network = parity.torch_network(config, params, stats, np.float32)
    state_dict = network.state_dict()
    kernel = params["trunk"]["layer1"][0]["conv1"]["kernel"]
    ours = state_dict["trunk.layer1.0.conv1.weight"]
    np.testing.assert_array_equal(ours, kernel.transpose(3, 2, 0, 1))
    for name in (
        "stems.visible.bn1.running_mean",
        "trunk.layer2.0.downsample.0.weight",
        "trunk.layer2.0.downsample.1.running_var",
    ):
        assert name in state_dict


def test_weights_of_another_network_are_refused():
    config, other = parity.tiny("ours1"), parity.tiny("base")
    trees = parity.random_weights(config, np.float32)
    network = from_config.build_network(other, parity.CLASSES)
    with pytest.raises(ValueError, match=r"branches.v2.*only in jreid"):
        weights.to_state_dict(*trees, network.state_dict())
    with pytest.raises(ValueError, match=r"branches.v2.*only in jreid"):
        weights.from_state_dict(network.state_dict(), *trees)
    network = from_config.build_network(config, parity.CLASSES + 1)
    shapes = r"v1.classifier.weight: \(5, 64\) in jreid, \(6, 64\) in PyTorch"
    with pytest.raises(ValueError, match=shapes):
        weights.to_state_dict(*trees, network.state_dict())


def test_a_neck_with_a_bias_is_refused():
    config = parity.tiny("base")
    trees = parity.random_weights(config, np.float32)
    network = parity.torch_network(config, *trees, np.float32)
    state_dict = network.state_dict()
    state_dict["branches.v1.neck.bias"][0] = 0.5
    with pytest.raises(ValueError, match="v1.neck.bias is not 0"):
        weights.from_state_dict(state_dict, *trees)
