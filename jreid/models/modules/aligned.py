"""The modules of AlignGAN's network; see jreid/models/aligned.py."""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float, Int

from jreid.data.datasets import MODALITY_NAMES
from jreid.data.rows import joined
from jreid.models.aligned import AlignedNetwork as Part
from jreid.models.modules.dropout import dropped
from jreid.models.modules.generators import Generator, PatchDiscriminator
from jreid.models.modules.initialisers import around_one, torch_uniform
from jreid.models.modules.layers import BatchNorm, Linear, kaiming_normal
from jreid.models.modules.pooling import average_pool
from jreid.models.modules.translations import (
    OTHER,
    normalised,
    signed,
    there_and_back,
    translations,
)

Images = Mapping[str, Float[Array, "b h w 3"]]


class Encoder(nnx.Module):
    """A ResNet on images in [-1, 1], brought to its size and normalised as ImageNet's.

    In a test as in every turn (the released code).
    """

    def __init__(self, part: Part, *, dtype, rngs: nnx.Rngs):
        self.stem = part.trunk.make_stem(rngs, dtype)
        self.trunk = part.trunk.make(rngs, dtype)
        self.size = tuple(part.size)

    def __call__(self, x: Float[Array, "b h w 3"]) -> Float[Array, "b h2 w2 c"]:
        x = jax.image.resize(x, (len(x), *self.size, 3), "linear")
        x = self.stem(normalised(x))
        return self.trunk(x, jnp.zeros(len(x), jnp.int32)).maps


class Embedder(nnx.Module):
    """The linear map for triplets, and the classifier with a hidden layer.

    Initial weights are the released code's, with biases of 0.
    """

    def __init__(self, part: Part, channels: int, classes: int, *, rngs: nnx.Rngs):
        width = part.features
        init = torch_uniform(channels)
        self.linear = Linear(channels, width, kernel_init=init, rngs=rngs)
        self.hidden = Linear(channels, width, kernel_init=kaiming_normal, rngs=rngs)
        self.norm = BatchNorm(width, scale_init=around_one(0.02), rngs=rngs)
        init = nnx.initializers.normal(0.001)
        self.classifier = Linear(width, classes, kernel_init=init, rngs=rngs)
        self.dropout = part.dropout

    def logits(
        self, pooled: Float[Array, "b d"], rng: Array | None
    ) -> Float[Array, "b classes"]:
        """Of the identities, of the pooled map with dropout."""
        hidden = self.norm(self.hidden(dropped(pooled, self.dropout, rng)))
        return self.classifier(nnx.leaky_relu(hidden, 0.1))


class AlignedNetwork(nnx.Module):
    """Outputs by player; images come normalised, and within are in [-1, 1]."""

    def __init__(self, part: Part, classes: int, *, dtype=jnp.float32, rngs: nnx.Rngs):
        part.check()
        made = {"dtype": dtype, "rngs": rngs}
        channels = part.trunk.channels()[-1]
        self.encoder = Encoder(part, **made)
        self.embedder = Embedder(part, channels, classes, rngs=rngs)
        # by the modality that they make or judge
        self.generators = nnx.Dict(
            {m: Generator(part.generator, **made) for m in OTHER}
        )
        judge = part.discriminator
        self.discriminators = nnx.Dict(
            {
                "visible_alone": PatchDiscriminator(judge, **made),
                "infrared_alone": PatchDiscriminator(judge, **made),
                "visible": PatchDiscriminator(judge, **made),
                "infrared": PatchDiscriminator(judge, channels, **made),
                **{name: critic.make(**made) for name, critic in part.critics.items()},
            }
        )
        self.critics = tuple((n, critic.of) for n, critic in part.critics.items())

    def __call__(
        self,
        images: Images,
        stems: Mapping[str, str],
        rng: Array | None = None,
        *,
        ids: Mapping[str, Int[Array, " b"]],
        player: str,
        made: Mapping[str, Array],
    ) -> dict[str, Any]:
        """What the player's terms stand on; rows are those of the joined views."""
        real = {view: signed(images[view]) for view in stems if view in images}
        if player in ("encoder_alone", "encoder"):
            return self._encoded(real, player == "encoder", rng)
        if player in ("generators_alone", "generators"):
            return self._generated(real, player == "generators", rng)
        if player == "infrared":
            return {"judgements": self._joint(real["infrared"], ids["infrared"], made)}
        of = {"visible": "visible"} | {f"{m}_alone": m for m in MODALITY_NAMES}
        modality = (of | dict(self.critics))[player]
        judge = self.discriminators[player]
        fake = judge(made[f"made_{modality}"])
        return {"judgements": {"real": judge(real[modality]), "made": fake}}

    def embed(
        self, images: Images, stems: Mapping[str, str], *, modality: Mapping[str, Array]
    ) -> dict[str, dict[str, Float[Array, "b 2 d"]]]:
        """Vectors of each image, a visible one translated, and of its mirror image."""
        ((name, x),) = images.items()
        x = signed(x)
        x = self.generators["infrared"](x) if name == "visible" else x
        pooled = [average_pool(self.encoder(y)) for y in (x, x[:, :, ::-1])]
        return {
            "features": {"v1": jnp.stack(pooled, 1)},
            "embeddings": {"v1": jnp.stack([*map(self.embedder.linear, pooled)], 1)},
        }

    def translate(
        self, images: Float[Array, "b h w 3"], modality: str
    ) -> dict[str, Float[Array, "b h w 3"]]:
        """Images in the other modality, and brought back from there; normalised."""
        return there_and_back(self.generators, images, modality)

    def _encoded(self, real, adversarial, rng):
        x = dict(real)
        if "visible" in x:
            x["visible"] = jax.lax.stop_gradient(
                self.generators["infrared"](x["visible"])
            )
        # made images pass first
        outputs, maps = self._seen(x, [m for m in MODALITY_NAMES if m in x], rng)
        if adversarial:
            judge = self.discriminators["infrared"]
            outputs["judgements"] = {
                "real_with_made": judge(real["infrared"], maps["visible"])
            }
        return outputs

    def _seen(self, columns, turns, rng):
        """The heads' outputs, their rows those of the joined columns, and maps by name.

        Columns pass encoder and embedder one after the other, named in `turns`, each
        with its own batch statistics, as in the released code.
        """
        maps = {name: self.encoder(columns[name]) for name in turns}
        heads = {
            name: self._heads(x, None if rng is None else jax.random.fold_in(rng, i))
            for i, (name, x) in enumerate(maps.items())
        }
        each = [heads[name] for name in columns]
        return jax.tree.map(lambda *rows: joined(rows), *each), maps

    def _heads(self, maps, rng):
        pooled = average_pool(maps)
        return {
            "features": {"v1": pooled},
            "embeddings": {"v1": self.embedder.linear(pooled)},
            "logits": {"v1": self.embedder.logits(pooled, rng)},
        }

    def _generated(self, real, joint, rng):
        images = translations(self.generators, real)
        judge = self.discriminators["visible" if joint else "visible_alone"]
        judged = {"made_visible": judge(images["made_visible"])}
        for name, modality in self.critics:
            judged[name] = self.discriminators[name](images[f"made_{modality}"])
        columns = real | {"visible": images["made_infrared"]}
        # real images pass first
        outputs, maps = self._seen(columns, ("infrared", "visible"), rng)
        if joint:
            judge = self.discriminators["infrared"]
            judged["made_with_real"] = judge(images["made_infrared"], maps["infrared"])
            # what the discriminator's turn needs besides images
            images |= {f"map_{view}": x for view, x in maps.items()}
        else:
            judge = self.discriminators["infrared_alone"]
            judged["made"] = judge(images["made_infrared"])
        return outputs | {"judgements": judged, "images": images}

    def _joint(self, real, ids, made):
        judge = self.discriminators["infrared"]
        of_real, of_fake, fake = (
            made[name] for name in ("map_infrared", "map_visible", "made_infrared")
        )
        return {
            "real": judge(real, of_real),
            "wrong": judge(real[another_identity(ids)], of_real),
            "real_with_made": judge(real, of_fake),
            "made_with_real": judge(fake, of_real),
            "made": judge(fake, of_fake),
        }


def another_identity(ids: Int[Array, " n"]) -> Int[Array, " n"]:
    """Of each row one of another identity: rolled by one where rows are grouped.

    A batch of one identity alone has none; its rows then stand for themselves.
    """
    count, same = len(ids), ids[:, None] == ids[None, :]
    place = jnp.arange(count)
    away = place[None, :] - place[:, None] - jnp.sum(same, 1)[:, None]
    order = jnp.where(same, count, away % count)
    return jnp.where(jnp.all(same, 1), place, jnp.argmin(order, 1))
