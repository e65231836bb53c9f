"""Ten training steps of jreid and of tools/torch_reference from the same state."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import parity
import pytest
import torch  # pyright: ignore[reportMissingImports]

from jreid.export.torch_network import weights
from jreid.processes.sharding import data_mesh
from jreid.run.leaves import named_leaves
from jreid.training.learner import Work, make_system
from jreid.training.state import TrainState
from tools.torch_reference import from_config
from tools.torch_reference.step import make_step

pytestmark = pytest.mark.torch

STEPS = 10


def schedule(step):
    """A learning rate that changes at every step."""
    return 5e-4 * (step + 1) / (1 + 0.1 * step)


def train_jax(config, trees, dtype, batches):
    """Parameters, statistics, and the scalars of each step."""
    system = make_system(
        functools.partial(parity.make_network, config, dtype),
        [Work(config.objective, config.views)],
        optimizers={"": config.optimizer},
        schedules={"": schedule},
        embedding=config.embedding,
        stem_of=parity.STEMS,
        seed=0,
        mesh=data_mesh(),
    )
    params, stats = jax.tree.map(jnp.asarray, trees)
    opt_state = config.optimizer.make(schedule).init(params)
    state = TrainState(jnp.int32(0), params, stats, opt_state, {})
    scalars = []
    for batch in batches:
        state, values = system.step(state, parity.jax_batch(batch))
        scalars.append(jax.device_get(values))
    return jax.device_get((state.params, state.stats)), scalars


def train_torch(config, trees, dtype, batches, **options):
    """The same with the PyTorch network."""
    network = parity.torch_network(config, trees[0], trees[1], dtype)
    if options.get("channels_last", True):
        network.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
    step = make_step(
        network,
        from_config.build_objective(config),
        from_config.build_optimizer(config, network),
        schedule,
        dtype=parity.torch_type(dtype),
        **options,
    )
    scalars = [step(parity.torch_batch(batch)) for batch in batches]
    trained = weights.from_state_dict(network.state_dict(), *trees)
    return trained, [{k: v.numpy() for k, v in values.items()} for values in scalars]


def batches():
    return [parity.make_batch(seed) for seed in range(STEPS)]


def relative(actual, expected):
    """Largest Euclidean distance of an array from the expected one, by its norm."""
    actual, expected = named_leaves(actual), named_leaves(expected)
    assert actual.keys() == expected.keys()
    return max(
        (
            float(
                np.linalg.norm(actual[n] - expected[n]) / np.linalg.norm(expected[n])
            ),
            n,
        )
        for n in expected
    )


@pytest.mark.parametrize("system", ["full", "agw"])
def test_ten_steps_in_float64(system):
    with parity.one_block_per_stage(), jax.enable_x64(True):
        config = parity.tiny(system, depth=10)
        trees = parity.random_weights(config, np.float64)
        ours, our_scalars = train_jax(config, trees, np.float64, batches())
        theirs, their_scalars = train_torch(config, trees, np.float64, batches())
    moved = relative(theirs[0], trees[0])[0]
    assert moved > 0.05  # else there would be nothing to see
    for mine, other in zip(our_scalars, their_scalars, strict=True):
        assert max(parity.deviations(mine, other).values()) < 1e-9
    for tree, other in zip(ours, theirs, strict=True):
        assert max(parity.deviations(tree, other).values()) < 1e-9


def test_ten_steps_in_float32():
    with parity.one_block_per_stage():
        config = parity.tiny(depth=10)
        trees = parity.random_weights(config, np.float32)
        ours, our_scalars = train_jax(config, trees, np.float32, batches())
        theirs, their_scalars = train_torch(
            config, trees, np.float32, batches(), channels_last=False
        )
    for mine, other in zip(our_scalars, their_scalars, strict=True):
        for name in other:
            np.testing.assert_allclose(mine[name], other[name], rtol=1e-3)
    for tree, other in zip(ours, theirs, strict=True):
        assert relative(tree, other)[0] < 1e-3


def test_bfloat16_is_autocast():
    """Trunk and bottleneck in bfloat16, heads and losses in float32, as in jreid."""
    with parity.one_block_per_stage():
        config = parity.tiny(depth=10)
        trees = parity.random_weights(config, np.float32)
        config.precision = "bfloat16"
        ours = train_jax(config, trees, jnp.bfloat16, batches()[:1])[1][0]
        theirs = train_torch(
            config, trees, np.float32, batches()[:1], autocast=torch.bfloat16
        )[1][0]
        config.precision = "float32"
        exact = train_torch(config, trees, np.float32, batches()[:1])[1][0]
    for name in exact:
        if name.startswith("loss"):
            np.testing.assert_allclose(ours[name], theirs[name], rtol=0.05, atol=0.02)
            assert theirs[name].dtype == np.float32
    assert theirs["loss"] != exact["loss"]
