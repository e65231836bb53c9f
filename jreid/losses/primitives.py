"""What losses are composed of: distances, choices of pairs, softmaxes, divergences.

Images are addressed by the arrays `ids` and `modality`, never by their position, so no
loss depends on the order of a batch. The terms compute in float32 at least.
"""

from __future__ import annotations

from jreid.extremes import largest, smallest
from jreid.lazy import jax, jnp
from jreid.shapes import Bool, Float, Int

# Distances are differences of large numbers, which accelerators would by default
# multiply in reduced precision (TF32, bfloat16).
EXACT = "highest"


def euclidean_distances(
    a: Float[jax.Array, "n d"], b: Float[jax.Array, "m d"], *, eps: float = 1e-12
) -> Float[jax.Array, "n m"]:
    """Euclidean distances between rows: sqrt(max(|a|^2 + |b|^2 - 2ab, eps)).

    Where the squared distance is at most `eps` the gradient is 0, not the NaN or the
    huge value of a square root's slope at 0.
    """
    # A common origin changes no distance, but less cancels between smaller numbers.
    origin = jax.lax.stop_gradient(jnp.mean(a, axis=0, keepdims=True))
    a, b = a - origin, b - origin
    squared = (
        jnp.sum(a**2, axis=1)[:, None]
        + jnp.sum(b**2, axis=1)[None, :]
        - 2 * jnp.matmul(a, b.T, precision=EXACT)
    )
    return root(squared, eps=eps)


def root(
    squared: Float[jax.Array, "*n"], *, eps: float = 1e-12
) -> Float[jax.Array, "*n"]:
    """Square roots of at least that of `eps`, up to which the gradient is 0."""
    return jnp.sqrt(jnp.where(squared <= eps, eps, squared))


def in_both(
    same: Bool[jax.Array, "r r"],
    first: Bool[jax.Array, " r"],
    second: Bool[jax.Array, " r"],
) -> Bool[jax.Array, " r"]:
    """Whether a row's group has rows among the first and among the second."""
    among = [jnp.any(same & rows[None, :], axis=1) for rows in (first, second)]
    return among[0] & among[1]


def group_means(
    features: Float[jax.Array, "b d"], members: Bool[jax.Array, "n b"]
) -> Float[jax.Array, "n d"]:
    """Mean over the images that each row of `members` selects; zeros where none is."""
    counts = jnp.maximum(jnp.sum(members, axis=1, keepdims=True), 1)
    sums = jnp.matmul(members.astype(features.dtype), features, precision=EXACT)
    return sums / counts.astype(features.dtype)


def farthest(
    distances: Float[jax.Array, "n m"], mask: Bool[jax.Array, "n m"]
) -> Float[jax.Array, " n"]:
    """Largest selected distance of each row (hardest positive); 0 where none is."""
    return largest(jnp.where(mask, distances, 0), axis=1)


def nearest(
    distances: Float[jax.Array, "n m"], mask: Bool[jax.Array, "n m"]
) -> Float[jax.Array, " n"]:
    """Smallest selected distance of each row (hardest negative); inf where none is."""
    return smallest(jnp.where(mask, distances, jnp.inf), axis=1)


def masked_mean(
    distances: Float[jax.Array, "n m"], mask: Bool[jax.Array, "n m"]
) -> Float[jax.Array, " n"]:
    """Mean of each row's selected distances; 0 where none is."""
    counts = jnp.maximum(jnp.sum(mask, axis=1), 1).astype(distances.dtype)
    return jnp.sum(jnp.where(mask, distances, 0), axis=1) / counts


def weights_in_own_modality(
    counted: Bool[jax.Array, " b"], modality: Int[jax.Array, " b"]
) -> Float[jax.Array, " b"]:
    """1 / n for each of the n counted rows of a modality, 0 for other rows.

    A sum with these weights is the sum of the modalities' means.
    """
    of_own = jnp.sum(equal(modality) & counted[None, :], axis=1)
    return counted / jnp.maximum(of_own, 1)


def mean_of_modalities(
    values: Float[jax.Array, " b"],
    counted: Bool[jax.Array, " b"],
    modality: Int[jax.Array, " b"],
) -> Float[jax.Array, ""]:
    """Mean, over the modalities there are, of the mean of their counted rows; or 0."""
    weights = weights_in_own_modality(counted, modality).astype(values.dtype)
    present = jnp.maximum(jnp.round(jnp.sum(weights)), 1)
    return jnp.sum(weights * values) / present


def masked_softmax(
    logits: Float[jax.Array, "n m"], mask: Bool[jax.Array, "n m"]
) -> Float[jax.Array, "n m"]:
    """Softmax of each row over its selected entries; zeros elsewhere."""
    # unlike -inf, no NaN where nothing is selected
    lowest = jnp.finfo(logits.dtype).min
    return jnp.where(mask, jax.nn.softmax(jnp.where(mask, logits, lowest), axis=1), 0)


def agw_masked_softmax(
    logits: Float[jax.Array, "n m"], mask: Bool[jax.Array, "n m"]
) -> Float[jax.Array, "n m"]:
    """`masked_softmax` with the numerics of AGW loss.py, for parity with its numbers.

    The maximum is taken over `logits * mask`, hence it is 0 when the logits are negated
    distances, and 1e-6 is added to the normaliser. The weights of 56 negatives that all
    lie at distance d then sum to 0.9996 for d = 10, 0.86 for 16, 0.51 for 17.8 and 8e-4
    for 25: on features that are not normalised, the negatives fade.
    """
    selected = jnp.where(mask, logits, 0)
    highest = largest(selected, axis=1)[:, None]
    exponentials = jnp.where(mask, jnp.exp(selected - highest), 0)
    return exponentials / (jnp.sum(exponentials, axis=1, keepdims=True) + 1e-6)


def soft_cross_entropy(
    targets: Float[jax.Array, "b classes"], logits: Float[jax.Array, "b classes"]
) -> Float[jax.Array, " b"]:
    """Cross-entropy in nats between probabilities and the softmax of `logits`."""
    return -jnp.sum(targets * jax.nn.log_softmax(logits, axis=1), axis=1)


def kl_divergence(
    p_logits: Float[jax.Array, "b classes"], q_logits: Float[jax.Array, "b classes"]
) -> Float[jax.Array, " b"]:
    """KL(p || q) in nats, summed over classes; p, q are the softmax of the logits."""
    log_p = jax.nn.log_softmax(p_logits, axis=1)
    log_q = jax.nn.log_softmax(q_logits, axis=1)
    return jnp.sum(jnp.exp(log_p) * (log_p - log_q), axis=1)


def widen(x: Float[jax.Array, "*n"]) -> Float[jax.Array, "*n"]:
    """At least float32."""
    return x.astype(jnp.promote_types(x.dtype, jnp.float32))


def equal(a: Int[jax.Array, " b"]) -> Bool[jax.Array, "b b"]:
    """Whether rows i and j have the same number."""
    return a[:, None] == a[None, :]
