"""The modules of a network's branches; see jreid/models/two_stream.py."""

import jax
from flax import nnx
from jaxtyping import Array, Float, Int

from jreid.losses.directions import unit_rows
from jreid.models import two_stream as parts
from jreid.models.modules.initialisers import (
    around_one,
    classifier_weights,
    kaiming_fan_in,
)
from jreid.models.modules.layers import BatchNorm, Linear, kaiming_normal
from jreid.models.modules.modality_norm import ModalityNorm
from jreid.models.pooling import pooled_width
from jreid.models.two_stream import Branch, Project


class Projection(nnx.Module):
    """Linear map, BatchNorm, and ReLU where asked for."""

    def __init__(self, part: Project, channels: int, *, rngs: nnx.Rngs):
        width = part.features
        init = kaiming_normal if part.init == "fan_out" else kaiming_fan_in
        self.linear = Linear(
            channels, width, use_bias=part.bias, kernel_init=init, rngs=rngs
        )
        self.bn = BatchNorm(width, scale_init=around_one(part.scale_std), rngs=rngs)
        self.relu = part.relu

    def __call__(self, x: Float[Array, "b c"]) -> Float[Array, "b d"]:
        y = self.bn(self.linear(x))
        return nnx.relu(y) if self.relu else y


class Classifier(Linear):
    """A leaky ReLU, where asked for, and a linear map."""

    def __init__(self, part: parts.Classifier, features: int, classes: int, *, rngs):
        init = classifier_weights(part.init, features)
        super().__init__(
            features, classes, use_bias=part.bias, kernel_init=init, rngs=rngs
        )
        self.slope = part.slope

    def __call__(self, x: Float[Array, "b d"]) -> Float[Array, "b classes"]:
        return super().__call__(x if self.slope == 1 else nnx.leaky_relu(x, self.slope))


class BranchHead(nnx.Module):
    """Pooling, projection, neck and classifiers of one branch.

    The neck's BatchNorm has no bias (AGW freezes it at 0).
    """

    def __init__(self, part: Branch, channels: int, classes: int, *, dtype, rngs):
        self.added = part.added
        self.pool = part.pool.make(channels, rngs, dtype)
        pooled = pooled_width(part.pool, channels)
        self.project = part.project and part.project.make(pooled, rngs, dtype)
        width = part.width(channels)
        self.neck = _neck(part, width, rngs) if part.neck else None
        classifier = None if part.shares else part.classifier
        self.classifier = classifier and classifier.make(width, classes, rngs)
        self.own = part.own and part.own.make(width, classes, rngs, dtype)

    def __call__(
        self,
        maps: Float[Array, "b h w c"],
        added: Float[Array, "b d"] | None,
        modality: Int[Array, " b"] | None = None,
    ) -> tuple[Float[Array, "b d"], Float[Array, "b d"]]:
        """Feature and embedding; `added` is the embedding of an earlier branch.

        The modality of each row is needed by modalities' own necks alone.
        """
        u = self.pool(maps)
        u = u if self.project is None else self.project(u)
        u = u if added is None else self._sum(u, added)
        if isinstance(self.neck, ModalityNorm):
            if modality is None:
                raise ValueError("modality is None; allowed is that of each row")
            return u, self.neck(u, modality)
        return u, u if self.neck is None else self.neck(u)

    def _sum(self, g, added):
        if self.added == "normalised":
            return unit_rows(g) + unit_rows(added)
        return g + (jax.lax.stop_gradient(added) if self.added == "detached" else added)


def _neck(part, width, rngs):
    if part.neck_of == "modality":
        return ModalityNorm(width, use_bias=False, rngs=rngs)
    init = around_one(part.scale_std)
    return BatchNorm(width, use_bias=False, scale_init=init, rngs=rngs)
