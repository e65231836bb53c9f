"""The modules of Hi-CMD's network; see jreid/models/disentangled.py."""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Float

from jreid.data.datasets import MODALITY_NAMES
from jreid.data.rows import joined, positions
from jreid.models.disentangled import GROUPS
from jreid.models.disentangled import DisentangledNetwork as Part
from jreid.models.modules.attributes import (
    LIT,
    STYLE,
    AttributeEncoder,
    mixed,
    split_at,
    style_of,
)
from jreid.models.modules.combined_features import (
    CombinedFeatures,
    rows_of_sets,
)
from jreid.models.modules.multiscale_discriminator import MultiscaleDiscriminator
from jreid.models.modules.prototype_encoder import PrototypeEncoder
from jreid.models.modules.statistics_kept import statistics_kept
from jreid.models.modules.style_decoder import StyleDecoder
from jreid.models.modules.translations import OTHER

Images = Mapping[str, Float[Array, "b h w 3"]]
MOMENTUM = 0.9  # of the mean illumination


class DisentangledNetwork(nnx.Module):
    """Outputs by player; images are normalised, also those that the decoder makes."""

    def __init__(self, part: Part, classes: int, *, dtype=jnp.float32, rngs: nnx.Rngs):
        part.check()
        made: dict[str, Any] = {"dtype": dtype, "rngs": rngs}
        channels = part.trunk.channels()
        group = channels[-1] // GROUPS
        self.prototypes = nnx.Dict(
            {m: PrototypeEncoder(part.prototype, channels[0], **made) for m in OTHER}
        )
        self.attributes = nnx.Dict({m: AttributeEncoder(part, **made) for m in OTHER})
        self.decoder = StyleDecoder(part.decoder, channels[0], group, **made)
        self.discriminators = nnx.Dict(
            {m: MultiscaleDiscriminator(part.discriminator, **made) for m in OTHER}
        )
        self.reid = CombinedFeatures(part, classes, **made)
        # of the training images; a picture of one image alone borrows the other's
        self.illumination = nnx.Dict(
            {m: nnx.BatchStat(jnp.zeros((GROUPS, group // 4))) for m in OTHER}
        )
        self.erase = part.erase

    def __call__(
        self,
        images: Images,
        stems: Mapping[str, str],
        rng: Array | None = None,
        *,
        player: str,
        made: Mapping[str, Array],
    ) -> dict[str, Any]:
        """What the player's terms stand on; for the ReID losses with rows of rows."""
        real = {stem: images[view] for view, stem in stems.items() if view in images}
        slots = len(real["visible"])
        pairs = {m: x[: (slots + 1) // 2] for m, x in real.items()}
        if player == "discriminators":
            return self._judged(pairs)
        if player == "reid":
            codes = made["prototypes"], made["styles"]
            return self._identified(codes, slots, tuple(real), rng)
        outputs = self._generated(pairs)
        codes = self._seen(real, outputs["images"], rng)
        with statistics_kept(self.reid):  # the ReID layers' own turn moves them
            outputs |= self._identified(codes, slots, tuple(real), rng)
        outputs["images"] |= dict(zip(("prototypes", "styles"), codes, strict=True))
        return outputs

    def embed(
        self, images: Images, stems: Mapping[str, str]
    ) -> dict[str, dict[str, Float[Array, "b d"]]]:
        """The hidden layer's vectors and the triplets', rows as in joined views."""
        given = [(stem, images[v]) for v, stem in stems.items() if v in images]
        codes = [self._encoded(modality, x) for modality, x in given]
        prototypes = joined([prototype for prototype, _ in codes])
        styles = joined([style_of(code) for _, code in codes])
        halves = self.reid.directions(prototypes, styles)
        outputs = self.reid.heads(jnp.concatenate(halves, 1), None)
        return {kind: outputs[kind] for kind in ("features", "embeddings")}

    def translate(
        self, images: Float[Array, "b h w 3"], modality: str
    ) -> dict[str, Float[Array, "b h w 3"]]:
        """Images in the other modality's mean illumination, and back in their own."""
        other = OTHER[modality]
        prototype, own = self._encoded(modality, images)
        mean = self.illumination[other][...]
        lit = jnp.broadcast_to(mean, (len(images), *mean.shape))
        code = jnp.concatenate([own[..., : -mean.shape[-1]], lit], -1)
        there = self.decoder(prototype, code)
        prototype, again = self._encoded(other, there)
        back = self.decoder(prototype, mixed(again, own, LIT))
        return {"translated": there, "cycle": back}

    def _encoded(self, modality, x):
        return self.prototypes[modality](x), self.attributes[modality](x)

    def _coded(self, pairs):
        """Prototypes and codes, and codes with the other's style."""
        codes = {m: self._encoded(m, x) for m, x in pairs.items()}
        styled = {m: mixed(codes[o][1], codes[m][1], STYLE) for m, o in OTHER.items()}
        return codes, styled

    def _crossed(self, codes, styled):
        """Images to be made of the other's prototype, by name.

        "cross" takes the style as well, "lit" all but the illumination.
        """
        wanted = {}
        for m, other in OTHER.items():
            (_, own), (prototype, given) = codes[m], codes[other]
            wanted[f"cross_{m}"] = prototype, styled[m]
            wanted[f"lit_{m}"] = prototype, mixed(given, own, LIT)
        return wanted

    def _decoded(self, wanted):
        """Images of pairs of prototype and codes by name; no image sees another."""
        prototypes, codes = map(jnp.concatenate, zip(*wanted.values(), strict=True))
        images = jnp.split(self.decoder(prototypes, codes), len(wanted))
        return dict(zip(wanted, images, strict=True))

    def _judgements(self, modality, images):
        """Of each kind of images those of every size; no image sees another."""
        whole = self.discriminators[modality](jnp.concatenate(list(images.values())))
        found = {}
        for size, judged in enumerate(whole):
            parts = jnp.split(judged, len(images))
            for kind, part in zip(images, parts, strict=True):
                found[f"{kind}_{modality}_{size}"] = part
        return found

    def _judged(self, pairs):
        made = self._decoded(self._crossed(*self._coded(pairs)))
        made = jax.lax.stop_gradient(made)
        judgements, slopes = {}, {}
        for m, real in pairs.items():
            shown = {kind: made[f"{kind}_{m}"] for kind in ("cross", "lit")}
            judgements |= self._judgements(m, {"real": real, **shown})
            found = self.discriminators[m].slopes(real)
            slopes |= {f"{m}_{size}": slope for size, slope in enumerate(found)}
        return {"judgements": judgements, "slopes": slopes}

    def _generated(self, pairs):
        codes, styled = self._coded(pairs)
        wanted = {f"same_{m}": (codes[m][0], styled[m]) for m in OTHER}
        made = self._decoded(wanted | self._crossed(codes, styled))
        again = {m: self._encoded(m, made[f"cross_{m}"]) for m in OTHER}
        # the other's cross image has this one's prototype
        back = {f"cycle_{m}": (again[o][0], styled[m]) for m, o in OTHER.items()}
        seen, judgements = {}, {}
        for m in OTHER:
            code = codes[m][1]
            self._remember(m, code)
            seen |= {f"decoded_{m}": styled[m], f"again_{m}": again[m][1]}
            seen[f"rest_{m}"] = split_at(code, STYLE)[1]
            shown = {kind: made[f"{kind}_{m}"] for kind in ("cross", "lit")}
            judgements |= self._judgements(m, shown)
        images = {**pairs, **made, **self._decoded(back)}
        return {"images": images, "codes": seen, "judgements": judgements}

    def _remember(self, modality, codes):
        mean = self.illumination[modality]
        now = jax.lax.stop_gradient(split_at(codes, LIT)[1].mean(0))
        mean.set_value(MOMENTUM * mean[...] + (1 - MOMENTUM) * now)

    def _seen(self, real, images, rng):
        """Prototypes and styles of erased images: of each modality real, made, others.

        No gradient goes through a made image to what made it.
        """
        prototypes, styles = [], []
        for number, m in enumerate(MODALITY_NAMES):
            made = jax.lax.stop_gradient(images[f"cross_{m}"])
            x = jnp.split(real[m], [len(made)])
            x = jnp.concatenate([x[0], made, x[1]])
            if rng is not None:
                x = self.erase(x, jax.random.fold_in(rng, number))
            prototype, code = self._encoded(m, x)
            prototypes.append(prototype)
            styles.append(style_of(code))
        return jnp.concatenate(prototypes), jnp.concatenate(styles)

    def _identified(self, codes, slots: int, views: tuple[str, ...], rng):
        """Heads of `rows_of_sets`; `codes` are those of `_seen`."""
        rows = rows_of_sets(slots)
        place = positions(dict.fromkeys(views, slots))
        each, columns = slots + (slots + 1) // 2, []
        for number, m in enumerate(MODALITY_NAMES):
            content, style, slot, copy = rows
            columns.append(
                (number * each + content, number * each + style, place[m][slot], copy)
            )
        content, style, source, copy = map(np.concatenate, zip(*columns, strict=True))
        halves = self.reid.directions(*codes)
        combined = jnp.concatenate([halves[0][content], halves[1][style]], 1)
        key = None if rng is None else jax.random.fold_in(rng, len(MODALITY_NAMES))
        order = {"source": jnp.asarray(source, jnp.int32), "copy": jnp.asarray(copy)}
        return self.reid.heads(combined, key) | order
