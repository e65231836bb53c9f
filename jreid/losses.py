"""Losses as pure functions: a few primitives, and the terms of the paper on top.

Images are addressed by the arrays `ids` and `modality`, never by their position, so no
loss depends on the order of a batch. The terms compute in float32 at least.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

# Distances are differences of large numbers, which accelerators would by default
# multiply in reduced precision (TF32, bfloat16).
_EXACT = jax.lax.Precision.HIGHEST


# --- Primitives ---------------------------------------------------------------------


def euclidean_distances(
    a: Float[Array, "n d"], b: Float[Array, "m d"], *, eps: float = 1e-12
) -> Float[Array, "n m"]:
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
        - 2 * jnp.matmul(a, b.T, precision=_EXACT)
    )
    return jnp.sqrt(jnp.where(squared <= eps, eps, squared))


def group_means(
    features: Float[Array, "b d"], members: Bool[Array, "n b"]
) -> Float[Array, "n d"]:
    """Mean over the images that each row of `members` selects; zeros where none is."""
    counts = jnp.maximum(jnp.sum(members, axis=1, keepdims=True), 1)
    sums = jnp.matmul(members.astype(features.dtype), features, precision=_EXACT)
    return sums / counts.astype(features.dtype)


def farthest(
    distances: Float[Array, "n m"], mask: Bool[Array, "n m"]
) -> Float[Array, " n"]:
    """Largest selected distance of each row (hardest positive); 0 where none is."""
    return jnp.max(jnp.where(mask, distances, 0), axis=1)


def nearest(
    distances: Float[Array, "n m"], mask: Bool[Array, "n m"]
) -> Float[Array, " n"]:
    """Smallest selected distance of each row (hardest negative); inf where none is."""
    return jnp.min(jnp.where(mask, distances, jnp.inf), axis=1)


def masked_softmax(
    logits: Float[Array, "n m"], mask: Bool[Array, "n m"]
) -> Float[Array, "n m"]:
    """Softmax of each row over its selected entries; zeros elsewhere."""
    lowest = jnp.finfo(
        logits.dtype
    ).min  # unlike -inf, no NaN where nothing is selected
    return jnp.where(mask, jax.nn.softmax(jnp.where(mask, logits, lowest), axis=1), 0)


def agw_masked_softmax(
    logits: Float[Array, "n m"], mask: Bool[Array, "n m"]
) -> Float[Array, "n m"]:
    """`masked_softmax` with the numerics of AGW loss.py, for parity with its numbers.

    The maximum is taken over `logits * mask`, hence it is 0 when the logits are negated
    distances, and 1e-6 is added to the normaliser. The weights of 56 negatives that all
    lie at distance d then sum to 0.9996 for d = 10, 0.86 for 16, 0.51 for 17.8 and 8e-4
    for 25: on features that are not normalised, the negatives fade.
    """
    selected = jnp.where(mask, logits, 0)
    largest = jnp.max(selected, axis=1, keepdims=True)
    exponentials = jnp.where(mask, jnp.exp(selected - largest), 0)
    return exponentials / (jnp.sum(exponentials, axis=1, keepdims=True) + 1e-6)


def soft_cross_entropy(
    targets: Float[Array, "b classes"], logits: Float[Array, "b classes"]
) -> Float[Array, " b"]:
    """Cross-entropy in nats between probabilities and the softmax of `logits`."""
    return -jnp.sum(targets * jax.nn.log_softmax(logits, axis=1), axis=1)


def kl_divergence(
    p_logits: Float[Array, "b classes"], q_logits: Float[Array, "b classes"]
) -> Float[Array, " b"]:
    """KL(p || q) in nats, summed over classes; p, q are the softmax of the logits."""
    log_p = jax.nn.log_softmax(p_logits, axis=1)
    log_q = jax.nn.log_softmax(q_logits, axis=1)
    return jnp.sum(jnp.exp(log_p) * (log_p - log_q), axis=1)


def _widen(x: Float[Array, "..."]) -> Float[Array, "..."]:
    return x.astype(jnp.promote_types(x.dtype, jnp.float32))


def _equal(a: Int[Array, " b"]) -> Bool[Array, "b b"]:
    return a[:, None] == a[None, :]


# --- The terms of the objective -----------------------------------------------------


def identity(
    logits: Float[Array, "b classes"],
    ids: Int[Array, " b"],
    *,
    label_smoothing: float = 0.0,
) -> Float[Array, ""]:
    """Mean softmax cross-entropy of the labels `ids` in [0, classes) (eq. 10).

    `label_smoothing` is the fraction of the target spread evenly over all classes.
    """
    logits = _widen(logits)
    classes = logits.shape[1]
    targets = jax.nn.one_hot(ids, classes, dtype=logits.dtype)
    targets = (1 - label_smoothing) * targets + label_smoothing / classes
    return jnp.mean(soft_cross_entropy(targets, logits))


def weighted_regularized_triplet(
    features: Float[Array, "b d"], ids: Int[Array, " b"], *, form: str = "softmax"
) -> Float[Array, ""]:
    """Mean over anchors of log(1 + exp(positive - negative)) (eq. 11).

    The positive is the sum of the distances to the images of the anchor's identity (the
    anchor among them, as in AGW), weighted by their softmax; the negative that of the
    distances to all others, weighted by the softmax of the negated distances. Images of
    both modalities are in the pool and gradients flow through the weights. An anchor
    without a negative has loss 0 and counts in the mean.

    Args:
      features: features before the neck, not normalised.
      ids: identity of each image.
      form: "softmax" (exact), or "agw" for `agw_masked_softmax`.
    """
    weigh = {"softmax": masked_softmax, "agw": agw_masked_softmax}.get(form)
    if weigh is None:
        raise ValueError(f"form is {form!r}; allowed are 'softmax' and 'agw'.")
    features = _widen(features)
    distances = euclidean_distances(features, features)
    same = _equal(ids)
    positive = jnp.sum(weigh(distances, same) * distances, axis=1)
    negative = jnp.sum(weigh(-distances, ~same) * distances, axis=1)
    losses = jax.nn.softplus(positive - negative)
    return jnp.mean(jnp.where(jnp.any(~same, axis=1), losses, 0))


def hetero_center_triplet(
    features: Float[Array, "b d"],
    ids: Int[Array, " b"],
    modality: Int[Array, " b"],
    *,
    margin: float = 0.3,
    reduction: str = "mean",
) -> Float[Array, ""]:
    """Triplet hinge on the centres of identities and modalities (eq. 12-14).

    A centre is the mean feature of one identity in one modality, over any number of
    images. Its positive is the centre of the same identity in the other modality, its
    negative the nearest centre of any other identity in either modality. A centre whose
    identity is absent from the other modality is no anchor, but a negative to others;
    a batch of one identity has loss 0.

    Args:
      features: features before the neck, not normalised.
      ids: identity of each image.
      modality: modality of each image, two different values.
      margin: the hinge's margin, in units of distance.
      reduction: "mean" over the centres (HC-Tri loss.py) or "sum" (as eq. 14 prints).
    """
    if reduction not in ("mean", "sum"):
        raise ValueError(f"reduction is {reduction!r}; allowed are 'mean' and 'sum'.")
    features = _widen(features)
    same, same_modality = _equal(ids), _equal(modality)
    members, counterparts = same & same_modality, same & ~same_modality
    centers = group_means(features, members)  # of each image's own group
    distances = euclidean_distances(centers, centers)
    hinge = jax.nn.relu(
        margin + farthest(distances, counterparts) - nearest(distances, ~same)
    )
    # A centre appears once for each of its images: together these weigh 1.
    weights = jnp.any(counterparts, axis=1) / jnp.sum(members, axis=1)
    total = jnp.sum(weights.astype(hinge.dtype) * hinge)
    if reduction == "sum":
        return total
    return total / jnp.maximum(jnp.sum(weights).astype(hinge.dtype), 1)


def variational_self_distillation(
    teacher_logits: Float[Array, "b classes"],
    student_logits: Float[Array, "b classes"],
    *,
    temperature: float = 1.0,
    stop_gradient: bool = True,
) -> Float[Array, ""]:
    """KL(p(y|v) || p(y|z)), summed over classes, mean over the batch (eq. 8).

    The teacher predicts from a branch's feature v, the student from its refinement z.
    Both logits are divided by `temperature`; the result is not rescaled by its square.
    `stop_gradient` keeps the teacher from moving towards the student.
    """
    teacher, student = _widen(teacher_logits), _widen(student_logits)
    if stop_gradient:
        teacher = jax.lax.stop_gradient(teacher)
    return jnp.mean(kl_divergence(teacher / temperature, student / temperature))
