"""Embeds a list of image files: decoding in threads, the network on all devices."""

from collections.abc import Callable

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from jaxtyping import Float

from jreid.data import pipeline
from jreid.data.datasets import MODALITY_NAMES, Images

Embed = Callable[..., dict[str, jax.Array]]


def embed_images(
    embed: Embed,
    params,
    stats,
    images: Images,
    *,
    mesh: Mesh,
    height: int,
    width: int,
    batch_size: int,
    workers: int = 0,
    progress: Callable[[int], None] | None = None,
) -> dict[str, Float[np.ndarray, "n d"]]:
    """Runs `embed` (see `state.make_embed`) on every image, in the order of `images`.

    Each modality goes through its own stem in batches of `batch_size`, rounded up to a
    multiple of the devices; the last batch is padded to that size, so that one program
    is compiled per modality. `progress` is called with the number of images done.
    """
    devices = mesh.devices.size
    batch_size = -(-batch_size // devices) * devices
    sharding = NamedSharding(mesh, PartitionSpec("data"))
    features: dict[str, np.ndarray] = {}
    done = 0
    for modality, stream in enumerate(MODALITY_NAMES):
        rows = np.flatnonzero(images.modality == modality)
        batches = pipeline.test_batches(
            images.take(rows),
            height=height,
            width=width,
            batch_size=batch_size,
            workers=workers,
        )
        for start, batch in zip(range(0, len(rows), batch_size), batches, strict=True):
            count = len(batch)
            padded = np.zeros((batch_size, *batch.shape[1:]), np.uint8)
            padded[:count] = batch
            vectors = embed(params, stats, jax.device_put(padded, sharding), stream)
            for name, values in jax.device_get(vectors).items():
                table = features.setdefault(
                    name, np.empty((len(images), values.shape[1]), np.float32)
                )
                table[rows[start : start + count]] = values[:count]
            done += count
            if progress is not None:
                progress(done)
    return features
