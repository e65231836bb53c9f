"""Augmentations on the device, of normalised images: parts called with an rng.

The result depends on the rng and the row alone, on any number of devices.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from jreid.data.augmentations import AspectLaw, aspects_of, check_rectangle
from jreid.lazy import jax, jnp
from jreid.shapes import Bool, Float

_ATTEMPTS = 10  # each fits with probability > 0.65: all fail < 3 in 10^5


@dataclass(slots=True)
class EraseNormalised:
    """`augmentations.Erase` after normalisation, with a value in its units."""

    p: float = 0.5
    """Probability, per image."""
    area: tuple[float, float] = (0.02, 0.4)
    """Least and greatest fraction of the image, uniform between."""
    aspect: tuple[float, float] = (0.3, 1 / 0.3)
    """Least and greatest height / width."""
    value: Literal["noise"] | tuple[float, float, float] = (0.0, 0.0, 0.0)
    """In units of the normalised images; CAJ's is 0.4914 0.4822 0.4465; noise: of every
    pixel and channel its own, ~ N(0, 1), as SAAI has it."""
    aspect_law: AspectLaw = "uniform"
    """How height / width is drawn between its bounds; log-uniform: its logarithm is
    uniform, as in torchvision's RandomErasing, whose ratio is height / width too."""

    def check(self) -> None:
        """Raises ValueError for a field that is not allowed."""
        if not 0 <= self.p <= 1:
            raise ValueError(f"p is {self.p}; allowed is 0 to 1")
        check_rectangle(self.area, self.aspect)

    def __call__(
        self, images: Float[jax.Array, "n h w 3"], rng: jax.Array
    ) -> Float[jax.Array, "n h w 3"]:
        """Every image with a rectangle of its own, or as it is."""
        coin_rng, box_rng = jax.random.split(rng)
        n, h, w, _ = images.shape
        heads = jax.random.uniform(coin_rng, (n, 1, 1, 1)) < self.p
        inside = _rectangles(
            box_rng, (n, h, w), self.area, self.aspect, self.aspect_law
        )
        return jnp.where(heads & inside[..., None], self._fill(rng, images), images)

    def _fill(self, rng, images):
        if self.value == "noise":
            own = jax.random.fold_in(rng, 2)  # coin and box have the split keys
            return jax.random.normal(own, images.shape, images.dtype)
        return jnp.asarray(self.value, images.dtype).reshape(1, 1, 1, 3)


def _rectangles(
    rng: jax.Array,
    shape: tuple[int, int, int],
    area: tuple[float, float],
    aspect: tuple[float, float],
    aspect_law: AspectLaw,
) -> Bool[jax.Array, "n h w"]:
    """True inside the first of ten random rectangles that fits, if one does."""
    n, h, w = shape
    u = jax.random.uniform(rng, (n, _ATTEMPTS, 4))
    areas = h * w * (area[0] + (area[1] - area[0]) * u[..., 0])
    ratios = aspects_of(u[..., 1], aspect, aspect_law)
    heights = jnp.round(jnp.sqrt(areas * ratios))
    widths = jnp.round(jnp.sqrt(areas / ratios))
    fits = (heights < h) & (widths < w)
    drawn = jnp.stack([heights, widths, u[..., 2], u[..., 3]], axis=-1)
    first = jnp.argmax(fits, axis=1)[:, None, None]
    height, width, v, x = jnp.take_along_axis(drawn, first, axis=1)[:, 0].T
    height = jnp.where(fits.any(axis=1), height, 0)
    in_rows = _between(jnp.floor(v * (h - height + 1)), height, h)
    in_columns = _between(jnp.floor(x * (w - width + 1)), width, w)
    return in_rows[:, :, None] & in_columns[:, None, :]


def _between(
    start: Float[jax.Array, " n"], length: Float[jax.Array, " n"], count: int
) -> Bool[jax.Array, "n m"]:
    """Which of 0 to count - 1 are in [start, start + length)."""
    places = jnp.arange(count)[None, :]
    return (places >= start[:, None]) & (places < (start + length)[:, None])
