"""The best, typical and worst rank lists of each run, and the queries that flipped."""

from collections.abc import Callable, Sequence

from jreid.evaluation.query_quality import QueryQuality
from jreid.evaluation.rank_lists import RankList
from jreid.report.directions import Direction, directions, lists_of
from jreid.report.html import Markup, element, note, picture, section
from jreid.report.run_folder import ReportedRun
from jreid.report.thumbnails import Thumbnails

EACH, COUNT = 2, 10  # lists of a kind, and images of a list
# The run, query and gallery image rows: a PNG, and what it shows.
Explain = Callable[[ReportedRun, int, int], tuple[bytes, str]]


def rank_list_section(
    runs: Sequence[ReportedRun], explain: Explain | None = None, explained: int = 0
) -> Markup:
    """Lists of each run in both directions, like the paper's figure 5.

    Args:
        explain: of a query and its first gallery image, for the first `explained` lists
            of each direction.
    """
    blocks = []
    for run in runs:
        thumbnails = Thumbnails(run) if run.table is not None else None
        for direction in directions(run):
            assert thumbnails is not None
            title = f"{run.name}: {direction.name}" if len(runs) > 1 else direction.name
            blocks.append(element("h3", title))
            blocks.append(note(_about(direction)))
            blocks += _lists(run, direction, thumbnails, explain, explained)
        if thumbnails is not None and thumbnails.failed:
            blocks.append(without_pictures(thumbnails))
    if not blocks:
        return Markup("")
    return section(
        "ranks",
        "Rank lists",
        note(
            "A query (grey frame) and its ten nearest gallery images, with person, "
            "camera and squared distance. ✓ in a green frame: the same person; ✗ in a "
            "dashed red one: somebody else. The file's name is shown where the pointer "
            "rests."
        ),
        *blocks,
    )


def without_pictures(thumbnails: Thumbnails) -> Markup:
    """How many images have no picture, and the first of them."""
    failed = sorted(thumbnails.failed)
    return note(
        f"{len(failed)} of the images could not be opened, {failed[0]} is the first: "
        "write the report where they are."
    )


def _about(direction: Direction) -> str:
    gallery = len(direction.trial.gallery)
    counted = len(direction.quality.query)
    own = (
        "the protocol's first trial"
        if direction.of_protocol
        else "all images, a direction that the protocol does not score"
    )
    return f"{counted} queries with a match, gallery of {gallery} images: {own}."


def _lists(run, direction, thumbnails, explain, explained) -> list[Markup]:
    assert run.table is not None
    quality = direction.quality
    blocks, left = [], explained if explain else 0
    for kind, places in quality.telling(run.table.ids, EACH).items():
        if not places.size:
            continue
        blocks.append(element("h4", kind.capitalize()))
        lists = lists_of(run, direction, quality.query[places].tolist(), COUNT)
        for place, ranked in zip(places.tolist(), lists, strict=True):
            why = []
            if left and explain and len(ranked.nearest):
                why, left = [_explained(run, ranked, explain)], left - 1
            blocks.append(
                element(
                    "div",
                    note(_quality(quality, place)),
                    strip(thumbnails, ranked),
                    *why,
                    class_="ranked",
                )
            )
    return blocks


def _quality(quality: QueryQuality, place: int) -> str:
    precision = 100 * quality.average_precision[place]
    return (
        f"average precision {precision:.1f} %, first hit at {quality.first_hit[place]}"
    )


def _explained(run: ReportedRun, ranked: RankList, explain: Explain) -> Markup:
    try:
        contents, text = explain(run, ranked.query, int(ranked.nearest[0]))
    except (OSError, ValueError) as error:
        return note(f"not explained: {error}")
    title = element("summary", "Why the first one? What speaks for the match")
    shown = picture(contents, "png", "heat maps of both images", class_="wide")
    return element("details", title, shown, note(text), open="")


def strip(thumbnails: Thumbnails, ranked: RankList) -> Markup:
    """A query and its nearest images; they wrap where the page is narrow."""
    columns = thumbnails.columns
    assert columns.cameras is not None and ranked.distances is not None
    ids, cameras, query = columns.ids, columns.cameras, ranked.query
    about = (f"id {ids[query]}", f"cam {cameras[query]}")
    shots = [thumbnails.shot(query, "query", "query", *about)]
    for row, distance in zip(ranked.nearest.tolist(), ranked.distances, strict=True):
        kind = "right" if ids[row] == ids[query] else "wrong"
        lines = (f"{ids[row]}", f"cam {cameras[row]}", f"{distance:.3f}")
        shots.append(thumbnails.shot(row, kind, *lines))
    return element("div", *shots, class_="strip")
