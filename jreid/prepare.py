"""Builds a TFDS data set: `python -m jreid.prepare`; see jreid/data/builders.py.

Few large files instead of thousands of small ones, which the file systems of clusters
want. Train from it with --config.data.tfds=OUT instead of --config.data.root.
"""

import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from jreid import stopping

if __name__ == "__main__":
    stopping.end_quietly()  # while all else is imported

from jreid import command_line, ending  # noqa: E402

if TYPE_CHECKING:
    from jreid.data.datasets import Images


@dataclass
class Options:
    """What `python -m jreid.prepare` is told."""

    dataset: Literal["sysu_mm01", "regdb", "llcm", "synvi"]
    out: Path
    """The folder of built data sets."""
    root: Path | None = None
    """The data set's folder; synvi has none."""
    split: int | None = None
    """RegDB: build this split only, of 1 to 10."""
    traceback: bool = False
    """Show where an error was raised."""

    def check(self) -> None:
        """Raises ValueError for options that do not go together."""
        if (self.root is None) != (self.dataset == "synvi"):
            raise ValueError("--root is needed, except for synvi, which has none")
        if self.split is not None and self.dataset != "regdb":
            raise ValueError("--split is for regdb")
        if self.split is not None and self.split not in _every_split():
            raise ValueError(f"--split is {self.split}; allowed is 1 to 10")

    def splits(self) -> list[int]:
        """The splits to build; one where the data set has no splits."""
        if self.dataset != "regdb":
            return [1]
        return list(_every_split()) if self.split is None else [self.split]


def _every_split() -> tuple[int, ...]:
    from jreid.evaluation.protocols.regdb import SPLITS  # imports NumPy

    return SPLITS


def prepare(dataset: str, root: Path | None, out: Path, splits: list[int]) -> None:
    """Builds a data set, and says where; what is there already is left as it is.

    Raises ValueError if something else is there than `root` holds.
    """
    import tensorflow_datasets as tfds

    from jreid.data.builders import make_builder
    from jreid.data.records import is_built

    tfds.disable_progress_bar()  # its bars fill pages
    options = tfds.download.DownloadConfig(manual_dir=root, try_download_gcs=False)
    for split in splits:
        builder = make_builder(out, dataset, split)
        there = is_built(builder.data_dir)
        if there and root is not None:
            _require_same(dataset, root, out, split)
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


def _require_same(dataset: str, root: Path, out: Path, split: int) -> None:
    """Raises ValueError unless built and given images are alike.

    In name, identity, camera, modality and content.
    """
    from jreid.data.builders import make_builder
    from jreid.data.records import LISTS, built_folder, read_built
    from jreid.run.fingerprints import contents_of, fingerprint, names_below

    def rows(images: "Images") -> list[tuple[str, int, int, int]]:
        columns = (images.ids, images.cameras, images.modality)
        numbers = (column.tolist() for column in columns)
        return sorted(zip(names_below(images), *numbers, strict=True))

    def content(images: "Images") -> str:
        return fingerprint(images, contents_of(images))

    given = make_builder(out, dataset, split).read(root)  # type: ignore[attr-defined]
    there = read_built(out, dataset, split=split, train_on_val=False)
    for name in LISTS:
        one, other = getattr(given, name), getattr(there, name)
        # Contents last: all files are read for them.
        if rows(one) != rows(other) or content(one) != content(other):
            place = built_folder(out, dataset, split)
            raise ValueError(
                f"{place} was built from other {name} images or labels than those in "
                f"{root}: give another --out, or delete that folder to build it anew"
            )


def _program(arguments: list[str]) -> None:
    given = command_line.parse(
        Options,
        "python -m jreid.prepare",
        arguments,
        "Writes a data set as TFDS array_record files: few large ones.",
    )
    given.check()
    from jreid.data.quiet import quieten_tensorflow  # help and refusals need not wait

    quieten_tensorflow()
    prepare(given.dataset, given.root, given.out.absolute(), given.splits())


def main(arguments: list[str]) -> int:
    """Builds; an error becomes one line and exit code 2."""
    return ending.exit_code(_program, arguments)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
