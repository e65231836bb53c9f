"""The modules of D2RL's network; see jreid/models/multispectral.py."""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from jreid.data.rows import joined
from jreid.models.modules.heads import BranchHead
from jreid.models.modules.latent_coder import LatentDecoder, LatentEncoder, drawn
from jreid.models.modules.scales import Scales
from jreid.models.modules.statistics_kept import statistics_kept
from jreid.models.modules.translations import OTHER, by_modality, normalised, signed
from jreid.models.modules.view_columns import Images
from jreid.models.multispectral import CHANNELS, SCALES
from jreid.models.multispectral import MultispectralNetwork as Part
from jreid.models.pooling import Average
from jreid.models.two_stream import Branch

Spectra = Float[Array, "b h w 4"]


class SpectralReid(nnx.Module):
    """A ResNet on images of four channels, its pooled map, neck and classifier."""

    def __init__(self, part: Part, classes: int, *, dtype, rngs: nnx.Rngs):
        made: dict[str, Any] = {"dtype": dtype, "rngs": rngs}
        self.stem = part.trunk.make_stem(rngs, dtype, inputs=CHANNELS)
        self.trunk = part.trunk.make(rngs, dtype)
        branch, channels = Branch("v1", Average()), part.trunk.channels()[-1]
        self.head = BranchHead(branch, channels, classes, **made)

    def __call__(self, x: Spectra) -> tuple[Float[Array, "b d"], Float[Array, "b d"]]:
        """The pooled map, and that after the neck."""
        maps = self.trunk(self.stem(x), jnp.zeros(len(x), jnp.int32)).maps
        return self.head(maps, None)


class MultispectralNetwork(nnx.Module):
    """Outputs by player; images come normalised, those to be judged are in [-1, 1]."""

    def __init__(self, part: Part, classes: int, *, dtype=jnp.float32, rngs: nnx.Rngs):
        part.check()
        made: dict[str, Any] = {"dtype": dtype, "rngs": rngs}
        self.reid = SpectralReid(part, classes, **made)
        # by the modality that they see, make or judge
        self.encoders = nnx.Dict({m: LatentEncoder(part.coder, **made) for m in OTHER})
        self.decoders = nnx.Dict({m: LatentDecoder(part.coder, **made) for m in OTHER})
        judge = part.discriminator
        self.discriminators = nnx.Dict(
            {m: Scales(judge, SCALES, **made) for m in OTHER}
        )
        self.size = tuple(part.size)

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
            return {
                "judgements": self._judged("real", made) | self._judged("made", made)
            }
        if player == "reid":
            return self._identified(images, stems)
        given = by_modality(images, stems)
        outputs = self._generated({m: self._small(x) for m, x in given.items()}, rng)
        if player == "generators":
            with statistics_kept(self.reid):  # which its own turn moves
                outputs |= self._identified(images, stems)
        return outputs

    def embed(
        self, images: Images, stems: Mapping[str, str]
    ) -> dict[str, dict[str, Float[Array, "b d"]]]:
        """The pooled map, and that after the neck; rows as in joined views."""
        features, embeddings = self._vectors(images, stems)
        return {"features": {"v1": features}, "embeddings": {"v1": embeddings}}

    def multispectral(self, images: Float[Array, "b h w 3"], modality: str) -> Spectra:
        """Colours and infrared of normalised images, of which one is made.

        The made image is that of the mean code. The fourth channel is the mean of an
        infrared image's three.
        """
        made = self._translated(self._small(signed(images)), modality)
        made = normalised(jax.image.resize(made, images.shape, "linear"))
        # chosen by a factor: in an exported file both modalities share the operations
        real = jnp.asarray(modality == "visible", images.dtype)
        colours = real * images + (1 - real) * made
        infrared = real * made + (1 - real) * images
        return jnp.concatenate([colours, infrared.mean(-1, keepdims=True)], -1)

    def translate(
        self, images: Float[Array, "b h w 3"], modality: str
    ) -> dict[str, Float[Array, "b h2 w2 3"]]:
        """Of the generators' size in the other modality, and back; normalised."""
        there = self._translated(self._small(signed(images)), modality)
        back = self._translated(there, OTHER[modality])
        return {"translated": normalised(there), "cycle": normalised(back)}

    def _translated(self, x, modality):
        return self.decoders[OTHER[modality]](self.encoders[modality](x))

    def _vectors(self, images, stems):
        spectra = [
            self.multispectral(images[view], modality)
            for view, modality in stems.items()
            if view in images
        ]
        return self.reid(joined(spectra))

    def _identified(self, images, stems):
        features, embeddings = self._vectors(images, stems)
        classifier: Any = self.reid.head.classifier
        found = {
            "features": features,
            "embeddings": embeddings,
            "logits": classifier(embeddings),
        }
        return {kind: {"v1": x} for kind, x in found.items()}

    def _generated(self, real, rng):
        codes = {m: self.encoders[m](x) for m, x in real.items()}
        seen = {m: drawn(x, rng, place) for place, (m, x) in enumerate(codes.items())}
        shown = dict(real)
        for m, other in OTHER.items():
            # no image sees another
            both = self.decoders[m](jnp.concatenate([seen[other], seen[m]]))
            shown[f"made_{m}"], shown[f"same_{m}"] = jnp.split(both, [len(seen[other])])
        for place, (m, other) in enumerate(OTHER.items(), len(codes)):
            # named by the image that it was made of
            again = self.encoders[other](shown[f"made_{other}"])
            codes[f"again_{m}"] = again
            shown[f"cycle_{m}"] = self.decoders[m](drawn(again, rng, place))
        judged = self._judged("made", shown)
        return {"judgements": judged, "images": shown, "codes": codes}

    def _judged(self, kind, images):
        """Of real or made images of both modalities at every scale."""
        return {
            f"{kind}_{m}_{scale}": judgement
            for m, judge in self.discriminators.items()
            for scale, judgement in enumerate(
                judge(images[m if kind == "real" else f"made_{m}"])
            )
        }

    def _small(self, x):
        return jax.image.resize(x, (len(x), *self.size, 3), "linear")
