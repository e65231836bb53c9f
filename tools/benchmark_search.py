"""Times searches: python tools/benchmark_search.py --workdir runs/demo

Random vectors stand for images. Prints, for a large gallery, bytes in its files, the
time to load it and the time of one query after its image is embedded; and, for a
smaller one of a run's own, the time from the start of `python -m jreid.search query` to
its end, of which the first fills the caches and the others count.
"""

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from PIL import Image

from jreid.processes.cores import cores
from jreid.search import Embedder, Where
from jreid.search.folder_store import FolderStore
from jreid.search.gallery import Gallery
from jreid.search.records import Record, content_of
from jreid.search.store import Store

_AT_ONCE = 2000
_ROUNDS = 20


def main() -> None:
    """Prints a line for each number."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=100_000)
    parser.add_argument("--dim", type=int, default=4096)
    parser.add_argument("--small", type=int, default=10_000)
    parser.add_argument("--workdir", type=Path, help="a run, for the start")
    parser.add_argument("--folder", type=Path, help="for the galleries")
    given = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="search-", dir=given.folder))
    try:
        print(f"{cores()} cores, load {os.getloadavg()[0]:.1f}")
        _time_queries(folder / "large", given.images, given.dim)
        if given.workdir is not None:
            _time_start(folder, given.small, given.workdir)
    finally:
        shutil.rmtree(folder)


def _fill(store: Store, images: int, dim: int) -> None:
    """Random directions, of four cameras and both modalities."""
    rng = np.random.default_rng(0)
    with store.writing():
        for start in range(0, images, _AT_ONCE):
            rows = range(start, min(start + _AT_ONCE, images))
            vectors = rng.normal(size=(len(rows), dim)).astype(np.float32)
            vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
            store.put([_record(row) for row in rows], vectors)


def _record(row: int) -> Record:
    return Record(
        path=f"camera{row % 4}/2026-11-27/{row:08d}.jpg",
        content=content_of(str(row).encode()),
        modality=("visible", "infrared")[row % 2],
        camera=str(row % 4),
        time=str(row),
        track=str(row // 20),
    )


def _time_queries(folder: Path, images: int, dim: int) -> None:
    begun = time.perf_counter()
    store = FolderStore.create(folder, {"dim": dim})
    _fill(store, images, dim)
    print(f"{images} x {dim} written in {time.perf_counter() - begun:.1f} s")
    exact = 2 * images * dim
    for name, size in store.size().items():
        print(f"{name}: {size / 2**20:.1f} MiB, {size / exact:.3f} of the float16")
    rng = np.random.default_rng(1)
    queries = rng.normal(size=(_ROUNDS, dim)).astype(np.float32)
    queries /= np.linalg.norm(queries, axis=1, keepdims=True)
    begun = time.perf_counter()
    store.nearest(queries[0], 10, Where())
    print(f"loaded, with a first query, in {time.perf_counter() - begun:.2f} s")
    for name, where in (
        ("one query", Where()),
        ("one query in two of four cameras", Where(cameras=("1", "3"))),
    ):
        took = []
        for query in queries:
            begun = time.perf_counter()
            store.nearest(query, 10, where)
            took.append(1000 * (time.perf_counter() - begun))
        print(
            f"{name}: median {statistics.median(took):.0f} ms, fastest "
            f"{min(took):.0f}, slowest {max(took):.0f}"
        )
    store.close()


def _time_start(folder: Path, images: int, workdir: Path) -> None:
    embedder = Embedder.from_run(workdir)
    picture = folder / "crop.png"
    pixels = np.random.default_rng(2).integers(0, 256, (128, 64, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(picture)
    with Gallery.create(folder / "small", embedder, folder) as gallery:
        _fill(gallery.store, images, embedder.dim)
    command = [sys.executable, "-m", "jreid.search", "query", str(picture)]
    command += ["--gallery", str(folder / "small"), "--modality", "visible"]
    took = []
    for _ in range(4):
        begun = time.perf_counter()
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        took.append(time.perf_counter() - begun)
    print(
        f"start to answer in {images} x {embedder.dim}: "
        f"{', '.join(f'{one:.2f}' for one in took[1:])} s; the first {took[0]:.2f} s"
    )


if __name__ == "__main__":
    main()
