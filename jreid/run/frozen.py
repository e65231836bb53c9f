"""A trained run opened for inference alone: its network, and how it reads images."""

import dataclasses
import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jax.sharding import NamedSharding, PartitionSpec

from jreid import parts
from jreid.config import Config
from jreid.config_hash import config_hash
from jreid.config_json import from_json, to_json
from jreid.data.grey16 import Grey16
from jreid.run.trained import TrainedNetwork, restore_network
from jreid.run.training_set import grey16_of_run
from jreid.run.workdir import read_config
from jreid.shapes import Float, UInt8
from jreid.user_files import load_file


@dataclass(frozen=True, eq=False)  # one run is itself, and can be a key
class FrozenRun:
    """A checkpoint's network as a function of pixels, and what made it.

    TensorFlow is not imported for it.
    """

    workdir: Path
    config: Config
    network: TrainedNetwork
    grey16: Grey16
    kind: str  # "fused", "plain", or the name of a branch
    dim: int  # of a vector

    @property
    def about(self) -> dict[str, Any]:
        """What a user of the vectors has to know, in values that JSON can hold."""
        return {
            "name": self.config.name,
            "step": self.network.step,
            "kind": self.kind,
            "dim": self.dim,
            "fingerprint": self.fingerprint,
            **self._preprocessing,
        }

    @property
    def _preprocessing(self) -> dict[str, Any]:
        return {
            "size": list(self.config.size),
            "resize": self.config.resize,
            "grey16": dataclasses.asdict(self.grey16),
        }

    @property
    def fingerprint(self) -> str:
        """16 hex digits of the recipe, the step, the weights and how they are used."""
        told = {
            "config_hash": config_hash(self.config),
            "step": self.network.step,
            "weights": self.network.checksum,
            "kind": self.kind,
            "embedding": to_json(self.config.embedding),
            **self._preprocessing,
        }
        text = json.dumps(told, sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    def __call__(
        self, pixels: UInt8[np.ndarray, "b h w 3"], modality: str
    ) -> Float[np.ndarray, "b d"]:
        """The vectors of images of one modality, on all devices where they divide b.

        Each b is compiled once per modality: give few different ones.
        """
        network = self.network
        mesh = network.embedder.mesh
        spec = PartitionSpec("data" if len(pixels) % mesh.devices.size == 0 else None)
        placed = jax.device_put(pixels, NamedSharding(mesh, spec))
        made = network.embedder.embed(network.params, network.stats, placed, modality)
        return np.asarray(made[self.kind])


def open_run(
    workdir: Path,
    step: int | None = None,
    kind: str = "fused",
    file: Path | None = None,
) -> FrozenRun:
    """Restores a checkpoint of a run (None: the newest) onto all devices.

    Args:
        workdir: the run's folder.
        step: of the checkpoint.
        kind: which vectors: "fused", "plain", or the name of a branch.
        file: of one's own, whose parts the run uses.

    Raises:
        FileNotFoundError: no run there, or no such checkpoint.
        ValueError: the run is damaged, uses a file that was not given, or has no such
            kind of vectors.
    """
    return frozen_run(config_of(workdir, file), workdir, step, kind)


def require_directions(run: FrozenRun) -> FrozenRun:
    """The run, for those who bring its vectors to length 1.

    Raises ValueError where that would lose what they are compared by.
    """
    if run.config.embedding.measure == "euclidean":
        raise ValueError(
            "config.embedding.measure is 'euclidean', by which the lengths of vectors "
            "count; exported networks and galleries have vectors of length 1: use "
            "jreid.evaluate and jreid.embed"
        )
    return run


def config_of(
    workdir: Path, file: Path | None = None, batch_size: int | None = None
) -> Config:
    """A run's config, checked, with another batch size for embedding if one is given.

    Raises:
        FileNotFoundError: there is no such run.
        ValueError: its config is damaged, uses a file that was not given, or the batch
            size is not allowed.
    """
    if file is not None:
        load_file(file)
    config = from_json(read_config(workdir))
    if batch_size is not None:
        config.evaluation.batch_size = batch_size
    parts.check(config)
    return config


def frozen_run(
    config: Config,
    workdir: Path,
    step: int | None = None,
    kind: str = "fused",
    *,
    given_as: str = "the kind",
) -> FrozenRun:
    """As `open_run`, with the config; `given_as` is what an error calls `kind`."""
    network = restore_network(config, workdir, step)
    blank = jax.ShapeDtypeStruct((1, *config.size, 3), np.uint8)
    made = jax.eval_shape(
        lambda *given: network.embedder.embed(*given, "visible"),
        network.params,
        network.stats,
        blank,
    )
    if kind not in made:
        raise ValueError(f"{given_as} is {kind!r}; this run has {', '.join(made)}")
    grey16 = grey16_of_run(config, workdir)
    return FrozenRun(workdir, config, network, grey16, kind, made[kind].shape[1])
