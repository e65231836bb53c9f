"""The report's page: its sections in order, under a head and a list of contents."""

from collections.abc import Sequence

from jreid import __version__
from jreid.evaluation.embedding_map import Method
from jreid.report.calibration import calibration_section
from jreid.report.flips import flip_section
from jreid.report.html import Markup, document, element, note
from jreid.report.images import camera_section, map_section
from jreid.report.pairs import distance_section, pair_distances, verification_section
from jreid.report.rank_lists import Explain, rank_list_section
from jreid.report.run_folder import ReportedRun
from jreid.report.scores import curve_section, score_section
from jreid.report.training import training_section
from jreid.report.translations import translation_section

_TITLES = {
    "scores": "Scores",
    "cmc": "CMC",
    "training": "Training",
    "verification": "Verification",
    "distances": "Distances",
    "calibration": "Calibration",
    "cameras": "Cameras",
    "map": "Map",
    "ranks": "Rank lists",
    "translations": "Translations",
    "flips": "Flipped",
}


def report_page(
    runs: Sequence[ReportedRun],
    *,
    map_by: Method = "pca",
    explain: Explain | None = None,
    explained: int = 0,
) -> str:
    """The HTML of a page that needs no other file.

    Args:
        runs: of different names.
        map_by: how embeddings become points of a plane.
        explain, explained: see `rank_list_section`.

    Raises:
        ValueError: no run, or two of the same name.
    """
    names = [run.name for run in runs]
    if not runs or len(set(names)) < len(names):
        raise ValueError(f"runs {names}: give at least one, each of them once")
    pairs = [pair_distances(run) for run in runs]
    sections = {
        "scores": score_section(runs),
        "cmc": curve_section(runs),
        "training": training_section(runs),
        "verification": verification_section(runs, pairs),
        "distances": distance_section(runs, pairs),
        "calibration": calibration_section(runs, pairs),
        "cameras": camera_section(runs),
        "map": map_section(runs, map_by),
        "ranks": rank_list_section(runs, explain, explained),
        "translations": translation_section(runs),
        "flips": flip_section(runs),
    }
    there = {key: text for key, text in sections.items() if text}
    title = " and ".join(names) if len(names) < 4 else f"{len(names)} runs"
    return document(
        f"jreid: {title}",
        element("header", element("h1", title), _missing(runs), _contents(list(there))),
        element("main", *there.values()),
        element("footer", note(f"Written by jreid {__version__}.")),
    )


def _contents(keys: Sequence[str]) -> Markup:
    links = [element("li", element("a", _TITLES[key], href=f"#{key}")) for key in keys]
    return element("nav", element("ul", *links), aria_label="contents")


def _missing(runs: Sequence[ReportedRun]) -> Markup:
    """What a folder lacks, and so the report."""
    lines = [(run.name, line) for run in runs for line in run.missing]
    if not lines:
        return Markup("")
    items = [element("li", element("b", f"{name}: "), line) for name, line in lines]
    return element(
        "div", element("b", "Not all is there"), element("ul", *items), class_="warning"
    )
