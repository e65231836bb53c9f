"""Alignment of two images' stripes, in distribution and in correlation (after DFE).

Of DFE (Hao et al., ACM MM 2019) the two ideas are known and no formula; these are ours.
"""

from __future__ import annotations

from dataclasses import dataclass

from jreid.lazy import jax, jnp
from jreid.losses.pairs import mean_of_pairs, modalities_paired, partners
from jreid.losses.primitives import EXACT, widen
from jreid.losses.standing import check_weight_and_on, stand, total
from jreid.shapes import Bool, Float

_LEAST = 1e-6  # variance


def jensen_shannon(
    stripes: Float[jax.Array, "s r d"], pairs: Bool[jax.Array, "r r"]
) -> Float[jax.Array, ""]:
    """Mean over pairs of the L2 norm of the stripes' divergence in each dimension.

    In each dimension an image's stripes are a Gaussian, of their mean and (biased)
    variance. The middle M of two has the mean of their means and, by its moments, the
    mean variance + (half the means' difference)^2; the divergence is the mean of
    KL(P, M) and KL(Q, M), in nats.
    """
    stripes = widen(stripes)
    mean = jnp.mean(stripes, axis=0)
    variance = jnp.mean(jnp.square(stripes - mean[None]), axis=0) + _LEAST
    p, q = (mean, variance), (partners(pairs, mean), partners(pairs, variance))
    there = jnp.any(pairs, axis=1)[:, None]
    q = tuple(jnp.where(there, theirs, own) for theirs, own in zip(q, p, strict=True))
    middle = (
        (p[0] + q[0]) / 2,
        (p[1] + q[1]) / 2 + jnp.square((p[0] - q[0]) / 2),
    )
    divergence = (_gaussian_kl(p, middle) + _gaussian_kl(q, middle)) / 2
    return mean_of_pairs(pairs, _norm(divergence))


def _gaussian_kl(p, q):
    """KL(p || q) of one-dimensional Gaussians (mean, variance), in nats."""
    ratio = p[1] / q[1]
    return (ratio + jnp.square(p[0] - q[0]) / q[1] - 1 - jnp.log(ratio)) / 2


def _norm(x):
    squared = jnp.sum(jnp.square(x), axis=1)
    return jnp.where(squared > 0, jnp.sqrt(jnp.where(squared > 0, squared, 1)), 0)


def decorrelation(
    vectors: Float[jax.Array, "r d"], pairs: Bool[jax.Array, "r r"]
) -> Float[jax.Array, ""]:
    """||C - I||_F / n, C the Pearson correlations of n visible with n infrared rows.

    Entry (i, j) is between the visible row of pair i and the infrared row of pair j.
    """
    vectors = widen(vectors)
    centred = vectors - jnp.mean(vectors, axis=1, keepdims=True)
    length = jnp.sqrt(jnp.sum(jnp.square(centred), axis=1, keepdims=True) + 1e-12)
    unit = centred / length
    theirs = partners(pairs, unit)
    there = jnp.any(pairs, axis=1)
    correlations = jnp.matmul(unit, theirs.T, precision=EXACT)
    wanted = jnp.eye(len(unit), dtype=unit.dtype)
    both = there[:, None] & there[None, :]
    squared = jnp.sum(jnp.where(both, jnp.square(correlations - wanted), 0))
    norm = jnp.where(squared > 0, jnp.sqrt(jnp.where(squared > 0, squared, 1)), 0)
    return norm / jnp.maximum(jnp.sum(there), 1).astype(norm.dtype)


@dataclass(slots=True)
class DistributionAlignment:
    """Jensen-Shannon divergence of the stripes of paired images (after DFE)."""

    on: tuple[tuple[str, float], ...]
    """The stripes' features, pairs of a name and a factor."""
    weight: float = 1.0

    def check(self) -> None:
        """Raises ValueError naming a field that is out of bounds."""
        check_weight_and_on(self)

    def __call__(self, outputs, batch, rng=None) -> Float[jax.Array, ""]:
        """The term's value, not yet weighted."""
        stripes = jnp.stack([s * x for s, x in stand(self.on, outputs)])
        return jensen_shannon(stripes, modalities_paired(batch))


@dataclass(slots=True)
class CorrelationAlignment:
    """Correlations of pairs' mean stripes come near the identity (after DFE)."""

    on: tuple[tuple[str, float], ...]
    """The stripes' features, pairs of a name and a factor."""
    weight: float = 1.0

    def check(self) -> None:
        """Raises ValueError naming a field that is out of bounds."""
        check_weight_and_on(self)

    def __call__(self, outputs, batch, rng=None) -> Float[jax.Array, ""]:
        """The term's value, not yet weighted."""
        stripes = [s * x for s, x in stand(self.on, outputs)]
        return decorrelation(total(stripes) / len(stripes), modalities_paired(batch))
