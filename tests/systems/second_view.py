"""A second visible view of the same images, as CAJ has it (Ye et al., ICCV 2021)."""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
from base import PIPE, small

from jreid.data.augmentations import RandomChannel
from jreid.data.views import View
from jreid.losses.identity import Identity


@dataclass(slots=True)
class ViewConsistency:
    """The second view's prediction follows the first's, row by row of one image."""

    weight: float = 1.0
    on: str = "logits.v1"

    def __call__(self, outputs, batch, rng=None):
        logits, view = outputs["logits"]["v1"], batch["view"]
        images = len(view) // 3
        first, second = (
            jnp.take(logits, jnp.nonzero(view == v, size=images)[0], axis=0)
            for v in (0, 1)
        )
        teacher = jax.nn.softmax(jax.lax.stop_gradient(first))
        return -jnp.mean(jnp.sum(teacher * jax.nn.log_softmax(second), axis=1))


def get_config():
    config = small("second_view")
    views = {
        "visible": config.views["visible"],
        "grey": View("visible", (*PIPE, RandomChannel(1.0)), same_image_as="visible"),
        "infrared": config.views["infrared"],
    }
    config.views = views
    config.objective = {"identity": Identity(), "consistency": ViewConsistency()}
    return config
