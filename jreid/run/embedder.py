"""A network at work: lists of image files to features, on all devices."""

import contextlib
from collections.abc import Callable

import jax
import numpy as np
from jax.sharding import Mesh

from jreid.config import Config
from jreid.data.datasets import MODALITY_NAMES, Images
from jreid.processes.distributed import is_main
from jreid.processes.sharding import own_rows, to_devices, to_host
from jreid.progress import Progress
from jreid.run import results
from jreid.run.results import Features
from jreid.training.state import TrainState


class Embedder:
    """`embed` of a system (see `learner.System`) over images instead of arrays."""

    def __init__(
        self, config: Config, embed: Callable[..., dict[str, jax.Array]], mesh: Mesh
    ):
        self.config, self.embed, self.mesh = config, embed, mesh

    def __call__(self, params, stats, images: Images, label: str = "") -> Features:
        """Features of `images` in their order, with a progress bar if it has a name.

        Each modality goes through its own stem in batches of one size, rounded up to a
        multiple of the devices; the last batch is padded to that size, so that one
        program is compiled per modality. Of several processes each decodes the rows of
        its own devices, and all get all features.
        """
        bar = Progress(len(images), label, unit="images") if label else None
        features: Features = {}
        done = 0
        with bar or contextlib.nullcontext():
            for modality, name in enumerate(MODALITY_NAMES):
                rows = np.flatnonzero(images.modality == modality)
                for count, vectors in self._batches(
                    params, stats, images.take(rows), name
                ):
                    own = rows[:count]
                    rows = rows[count:]
                    for kind, values in vectors.items():
                        shape = (len(images), values.shape[1])
                        table = features.setdefault(kind, np.empty(shape, np.float32))
                        table[own] = values[:count]
                    done += count
                    if bar:
                        bar.update(done)
        return features

    def _batches(self, params, stats, images: Images, modality: str):
        """Pairs of the number of images in a batch, and their vectors, padded."""
        from jreid.data import pipeline  # imports TensorFlow

        config, devices = self.config, self.mesh.devices.size
        size = -(-config.evaluation.batch_size // devices) * devices
        own = own_rows(self.mesh, size)
        place = np.arange(len(images)) % size  # of each row in its batch
        batches = pipeline.test_batches(
            images.take((own.start <= place) & (place < own.stop)),
            size=config.size,
            resize=config.resize,
            batch_size=own.stop - own.start,
            workers=config.loading.workers,
        )
        for start in range(0, len(images), size):
            count = min(size, len(images) - start)
            padded = np.zeros((own.stop - own.start, *config.size, 3), np.uint8)
            if count > own.start:
                batch = next(batches)
                padded[: len(batch)] = batch
            pixels = to_devices(padded, self.mesh)
            yield count, to_host(self.embed(params, stats, pixels, modality))

    def validate(self, state: TrainState, images: Images) -> dict[str, float]:
        """Rank-1 rate and mAP on the validation identities, averaged over settings.

        Of several processes the first has the result, the others get none.
        """
        features = self(state.params, state.stats, images)
        if not is_main():
            return {}
        headline = next(iter(features))
        scores = results.score(
            self.config, {headline: features[headline]}, images, reranking=False
        )
        return {
            f"validation/{metric}": float(np.mean([s.mean[metric] for s in scores]))
            for metric in ("R-1", "mAP")
        }
