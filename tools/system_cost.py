"""What a system costs: parameters, floating-point operations, width of an embedding.

Operations are XLA's count of the program before it is optimised, two for a product and
a sum, as lowered for a GPU on any machine: a CPU's convolutions are others, whose count
is another. Nothing is executed.
"""

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jreid.config import Config
from jreid.processes.sharding import data_mesh
from jreid.run.batches import images_per_step
from jreid.run.leaves import named_leaves
from jreid.training.build import build_embed, network_maker
from jreid.training.plan import plan, stop_of
from jreid.training.state import abstract_params_and_stats


@dataclass(frozen=True)
class Cost:
    """Of one system."""

    parameters: int  # without the classifiers of its training identities
    gflops: float  # of the embedding of one image
    width: int  # numbers of an embedding
    images: int  # seen in training, of all views and players


def images_seen(config: Config) -> int:
    """Images in the steps of a whole training, of all views and players."""
    train = config.data.read().train
    phases = plan(config, train)
    stop = stop_of(config, phases)
    return sum(
        max(0, min(phase.last, stop) - phase.first)
        * images_per_step(config, train, phase)
        for phase in phases
    )


def measured_cost(config: Config) -> Cost:
    """The cost, on the training images that the config names."""
    params, stats = abstract_params_and_stats(network_maker(config, 1), data_mesh())
    image = jax.ShapeDtypeStruct((1, *config.size, 3), jnp.uint8)
    embed: Any = build_embed(config, 1)
    traced = embed.trace(params, stats, image, modality="visible")
    program = traced.lower(lowering_platforms=("cuda",))
    leaves = named_leaves(params)
    return Cost(
        parameters=sum(
            int(np.prod(leaf.shape))
            for name, leaf in leaves.items()
            if "classifier" not in name
        ),
        gflops=program.cost_analysis()["flops"] / 1e9,
        width=program.out_info["fused"].shape[1],
        images=images_seen(config),
    )
