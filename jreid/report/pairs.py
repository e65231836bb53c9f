"""Verification and the distances of pairs."""

from collections.abc import Sequence

import numpy as np

from jreid.evaluation.measures import Measure
from jreid.evaluation.one_camera import leaves_out_across
from jreid.evaluation.pair_distances import PairDistances, distances_of_pairs
from jreid.evaluation.verification import SURE, error_rates, operating_point
from jreid.report.charts import Axis, Line, histogram_chart, line_chart
from jreid.report.html import Markup, element, figure, note, section, table
from jreid.report.run_folder import ReportedRun

RATES = (1e-1, 1e-2, 1e-3, 1e-4)
_BINS = 60


def pair_distances(run: ReportedRun) -> PairDistances | None:
    """Those of the run's test images; None where they cannot be compared."""
    columns = run.table
    if columns is None or columns.measure == "product":
        return None
    assert columns.modality is not None
    return distances_of_pairs(
        run.headline,
        ids=columns.ids,
        cameras=columns.cameras,
        modality=columns.modality,
        measure=columns.measure,
        two_cameras=leaves_out_across(run.protocol, columns, run.options),
    )


def verification_section(
    runs: Sequence[ReportedRun], pairs: Sequence[PairDistances | None]
) -> Markup:
    """Error rates of "the same person?" across modalities, as a curve and a table."""
    found = [
        (run, of_run)
        for run, of_run in zip(runs, pairs, strict=True)
        if of_run and len(of_run.same_across) and len(of_run.different_across)
    ]
    if not found:
        return Markup("")
    curves, rows = [], []
    for number, (run, of_run) in enumerate(found):
        rates = error_rates(of_run.same_across, of_run.different_across)
        name = run.name if len(found) > 1 else ""
        kept = rates.fmr > 0
        x, y = 100 * rates.fmr[kept], 100 * rates.fnmr[kept]
        curves.append(Line(name, x.tolist(), y.tolist(), number))
        rows.append([run.name, *_cells(of_run)])
    most = max(len(of_run.different_across) for _, of_run in found)
    lowest = min(1.0, np.floor(np.log10(100 / most)))  # of one pair it would be 100 %
    x = Axis("FMR (%)", 10.0**lowest, 100, logarithmic=True)
    y = Axis("FNMR (%)", 0, 100)
    chart = line_chart(curves, x, y, "ROC: FNMR over FMR")
    header = ["FNMR (%) at an FMR of", *(f"{100 * rate:g} %" for rate in RATES)]
    return section(
        "verification",
        "Verification",
        note(
            "One visible and one infrared image: the same person? FMR is the share of "
            "pairs of two people that are taken for one, FNMR the share of pairs of "
            "one person that are missed. Small: the threshold on the squared distance."
        ),
        element(
            "div",
            figure("ROC, as error rates", chart),
            figure("FNMR at a false match rate", table(header, rows), class_="plain"),
            class_="grid2",
        ),
        *(
            note(f"{', '.join(names)}: {limits}")
            for limits, names in _by_limits(found).items()
        ),
    )


def _cells(pairs: PairDistances) -> list[Markup]:
    cells = []
    for rate in RATES:
        point = operating_point(pairs.same_across, pairs.different_across, rate)
        if point.fnmr is None:
            cells.append(Markup("–"))
            continue
        unsure = "" if point.sure else " ?"
        value = f"{100 * point.fnmr:.1f}{unsure}"
        cells.append(Markup(value + element("small", f"< {point.threshold:.3f}")))
    return cells


def _by_limits(
    found: Sequence[tuple[ReportedRun, PairDistances]],
) -> dict[str, list[str]]:
    """Names of the runs by what can be measured on their test images."""
    told: dict[str, list[str]] = {}
    for run, of_run in found:
        told.setdefault(_limits(run, of_run), []).append(run.name)
    return told


def _limits(run: ReportedRun, pairs: PairDistances) -> str:
    same, different = len(pairs.same_across), len(pairs.different_across)
    assert run.table is not None
    people = len(np.unique(run.table.ids))
    told = (
        f"{same} pairs of one person and {different} of two, of {people} "
        f"people. The smallest FMR that can be measured is {1 / different:.1e} (below: "
        f"–); under {SURE / different:.1e} it rests on fewer than {SURE} false matches "
        "(marked ?). Pairs share images and people, so they say less than so many "
        "independent ones."
    )
    return told + _sampled(pairs)


def _sampled(pairs: PairDistances) -> str:
    if not pairs.left_out:
        return ""
    return f" Of {pairs.images} images; {pairs.left_out} others are left out."


def distance_section(
    runs: Sequence[ReportedRun], pairs: Sequence[PairDistances | None]
) -> Markup:
    """Histograms of the squared distances, by what the pairs show."""
    found = [
        (run, of_run)
        for run, of_run in zip(runs, pairs, strict=True)
        if of_run is not None and of_run.images > 1
    ]
    if not found:
        return Markup("")
    # The same axis for all runs of one measure, so that they can be compared.
    ends: dict[Measure, list[float]] = {}
    for run, of_run in found:
        ends.setdefault(_measure(run), []).extend(_ends(of_run))
    edges = {
        measure: np.linspace(max(0.0, min(of_all)), max(of_all) + 1e-6, _BINS + 1)
        for measure, of_all in ends.items()
    }
    panels = [_histogram(run, of_run, edges[_measure(run)]) for run, of_run in found]
    return section(
        "distances",
        "Distances",
        note(
            "Squared distances of all pairs of test images; each curve has an area of "
            "100 %. The further left and apart the first two are from the others, the "
            "better; what lies between the first two is the gap between modalities."
        ),
        element("div", *panels, class_="grid2"),
    )


def _measure(run: ReportedRun) -> Measure:
    assert run.table is not None
    return run.table.measure


def _ends(pairs: PairDistances) -> list[float]:
    kinds = (
        *(pairs.same_within, pairs.same_across),
        *(pairs.different_within, pairs.different_across),
    )
    return [
        float(end) for kind in kinds if len(kind) for end in (kind.min(), kind.max())
    ]


def _histogram(run: ReportedRun, pairs: PairDistances, edges: np.ndarray) -> Markup:
    camera = "one camera" if pairs.own_camera else "two cameras"
    kinds = {
        f"same person, one modality, {camera}": pairs.same_within,
        "same person, across modalities": pairs.same_across,
        "different persons, one modality": pairs.different_within,
        "different persons, across modalities": pairs.different_across,
    }
    there = {name: values for name, values in kinds.items() if len(values)}
    shares = [
        (
            f"{name} ({len(values)}, median {np.median(values):.2f})",
            100 * np.histogram(values, edges)[0] / len(values),
        )
        for name, values in there.items()
    ]
    chart = histogram_chart(
        shares, edges, "squared distance", "histograms of distances"
    )
    left_out = [note(_sampled(pairs).strip())] if pairs.left_out else []
    return figure(run.name, chart, *left_out)
