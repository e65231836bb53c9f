"""What one worker measures: a case, and the interface of the two sides."""

import dataclasses
import os
import resource
import sys
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

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


def random_batch(case: Case) -> dict[str, np.ndarray]:
    """A training batch as the pipeline gives it: noise, with labels of P identities."""
    identities, images = case.sampling
    slots = (identities * images, 2)
    rng = np.random.default_rng(0)
    pixels = (*slots, case.height, case.width, 3)
    labels = np.repeat(np.arange(identities, dtype=np.int32), images)
    return {
        "images": rng.integers(0, 256, pixels, dtype=np.uint8),
        "ids": np.stack([labels, labels], axis=1),
        "modality": np.broadcast_to(np.arange(2, dtype=np.int32), slots).copy(),
    }


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
