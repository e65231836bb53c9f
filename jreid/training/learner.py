"""The training state as plain dicts, and a system: `init`, `step` and `embed`.

The network is taken apart once: its structure is static, its parameters and running
statistics are nested dicts of arrays, and every function below is plain `jax.jit`.
Measured on a ResNet-50-sized tree: 1 ms of host time a step.
"""

import functools
import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec
from jaxtyping import Array, Float, Int, UInt8

from jreid.data.datasets import MODALITY_NAMES
from jreid.data.rows import joined
from jreid.models.embedding import unit_rows
from jreid.models.modules.keys import WeightKeys
from jreid.training.objective import make_objective
from jreid.training.optimizers import check_groups
from jreid.training.players import Player
from jreid.training.scalars_by_part import by_part
from jreid.training.subtrees import merged, paths_of, split_by, unmoved

# ImageNet's channel means and standard deviations, of images in [0, 1]
IMAGE_MEAN = (0.485, 0.456, 0.406)
IMAGE_STD = (0.229, 0.224, 0.225)

Tree = Any  # nested dicts of arrays
Scalars = dict[str, Array]


class TrainState(NamedTuple):
    """Everything that a checkpoint holds."""

    step: Int[Array, ""]  # steps already taken
    params: Tree
    stats: Tree  # running means and variances of the BatchNorms
    opt_state: Tree
    extra: Tree  # what a system carries besides: {} for most


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


def normalise(images: UInt8[Array, "*n c"]) -> Float[Array, "*n c"]:
    """Grey levels 0..255 to zero mean and unit variance by ImageNet's statistics."""
    over = tuple(range(images.ndim - 1))
    dtype = jnp.result_type(float)  # float32, or float64 where JAX has it enabled
    mean, std = (
        jnp.expand_dims(jnp.array(v, dtype), over) for v in (IMAGE_MEAN, IMAGE_STD)
    )
    return (images.astype(dtype) / 255 - mean) / std


def data_mesh(devices=None) -> Mesh:
    """The devices of all processes in one row, which divides a batch's groups."""
    if devices is None:  # a process's devices side by side: it decodes one stretch
        devices = sorted(jax.devices(), key=lambda d: (d.process_index, d.id))
    return Mesh(np.array(devices), ("data",), axis_types=(AxisType.Auto,))


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
        opt_state = {name: txs[name].init(part) for name, part in parts.items()}
        extra = {} if memory is None else memory.init(params)
        if not players:
            opt_state = opt_state[""]
        return TrainState(jnp.int32(0), params, stats, opt_state, extra)

    # One compilation for the whole network.
    replicated = NamedSharding(mesh, PartitionSpec())
    initial = jax.jit(make_state, out_shardings=replicated)

    run = _forward(graphdef, seed)

    @functools.partial(jax.jit, donate_argnums=0, static_argnums=2)
    def step(
        state: TrainState, batch: Mapping[str, Any], phase: int = 0
    ) -> tuple[TrainState, Scalars]:
        work = works[phase]
        if players:
            return _step_of_players(run, players, txs, work, memory, state, batch)
        return _step(run, txs[""], work, memory, state, batch, watched)

    def init(seed: int) -> TrainState:
        return initial(jax.random.key(seed))

    return System(init, step, make_embed(frozen, embedding, stem_of))


def network_structure(
    make_network: Callable[[nnx.Rngs], nnx.Module],
) -> tuple[nnx.GraphDef, nnx.GraphDef]:
    """The network's static structure twice: for training and, frozen, for embedding."""
    network = nnx.eval_shape(lambda: make_network(WeightKeys(0)))
    # A network without BatchNorms is the same in both.
    frozen = nnx.view(network, use_running_average=True, raise_if_not_found=False)
    return nnx.graphdef(network), nnx.graphdef(frozen)


def abstract_params_and_stats(
    make_network: Callable[[nnx.Rngs], nnx.Module], mesh: Mesh
) -> tuple[Tree, Tree]:
    """Shapes of parameters and statistics, replicated over `mesh`, to restore into."""
    network = nnx.eval_shape(lambda: make_network(WeightKeys(0)))
    replicated = NamedSharding(mesh, PartitionSpec())

    def leaf(array):
        return jax.ShapeDtypeStruct(array.shape, array.dtype, sharding=replicated)

    return jax.tree.map(leaf, params_and_stats(network))


def params_and_stats(network: nnx.Module) -> tuple[Tree, Tree]:
    """A network's parameters and running statistics, as plain dicts."""
    params, stats = nnx.state(network, nnx.Param, nnx.BatchStat)
    return nnx.to_pure_dict(params), nnx.to_pure_dict(stats)


def make_embed(
    frozen: nnx.GraphDef, embedding: Any, stem_of: Mapping[str, str]
) -> Callable[..., dict[str, Float[Array, "b d"]]]:
    """Returns the jitted `embed(params, stats, images, modality) -> {name: [b d]}`.

    `images` is uint8 [b h w 3], all of one modality; each modality has its own program.
    """

    @functools.partial(jax.jit, static_argnames="modality")
    def embed(params, stats, images, modality):
        network = nnx.merge(frozen, params, stats)
        pixels = normalise(images)
        views = [pixels, pixels[:, :, ::-1]] if embedding.flip else [pixels]
        stems = {modality: stem_of[modality]}
        number = MODALITY_NAMES.index(modality)
        rows = {modality: jnp.full(len(pixels), number, jnp.int32)}
        given = asked_for(network.embed, modality=rows)
        outputs = [network.embed({modality: view}, stems, **given) for view in views]
        return embedding(*outputs)

    return embed


def _own(players: Mapping[str, Player] | None, name: str, params: Tree) -> Tree:
    return split_by(players[name].params, params)[0] if players else params


def _forward(graphdef: nnx.GraphDef, seed: int):
    """Returns `run(params, stats, batch, state, work, objective, **more)`.

    It gives the loss, and beside it scalars, new statistics, outputs and rows.
    """

    def run(params, stats, batch, state, work, objective, **more):
        network = nnx.merge(graphdef, params, stats)
        rng = jax.random.fold_in(jax.random.key(seed), state.step)
        images = _device_images(batch["images"], work.views, jax.random.fold_in(rng, 0))
        stems = {name: view.stem for name, view in work.views.items()}
        given = asked_for(network, modality=batch["modality"])
        own = jax.random.fold_in(rng, 1)
        outputs = network(images, stems, rng=own, **given, **more)
        rows = _rows(batch, work.views, outputs, state)
        if "made" in more:
            rows["made"] = more["made"]
        loss, scalars = objective(outputs, rows, jax.random.fold_in(rng, 2))
        scalars |= _branch_agreement(outputs.get("embeddings", {}))
        new_stats = nnx.to_pure_dict(nnx.state(network, nnx.BatchStat))
        return loss, (scalars, new_stats, outputs, rows)

    return run


def asked_for(method: Callable[..., Any], **known: Any) -> dict[str, Any]:
    """Those of `known` that the method has parameters for: a network need not."""
    parameters = inspect.signature(method).parameters.values()
    if any(p.kind is p.VAR_KEYWORD for p in parameters):
        return known
    return {p.name: known[p.name] for p in parameters if p.name in known}


def _device_images(columns, views, rng):
    images = {}
    for number, (name, view) in enumerate(views.items()):
        image = normalise(columns[name])
        for place, augment in enumerate(view.device):
            own = jax.random.fold_in(jax.random.fold_in(rng, number), place)
            image = augment(image, own)
        images[name] = image
    return images


def _rows(batch, views, outputs, state):
    """What a term knows of the rows of the outputs; see `losses`."""
    columns = {
        name: [batch[name][view] for view in views] for name in ("ids", "modality")
    }
    columns["view"] = [jnp.full_like(c, i) for i, c in enumerate(columns["ids"])]
    columns["slot"] = [jnp.arange(len(c), dtype=jnp.int32) for c in columns["ids"]]
    rows = {name: joined(parts) for name, parts in columns.items()}
    count = len(rows["ids"])
    if "source" in outputs:
        rows = {name: row[outputs["source"]] for name, row in rows.items()}
    rows["source"] = outputs.get("source", jnp.arange(count))
    rows["copy"] = outputs.get("copy", jnp.zeros(count, jnp.int32))
    return rows | {"step": state.step, "extra": state.extra}


def _step(run, tx, work, memory, state, batch, watched):
    objective = make_objective(work.objective)

    def loss(params):
        return run(params, state.stats, batch, state, work, objective)

    (_, (scalars, stats, outputs, rows)), grads = jax.value_and_grad(
        loss, has_aux=True
    )(state.params)
    updates, opt_state = tx.update(grads, state.opt_state, state.params)
    params = optax.apply_updates(state.params, updates)
    if work.trainable:
        fixed = frozenset(paths_of(split_by(work.trainable, params)[1]))
        params = unmoved(params, state.params, fixed)
        opt_state = unmoved(opt_state, state.opt_state, fixed)
    scalars["grad_norm"] = optax.tree.norm(grads)
    if watched:
        scalars |= by_part(state.params, grads, updates, outputs)
    extra = _remember(memory, state.extra, outputs, rows, params)
    return TrainState(state.step + 1, params, stats, opt_state, extra), scalars


def _step_of_players(run, players, txs, work, memory, state, batch):
    """Each player in order: the gradient of its own loss in its own parameters.

    What an earlier player's outputs hold as "images" is `made` for the later ones. A
    player none of whose parameters the phase trains does not play in it.
    """
    scalars, made = {}, {}
    for name, player in players.items():
        mine = split_by(player.params, state.params)[0]
        if work.trainable and not split_by(work.trainable, mine)[0]:
            continue
        own = batch["players"][name] if player.sampling is not None else batch
        state, values, images = _turn(
            functools.partial(run, player=name, made=made),
            (name, player, txs[name]),
            work,
            memory,
            state,
            own,
        )
        made = made | images
        scalars |= {f"{name}/{key}": value for key, value in values.items()}
    losses = [value for key, value in scalars.items() if key.endswith("/loss")]
    scalars["loss"] = sum(losses[1:], start=losses[0])
    return state._replace(step=state.step + 1), scalars


def _turn(run, named_player, work, memory, state, batch):
    """One player's update; the step's number stays."""
    name, player, tx = named_player
    mine, others = split_by(player.params, state.params)
    objective = make_objective(player.objective)

    def loss(mine):
        whole = merged(mine, others)
        return run(whole, state.stats, batch, state, work, objective)

    (_, (scalars, stats, outputs, rows)), grads = jax.value_and_grad(
        loss, has_aux=True
    )(mine)
    updates, opt_state = tx.update(grads, state.opt_state[name], mine)
    moved = optax.apply_updates(mine, updates)
    if work.trainable:
        fixed = frozenset(paths_of(split_by(work.trainable, mine)[1]))
        moved = unmoved(moved, mine, fixed)
        opt_state = unmoved(opt_state, state.opt_state[name], fixed)
    if player.every > 1:
        plays = state.step % player.every == 0
        moved, opt_state, stats = jax.tree.map(
            lambda new, old: jnp.where(plays, new, old),
            (moved, opt_state, stats),
            (mine, state.opt_state[name], state.stats),
        )
    scalars["grad_norm"] = optax.tree.norm(grads)
    params = merged(moved, others)
    state = TrainState(
        state.step,
        params,
        stats,
        {**state.opt_state, name: opt_state},
        _remember(memory, state.extra, outputs, rows, params),
    )
    return state, scalars, jax.lax.stop_gradient(outputs.get("images", {}))


def _remember(memory, extra, outputs, rows, params):
    if memory is None:
        return extra
    detached = jax.lax.stop_gradient((outputs, rows, params))
    return extra | memory.update(extra, *detached)


def _branch_agreement(embeddings):
    """cosine(v1, v2): near 1 the second branch adds nothing to the first."""
    if len(embeddings) < 2:
        return {}
    (a, first), (b, second) = list(embeddings.items())[:2]
    if first.shape != second.shape:
        return {}
    cosine = (unit_rows(first) * unit_rows(second)).sum(-1).mean()
    return {f"cosine_{a}_{b}": cosine}
