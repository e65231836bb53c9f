"""Why two images match: `python -m jreid.explain QUERY GALLERY_IMAGE --workdir RUN`.

Draws both images, each beside a heat map of the regions that make them similar, and
says what the maps are: an exact sum over locations, or weighted by the gradient.
"""

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from jreid import stopping

if __name__ == "__main__":
    stopping.end_quietly()  # while all else is imported

import tyro  # noqa: E402

from jreid import command_line, ending  # noqa: E402

PROGRAM = "python -m jreid.explain"
Modality = Literal["visible", "infrared", "auto"]


@dataclass(frozen=True, slots=True)
class Options:
    """What the command line says."""

    query: tyro.conf.Positional[Path]
    """An image."""
    gallery_image: tyro.conf.Positional[Path]
    """The image that it is compared with."""
    workdir: Path
    """The run's folder."""
    out: Path = Path("match.png")
    """The picture to write."""
    query_modality: Modality = "auto"
    """Of the query; auto: by the picture."""
    gallery_modality: Modality = "auto"
    """Of the other image."""
    step: int | None = None
    """The checkpoint to use instead of the newest."""
    kind: str = "fused"
    """Which vectors: fused, plain where the run has it, or a branch's name."""
    config: Path | None = None
    """A file of your own whose parts the run uses."""
    traceback: tyro.conf.FlagCreatePairsOff[bool] = False
    """Show where an error was raised."""


def explain_match(given: Options) -> None:
    """Writes the picture; prints the similarity and what the maps are."""
    from jreid.explanation import explain
    from jreid.run.frozen import open_run
    from jreid.whole_files import replacing

    for path in (given.query, given.gallery_image):
        if not path.is_file():
            raise FileNotFoundError(f"{path} is no file: give two images")
    if not given.out.absolute().parent.is_dir():
        raise FileNotFoundError(f"{given.out.parent} is no folder: make it first")
    query_modality = _recognised(given.query, given.query_modality)
    gallery_modality = _recognised(given.gallery_image, given.gallery_modality)
    run = open_run(given.workdir, given.step, given.kind, given.config)
    found = explain(
        run, given.query, query_modality, given.gallery_image, gallery_modality
    )
    with replacing(given.out) as temporary:
        temporary.write_bytes(found.picture())
    print(f"similarity {found.similarity:.4f}, {found.kind}")
    print(found.statement)
    print(given.out)


def _recognised(path: Path, modality: Modality) -> str:
    """The modality that is given; else that which the picture looks to be of, told."""
    if modality != "auto":
        return modality
    from jreid.data.single_image import pixels_of
    from jreid.search.guard import recognise

    seen = recognise(pixels_of(path))
    print(f"{path}: {seen.modality}, looks {seen.kind}")
    return seen.modality


def program(arguments: list[str]) -> int:
    """Exit code 0: the picture is written."""
    explain_match(command_line.parse(Options, PROGRAM, arguments, __doc__ or ""))
    return 0


def main(arguments: list[str]) -> int:
    """The exit code; an error becomes one line and code 2."""
    return ending.exit_code(program, arguments)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
