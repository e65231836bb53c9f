"""Tables of Markdown: their rows read by column, and written anew."""

import statistics
from collections.abc import Iterable, Sequence

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


def _lines(page: str, heading: str) -> list[str]:
    if page.count(heading) != 1:
        raise ValueError(
            f"{page.count(heading)} tables begin with {heading}; allowed is one"
        )
    return page[page.index(heading) :].split("\n\n")[0].splitlines()


def _cells(text: str) -> list[str]:
    return [cell.strip() for cell in text.strip().strip("|").split("|")]
