"""Embeds a list of image files: decoding in threads, the network on all devices."""

from collections.abc import Callable

import jax
import numpy as np
from jax.sharding import Mesh
from jaxtyping import Float

from jreid.data import pipeline
from jreid.data.datasets import MODALITY_NAMES, Images
from jreid.processes.distributed import own_rows, to_devices, to_host

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
    is compiled per modality. Of several processes each decodes the rows of its own
    devices, and all get all features. `progress` is called with the number of images
    done.
    """
    devices = mesh.devices.size
    batch_size = -(-batch_size // devices) * devices
    own = own_rows(mesh, batch_size)
    features: dict[str, np.ndarray] = {}
    done = 0
    for modality, stream in enumerate(MODALITY_NAMES):
        rows = np.flatnonzero(images.modality == modality)
        place = np.arange(len(rows)) % batch_size  # of each row in its batch
        batches = pipeline.test_batches(
            images.take(rows[(own.start <= place) & (place < own.stop)]),
            height=height,
            width=width,
            batch_size=own.stop - own.start,
            workers=workers,
        )
        for start in range(0, len(rows), batch_size):
            count = min(batch_size, len(rows) - start)
            padded = np.zeros((own.stop - own.start, height, width, 3), np.uint8)
            if count > own.start:
                batch = next(batches)
                padded[: len(batch)] = batch
            pixels = to_devices(padded, mesh, batch_size)
            vectors = to_host(embed(params, stats, pixels, stream))
            for name, values in vectors.items():
                table = features.setdefault(
                    name, np.empty((len(images), values.shape[1]), np.float32)
                )
                table[rows[start : start + count]] = values[:count]
            done += count
            if progress is not None:
                progress(done)
    return features
