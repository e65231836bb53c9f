"""Differences between two runs, row by row, each with its paired test."""

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from jreid.evaluation.published import PublishedRow
from jreid.evaluation.score import METRICS, Score
from jreid.evaluation.statistics import Difference, paired_tests
from jreid.evaluation.table import conditions, repetitions, row_name

Cells = tuple[str, ...]


@dataclass(frozen=True)
class Entry:
    """What is compared: a run's scores, or published rows."""

    name: str
    about: Mapping[str, Any] = field(default_factory=dict)
    scores: Sequence[Score] = ()
    published: Sequence[PublishedRow] = ()


@dataclass(frozen=True)
class RunRow:
    """One score of one run."""

    entry: Entry
    score: Score

    @property
    def name(self) -> str:
        return f"{self.entry.name}: {row_name(self.score)}"

    @property
    def synthetic(self) -> bool:
        return self.entry.about.get("root") == "synvi"

    def conditions(self) -> dict[str, str]:
        """What two rows must share to be alike, in words."""
        score = self.score
        kind, flip, *measure = conditions(self.entry.about)[2:]
        return {
            "draw": f"draw {score.draw!r}",
            "trials": repetitions(score),
            "images": f"{'SynVI, synthetic, ' if self.synthetic else ''}"
            f"{score.counted} queries, gallery of {score.gallery}",
            "kind": ", ".join([kind, *measure]),
            "flip": flip,
        }


def differences(rows: Sequence[RunRow]) -> tuple[dict[str, list[Cells]], list[str]]:
    """Under a title for each two like rows, lines of cells; and why others have none.

    Args:
        rows: of one setting.
    """
    pairs = [
        pair
        for one, other in itertools.combinations(_by_entry(rows), 2)
        for pair in _like_rows(one, other)
    ]
    tested, titles, untested = [], [], []
    for first, second in pairs:
        here, there = first.conditions(), second.conditions()
        changed = [key for key in here if here[key] != there[key]]
        title = f"{second.name} minus {first.entry.name}"
        if first.score.feature != second.score.feature:
            title += f": {row_name(first.score)}"
        if reason := why_untested(first, second):
            untested.append(f"{title}: not tested, {reason}")
            continue
        marks = ", ".join(f"{there[key]} against {here[key]}" for key in changed)
        titles.append(f"{title}{f' (differ: {marks})' if marks else ''}")
        tested.append((first.score.by_identity, second.score.by_identity))
    found = paired_tests(tested)
    return dict(zip(titles, map(_difference_cells, found), strict=True)), untested


def why_untested(first: RunRow, second: RunRow) -> str:
    """Why two rows have no paired test: another draw, other images; "" if they have."""
    here, there = first.conditions(), second.conditions()
    changed = [key for key in here if here[key] != there[key]]
    marks = ", ".join(f"{there[key]} against {here[key]}" for key in changed)
    if len(first.score.by_identity.identities) < 2:
        return "there is one identity"
    others = _other_queries(first, second)
    if not others and not {"draw", "images"} & set(changed):
        return ""
    return ", ".join(reason for reason in (marks, others) if reason)


def _by_entry(rows: Sequence[RunRow]) -> list[list[RunRow]]:
    groups: dict[str, list[RunRow]] = {}
    for row in rows:
        groups.setdefault(row.entry.name, []).append(row)
    return list(groups.values())


def _like_rows(
    first: Sequence[RunRow], second: Sequence[RunRow]
) -> Iterator[tuple[RunRow, RunRow]]:
    """Rows of the same feature, both re-ranked or both not.

    Runs without a feature of the same name are compared in the first of each.
    """
    common = {row.score.feature for row in first}
    common.intersection_update(row.score.feature for row in second)
    for one, other in itertools.product(first, second):
        same = one.score.feature == other.score.feature
        if not common:
            same = (one.score.feature, other.score.feature) == (
                first[0].score.feature,
                second[0].score.feature,
            )
        if same and one.score.reranked == other.score.reranked:
            yield one, other


def _other_queries(first: RunRow, second: RunRow) -> str:
    """How two rows' test images differ, or "".

    Other images may have the same identity numbers, as those of another split of RegDB
    have: fingerprints tell, of contents or else of paths, where both rows have one.
    """
    for key, reason in (
        ("test_content", "their test images differ"),
        (
            "test_paths",
            "the paths of their test images differ (if the images are the same: give "
            "both files the same `paths`, or none)",
        ),
    ):
        known = [row.entry.about.get(key) for row in (first, second)]
        if all(known):
            if known[0] != known[1]:
                return reason
            break
    one, other = first.score.by_identity, second.score.by_identity
    same = (one.identities, one.queries) == (other.identities, other.queries)
    if same and first.score.splits == second.score.splits:
        return ""
    return "their test images differ"


def _difference_cells(found: Mapping[str, Difference]) -> list[Cells]:
    differences = [found[metric] for metric in METRICS]
    signed = "{:+.2f}".format
    return [
        ("  difference", *(signed(100 * one.value) for one in differences)),
        (
            "  95 % interval",
            *(
                f"{signed(100 * low)}, {signed(100 * high)}"
                for low, high in (one.interval for one in differences)
            ),
        ),
        ("  p value", *(one.p_text for one in differences)),
    ]
