"""What one worker measures: a case, and the interface of the two sides."""

import dataclasses
import os
import resource
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from jreid.config import Config
from jreid.data.datasets import MODALITY_NAMES
from jreid.data.views import View, modality_of

CLASSES = 395  # training identities of SYSU-MM01
WORKS = ("train", "embed")


@dataclass(frozen=True)
class Case:
    """One program at one size."""

    work: str  # of WORKS
    batch: int  # images
    height: int
    width: int
    precision: str  # "float32" or "bfloat16"

    @property
    def size(self) -> str:
        """As on the command line."""
        return f"{self.height}x{self.width}"

    @property
    def sampling(self) -> tuple[int, int]:
        """P identities of K images in each modality: at most 8, at least 2 of each."""
        slots = self.batch // 2
        fits = [p for p in range(1, 9) if slots % p == 0 and slots // p >= 2]
        identities = max(fits, default=1)
        return identities, slots // identities

    def as_dict(self) -> dict[str, Any]:
        """Its fields."""
        return dataclasses.asdict(self)


class Side(Protocol):
    """JAX or PyTorch with one case's program; methods return when the work is done."""

    def build(self) -> None:
        """Network and state, on the device."""

    def steps(self, count: int) -> None:
        """`count` steps, or embedded batches, on a batch that is on the device."""

    def open_pipeline(self, steps: int) -> Any:
        """Starts the input pipeline; returns an iterator of its batches."""
        ...

    def ahead(self) -> int:
        """Most batches that the pipeline makes before they are asked for."""
        ...

    def pipeline_steps(self, batches: Any, count: int) -> None:
        """`count` training steps on batches of the pipeline."""

    def products(self, count: int) -> None:
        """`count` square matrix products of `product_size`."""

    def device_peak(self) -> int:
        """Most bytes in use on the accelerator so far; 0 without one."""
        ...

    def about(self) -> dict[str, str]:
        """Versions and settings for the report."""
        ...


def product_size(on_gpu: bool) -> int:
    """Rows and columns of the matrices of the matrix-product rate."""
    return 8192 if on_gpu else 2048


def check_comparable(config: Config) -> None:
    """Raises ValueError for a system that is no step of one visible and one infrared
    column, which is what both sides have."""
    shown = sorted(modality_of(view) for view in config.views.values())
    if shown != sorted(MODALITY_NAMES):
        raise ValueError(
            f"config.views are {', '.join(config.views)}; the benchmark's batches have "
            "one view of visible images and one of infrared ones"
        )
    for name in ("phases", "players", "between_epochs", "after_training", "memory"):
        if getattr(config, name):
            raise ValueError(
                f"config.{name} is {getattr(config, name)!r}; the benchmark measures "
                "systems without"
            )
    for name, view in config.views.items():
        if view.device:
            raise ValueError(
                f"config.views.{name}.device is {view.device!r}; the benchmark "
                "measures systems without"
            )


def random_batch(
    case: Case, views: Mapping[str, View]
) -> dict[str, dict[str, np.ndarray]]:
    """A training batch of the case; see `noise`."""
    return noise(views, (case.height, case.width), *case.sampling)


def noise(
    views: Mapping[str, View], size: tuple[int, int], identities: int, images: int
) -> dict[str, dict[str, np.ndarray]]:
    """A batch as the pipeline gives it: noise, labelled as P identities of K images.

    Of each view images uint8 [n h w 3], ids and modality int32 [n].
    """
    rng, count = np.random.default_rng(0), identities * images
    labels = np.repeat(np.arange(identities, dtype=np.int32), images)
    numbers = {n: MODALITY_NAMES.index(modality_of(v)) for n, v in views.items()}
    pixels = [rng.integers(0, 256, (count, *size, 3), dtype=np.uint8) for _ in views]
    return {
        "images": dict(zip(views, pixels, strict=True)),
        "ids": dict.fromkeys(views, labels),
        "modality": {n: np.full(count, m, np.int32) for n, m in numbers.items()},
    }


def slots(batch: Mapping[str, Mapping[str, np.ndarray]]) -> dict[str, np.ndarray]:
    """The same batch as tools/torch_reference takes it: arrays [n m ...] of m views."""
    return {name: np.stack([*own.values()], axis=1) for name, own in batch.items()}


def peak_resident() -> int:
    """Most bytes of memory the process has had since `reset_peak`, or its start."""
    try:
        with open("/proc/self/status") as file:
            line = next(line for line in file if line.startswith("VmHWM"))
        return int(line.split()[1]) * 1024
    except (OSError, StopIteration):
        unit = 1 if sys.platform == "darwin" else 1024
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def reset_peak() -> bool:
    """Counts the peak anew from here; False where the system cannot."""
    try:
        with open("/proc/self/clear_refs", "w") as file:
            file.write("5")
    except OSError:
        return False
    return True


def cores() -> int:
    """Cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
