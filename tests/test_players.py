"""Players in turn: each at the rate of the run's step, also where it had to rest."""

from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from jreid.processes.sharding import data_mesh
from jreid.training.adam_counts import AdamState
from jreid.training.learner import Work, make_system
from jreid.training.memory import MovingAverage
from jreid.training.optimizers import SGD, Adam
from jreid.training.phases import Phase
from jreid.training.plan import plan, schedule_of_run
from jreid.training.players import Player
from jreid.training.schedules import Steps
from jreid.training.state import TrainState
from jreid.training.update import update_all, update_players

EPOCH = 10
PLAIN = SGD(lr=1.0, momentum=0.0, nesterov=False, weight_decay=0.0, groups=())


class Slope:
    """A loss whose gradient is `of` at every point."""

    weight = 1.0

    def __init__(self, of=1.0):
        self.of = of

    def __call__(self, outputs, batch, rng=None):
        return self.of * outputs["x"]


def run_of(whole, stats, batch, state, work, objective, player=None, made=None):
    """Stands for the network: its output is the player's parameter."""
    loss, scalars = objective({"x": whole[player]}, {}, None)
    return loss, (scalars, stats, {"x": whole[player]}, {"epoch": 0})


def planned(phases, schedule):
    config = SimpleNamespace(
        phases=phases,
        steps_per_epoch=EPOCH,
        schedule=schedule,
        objective={},
        views={},
        sampling=None,
    )
    return plan(config, None)


def moves(phases, players, schedule):
    """By player the planned rates, and how far each step moved it."""
    phases = planned(phases, schedule)
    rates = {name: schedule_of_run(schedule, phases, 1.0) for name in players}
    txs = {name: PLAIN.make(rates[name]) for name in players}
    params = {name: jnp.zeros(()) for name in players}
    opt = {name: txs[name].init({name: params[name]}) for name in players}
    state = TrainState(jnp.int32(0), params, {}, opt, {})
    found = {name: [] for name in players}
    for phase in phases:
        work = Work({}, {}, players=phase.players)

        @jax.jit
        def step(state, work=work):
            return update_players(run_of, players, txs, work, None, state, {})[0]

        for _ in range(phase.first, phase.last):
            before, state = state.params, step(state)
            for name in players:
                found[name].append(float(before[name] - state.params[name]))
    last = range(phases[-1].last)
    return {n: [float(rates[n](s)) for s in last] for n in players}, found


def test_a_player_who_rested_for_a_phase_has_the_rate_of_the_runs_step():
    schedule = Steps(epochs=6, warmup=2, drops=((4, 0.1),))
    players = {name: Player({"slope": Slope()}, name) for name in "ab"}
    phases = [Phase(3, players=("a",)), Phase(3)]
    rates, found = moves(phases, players, schedule)
    np.testing.assert_allclose(found["a"], rates["a"], rtol=1e-4)
    np.testing.assert_allclose(found["b"][:30], 0)
    np.testing.assert_allclose(found["b"][30:], rates["b"][30:], rtol=1e-4)
    assert set(np.round(rates["b"][30:], 6)) == {1.0, 0.1}  # the drop is in there


def test_so_has_one_whose_phase_has_a_schedule_of_its_own():
    schedule = Steps(epochs=6, warmup=0, drops=())
    own = Steps(epochs=3, warmup=2, drops=((2, 0.1),))
    players = {name: Player({"slope": Slope()}, name) for name in "ab"}
    phases = [Phase(3, players=("a",)), Phase(3, schedule=own)]
    rates, found = moves(phases, players, schedule)
    assert rates["b"][30] == 0.5  # its warm-up
    np.testing.assert_allclose(found["b"][30:], rates["b"][30:], rtol=1e-4)


def test_and_one_who_moves_in_every_fifth_step():
    schedule = Steps(epochs=10, warmup=0, drops=((5, 0.1),))
    players = {"a": Player({"slope": Slope()}, "a", every=5)}
    rates, found = moves([], players, schedule)
    moving = np.arange(100) % 5 == 0
    np.testing.assert_allclose(np.array(found["a"])[~moving], 0)
    np.testing.assert_allclose(
        np.array(found["a"])[moving], np.array(rates["a"])[moving], rtol=1e-4
    )


def test_a_memory_moves_once_in_a_step_of_several_players():
    players = {name: Player({"slope": Slope()}, name) for name in "ab"}
    tx = PLAIN.make(lambda step: 1.0)
    params = {name: jnp.zeros(()) for name in players}
    memory = MovingAverage("b", rate=0.5)
    opt = {name: tx.init({name: params[name]}) for name in players}
    state = TrainState(jnp.int32(0), params, {}, opt, memory.init(params))
    txs, expected = dict.fromkeys(players, tx), 0.0
    for step in range(3):
        state, scalars = update_players(
            run_of, players, txs, Work({}, {}), memory, state, {}
        )
        expected += 0.5 * (-(step + 1) - expected)
        assert float(state.extra["average"]["b"]) == expected
        assert {"a/loss", "b/loss", "loss"} <= scalars.keys()


@pytest.mark.parametrize("slope_at_rest", [0.0, 1000.0])
def test_a_clip_looks_at_the_gradients_of_what_moves_alone(slope_at_rest):
    clipped = SGD(
        lr=1.0, momentum=0.0, nesterov=False, weight_decay=0.0, clip_norm=1.0, groups=()
    )
    tx = clipped.make(lambda step: 1.0)
    params = {"moves": jnp.zeros(()), "rests": jnp.zeros(())}

    def run(whole, stats, batch, state, work, objective):
        value = 0.5 * whole["moves"] + slope_at_rest * whole["rests"]
        loss, scalars = objective({"x": value}, {}, None)
        return loss, (scalars, stats, {"features": {}}, {})

    state = TrainState(jnp.int32(0), params, {}, tx.init(params), {})
    work = Work({"slope": Slope()}, {}, trainable="moves")
    state, scalars = update_all(run, tx, work, None, state, {}, False)
    assert float(state.params["moves"]) == -0.5
    assert float(state.params["rests"]) == 0
    assert float(scalars["grad_norm"]) == 0.5


def test_a_path_that_ends_with_anothers_moves_alone():
    """A teacher's trunk and the trunk, in either role."""
    momentum = SGD(lr=1.0, momentum=0.5, nesterov=False, weight_decay=0.0, groups=())
    tx = momentum.make(lambda step: 1.0)
    params = {"trunk": jnp.zeros(()), "teacher": {"trunk": jnp.zeros(())}}

    def run(whole, stats, batch, state, work, objective):
        loss, scalars = objective({"x": whole["trunk"] + whole["teacher"]["trunk"]}, {})
        return loss, (scalars, stats, {"features": {}}, {})

    for trainable, expected in (("teacher", (0, -2.5)), ("trunk", (-2.5, 0))):
        state = TrainState(jnp.int32(0), params, {}, tx.init(params), {})
        work = Work({"slope": Slope()}, {}, trainable=trainable)
        for _ in range(2):  # momentum 1, then 1.5
            state, _ = update_all(run, tx, work, None, state, {}, False)
        found = state.params["trunk"], state.params["teacher"]["trunk"]
        assert tuple(map(float, found)) == expected


class Two(nnx.Module):
    """A network of two parameters, of a player each."""

    def __init__(self, rngs):
        self.a, self.b = nnx.Param(jnp.zeros(2)), nnx.Param(jnp.zeros(2))


def system_of(phases, names):
    """Of a player for each name, or without players."""
    optimizers = dict.fromkeys(names or [""], Adam(groups=()))
    return make_system(
        Two,
        [Work({}, {}, p.trainable, players=p.players) for p in phases],
        optimizers=optimizers,
        schedules=dict.fromkeys(optimizers, lambda step: 1.0),
        embedding=None,
        stem_of={},
        seed=0,
        mesh=data_mesh(),
        players={name: Player({"slope": Slope()}, name) for name in names},
    )


@pytest.mark.parametrize(
    ("names", "phase", "told"),
    [
        (
            "",
            Phase(1, trainable="c"),
            "'c', with which no parameter's path begins; they",
        ),
        (
            "ab",
            Phase(1, trainable="c"),
            "path of those who play, a, b, begins; they .* a",
        ),
        (
            "ab",
            Phase(1, trainable="a", players=("b",)),
            "play, b, begins; .* with b\n",
        ),
    ],
)
def test_a_phase_that_moves_nothing_is_refused(names, phase, told):
    system_of([Phase(1), Phase(1, trainable="a")], names).init(0)
    with pytest.raises(ValueError, match=rf"^config.phases.1.trainable is .*{told}"):
        system_of([Phase(1), phase], names).init(0)


@pytest.mark.parametrize("names", ["", "ab"])
def test_updates_are_counted_apart_only_where_a_phase_holds_some_still(names):
    def is_adam(part):
        return isinstance(part, AdamState)

    for trainable in ("", "a"):
        state = system_of([Phase(1, trainable=trainable), Phase(1)], names).init(0)
        parts = jax.tree.leaves(state.opt_state, is_leaf=is_adam)
        adams = [part for part in parts if is_adam(part)]
        assert len(adams) == len(names or "1")
        for adam in adams:
            shape = adam.mu if trainable else 0
            assert jax.tree.structure(adam.count) == jax.tree.structure(shape)


def test_the_loss_is_the_sum_of_all_players():
    players = {
        "a": Player({"slope": Slope()}, "a"),
        "b": Player({"slope": Slope(3.0)}, "b"),
    }
    tx = PLAIN.make(lambda step: 1.0)
    params = {"a": jnp.float32(2), "b": jnp.float32(5)}
    opt = {name: tx.init({name: params[name]}) for name in players}
    state = TrainState(jnp.int32(0), params, {}, opt, {})
    txs = dict.fromkeys(players, tx)
    _, scalars = update_players(run_of, players, txs, Work({}, {}), None, state, {})
    assert [float(scalars[n]) for n in ("a/loss", "b/loss", "loss")] == [2, 15, 17]
