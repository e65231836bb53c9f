"""Puts the numbers of the JSON files here into the tables of docs/systems.md, of
README.md and of this folder's README.md.

    python docs/ablation/tables.py

A row and its words are written by hand; its scores, and its place among systems, are
found here. Of a system that has a run of as many images as the others
(`mcja@29184-seed0`), that one is taken, else the one of its demo's own six epochs.
"""

import json
import re
import sys
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
PAGE = HERE.parent / "systems.md"
sys.path.insert(0, str(ROOT))

from docs.ablation.page_tables import (  # noqa: E402
    Row,
    line,
    mean_and_deviation,
    mean_by_identity,
    percent_interval,
    read,
    replaced,
)
from docs.ablation.paper_tables import with_measured, with_rows  # noqa: E402
from jreid.evaluation.statistics import (  # noqa: E402
    ByIdentity,
    bootstrap_intervals,
    paired_tests,
)
from jreid.whole_files import write_text  # noqa: E402

DEMO = "| system | R-1 | R-1 95 % | mAP | mINP |"
OWN = "| system | images seen | R-1 | mAP |"
SEEDS = "| system | seeds 0, 1, 2 (R-1) |"
IMAGENET = "| system | R-1 | R-1 95 % | mAP | at the end |"
EQUAL = 29184
STRIP = "R-1 / mAP over three seeds:\n\n"
ACROSS = 9  # systems beside each other


def main() -> None:
    """Writes the pages anew."""
    for path, change in PAGES.items():
        write_text(path, change(path.read_text()))


def with_strip(page: str) -> str:
    """README.md with the systems of three seeds beside each other, the best first."""
    rows = read(PAGE.read_text(), SEEDS)
    tables = []
    for begin in range(0, len(rows), ACROSS):
        some = rows[begin : begin + ACROSS]
        means = [[row[x].split()[0] for x in ("R-1", "mAP")] for row in some]
        systems, rule = [row["system"] for row in some], ["---"] * len(some)
        both = [" / ".join(pair) for pair in means]
        tables.append("\n".join(map(line, (systems, rule, both))))
    before, mark, rest = page.partition(STRIP)
    old = re.match(r"(\|.*\n|\n(?=\|))*", rest)
    if not mark or old is None:
        raise ValueError(f"README.md has no {STRIP.strip()!r} before such a table")
    return before + mark + "\n\n".join(tables) + "\n" + rest[old.end() :]


def with_numbers(page: str) -> str:
    """The page with the scores of the runs that are kept."""
    runs = json.loads((HERE / "demo_systems.json").read_text())["runs"]
    parts = json.loads((HERE / "demo_by_identity.json").read_text())
    imagenet = json.loads((HERE / "imagenet.json").read_text())["runs"]
    rows = [with_demo(row, runs) for row in read(page, DEMO)]
    page = replaced(page, DEMO, ranked(rows, parts, seeds=1))
    rows = [of_both(row, runs) for row in read(page, OWN)]
    page = replaced(page, OWN, by_rate(rows))
    rows = [of_seeds(system, runs, parts) for system in of_three_seeds(runs)]
    page = replaced(page, SEEDS, ranked(rows, parts, seeds=3))
    rows = [row | scores(imagenet[key(row["system"])]) for row in read(page, IMAGENET)]
    return replaced(page, IMAGENET, by_rate(rows))


def with_demo(row: Row, runs: dict[str, Any]) -> Row:
    """A row with its system's scores, one seed."""
    (name,) = demo_runs(row["system"], 1, runs)
    run = runs[name]
    found = {"mINP": f"{run['mINP']:.1f}"}
    if speed := run.get("images a second"):
        found["images/s"] = f"{speed:.0f}"
    return row | scores(run) | found


def of_both(row: Row, runs: dict[str, Any]) -> Row:
    """A row with its system's scores of six epochs, and of as many images as others."""
    own, equal = (scores(runs[f"{row['system']}{x}-seed0"]) for x in ("", f"@{EQUAL}"))
    both = f"{equal['R-1']} / {equal['mAP']}"
    return row | {"R-1": own["R-1"], "mAP": own["mAP"], "with 29,184": both}


def of_seeds(system: str, runs: dict[str, Any], parts: dict[str, Any]) -> Row:
    """A row of three seeds."""
    three = [runs[name] for name in demo_runs(system, 3, runs)]
    rate, precision = ([run[name] for run in three] for name in ("R-1", "mAP"))
    interval = ""
    if (by := by_identity(system, parts, seeds=3)) is not None:
        interval = percent_interval(bootstrap_intervals([by])[0]["R-1"])
    return {
        "system": f"`{system}`",
        "seeds": ", ".join(f"{x:.1f}" for x in rate),
        "R-1": mean_and_deviation(rate),
        "R-1 95 %": interval,
        "mAP": mean_and_deviation(precision),
        "p to next": "",
    }


def scores(run: dict[str, Any]) -> Row:
    """The columns that all tables of one seed have."""
    low, high = run["R-1 95 %"]
    return {
        "R-1": f"{run['R-1']:.1f}",
        "R-1 95 %": f"{low:.1f} to {high:.1f}",
        "mAP": f"{run['mAP']:.1f}",
    }


def ranked(rows: list[Row], parts: dict[str, Any], *, seeds: int) -> list[Row]:
    """By rank-1 rate, each tested against the next where its parts were kept."""
    rows = by_rate(rows)
    kept = [by_identity(row["system"].strip("`"), parts, seeds=seeds) for row in rows]
    for row, one, other in zip(rows, kept, [*kept[1:], None], strict=True):
        row["p to next"] = ""
        if one is not None and other is not None:
            row["p to next"] = paired_tests([(one, other)])[0]["R-1"].p_text
    return rows


def by_rate(rows: list[Row]) -> list[Row]:
    """The highest first."""
    return sorted(rows, key=lambda row: -float(row["R-1"].split()[0]))


def demo_runs(system: str, seeds: int, runs: dict[str, Any]) -> list[str]:
    """Its runs of as many images as the others' if all are there, else its demo's."""
    equal = [f"{system}@{EQUAL}-seed{seed}" for seed in range(seeds)]
    own = [f"{system}-seed{seed}" for seed in range(seeds)]
    return equal if all(name in runs for name in equal) else own


def of_three_seeds(runs: dict[str, Any]) -> list[str]:
    """Systems of which all three seeds were trained."""
    systems = {name.partition("-seed")[0].partition("@")[0] for name in runs}
    found = {system: demo_runs(system, 3, runs) for system in systems}
    return sorted(x for x, names in found.items() if all(n in runs for n in names))


def by_identity(system: str, parts: dict[str, Any], *, seeds: int) -> ByIdentity | None:
    """Means over the seeds; None if those of a seed were not kept."""
    rates = parts["R-1"]
    names = demo_runs(system, seeds, rates)
    if not all(name in rates for name in names):
        return None
    sums = [{"R-1": rates[name]} for name in names]
    return mean_by_identity(parts["identities"], parts["queries"], sums)


def key(label: str) -> str:
    """The name in imagenet.json of "`cmcen`, rate .03, 408 steps": cmcen@lr03,408."""
    name = label.strip("*").split(",")[0].strip("`")
    rate, steps = re.search(r"rate \.(\d+)", label), re.search(r"(\d+) steps", label)
    return (
        name
        + "+own_size" * ("own size" in label)
        + (f"@lr{rate[1]}" if rate else "")
        + (f",{steps[1]}" if steps else "")
    )


PAGES = {
    PAGE: with_numbers,
    ROOT / "README.md": lambda page: with_measured(with_strip(page)),
    HERE / "README.md": with_rows,
}

if __name__ == "__main__":
    main()
