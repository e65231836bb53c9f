"""What is carried from step to step: averages that follow parameters, and epochs."""

from types import SimpleNamespace

import jax.numpy as jnp
import numpy as np
import pytest

from jreid.training.memory import MovingAverage
from jreid.training.plan import plan
from jreid.training.weak_scales import WeakScales


@pytest.mark.parametrize("falls", [0, 100])
def test_an_average_follows_at_the_rate_of_its_epoch(falls):
    """MPANet's: .2 min(100 / (epoch + 1), 1), epochs counted from 1."""
    memory = MovingAverage("head", rate=0.2, falls=falls)
    values = np.random.default_rng(0).normal(size=150).astype(np.float32)
    extra = memory.init({"head": {"kernel": jnp.float32(0)}, "trunk": jnp.ones(2)})
    assert set(extra["average"]) == {"head"}
    expected = 0.0
    for epoch in (1, 2, 98, 99, 100, 101, 140):
        rate = 0.2 * min(100 / (epoch + 1), 1) if falls else 0.2
        now = values[epoch]
        expected = (1 - rate) * expected + rate * now
        params = {"head": {"kernel": now}, "trunk": jnp.ones(2)}
        extra = memory.update(extra, {}, {"epoch": epoch - 1}, params)
        found = extra["average"]["head"]["kernel"]
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


def test_the_fraction_of_weak_scales_is_told():
    memory = WeakScales("norm/scale", threshold=0.7)
    params = {"norm": {"scale": jnp.ones((2, 4)), "bias": jnp.zeros(8)}}
    extra = memory.init(params)
    assert float(memory.scalars(extra)["exchanged"]) == 0
    params["norm"]["scale"] = jnp.asarray([[0.7, -0.6, 0, 0.8], [1, 1, -1, 0.69]])
    extra = extra | memory.update(extra, {}, {}, params)
    assert float(memory.scalars(extra)["exchanged"]) == 3 / 8
    with pytest.raises(ValueError, match=r"'norm/p', which no path .*there are norm$"):
        WeakScales("norm/p").init(params)
    with pytest.raises(ValueError, match="threshold is -1"):
        WeakScales("norm/scale", threshold=-1.0).check()


def test_fields_out_of_bounds_are_refused():
    for part, message in (
        (MovingAverage("head", rate=0.0), "rate is 0.0"),
        (MovingAverage("head", falls=-1), "falls is -1"),
    ):
        with pytest.raises(ValueError, match=message):
            part.check()
    with pytest.raises(ValueError, match="'tail', which no path matches"):
        MovingAverage("tail").init({"head": jnp.ones(1)})


def test_epochs_are_counted_on_through_phases():
    """Two epochs of three steps, three of two, one of five."""

    def phase(epochs, steps):
        sampling = SimpleNamespace(steps_per_epoch=lambda _: steps)
        own = {"objective": {}, "views": {}, "trainable": ""}
        own |= {"schedule": None, "players": ()}
        return SimpleNamespace(epochs=epochs, sampling=sampling, **own)

    config = SimpleNamespace(
        phases=[phase(2, 3), phase(3, 2), phase(1, 5)],
        **{"steps_per_epoch": 0, "objective": {}, "views": {}, "sampling": None},
    )
    phases = plan(config, None)
    found = [int(p.epoch(s)) for p in phases for s in range(p.first, p.last)]
    assert found == [0] * 3 + [1] * 3 + [2] * 2 + [3] * 2 + [4] * 2 + [5] * 5
    last = [3, 6, 8, 10, 12, 17]  # steps of the epochs, from 1
    for every in range(8):
        steps = [(p, s + 1) for p in phases for s in range(p.first, p.last)]
        ending = [step for p, step in steps if p.ends_epoch(step, every)]
        assert ending == (last[every - 1 :: every] if every else [])
