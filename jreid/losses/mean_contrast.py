"""MCJA's cross-modality retrieval loss (Liang et al., TCSVT 2024), in closed form."""

from __future__ import annotations

from dataclasses import dataclass

from jreid.bounds import at_least
from jreid.lazy import jax, jnp
from jreid.losses.directions import cosines
from jreid.losses.primitives import (
    equal,
    masked_mean,
    mean_of_modalities,
    widen,
)
from jreid.losses.standing import On, check_weight_and_on, shared
from jreid.shapes import Float, Int


def mean_contrast(
    features: Float[jax.Array, "b d"],
    ids: Int[jax.Array, " b"],
    modality: Int[jax.Array, " b"],
    *,
    strength: float = 0.5,
) -> Float[jax.Array, ""]:
    """Mean positive minus mean negative distance from each image to the other modality.

    The released code takes the L1 distance of soft ranks from 1 (matches) and n (the
    rest). The ranks of n >= 4 distances in [0, 1] always fall into one block, in which
    they are (n + 1) / 2 + (d - mean d) / strength; so each query has the value
    (n - 1) / 2 + 2 m / (strength n) (1 - m / n) (mean positive - mean negative d) for m
    matches. d is half of 1 - cosine. A query with no or only matches has none. The mean
    over each modality's queries, and of these two.

    Args:
      features: vectors after the neck.
      ids: identity of each image.
      modality: modality of each image.
      strength: the soft rank's regularisation.
    """
    features = widen(features)
    distances = (1 - cosines(features, features)) / 2
    other = ~equal(modality)
    same = equal(ids)
    n, m = (jnp.sum(x, axis=1).astype(distances.dtype) for x in (other, other & same))
    positive = masked_mean(distances, other & same)
    negative = masked_mean(distances, other & ~same)
    scale = 2 * m / (strength * jnp.maximum(n, 1)) * (1 - m / jnp.maximum(n, 1))
    losses = (n - 1) / 2 + scale * (positive - negative)
    return mean_of_modalities(losses, (m > 0) & (m < n), modality)


@dataclass(slots=True)
class MeanContrast:
    """Positives nearer than negatives in the other modality, on average (MCJA, CMR)."""

    weight: float = 1.0
    on: On = "embeddings.v1"
    """Embeddings by name, or pairs of a name and a share."""
    strength: float = 0.5
    """The soft rank's regularisation, by which the contrast is divided."""

    def check(self) -> None:
        """Raises ValueError naming a field that is out of bounds."""
        check_weight_and_on(self)
        at_least("strength", self.strength, 1e-3)

    def __call__(self, outputs, batch, rng=None) -> Float[jax.Array, ""]:
        """The term's value, not yet weighted."""
        return shared(
            self.on,
            outputs,
            lambda features: mean_contrast(
                features, batch["ids"], batch["modality"], strength=self.strength
            ),
        )
