"""Tables of Markdown: rows read by column, written anew; what cells of seeds show."""

import statistics
from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from jreid.evaluation.statistics import ByIdentity

Row = dict[str, str]


def read(page: str, heading: str) -> list[Row]:
    """The rows of the table that begins so, by column.

    Raises:
        ValueError: there is no such table.
    """
    header, _, *lines = _lines(page, heading)
    names = _cells(header)
    return [dict(zip(names, _cells(text), strict=True)) for text in lines]


def replaced(page: str, heading: str, rows: list[Row]) -> str:
    """The page with these rows in the table that begins so."""
    old = _lines(page, heading)
    lines = [line(row.values()) for row in rows]
    return page.replace("\n".join(old), "\n".join([*old[:2], *lines]), 1)


def line(cells: Iterable[str]) -> str:
    """A row's text."""
    return f"| {' | '.join(cells)} |"


def mean_and_deviation(values: Sequence[float]) -> str:
    """The mean and the sample standard deviation, as a cell shows them."""
    return f"{statistics.mean(values):.1f} ± {statistics.stdev(values):.1f}"


def percent_interval(ends: tuple[float, float]) -> str:
    """An interval of fractions as a cell shows it, in percent."""
    return f"{100 * ends[0]:.1f} to {100 * ends[1]:.1f}"


def mean_by_identity(
    identities: Iterable[int | str],
    queries: Iterable[float],
    sums: Sequence[Mapping[str, Sequence[float]]],
) -> ByIdentity:
    """What each test identity adds to each metric, mean over the seeds' sums."""
    means = {x: np.mean([seed[x] for seed in sums], axis=0) for x in sums[0]}
    return ByIdentity(
        tuple(map(str, identities)),
        tuple(queries),
        {x: tuple(mean.tolist()) for x, mean in means.items()},
    )


def _lines(page: str, heading: str) -> list[str]:
    if page.count(heading) != 1:
        raise ValueError(
            f"{page.count(heading)} tables begin with {heading}; allowed is one"
        )
    return page[page.index(heading) :].split("\n\n")[0].splitlines()


def _cells(text: str) -> list[str]:
    return [cell.strip() for cell in text.strip().strip("|").split("|")]
