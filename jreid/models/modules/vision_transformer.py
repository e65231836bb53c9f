"""The Vision Transformer's modules; see jreid/models/vision_transformer.py.

Parameters begin as in PMT's released code: N(0, .02) but for the patches' kernel.
"""

from collections.abc import Mapping

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Float

from jreid.data.rows import joined
from jreid.models.modules.channels import at_least_float32
from jreid.models.modules.dropout import dropped
from jreid.models.modules.heads import Classifier
from jreid.models.modules.layers import BatchNorm, Linear
from jreid.models.modules.view_columns import Images, view_columns
from jreid.models.two_stream import Classifier as ClassifierPart
from jreid.models.vision_transformer import STEM, VisionTransformer

EPSILON = 1e-5  # PMT's; timm's and torchvision's networks have 1e-6
_normal = nnx.initializers.normal(0.02)


class VisionTransformerNetwork(nnx.Module):
    """Images of all views to the class token, the BatchNorm of it, identity logits."""

    def __init__(
        self,
        part: VisionTransformer,
        classes: int,
        *,
        dtype=jnp.float32,
        rngs: nnx.Rngs,
    ):
        part.check()
        made = {"dtype": dtype, "rngs": rngs}
        height, width = part.grid()
        self.patches = Patches(part, **made)
        token, places = (1, 1, part.width), (1, 1 + height * width, part.width)
        self.class_token = nnx.Param(_normal(rngs.params(), token, jnp.float32))
        self.positions = nnx.Param(_normal(rngs.params(), places, jnp.float32))
        self.blocks = nnx.List([Block(part, **made) for _ in range(part.blocks)])
        self.norm = layer_norm(part.width, **made)
        self.neck = BatchNorm(part.width, use_bias=False, rngs=rngs)
        self.classifier = Classifier(ClassifierPart(), part.width, classes, rngs=rngs)
        # deeper blocks are skipped more often
        self.skipped = tuple(np.linspace(0, part.drop_path, part.blocks).tolist())
        self.dropout, self.dtype = part.dropout, dtype

    def __call__(
        self, images: Images, stems: Mapping[str, str], rng: Array | None = None
    ) -> dict[str, dict[str, Float[Array, "r d"]]]:
        """Features, embeddings and logits "v1"; rows are those of the joined views."""
        outputs = self.embed(images, stems, rng)
        logits = self.classifier(outputs["embeddings"]["v1"])
        return outputs | {"logits": {"v1": logits}}

    def embed(
        self, images: Images, stems: Mapping[str, str], rng: Array | None = None
    ) -> dict[str, dict[str, Float[Array, "r d"]]]:
        """Features and embeddings "v1" alone, all that retrieval needs."""
        columns = view_columns(images, stems, None, (STEM,))
        pixels = joined([column.images for column in columns.values()])
        features = at_least_float32(self.tokens(pixels, rng)[:, 0])
        return {"features": {"v1": features}, "embeddings": {"v1": self.neck(features)}}

    def tokens(
        self, images: Float[Array, "b h w 3"], rng: Array | None = None
    ) -> Float[Array, "b n c"]:
        """After the last norm: the class token, then the patches' row by row.

        Without rng nothing is dropped.
        """
        first, *keys = _keys(rng, 1 + len(self.blocks))
        patches = self.patches(images)
        token = self.class_token[...].astype(self.dtype)
        token = jnp.broadcast_to(token, (len(patches), *token.shape[1:]))
        x = jnp.concatenate([token, patches], axis=1)
        x = dropped(x + self.positions[...].astype(self.dtype), self.dropout, first)
        for block, rate, key in zip(self.blocks, self.skipped, keys, strict=True):
            x = block(x, rate, key)
        return self.norm(x)


class Patches(nnx.Module):
    """Each patch of the image through one linear map: a convolution without padding."""

    def __init__(self, part: VisionTransformer, *, dtype, rngs: nnx.Rngs):
        self.stride, self.dtype = part.stride, dtype
        shape = (part.patch, part.patch, 3, part.width)
        init = nnx.initializers.normal((2 / (part.patch**2 * part.width)) ** 0.5)
        self.kernel = nnx.Param(init(rngs.params(), shape, jnp.float32))
        self.bias = nnx.Param(jnp.zeros((part.width,)))

    def __call__(self, images: Float[Array, "b h w 3"]) -> Float[Array, "b n c"]:
        """Row by row from the top."""
        maps = jax.lax.conv_general_dilated(
            images.astype(self.dtype),
            self.kernel[...].astype(self.dtype),
            (self.stride, self.stride),
            "VALID",
            dimension_numbers=("NHWC", "HWIO", "NHWC"),
        )
        bias = self.bias[...].astype(self.dtype)
        return maps.reshape(len(maps), -1, maps.shape[-1]) + bias[None, None]


class Block(nnx.Module):
    """x + attention(norm(x)), then x + perceptron(norm(x))."""

    def __init__(self, part: VisionTransformer, *, dtype, rngs: nnx.Rngs):
        made = {"dtype": dtype, "rngs": rngs}
        self.norm1 = layer_norm(part.width, **made)
        self.attention = Attention(part, **made)
        self.norm2 = layer_norm(part.width, **made)
        self.perceptron = Perceptron(part, **made)

    def __call__(
        self, x: Float[Array, "b n c"], skipped: float, rng: Array | None
    ) -> Float[Array, "b n c"]:
        """With probability `skipped`, in training, an image skips a summand."""
        inner, outer, first, second = _keys(rng, 4)
        y = self.attention(self.norm1(x), inner)
        x = x + _without_some(y, skipped, first)
        y = self.perceptron(self.norm2(x), outer)
        return x + _without_some(y, skipped, second)


class Attention(nnx.Module):
    """Heads of scaled dot products; queries, keys and values are one linear map."""

    def __init__(self, part: VisionTransformer, *, dtype, rngs: nnx.Rngs):
        self.heads, self.dropout = part.heads, part.dropout
        made = {"kernel_init": _normal, "dtype": dtype, "rngs": rngs}
        self.qkv = Linear(part.width, 3 * part.width, **made)
        self.out = Linear(part.width, part.width, **made)

    def __call__(
        self, x: Float[Array, "b n c"], rng: Array | None
    ) -> Float[Array, "b n c"]:
        b, n, c = x.shape
        qkv = _each(self.qkv, x).reshape(b, n, 3, self.heads, c // self.heads)
        query, key, value = (qkv[:, :, i] for i in range(3))
        y = jax.nn.dot_product_attention(query, key, value)
        return dropped(_each(self.out, y.reshape(b, n, c)), self.dropout, rng)


class Perceptron(nnx.Module):
    """Two linear maps and a GELU between them."""

    def __init__(self, part: VisionTransformer, *, dtype, rngs: nnx.Rngs):
        made = {"kernel_init": _normal, "dtype": dtype, "rngs": rngs}
        self.hidden = Linear(part.width, part.hidden, **made)
        self.out = Linear(part.hidden, part.width, **made)
        self.dropout = part.dropout

    def __call__(
        self, x: Float[Array, "b n c"], rng: Array | None
    ) -> Float[Array, "b n c"]:
        first, second = _keys(rng, 2)
        y = dropped(gelu(_each(self.hidden, x)), self.dropout, first)
        return dropped(_each(self.out, y), self.dropout, second)


def gelu(x: Float[Array, "*n"]) -> Float[Array, "*n"]:
    """x times the normal distribution's probability of less than x, by erf.

    `jax.nn.gelu` is the same by erfc, which ONNX has not.
    """
    return x * (0.5 * (1 + jax.lax.erf(x * np.sqrt(0.5).astype(x.dtype))))


def layer_norm(width: int, *, dtype, rngs: nnx.Rngs) -> nnx.LayerNorm:
    """Over each token; the variance is of deviations, in float32 at least."""
    options = {"use_fast_variance": False, "dtype": dtype, "rngs": rngs}
    return nnx.LayerNorm(width, epsilon=EPSILON, **options)


def _each(linear: Linear, x: Float[Array, "b n c"]) -> Float[Array, "b n d"]:
    """The linear map of each token."""
    b, n, c = x.shape
    return linear(x.reshape(b * n, c)).reshape(b, n, -1)


def _without_some(y, rate, rng):
    """y of some images 0, of the others scaled up; without rng y itself."""
    if rng is None or not rate:
        return y
    return y * dropped(jnp.ones((len(y), 1, 1), y.dtype), rate, rng)


def _keys(rng, count):
    return [None] * count if rng is None else list(jax.random.split(rng, count))
