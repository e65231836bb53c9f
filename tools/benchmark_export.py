"""Images a second of the exported network: ONNX Runtime, jreid and PyTorch, in turns.

    python tools/benchmark_export.py --config sysu --batches 1 32

The weights are random: they do not change the speed. Each of them takes its turn
`--rounds` times, so that a busy machine is busy for all; the median round counts.
"""

import argparse
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch  # pyright: ignore[reportMissingImports]
from flax import nnx

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from jreid.config_files import load  # noqa: E402
from jreid.export import onnx_file  # noqa: E402
from jreid.export.embedding import Network, program_of, random_images  # noqa: E402
from jreid.export.torch_network import from_config, network, weights  # noqa: E402
from jreid.search.onnx_network import open_session  # noqa: E402
from jreid.training.build import build_embed, network_maker  # noqa: E402
from jreid.training.state import params_and_stats  # noqa: E402
from tools.throughput.torch_side import embedding_options  # noqa: E402

CLASSES = 395
VISIBLE = np.array(0, np.int32)
Run = Callable[[np.ndarray], np.ndarray]


def runs(spec: str) -> tuple[dict[str, Run], tuple[int, int]]:
    """Of each program the function that embeds visible images; and their size."""
    config = load(spec)
    params, stats = params_and_stats(network_maker(config, CLASSES)(nnx.Rngs(0)))
    ours = Network(build_embed(config, CLASSES), params, stats, "fused", config.size)
    started = time.perf_counter()
    contents = onnx_file.serialised(program_of(ours), {})
    took = time.perf_counter() - started
    print(f"ONNX file: {len(contents) / 1e6:.1f} MB in {took:.0f} s")
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "model.onnx").write_bytes(contents)
        session = open_session(Path(folder) / "model.onnx")
    theirs = from_config.build_network(config, CLASSES)
    theirs.load_state_dict(weights.to_state_dict(params, stats, theirs.state_dict()))
    theirs.eval()
    theirs.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
    options = embedding_options(config)

    def in_torch(images: np.ndarray) -> np.ndarray:
        pixels = network.normalise(torch.from_numpy(images).permute(0, 3, 1, 2))
        with torch.inference_mode():
            vectors = network.fused_embedding(theirs, pixels, "visible", **options)
        return vectors["fused"].numpy()

    return {
        "onnxruntime": lambda x: session.run(None, {"images": x, "modality": VISIBLE})[
            0
        ],
        "jreid": lambda x: np.asarray(ours(x, "visible")),
        "PyTorch": in_torch,
    }, ours.size


def measure(made: dict[str, Run], images: np.ndarray, rounds: int) -> dict[str, float]:
    """Images a second of each."""
    for run in made.values():
        run(images)
    seconds: dict[str, list[float]] = {name: [] for name in made}
    for _ in range(rounds):
        for name, run in made.items():
            started = time.perf_counter()
            run(images)
            seconds[name].append(time.perf_counter() - started)
    return {n: len(images) / statistics.median(times) for n, times in seconds.items()}


def main(arguments: list[str]) -> int:
    """The program; returns its exit code."""
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("--config", default="sysu")
    parser.add_argument("--batches", type=int, nargs="+", default=[1, 32])
    parser.add_argument("--rounds", type=int, default=7)
    given = parser.parse_args(arguments)
    made, size = runs(given.config)
    print(f"{given.config}, {size[0]} x {size[1]}, {os.cpu_count()} cores, images/s")
    for batch in given.batches:
        rates = measure(made, random_images(batch, size), given.rounds)
        told = "  ".join(f"{name} {rate:.2f}" for name, rate in rates.items())
        print(f"batch {batch}: {told}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
