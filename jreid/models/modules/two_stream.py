"""The two-stream network: a stem per modality, a shared trunk, a head of branches.

DIAM (paper eq. 4 and 5) is a head of two branches of which the second adds the first's
output; VRD (fig. 4) is a bottleneck shared by the branches that it refines.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from jreid.models.bottleneck import InformationBottleneck
from jreid.models.layers import BatchNorm, Linear
from jreid.models.resnet import Stem, Trunk

Pool = Callable[[Float[Array, "b h w c"]], Float[Array, "b c"]]


@dataclass
class Branch:
    """One branch of the head: u = pool(x) + the embedding of `adds`, v = BN(u)."""

    name: str
    pool: Pool
    adds: str = ""


class BranchHead(nnx.Module):
    """Pooling, neck and classifier of one branch.

    The neck's BatchNorm has no bias (AGW freezes it at 0) and a scale ~ N(1, 0.01); the
    classifier has no bias and weights ~ N(0, 0.001).
    """

    def __init__(self, pool: Pool, channels: int, classes: int, *, rngs: nnx.Rngs):
        self.pool = pool
        self.neck = BatchNorm(
            channels,
            use_bias=False,
            scale_init=lambda *a: 1 + nnx.initializers.normal(0.01)(*a),
            rngs=rngs,
        )
        self.classifier = Linear(
            channels,
            classes,
            use_bias=False,
            kernel_init=nnx.initializers.normal(0.001),
            rngs=rngs,
        )


class TwoStreamNetwork(nnx.Module):
    """Images of several modalities to features, embeddings and identity logits.

    Args:
      stems: one per modality, by name.
      trunk: shared by all modalities.
      branches: in order; a branch may add the embedding of an earlier one.
      refined: names of the branches whose embedding goes through `bottleneck`.
    """

    def __init__(
        self,
        *,
        stems: Mapping[str, Stem],
        trunk: Trunk,
        branches: Sequence[Branch],
        channels: int,
        classes: int,
        bottleneck: InformationBottleneck | None = None,
        refined: Sequence[str] = (),
        rngs: nnx.Rngs,
    ):
        _check_branches(branches, refined, bottleneck)
        self.stems = nnx.Dict(dict(stems))
        self.trunk = trunk
        self.branches = nnx.Dict(
            {b.name: BranchHead(b.pool, channels, classes, rngs=rngs) for b in branches}
        )
        self.bottleneck = bottleneck
        self.order = tuple((b.name, b.adds) for b in branches)
        self.refined = tuple(refined)

    def __call__(
        self, images: Float[Array, "n m h w 3"], streams: tuple[str, ...]
    ) -> dict[str, dict[str, Array]]:
        """Runs n x m images, of which `images[:, j]` belong to stem `streams[j]`.

        The b = n * m rows of every output are in the order of `images.reshape(b, ...)`:
        slot by slot, so that a batch split over devices along n stays where it is.

        Returns:
          features: {branch: [b d]} before the neck, for the metric losses.
          embeddings: {branch: [b d]} after it.
          logits: {branch: [b classes]}, and {"z1": ...} for the refined ones, where z1
            refines v1.
          refined: {"z1": [b z] ...}.
        """
        outputs = self.embed(images, streams)
        outputs |= {"logits": {}, "refined": {}}
        for name, v in outputs["embeddings"].items():
            outputs["logits"][name] = self.branches[name].classifier(v)
            if self.bottleneck is not None and name in self.refined:
                z, logits = self.bottleneck(v)
                outputs["refined"][refined_name(name)] = z
                outputs["logits"][refined_name(name)] = logits
        return outputs

    def embed(
        self, images: Float[Array, "n m h w 3"], streams: tuple[str, ...]
    ) -> dict[str, dict[str, Array]]:
        """Features and embeddings alone, all that retrieval needs; see `__call__`."""
        x = self._shared_maps(images, streams)
        features, embeddings = {}, {}
        for name, adds in self.order:
            head = self.branches[name]
            u = head.pool(x)
            features[name] = u + embeddings[adds] if adds else u
            embeddings[name] = head.neck(features[name])
        return {"features": features, "embeddings": embeddings}

    def _shared_maps(self, images, streams):
        if len(streams) != images.shape[1]:
            raise ValueError(
                f"{images.shape[1]} images per slot, but streams are {streams}"
            )
        maps = [self.stems[s](images[:, j]) for j, s in enumerate(streams)]
        x = jnp.stack(maps, axis=1)
        return self.trunk(x.reshape(-1, *x.shape[2:]))


def refined_name(branch: str) -> str:
    """The name of a branch's refined vector: "v1" -> "z1"."""
    return "z" + branch.removeprefix("v")


def _check_branches(branches, refined, bottleneck):
    names = [b.name for b in branches]
    if not names or len(set(names)) < len(names):
        raise ValueError(f"branches are {names}; they need one name each")
    for index, branch in enumerate(branches):
        if branch.adds and branch.adds not in names[:index]:
            raise ValueError(
                f"branch {branch.name} adds {branch.adds!r}; allowed are earlier "
                f"branches, {names[:index]}, or nothing"
            )
    if unknown := set(refined) - set(names):
        raise ValueError(f"refined are {sorted(unknown)}, but the branches are {names}")
    if bool(refined) != (bottleneck is not None):
        raise ValueError("refined branches need a bottleneck, and a bottleneck them")
