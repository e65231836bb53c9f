"""Labels from clusters between epochs, a memory of them, unequal views: as ADCA."""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
from base import PIPE, small

from jreid.data.augmentations import RandomChannel
from jreid.data.views import View


@dataclass(slots=True)
class EightAndFour:
    """Of each of four clusters one visible image, in two views, and two infrared."""

    def make(self, images, views, seed, labels=None):
        labels = images.ids if labels is None else labels
        rows = {
            modality: [
                np.flatnonzero((labels == label) & (images.modality == modality))
                for label in np.unique(labels[labels >= 0])
            ]
            for modality in (0, 1)
        }

        def sampler(step):
            rng = np.random.default_rng([seed, step])
            both = [i for i, r in enumerate(rows[0]) if len(r) and len(rows[1][i])]
            chosen = rng.choice(both, 4)
            visible = np.array([rng.choice(rows[0][i]) for i in chosen])
            infrared = np.concatenate([rng.choice(rows[1][i], 2) for i in chosen])
            return {"visible": visible, "other": visible, "infrared": infrared}

        return sampler

    def steps_per_epoch(self, images):
        return 3


@dataclass(slots=True)
class NearestOfTen:
    """Three rounds of k-means on the embeddings, whatever the identities."""

    classes: int = 5

    def __call__(self, state, embed_train, epoch, seed):
        found = embed_train()["fused"]
        rng = np.random.default_rng([seed, epoch])
        centres = found[rng.choice(len(found), self.classes, replace=False)]
        for _ in range(3):
            labels = np.argmax(found @ centres.T, axis=1)
            labels[: self.classes] = np.arange(self.classes)  # none is empty
            centres = np.stack(
                [found[labels == c].mean(axis=0) for c in range(self.classes)]
            )
        labels[-2:] = -1  # two images belong to no cluster
        return labels, {"bank": centres.astype(np.float32)}


@dataclass(slots=True)
class Bank:
    """A vector for each cluster, moved towards the rows that carry its label."""

    classes: int = 5
    rate: float = 0.9

    def init(self, params):
        width = params["branches"]["v1"]["neck"]["scale"].shape[0]
        return {"bank": jnp.zeros((self.classes, width))}

    def update(self, extra, outputs, rows, params):
        vectors = outputs["embeddings"]["v1"]
        vectors = vectors / jnp.linalg.norm(vectors, axis=1, keepdims=True)
        members = rows["ids"][None] == jnp.arange(self.classes)[:, None]
        counts = members.sum(axis=1, keepdims=True)
        means = members.astype(vectors.dtype) @ vectors / jnp.maximum(counts, 1)
        moved = (1 - self.rate) * extra["bank"] + self.rate * means
        return {"bank": jnp.where(counts > 0, moved, extra["bank"])}


@dataclass(slots=True)
class NearOwnCluster:
    """Cross-entropy of the similarities to the vectors of the bank."""

    weight: float = 1.0
    on: str = "embeddings.v1"
    temperature: float = 0.5

    def __call__(self, outputs, batch, rng=None):
        vectors = outputs["embeddings"]["v1"]
        vectors = vectors / jnp.linalg.norm(vectors, axis=1, keepdims=True)
        logits = vectors @ batch["extra"]["bank"].T / self.temperature
        chosen = jnp.take_along_axis(
            jax.nn.log_softmax(logits), batch["ids"][:, None], axis=1
        )
        return -jnp.mean(chosen)


def get_config():
    return small(
        "clusters",
        views={
            "visible": View("visible", PIPE),
            "other": View(
                "visible", (*PIPE, RandomChannel(1.0)), same_image_as="visible"
            ),
            "infrared": View("infrared", PIPE),
        },
        sampling=EightAndFour(),
        steps_per_epoch=0,
        objective={"cluster": NearOwnCluster()},
        between_epochs=NearestOfTen(),
        memory=Bank(),
    )
