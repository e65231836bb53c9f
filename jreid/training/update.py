"""One step's new state: one objective for all parameters, or players in turn."""

import functools

import jax
import jax.numpy as jnp
import optax

from jreid.training.made import Made
from jreid.training.objective import make_objective
from jreid.training.scalars_by_part import by_part
from jreid.training.state import TrainState
from jreid.training.subtrees import merged, paths_of, split_by, unmoved


def update_all(run, tx, work, memory, state, batch, watched):
    """All parameters, moved by the gradient of the phase's one objective."""
    objective = make_objective(work.objective)

    def loss(params):
        return run(params, state.stats, batch, state, work, objective)

    params, opt_state, grads, updates, (scalars, stats, outputs, rows) = _descend(
        loss, tx, work.trainable, state.params, state.opt_state, state.step
    )
    if watched:
        scalars |= by_part(state.params, grads, updates, outputs)
    scalars |= _told(memory, state.extra)
    extra = _remember(memory, state.extra, outputs, rows, params)
    return TrainState(state.step + 1, params, stats, opt_state, extra), scalars


def update_players(run, players, txs, work, memory, state, batch):
    """Each player in order: the gradient of its own loss in its own parameters.

    What an earlier player's outputs hold as "images" is `made` for the later ones. A
    player whom the phase leaves out, or none of whose parameters it trains, does not
    play in it. The memory sees the last one's outputs and rows, with all scalars.
    """
    scalars, made, outputs, rows = {}, {}, {}, {}
    for name, player in players.items():
        if work.players and name not in work.players:
            continue
        mine = split_by(player.params, state.params)[0]
        if work.trainable and not split_by(work.trainable, mine)[0]:
            continue
        own = batch["players"][name] if player.sampling is not None else batch
        state, values, (outputs, rows) = _turn(
            functools.partial(run, player=name, made=Made(made, name)),
            (name, player, txs[name]),
            work,
            state,
            own,
        )
        made = made | jax.lax.stop_gradient(outputs.get("images", {}))
        scalars |= {f"{name}/{key}": value for key, value in values.items()}
    losses = [value for key, value in scalars.items() if key.endswith("/loss")]
    scalars["loss"] = sum(losses[1:], start=losses[0])
    scalars |= _told(memory, state.extra)
    rows = rows | {"losses": scalars}
    extra = _remember(memory, state.extra, outputs, rows, state.params)
    return state._replace(step=state.step + 1, extra=extra), scalars


def _turn(run, named_player, work, state, batch):
    """One player's update; the step's number stays."""
    name, player, tx = named_player
    mine, others = split_by(player.params, state.params)
    objective = make_objective(player.objective, name)

    def loss(mine):
        whole = merged(mine, others)
        return run(whole, state.stats, batch, state, work, objective)

    moved, opt_state, _, _, (scalars, stats, outputs, rows) = _descend(
        loss, tx, work.trainable, mine, state.opt_state[name], state.step
    )
    if player.every > 1:
        plays = state.step % player.every == 0
        moved, opt_state, stats = jax.tree.map(
            lambda new, old: jnp.where(plays, new, old),
            (moved, opt_state, stats),
            (mine, state.opt_state[name], state.stats),
        )
    params = merged(moved, others)
    # a player that is thrown far away may still have finite losses and gradients
    way, norm = jax.tree.map(jnp.subtract, moved, mine), optax.tree.norm(mine)
    scalars["update_ratio"] = optax.tree.norm(way) / jnp.where(norm > 0, norm, jnp.inf)
    opt_states = {**state.opt_state, name: opt_state}
    state = TrainState(state.step, params, stats, opt_states, state.extra)
    return state, scalars, (outputs, rows)


def _descend(loss, tx, trainable, params, opt_state, step):
    """The parameters after one step of the optimiser; those not `trainable` stay.

    `loss(params) -> (value, (scalars, ...))`; the gradient's norm joins the scalars.
    """
    (_, found), grads = jax.value_and_grad(loss, has_aux=True)(params)
    opt_state = _at(step, opt_state)
    mine, others = split_by(trainable, params) if trainable else (params, {})
    moves = dict.fromkeys(paths_of(mine), True) | dict.fromkeys(paths_of(others), False)
    nothing = jax.tree.map(jnp.zeros_like, params)
    grads = unmoved(grads, nothing, moves)  # before a clip, which looks at all
    updates, new_opt_state = tx.update(grads, opt_state, params)
    updates = unmoved(updates, nothing, moves)
    new_opt_state = unmoved(new_opt_state, opt_state, moves)
    moved = optax.apply_updates(params, updates)
    found[0]["grad_norm"] = optax.tree.norm(grads)
    return moved, new_opt_state, grads, updates, found


def _at(step, opt_state):
    """The state of an optimiser whose schedule is at the run's step.

    By itself a schedule counts updates, which a player who rests does not have.
    """

    def counts(part):
        return isinstance(part, optax.ScaleByScheduleState)

    return jax.tree.map(
        lambda part: part._replace(count=step) if counts(part) else part,
        opt_state,
        is_leaf=counts,
    )


def _told(memory, extra):
    """The scalars of a memory that has any."""
    return memory.scalars(extra) if hasattr(memory, "scalars") else {}


def _remember(memory, extra, outputs, rows, params):
    if memory is None:
        return extra
    detached = jax.lax.stop_gradient((outputs, rows, params))
    return extra | memory.update(extra, *detached)
