"""The rank list loss of VSD's released code, within and across modalities."""

from __future__ import annotations

from dataclasses import dataclass

from jreid.bounds import at_least
from jreid.lazy import jax, jnp
from jreid.losses.directions import unit_rows
from jreid.losses.primitives import equal, euclidean_distances, widen
from jreid.losses.standing import On, check_weight_and_on, shared
from jreid.shapes import Bool, Float, Int

_EPSILON = 1e-5


def rank_list(
    features: Float[jax.Array, "b d"],
    ids: Int[jax.Array, " b"],
    modality: Int[jax.Array, " b"],
    *,
    margin_within: float = 0.9,
    reach_within: float = 2.2,
    margin_across: float = 1.0,
    reach_across: float = 2.0,
) -> Float[jax.Array, ""]:
    """Positives within reach - margin, negatives out of reach (Wang et al., CVPR 2019).

    Of unit vectors. For each anchor and each pool, its own modality and the other one:
    the mean over positives (not the anchor; their number + 1e-5) of
    [d - (reach - margin)]+, plus the sum of w (reach - d) over negatives with d < reach
    over their sum of w + 1e-5, w = exp(reach - d), gradient through w. Mean over
    anchors (VSD's code).
    """
    features = unit_rows(widen(features))
    distances = euclidean_distances(features, features)
    same, same_modality = equal(ids), equal(modality)
    others = ~jnp.eye(len(ids), dtype=bool)
    within = _pool(distances, same, same_modality & others, margin_within, reach_within)
    across = _pool(distances, same, ~same_modality, margin_across, reach_across)
    return jnp.mean(within + across)


def _pool(
    distances, same: Bool[jax.Array, "b b"], pool, margin, reach
) -> Float[jax.Array, " b"]:
    positives = pool & same
    negatives = pool & ~same & (distances < reach)
    pulled = jnp.where(positives, jax.nn.relu(distances - (reach - margin)), 0)
    weights = jnp.where(negatives, jnp.exp(reach - distances), 0)
    pushed = jnp.sum(weights * (reach - distances), axis=1)
    count = jnp.sum(positives, axis=1).astype(distances.dtype)
    return jnp.sum(pulled, axis=1) / (count + _EPSILON) + pushed / (
        jnp.sum(weights, axis=1) + _EPSILON
    )


@dataclass(slots=True)
class RankList:
    """Positives within a radius, negatives outside, by modality of the pair (VSD)."""

    weight: float = 1.0
    on: On = "features.v1"
    """Features by name, or pairs of a name and a share."""
    margin_within: float = 0.9
    """Between positives and negatives of the anchor's modality, in unit distances."""
    reach_within: float = 2.2
    """Where negatives of the anchor's modality end to count, in unit distances."""
    margin_across: float = 1.0
    """Of the other modality."""
    reach_across: float = 2.0
    """Of the other modality."""

    def check(self) -> None:
        """Raises ValueError naming a field that is out of bounds."""
        check_weight_and_on(self)
        for name in ("margin_within", "reach_within", "margin_across", "reach_across"):
            at_least(name, getattr(self, name), 0.0)

    def __call__(self, outputs, batch, rng=None) -> Float[jax.Array, ""]:
        """The term's value, not yet weighted."""
        return shared(
            self.on,
            outputs,
            lambda features: rank_list(
                features,
                batch["ids"],
                batch["modality"],
                margin_within=self.margin_within,
                reach_within=self.reach_within,
                margin_across=self.margin_across,
                reach_across=self.reach_across,
            ),
        )
