"""The modules of Hi-CMD's network; see jreid/models/disentangled.py."""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Float

from jreid.data.rows import joined, positions
from jreid.models.disentangled import GROUPS, MODALITIES
from jreid.models.disentangled import DisentangledNetwork as Part
from jreid.models.modules.channels import at_least_float32
from jreid.models.modules.combined_features import CombinedFeatures, statistics_kept
from jreid.models.modules.multiscale_discriminator import MultiscaleDiscriminator
from jreid.models.modules.pooling import average_pool
from jreid.models.modules.prototype_encoder import PrototypeEncoder
from jreid.models.modules.style_decoder import StyleDecoder

Images = Mapping[str, Float[Array, "b h w 3"]]
Codes = Float[Array, "b 4 g"]
OTHER = {"visible": "infrared", "infrared": "visible"}
STYLE, LIT = 1 / 2, 3 / 4  # where a group's style ends, and where its pose does
MOMENTUM = 0.9  # of the mean illumination


class AttributeEncoder(nnx.Module):
    """A ResNet whose pooled map is GROUPS groups of style, pose and illumination."""

    def __init__(self, part: Part, *, dtype, rngs: nnx.Rngs):
        self.stem = part.trunk.make_stem(rngs, dtype)
        self.trunk = part.trunk.make(rngs, dtype)

    def __call__(self, x: Float[Array, "b h w 3"]) -> Codes:
        maps = self.trunk(self.stem(x), jnp.zeros(len(x), jnp.int32)).maps
        return at_least_float32(average_pool(maps)).reshape(len(x), GROUPS, -1)


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

    def _decoded(self, pairs):
        """Codes, those with the other's style, and both images made with its prototype.

        "cross" takes the style as well, "lit" all but the illumination.
        """
        codes = {m: self._encoded(m, x) for m, x in pairs.items()}
        styled, cross, lit = {}, {}, {}
        for m, other in OTHER.items():
            (_, own), (prototype, given) = codes[m], codes[other]
            styled[m] = mixed(given, own, STYLE)
            cross[m] = self.decoder(prototype, styled[m])
            lit[m] = self.decoder(prototype, mixed(given, own, LIT))
        return codes, styled, cross, lit

    def _judged(self, pairs):
        _, _, cross, lit = self._decoded(pairs)
        outputs = {"judgements": {}, "slopes": {}}
        for m, judge in self.discriminators.items():
            for kind, x in (("real", pairs[m]), ("cross", cross[m]), ("lit", lit[m])):
                judged = judge(jax.lax.stop_gradient(x))
                outputs["judgements"] |= numbered(f"{kind}_{m}", judged)
            outputs["slopes"] |= numbered(m, judge.slopes(pairs[m]))
        return outputs

    def _generated(self, pairs):
        codes, styled, cross, lit = self._decoded(pairs)
        images = {**pairs, **named("cross", cross)}
        again = {m: self._encoded(m, x) for m, x in cross.items()}
        judgements = {}
        for m, other in OTHER.items():
            images[f"same_{m}"] = self.decoder(codes[m][0], styled[m])
            # the other's cross image has this one's prototype
            images[f"cycle_{m}"] = self.decoder(again[other][0], styled[m])
            self._remember(m, codes[m][1])
            judge = self.discriminators[m]
            judgements |= numbered(f"cross_{m}", judge(cross[m]))
            judgements |= numbered(f"lit_{m}", judge(lit[m]))
        seen = named("decoded", styled)
        seen |= named("again", {m: code for m, (_, code) in again.items()})
        rest = {m: split_at(code, STYLE)[1] for m, (_, code) in codes.items()}
        seen |= named("rest", rest)
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
        for number, m in enumerate(MODALITIES):
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
        for number, m in enumerate(MODALITIES):
            content, style, slot, copy = rows
            columns.append(
                (number * each + content, number * each + style, place[m][slot], copy)
            )
        content, style, source, copy = map(np.concatenate, zip(*columns, strict=True))
        halves = self.reid.directions(*codes)
        combined = jnp.concatenate([halves[0][content], halves[1][style]], 1)
        key = None if rng is None else jax.random.fold_in(rng, len(MODALITIES))
        order = {"source": jnp.asarray(source, jnp.int32), "copy": jnp.asarray(copy)}
        return self.reid.heads(combined, key) | order


def rows_of_sets(slots: int) -> tuple[np.ndarray, ...]:
    """Of a modality's rows in the ReID losses: content's, style's, slot and copy.

    Of n pairs and k negatives the prototypes and styles come as n real, n made and k
    negatives; the rows are those, then real prototypes with the made images' styles,
    then made images' prototypes with real styles (Hi-CMD's eight sets, four and four).
    """
    n = (slots + 1) // 2
    real, made, others = np.split(np.arange(slots + n), [n, 2 * n])
    content = np.concatenate([real, made, others, real, made])
    style = np.concatenate([real, made, others, made, real])
    slot = np.concatenate([real, real, others - n, real, real])
    copies = (n, n, slots - n, n, n)
    copy = np.repeat(np.array([0, 1, 0, 2, 3], np.int32), copies)
    return content, style, slot, copy


def split_at(codes: Codes, share: float) -> list[Float[Array, "b 4 _"]]:
    """What comes before and after that share of each group."""
    return jnp.split(codes, [round(share * codes.shape[-1])], -1)


def mixed(first: Codes, last: Codes, share: float) -> Codes:
    """Of each group that share from the first codes, and the rest from the last."""
    return jnp.concatenate([split_at(first, share)[0], split_at(last, share)[1]], -1)


def style_of(codes: Codes) -> Float[Array, "b s"]:
    """The groups' styles as one vector."""
    return split_at(codes, STYLE)[0].reshape(len(codes), -1)


def named(kind: str, by_modality: Mapping[str, Any]) -> dict[str, Any]:
    """The kind before each modality's name."""
    return {f"{kind}_{m}": value for m, value in by_modality.items()}


def numbered(name: str, by_size: list[Any]) -> dict[str, Any]:
    """The size's number after the name."""
    return {f"{name}_{size}": value for size, value in enumerate(by_size)}
