"""The two-stream network's modules; see jreid/models/two_stream.py."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Float, Int

from jreid.data.rows import joined
from jreid.models.bottleneck import refined_name
from jreid.models.modules.heads import BranchHead
from jreid.models.modules.view_columns import Images, view_columns
from jreid.models.two_stream import TwoStream, has_masks


class TwoStreamNetwork(nnx.Module):
    """Images of several views to features, embeddings and identity logits."""

    def __init__(
        self, part: TwoStream, classes: int, *, dtype=jnp.float32, rngs: nnx.Rngs
    ):
        part.check()
        channels = part.trunk.channels()[-1]
        private = part.private_stages - 1
        stop = part.tail_from if part.tails else None
        self.trunk = part.trunk.make(rngs, dtype, (private + 1, 0), stop)
        self.refined = () if part.refine is None else tuple(part.refine.of)
        widths = {b.name: b.width(channels) for b in part.branches}
        self.bottleneck = part.refine and part.refine.make(
            widths[part.refine.of[0]], classes, rngs, dtype
        )
        self.stems = nnx.Dict(
            {s: part.trunk.make_stem(rngs, dtype, private) for s in part.stems}
        )
        self.stem_names = tuple(part.stems)  # in an nnx.Dict they come out sorted
        heads = {
            b.name: BranchHead(b, channels, classes, dtype=dtype, rngs=rngs)
            for b in part.branches
        }
        self.branches = nnx.Dict(heads)
        self.order = tuple((b.name, b.adds, b.tail) for b in part.branches)
        owners = [(b.name, b.shares or b.name) for b in part.branches]
        self.classified_by = tuple(owners)
        self.masked = tuple(
            (b.name, b.tail) for b in part.branches if has_masks(b.pool)
        )
        self.adapters = part.adapters and part.adapters.make(rngs, dtype)
        self.stem_maps = part.stem_maps
        self.discriminators = nnx.Dict(
            {
                name: discriminator.make(channels, rngs, dtype)
                for name, discriminator in part.discriminators.items()
            }
        )
        self.tails = nnx.Dict(
            {
                name: replace(part.trunk, last_stride=stride).make(rngs, dtype, stop)
                for name, stride in part.tails.items()
            }
        )

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
            refines v1; {discriminator: [r outputs]}.
          refined: {"z1": [r z] ...}.
          maps: {"stem": [r h w c]}, there only if the part asks for them.
          masks: {branch: [r h w m]} of the branches whose pool has m masks.
          source, copy: [r], there only if the rows are not the b images in the order
            in which `jreid.data.rows.joined` puts the views: row i is copy[i] of image
            source[i].
        """
        given = images, stems, rng, modality, self.adapters
        outputs, maps, rows = self._branches(*given)
        outputs |= {"logits": {}, "refined": {}}
        outputs["masks"] = {
            name: self.branches[name].pool.masks(maps[tail])
            for name, tail in self.masked
        }
        for name, owner in self.classified_by:
            v, head = outputs["embeddings"][name], self.branches[name]
            if (classifier := self.branches[owner].classifier) is not None:
                outputs["logits"][name] = classifier(v)
            if head.own is not None:
                outputs["logits"][f"own_{name}"] = head.own(v, rows.modality)
            if self.bottleneck is not None and name in self.refined:
                number = len(self.stem_names) + self.refined.index(name)
                own = None if rng is None else jax.random.fold_in(rng, number)
                z, logits = self.bottleneck(v, own)
                outputs["refined"][refined_name(name)] = z
                outputs["logits"][refined_name(name)] = logits
        for name, discriminator in self.discriminators.items():
            outputs["logits"][name] = discriminator(rows.maps)
        if self.stem_maps:
            outputs["maps"] = {"stem": rows.entered}
        return outputs

    def embed(
        self,
        images: Images,
        stems: Mapping[str, str],
        *,
        modality: Mapping[str, Int[Array, " _"]] | None = None,
    ) -> dict[str, dict[str, Float[Array, "b *k d"]]]:
        """Features and embeddings alone, all that retrieval needs; see `__call__`.

        One row for each image: [b d], or [b k d] where adapters or blocks make k rows
        of each, in the order of their copies.
        """
        adapters = self.adapters
        if adapters is not None and not adapters.in_test:
            adapters = None
        outputs, _, _ = self._branches(images, stems, None, modality, adapters)
        source, copy = outputs.pop("source", None), outputs.pop("copy", None)
        if source is None:
            return outputs
        count = sum(len(view) for view in images.values())
        order = jnp.lexsort((copy, source))
        if len(order) == count:
            return jax.tree.map(lambda x: x[order], outputs)
        return jax.tree.map(lambda x: x[order].reshape(count, -1, x.shape[-1]), outputs)

    def heads(
        self, maps: Mapping[str, Float[Array, "r _ _ c"]], modality: Int[Array, " r"]
    ) -> dict[str, dict[str, Float[Array, "r d"]]]:
        """Features and embeddings of the last maps, by tail; "" is the trunk's."""
        features, embeddings = {}, {}
        for name, adds, tail in self.order:
            added, head = embeddings[adds] if adds else None, self.branches[name]
            features[name], embeddings[name] = head(maps[tail], added, modality)
        return {"features": features, "embeddings": embeddings}

    def maps(
        self,
        images: Images,
        stems: Mapping[str, str],
        *,
        modality: Mapping[str, Int[Array, " _"]] | None = None,
    ) -> dict[str, Float[Array, "r _ _ c"]]:
        """The last maps of one image, of which `heads` makes what `embed` gives.

        A row for each copy that adapters or blocks make of it, in their order.
        """
        adapters = self.adapters
        if adapters is not None and not adapters.in_test:
            adapters = None
        maps, rows, _, copy = self._maps(images, stems, None, modality, adapters)
        copy = copy if rows.source is None else rows.copy
        if copy is None:
            return maps
        order = jnp.argsort(copy)
        return {name: x[order] for name, x in maps.items()}

    def _maps(self, images, stems, rng, modality, adapters):
        columns = view_columns(images, stems, modality, self.stem_names)
        x, modality, source, copy = self._stem_maps(columns, rng, adapters)
        rows = self.trunk(x, modality, rng, copy)
        maps = {"": rows.maps}
        for name, tail in self.tails.items():
            maps[name] = tail(rows.maps, rows.modality).maps
        return maps, rows, source, copy

    def _branches(self, images, stems, rng, modality, adapters):
        maps, rows, source, copy = self._maps(images, stems, rng, modality, adapters)
        outputs: dict[str, Any] = self.heads(maps, rows.modality)
        in_order = bool((source == np.arange(len(source))).all())
        if rows.source is not None:
            outputs["source"] = jnp.asarray(source, jnp.int32)[rows.source]
            outputs["copy"] = rows.copy
        elif not in_order:
            outputs["source"] = jnp.asarray(source, jnp.int32)
            no_copies = jnp.zeros(len(source), jnp.int32)
            outputs["copy"] = no_copies if copy is None else copy
        return outputs, maps, rows

    def _stem_maps(self, columns, rng, adapters):
        """The stems' maps, and each row's modality, image and copy.

        The copy is None where there are no adapters.
        """
        made = {} if adapters is None else adapters(columns)
        views_of: dict[str, list] = {}
        for view, column in columns.items():
            views_of.setdefault(column.stem, []).append((column, 0))
            if view in made:
                adapted = column._replace(images=made[view])
                views_of[column.stem].append((adapted, 1))
        stems = []
        for number, (stem, parts_of_stem) in enumerate(views_of.items()):
            pixels, modality, source, copy = (
                joined(list(values))
                for values in zip(
                    *(
                        (c.images, c.modality, c.source, np.full(len(c.source), k))
                        for c, k in parts_of_stem
                    ),
                    strict=True,
                )
            )
            own = None if rng is None else jax.random.fold_in(rng, number)
            maps = self.stems[stem](pixels, modality, own)
            stems.append((maps, modality, source, copy))
        maps, modality, source, copy = (
            joined(list(values)) for values in zip(*stems, strict=True)
        )
        return maps, modality, source, jnp.asarray(copy, jnp.int32) if made else None
