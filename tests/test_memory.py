"""What is carried from step to step: averages that follow parameters, and epochs."""

from pathlib import Path
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jreid.run.pretrained import Pretrained, with_weights
from jreid.training.memory import MovingAverage
from jreid.training.phases import Phase
from jreid.training.plan import plan, schedule_of_run, steps_before, stop_of
from jreid.training.schedules import Cosine, Steps
from jreid.training.state import TrainState
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


def test_memories_begin_with_the_weights_that_a_run_begins_with():
    weights = Pretrained(Path("w.npz"), "", {}, {"head/scale": np.full(4, 7.0)})
    average, weak = MovingAverage("head"), WeakScales("head/scale")
    for memory, name in ((average, "average"), (weak, "exchanged")):
        params = {"head": {"scale": jnp.full(4, 0.1)}, "trunk": jnp.ones(2)}
        extra = {"labels": jnp.arange(3)} | memory.init(params)
        state = TrainState(jnp.int32(0), params, {}, {}, extra)
        filled = with_weights(state, weights, memory)
        assert filled.extra.keys() == {"labels", name}
        np.testing.assert_array_equal(filled.extra["labels"], np.arange(3))
        expected = {"head": {"scale": np.full(4, 7.0)}} if name == "average" else 0.0
        jax.tree.map(np.testing.assert_array_equal, filled.extra[name], expected)
        step = jax.jit(lambda s: jax.tree.map(lambda x: x + 1, s), donate_argnums=0)
        step(filled)  # no array is there twice


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


EPOCHS = [0] * 3 + [1] * 3 + [2] * 2 + [3] * 2 + [4] * 2 + [5] * 5


def three_phases(own=None):
    """Two epochs of three steps, three of two, one of five; the second's schedule."""

    def phase(epochs, steps, schedule=None):
        sampling = SimpleNamespace(steps_per_epoch=lambda _: steps)
        return Phase(epochs, sampling=sampling, schedule=schedule)

    config = SimpleNamespace(
        phases=[phase(2, 3), phase(3, 2, own), phase(1, 5)],
        **{"steps_per_epoch": 0, "objective": {}, "views": {}, "sampling": None},
    )
    return plan(config, None)


@pytest.mark.parametrize("own", [None, Steps(3, 0, ((2, 0.25),))])
def test_the_runs_schedule_goes_by_epochs_of_any_length(own):
    schedule = Steps(6, warmup=2, drops=((3, 0.1), (5, 0.01)))
    rate = schedule_of_run(schedule, three_phases(own), 1.0)
    by_epoch = [0.5, 1, 1, 0.1, 0.1, 0.01]
    if own is not None:
        by_epoch[2:5] = 1, 1, 0.25
    found = [float(rate(step)) for step in range(len(EPOCHS))]
    np.testing.assert_allclose(found, [by_epoch[epoch] for epoch in EPOCHS])
    assert [steps_before(three_phases(), e) for e in range(8)] == [
        *(EPOCHS.index(epoch) for epoch in range(6)),
        *(17, 22),  # as if the last phase went on
    ]


def test_a_cosine_falls_by_epochs_of_any_length_too():
    rate = schedule_of_run(Cosine(6, warmup=0), three_phases(), 1.0)
    passed = [e + EPOCHS[:s].count(e) / EPOCHS.count(e) for s, e in enumerate(EPOCHS)]
    expected = [(1 + np.cos(np.pi * epochs / 6)) / 2 for epochs in passed]
    shown = [float(rate(step)) for step in range(len(EPOCHS))]
    np.testing.assert_allclose(shown, expected, rtol=1e-5)


def test_epochs_are_counted_on_through_phases():
    phases = three_phases()
    found = [int(p.epoch(s)) for p in phases for s in range(p.first, p.last)]
    assert found == EPOCHS
    last = [3, 6, 8, 10, 12, 17]  # steps of the epochs, from 1
    for every in range(8):
        steps = [(p, s + 1) for p in phases for s in range(p.first, p.last)]
        ending = [step for p, step in steps if p.ends_epoch(step, every)]
        assert ending == (last[every - 1 :: every] if every else [])


def test_a_players_own_schedule_goes_before_a_phases():
    schedule = Steps(6, warmup=2, drops=((3, 0.1), (5, 0.01)))
    phases = three_phases(Steps(3, 0, ((2, 0.25),)))
    rate = schedule_of_run(schedule, phases, 1.0, alone=True)
    by_epoch = [0.5, 1, 1, 0.1, 0.1, 0.01]
    found = [float(rate(step)) for step in range(len(EPOCHS))]
    np.testing.assert_allclose(found, [by_epoch[epoch] for epoch in EPOCHS])


@pytest.mark.parametrize(("steps", "stop"), [(0, 17), (5, 5), (17, 17), (99, 17)])
def test_a_run_stops_at_its_steps_or_its_end(steps, stop):
    assert stop_of(SimpleNamespace(steps=steps), three_phases()) == stop
