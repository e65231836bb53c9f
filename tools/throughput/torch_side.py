"""The PyTorch side: tools/torch_reference with the settings that make PyTorch fast.

channels_last throughout, autocast for bfloat16, TF32 for float32 on a GPU, cuDNN's
benchmark mode, the fused optimiser where it exists, and as variants torch.compile and,
for the embedding, BatchNorm folded into the convolutions.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch  # pyright: ignore[reportMissingImports]
from torch import Tensor, nn  # pyright: ignore[reportMissingImports]
from torch.nn.utils.fusion import fuse_conv_bn_eval  # pyright: ignore[reportMissingImports]

from jreid.config import Config
from jreid.export.torch_network.network import fused_embedding, normalise
from jreid.models.embedding import Embedding
from tools.throughput.case import (
    CLASSES,
    Case,
    cores,
    product_size,
    random_batch,
    slots,
)
from tools.throughput.torch_pipeline import make_loader
from tools.torch_reference import from_config
from tools.torch_reference.step import make_step


class TorchSide:
    """See `case.Side`."""

    def __init__(self, config: Config, case: Case, files: Path | None, variant: str):
        self.config, self.case, self.files, self.variant = config, case, files, variant
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self.autocast = torch.bfloat16 if case.precision == "bfloat16" else None
        torch.set_float32_matmul_precision("high")
        torch.backends.cudnn.benchmark = True
        torch.manual_seed(config.seed)
        size = product_size(self.device.type == "cuda")
        options = {"dtype": self.autocast or torch.float32, "device": self.device}
        self.matrix = torch.full((size, size), 1 / size, **options)
        self.result = torch.empty_like(self.matrix)

    def build(self) -> None:
        """Network and optimiser."""
        network = from_config.build_network(self.config, CLASSES)
        network = network.to(self.device)
        to_channels_last(network)
        arrays = slots(random_batch(self.case, self.config.views))
        batch = {name: torch.from_numpy(array) for name, array in arrays.items()}
        if self.case.work == "train":
            self.step = make_step(
                network,
                from_config.build_objective(self.config),
                from_config.build_optimizer(self.config, network, fused=True),
                lambda _: (
                    self.config.optimizer.lr / 10
                ),  # the first of ten warm-up epochs
                streams=[view.stem for view in self.config.views.values()],
                autocast=self.autocast,
                compile_options={} if self.variant == "compiled" else None,
            )
            self.batch = self._to_device(batch)
        else:
            network.eval()
            self.options = embedding_options(self.config)
            if self.variant == "folded":
                fold_batch_norms(network)
                to_channels_last(network)
            self.network = network
            images = batch["images"].flatten(0, 1)
            self.images = images.to(self.device)
            self.embed = self._embed
            if self.variant == "compiled":
                self.embed = torch.compile(self._embed)

    def _embed(self, images: Tensor) -> dict[str, Tensor]:
        with torch.autocast(
            self.device.type, dtype=self.autocast, enabled=self.autocast is not None
        ):
            pixels = normalise(images.permute(0, 3, 1, 2))
            return fused_embedding(self.network, pixels, "visible", **self.options)

    def steps(self, count: int) -> None:
        """Steps on the same batch, or the same images embedded."""
        if self.case.work == "embed":
            with torch.inference_mode():
                for _ in range(count):
                    self.embed(self.images)
        else:
            for _ in range(count):
                scalars = self.step(self.batch)
            self._check(scalars)
        self._wait()

    def open_pipeline(self, steps: int) -> Iterator[dict[str, Tensor]]:
        """The batches of `steps` steps, made in processes of their own."""
        assert self.files is not None
        return iter(
            make_loader(
                self.config,
                self.case,
                self.files,
                steps,
                workers=self._workers(),
                pin_memory=self.device.type == "cuda",
            )
        )

    def ahead(self) -> int:
        """The two of each process, which is what a DataLoader does by itself."""
        return 2 * self._workers()

    def _workers(self) -> int:
        return self.config.loading.workers or cores()

    def pipeline_steps(self, batches: Iterator[dict[str, Tensor]], count: int) -> None:
        """The next batch is made by the loader's processes while a step runs."""
        for _ in range(count):
            batch = next(batches)
            # The loader gives rows of images; a slot is two of them.
            batch = {k: v.unflatten(0, (-1, 2)) for k, v in batch.items()}
            scalars = self.step(self._to_device(batch))
        self._check(scalars)
        self._wait()

    def _to_device(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        return {k: v.to(self.device, non_blocking=True) for k, v in batch.items()}

    def _check(self, scalars: dict[str, Tensor]) -> None:
        if not np.isfinite(scalars["loss"].item()):
            raise ValueError("the loss is not finite: nothing was learnt or measured")

    def _wait(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize()

    def products(self, count: int) -> None:
        """Square matrix products."""
        for _ in range(count):
            torch.mm(self.matrix, self.matrix, out=self.result)
        self._wait()

    def device_peak(self) -> int:
        """Bytes in use, which is less than what the caching allocator reserves."""
        return torch.cuda.max_memory_allocated() if self.device.type == "cuda" else 0

    def about(self) -> dict[str, str]:
        """Versions and the device."""
        on_gpu = self.device.type == "cuda"
        return {
            "version": f"torch {torch.__version__}",
            "device": torch.cuda.get_device_name() if on_gpu else "cpu",
            "backend": "gpu" if on_gpu else "cpu",
            "threads": str(torch.get_num_threads()),
        }


def embedding_options(config: Config) -> dict[str, Any]:
    """How `fused_embedding` embeds as the config says.

    Raises ValueError for an embedding that it has not.
    """
    part = config.embedding
    known = Embedding(
        features=part.features, embeddings=part.embeddings, flip=part.flip
    )
    if part != known or (part.features and part.embeddings):
        raise ValueError(
            f"config.embedding is {part!r}, which the PyTorch side has not"
        )
    feature = "features" if part.features else "embeddings"
    return {"feature": feature, "flip": part.flip}


def to_channels_last(network: nn.Module) -> None:
    """Orders all convolution kernels as NHWC maps want them."""
    network.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]


def fold_batch_norms(module: nn.Module) -> None:
    """Each BatchNorm2d of a frozen network goes into the convolution before it."""
    previous: tuple[nn.Module, str, nn.Conv2d] | None = None
    for name, child in list(module.named_children()):
        if isinstance(child, nn.BatchNorm2d) and previous is not None:
            parent, key, conv = previous
            setattr(parent, key, fuse_conv_bn_eval(conv, child))
            setattr(module, name, nn.Identity())
        else:
            fold_batch_norms(child)
        previous = (module, name, child) if isinstance(child, nn.Conv2d) else None
