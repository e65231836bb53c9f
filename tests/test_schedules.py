"""Learning rates against tables by hand, and against optax."""

import jax
import numpy as np
import optax
import pytest

from jreid.training.schedules import Cosine, CosineByEpoch, Steps

EXPECTED = [0.01, 0.02, 0.03, 0.04, 0.05, 0.06, 0.07, 0.08, 0.09, 0.1]
EXPECTED += [0.1] * 10 + [0.01] * 30 + [0.001] * 30


def test_steps_of_the_paper_are_the_nearest_numbers():
    schedule = jax.jit(Steps().make(696, 0.1))
    for epoch, lr in enumerate(EXPECTED):
        for step in (epoch * 696, (epoch + 1) * 696 - 1):
            assert schedule(step) == np.float32(lr), epoch
    assert schedule(10**6) == np.float32(0.001)


def test_steps_in_float64_are_exact_but_for_the_last_bit():
    with jax.enable_x64(True):
        schedule = Steps().make(1, 0.1)
        rates = [np.asarray(schedule(step)) for step in range(80)]
    np.testing.assert_allclose(rates, EXPECTED, rtol=3e-16)


def test_steps_without_warmup_or_drops():
    schedule = Steps(warmup=0, drops=()).make(2, 0.3)
    assert schedule(0) == schedule(99) == np.float32(0.3)


@pytest.mark.parametrize(
    ("part", "message"),
    [
        (Steps(epochs=0), "^epochs is 0; allowed is 1 and more"),
        (Steps(warmup=-1), "^warmup is -1; allowed is 0 and more"),
        (Steps(drops=((20, -0.1),)), "^drops.0.1 is -0.1"),
        (Steps(drops=((50, 0.1), (20, 0.01))), "^drops is .*epochs that increase"),
        (Steps(drops=((5, 0.1),)), "^drops is .*end of the 10 epochs of warm-up"),
        (Cosine(epochs=0, warmup=0), "^epochs is 0"),
        (Cosine(epochs=10, warmup=-1), "^warmup is -1"),
        (Cosine(epochs=10, warmup=10), "^warmup is 10; allowed is 0 to 9"),
        (CosineByEpoch(epochs=2), "^warmup is 3; allowed is 0 to 2"),
        (CosineByEpoch(last=1.5), "^last is 1.5; allowed is 0 to 1"),
    ],
)
def test_fields_out_of_bounds_are_refused(part, message):
    with pytest.raises(ValueError, match=message):
        part.check()


@pytest.mark.parametrize("part", [Steps(), Cosine()])
def test_an_epoch_without_steps_is_refused(part):
    with pytest.raises(ValueError, match="^steps_per_epoch is 0; allowed is 1"):
        part.make(0, 0.1)


def test_cosine_by_hand():
    schedule = jax.jit(Cosine(epochs=7, warmup=2).make(2, 0.2))
    rates = [float(schedule(step)) for step in (0, 1, 3, 4, 9, 14, 20)]
    np.testing.assert_allclose(
        rates, [0.05, 0.1, 0.2, 0.2, 0.1, 0.0, 0.0], rtol=1e-6, atol=1e-8
    )


def test_cosine_matches_optax():
    ours = Cosine(epochs=10, warmup=0).make(5, 0.2)
    theirs = optax.cosine_decay_schedule(0.2, 50)
    for step in range(0, 60, 7):
        np.testing.assert_allclose(ours(step), theirs(step), rtol=1e-5, atol=1e-8)


@pytest.mark.parametrize(
    ("fields", "rates"),
    [
        # by hand: 1, 1/2 and 0 of the cosine's range at a third, half and all of it
        ({"epochs": 6, "warmup": 2, "start": 0.0, "last": 0.0}, {0: 0.5, 1: 0.75}),
        ({"epochs": 6, "warmup": 2, "start": 0.2, "last": 0.1}, {0: 0.6, 1: 0.775}),
        ({"epochs": 6, "warmup": 0, "last": 0.1}, {2: 0.55, 3: 0.325, 5: 0.1}),
    ],
)
def test_a_cosine_by_epochs_counts_them_from_one(fields, rates):
    part = CosineByEpoch(**fields)
    part.check()
    schedule = jax.jit(part.make(7, 2.0))
    for epoch, rate in rates.items():
        for step in (7 * epoch, 7 * epoch + 6):
            np.testing.assert_allclose(schedule(step), 2 * rate, rtol=1e-6)
    assert schedule(10**6) == schedule(41)


def test_a_warm_up_may_start_above_0():
    schedule = Steps(6, warmup=4, drops=((5, 0.1),), start=0.2).make(3, 2.0)
    by_epoch = [0.4, 0.6, 0.8, 1.0, 1.0, 0.1]  # 0.2 and a quarter of 0.8 more each
    rates = [np.asarray(schedule(step)) for step in range(18)]
    np.testing.assert_allclose(rates, np.repeat(np.multiply(2, by_epoch), 3), rtol=1e-6)
