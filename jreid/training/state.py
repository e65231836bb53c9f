"""The training state as plain dicts, and the network that is taken apart into it."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
from flax import nnx
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from jaxtyping import Array, Int

from jreid.models.modules.keys import WeightKeys

Tree = Any  # nested dicts of arrays
Scalars = dict[str, Array]


class TrainState(NamedTuple):
    """Everything that a checkpoint holds."""

    step: Int[Array, ""]  # steps already taken
    params: Tree
    stats: Tree  # running means and variances of the BatchNorms
    opt_state: Tree
    extra: Tree  # what a system carries besides: {} for most


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
