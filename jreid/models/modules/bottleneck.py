"""The information bottleneck of the VRD module (paper section 2, fig. 4, eq. 8)."""

from collections.abc import Sequence

import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from jreid.models.modules.channels import at_least_float32
from jreid.models.modules.dropout import dropped
from jreid.models.modules.layers import BatchNorm, Linear


class InformationBottleneck(nnx.Module):
    """Linear-BN-ReLU for each hidden width, perhaps a Linear to z, an identity head.

    Deterministic, without sampling, as VSD's released code has it. The paper's hidden
    widths are 1024 and 512 and its z the second of them (`features` 0); VSD's are 1000
    and 500, with a further Linear to 512, whose output nothing normalises: its head has
    a hidden layer with a BatchNorm, ours is one linear map without bias like the
    branches' classifiers. One instance is shared by all refined branches. With `neck` a
    BatchNorm without bias stands between z and its classifier, from which a share
    `dropout` of it is hidden, where VSD hides half of its head's hidden layer.
    """

    def __init__(
        self,
        in_features: int,
        classes: int,
        *,
        hidden: Sequence[int] = (1024, 512),
        features: int = 512,
        neck: bool = False,
        dropout: float = 0.0,
        dtype=jnp.float32,
        rngs: nnx.Rngs,
    ):
        self.linears, self.norms = nnx.List([]), nnx.List([])
        for width in hidden:
            self.linears.append(Linear(in_features, width, dtype=dtype, rngs=rngs))
            self.norms.append(BatchNorm(width, dtype=dtype, rngs=rngs))
            in_features = width
        self.out = (
            Linear(in_features, features, dtype=dtype, rngs=rngs) if features else None
        )
        width = features or in_features
        self.neck = BatchNorm(width, use_bias=False, rngs=rngs) if neck else None
        self.dropout = dropout
        self.classifier = Linear(
            width,
            classes,
            use_bias=False,
            kernel_init=nnx.initializers.normal(0.001),
            rngs=rngs,
        )

    def __call__(
        self, v: Float[Array, "b d"], rng: Array | None = None
    ) -> tuple[Float[Array, "b z"], Float[Array, "b classes"]]:
        """Returns z and its identity logits, at least float32; rng: of the dropout."""
        for linear, norm in zip(self.linears, self.norms, strict=True):
            v = nnx.relu(norm(linear(v)))
        z = at_least_float32(v if self.out is None else self.out(v))
        normed = z if self.neck is None else self.neck(z)
        return z, self.classifier(dropped(normed, self.dropout, rng))
