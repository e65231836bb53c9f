"""Stems' maps come together across modalities and channels (DSCNet, TIFS 2022)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from jreid.lazy import jax, jnp
from jreid.losses.primitives import EXACT, widen
from jreid.losses.standing import On, check_weight_and_on, shared
from jreid.shapes import Float, Int

_GROUPS = 3  # of channels, as an image has
_MODALITIES = 2


def stem_distance(
    maps: Float[jax.Array, "r h w c"], modality: Int[jax.Array, " r"]
) -> Float[jax.Array, ""]:
    """Euclidean length of the modalities' difference of mean vectors, plus 1e-6 each.

    A row's vector is its map's generalised mean over places, (mean x^3 + 1e-12)^(1/3);
    negative values count as 0. Where a modality has no row the distance is 0.
    """
    cubes = jnp.mean(jnp.maximum(widen(maps), 0) ** 3, axis=(1, 2))
    visible, infrared = _shares(modality, cubes.dtype)[..., None]
    vectors = (cubes + 1e-12) ** (1 / 3)
    gap = jnp.sum(vectors * visible, 0) - jnp.sum(vectors * infrared, 0)
    both = jnp.any(visible > 0) & jnp.any(infrared > 0)
    return jnp.where(both, jnp.sqrt(jnp.sum((gap + 1e-6) ** 2)), 0)


def channel_divergence(
    maps: Float[jax.Array, "r h w c"], modality: Int[jax.Array, " r"]
) -> Float[jax.Array, ""]:
    """KL(first || second) + KL(third || second), of thirds of the channels.

    Of each modality, and these added. A channel's row of a map is a distribution, by a
    softmax over its width; the divergence is summed over a third's channels and is the
    mean over rows, heights and widths. What is left of three equal parts has no term.
    """
    logs = jax.nn.log_softmax(widen(maps), axis=2)
    count = maps.shape[-1] // _GROUPS
    first, second, third = (
        logs[..., k * count : (k + 1) * count] for k in range(_GROUPS)
    )
    losses = sum(
        jnp.mean(jnp.sum(jnp.exp(p) * (p - second), axis=3), axis=(1, 2))
        for p in (first, third)
    )
    shares = _shares(modality, logs.dtype)
    return jnp.sum(jnp.matmul(shares, losses, precision=EXACT))


def _shares(modality, dtype) -> Float[jax.Array, "2 r"]:
    """Of each modality, the share of each row in its mean."""
    rows = jax.nn.one_hot(modality, _MODALITIES, dtype=dtype, axis=0)
    return rows / jnp.maximum(jnp.sum(rows, axis=1, keepdims=True), 1)


@dataclass(slots=True)
class StemDistance:
    """Distance of the modalities' mean generalised means of the stems' maps."""

    weight: float = 1.0
    on: On = "maps.stem"
    """Maps by name, or pairs of a name and a share."""

    def check(self) -> None:
        """Raises ValueError naming a field that is out of bounds."""
        check_weight_and_on(self)

    def __call__(self, outputs, batch, rng=None) -> Float[jax.Array, ""]:
        """The term's value, not yet weighted."""
        return _of_maps(self.on, outputs, batch, stem_distance)


@dataclass(slots=True)
class ChannelDivergence:
    """Divergence of two thirds of the stems' channels from the one between."""

    weight: float = 1.0
    on: On = "maps.stem"
    """Maps by name, or pairs of a name and a share."""

    def check(self) -> None:
        """Raises ValueError naming a field that is out of bounds."""
        check_weight_and_on(self)

    def __call__(self, outputs, batch, rng=None) -> Float[jax.Array, ""]:
        """The term's value, not yet weighted."""
        return _of_maps(self.on, outputs, batch, channel_divergence)


def _of_maps(on, outputs, batch, loss: Callable) -> jax.Array:
    return shared(on, outputs, lambda maps: loss(maps, batch["modality"]))
