"""Blocks of published systems against the values of their released code, float64.

The k-th parameter, in the order of the released module, is .1 sin(1 + k + .37 n), the
input sin(.3 + .05 n), n counting in PyTorch's layout; BatchNorms are in evaluation,
their statistics 0 and 1. Released are the output's sum, that of its absolute values,
its first and last entries.
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from one_program import run

from jreid.models.context_gate import ContextGate
from jreid.models.expansion import DiverseExpansion
from jreid.models.modules.keys import WeightKeys
from jreid.models.multilevel_fusion import MultilevelFusion
from jreid.models.non_local import NonLocal
from jreid.models.prototype_pool import PrototypePool


@pytest.fixture(autouse=True)
def in_float64():
    with jax.enable_x64(True):
        yield


def values(shape, first=0.3, step=0.05, scale=1.0):
    return scale * np.sin(first + step * np.arange(np.prod(shape))).reshape(shape)


def maps(*shape):
    """Input maps: made as NCHW, given as NHWC."""
    return jnp.asarray(values(shape).transpose(0, 2, 3, 1))


def to_ours(array):
    """PyTorch's kernels: OIHW to HWIO."""
    return array.transpose(2, 3, 1, 0) if array.ndim == 4 else array


def filled(part, channels, order):
    """The part's module in evaluation; `order` lists its parameters' paths."""
    module = nnx.eval_shape(lambda: part.make(channels, WeightKeys(0), jnp.float64))
    graphdef, params, stats = nnx.split(module, nnx.Param, nnx.BatchStat)
    params, stats = nnx.to_pure_dict(params), nnx.to_pure_dict(stats)
    count = 0
    for k, path in enumerate(order):
        *parents, leaf = path.split("/")
        node: dict[Any, Any] = params
        for parent in parents:
            node = node[int(parent) if parent.isdigit() else parent]
        ours = node[leaf].shape
        theirs = (ours[3], ours[2], *ours[:2]) if len(ours) == 4 else ours
        node[leaf] = jnp.asarray(to_ours(values(theirs, 1 + k, 0.37, 0.1)))
        count += node[leaf].size
    assert count == sum(x.size for x in jax.tree.leaves(params))
    stats = jax.tree.map_with_path(
        lambda path, x: np.full(x.shape, float(path[-1].key == "var")), stats
    )
    module = nnx.merge(graphdef, params, stats)
    view = nnx.view(module, use_running_average=True, raise_if_not_found=False)
    return view, count


def check(output, total, of_absolute, first, last):
    output = np.asarray(output).transpose(0, 3, 1, 2)  # as PyTorch has it
    found = [output.sum(), np.abs(output).sum(), output.flat[0], output.flat[-1]]
    np.testing.assert_allclose(found, [total, of_absolute, first, last], rtol=1e-9)


def attention_parameters(name):
    layers = [f"{name}/{layer}" for layer in ("g", "theta", "phi", "out")]
    convs = [f"{layer}/{leaf}" for layer in layers for leaf in ("kernel", "bias")]
    return [*convs, f"{name}/bn/scale", f"{name}/bn/bias"]


FUSION = attention_parameters("channel") + attention_parameters("position")


def test_deen_fusion_of_one_size():
    module, count = filled(MultilevelFusion(ratio=2), 32, FUSION)
    assert count == 2568
    output = run(module, maps(2, 32, 6, 4), stage_input=maps(2, 16, 6, 4))
    check(
        output,
        24.30598188901633,
        983.8278947928991,
        0.3355755603852015,
        1.0654361395352816,
    )


def test_deen_fusion_where_the_stage_halves_the_map():
    """This value was computed by NumPy from a reading of the released code."""
    module, count = filled(MultilevelFusion(ratio=3), 24, FUSION)
    assert count == 948
    output = run(module, maps(2, 24, 4, 3), stage_input=maps(2, 8, 8, 6))
    check(
        output,
        33.30933698778661,
        364.33402159559205,
        0.3354531026176455,
        -0.7431485987691625,
    )


def test_deen_expansion():
    order = [
        f"expanders/{e}/{leaf}"
        for e in (0, 1)
        for leaf in (
            *(f"convs/{k}/kernel" for k in range(3)),
            "out/kernel",
            "out/bias",
        )
    ]
    module, count = filled(DiverseExpansion(), 16, order)
    assert count == 3616
    output, source, copy = run(module, maps(2, 16, 6, 4))
    np.testing.assert_array_equal(source, [0, 0, 0, 1, 1, 1])
    np.testing.assert_array_equal(copy, [0, 1, 2, 0, 1, 2])
    check(
        output[jnp.lexsort((source, copy))],  # released: all originals come first
        12.467855168773402,
        587.9742691621476,
        0.29552020666133955,
        0.020873073329916593,
    )


def test_agw_non_local_block():
    order = [f"{layer}/{leaf}" for layer in ("g", "out") for leaf in ("kernel", "bias")]
    order += ["bn/scale", "bn/bias"]
    order += [f"{c}/{leaf}" for c in ("theta", "phi") for leaf in ("kernel", "bias")]
    module, count = filled(NonLocal(inner_channels=1), 16, order)
    assert count == 115
    check(
        run(module, maps(2, 16, 6, 4)),
        12.873617646832768,
        489.8737600810383,
        0.2748374418732331,
        0.7300444981638418,
    )


def test_mcja_context_gate():
    order = ["mask/kernel", "mask/bias", "weights"]
    order += [f"{bn}/{leaf}" for bn in ("gate_bn", "bn") for leaf in ("scale", "bias")]
    module, count = filled(ContextGate(masks=2), 16, order)
    assert count == 130
    check(
        run(module, maps(2, 16, 6, 4)),
        6.719193378861522,
        492.80007717204177,
        0.35728708385117475,
        0.7792690963555283,
    )


def test_saai_prototypes():
    part = PrototypePool(prototypes=5, size=(6, 4), whole=False)
    module, count = filled(part, 16, ["prototypes", "positions"])
    assert count == 464
    output = np.asarray(run(module, maps(2, 16, 6, 4)))
    found = [output.sum(), np.abs(output).sum(), output[0, 0], output[-1, -1]]
    released = [0.85058795757, 48.713979315476465]
    released += [0.37136096775211214, 0.1713820290371407]
    np.testing.assert_allclose(found, released, rtol=1e-9)
