"""What the network makes of images: a step's loss and outputs, and test vectors."""

import functools
import inspect
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float, UInt8

from jreid.data.datasets import MODALITY_NAMES
from jreid.data.rows import joined
from jreid.models.embedding import unit_rows
from jreid.training.normalisation import grey_levels, normalise


def make_embed(
    frozen: nnx.GraphDef, embedding: Any, stem_of: Mapping[str, str]
) -> Callable[..., dict[str, Float[Array, "b d"]]]:
    """Returns the jitted `embed(params, stats, images, modality) -> {name: [b d]}`.

    `images` is uint8 [b h w 3], all of one modality; each modality has its own program.
    """

    @functools.partial(jax.jit, static_argnames="modality")
    def embed(params, stats, images, modality):
        network = nnx.merge(frozen, params, stats)
        pixels = normalise(images)
        views = [pixels, pixels[:, :, ::-1]] if embedding.flip else [pixels]
        stems = {modality: stem_of[modality]}
        number = MODALITY_NAMES.index(modality)
        rows = {modality: jnp.full(len(pixels), number, jnp.int32)}
        given = asked_for(network.embed, modality=rows)
        outputs = [network.embed({modality: view}, stems, **given) for view in views]
        return embedding(*outputs)

    return embed


def make_translate(
    frozen: nnx.GraphDef,
) -> Callable[..., dict[str, UInt8[Array, "b h2 w2 3"]]]:
    """Returns the jitted `translate(params, stats, images, modality)`, uint8 as given.

    Of images of one modality those that the network's `translate` makes, by name, in
    whatever size.
    """

    @functools.partial(jax.jit, static_argnames="modality")
    def translate(params, stats, images, modality):
        made = nnx.merge(frozen, params, stats).translate(normalise(images), modality)
        return {name: grey_levels(x) for name, x in made.items()}

    return translate


def make_forward(graphdef: nnx.GraphDef, seed: int):
    """Returns `run(params, stats, batch, state, work, objective, **more)`.

    It gives the loss, and beside it scalars, new statistics, outputs and rows.
    """

    def run(params, stats, batch, state, work, objective, **more):
        network = nnx.merge(graphdef, params, stats)
        rng = jax.random.fold_in(jax.random.key(seed), state.step)
        images = _device_images(batch["images"], work.views, jax.random.fold_in(rng, 0))
        stems = {name: view.stem for name, view in work.views.items()}
        known = {"modality": batch["modality"], "ids": batch["ids"]}
        given = asked_for(network, **known, **more)
        own = jax.random.fold_in(rng, 1)
        outputs = network(images, stems, rng=own, **given)
        rows = _rows(batch, work.views, outputs, state)
        rows["params"] = params
        rows["epoch"] = work.epoch(state.step)
        if "made" in more:
            rows["made"] = more["made"]
        loss, scalars = objective(outputs, rows, jax.random.fold_in(rng, 2))
        rows["losses"] = scalars
        scalars |= _branch_agreement(outputs.get("embeddings", {}))
        new_stats = nnx.to_pure_dict(nnx.state(network, nnx.BatchStat))
        return loss, (scalars, new_stats, outputs, rows)

    return run


def asked_for(method: Callable[..., Any], **known: Any) -> dict[str, Any]:
    """Those of `known` that the method has parameters for: a network need not."""
    parameters = inspect.signature(method).parameters.values()
    if any(p.kind is p.VAR_KEYWORD for p in parameters):
        return known
    return {p.name: known[p.name] for p in parameters if p.name in known}


def _device_images(columns, views, rng):
    images = {}
    for number, (name, view) in enumerate(views.items()):
        image = normalise(columns[name])
        for place, augment in enumerate(view.device):
            own = jax.random.fold_in(jax.random.fold_in(rng, number), place)
            image = augment(image, own)
        images[name] = image
    return images


def _rows(batch, views, outputs, state):
    """What a term knows of the rows of the outputs; see `losses`."""
    columns = {
        name: [batch[name][view] for view in views] for name in ("ids", "modality")
    }
    columns["view"] = [jnp.full_like(c, i) for i, c in enumerate(columns["ids"])]
    columns["slot"] = [jnp.arange(len(c), dtype=jnp.int32) for c in columns["ids"]]
    rows = {name: joined(parts) for name, parts in columns.items()}
    count = len(rows["ids"])
    if "source" in outputs:
        rows = {name: row[outputs["source"]] for name, row in rows.items()}
    rows["source"] = outputs.get("source", jnp.arange(count))
    rows["copy"] = outputs.get("copy", jnp.zeros(count, jnp.int32))
    return rows | {"step": state.step, "extra": state.extra}


def _branch_agreement(embeddings):
    """cosine(v1, v2): near 1 the second branch adds nothing to the first."""
    if len(embeddings) < 2:
        return {}
    (a, first), (b, second) = list(embeddings.items())[:2]
    if first.shape != second.shape:
        return {}
    cosine = (unit_rows(first) * unit_rows(second)).sum(-1).mean()
    return {f"cosine_{a}_{b}": cosine}
