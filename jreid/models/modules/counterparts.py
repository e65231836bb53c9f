"""The modules of mtGAN's network; see jreid/models/counterparts.py."""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from jreid.data.rows import joined, positions
from jreid.models.counterparts import CounterpartNetwork as Part
from jreid.models.modules.generators import Generator, PatchDiscriminator
from jreid.models.modules.translations import (
    OTHER,
    by_modality,
    normalised,
    signed,
    there_and_back,
    translations,
)
from jreid.models.modules.two_stream import TwoStreamNetwork
from jreid.models.modules.view_columns import Images

MADE = "counterparts of "  # in front of a view's name: the column made of it


class CounterpartNetwork(nnx.Module):
    """Outputs by player; images come normalised, and generators' are in [-1, 1]."""

    def __init__(self, part: Part, classes: int, *, dtype=jnp.float32, rngs: nnx.Rngs):
        made = {"dtype": dtype, "rngs": rngs}
        self.reid = TwoStreamNetwork(part.reid(), classes, **made)
        # by the modality that they make or judge
        self.generators = nnx.Dict(
            {m: Generator(part.generator, **made) for m in OTHER}
        )
        self.discriminators = nnx.Dict(
            {m: PatchDiscriminator(part.discriminator, **made) for m in OTHER}
        )

    def __call__(
        self,
        images: Images,
        stems: Mapping[str, str],
        rng: Array | None = None,
        *,
        player: str,
        made: Mapping[str, Array],
    ) -> dict[str, Any]:
        """What the player's terms stand on; rows are those of the joined views."""
        if player == "encoder":
            return self._encoded(images, stems, rng)
        real = by_modality(images, stems)
        if player == "generators":
            shown = translations(self.generators, real)
            judged = {
                f"made_{m}": self.discriminators[m](shown[f"made_{m}"]) for m in OTHER
            }
            return {"judgements": judged, "images": shown}
        judge = self.discriminators[player]
        fake = judge(made[f"made_{player}"])
        return {"judgements": {"real": judge(real[player]), "made": fake}}

    def embed(
        self, images: Images, stems: Mapping[str, str]
    ) -> dict[str, dict[str, Float[Array, "b d"]]]:
        """Vectors of each image, of its counterpart, and their mean."""
        columns, entered = self._pairs(images, stems)
        outputs = self.reid.embed(columns, entered)
        own, made = _rows(columns)
        return {kind: _both(x["v1"], own, made) for kind, x in outputs.items()}

    def translate(
        self, images: Float[Array, "b h w 3"], modality: str
    ) -> dict[str, Float[Array, "b h w 3"]]:
        """Images in the other modality, and brought back from there; normalised."""
        return there_and_back(self.generators, images, modality)

    def _encoded(self, images, stems, rng):
        columns, entered = self._pairs(images, stems)
        outputs = self.reid(columns, entered, rng)
        own, made = _rows(columns)
        if "source" in outputs:  # rows came grouped by their stems
            row_of = jnp.argsort(outputs["source"])
            own, made = row_of[own], row_of[made]
        return {
            kind: _both(outputs[kind]["v1"], own, made)
            for kind in ("features", "embeddings", "logits")
        }

    def _pairs(self, images, stems):
        """A column of each view, a column of its counterparts, and all their stems.

        Nothing that is learned of counterparts moves the generators.
        """
        columns, entered = {}, {}
        for view, modality in stems.items():
            if view in images:
                other = OTHER[modality]
                fake = self.generators[other](signed(images[view]))
                fake = normalised(jax.lax.stop_gradient(fake))
                columns |= {view: images[view], MADE + view: fake}
                entered |= {view: modality, MADE + view: other}
        return columns, entered


def _rows(columns):
    """Where the images, in the order of their joined views, and their counterparts are.

    That is among all columns joined.
    """
    places = positions({name: len(x) for name, x in columns.items()})
    own = [place for name, place in places.items() if not name.startswith(MADE)]
    made = [place for name, place in places.items() if name.startswith(MADE)]
    return joined(own), joined(made)


def _both(x, own, made):
    """The outputs of images, of their counterparts, and their means."""
    return {"own": x[own], "made": x[made], "mean": (x[own] + x[made]) / 2}
