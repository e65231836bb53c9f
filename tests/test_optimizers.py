"""Optimisers against PyTorch and loops in NumPy; groups of parameters."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jreid.losses.identity import Identity
from jreid.training.adam_counts import counted_apart
from jreid.training.learner import Work
from jreid.training.optimizers import (
    SGD,
    Adam,
    AdamW,
    check_groups,
    decays,
    lr_factor,
)
from jreid.training.state import TrainState
from jreid.training.update import update_all

PARAMS = {
    "stems": {"0": {"conv1": {"kernel": 0.5}}},
    "trunk": {"layer1": {"0": {"conv1": {"kernel": -1.5}}}},
    "branches": {"v1": {"pool": {"p": 3.0}, "classifier": {"kernel": 0.8}}},
    "bottleneck": {"hidden": {"kernel": 2.0}},
}
# In the order of the leaves: bottleneck, classifier, p, stems, trunk.
MULTIPLIERS = [1.0, 1.0, 1.0, 0.1, 0.1]
DECAYS = [True, True, False, True, True]


def make_params():
    rng = np.random.default_rng(0)
    return jax.tree.map(
        lambda x: jnp.asarray(x + rng.normal(size=(3,)), jnp.float32), PARAMS
    )


def gradient(x, step):
    """The slope of an arbitrary smooth function that changes with the step."""
    return 2 * x + 0.3 * (step - 4) * x**2


def train(tx, steps=10):
    params = make_params()
    state = tx.init(params)
    update = jax.jit(tx.update)
    for step in range(steps):
        slopes = jax.tree.map(lambda x, s=step: gradient(x, s), params)
        updates, state = update(slopes, state, params)
        params = optax.apply_updates(params, updates)
    return [np.asarray(leaf) for leaf in jax.tree.leaves(params)]


def rate(step):
    return 0.02 / (1 + step)


RESTING = (*range(4), *range(8, 12))  # steps in which stems and trunk do not move


def train_with_rests(part, steps=16):
    """As `train`, by updates of phases."""
    tx, params = part.make(rate), make_params()
    opt_state = counted_apart(tx.init(params))

    def run(params, stats, batch, state, work, objective):
        own = (state.step - 4) * 0.1
        losses = (jnp.sum(x**2 + own * x**3) for x in jax.tree.leaves(params))
        return sum(losses), ({}, stats, {}, {})

    @functools.partial(jax.jit, static_argnums=1)
    def update(state, trainable):
        work = Work({"unused": Identity()}, {}, trainable)
        return update_all(run, tx, work, None, state, {}, False)[0]

    state = TrainState(jnp.int32(0), params, {}, opt_state, {})
    for step in range(steps):
        state = update(state, "branches|bottleneck" if step in RESTING else "")
    return [np.asarray(leaf) for leaf in jax.tree.leaves(state.params)]


def train_torch(make, steps=10, clip_norm=None, resting=()):
    torch = pytest.importorskip("torch")
    leaves = [
        torch.tensor(np.array(x), requires_grad=True)
        for x in jax.tree.leaves(make_params())
    ]
    groups = [
        {"params": [leaf], "weight_decay": 5e-2 * d}
        for leaf, d in zip(leaves, DECAYS, strict=True)
    ]
    optimizer = make(torch.optim, groups)
    for step in range(steps):
        for group, multiplier in zip(optimizer.param_groups, MULTIPLIERS, strict=True):
            group["lr"] = multiplier * rate(step)
        for leaf, multiplier in zip(leaves, MULTIPLIERS, strict=True):
            rests = step in resting and multiplier == 0.1
            leaf.grad = None if rests else gradient(leaf.detach(), step)
        if clip_norm:
            torch.nn.utils.clip_grad_norm_(leaves, clip_norm)
        optimizer.step()
    return [leaf.detach().numpy() for leaf in leaves]


def assert_all_close(actual, expected):
    for a, e in zip(actual, expected, strict=True):
        np.testing.assert_allclose(a, e, rtol=1e-5, atol=1e-6)


# --- Gradient transformations -------------------------------------------------------


@pytest.mark.parametrize("nesterov", [True, False])
def test_sgd_matches_numpy(nesterov):
    expected = []
    leaves = jax.tree.leaves(make_params())
    for x, multiplier, decayed in zip(leaves, MULTIPLIERS, DECAYS, strict=True):
        x = np.asarray(x, np.float64)
        buffer = np.zeros_like(x)
        for step in range(10):
            slope = gradient(x, step) + (5e-2 * x if decayed else 0)
            buffer = 0.9 * buffer + slope
            direction = slope + 0.9 * buffer if nesterov else buffer
            x = x - multiplier * rate(step) * direction
        expected.append(x)
    tx = SGD(weight_decay=5e-2, nesterov=nesterov).make(rate)
    assert_all_close(train(tx), expected)


@pytest.mark.parametrize("nesterov", [True, False])
@pytest.mark.torch
def test_sgd_matches_torch(nesterov):
    expected = train_torch(
        lambda module, groups: module.SGD(
            groups, lr=1.0, momentum=0.9, nesterov=nesterov
        )
    )
    tx = SGD(weight_decay=5e-2, nesterov=nesterov).make(rate)
    assert_all_close(train(tx), expected)


@pytest.mark.torch
@pytest.mark.parametrize("betas", [(0.9, 0.999), (0.5, 0.9)])
@pytest.mark.parametrize("part", [Adam, AdamW])
def test_adam_and_adamw_match_torch(part, betas):
    expected = train_torch(
        lambda module, groups: getattr(module, part.__name__)(
            groups, lr=1.0, betas=betas
        )
    )
    tx = part(weight_decay=5e-2, beta1=betas[0], beta2=betas[1]).make(rate)
    assert_all_close(train(tx), expected)


@pytest.mark.parametrize("part", [Adam, AdamW])
def test_each_parameter_of_adam_counts_its_own_updates(part):
    expected = []
    leaves = jax.tree.leaves(make_params())
    for x, multiplier, decayed in zip(leaves, MULTIPLIERS, DECAYS, strict=True):
        x, first, second, count = np.asarray(x, np.float64), 0.0, 0.0, 0
        for step in range(16):
            if step in RESTING and multiplier == 0.1:
                continue
            decay = 5e-2 * x if decayed else 0
            slope = gradient(x, step) + (decay if part is Adam else 0)
            first, second = 0.9 * first + 0.1 * slope, 0.999 * second + 1e-3 * slope**2
            count += 1
            root = np.sqrt(second / (1 - 0.999**count)) + 1e-8
            direction = first / (1 - 0.9**count) / root
            direction += decay if part is AdamW else 0
            x = x - multiplier * rate(step) * direction
        expected.append(x)
    assert_all_close(train_with_rests(part(weight_decay=5e-2)), expected)


@pytest.mark.torch
@pytest.mark.parametrize("part", [Adam, AdamW])
def test_adam_after_a_rest_matches_torch(part):
    expected = train_torch(
        lambda module, groups: getattr(module, part.__name__)(groups, lr=1.0),
        steps=16,
        resting=RESTING,
    )
    assert_all_close(train_with_rests(part(weight_decay=5e-2)), expected)


@pytest.mark.torch
def test_clipping_matches_torch():
    expected = train_torch(
        lambda module, groups: module.SGD(groups, lr=1.0, momentum=0.9, nesterov=True),
        clip_norm=1.5,
    )
    tx = SGD(weight_decay=5e-2, clip_norm=1.5).make(rate)
    assert_all_close(train(tx), expected)


def test_clipping_leaves_small_gradients_alone():
    assert_all_close(train(SGD(clip_norm=1e6).make(rate)), train(SGD().make(rate)))


def test_groups_can_be_chosen():
    params = make_params()
    groups = ((r".*/pool/p$", 0.0), ("", 2.0))
    tx = SGD(groups=groups, momentum=0.0, weight_decay=0.0).make(lambda step: 1.0)
    slopes = jax.tree.map(jnp.ones_like, params)
    updates, _ = tx.update(slopes, tx.init(params), params)
    flat = [float(x[0]) for x in jax.tree.leaves(updates)]
    assert flat == [-2.0, -2.0, 0.0, -2.0, -2.0]


@pytest.mark.parametrize(
    ("path", "factor", "decayed"),
    [
        ("stems/0/conv1/kernel", 0.1, True),
        ("trunk/layer2/3/bn1/scale", 0.1, True),
        ("trunk/after/layer3_5/theta/kernel", 0.1, True),
        ("branches/v1/neck/scale", 1.0, True),
        ("branches/v2/pool/p", 1.0, False),
        ("branches/s1/pool/pool/p", 1.0, False),
        ("bottleneck/hidden/0/kernel", 1.0, True),
        ("bottleneck/stems", 1.0, True),
        ("pool/p", 1.0, False),
        ("branches/v1/whirlpool/p", 1.0, True),
    ],
)
def test_groups_of_our_parameters(path, factor, decayed):
    assert lr_factor(SGD().groups, path) == factor
    assert decays(path) == decayed


def test_the_first_group_that_matches_counts():
    groups = (("trunk/layer4", 1.0), ("trunk", 0.1), ("branches", 2.0))
    assert lr_factor(groups, "trunk/layer4/0/conv1/kernel") == 1.0
    assert lr_factor(groups, "trunk/layer3/0/conv1/kernel") == 0.1
    assert lr_factor(groups, "new/trunk") == 1.0


PATHS = ("stems/visible/conv1/kernel", "trunk/layer1/0/conv1/kernel", "head/kernel")


@pytest.mark.parametrize(
    ("groups", "message"),
    [
        ((("trunk", 0.1), ("neck", 2.0)), "groups.1 is 'neck'"),
        ((("layer1", 0.1),), "begin with stems, trunk, head"),
        ((("trunk", 0.1), ("trunk/layer1", 2.0)), "groups.1 is 'trunk/layer1'"),
    ],
)
def test_a_group_without_parameters_is_refused(groups, message):
    check_groups(SGD().groups, PATHS)
    check_groups((), PATHS)
    with pytest.raises(ValueError, match=message):
        check_groups(groups, PATHS)


@pytest.mark.parametrize("part", [SGD, Adam, AdamW])
@pytest.mark.parametrize("field", ["lr", "weight_decay", "clip_norm"])
def test_negative_numbers_are_refused(part, field):
    with pytest.raises(ValueError, match=f"^{field} is -1.0; allowed is 0 and more"):
        part(**{field: -1.0}).check()
    part().check()


@pytest.mark.parametrize(
    ("part", "message"),
    [
        (SGD(momentum=1.5), "^momentum is 1.5; allowed is 0 to 1"),
        (Adam(beta1=-0.5), "^beta1 is -0.5; allowed is 0 to 1"),
        (AdamW(beta2=1.5), "^beta2 is 1.5; allowed is 0 to 1"),
        (AdamW(epsilon=-1.0), "^epsilon is -1.0"),
        (SGD(groups=(("trunk", -1.0),)), "^groups.0.1 is -1.0"),
        (SGD(groups=(("trunk(", 1.0),)), r"^groups.0.0 is 'trunk\('"),
    ],
)
def test_other_fields_out_of_bounds_are_refused(part, message):
    with pytest.raises(ValueError, match=message):
        part.check()
