"""The modules of per-modality norms; see jreid/models/modality_norm.py."""

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float, Int

from jreid.models.modules.channels import at_least_float32

MODALITIES = 2


class ModalityNorm(nnx.Module):
    """BatchNorm over the rows of one modality and every axis but the last.

    As `layers.BatchNorm`: biased variance for the batch, unbiased for the running one,
    which is used in evaluation. A modality without rows keeps its running values.
    """

    def __init__(
        self,
        features: int,
        *,
        use_bias: bool = True,
        momentum: float = 0.9,
        epsilon: float = 1e-5,
        dtype=jnp.float32,
        rngs: nnx.Rngs,
    ):
        shape = (MODALITIES, features)
        self.scale = nnx.Param(jnp.ones(shape))
        self.bias = nnx.Param(jnp.zeros(shape)) if use_bias else None
        self.mean = nnx.BatchStat(jnp.zeros(shape))
        self.var = nnx.BatchStat(jnp.ones(shape))
        self.momentum, self.epsilon = momentum, epsilon
        self.use_running_average = False
        self.dtype = dtype

    def set_view(self, use_running_average: bool | None = None, **unused):
        """Called by nnx.view."""
        if use_running_average is not None:
            self.use_running_average = use_running_average
        return unused

    def __call__(
        self,
        x: Float[Array, "r *n c"],
        modality: Int[Array, " r"],
        stage_input=None,
        rng=None,
    ) -> Float[Array, "r *n c"]:
        """Each row by its own modality's norm."""
        mean, var = self.statistics(x, modality)
        return self.normalised(x, modality, mean, var)

    def statistics(
        self, x: Float[Array, "r *n c"], modality: Int[Array, " r"]
    ) -> tuple[Float[Array, "2 c"], Float[Array, "2 c"]]:
        """Mean and variance of each modality; in training of the batch, remembered."""
        if self.use_running_average:
            return self.mean[...], self.var[...]
        x = at_least_float32(x)
        inside = tuple(range(1, x.ndim - 1))
        places = x.size // (x.shape[0] * x.shape[-1])
        rows = jax.nn.one_hot(modality, MODALITIES, dtype=x.dtype, axis=0)
        counts = rows.sum(1, keepdims=True) * places
        shares = rows / jnp.maximum(counts, 1)
        mean = shares @ x.sum(inside)
        # A second pass: no difference of large numbers.
        centred = x - self._of_rows(mean, x, modality)
        var = shares @ jnp.square(centred).sum(inside)
        self._update_running(mean, var, counts)
        return mean, var

    def normalised(self, x, modality, mean, var):
        """Rows of x by the statistics and parameters of the modality given for each."""
        scale = self.scale[...] * jax.lax.rsqrt(var + self.epsilon)
        shift = -mean * scale if self.bias is None else self.bias[...] - mean * scale
        y = at_least_float32(x) * self._of_rows(scale, x, modality)
        return (y + self._of_rows(shift, x, modality)).astype(self.dtype)

    def _of_rows(self, values, x, modality):
        """Each row's [c], shaped to be multiplied with x."""
        rows = values[modality]
        return rows.reshape(len(x), *[1] * (x.ndim - 2), x.shape[-1])

    def _update_running(self, mean, var, counts):
        there = counts > 0
        unbiased = var * counts / jnp.maximum(counts - 1, 1)
        for kept, new in ((self.mean, mean), (self.var, unbiased)):
            moved = self.momentum * kept[...] + (1 - self.momentum) * new
            kept.set_value(jax.lax.stop_gradient(jnp.where(there, moved, kept[...])))


class PairExchange(nnx.Module):
    """`where(|scale| >= threshold, own channel, partner's channel)` after the norm."""

    def __init__(
        self,
        channels: int,
        threshold: float,
        released_test: bool,
        *,
        dtype=jnp.float32,
        rngs: nnx.Rngs,
    ):
        self.norm = ModalityNorm(channels, dtype=dtype, rngs=rngs)
        self.threshold, self.released_test = threshold, released_test

    def __call__(
        self,
        x: Float[Array, "r h w c"],
        modality: Int[Array, " r"],
        stage_input=None,
        rng=None,
    ) -> Float[Array, "r h w c"]:
        """Rows of two modalities, as many of each in training."""
        mean, var = self.norm.statistics(x, modality)
        if self.norm.use_running_average:
            return self._alone(x, modality, mean, var)
        own = self.norm.normalised(x, modality, mean, var)
        partner = own[partners(modality)]
        return jnp.where(self._strong(x, modality), own, partner)

    def _alone(self, x, modality, mean, var):
        given = jnp.zeros_like(modality) if self.released_test else modality
        own = self.norm.normalised(x, given, mean, var)
        other = self.norm.normalised(x, jnp.ones_like(modality), mean, var)
        return jnp.where(self._strong(x, given), own, other)

    def _strong(self, x, modality):
        strong = jnp.abs(self.norm.scale[...]) >= self.threshold
        return strong[modality].reshape(len(x), *[1] * (x.ndim - 2), x.shape[-1])


def partners(modality: Int[Array, " r"]) -> Int[Array, " r"]:
    """Of the k-th visible row the k-th infrared one, and the other way round."""
    same = modality[:, None] == modality[None, :]
    rank = jnp.sum(jnp.tril(same, -1), axis=1)
    matches = ~same & (rank[:, None] == rank[None, :])
    return jnp.argmax(matches, axis=1)
