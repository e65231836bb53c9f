"""The training state as plain dicts, and the jitted functions over it.

The network is taken apart once: its structure (`graphdef`) is static, its parameters
and running statistics are nested dicts of arrays, and every function below is plain
`jax.jit`. Measured on a ResNet-50-sized tree: 1 ms of host time a step.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec
from jaxtyping import Array, Float, Int, UInt8

# ImageNet's channel means and standard deviations, of images in [0, 1]
IMAGE_MEAN = (0.485, 0.456, 0.406)
IMAGE_STD = (0.229, 0.224, 0.225)

Tree = Any  # nested dicts of arrays


class TrainState(NamedTuple):
    """Everything that a checkpoint holds."""

    step: Int[Array, ""]  # steps already taken
    params: Tree
    stats: Tree  # running means and variances of the BatchNorms
    opt_state: Tree


def normalise(images: UInt8[Array, "*n c"]) -> Float[Array, "*n c"]:
    """Grey levels 0..255 to zero mean and unit variance by ImageNet's statistics."""
    over = tuple(range(images.ndim - 1))
    dtype = jnp.result_type(float)  # float32, or float64 where JAX has it enabled
    mean, std = (
        jnp.expand_dims(jnp.array(v, dtype), over) for v in (IMAGE_MEAN, IMAGE_STD)
    )
    return (images.astype(dtype) / 255 - mean) / std


def data_mesh(devices=None) -> Mesh:
    """The devices of all processes in one row, which divides a batch's slots."""
    if devices is None:  # a process's devices side by side: it decodes one stretch
        devices = sorted(jax.devices(), key=lambda d: (d.process_index, d.id))
    return Mesh(np.array(devices), ("data",), axis_types=(AxisType.Auto,))


def network_structure(
    make_network: Callable[[nnx.Rngs], nnx.Module],
) -> tuple[nnx.GraphDef, nnx.GraphDef]:
    """The network's static structure twice: for training and, frozen, for embedding."""
    network = nnx.eval_shape(lambda: make_network(nnx.Rngs(0)))
    frozen = nnx.view(network, use_running_average=True)
    return nnx.graphdef(network), nnx.graphdef(frozen)


def init_state(
    make_network: Callable[[nnx.Rngs], nnx.Module],
    tx: optax.GradientTransformation,
    seed: int,
    mesh: Mesh,
) -> TrainState:
    """A new state, replicated over `mesh`; one compilation for the whole network."""

    def init(key):
        params, stats = _params_and_stats(make_network(nnx.Rngs(key)))
        return TrainState(jnp.int32(0), params, stats, tx.init(params))

    replicated = NamedSharding(mesh, PartitionSpec())
    return jax.jit(init, out_shardings=replicated)(jax.random.key(seed))


def abstract_params_and_stats(
    make_network: Callable[[nnx.Rngs], nnx.Module], mesh: Mesh
) -> tuple[Tree, Tree]:
    """Shapes of parameters and statistics, replicated over `mesh`, to restore into."""
    network = nnx.eval_shape(lambda: make_network(nnx.Rngs(0)))
    replicated = NamedSharding(mesh, PartitionSpec())

    def leaf(array):
        return jax.ShapeDtypeStruct(array.shape, array.dtype, sharding=replicated)

    return jax.tree.map(leaf, _params_and_stats(network))


def _params_and_stats(network: nnx.Module) -> tuple[Tree, Tree]:
    params, stats = nnx.state(network, nnx.Param, nnx.BatchStat)
    return nnx.to_pure_dict(params), nnx.to_pure_dict(stats)


def make_train_step(
    graphdef: nnx.GraphDef,
    objective: Callable[[dict, dict], tuple[Array, dict[str, Array]]],
    tx: optax.GradientTransformation,
    streams: tuple[str, ...],
) -> Callable[[TrainState, dict], tuple[TrainState, dict[str, Array]]]:
    """Returns the jitted `train_step(state, batch) -> (state, scalars)`.

    The batch holds `images` uint8 [n m h w 3], `ids` and `modality` int32 [n m], where
    `images[:, j]` belong to the stem `streams[j]`. The given state's memory is reused
    (donated). Statistics, losses and centres are over the whole batch, on however many
    devices it lies.
    """

    def loss_and_stats(params, stats, batch):
        network = nnx.merge(graphdef, params, stats)
        outputs = network(normalise(batch["images"]), streams)
        flat = {name: batch[name].reshape(-1) for name in ("ids", "modality")}
        loss, scalars = objective(outputs, flat)
        scalars |= _branch_agreement(outputs["embeddings"])
        return loss, (scalars, nnx.to_pure_dict(nnx.state(network, nnx.BatchStat)))

    def train_step(state, batch):
        gradient = jax.value_and_grad(loss_and_stats, has_aux=True)
        (_, (scalars, stats)), grads = gradient(state.params, state.stats, batch)
        updates, opt_state = tx.update(grads, state.opt_state, state.params)
        params = optax.apply_updates(state.params, updates)
        scalars["grad_norm"] = optax.tree.norm(grads)
        return TrainState(state.step + 1, params, stats, opt_state), scalars

    return jax.jit(train_step, donate_argnums=0)


def _branch_agreement(embeddings):
    """cosine(v1, v2): near 1 the second branch adds nothing to the first."""
    if len(embeddings) < 2:
        return {}
    first, second = (_unit_rows(v) for v in list(embeddings.values())[:2])
    return {"cosine_v1_v2": (first * second).sum(-1).mean()}


def make_embed(
    frozen: nnx.GraphDef, *, feature: str = "embeddings", flip: bool = False
) -> Callable[..., dict[str, Float[Array, "b d"]]]:
    """Returns the jitted `embed(params, stats, images, stream) -> {name: [b d]}`.

    For each branch its L2-normalised vector, after the neck (`feature="embeddings"`) or
    before it ("features"); and "fused", their concatenation, normalised. With `flip`,
    the mean of an image's vector and of its mirror image's, normalised again. `images`
    is uint8 [b h w 3], all of the modality `stream`.
    """

    @partial(jax.jit, static_argnames="stream")
    def embed(params, stats, images, stream):
        network = nnx.merge(frozen, params, stats)
        pixels = normalise(images)[:, None]
        views = [pixels, pixels[:, :, :, ::-1]] if flip else [pixels]
        outputs = [network.embed(view, (stream,))[feature] for view in views]
        vectors = {
            name: _unit_rows(sum(_unit_rows(output[name]) for output in outputs))
            for name in outputs[0]
        }
        fused = _unit_rows(jnp.concatenate(list(vectors.values()), axis=-1))
        return {"fused": fused} | vectors

    return embed


def _unit_rows(x):
    return x / jnp.maximum(jnp.linalg.norm(x, axis=-1, keepdims=True), 1e-12)
