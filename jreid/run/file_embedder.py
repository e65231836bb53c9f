"""A run's network at work on image files, in one process or as one of many."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jax.sharding import NamedSharding, PartitionSpec

from jreid import parts
from jreid.config import Config
from jreid.run.images import grey16_of_run
from jreid.run.trained import restore_network
from jreid.run.workdir import read_config
from jreid.shapes import Float, UInt8
from jreid.user_files import load_file


@dataclass(frozen=True)
class RunToEmbed:
    """Which network a job uses; small, and the same to every process."""

    workdir: Path
    step: int | None = None  # the newest
    kind: str = "fused"
    batch_size: int | None = None  # the run's
    user_file: Path | None = None  # whose parts the run uses

    def config(self) -> Config:
        """The run's config, checked.

        Raises:
            FileNotFoundError: there is no such run.
            ValueError: its config is damaged, or the batch size not allowed.
        """
        if self.user_file is not None:
            load_file(self.user_file)
        config = parts.from_json(read_config(self.workdir))
        if self.batch_size is not None:
            config.evaluation.batch_size = self.batch_size
        parts.check(config)
        return config


class FileEmbedder:
    """Made once; compiles one program per modality (`embedding_batches.Embeds`).

    Raises ValueError for a run without such a checkpoint or kind of embedding.
    """

    def __init__(self, run: RunToEmbed):
        from jreid.data import decoding  # imports TensorFlow

        self.config = config = run.config()
        network = restore_network(config, run.workdir, run.step)
        self.step, self._network, self._kind = network.step, network, run.kind
        mesh = network.embedder.mesh
        devices = mesh.devices.size
        self.batch_size = config.evaluation.batch_size
        batch = -(-self.batch_size // devices) * devices
        self._shape = (batch, *config.size, 3)
        self._sharding = NamedSharding(mesh, PartitionSpec("data"))
        made = jax.eval_shape(
            lambda *args: network.embedder.embed(*args, "visible"),
            *(network.params, network.stats),
            jax.ShapeDtypeStruct(self._shape, np.uint8),
        )
        if run.kind not in made:
            raise ValueError(f"--kind is {run.kind!r}; this run has {', '.join(made)}")
        self.size: int = made[run.kind].shape[1]
        self._grey16 = grey16_of_run(config, run.workdir)
        self._read = decoding.make_reader(
            config.size, config.resize, config.loading.workers, self._grey16
        )

    def settings(self, dtype: str) -> dict[str, Any]:
        """What must be the same when a job goes on."""
        return {
            "config_hash": parts.config_hash(self.config),
            "step": self.step,
            "kind": self._kind,
            "embedding": parts.to_json(self.config.embedding),
            "dtype": dtype,
        }

    def read(
        self, paths: list[str]
    ) -> tuple[UInt8[np.ndarray, "n h w 3"], list[str | None]]:
        """The files' pixels at the run's size, and per file why it is unreadable."""
        return self._read(paths)

    def nearly_empty(self, paths: list[str]) -> list[str]:
        """Those of 16 bits that have next to no grey levels as they are read."""
        from jreid.data import decoding

        return decoding.nearly_empty(paths, self._grey16)

    def embed(
        self, pixels: UInt8[np.ndarray, "n h w 3"], modality: str
    ) -> Float[np.ndarray, "n d"]:
        """Vectors of up to a batch of images, which is padded to its whole size."""
        padded = np.zeros(self._shape, np.uint8)
        padded[: len(pixels)] = pixels
        placed = jax.device_put(padded, self._sharding)
        params, stats = self._network.params, self._network.stats
        vectors = self._network.embedder.embed(params, stats, placed, modality)
        return np.asarray(vectors[self._kind])[: len(pixels)]
