"""The optimiser against PyTorch, loops in NumPy and the schedule written out."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jreid import optim

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


def train_torch(make, steps=10, clip_norm=None):
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
        for leaf in leaves:
            leaf.grad = gradient(leaf.detach(), step)
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
    tx = optim.make_tx(rate, weight_decay=5e-2, nesterov=nesterov)
    assert_all_close(train(tx), expected)


@pytest.mark.parametrize("nesterov", [True, False])
@pytest.mark.torch
def test_sgd_matches_torch(nesterov):
    expected = train_torch(
        lambda module, groups: module.SGD(
            groups, lr=1.0, momentum=0.9, nesterov=nesterov
        )
    )
    tx = optim.make_tx(rate, weight_decay=5e-2, nesterov=nesterov)
    assert_all_close(train(tx), expected)


@pytest.mark.torch
def test_adamw_matches_torch():
    expected = train_torch(lambda module, groups: module.AdamW(groups, lr=1.0))
    tx = optim.make_tx(rate, weight_decay=5e-2, optimizer="adamw")
    assert_all_close(train(tx), expected)


@pytest.mark.torch
def test_clipping_matches_torch():
    expected = train_torch(
        lambda module, groups: module.SGD(groups, lr=1.0, momentum=0.9, nesterov=True),
        clip_norm=1.5,
    )
    tx = optim.make_tx(rate, weight_decay=5e-2, clip_norm=1.5)
    assert_all_close(train(tx), expected)


def test_clipping_leaves_small_gradients_alone():
    assert_all_close(
        train(optim.make_tx(rate, clip_norm=1e6)), train(optim.make_tx(rate))
    )


def test_groups_can_be_chosen():
    params = make_params()
    tx = optim.make_tx(
        lambda step: 1.0,
        multiplier=lambda path: 0.0 if path == "branches/v1/pool/p" else 2.0,
        decay=lambda path: False,
        momentum=0.0,
    )
    slopes = jax.tree.map(jnp.ones_like, params)
    updates, _ = tx.update(slopes, tx.init(params), params)
    flat = [float(x[0]) for x in jax.tree.leaves(updates)]
    assert flat == [-2.0, -2.0, 0.0, -2.0, -2.0]


def test_unknown_optimizer_is_refused():
    with pytest.raises(ValueError, match="'lamb'.*'sgd' and 'adamw'"):
        optim.make_tx(rate, optimizer="lamb")


@pytest.mark.parametrize(
    "path, multiplier, decays",
    [
        ("stems/0/conv1/kernel", 0.1, True),
        ("trunk/layer2/3/bn1/scale", 0.1, True),
        ("trunk/non_local/layer3_5/theta/kernel", 0.1, True),
        ("branches/v1/neck/scale", 1.0, True),
        ("branches/v2/pool/p", 1.0, False),
        ("bottleneck/hidden/0/kernel", 1.0, True),
        ("bottleneck/stems", 1.0, True),
        ("pool/p", 1.0, False),
        ("branches/v1/whirlpool/p", 1.0, True),
    ],
)
def test_groups_of_our_parameters(path, multiplier, decays):
    assert optim.lr_multiplier(path) == multiplier
    assert optim.decays(path) == decays


def test_factor_of_the_pretrained_part_is_free():
    assert optim.lr_multiplier("trunk/x", pretrained=0.5) == 0.5
    assert optim.lr_multiplier("branches/x", pretrained=0.5) == 1.0


# --- Schedules ----------------------------------------------------------------------


def test_schedule_of_the_paper():
    schedule = jax.jit(optim.learning_rate_schedule(peak=0.1, steps_per_epoch=696))
    expected = [0.01, 0.02, 0.03, 0.04, 0.05, 0.06, 0.07, 0.08, 0.09, 0.1]
    expected += [0.1] * 10 + [0.01] * 30 + [0.001] * 30
    for epoch, lr in enumerate(expected):
        first, last = epoch * 696, (epoch + 1) * 696 - 1
        np.testing.assert_allclose([schedule(first), schedule(last)], lr, rtol=1e-6)


def test_schedule_without_warmup_or_milestones():
    schedule = optim.learning_rate_schedule(
        peak=0.3, steps_per_epoch=2, warmup_epochs=0, milestones=(), factors=()
    )
    np.testing.assert_allclose(np.array([schedule(0), schedule(99)]), 0.3, rtol=1e-6)


@pytest.mark.parametrize(
    "options, message",
    [
        ({"factors": (0.1,)}, "differ in length"),
        ({"milestones": (50, 20)}, r"milestones are \(50, 20\)"),
        ({"milestones": (5, 20)}, "end of the 10 epochs of warm-up"),
        ({"steps_per_epoch": 0}, "give at least 1"),
    ],
)
def test_bad_schedules_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        optim.learning_rate_schedule(**{"peak": 0.1, "steps_per_epoch": 3} | options)


def test_cosine_by_hand():
    schedule = jax.jit(optim.cosine_schedule(peak=0.2, total_steps=14, warmup_steps=4))
    rates = [float(schedule(step)) for step in (0, 1, 3, 4, 9, 14, 20)]
    np.testing.assert_allclose(
        rates, [0.05, 0.1, 0.2, 0.2, 0.1, 0.0, 0.0], rtol=1e-6, atol=1e-8
    )


def test_cosine_matches_optax():
    ours = optim.cosine_schedule(peak=0.2, total_steps=50)
    theirs = optax.cosine_decay_schedule(0.2, 50)
    for step in range(0, 60, 7):
        np.testing.assert_allclose(ours(step), theirs(step), rtol=1e-5, atol=1e-8)


def test_cosine_refuses_a_warmup_that_never_ends():
    with pytest.raises(ValueError, match="total_steps 10; allowed is 0 to 9"):
        optim.cosine_schedule(peak=0.1, total_steps=10, warmup_steps=10)
