"""The JAX side: jreid's own step, embedding and pipeline, as a user runs them."""

import copy
import functools
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import NamedSharding, PartitionSpec

from jreid import system
from jreid.config import Config
from jreid.processes.heap import trim_after_compiling
from jreid.training import learner as state
from tools.throughput.case import CLASSES, Case, product_size, random_batch


class JaxSide:
    """See `case.Side`."""

    def __init__(self, config: Config, case: Case, files: Path | None):
        config = copy.deepcopy(config)
        config.model.bfloat16 = case.precision == "bfloat16"
        data = config.data
        data.height, data.width = case.height, case.width
        data.identities, data.images_per_identity = case.sampling
        data.dataset, data.root = "sysu_mm01", str(files)
        self.config, self.case, self.files = config, case, files
        self.on_gpu = jax.default_backend() == "gpu"
        self.mesh = state.data_mesh()
        self.sharding = NamedSharding(self.mesh, PartitionSpec("data"))
        size, dtype = product_size(self.on_gpu), jnp.dtype(case.precision)
        self.matrix = jnp.full((size, size), 1 / size, dtype)
        self.product = jax.jit(jnp.matmul)

    def build(self) -> None:
        """Network and state; both are compiled later, by the first step."""
        trim_after_compiling()  # as the programs do
        config = self.config
        make_network = functools.partial(system.make_network, config, CLASSES)
        graphdef, frozen = state.network_structure(make_network)
        tx = system.build_tx(config, system.build_schedule(config, steps_per_epoch=696))
        self.state = state.init_state(make_network, tx, config.seed, self.mesh)
        batch = random_batch(self.case)
        if self.case.work == "train":
            objective = system.build_objective(config)
            self.step = state.make_train_step(graphdef, objective, tx, system.STREAMS)
            self.batch = jax.device_put(batch, self.sharding)
        else:
            options = config.evaluation
            self.embed = state.make_embed(
                frozen, feature=options.feature, flip=options.flip
            )
            images = batch["images"].reshape(-1, *batch["images"].shape[2:])
            self.images = jax.device_put(images, self.sharding)
            self.state = self.state._replace(opt_state=None)  # PyTorch has none either
        jax.block_until_ready(self.state)

    def steps(self, count: int) -> None:
        """Steps on the same batch, or the same images embedded."""
        if self.case.work == "embed":
            for _ in range(count):
                vectors = self.embed(
                    self.state.params, self.state.stats, self.images, system.STREAMS[0]
                )
            jax.block_until_ready(vectors)
        else:
            for _ in range(count):
                self.state, scalars = self.step(self.state, self.batch)
            jax.block_until_ready((self.state, scalars))
            self._check(scalars)

    def open_pipeline(self, steps: int):
        """The trainer's tf.data pipeline over the files."""
        if not hasattr(self, "images_of_run"):
            system.quieten_tensorflow()
            self.images_of_run = system.read_images(self.config)
        return system.training_batches(self.config, self.images_of_run, 0, steps)

    def pipeline_steps(self, batches, count: int) -> None:
        """As the trainer's loop: the next batch is made while a step runs."""
        for _ in range(count):
            batch = jax.device_put(next(batches), self.sharding)
            self.state, scalars = self.step(self.state, batch)
        jax.block_until_ready((self.state, scalars))
        self._check(scalars)

    def _check(self, scalars) -> None:
        if not np.isfinite(float(scalars["loss"])):
            raise ValueError("the loss is not finite: nothing was learnt or measured")

    def products(self, count: int) -> None:
        """Square matrix products."""
        for _ in range(count):
            result = self.product(self.matrix, self.matrix)
        jax.block_until_ready(result)

    def device_peak(self) -> int:
        """Bytes in use, which is less than what XLA's pool reserves."""
        stats = jax.local_devices()[0].memory_stats() if self.on_gpu else None
        return int(stats["peak_bytes_in_use"]) if stats else 0

    def about(self) -> dict[str, str]:
        """Versions and the device."""
        import flax

        return {
            "version": f"jax {jax.__version__}, flax {flax.__version__}",
            "device": jax.local_devices()[0].device_kind,
            "backend": jax.default_backend(),
        }
