"""Writes tests/data/run_v0_2.tar.xz: a small run that every later version goes on with.

    python tests/make_stored_run.py

Run once with each version whose runs must be readable; an existing file stays.
"""

import pathlib
import sys
import tarfile
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).parents[1]))

import tiny

from jreid import __version__, train
from jreid.run import results

FOLDER = pathlib.Path(__file__).parent / "data"


def main() -> None:
    """Trains the tiny system for three of its six steps."""
    version = "_".join(__version__.split(".")[:2])
    target = FOLDER / f"run_v{version}.tar.xz"
    if target.exists():
        sys.exit(f"{target} is there; it must stay as that version wrote it")
    results.write_report = lambda *_: []  # type: ignore[assignment]
    results.print_report = lambda *_: None  # type: ignore[assignment]
    with tempfile.TemporaryDirectory() as scratch:
        folder = pathlib.Path(scratch)
        config = tiny.tiny_config(tiny.make_tree(folder / "tree"))
        config.data.root, config.steps = str(folder / "tree"), 3
        config.checkpoint.keep = 1
        train.train(config, folder / "run")
        with tarfile.open(target, "w:xz") as archive:
            for name in ("config.json", "training_set.json", "metrics.jsonl"):
                archive.add(folder / "run" / name, name)
            archive.add(folder / "run" / "checkpoints", "checkpoints")
    print(f"{target}: {target.stat().st_size} bytes")


if __name__ == "__main__":
    main()
