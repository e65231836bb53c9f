"""The modules of JSIA-ReID's network; see jreid/models/content_style.py."""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from jreid.data.datasets import MODALITY_NAMES
from jreid.data.rows import joined
from jreid.models.content_style import SCALES
from jreid.models.content_style import ContentStyleNetwork as Part
from jreid.models.modules.adapters import LUMINANCE
from jreid.models.modules.content_decoder import StyleDecoder
from jreid.models.modules.layers import BatchNorm, Linear
from jreid.models.modules.pooling import average_pool
from jreid.models.modules.scales import Scales
from jreid.models.modules.style_encoder import StyleEncoder
from jreid.models.modules.translations import OTHER, normalised, signed

Images = Mapping[str, Float[Array, "b h w 3"]]


class Encoder(nnx.Module):
    """A ResNet on grey images, with the map after its first stage as the content."""

    def __init__(self, part: Part, classes: int, *, dtype, rngs: nnx.Rngs):
        trunk, channels = part.trunk, part.trunk.channels()[-1]
        self.stem = trunk.make_stem(rngs, dtype)
        self.first = trunk.make(rngs, dtype, stop=(2, 0))
        self.rest = trunk.make(rngs, dtype, first=(2, 0))
        self.neck = BatchNorm(channels, use_bias=False, rngs=rngs)
        init = nnx.initializers.normal(0.001)
        options: dict[str, Any] = {"use_bias": False, "kernel_init": init}
        self.classifier = Linear(channels, classes, **options, rngs=rngs)

    def content(self, x: Float[Array, "b h w 3"]) -> Float[Array, "b h2 w2 c"]:
        """Of normalised images, made grey as they are."""
        grey = x @ jnp.asarray(LUMINANCE, x.dtype)[:, None]
        return _maps(self.first, self.stem(jnp.repeat(grey, 3, axis=-1)))

    def vectors(
        self, x: Float[Array, "b h w 3"]
    ) -> tuple[Float[Array, "b d"], Float[Array, "b d"]]:
        """The pooled map of normalised images, and that after the neck."""
        pooled = average_pool(_maps(self.rest, self.content(x)))
        return pooled, self.neck(pooled)


class Style(nnx.Module):
    """A modality's styles and decoder, and the running mean of its images' styles.

    The mean stands for a style where there is no image of the modality to take it from.
    """

    def __init__(self, part: Part, *, dtype, rngs: nnx.Rngs):
        made: dict[str, Any] = {"dtype": dtype, "rngs": rngs}
        width = part.style.features
        self.encoder = StyleEncoder(part.style, **made)
        content = part.trunk.channels()[0]
        self.decoder = StyleDecoder(part.decoder, content, width, **made)
        self.mean = nnx.BatchStat(jnp.zeros((width,)))

    def remember(self, styles: Float[Array, "b d"]) -> None:
        """Moves the running mean by a tenth towards that of these styles."""
        now = jax.lax.stop_gradient(jnp.mean(styles.astype(jnp.float32), 0))
        self.mean.set_value(0.9 * self.mean[...] + 0.1 * now)


class ContentStyleNetwork(nnx.Module):
    """Outputs by player; images come normalised, made ones are in [-1, 1]."""

    def __init__(self, part: Part, classes: int, *, dtype=jnp.float32, rngs: nnx.Rngs):
        part.check()
        made: dict[str, Any] = {"dtype": dtype, "rngs": rngs}
        self.encoder = Encoder(part, classes, **made)
        self.styles = nnx.Dict({m: Style(part, **made) for m in MODALITY_NAMES})
        judge = part.discriminator
        self.discriminators = nnx.Dict(
            {m: Scales(judge, SCALES, **made) for m in MODALITY_NAMES}
        )
        self.size = tuple(part.size)
        self.reconstructs = part.reconstructs

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
        if player == "discriminators":
            return {"judgements": self._judged(made, "") | self._judged(made, "made_")}
        if player == "generators":
            real = {view: self._small(images[view]) for view in stems}
            outputs = self._generated(real)
            for modality, style in self.styles.items():
                style.remember(outputs["styles"][modality])
            return outputs
        outputs = self._generated({m: made[m] for m in MODALITY_NAMES})
        # each modality has the batch statistics of its own images, as the released has
        vectors = {view: self.encoder.vectors(images[view]) for view in stems}
        features, embeddings = (
            joined([pair[i] for pair in vectors.values()]) for i in (0, 1)
        )
        logits = {"v1": self.encoder.classifier(embeddings)}
        for kind in ("", "made_"):
            for name in (f"{kind}{m}" for m in MODALITY_NAMES):
                logits[name] = self._logits(made[name])
        heads = {"features": features, "embeddings": embeddings}
        return outputs | {k: {"v1": x} for k, x in heads.items()} | {"logits": logits}

    def embed(
        self, images: Images, stems: Mapping[str, str]
    ) -> dict[str, dict[str, Float[Array, "b d"]]]:
        """The pooled map, and that after the neck."""
        ((_, x),) = images.items()
        pooled, embedding = self.encoder.vectors(x)
        return {"features": {"v1": pooled}, "embeddings": {"v1": embedding}}

    def translate(
        self, images: Float[Array, "b h w 3"], modality: str
    ) -> dict[str, Float[Array, "b h2 w2 3"]]:
        """Of the generators' size in the other's mean style, and back; normalised."""
        real, there = self._small(images), self.styles[OTHER[modality]]
        mean = jnp.broadcast_to(there.mean[...], (len(real), len(there.mean[...])))
        made = there.decoder(self._content(real), mean)
        own = self.styles[modality]
        back = own.decoder(self._content(made), own.encoder(real))
        return {"translated": normalised(made), "cycle": normalised(back)}

    def _generated(self, real):
        contents = {m: self._content(real[m]) for m in MODALITY_NAMES}
        styles = {m: self.styles[m].encoder(real[m]) for m in MODALITY_NAMES}
        images = dict(real)
        for m, other in OTHER.items():
            decoder = self.styles[m].decoder
            images[f"made_{m}"] = decoder(contents[other], styles[m])
            by = m if m == "visible" else self.reconstructs
            images[f"same_{m}"] = self.styles[by].decoder(contents[m], styles[m])
        for m in MODALITY_NAMES:
            fake = images[f"made_{m}"]
            # named by whose content it is: of a made infrared image the visible one's
            contents[f"made_{OTHER[m]}"] = self._content(fake)
            styles[f"made_{m}"] = self.styles[m].encoder(fake)
        for m in MODALITY_NAMES:
            again = contents[f"made_{m}"]
            images[f"cycle_{m}"] = self.styles[m].decoder(again, styles[m])
        judged = self._judged(images, "made_")
        made = {"images": images, "contents": contents, "styles": styles}
        return made | {"judgements": judged}

    def _judged(self, images, kind):
        return {
            f"{kind or 'real_'}{m}_{scale}": judgement
            for m in MODALITY_NAMES
            for scale, judgement in enumerate(
                self.discriminators[m](images[f"{kind}{m}"])
            )
        }

    def _logits(self, x):
        return self.encoder.classifier(self.encoder.vectors(self._large(x))[1])

    def _content(self, x):
        return self.encoder.content(self._large(x))

    def _small(self, images):
        shape = (len(images), *self.size, 3)
        return jax.image.resize(signed(images), shape, "linear")

    def _large(self, x):
        """Twice as high and wide, for the encoder, and normalised."""
        height, width = self.size
        large = jax.image.resize(x, (len(x), 2 * height, 2 * width, 3), "linear")
        return normalised(large)


def _maps(trunk, x):
    return trunk(x, jnp.zeros(len(x), jnp.int32)).maps
