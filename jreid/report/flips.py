"""The queries of which the first image is right in one run and wrong in another."""

from collections.abc import Sequence

import numpy as np

from jreid.report.directions import Direction, directions, lists_of
from jreid.report.html import Markup, element, note, section, table
from jreid.report.rank_lists import strip
from jreid.report.run_folder import FEATURES, ReportedRun
from jreid.report.thumbnails import Thumbnails

Names = list[str]  # of each row of a run

_EACH, _COUNT = 3, 5  # queries shown of a kind, and images of a list
_OTHERS = "the two runs have other test images"


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
    try:
        names = _names(first, other)
    except ValueError as error:
        return [*blocks, note(f"Not compared: {error}.")]
    theirs = {direction.name: direction for direction in directions(other)}
    for mine in directions(first):
        if mine.name not in theirs:
            continue
        blocks.append(element("h4", mine.name))
        blocks += _direction(first, mine, other, theirs[mine.name], names)
    return blocks


def _names(first: ReportedRun, other: ReportedRun) -> tuple[Names, Names]:
    """What each image of both runs is called: its path, else its row in equal columns.

    Raises ValueError if the images are others, or nothing tells that they are not.
    """
    contents = [run.about.get("test_content") for run in (first, other)]
    if all(contents) and contents[0] != contents[1]:
        raise ValueError(_OTHERS)
    (here, paths), (there, their_paths) = map(_columns, (first, other))
    has_paths = first.has_paths and other.has_paths
    if has_paths and {*paths} & {*their_paths}:
        return paths, their_paths
    if all(contents) and np.array_equal(here, there):
        rows = [str(row) for row in range(len(paths))]
        return rows, rows
    if has_paths:
        raise ValueError(_OTHERS)
    lacking = " and ".join(run.name for run in (first, other) if not run.has_paths)
    raise ValueError(
        f"nothing tells that the two runs have the same test images, as {FEATURES} of "
        f"{lacking} has no paths"
    )


def _columns(run: ReportedRun) -> tuple[np.ndarray, Names]:
    """Identities, cameras and modality; and paths."""
    columns = run.table
    assert columns is not None and columns.paths is not None
    assert columns.cameras is not None and columns.modality is not None
    known = np.stack([columns.ids, columns.cameras, columns.modality])
    return known, [str(path) for path in columns.paths]


def _direction(
    first: ReportedRun,
    mine: Direction,
    other: ReportedRun,
    theirs: Direction,
    names: tuple[Names, Names],
) -> list[Markup]:
    here, there = _right(mine, names[0]), _right(theirs, names[1])
    shared = [name for name in here if name in there]
    galleries = [
        {of_run[row] for row in direction.trial.gallery.tolist()}
        for direction, of_run in zip((mine, theirs), names, strict=True)
    ]
    if not shared or galleries[0] != galleries[1]:
        return [note(f"Not compared: {_OTHERS}.")]
    kinds = {
        (True, True): "Right in both",
        (False, True): f"Won: right in {other.name} only",
        (True, False): f"Lost: right in {first.name} only",
        (False, False): "Wrong in both",
    }
    found: dict[tuple[bool, bool], list[str]] = {kind: [] for kind in kinds}
    for name in shared:
        found[here[name][1], there[name][1]].append(name)
    rows = [
        [name, str(len(found[kind])), f"{100 * len(found[kind]) / len(shared):.1f}"]
        for kind, name in kinds.items()
    ]
    blocks = [table([f"of {len(shared)} queries", "queries", "%"], rows)]
    shots = [Thumbnails(first), Thumbnails(other)]
    for kind in ((False, True), (True, False)):
        spread = _spread(found[kind])
        if not spread:
            continue
        shown = f" ({len(spread)} of {len(found[kind])})"
        blocks.append(element("p", element("b", kinds[kind]), shown))
        for name in spread:
            pair = [
                _shown(run, direction, rights[name][0], thumbnails)
                for run, direction, rights, thumbnails in (
                    (first, mine, here, shots[0]),
                    (other, theirs, there, shots[1]),
                )
            ]
            blocks.append(element("div", *pair, class_="two ranked"))
    return blocks


def _right(direction: Direction, names: Names) -> dict[str, tuple[int, bool]]:
    """Of each query's name its row, and whether its first image is right."""
    quality = direction.quality
    rights = (quality.first_hit == 1).tolist()
    rows = zip(quality.query.tolist(), rights, strict=True)
    return {names[row]: (row, right) for row, right in rows}


def _spread(names: list[str]) -> list[str]:
    step = max(1, len(names) // _EACH)
    return names[::step][:_EACH]


def _shown(run, direction, row: int, thumbnails: Thumbnails) -> Markup:
    (ranked,) = lists_of(run, direction, [row], _COUNT)
    return element("div", note(run.name), strip(thumbnails, ranked))
