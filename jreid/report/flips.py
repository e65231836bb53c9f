"""The queries of which the first image is right in one run and wrong in another."""

from collections.abc import Sequence

from jreid.report.directions import Direction, directions, lists_of
from jreid.report.html import Markup, element, note, section, table
from jreid.report.rank_lists import strip
from jreid.report.run_folder import ReportedRun
from jreid.report.thumbnails import Thumbnails

_EACH, _COUNT = 3, 5  # queries shown of a kind, and images of a list


def flip_section(runs: Sequence[ReportedRun]) -> Markup:
    """Each later run against the first, in both directions."""
    ranked = [run for run in runs if run.table is not None]
    if len(ranked) < 2:
        return Markup("")
    first, *others = ranked
    blocks = [block for other in others for block in _against(first, other)]
    return section(
        "flips",
        "Queries that flipped",
        note(
            "Whether the first image shows the right person, in one run and in the "
            "other. How sure a difference is, the paired tests of ",
            element("code", "python -m jreid.evaluate --compare"),
            " tell.",
        ),
        *blocks,
    )


def _against(first: ReportedRun, other: ReportedRun) -> list[Markup]:
    blocks = [element("h3", f"{other.name} against {first.name}")]
    theirs = {direction.name: direction for direction in directions(other)}
    for mine in directions(first):
        if mine.name not in theirs:
            continue
        blocks.append(element("h4", mine.name))
        blocks += _direction(first, mine, other, theirs[mine.name])
    return blocks


def _paths(run: ReportedRun, rows: Sequence[int]) -> list[str]:
    assert run.table is not None and run.table.paths is not None
    return [str(run.table.paths[row]) for row in rows]


def _direction(
    first: ReportedRun, mine: Direction, other: ReportedRun, theirs: Direction
) -> list[Markup]:
    here = _right(first, mine)
    there = _right(other, theirs)
    shared = [path for path in here if path in there]
    galleries = [
        set(_paths(run, direction.trial.gallery.tolist()))
        for run, direction in ((first, mine), (other, theirs))
    ]
    if not shared or galleries[0] != galleries[1]:
        return [note("Not compared: the two runs have other test images.")]
    kinds = {
        (True, True): "Right in both",
        (False, True): f"Won: right in {other.name} only",
        (True, False): f"Lost: right in {first.name} only",
        (False, False): "Wrong in both",
    }
    found: dict[tuple[bool, bool], list[str]] = {kind: [] for kind in kinds}
    for path in shared:
        found[here[path][1], there[path][1]].append(path)
    rows = [
        [name, str(len(found[kind])), f"{100 * len(found[kind]) / len(shared):.1f}"]
        for kind, name in kinds.items()
    ]
    blocks = [table([f"of {len(shared)} queries", "queries", "%"], rows)]
    shots = [Thumbnails(first), Thumbnails(other)]
    for kind in ((False, True), (True, False)):
        paths = _spread(found[kind])
        if not paths:
            continue
        shown = f" ({len(paths)} of {len(found[kind])})"
        blocks.append(element("p", element("b", kinds[kind]), shown))
        for path in paths:
            pair = [
                _shown(run, direction, rights[path][0], thumbnails)
                for run, direction, rights, thumbnails in (
                    (first, mine, here, shots[0]),
                    (other, theirs, there, shots[1]),
                )
            ]
            blocks.append(element("div", *pair, class_="two ranked"))
    return blocks


def _right(run: ReportedRun, direction: Direction) -> dict[str, tuple[int, bool]]:
    """Of each query's path its row, and whether its first image is right."""
    quality = direction.quality
    rows = quality.query.tolist()
    rights = (quality.first_hit == 1).tolist()
    named = zip(_paths(run, rows), rows, rights, strict=True)
    return {path: (row, right) for path, row, right in named}


def _spread(paths: Sequence[str]) -> list[str]:
    step = max(1, len(paths) // _EACH)
    return list(paths[::step][:_EACH])


def _shown(run, direction, row: int, thumbnails: Thumbnails) -> Markup:
    (ranked,) = lists_of(run, direction, [row], _COUNT)
    return element("div", note(run.name), strip(thumbnails, ranked))
