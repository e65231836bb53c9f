"""Distance under a fixed random projection (MMN's dual-modality discrimination)."""

from __future__ import annotations

from dataclasses import dataclass

from jreid.bounds import at_least
from jreid.lazy import jax, jnp
from jreid.losses.directions import unit_rows
from jreid.losses.pairs import mean_of_pairs, paired, partners
from jreid.losses.primitives import EXACT, widen
from jreid.losses.standing import On, check_weight_and_on, shared
from jreid.shapes import Bool, Float

_EPSILON = 1e-5  # of torch's BatchNorm


def random_projection_distance(
    features: Float[jax.Array, "r d"],
    pairs: Bool[jax.Array, "r r"],
    *,
    width: int = 256,
    seed: int = 0,
) -> Float[jax.Array, ""]:
    """Mean over pairs of the distance of two projected directions (MMN, DC loss).

    The rows of all pairs are normalised, projected by linear map, batch normalisation,
    ReLU, linear map, batch normalisation, and normalised again. In the released code
    the layers are random and in no optimiser; here the seed makes them. The second
    map's bias would leave with the mean.
    """
    features = unit_rows(widen(features))
    chosen = jnp.any(pairs, axis=1) | jnp.any(pairs, axis=0)
    first, second = jax.random.split(jax.random.key(seed))
    x = jnp.matmul(features, _weights(first, features, width), precision=EXACT)
    x = jax.nn.relu(_normalised(x, chosen))
    x = jnp.matmul(x, _weights(second, x, width), precision=EXACT)
    x = unit_rows(_normalised(x, chosen))
    squared = jnp.sum(jnp.square(x - partners(pairs, x)), axis=1)
    apart = squared > 1e-12
    return mean_of_pairs(
        pairs, jnp.where(apart, jnp.sqrt(jnp.where(apart, squared, 1)), 0)
    )


def _weights(key, x, width):
    """torch's default of a linear layer: uniform within 1 / sqrt(inputs)."""
    inputs = x.shape[1]
    bound = inputs**-0.5
    weights = jax.random.uniform(key, (inputs, width), jnp.float32, -bound, bound)
    return weights.astype(x.dtype)


def _normalised(x, chosen):
    """Zero mean and unit variance over the chosen rows."""
    share = (chosen / jnp.maximum(jnp.sum(chosen), 1)).astype(x.dtype)[:, None]
    centred = x - jnp.sum(share * x, axis=0, keepdims=True)
    variance = jnp.sum(share * jnp.square(centred), axis=0, keepdims=True)
    return centred * jax.lax.rsqrt(variance + _EPSILON)


@dataclass(slots=True)
class RandomProjectionDistance:
    """Distance of made visible and infrared rows under a random projection (MMN)."""

    weight: float = 1.0
    on: On = "features.v1"
    """Features by name, or pairs of a name and a share."""
    copy: int = 1
    """Which rows: 0 the images' own, 1 those that the adapters made."""
    width: int = 256
    """Of the projection."""
    seed: int = 0
    """Of the projection's weights, which are never trained."""

    def check(self) -> None:
        """Raises ValueError naming a field that is out of bounds."""
        check_weight_and_on(self)
        at_least("copy", self.copy, 0.0)
        at_least("width", self.width, 1.0)

    def __call__(self, outputs, batch, rng=None) -> Float[jax.Array, ""]:
        """The term's value, not yet weighted."""
        made, modality = batch["copy"] == self.copy, batch["modality"]
        pairs = paired(batch["slot"], made & (modality == 0), made & (modality == 1))
        return shared(
            self.on,
            outputs,
            lambda features: random_projection_distance(
                features, pairs, width=self.width, seed=self.seed
            ),
        )
