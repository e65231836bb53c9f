"""A system: `init`, `step` and `embed`, three functions of a state of plain dicts.

The network is taken apart once: its structure is static, its parameters and running
statistics are nested dicts of arrays, and every function is plain `jax.jit`.
Measured on a ResNet-50-sized tree: 1 ms of host time a step.
"""

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from flax import nnx
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from jaxtyping import Array

from jreid.models.modules.keys import WeightKeys
from jreid.training.adam_counts import counted_apart
from jreid.training.forward import make_embed, make_forward
from jreid.training.optimizers import check_groups
from jreid.training.players import Player
from jreid.training.state import (
    Scalars,
    TrainState,
    Tree,
    network_structure,
    params_and_stats,
)
from jreid.training.subtrees import paths_of, split_by
from jreid.training.update import update_all, update_players


class System(NamedTuple):
    """A system to train: three functions.

    `init(seed) -> TrainState`; `step(state, batch, phase=0) -> (state, scalars)`, which
    reuses the given state's memory; `embed(params, stats, images, modality) -> {name:
    [b d]}`, where `images` are uint8 [b h w 3], all of one modality.
    """

    init: Callable[[int], TrainState]
    step: Callable[..., tuple[TrainState, Scalars]]
    embed: Callable[..., dict[str, Array]]


class Work(NamedTuple):
    """What is minimised in one phase, over which columns, moving which parameters."""

    objective: Mapping[str, Any]  # terms by name
    views: Mapping[str, Any]
    trainable: str = ""  # pattern of parameters' paths; "": all
    epoch: Callable[[Array], Array] = jnp.zeros_like  # that a step is in, from 0
    players: tuple[str, ...] = ()  # who play; none: all


def make_system(
    make_network: Callable[[nnx.Rngs], nnx.Module],
    works: Sequence[Work],
    *,
    optimizers: Mapping[str, Any],
    schedules: Mapping[str, optax.Schedule],
    embedding: Any,
    stem_of: Mapping[str, str],
    seed: int,
    mesh: Mesh,
    players: Mapping[str, Player] | None = None,
    memory: Any = None,
    watched: bool = False,
) -> System:
    """A system of these parts, replicated over `mesh`.

    Args:
      make_network: the network for the number of training identities.
      works: of each phase what is trained; one compilation each.
      optimizers, schedules: of each player; without players of "", which is all. A
        schedule gives the learning rate of the run's step.
      embedding: outputs to test vectors.
      stem_of: the stem of each modality's images, by name.
      seed: of the randomness in the step, whose key is `fold_in(key(seed), step)`.
      players: updated in order within a step, each with its own loss and parameters.
      memory: what the system carries besides; see `training.memory`.
      watched: whether the scalars include those of `scalars_by_part`.
    """
    graphdef, frozen = network_structure(make_network)
    txs = {name: optimizers[name].make(schedules[name]) for name in optimizers}

    def make_state(key: jax.Array) -> TrainState:
        params, stats = params_and_stats(make_network(WeightKeys(key)))
        parts = {n: _own(players, n, params) for n in txs}
        for name, part in parts.items():
            check_groups(optimizers[name].groups, paths_of(part))
        _check_trainable(works, parts)
        opt_state = {name: txs[name].init(part) for name, part in parts.items()}
        if any(work.trainable for work in works):
            opt_state = counted_apart(opt_state)
        extra = {} if memory is None else memory.init(params)
        if not players:
            opt_state = opt_state[""]
        return TrainState(jnp.int32(0), params, stats, opt_state, extra)

    # One compilation for the whole network.
    replicated = NamedSharding(mesh, PartitionSpec())
    initial = jax.jit(make_state, out_shardings=replicated)

    run = make_forward(graphdef, seed)

    @functools.partial(jax.jit, donate_argnums=0, static_argnums=2)
    def step(
        state: TrainState, batch: Mapping[str, Any], phase: int = 0
    ) -> tuple[TrainState, Scalars]:
        work = works[phase]
        if players:
            return update_players(run, players, txs, work, memory, state, batch)
        return update_all(run, txs[""], work, memory, state, batch, watched)

    def init(seed: int) -> TrainState:
        return initial(jax.random.key(seed))

    return System(init, step, make_embed(frozen, embedding, stem_of))


def _own(players: Mapping[str, Player] | None, name: str, params: Tree) -> Tree:
    if not players:
        return params
    mine, others = split_by(players[name].params, params)
    if not mine:
        top = dict.fromkeys(path.split("/")[0] for path in paths_of(others))
        raise ValueError(
            f"config.players.{name}.params is {players[name].params!r}, with which no "
            f"parameter's path begins; they begin with {', '.join(top)}"
        )
    return mine


def _check_trainable(works: Sequence[Work], parts: Mapping[str, Tree]) -> None:
    """Raises ValueError if a phase moves nothing of those who play in it."""
    for index, work in enumerate(works):
        playing = {n: p for n, p in parts.items() if n in (work.players or parts)}
        moved = (split_by(work.trainable, part)[0] for part in playing.values())
        if work.trainable and not any(moved):
            paths = (path for part in playing.values() for path in paths_of(part))
            top = dict.fromkeys(path.split("/")[0] for path in paths)
            of = f" of those who play, {', '.join(playing)}," if any(playing) else ""
            raise ValueError(
                f"config.phases.{index}.trainable is {work.trainable!r}, with which no "
                f"parameter's path{of} begins; they begin with {', '.join(top)}"
            )
