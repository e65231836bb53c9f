"""Channels of normalised images, on the device: CAJ's selection, PDM's phases."""

from __future__ import annotations

from dataclasses import dataclass

from jreid.bounds import at_least, between
from jreid.lazy import jax, jnp
from jreid.shapes import Float

LUMINANCE = (0.2989, 0.587, 0.114)  # as CAJ weighs red, green, blue


@dataclass(slots=True)
class ChannelSelect:
    """One channel in all three, or the luminance, or the image as it is (CAJ).

    After normalisation the channels differ by their means and deviations, so that an
    infrared image changes too. CAJ: channels=1 for the second visible view; .75 and
    grey=.125 for infrared; CAJ+ on SYSU-MM01: .75 and .15.
    """

    channels: float = 0.75
    """Probability of red, green or blue, a third each."""
    grey: float = 0.125
    """Probability of the luminance."""

    def check(self) -> None:
        """Raises ValueError naming a field that is out of bounds."""
        between("channels", self.channels, 0, 1)
        between("grey", self.grey, 0, 1 - self.channels)

    def __call__(
        self, images: Float[jax.Array, "n h w 3"], rng: jax.Array
    ) -> Float[jax.Array, "n h w 3"]:
        """Every image by a number of its own."""
        u = jax.random.uniform(rng, (len(images),))
        third = max(self.channels / 3, 1e-9)
        channel = jnp.minimum((u / third).astype(jnp.int32), 2)
        chosen = jnp.take_along_axis(images, channel[:, None, None, None], axis=-1)
        weights = jnp.asarray(LUMINANCE, images.dtype)
        luminance = jnp.einsum("nhwc,c->nhw", images, weights)[..., None]
        u = u[:, None, None, None]
        return jnp.where(
            u < self.channels,
            chosen,
            jnp.where(u < self.channels + self.grey, luminance, images),
        )


@dataclass(slots=True)
class PhaseResidual:
    """x + strength times what is left of x where all amplitudes are 1 (PDM).

    The residual is the real part of ifft2(exp(i phase of fft2(x))), of each channel.
    """

    strength: float = 0.8
    """By which the residual is multiplied."""

    def check(self) -> None:
        """Raises ValueError naming a field that is out of bounds."""
        at_least("strength", self.strength, 0)

    def __call__(
        self, images: Float[jax.Array, "n h w 3"], rng: jax.Array
    ) -> Float[jax.Array, "n h w 3"]:
        """Nothing is random."""
        spectrum = jnp.fft.fft2(images, axes=(1, 2))
        phases = jnp.exp(1j * jnp.angle(spectrum))
        residual = jnp.fft.ifft2(phases, axes=(1, 2)).real
        return images + self.strength * residual.astype(images.dtype)
