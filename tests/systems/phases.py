"""Phases, any network, gradient reversal: grey images first, as PMT (AAAI 2023)."""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
from base import PIPE, small
from flax import nnx

from jreid.data.augmentations import Grey
from jreid.data.rows import joined
from jreid.data.views import View
from jreid.losses.identity import Identity
from jreid.models.modules.layers import Linear
from jreid.models.modules.reversal import reversed_gradient
from jreid.training.optimizers import AdamW
from jreid.training.phases import Phase
from jreid.training.schedules import Cosine, Steps

PATCH = 8


class SmallTransformer(nnx.Module):
    """Patches, one block of attention, a class token: the shape of a ViT."""

    def __init__(self, width, classes, *, rngs):
        normal = nnx.initializers.normal(0.02)
        self.patches = Linear(3 * PATCH**2, width, kernel_init=normal, rngs=rngs)
        self.token = nnx.Param(normal(rngs.params(), (1, 1, width), jnp.float32))
        self.qkv = Linear(width, 3 * width, kernel_init=normal, rngs=rngs)
        self.classifier = Linear(width, classes, use_bias=False, rngs=rngs)
        self.modality = Linear(width, 2, rngs=rngs)

    def embed(self, images, stems, *, modality=None):
        x = joined([images[view] for view in images])
        b, h, w, _ = x.shape
        x = x.reshape(b, h // PATCH, PATCH, w // PATCH, PATCH, 3)
        x = x.transpose(0, 1, 3, 2, 4, 5).reshape(-1, 3 * PATCH**2)
        x = self.patches(x).reshape(b, -1, self.token.shape[-1])
        x = jnp.concatenate([jnp.tile(self.token[...], (b, 1, 1)), x], axis=1)
        q, k, v = jnp.split(
            self.qkv(x.reshape(-1, x.shape[-1])).reshape(b, x.shape[1], -1), 3, axis=-1
        )
        weights = jax.nn.softmax(q @ k.swapaxes(1, 2) / x.shape[-1] ** 0.5)
        token = (x + weights @ v)[:, 0]
        return {"features": {"v1": token}, "embeddings": {"v1": token}}

    def __call__(self, images, stems, rng=None):
        outputs = self.embed(images, stems)
        token = outputs["embeddings"]["v1"]
        if rng is not None:
            kept = jax.random.bernoulli(rng, 0.9, token.shape)
            token = jnp.where(kept, token / 0.9, 0)
        back = reversed_gradient(token, 0.1)
        logits = {"v1": self.classifier(token), "modality": self.modality(back)}
        return outputs | {"logits": logits}


@dataclass(slots=True)
class Transformer:
    """One block of attention over patches of 8 x 8 pixels."""

    width: int = 8

    def names(self):
        return ("features.v1", "embeddings.v1", "logits.v1", "logits.modality")

    def stem_names(self):
        return ("shared",)

    def make(self, classes, rngs, dtype):
        return SmallTransformer(self.width, classes, rngs=rngs)


@dataclass(slots=True)
class TellModality:
    """Cross-entropy of the modality, whose gradient comes back reversed."""

    weight: float = 0.5
    on: str = "logits.modality"

    def __call__(self, outputs, batch, rng=None):
        logits = jax.nn.log_softmax(outputs["logits"]["modality"])
        chosen = jnp.take_along_axis(logits, batch["modality"][:, None], axis=1)
        return -jnp.mean(chosen)


def get_config():
    config = small(
        "phases",
        network=Transformer(),
        optimizer=AdamW(lr=0.01, groups=(("patches", 0.5),)),
        schedule=Cosine(epochs=3, warmup=1),
    )
    config.views = {
        "visible": View("shared", PIPE, modality="visible"),
        "infrared": View("shared", PIPE, modality="infrared"),
    }
    grey = dict(
        config.views, visible=View("shared", (*PIPE, Grey(1.0)), modality="visible")
    )
    both = {"identity": Identity(), "modality": TellModality()}
    config.phases = (
        Phase(epochs=1, views=grey),
        Phase(epochs=1, objective=both, schedule=Steps(epochs=1, warmup=0, drops=())),
        Phase(epochs=1, trainable="classifier|token"),
    )
    return config
