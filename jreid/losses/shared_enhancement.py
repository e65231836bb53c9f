"""PMT's modality-shared enhancement: as far across modalities as within (AAAI 2023)."""

from __future__ import annotations

from dataclasses import dataclass

from jreid.lazy import jax, jnp
from jreid.losses.primitives import (
    equal,
    euclidean_distances,
    masked_mean,
    mean_of_modalities,
    widen,
)
from jreid.losses.standing import On, check_weight_and_on, shared
from jreid.shapes import Float, Int


def shared_enhancement(
    features: Float[jax.Array, "b d"],
    ids: Int[jax.Array, " b"],
    modality: Int[jax.Array, " b"],
) -> Float[jax.Array, ""]:
    """Squared difference of a row's mean distances to its positives across and within.

    Positives across are the identity's rows of the other modality, those within the
    other rows of the row's own. The mean over each modality's rows, and of these two.
    As the released code has it, where all rows have as many positives; here a row
    without both kinds has no term, and a batch without such rows is 0.

    Args:
      features: features before the neck, not normalised.
      ids: identity of each image.
      modality: modality of each image.
    """
    features = widen(features)
    distances = euclidean_distances(features, features)
    own = equal(modality)
    itself = jnp.eye(len(ids), dtype=bool)
    across = equal(ids) & ~own
    within = equal(ids) & own & ~itself
    squared = jnp.square(
        masked_mean(distances, across) - masked_mean(distances, within)
    )
    counts = jnp.any(across, axis=1) & jnp.any(within, axis=1)
    return mean_of_modalities(squared, counts, modality)


@dataclass(slots=True)
class SharedEnhancement:
    """A row's positives as far away in the other modality as in its own (PMT, MSEL)."""

    weight: float = 1.0
    on: On = "features.v1"
    """Features by name, or pairs of a name and a share."""

    def check(self) -> None:
        """Raises ValueError naming a field that is out of bounds."""
        check_weight_and_on(self)

    def __call__(self, outputs, batch, rng=None) -> Float[jax.Array, ""]:
        """The term's value, not yet weighted."""
        return shared(
            self.on,
            outputs,
            lambda features: shared_enhancement(
                features, batch["ids"], batch["modality"]
            ),
        )
