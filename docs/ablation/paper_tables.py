"""The numbers of the paper's rows in README.md and in this folder's README.md."""

import json
import math
import re
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import scipy.stats

from docs.ablation.page_tables import (
    Row,
    mean_and_deviation,
    mean_by_identity,
    percent_interval,
    read,
    replaced,
)
from jreid.evaluation.statistics import (
    ByIdentity,
    bootstrap_intervals,
    paired_tests,
)

HERE = Path(__file__).resolve().parent
Run = dict[str, Any]
# Runs of recipe.json: row-base-.03-s0 is base at a peak of 0.03 with seed 0.
ROWS = {
    "base": "row-base",
    "ours1": "row-ours1",
    "ours2": "row-ours2-relu",
    "ours3": "row-ours3-relu",
    "full": "row-full-relu",
    "agw": "row-agw",
    "average_only": "row-average_only",
    "gem_max": "row-gem_max",
    "gem_average": "row-gem_average",
    "base+hc_tri": "row-base+hc_tri",
    "full, features=512": "row-full-linear",
    "full, features=512, neck": "row-full-neck",
}
PEAK = ".03"  # of rows and readings that are compared
STABILITY = "| row, at step 60 | identity_v1 |"
LARGEST = "trunk, % (41 to 100)"
PARTS = {"trunk": "trunk", "branch 1": "branches/v1", "bottleneck": "bottleneck"}
MEASURED = "| config | R-1 | mAP | mINP | re-ranked R-1 |"
CHOICE = "| demo's row | validation | test |"
TEST = "| row | 0.01 | 0.03 | 0.1 |"
VALIDATION = "| row, validation | 0.01 | 0.03 | 0.1 |"
RATES = ("R-1", "mAP")
MEANS = "| row | R-1 | mAP | 95 % over identities, R-1 |"
DIFFERENCES = "| difference | R-1 | p of R-1 |"
CENTRES = "| branches, centre triplet | R-1 / mAP | validation | run |"
SEEDS = "| row | seed 0 | seed 1 | seed 2 | R-1 | mAP |"
# Rows with intervals, their differences with paired tests, and their peak.
TESTED = (
    ("| row at 0.01 |", "| difference at 0.01 |", ".01"),
    ("| row on `hard` |", "| difference on `hard` |", PEAK),
)
INTERVAL = "95 % over identities, R-1"
READINGS = "| reading | R-1 / mAP | validation | cosine(v1, v2) | identity z1 | run |"
READINGS_SEEDS = "| reading | seed 0 | seed 1 | seed 2 | R-1 | mAP | run |"


def with_measured(page: str) -> str:
    """README.md with the demo's runs."""
    runs = json.loads((HERE / "demo_systems.json").read_text())["runs"]
    return _each(page, MEASURED, lambda row: _measured(row, runs))


def with_rows(page: str) -> str:
    """This folder's page with the runs of recipe.json, and the demo's."""
    demo = json.loads((HERE / "demo_systems.json").read_text())["runs"]
    runs = json.loads((HERE / "recipe.json").read_text())["runs"]
    runs = {run["run"]: run for run in runs}
    page = _each(page, TEST, lambda row: _peaks(row, "test", runs))
    page = _each(page, VALIDATION, lambda row: _peaks(row, "validation", runs))
    for heading in (MEANS, SEEDS, READINGS_SEEDS):
        page = _each(page, heading, lambda row: _seeds(row, runs))
    page = _each(
        page,
        DIFFERENCES,
        lambda row: row | _by_seed(row, ROWS, PEAK, range(3), runs),
    )
    for heading in (CENTRES, READINGS):
        page = _each(page, heading, lambda row: _reading(row, runs))
    parts = json.loads((HERE / "by_identity.json").read_text())["runs"]
    for rows, differences, peak in TESTED:
        page = _tested(page, rows, differences, peak, runs, parts)
    curves = json.loads((HERE / "curves.json").read_text())["curves"]
    page = _each(page, STABILITY, lambda row: _parts(row, curves))
    return _each(page, CHOICE, lambda row: _choice(row, demo))


def _each(page, heading, change):
    return replaced(page, heading, [change(row) for row in read(page, heading)])


def _tested(page, heading, differences, peak, runs, parts):
    """The page with a table of rows with intervals, and the tests between them."""
    means = {}

    def with_interval(row: Row) -> Row:
        names = [f"{_name(row)}-{peak}-s{seed}" for seed in _seeds_named(row)]
        mean = _mean_parts([parts[name] for name in names])
        means[_label(row)] = mean
        interval = percent_interval(bootstrap_intervals([mean])[0]["R-1"])
        return _seeds(row, runs, peak) | {INTERVAL: interval}

    page = _each(page, heading, with_interval)
    names = {_label(row): _name(row) for row in read(page, heading)}
    seeds = _seeds_named(read(page, heading)[0])
    return _each(
        page,
        differences,
        lambda row: _difference(row, means) | _by_seed(row, names, peak, seeds, runs),
    )


def _measured(row: Row, runs: dict[str, Run]) -> Row:
    """A row with means of three seeds; as it is where it names no config."""
    if not (system := re.search(r":(\w+)`", row["config"])):
        return row
    three = [runs[f"{system[1]}-seed{seed}"] for seed in range(3)]
    columns = list(row)[1:]
    return row | {x: mean_and_deviation([run[x] for run in three]) for x in columns}


def _choice(row: Row, runs: dict[str, Run]) -> Row:
    """A row of the demo with means of three seeds, of both sets of identities."""
    three = [runs[f"{_label(row)}-seed{seed}"] for seed in range(3)]
    return row | {
        column: " / ".join(
            f"{statistics.mean(run[kind + rate] for run in three):.1f}"
            for rate in RATES
        )
        for column, kind in (("validation", "validation "), ("test", ""))
    }


def _peaks(row: Row, kind: str, runs: dict[str, Run]) -> Row:
    """A row of seed 0 by peak, where it was run."""
    peaks = {peak: f"{_name(row)}-{peak.lstrip('0')}-s0" for peak in list(row)[1:]}
    return row | {x: _both(runs.get(name, {}).get(kind)) for x, name in peaks.items()}


def _seeds(row: Row, runs: dict[str, Run], peak: str = PEAK) -> Row:
    """A row of the seeds that its columns name, or of three."""
    each, scores, validated = {}, [], []
    for seed in _seeds_named(row) or range(3):
        run = runs[f"{_name(row)}-{peak}-s{seed}"]
        scores.append(run["test"])
        validated.append(run.get("validation"))
        each[f"seed {seed}"] = _both(scores[-1])
    for rate in RATES:
        each[rate] = mean_and_deviation([score[rate] for score in scores])
    if all(validated):
        both = (mean_and_deviation([x[rate] for x in validated]) for rate in RATES)
        each["validation"] = " / ".join(both)
    return row | {x: value for x, value in each.items() if x in row}


def _difference(row: Row, means: dict[str, ByIdentity]) -> Row:
    """A row of "`ours1` - `base`": the first less the second, means over seeds."""
    label = next(iter(row.values()))
    second, first = re.findall("`(.+?)`", label)
    (found,) = paired_tests([(means[first], means[second])])
    cells = dict.fromkeys(row, "") | {next(iter(row)): label}
    for rate in RATES:
        value, interval = found[rate].value, percent_interval(found[rate].interval)
        cells[rate] = f"{100 * value:+.1f} ({interval})"
        cells[f"p of {rate}"] = found[rate].p_text
    return cells


def _by_seed(
    row: Row,
    names: Mapping[str, str],
    peak: str,
    seeds: Sequence[int],
    runs: dict[str, Run],
) -> Row:
    """The same difference seed by seed, and the p value of a t test over the seeds."""
    second, first = (names[x] for x in re.findall("`(.+?)`", next(iter(row.values()))))
    found = {}
    for rate in RATES:
        here, there = (
            [runs[f"{name}-{peak}-s{seed}"]["test"][rate] for seed in seeds]
            for name in (second, first)
        )
        p_value = scipy.stats.ttest_rel(here, there).pvalue
        each = ", ".join(f"{a - b:+.1f}" for a, b in zip(here, there, strict=True))
        found[f"{rate} by seed"] = f"{each} ({p_value:.2g})"
    return found


def _seeds_named(row: Row) -> list[int]:
    """Of its columns "seed 0", "seed 1"."""
    return [int(x.split()[1]) for x in row if x.startswith("seed ")]


def _mean_parts(kept: list[Run]) -> ByIdentity:
    """What each test identity adds, mean over the runs."""
    sums = [{x: run[x] for x in RATES} for run in kept]
    return mean_by_identity(kept[0]["identities"], kept[0]["queries"], sums)


def _reading(row: Row, runs: dict[str, Run]) -> Row:
    """A row of seed 0, with what the last ten steps say."""
    run = runs[f"{_name(row)}-{PEAK}-s0"]
    found = {"R-1 / mAP": _both(run["test"])}
    found["validation"] = _both(run.get("validation"))
    if "identity z1" in row:
        found["cosine(v1, v2)"] = f"{run['cosine_v1_v2']:.3f}"
        found["identity z1"] = f"{run['identity_last']['z1']:.2f}"
    return row | found


def _parts(row: Row, curves: dict[str, Run]) -> Row:
    """A row of seed 0 at a rate of 0.1: means of steps 51 to 60, by part.

    Its columns are gradient norms, and updates in percent of the weights.
    """
    curve = curves[f"{_name(row)}-s0"]
    at = curve["step"].index(60)
    found = {"identity_v1": f"{curve['loss/identity_v1'][at]:.1f}"}
    for column, part in PARTS.items():
        for kind, scale, word in (("grad_norm", 1, ""), ("update_ratio", 100, ", %")):
            if values := curve.get(f"part/{kind}/{part}"):
                found[column + word] = _two_digits(scale * values[at])
    later = curve["part/update_ratio/trunk"][curve["step"].index(50) :][:6]
    found[LARGEST] = _two_digits(100 * max(x for x in later if x is not None))
    return row | found


def _name(row: Row) -> str:
    """Its run before peak and seed: as it says, or of its row's name."""
    return row["run"].strip("`") if "run" in row else ROWS[_label(row)]


def _label(row: Row) -> str:
    return next(iter(row.values())).replace("`", "").removeprefix("for comparison ")


def _both(score: dict[str, float] | None) -> str:
    return "" if score is None else f"{score['R-1']:.1f} / {score['mAP']:.1f}"


def _two_digits(value: float) -> str:
    """1847.3 is "1847", 0.8 "0.80"."""
    return f"{value:.{max(0, 1 - math.floor(math.log10(value)))}f}"
