"""Exports a trained run as a file that needs no jreid: `python -m jreid.export`.

    python -m jreid.export --workdir runs/demo --format onnx --out exported/model.onnx

onnx: for ONNX Runtime, and for `jreid.search --model`. stablehlo: for JAX alone. torch:
a folder with model.pth and a model.py that needs torch alone. Each file is run on
images in batches of 1 and 7 before it is written, and must give jreid's vectors to
within 1e-4. A model card, MODEL.md, is written beside it.
"""

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from jreid import stopping

if __name__ == "__main__":
    stopping.end_quietly()  # while all else is imported

import tyro  # noqa: E402

from jreid import command_line, ending  # noqa: E402

if TYPE_CHECKING:
    from jreid.run.frozen import FrozenRun

PROGRAM = "python -m jreid.export"


@dataclass(frozen=True, slots=True)
class Options:
    """What the command line says."""

    workdir: Path
    """The run's folder."""
    format: Literal["stablehlo", "onnx", "torch"]
    """What the file is."""
    out: Path
    """The file; with torch the folder."""
    step: int | None = None
    """The checkpoint to use instead of the newest."""
    kind: str = "fused"
    """Which embedding: fused, plain where the run has it, or a branch's name."""
    config: Path | None = None
    """A file of your own whose parts the run uses."""
    traceback: tyro.conf.FlagCreatePairsOff[bool] = False
    """Show where an error was raised."""


def export(given: Options) -> None:
    """Writes the file and its card, and says how far from jreid it is."""
    from jreid.evaluation.files.results_file import make_folder
    from jreid.export.card import write_card
    from jreid.run.frozen import open_run, require_directions

    if given.format != "torch" and given.out.is_dir():
        raise ValueError(
            f"--out is {given.out}, a folder: give the file that is to be written in it"
        )
    opened = open_run(given.workdir, given.step, given.kind, given.config)
    run = require_directions(opened)
    folder = given.out if given.format == "torch" else given.out.parent
    make_folder(folder)
    difference = _write(run, given.format, given.out)
    write_card(folder / "MODEL.md", run, given.format, given.out, difference)
    written = given.out / "model.pth" if given.format == "torch" else given.out
    size = written.stat().st_size / 1e6
    print(f"{written}: {size:.1f} MB, step {run.network.step} of {given.workdir}")
    print(f"embeds within {difference:.1e} of jreid at batches of 1 and 7 images")
    print(f"{folder / 'MODEL.md'}: what it is, and what for")


def _write(run: "FrozenRun", kind: str, out: Path) -> float:
    """The file alone; returns the largest difference of its vectors."""
    from jreid.export.embedding import (
        in_float32,
        largest_difference,
        network_of,
        program_of,
    )

    computed = in_float32(run)
    network = network_of(computed)
    if kind == "torch":
        return _torch_file().export(computed, network, out)
    program = program_of(network)
    if kind == "onnx":
        from jreid.export import onnx_file as file
        from jreid.export.about import about_file

        contents = file.serialised(program, about_file(run))
    else:
        from jreid.export import stablehlo_file as file

        contents = file.serialised(program)
    from jreid.whole_files import replacing

    difference = largest_difference(network, file.loaded(contents))
    with replacing(out) as temporary:
        temporary.write_bytes(contents)
    return difference


def _torch_file():
    from jreid.extra import library

    library("torch", "torch")
    from jreid.export import torch_file

    return torch_file


def program(arguments: list[str]) -> int:
    """Exit codes: 0 done, 2 nothing was written."""
    export(command_line.parse(Options, PROGRAM, arguments, __doc__ or ""))
    return 0


def main(arguments: list[str]) -> int:
    """The exit code; an error becomes one line and code 2."""
    return ending.exit_code(program, arguments)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
