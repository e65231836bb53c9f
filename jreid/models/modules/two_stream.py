"""The two-stream network's modules; see jreid/models/two_stream.py."""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Float, Int

from jreid.data.rows import joined, positions
from jreid.models.bottleneck import refined_name
from jreid.models.embedding import unit_rows
from jreid.models.modules.layers import BatchNorm, Linear
from jreid.models.two_stream import Branch, TwoStream

Images = Mapping[str, Float[Array, "_ h w 3"]]
"""The images of each view; views may differ in length."""


class Projection(nnx.Module):
    """Linear map without bias, BatchNorm, and ReLU where asked for."""

    def __init__(self, channels: int, features: int, relu: bool, *, rngs: nnx.Rngs):
        self.linear = Linear(channels, features, use_bias=False, rngs=rngs)
        self.bn = BatchNorm(features, rngs=rngs)
        self.relu = relu

    def __call__(self, x: Float[Array, "b c"]) -> Float[Array, "b d"]:
        y = self.bn(self.linear(x))
        return nnx.relu(y) if self.relu else y


class BranchHead(nnx.Module):
    """Pooling, projection, neck and classifier of one branch.

    The neck's BatchNorm has no bias (AGW freezes it at 0) and a scale ~ N(1, 0.01); the
    classifier has no bias and weights ~ N(0, 0.001).
    """

    def __init__(self, part: Branch, channels: int, classes: int, *, dtype, rngs):
        self.added = part.added
        self.pool = part.pool.make(channels, rngs, dtype)
        self.project = part.project and part.project.make(channels, rngs, dtype)
        width = part.width(channels)
        self.neck = _neck(width, rngs) if part.neck else None
        self.classifier = Linear(
            width,
            classes,
            use_bias=False,
            kernel_init=nnx.initializers.normal(0.001),
            rngs=rngs,
        )

    def __call__(
        self, maps: Float[Array, "b h w c"], added: Float[Array, "b d"] | None
    ) -> tuple[Float[Array, "b d"], Float[Array, "b d"]]:
        """Feature and embedding; `added` is the embedding of an earlier branch."""
        u = self.pool(maps)
        u = u if self.project is None else self.project(u)
        u = u if added is None else self._sum(u, added)
        return u, u if self.neck is None else self.neck(u)

    def _sum(self, g, added):
        if self.added == "normalised":
            return unit_rows(g) + unit_rows(added)
        return g + (jax.lax.stop_gradient(added) if self.added == "detached" else added)


def _neck(width, rngs):
    return BatchNorm(
        width,
        use_bias=False,
        scale_init=lambda *a: 1 + nnx.initializers.normal(0.01)(*a),
        rngs=rngs,
    )


class TwoStreamNetwork(nnx.Module):
    """Images of several views to features, embeddings and identity logits."""

    def __init__(
        self, part: TwoStream, classes: int, *, dtype=jnp.float32, rngs: nnx.Rngs
    ):
        part.check()
        channels = part.trunk.channels()[-1]
        self.trunk = part.trunk.make(rngs, dtype)
        self.refined = () if part.refine is None else tuple(part.refine.of)
        widths = {b.name: b.width(channels) for b in part.branches}
        self.bottleneck = part.refine and part.refine.make(
            widths[part.refine.of[0]], classes, rngs, dtype
        )
        self.stems = nnx.Dict(
            {s: part.trunk.make_stem(rngs, dtype) for s in part.stems}
        )
        self.stem_names = tuple(part.stems)  # in an nnx.Dict they come out sorted
        heads = {
            b.name: BranchHead(b, channels, classes, dtype=dtype, rngs=rngs)
            for b in part.branches
        }
        self.branches = nnx.Dict(heads)
        self.order = tuple((b.name, b.adds) for b in part.branches)

    def __call__(
        self,
        images: Images,
        stems: Mapping[str, str],
        rng: Array | None = None,
        *,
        modality: Mapping[str, Int[Array, " _"]] | None = None,
    ) -> dict[str, Any]:
        """Runs the b images of all views; views of one stem go through it together.

        Args:
          images: of each view.
          stems: of each view; their order is that of the views.
          rng: for what is random in a step; None: nothing is.
          modality: of each view's images; without it the number of their stem.

        Returns:
          features: {branch: [r d]} before the neck, for the metric losses.
          embeddings: {branch: [r d]} after it.
          logits: {branch: [r classes]}, and {"z1": ...} for the refined ones, where z1
            refines v1.
          refined: {"z1": [r z] ...}.
          source, copy: [r], there only if the rows are not the b images in the order
            in which `jreid.data.rows.joined` puts the views: row i is copy[i] of image
            source[i].
        """
        outputs = self._branches(images, stems, rng, modality)
        outputs |= {"logits": {}, "refined": {}}
        for name, v in outputs["embeddings"].items():
            outputs["logits"][name] = self.branches[name].classifier(v)
            if self.bottleneck is not None and name in self.refined:
                z, logits = self.bottleneck(v)
                outputs["refined"][refined_name(name)] = z
                outputs["logits"][refined_name(name)] = logits
        return outputs

    def embed(
        self,
        images: Images,
        stems: Mapping[str, str],
        *,
        modality: Mapping[str, Int[Array, " _"]] | None = None,
    ) -> dict[str, dict[str, Float[Array, "b d"]]]:
        """Features and embeddings alone, all that retrieval needs; see `__call__`.

        One row for each image: where blocks multiply rows, the mean of an image's.
        """
        outputs = self._branches(images, stems, None, modality)
        source = outputs.pop("source", None)
        outputs.pop("copy", None)
        if source is None:
            return outputs
        count = sum(len(view) for view in images.values())
        return jax.tree.map(lambda x: _mean_by_source(x, source, count), outputs)

    def _branches(self, images, stems, rng, modality):
        x, modality, order = self._stem_maps(images, stems, modality)
        rows = self.trunk(x, modality, rng)
        features, embeddings = {}, {}
        for name, adds in self.order:
            added = embeddings[adds] if adds else None
            features[name], embeddings[name] = self.branches[name](rows.maps, added)
        outputs: dict[str, Any] = {"features": features, "embeddings": embeddings}
        if order is not None or rows.source is not None:
            order = jnp.arange(len(x)) if order is None else order
            no_copies = jnp.zeros(len(x), jnp.int32)
            source = order if rows.source is None else order[rows.source]
            outputs["source"] = source.astype(jnp.int32)
            outputs["copy"] = no_copies if rows.copy is None else rows.copy
        return outputs

    def _stem_maps(self, images, stems, modality):
        """The stems' maps, each row's modality, and its place among the images.

        The place is None where rows lie as `joined` puts the views.
        """
        names = list(self.stem_names)
        if nameless := [view for view in images if view not in stems]:
            raise ValueError(f"stems are {dict(stems)}, without one for {nameless}")
        # the order of `stems`: jit sorts the keys of `images`
        images = {view: images[view] for view in stems if view in images}
        if unknown := {
            view: stems[view] for view in images if stems[view] not in names
        }:
            raise ValueError(f"stems are {unknown}; allowed are {names}")
        if modality is None:
            modality = {
                view: jnp.full(len(x), names.index(stems[view]), jnp.int32)
                for view, x in images.items()
            }
        views_of: dict[str, list[str]] = {}
        for view in images:
            views_of.setdefault(stems[view], []).append(view)

        def join(columns):
            return joined(
                [joined([columns[v] for v in vs]) for vs in views_of.values()]
            )

        maps = joined(
            [
                self.stems[stem](joined([images[view] for view in views]))
                for stem, views in views_of.items()
            ]
        )
        order = join(positions({view: len(x) for view, x in images.items()}))
        in_order = bool((order == np.arange(len(order))).all())
        return maps, join(modality), None if in_order else jnp.asarray(order)


def _mean_by_source(x, source, count):
    sums = jnp.zeros((count, x.shape[1]), x.dtype).at[source].add(x)
    rows = jnp.zeros((count, 1), x.dtype).at[source].add(1)
    return sums / rows
