"""The JAX side: jreid's own step, embedding and pipeline, as a user runs them."""

import copy
import math
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from jreid.config import Config
from jreid.data.quiet import quieten_tensorflow
from jreid.data.rows import joined
from jreid.data.sampling import PerModality
from jreid.data.sysu_mm01 import SysuMM01
from jreid.processes.heap import trim_after_compiling
from jreid.processes.sharding import data_mesh, to_devices
from jreid.run.batches import batches
from jreid.run.images import read_images
from jreid.training.build import build_system
from jreid.training.plan import Segment, plan
from tools.throughput.case import CLASSES, Case, cores, product_size, random_batch


class JaxSide:
    """See `case.Side`."""

    def __init__(self, config: Config, case: Case, files: Path | None):
        self.config, self.case = of_case(config, case, files), case
        self.on_gpu = jax.default_backend() == "gpu"
        self.mesh = data_mesh()
        self.phases = plan(self.config, None)
        size, dtype = product_size(self.on_gpu), jnp.dtype(case.precision)
        self.matrix = jnp.full((size, size), 1 / size, dtype)
        self.product = jax.jit(jnp.matmul)

    def build(self) -> None:
        """Network and state; both are compiled later, by the first step."""
        trim_after_compiling()  # as the programs do
        self.system = build_system(self.config, CLASSES, self.phases, self.mesh)
        self.state = self.system.init(self.config.seed)
        batch = random_batch(self.case, self.config.views)
        if self.case.work == "train":
            self.batch = to_devices(batch, self.mesh)
        else:
            images = joined([*batch["images"].values()])
            self.images = to_devices(images, self.mesh)
            self.state = self.state._replace(opt_state=None)  # PyTorch has none either
        jax.block_until_ready(self.state)

    def steps(self, count: int) -> None:
        """Steps on the same batch, or the same images embedded."""
        if self.case.work == "embed":
            for _ in range(count):
                vectors = self.system.embed(
                    self.state.params, self.state.stats, self.images, "visible"
                )
            jax.block_until_ready(vectors)
        else:
            for _ in range(count):
                self.state, scalars = self.system.step(self.state, self.batch)
            jax.block_until_ready((self.state, scalars))
            self._check(scalars)

    def open_pipeline(self, steps: int):
        """The trainer's tf.data pipeline over the files."""
        if not hasattr(self, "images_of_run"):
            quieten_tensorflow()
            self.images_of_run = read_images(self.config)
        segment = Segment(self.phases[0], 0, steps)
        return batches(self.config, self.images_of_run, segment, self.mesh)

    def ahead(self) -> int:
        """Those that tf.data keeps, and those of which each thread makes a slot."""
        from jreid.data.pipeline import PREFETCHED_BATCHES  # imports TensorFlow

        threads = self.config.loading.workers or cores()
        return PREFETCHED_BATCHES + math.ceil(threads / (self.case.batch // 2))

    def pipeline_steps(self, batches, count: int) -> None:
        """As the trainer's loop: the next batch is made while a step runs."""
        for _ in range(count):
            batch = to_devices(next(batches), self.mesh)
            self.state, scalars = self.system.step(self.state, batch)
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


def of_case(config: Config, case: Case, files: Path | None) -> Config:
    """The config at the size of the case, reading its files anew for every batch."""
    config = copy.deepcopy(config)
    config.precision = "bfloat16" if case.precision == "bfloat16" else "float32"
    config.size = (case.height, case.width)
    config.sampling = PerModality(*case.sampling)
    config.steps_per_epoch = 696  # SYSU-MM01's: the rate of the first warm-up epochs
    config.data = SysuMM01(root=str(files or ""))
    config.loading.cache, config.evaluation.every_epochs = False, 0
    return config
