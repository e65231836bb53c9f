"""Players with batches of their own: images made by one are the next one's input.

The shape of AlignGAN (Wang et al., ICCV 2019): a generator from visible to infrared, a
discriminator of infrared images, an encoder trained on made and on real ones.
"""

from dataclasses import dataclass

import jax.numpy as jnp
from base import small
from flax import nnx

from jreid.data.sampling import PerModality
from jreid.losses.identity import identity
from jreid.models.modules.layers import Conv, Linear
from jreid.training.optimizers import SGD, Adam
from jreid.training.players import Player
from jreid.training.schedules import Steps


class Translator(nnx.Module):
    """A generator, a discriminator and an encoder, of 8 channels."""

    def __init__(self, classes, *, rngs):
        made = {"use_bias": True, "rngs": rngs}
        self.generator = nnx.List([Conv(3, 8, 3, **made), Conv(8, 3, 3, **made)])
        self.discriminator = nnx.List(
            [Conv(3, 8, 3, stride=2, **made), Conv(8, 1, 1, **made)]
        )
        self.encoder = nnx.List(
            [Conv(3, 8, 3, stride=2, **made), Conv(8, 8, 3, stride=2, **made)]
        )
        self.classifier = Linear(8, classes, rngs=rngs)

    def translate(self, x):
        first, second = self.generator
        return x + second(nnx.relu(first(x)))

    def judge(self, x):
        first, second = self.discriminator
        return second(nnx.relu(first(x))).mean((1, 2, 3))

    def encode(self, x):
        for conv in self.encoder:
            x = nnx.relu(conv(x))
        return x.mean((1, 2))

    def embed(self, images, stems, *, modality=None):
        ((view, x),) = images.items()
        v = self.encode(self.translate(x) if stems[view] == "visible" else x)
        return {"features": {"v1": v}, "embeddings": {"v1": v}}

    def __call__(self, images, stems, *, modality=None, rng=None, player, made):
        if player == "encoder":
            rows = [images["infrared"], made["infrared"]]
            v = jnp.concatenate([self.encode(x) for x in rows])
            return {
                "features": {"v1": v},
                "embeddings": {"v1": v},
                "logits": {"v1": self.classifier(v)},
                "real": len(images["infrared"]),
            }
        fake = self.translate(images["visible"])
        return {
            "images": {"infrared": fake},
            "logits": {
                "fake": self.judge(fake),
                "real": self.judge(images["infrared"]),
            },
        }


@dataclass(slots=True)
class Network:
    """The Translator."""

    def names(self):
        return (
            "features.v1",
            "embeddings.v1",
            "logits.v1",
            "logits.fake",
            "logits.real",
        )

    def stem_names(self):
        return ("visible", "infrared")

    def make(self, classes, rngs, dtype):
        return Translator(classes, rngs=rngs)


@dataclass(slots=True)
class Squared:
    """Least-squares GAN: judgements come near a target."""

    weight: float = 1.0
    on: str = "logits.fake"
    target: float = 1.0

    def __call__(self, outputs, batch, rng=None):
        name = self.on.removeprefix("logits.")
        return jnp.mean((outputs["logits"][name] - self.target) ** 2)


@dataclass(slots=True)
class IdentityOfReal:
    """Cross-entropy of the real infrared images; the made ones come from elsewhere."""

    weight: float = 1.0
    on: str = "logits.v1"

    def __call__(self, outputs, batch, rng=None):
        infrared = jnp.nonzero(batch["modality"] == 1, size=outputs["real"])[0]
        real = outputs["logits"]["v1"][: outputs["real"]]
        return identity(real, batch["ids"][infrared])


@dataclass(slots=True)
class MadeNearReal:
    """The mean of the made images' features comes near that of the real ones."""

    weight: float = 0.1
    on: str = "features.v1"

    def __call__(self, outputs, batch, rng=None):
        v, real = outputs["features"]["v1"], outputs["real"]
        return jnp.sum((v[:real].mean(0) - v[real:].mean(0)) ** 2)


def get_config():
    slow, few = Steps(epochs=2, warmup=1, drops=((1, 0.5),)), PerModality(4, 1)
    adam = Adam(lr=1e-3, groups=(), weight_decay=0.0)
    judged = {
        "fake": Squared(on="logits.fake", target=0.0),
        "real": Squared(on="logits.real"),
    }
    config = small("players", network=Network(), schedule=slow)
    config.objective = {}
    config.players = {
        "generator": Player({"fool": Squared()}, "generator", adam, slow, sampling=few),
        "discriminator": Player(
            judged, "discriminator", adam, slow, every=2, sampling=few
        ),
        "encoder": Player(
            {"identity": IdentityOfReal(), "near": MadeNearReal()},
            "encoder|classifier",
            SGD(lr=0.01, groups=(("encoder", 0.5),)),
            slow,
        ),
    }
    return config
