"""Time and memory of re-ranking as the set grows: docs/reranking.{json,md,png}.

    python tools/benchmark_reranking.py [--images 4000 10000 20000 50000 200000]
    python tools/benchmark_reranking.py --same-lists 20000

Half of the images are queries, half gallery; the 100 nearest of each query are kept.
Each size runs in a process of its own with one BLAS thread, so that CPU seconds are
those of the work and the peak memory is that of the size. A size is noted as soon as it
is measured, and stays in the table until it is measured again. `--same-lists` seeks
neighbours in float32, as re-ranking does, and in float64, and compares the lists.
"""

import argparse
import json
import os
import pathlib
import resource
import subprocess
import sys
import time

import matplotlib.pyplot as plt
import numpy as np

from jreid.evaluation.distances import largest_length, squared_distances
from jreid.evaluation.rerank.blocks import rerank_top
from jreid.evaluation.rerank.neighbours import neighbours
from jreid.evaluation.rerank.options import PUBLISHED
from jreid.evaluation.rerank.search import SinglePrecision, neighbours_within
from jreid.progress import Progress
from jreid.whole_files import write_text

DOCS = pathlib.Path(__file__).parent.parent / "docs"
RESULTS = DOCS / "reranking.json"
PAGE, PICTURE = DOCS / "reranking.md", DOCS / "reranking.png"
TABLE_START, TABLE_END = "<!-- measured -->\n", "<!-- end -->"
IMAGES_PER_IDENTITY, KEPT = 20, 100


def main() -> None:
    """Measures each size, or, in a process of its own, one of them."""
    parser = argparse.ArgumentParser()
    parser.add_argument(
        "--images", type=int, nargs="+", default=[4000, 10000, 20000, 50000]
    )
    parser.add_argument("--width", type=int, default=2048, help="of the features")
    parser.add_argument("--alone", action="store_true", help="print one measurement")
    parser.add_argument("--same-lists", type=int, help="compare searches of so many")
    options = parser.parse_args()
    if options.same_lists:
        compare_searches(make_features(options.same_lists, options.width))
        return
    if options.alone:
        print(json.dumps(measure(options.images[0], options.width)))
        return
    for images in options.images:
        add_result(measure_alone(images, options.width))
    results = read_results()
    print(table(results))
    draw(results)
    text = PAGE.read_text()
    before, rest = text.split(TABLE_START)
    _, after = rest.split(TABLE_END)
    write_text(PAGE, f"{before}{TABLE_START}{table(results)}{TABLE_END}{after}")


def measure_alone(images: int, width: int) -> dict[str, float]:
    """The measurement of a fresh process."""
    names = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS")
    command = [sys.executable, __file__, "--alone"]
    command += ["--images", str(images), "--width", str(width)]
    environment = os.environ | dict.fromkeys(names, "1")
    child = subprocess.run(
        command, env=environment, check=True, stdout=subprocess.PIPE, text=True
    )
    return json.loads(child.stdout)


def measure(images: int, width: int) -> dict[str, float]:
    """Re-ranks that many images, with a bar for each of the two stages."""
    features = make_features(images, width)
    query, gallery = features[: images // 2], features[images // 2 :]
    # One step of the bar is a million distances.
    bars = {
        stage: Progress(pairs // 10**6, f"{images} images, {stage}", unit="M distances")
        for stage, pairs in (
            ("neighbours", images**2),
            ("distances", len(query) * len(gallery)),
        )
    }

    def progress(stage: str, done: int, total: int) -> None:
        bars[stage].update(done // 10**6)
        if done == total:
            bars[stage].close()

    start, cpu_start = time.perf_counter(), time.process_time()
    rerank_top(query, gallery, KEPT, progress=progress)
    return {
        "images": images,
        "width": width,
        "cpu_seconds": round(time.process_time() - cpu_start, 1),
        "wall_seconds": round(time.perf_counter() - start, 1),
        "features_gb": round(features.nbytes / 1e9, 3),
        # Linux gives kilobytes.
        "peak_gb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6, 3),
    }


def compare_searches(features: np.ndarray) -> None:
    """Prints whether both searches find the same, and their CPU seconds."""
    length, count = largest_length(features), PUBLISHED.neighbours
    start = time.process_time()
    found = neighbours_within(SinglePrecision(features, length), count)
    single, start = time.process_time() - start, time.process_time()
    wide, same = features.astype(np.float64), 0
    for row in range(0, len(wide), 1000):
        rows = slice(row, row + 1000)
        exact = neighbours(squared_distances(wide[rows], wide, length=length), count)
        here = found.take(rows)
        equal = here.largest == exact.largest
        equal &= (here.columns == exact.columns).all(axis=1)
        same += np.count_nonzero(
            equal & (here.distances == exact.distances).all(axis=1)
        )
    double = time.process_time() - start
    print(
        f"{len(features)} images: neighbours, distances and largest distance are those"
        f" of float64 for {same}; {single:.0f} CPU s, in float64 {double:.0f}"
    )


def make_features(images: int, width: int) -> np.ndarray:
    """Identity and noise; float32, L2-normalised."""
    generator = np.random.default_rng(0)
    identities = images // IMAGES_PER_IDENTITY
    centres = generator.standard_normal((identities, 64), dtype=np.float32)
    spread = generator.standard_normal((64, width), dtype=np.float32)
    features = np.empty((images, width), np.float32)
    for start in range(0, images, 4096):
        part = features[start : start + 4096]
        rows = centres[generator.integers(0, identities, len(part))]
        rows = rows + 1.2 * generator.standard_normal(rows.shape, dtype=np.float32)
        part[:] = rows @ spread
        part += 2.4 * generator.standard_normal(part.shape, dtype=np.float32)
        part /= np.linalg.norm(part, axis=1, keepdims=True)
    return features


def read_results() -> list[dict[str, float]]:
    """All sizes measured so far."""
    return json.loads(RESULTS.read_text()) if RESULTS.exists() else []


def add_result(result: dict[str, float]) -> None:
    """Notes a measurement in place of an older one of its size."""
    others = [old for old in read_results() if old["images"] != result["images"]]
    results = sorted([*others, result], key=lambda one: one["images"])
    write_text(RESULTS, json.dumps(results, indent=1) + "\n")


def table(results: list[dict[str, float]]) -> str:
    """Markdown, with the size of one dense matrix over all images for comparison."""
    lines = [
        "| images | feature width | CPU seconds | peak memory | of it features |"
        " one dense n x n float64 matrix |",
        "|---:|---:|---:|---:|---:|---:|",
    ]
    for one in results:
        dense = 8 * one["images"] ** 2 / 1e9
        lines.append(
            f"| {one['images']:,} | {one['width']} | {one['cpu_seconds']:.0f}"
            f" | {one['peak_gb']:.2f} GB | {one['features_gb']:.2f} GB"
            f" | {dense:.1f} GB |"
        )
    return "\n".join(lines) + "\n"


def draw(results: list[dict[str, float]]) -> None:
    """Two panels over the number of images: CPU seconds and memory."""
    images = np.array([one["images"] for one in results])
    figure, (time_axes, memory_axes) = plt.subplots(
        1, 2, figsize=(9, 3.6), layout="constrained"
    )
    time_axes.plot(images, [one["cpu_seconds"] for one in results], "o-")
    time_axes.set_title("Time, one thread")
    time_axes.set_ylabel("CPU seconds")
    memory_axes.plot(
        images, [one["peak_gb"] for one in results], "o-", label="peak, all included"
    )
    memory_axes.plot(
        images, [one["features_gb"] for one in results], "s:", label="features alone"
    )
    memory_axes.plot(
        images, 8e-9 * images**2, "--", color="grey", label="a dense n x n matrix"
    )
    memory_axes.set_title("Memory")
    memory_axes.set_ylabel("GB")
    memory_axes.legend()
    for axes in (time_axes, memory_axes):
        axes.set(xscale="log", yscale="log", xlabel="images")
        axes.set_xticks(images, [f"{count // 1000}k" for count in images])
        axes.minorticks_off()
        axes.grid(alpha=0.3)
    figure.savefig(PICTURE, dpi=120)
    plt.close(figure)


if __name__ == "__main__":
    main()
