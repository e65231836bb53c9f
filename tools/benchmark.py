"""Measures training and embedding in JAX against the same network in PyTorch.

    python tools/benchmark.py --quick                        3 minutes on 2 cores
    python tools/benchmark.py --batches 8,32 --sizes 288x144,384x192
    python tools/benchmark.py --config configs/sysu.py:base --out benchmark

On the accelerator that is there, else on the CPU. Both sides run the whole system of
the config: uint8 images to losses, gradients and the update. Each is in a process of
its own, and they work in turns. Writes benchmark.json, benchmark.md and benchmark.png.
Needs torch: pip install "jreid[torch]".

PyTorch is run as fast as it goes: channels_last, autocast for bfloat16, TF32, the fused
optimiser; "compiled" is with torch.compile (on a GPU, or when asked for), "folded" is
an embedding whose BatchNorms were folded into the convolutions. JAX is run as shipped.
"""

import argparse
import os
import platform
import sys
import tempfile
import time
from importlib.util import find_spec
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from jreid.config import Config  # noqa: E402
from jreid.system import quieten_tensorflow  # noqa: E402
from tools.config_argument import read_config  # noqa: E402
from tools.throughput.case import Case, cores  # noqa: E402
from tools.throughput.measure import measure  # noqa: E402
from tools.throughput.summary import markdown, summarise, write_all  # noqa: E402

FILES = 512  # photographs of the pipeline's data set, as large as SYSU-MM01's
FILE_SIZE = (320, 140)
LARGER = (384, 192)  # the other size that the field trains at
VARIANTS = ("eager", "compiled", "folded")


def main(arguments: list[str]) -> int:
    """Runs all cases; exit code 1 if a side failed, 2 if refused."""
    try:
        config, rest = read_config(arguments)
        given = parse_arguments(rest)
        cases = make_cases(config, given)
        given.out.mkdir(parents=True, exist_ok=True)
    except (ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    start, measured, busy = time.perf_counter(), [], os.getloadavg()[0]
    contenders = ["jax", *(f"torch {variant}" for variant in given.torch)]
    with tempfile.TemporaryDirectory() as folder:
        if given.pipeline and "train" in given.works:
            quieten_tensorflow()
            from tools.benchmark_pipeline import make_files  # imports it

            make_files(Path(folder), FILES, *FILE_SIZE)
        for case in cases:
            measured.append(
                measure(
                    config,
                    case,
                    [
                        n
                        for n in contenders
                        if case.work == "embed" or "folded" not in n
                    ],
                    rounds=given.rounds,
                    turn_seconds=given.turn_seconds,
                    files=Path(folder) if given.pipeline else None,
                    say=lambda text: print(text, file=sys.stderr),
                )
            )
            summary = summarise(config, measured)
            report = {"config": config.name, "load_before": busy, "measured": measured}
            machine = describe(config, given, measured, busy)
            paths = write_all(given.out, report, summary, machine)
    print(markdown(summary, machine))
    print(f"{time.perf_counter() - start:.0f} s; written: {', '.join(map(str, paths))}")
    return 1 if summary["failed"] else 0


def parse_arguments(arguments: list[str]) -> argparse.Namespace:
    """The command line without the config's part, with what depends on the device."""
    parser = argparse.ArgumentParser(
        prog="python tools/benchmark.py",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="--config FILE[:VARIANT] and --config.field=value as in jreid.train; "
        "the default is configs/sysu.py",
    )
    add = parser.add_argument
    add("--quick", action="store_true", help="one batch of 8 at the config's size")
    add("--batches", type=numbers, help="images in a batch (8,32; GPU: 64,128,256)")
    add("--sizes", type=sizes, help="HEIGHTxWIDTH,... (the config's, 384x192)")
    add("--precision", choices=("float32", "bfloat16"), help="(float32; GPU: bfloat16)")
    add("--works", type=names("train", "embed"), default=["train", "embed"])
    add(
        "--torch",
        type=names(*VARIANTS),
        help="PyTorch variants (eager,folded; GPU: all)",
    )
    add("--rounds", type=int, help="turns of each side (5; --quick: 3)")
    add("--turn-seconds", type=float, help="least length of a turn (2; --quick: 1)")
    add("--no-pipeline", dest="pipeline", action="store_false", help="steps alone")
    add("--out", type=Path, default=Path("benchmark"), help="folder for the results")
    given = parser.parse_args(arguments)
    if find_spec("torch") is None:
        raise ValueError('torch is not installed: pip install "jreid[torch]"')
    import torch  # pyright: ignore[reportMissingImports]

    on_gpu, quick = torch.cuda.is_available(), given.quick
    defaults = {
        "batches": ([8] if not on_gpu else [64]) if quick else None,
        "precision": "bfloat16" if on_gpu else "float32",
        "torch": list(VARIANTS) if on_gpu else ["eager", "folded"],
        "rounds": 3 if quick else 5,
        "turn_seconds": 1.0 if quick else 2.0,
    }
    defaults["batches"] = defaults["batches"] or ([64, 128, 256] if on_gpu else [8, 32])
    for name, value in defaults.items():
        if getattr(given, name) is None:
            setattr(given, name, value)
    if given.rounds < 1 or not given.turn_seconds > 0:
        raise ValueError("--rounds and --turn-seconds must be positive")
    return given


def numbers(text: str) -> list[int]:
    """Batch sizes of two modalities with two images of an identity each, or more."""
    values = [int(part) if part.strip().isdecimal() else 0 for part in text.split(",")]
    if any(value < 4 or value % 4 for value in values):
        raise argparse.ArgumentTypeError(f"{text}: give multiples of 4, as 8,32")
    return values


def sizes(text: str) -> list[tuple[int, int]]:
    """Height and width of each HEIGHTxWIDTH."""
    try:
        values = [tuple(map(int, part.split("x"))) for part in text.split(",")]
        pairs = [(height, width) for height, width in values]
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text}: write them as 288x144") from None
    if min(map(min, pairs)) < 32:
        raise argparse.ArgumentTypeError(f"{text}: 32 pixels is the least")
    return pairs


def names(*allowed: str):
    """A parser of comma-separated names."""

    def parse(text: str) -> list[str]:
        if unknown := set(text.split(",")) - set(allowed):
            raise argparse.ArgumentTypeError(
                f"{', '.join(sorted(unknown))}: choose from {', '.join(allowed)}"
            )
        return text.split(",")

    return parse


def make_cases(config: Config, given: argparse.Namespace) -> list[Case]:
    """Every program at every size."""
    own = (config.data.height, config.data.width)
    larger = [] if given.quick or own == LARGER else [LARGER]
    chosen = given.sizes or [own, *larger]
    return [
        Case(work, batch, height, width, given.precision)
        for height, width in chosen
        for batch in given.batches
        for work in given.works
    ]


def describe(config: Config, given: argparse.Namespace, measured, busy: float) -> str:
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
        f"{config.name}, {given.precision}, {device} with {cores()} CPU cores, "
        f"{'; '.join(sorted(versions))}, Python {platform.python_version()}"
        + (f"; the machine was busy: load average {busy:.1f} before" * (busy > 1))
    )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
