"""Measures training and embedding in JAX against the same network in PyTorch.

    python tools/benchmark.py --quick                        3 minutes on 2 cores
    python tools/benchmark.py --batches 8 32 --sizes 288x144 384x192
    python tools/benchmark.py --config sysu:base --out benchmark

On the accelerator that is there, else on the CPU. Both sides run the whole system of
the config: uint8 images to losses, gradients and the update. Each is in a process of
its own, and they work in turns. Writes benchmark.json, benchmark.md and benchmark.png.
Needs torch: pip install "jreid[torch]".

PyTorch is run as fast as it goes: channels_last, autocast for bfloat16, TF32, the fused
optimiser; "compiled" is with torch.compile (on a GPU, or when asked for), "folded" is
an embedding whose BatchNorms were folded into the convolutions. JAX is run as shipped.
"""

import os
import platform
import re
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from jreid import command_line, ending  # noqa: E402
from jreid.config import Config  # noqa: E402
from jreid.data.quiet import quieten_tensorflow  # noqa: E402
from jreid.extra import library  # noqa: E402
from tools.step_costs import overrides  # noqa: E402
from tools.throughput.case import Case, check_comparable, cores  # noqa: E402
from tools.throughput.flops import forward_flops  # noqa: E402
from tools.throughput.measure import measure  # noqa: E402
from tools.throughput.summary import markdown, summarise, write_all  # noqa: E402

FILES = 512  # photographs of the pipeline's data set, as large as SYSU-MM01's
FILE_SIZE = (320, 140)
LARGER = (384, 192)  # the other size that the field trains at

Work = Literal["train", "embed"]
Variant = Literal["eager", "compiled", "folded"]
Precision = Literal["float32", "bfloat16"]


@dataclass(slots=True)
class Options:
    """What is measured; where a default depends on the device, the CPU's is first."""

    quick: bool = False
    """One batch of 8 (GPU: 64) at the config's size."""
    batches: tuple[int, ...] = ()
    """Images in a batch (8 32; GPU: 64 128 256)."""
    sizes: tuple[str, ...] = ()
    """HEIGHTxWIDTH, several (the config's, and 384x192)."""
    precision: Precision | None = None
    """Of activations (float32; GPU: bfloat16)."""
    works: tuple[Work, ...] = ("train", "embed")
    """Programs."""
    torch: tuple[Variant, ...] = ()
    """PyTorch's variants (eager folded; GPU: all)."""
    rounds: int | None = None
    """Turns of each side (5; --quick: 3)."""
    turn_seconds: float | None = None
    """Least length of a turn (2; --quick: 1)."""
    pipeline: bool = True
    """Also train with the input pipeline."""
    out: Path = Path("benchmark")
    """Folder for the results."""


@dataclass(frozen=True)
class Plan:
    """The options with what depends on the device."""

    cases: list[Case]
    variants: tuple[Variant, ...]
    rounds: int
    turn_seconds: float


parse = partial(
    command_line.parse_with_config,
    Options,
    "python tools/benchmark.py",
    description=str(__doc__),
    default="sysu",
)


def main(arguments: list[str]) -> int:
    """Exit code 1 if a side failed, 2 if refused."""
    return ending.exit_code(program, arguments)


def program(arguments: list[str]) -> int:
    """Runs all cases; returns 1 if a side failed."""
    given = parse(arguments)
    config, options = given.config, given.options
    check_overrides(overrides(arguments))
    check_comparable(config)
    check(options)
    plan = make_plan(config, options)
    for case in plan.cases:
        forward_flops(config.network, case.height, case.width)  # refused before work
    options.out.mkdir(parents=True, exist_ok=True)
    start, busy = time.perf_counter(), os.getloadavg()[0]
    with tempfile.TemporaryDirectory() as folder:
        files = Path(folder) if options.pipeline and "train" in options.works else None
        if files:
            quieten_tensorflow()
            from tools.benchmark_pipeline import make_files  # imports it

            make_files(files, FILES, *FILE_SIZE)
        measured = []
        for case in plan.cases:
            measured.append(
                measure(
                    config,
                    case,
                    contenders(case, plan.variants),
                    spec=given.words[1],
                    rounds=plan.rounds,
                    turn_seconds=plan.turn_seconds,
                    files=files,
                    say=lambda text: print(text, file=sys.stderr),
                )
            )
            summary = summarise(config, measured)
            report = {"config": config.name, "load_before": busy, "measured": measured}
            machine = describe(config, case.precision, measured, busy)
            paths = write_all(options.out, report, summary, machine)
    print(markdown(summary, machine))
    print(f"{time.perf_counter() - start:.0f} s; written: {', '.join(map(str, paths))}")
    return 1 if summary["failed"] else 0


def contenders(case: Case, variants: tuple[Variant, ...]) -> list[str]:
    """JAX, and the variants of PyTorch that the case has."""
    fits = [v for v in variants if case.work == "embed" or v != "folded"]
    return ["jax", *(f"torch {variant}" for variant in fits)]


def check_overrides(words: Sequence[str]) -> None:
    """Raises ValueError for what a config says of itself and each case anew."""
    for name, option in {"precision": "--precision", "sampling": "--batches"}.items():
        for word in words:
            if word.startswith(f"--config.{name}"):
                raise ValueError(
                    f"{word} is not used here, where {option} says it: give {option}"
                )


def check(options: Options) -> None:
    """Raises ValueError for options that make no batch and no turn, or lack torch."""
    for batch in options.batches:
        if batch < 4 or batch % 4:
            raise ValueError(
                f"--batches has {batch}; allowed are multiples of 4, as 8 32: two "
                "modalities with two images of an identity each, or more"
            )
    for text in options.sizes:
        if min(size_of(text)) < 32:
            raise ValueError(f"--sizes has {text}; 32 pixels is the least")
    for name in ("rounds", "turn_seconds"):
        value = getattr(options, name)
        if value is not None and not value > 0:
            raise ValueError(f"--{name} is {value}; it must be positive")
    if not options.works:
        raise ValueError("--works is empty; allowed are train and embed")
    library("torch", "torch")


def size_of(text: str) -> tuple[int, int]:
    """Height and width of HEIGHTxWIDTH."""
    match = re.fullmatch(r"(\d+)x(\d+)", text)
    if not match:
        raise ValueError(f"--sizes has {text}; write them as 288x144")
    return int(match[1]), int(match[2])


def make_plan(config: Config, options: Options) -> Plan:
    """Every program at every size, and what the options leave to the device."""
    import torch  # pyright: ignore[reportMissingImports]

    on_gpu, quick = torch.cuda.is_available(), options.quick
    few, all_batches = ((64,), (64, 128, 256)) if on_gpu else ((8,), (8, 32))
    precision = options.precision or ("bfloat16" if on_gpu else "float32")
    larger = () if quick or config.size == LARGER else (LARGER,)
    sizes = tuple(map(size_of, options.sizes)) or (config.size, *larger)
    cpu_variants: tuple[Variant, ...] = ("eager", "folded")
    return Plan(
        cases=[
            Case(work, batch, height, width, precision)
            for height, width in sizes
            for batch in options.batches or (few if quick else all_batches)
            for work in options.works
        ],
        variants=options.torch
        or (("eager", "compiled", "folded") if on_gpu else cpu_variants),
        rounds=options.rounds or (3 if quick else 5),
        turn_seconds=options.turn_seconds or (1.0 if quick else 2.0),
    )


def describe(config: Config, precision: str, measured, busy: float) -> str:
    """One line about the machine and the versions, and whether others were using it."""
    abouts = {
        name: result["about"]
        for entry in measured
        for name, result in entry["results"].items()
        if "about" in result
    }
    versions = {about["version"] for about in abouts.values()}
    devices = {about["device"] for about in abouts.values()} - {"cpu"}
    device = ", ".join(sorted(devices)) or platform.machine()
    return (
        f"{config.name}, {precision}, {device} with {cores()} CPU cores, "
        f"{'; '.join(sorted(versions))}, Python {platform.python_version()}"
        + (f"; the machine was busy: load average {busy:.1f} before" * (busy > 1))
    )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
