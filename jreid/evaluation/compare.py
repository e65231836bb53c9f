"""Runs side by side, with paired tests, and the paper's rows where they apply."""

import itertools
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from jreid.evaluation.differences import Cells, Entry, RunRow, differences
from jreid.evaluation.files.results_file import read_results
from jreid.evaluation.published import SIZES, SOURCE, PublishedRow, published_rows
from jreid.evaluation.score import METRICS
from jreid.evaluation.table import (
    aligned,
    conditions,
    describe,
    interval_cells,
    percent,
    warnings,
)
from jreid.evaluation.verdict import verdict

PAPER = "paper"
_RESULTS = "results.json"
_WIDTH = 100  # of running text
_PAPER_IS = (
    "The paper's rows are means of ten trials (SYSU-MM01) or splits (RegDB); which draw"
    " they are of is not stated. Those of other systems are quoted there."
)
_MARK = " *"  # of rows that are not of the data set of the paper's rows below


def load_entry(name: str) -> Entry:
    """The paper's rows for "paper", else those of a run's folder or results.json.

    Raises:
        OSError: there is no such file.
        ValueError: the file is damaged, or of another version.
    """
    if name == PAPER:
        return Entry(PAPER, published=published_rows())
    path = Path(name).expanduser()
    path = path / _RESULTS if path.is_dir() else path
    if not path.is_file():
        raise FileNotFoundError(
            f"{path} does not exist: give the folder of a run that has been scored, a"
            f" {_RESULTS}, or the word {PAPER!r}"
        )
    about, scores = read_results(path)
    return Entry(name.rstrip("/"), about, scores)


def compare(entries: Sequence[Entry]) -> str:
    """Rows side by side for each protocol and setting, in percent.

    First whether later runs are better than the first, then what each entry is. Then,
    for each setting, the runs' rows with their 95 % intervals, published rows of the
    same protocol and setting if a run is of the same images, and for each two runs the
    difference of their like rows, its 95 % interval and p value (`paired_tests`). Rows
    of different draw, trials, images, kind of feature or flip are marked; with another
    draw or other images there is no test.

    Raises:
        ValueError: there is nothing to compare, or two entries have the same name.
    """
    names = [entry.name for entry in entries]
    if not entries or len(set(names)) < len(names):
        raise ValueError(
            f"entries {names}: give at least one run, each of them once, and the word"
            f" {PAPER!r} for the paper's rows"
        )
    rows = [RunRow(entry, score) for entry in entries for score in entry.scores]
    published = [row for entry in entries for row in entry.published]
    settings = dict.fromkeys(
        (row.score.protocol, row.score.setting) for row in rows
    ) or dict.fromkeys((row.protocol, row.setting) for row in published)
    answer = [piece for line in verdict(rows) for piece in _wrapped(line)]
    blocks = ["\n".join(answer)] if answer else []
    blocks.append(_heading(entries))
    for setting in settings:
        here = [row for row in rows if _setting(row) == setting]
        beside = [row for row in published if (row.protocol, row.setting) == setting]
        blocks.append(_block(setting, here, beside))
    return "\n\n".join(blocks)


def _setting(row: RunRow) -> tuple[str, str]:
    return row.score.protocol, row.score.setting


def _heading(entries: Sequence[Entry]) -> str:
    """What each entry is, and how to read the numbers."""
    lines = []
    for entry in entries:
        if entry.published:
            lines += [f"{entry.name}: Tables 1 to 4 of {SOURCE}"]
        if entry.scores:
            what, *how = describe(entry.about)
            lines += [f"{entry.name}: {what}", *(f"    {line}" for line in how)]
    lines = [piece for line in lines for piece in _wrapped(line)]
    if any(entry.scores for entry in entries):
        lines += _wrapped(
            "All in percent. Below a mean, its bootstrap 95 % interval over identities;"
            " p values of paired sign-flip tests over identities, two-sided, not"
            " corrected for the number of tests."
        )
    return "\n".join(lines)


def _wrapped(text: str, indent: str = "    ") -> list[str]:
    first = text[: len(text) - len(text.lstrip())]
    return textwrap.wrap(
        text.strip(), _WIDTH, initial_indent=first, subsequent_indent=indent
    )


def _block(
    setting: tuple[str, str], rows: Sequence[RunRow], published: Sequence[PublishedRow]
) -> str:
    """The table of one setting."""
    protocol, name = setting
    lines = [f"{protocol} protocol, {name}"]
    shared, differing = shared_conditions([row.conditions() for row in rows])
    if shared:
        lines += _wrapped(f"  all runs: {', '.join(shared)}")
    others = [row for row in rows if not of_paper_images(row)]
    shown = published if len(others) < len(rows) or not rows else []
    table, notes = _run_rows(rows, differing, mark_others=bool(shown))
    table += [(_published_name(row), *_published_cells(row)) for row in shown]
    compared, untested = differences(rows)
    widths = [
        max(map(len, column))
        for column in zip(*table, *itertools.chain(*compared.values()), strict=True)
    ]
    for number, cells in enumerate(table):
        lines += [aligned(cells, widths), *notes.get(number, [])]
    if shown and rows:
        lines += _wrapped(_PAPER_IS)
    if published and others:
        lines += _paper_note(setting, others, bool(shown))
    for title, cells in compared.items():
        lines += [*_wrapped(title), *(aligned(row, widths) for row in cells)]
    return "\n".join(lines + [piece for text in untested for piece in _wrapped(text)])


def _run_rows(
    rows: Sequence[RunRow], differing: Sequence[str], *, mark_others: bool
) -> tuple[list[Cells], dict[int, list[str]]]:
    """Header and two lines of cells for each row; text below lines of some number."""
    table: list[Cells] = [("", *METRICS)]
    notes = {}
    for row in rows:
        mark = _MARK if mark_others and not of_paper_images(row) else ""
        table.append((row.name + mark, *(percent(row.score.mean[m]) for m in METRICS)))
        table.append((_step(row), *interval_cells(row.score)))
        notes[len(table) - 1] = warnings(row.score)
        if differing:
            here = row.conditions()
            note = ", ".join(here[key] for key in differing)
            notes[len(table) - 1] += _wrapped(f"    with {note}", "      ")
    return table, notes


def shared_conditions(
    found: Sequence[Mapping[str, str]],
) -> tuple[list[str], list[str]]:
    """The conditions that all rows share, in words, and the keys of those they don't.

    The queries and gallery images of a protocol's own data set are in every table.

    Args:
        found: of each row its conditions, all with the same keys.
    """
    if not found:
        return [], []
    keys = list(found[0])
    alike = [key for key in keys if len({one[key] for one in found}) == 1]
    return [found[0][key] for key in alike], [key for key in keys if key not in alike]


def _step(row: RunRow) -> str:
    return f"  {conditions(row.entry.about)[0]}, 95 %"


def of_paper_images(row: RunRow) -> bool:
    """Whether the images can be those that the paper's tables are about."""
    score = row.score
    size = SIZES.get((score.protocol, score.setting))
    counts = (score.counted, score.skipped, score.gallery)
    return size == counts and not row.synthetic


def _paper_note(
    setting: tuple[str, str], others: Sequence[RunRow], shown: bool
) -> list[str]:
    protocol, _ = setting
    queries, _, gallery = SIZES[setting]
    names = ", ".join(dict.fromkeys(row.entry.name for row in others))
    measured = dict.fromkeys(row.conditions()["images"] for row in others)
    text = (
        f"not the paper's images ({'; '.join(measured)}; {protocol} has"
        f" {queries} queries, gallery of {gallery})"
    )
    if shown:
        return _wrapped(f"{_MARK.strip()} {text}: not comparable with the paper's rows")
    return _wrapped(
        f"The paper's rows are left out: the images of {names} are {text}, so these are"
        f" not {protocol} scores."
    )


def _published_name(row: PublishedRow) -> str:
    reranked = ", re-ranked" if row.reranked else ""
    return f"{PAPER} T{row.table}: {row.name}{reranked}"


def _published_cells(row: PublishedRow) -> Iterator[str]:
    for metric in METRICS:
        yield percent(row.values[metric]) if metric in row.values else "-"
