"""The modules of VSD's network; see jreid/models/mutual.py."""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float, Int

from jreid.data.rows import joined
from jreid.models.modules.adapters import grey_copy
from jreid.models.modules.channels import at_least_float32
from jreid.models.modules.dropout import dropped
from jreid.models.modules.initialisers import around_one
from jreid.models.modules.layers import BatchNorm, Linear
from jreid.models.modules.pooling import average_pool
from jreid.models.mutual import BRANCHES
from jreid.models.mutual import MutualNetwork as Part

small = nnx.initializers.normal(0.001)


class Representation(nnx.Module):
    """VSD's bottleneck, and the head that classifies what comes out of it.

    Linear-BN-ReLU for each hidden width and a Linear to z; then Linear, BN, LeakyReLU
    .1, dropout, Linear. Every Linear has a bias.

    The bottleneck starts Kaiming-normal by the fan out, its scales ~ N(1, .02); the
    head's Linears start ~ N(0, .001), its scales at 1.
    """

    def __init__(self, part: Part, channels: int, classes: int, *, dtype, rngs):
        self.linears, self.norms = nnx.List([]), nnx.List([])
        for width in part.hidden:
            self.linears.append(Linear(channels, width, dtype=dtype, rngs=rngs))
            self.norms.append(
                BatchNorm(width, scale_init=around_one(0.02), dtype=dtype, rngs=rngs)
            )
            channels = width
        self.out = Linear(channels, part.features, dtype=dtype, rngs=rngs)
        self.head = Linear(part.features, part.head, kernel_init=small, rngs=rngs)
        self.head_bn = BatchNorm(part.head, rngs=rngs)
        self.classifier = Linear(part.head, classes, kernel_init=small, rngs=rngs)
        self.dropout = part.dropout

    def __call__(
        self, v: Float[Array, "b d"], rng: Array | None
    ) -> tuple[Float[Array, "b z"], Float[Array, "b classes"]]:
        """The representation and its identity logits, at least float32."""
        for linear, norm in zip(self.linears, self.norms, strict=True):
            v = nnx.relu(norm(linear(v)))
        z = at_least_float32(self.out(v))
        y = nnx.leaky_relu(self.head_bn(self.head(z)), 0.1)
        return z, self.classifier(dropped(y, self.dropout, rng))


class Net(nnx.Module):
    """Stem, trunk, average pool, neck and classifier (with bias), bottleneck."""

    def __init__(self, part: Part, classes: int, *, dtype, rngs: nnx.Rngs):
        channels = part.trunk.channels()[-1]
        self.stem = part.trunk.make_stem(rngs, dtype)
        self.trunk = part.trunk.make(rngs, dtype)
        self.neck = BatchNorm(channels, use_bias=False, rngs=rngs)
        self.classifier = Linear(channels, classes, kernel_init=small, rngs=rngs)
        self.bottleneck = Representation(
            part, channels, classes, dtype=dtype, rngs=rngs
        )

    def observe(
        self,
        images: Float[Array, "b h w 3"],
        modality: Int[Array, " b"],
        rng: Array | None = None,
    ) -> tuple[Float[Array, "b d"], Float[Array, "b d"]]:
        """The pooled vector and the observation."""
        pooled = average_pool(self.trunk(self.stem(images), modality, rng).maps)
        return pooled, self.neck(pooled)


class MutualNetwork(nnx.Module):
    """Images to observations, representations and their logits."""

    def __init__(self, part: Part, classes: int, *, dtype=jnp.float32, rngs: nnx.Rngs):
        part.check()
        options = {"dtype": dtype, "rngs": rngs}
        self.visible = Net(part, classes, **options)
        self.infrared = Net(part, classes, **options)
        self.shared = Net(part, classes, **options)

    def __call__(
        self,
        images: Mapping[str, Float[Array, "_ h w 3"]],
        stems: Mapping[str, str],
        rng: Array | None = None,
        *,
        modality: Mapping[str, Int[Array, " _"]] | None = None,
    ) -> dict[str, Any]:
        """Runs the images of all views; see `TwoStreamNetwork.__call__`."""
        outputs = self.embed(images, stems, modality=modality)
        outputs |= {"logits": {}, "refined": {}}
        nets = self._nets()
        keys = [None] * len(nets) if rng is None else jax.random.split(rng, len(nets))
        for (name, net), key in zip(nets.items(), keys, strict=True):
            v = outputs["embeddings"][name]
            outputs["logits"][name] = net.classifier(v)
            z, logits = net.bottleneck(v, key)
            outputs["refined"][f"z_{name}"] = z
            outputs["logits"][f"z_{name}"] = logits
        return outputs

    def embed(
        self,
        images: Mapping[str, Float[Array, "_ h w 3"]],
        stems: Mapping[str, str],
        *,
        modality: Mapping[str, Int[Array, " _"]] | None = None,
    ) -> dict[str, dict[str, Float[Array, "b d"]]]:
        """Pooled vectors and observations, in the order of the joined views."""
        x = joined([images[view] for view in stems if view in images])
        unused = jnp.zeros(len(x), jnp.int32)  # no block here looks at the modality
        grey = grey_copy(x)
        outputs = {"features": {}, "embeddings": {}}
        for name, net in self._nets().items():
            given = grey if name.startswith("infrared") else x
            pair = net.observe(given, unused)
            outputs["features"][name], outputs["embeddings"][name] = pair
        return outputs

    def _nets(self) -> dict[str, Net]:
        nets = (self.visible, self.infrared, self.shared, self.shared)
        return dict(zip(BRANCHES, nets, strict=True))
