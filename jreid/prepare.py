"""Builds a TFDS data set: `python -m jreid.prepare`; see jreid/data/builders.py.

Few large files instead of thousands of small ones, which the file systems of clusters
want. Train from it with --config.data.tfds=OUT instead of --config.data.root.
"""

import argparse
import sys
import tempfile
from pathlib import Path

DATASETS = ("sysu_mm01", "regdb", "llcm", "synvi")


def parse_arguments(arguments: list[str]) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python -m jreid.prepare",
        description="Writes a data set as TFDS array_record files: few large ones.",
    )
    add = parser.add_argument
    add("--dataset", required=True, choices=DATASETS)
    add("--root", type=Path, help="the data set's folder; not needed for synvi")
    add("--out", required=True, type=Path, help="the folder of built data sets")
    add("--split", type=int, choices=range(1, 11), help="RegDB: this split only")
    add("--traceback", action="store_true", help="show where an error was raised")
    given = parser.parse_args(arguments)
    if (given.root is None) != (given.dataset == "synvi"):
        parser.error("--root is needed, except for synvi, which has none")
    if given.split and given.dataset != "regdb":
        parser.error("--split is for regdb")
    return given


def prepare(dataset: str, root: Path | None, out: Path, splits: list[int]) -> None:
    """Builds a data set, and says where; what is there already is left as it is."""
    import tensorflow_datasets as tfds

    from jreid.data.builders import make_builder
    from jreid.data.records import is_built

    options = tfds.download.DownloadConfig(manual_dir=root, try_download_gcs=False)
    for split in splits:
        builder = make_builder(out, dataset, split)
        there = is_built(builder.data_dir)
        with tempfile.TemporaryDirectory() as nothing:  # TFDS wants one for downloads
            builder.download_and_prepare(
                file_format="array_record",
                download_dir=nothing,
                download_config=options,
            )
        parts = builder.info.splits.items()
        counts = ", ".join(f"{name} {part.num_examples}" for name, part in parts)
        verb = "was there already" if there else "built"
        print(f"{builder.data_dir}: {verb}; images: {counts}")


def main(arguments: list[str]) -> int:
    """Builds; an error becomes one line and exit code 2."""
    given = parse_arguments(arguments)
    from jreid.data.quiet import quieten_tensorflow  # help and refusals need not wait

    quieten_tensorflow()
    splits = [1]
    if given.dataset == "regdb":
        splits = [given.split] if given.split else list(range(1, 11))
    try:
        prepare(given.dataset, given.root, given.out.absolute(), splits)
    except (ValueError, OSError) as error:
        if given.traceback:
            raise
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
