"""Writes a report of runs: `python -m jreid.report RUN [RUN ...] --out report.html`.

One HTML file that needs no network: scores with the published rows, curves, error
rates, distances, cameras, a map of the embeddings, rank lists, and of several runs the
queries that flipped. What a run's folder lacks is said in the report.
"""

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from jreid import stopping

if __name__ == "__main__":
    stopping.end_quietly()  # while all else is imported

import tyro  # noqa: E402

from jreid import command_line, ending  # noqa: E402

if TYPE_CHECKING:
    from jreid.report.rank_lists import Explain
    from jreid.report.run_folder import ReportedRun

PROGRAM = "python -m jreid.report"


@dataclass(frozen=True, slots=True)
class Options:
    """What the command line says."""

    runs: Annotated[tuple[Path, ...], tyro.conf.Positional]
    """Folders of runs."""
    out: Path = Path("report.html")
    """The file to write."""
    map: Literal["auto", "pca", "tsne"] = "auto"
    """How embeddings become points of a plane; auto: tsne if scikit-learn is there."""
    explain: int = 0
    """Of so many rank lists of each direction, draw why the first image is first."""
    config: Path | None = None
    """A file of your own whose parts the runs use."""
    traceback: tyro.conf.FlagCreatePairsOff[bool] = False
    """Show where an error was raised."""


def report(given: Options) -> None:
    """Writes the page and prints its path."""
    from jreid.evaluation.embedding_map import best_method
    from jreid.report.page import report_page
    from jreid.report.run_folder import named, open_run
    from jreid.user_files import load_file
    from jreid.whole_files import write_text

    if not given.runs:
        raise ValueError(f"give the folder of a run: {PROGRAM} runs/demo")
    if given.explain < 0:
        raise ValueError(f"--explain is {given.explain}; allowed is 0 and more")
    if not given.out.absolute().parent.is_dir():
        raise FileNotFoundError(f"{given.out.parent} is no folder: make it first")
    if given.config is not None:
        load_file(given.config)
    runs = named([open_run(folder) for folder in given.runs])
    method = best_method() if given.map == "auto" else given.map
    explain = _explainer() if given.explain else None
    page = report_page(runs, map_by=method, explain=explain, explained=given.explain)
    write_text(given.out, page)
    print(given.out)


def _explainer() -> "Explain":
    """Opens each run's network once, when it is first asked for."""
    from jreid.data.datasets import MODALITY_NAMES
    from jreid.explanation import explain
    from jreid.run.frozen import FrozenRun, open_run

    opened: dict[Path, FrozenRun] = {}

    def explained(run: "ReportedRun", query: int, match: int) -> tuple[bytes, str]:
        if run.folder not in opened:
            opened[run.folder] = open_run(run.folder)
        columns = run.table
        assert columns and columns.paths is not None and columns.modality is not None
        images = [run.read(str(columns.paths[row])) for row in (query, match)]
        named = [MODALITY_NAMES[columns.modality[row]] for row in (query, match)]
        frozen = opened[run.folder]
        found = explain(frozen, images[0], named[0], images[1], named[1])
        return found.picture(), found.statement

    return explained


def program(arguments: list[str]) -> int:
    """Exit code 0: the report is written."""
    report(command_line.parse(Options, PROGRAM, arguments, __doc__ or ""))
    return 0


def main(arguments: list[str]) -> int:
    """The exit code; an error becomes one line and code 2."""
    return ending.exit_code(program, arguments)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
