"""The embedding of a run as a program: images and their modality to unit vectors."""

import copy
import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import jax.export  # not imported by jax itself
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, UInt8

from jreid.data.datasets import MODALITY_NAMES
from jreid.export.merged import merged
from jreid.export.program import Program, trace
from jreid.models.embedding import unit_rows
from jreid.run.frozen import FrozenRun
from jreid.training.build import build_embed
from jreid.training.state import Tree

LIMIT = 1e-4  # allowed difference of an exported file's unit vectors
BATCHES = (1, 7)  # at which they are compared

# uint8 [b h w 3] and the modality's number, int32 [], to float32 [b d]
Embed = Callable[[Any, Any], Any]


@dataclass(frozen=True)
class Network:
    """What an exported file computes.

    `embed(params, stats, images, modality)` is a system's, see `learner.System`; `kind`
    is which of its vectors, "fused" or a branch's.
    """

    embed: Callable[..., dict[str, Any]]
    params: Tree
    stats: Tree
    kind: str
    size: tuple[int, int]

    def __call__(
        self, images: UInt8[Any, "b h w 3"], modality: str
    ) -> Float[jax.Array, "b d"]:
        """jreid's own vectors, of length 1."""
        made = self.embed(self.params, self.stats, images, modality)
        return unit_rows(made[self.kind].astype(jnp.float32))


def in_float32(run: FrozenRun) -> FrozenRun:
    """The run as exported files compute it, whatever it was trained in.

    Of a run in another precision it has another fingerprint: activations of bfloat16
    move numbers of unit vectors by thousandths.
    """
    config = copy.deepcopy(run.config)
    config.precision = "float32"
    return dataclasses.replace(run, config=config)


def network_of(run: FrozenRun) -> Network:
    """The run's network."""
    embed = build_embed(run.config, run.network.classes)
    trees = run.network.params, run.network.stats
    return Network(embed, *trees, run.kind, run.config.size)


def program_of(network: Network) -> Program:
    """The network for any number of images: `(images, modality) -> vectors`.

    It is traced for one image and mapped over a batch of symbolic size, so that what a
    network does with the number of its rows is done once.
    """
    (batch,) = jax.export.symbolic_shape("batch")
    images = jax.ShapeDtypeStruct((batch, *network.size, 3), np.uint8)

    def of_modality(modality: str) -> Program:
        def one(image):
            return network(image[None], modality)[0]

        return trace(jax.vmap(one), images)

    return merged(*(of_modality(modality) for modality in MODALITY_NAMES))


def largest_difference(network: Network, embed: Embed) -> float:
    """Between jreid's vectors and a file's, of random images at batches of 1 and 7.

    Raises ValueError above `LIMIT`, with the number.
    """
    difference = 0.0
    for count in BATCHES:
        images = random_images(count, network.size)
        for number, modality in enumerate(MODALITY_NAMES):
            ours = np.asarray(network(images, modality))
            theirs = np.asarray(embed(images, np.array(number, np.int32)))
            if theirs.shape != ours.shape:
                raise ValueError(
                    f"the exported network gives {theirs.shape} for {ours.shape}: "
                    "nothing was written"
                )
            difference = max(difference, float(np.abs(ours - theirs).max()))
    if not difference <= LIMIT:
        raise ValueError(
            f"the exported network's embeddings differ by {difference:.1e} from the "
            f"run's, more than {LIMIT}; nothing was written"
        )
    return difference


def random_images(count: int, size: tuple[int, int]) -> UInt8[np.ndarray, "n h w 3"]:
    """Noise, each image with a contrast and brightness of its own."""
    rng = np.random.default_rng(count)
    noise = rng.random((count, *size, 3))
    low, high = np.sort(rng.integers(0, 256, (2, count, 1, 1, 3)), axis=0)
    return (low + noise * (high - low + 1)).astype(np.uint8).clip(0, 255)
