"""A run's network at work on image files, in one process or as one of many."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from jreid.config import Config
from jreid.config_hash import config_hash
from jreid.config_json import to_json
from jreid.data import deep_images
from jreid.parts import children, may_differ
from jreid.run.frozen import config_of, frozen_run
from jreid.shapes import Float, UInt8


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
        return config_of(self.workdir, self.user_file, self.batch_size)


class FileEmbedder:
    """Made once; compiles one program per modality (`embedding_batches.Embeds`).

    Raises ValueError for a run without such a checkpoint or kind of embedding.
    """

    def __init__(self, run: RunToEmbed):
        from jreid.data.reading import make_reader  # imports TensorFlow

        self.config = config = run.config()
        self._run = frozen_run(
            config, run.workdir, run.step, run.kind, given_as="--kind"
        )
        self.step, self.size = self._run.network.step, self._run.dim
        self.batch_size = config.evaluation.batch_size
        devices = self._run.network.embedder.mesh.devices.size
        batch = -(-self.batch_size // devices) * devices
        self._shape = (batch, *config.size, 3)
        self._read = make_reader(
            config.size, config.resize, config.loading.workers, self._run.grey16
        )

    def settings(self, dtype: str) -> dict[str, Any]:
        """What must be the same when a job goes on."""
        data = self.config.data
        free = may_differ(data)
        of_data = {k: to_json(v) for k, v in children(data) if k not in free}
        return {
            "fingerprint": self._run.fingerprint,
            "data": {"key": data.key, **of_data},
            "config_hash": config_hash(self.config),
            "step": self.step,
            "kind": self._run.kind,
            "embedding": to_json(self.config.embedding),
            "dtype": dtype,
        }

    def read(
        self, paths: list[str]
    ) -> tuple[UInt8[np.ndarray, "n h w 3"], list[str | None]]:
        """The files' pixels at the run's size, and per file why it is unreadable."""
        return self._read(paths)

    def nearly_empty(self, paths: list[str]) -> list[str]:
        """Those of 16 bits that have next to no grey levels as they are read."""
        return deep_images.nearly_empty(paths, self._run.grey16)

    def embed(
        self, pixels: UInt8[np.ndarray, "n h w 3"], modality: str
    ) -> Float[np.ndarray, "n d"]:
        """Vectors of up to a batch of images, which is padded to its whole size."""
        padded = np.zeros(self._shape, np.uint8)
        padded[: len(pixels)] = pixels
        return self._run(padded, modality)[: len(pixels)]
