"""Reliability diagrams: whether the promised probabilities are kept."""

import json
from collections.abc import Sequence
from typing import Any

import numpy as np

from jreid.evaluation.pair_distances import PairDistances
from jreid.report.charts import Axis, Line, line_chart
from jreid.report.html import Markup, element, figure, note, section
from jreid.report.run_folder import CALIBRATION, ReportedRun
from jreid.search.calibration import Calibration
from jreid.search.reliability import Reliability, reliability

_PAIR = "visible-infrared"
_MOST = 3  # networks of one run, the newest
_EVEN = 0.5  # the prior under which both kinds of pairs weigh the same


def calibration_section(
    runs: Sequence[ReportedRun], pairs: Sequence[PairDistances | None]
) -> Markup:
    """A diagram for each of the newest networks of a run's calibration.json.

    It is of the run's test images.
    """
    panels = [
        panel
        for run, of_run in zip(runs, pairs, strict=True)
        if of_run is not None and len(of_run.same_across) * len(of_run.different_across)
        for panel in _panels(run, of_run)
    ]
    if not panels:
        return Markup("")
    return section(
        "calibration",
        "Calibration",
        note(
            "Of pairs of test images, a visible and an infrared one, that are promised "
            "a probability of showing the same person, the share that does: on the "
            "dashed line promises are kept. Both kinds of pairs weigh the same."
        ),
        element("div", *panels, class_="grid2"),
    )


def _panels(run: ReportedRun, pairs: PairDistances) -> list[Markup]:
    try:
        text = (run.folder / CALIBRATION).read_text(encoding="utf-8")
        entries = list(json.loads(text).items())  # in the order of their fits
        panels = [_panel(run, pairs, *entry) for entry in entries[-_MOST:]]
    except FileNotFoundError:
        return []
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        why = f"{run.name}: {CALIBRATION} cannot be read ({error})"
        return [note(why)]
    if (older := len(entries) - len(panels)) > 0:
        panels.append(
            note(
                f"{run.name}: networks of {CALIBRATION} that were fitted earlier and "
                f"are left out: {older}."
            )
        )
    return panels


def _panel(
    run: ReportedRun, pairs: PairDistances, fingerprint: str, entry: dict[str, Any]
) -> Markup:
    title = f"{run.name}, network {fingerprint}"
    if _PAIR not in entry["curves"]:
        return figure(title, note(f"not fitted: {entry['missing'].get(_PAIR)}"))
    curve = Calibration.from_json(entry["curves"][_PAIR])
    found = _reliability(curve, pairs)
    lines = [
        Line(
            "measured",
            (100 * found.probability).tolist(),
            (100 * found.share).tolist(),
        ),
        Line("promised", [0, 100], [0, 100], 5, dashed=True),
    ]
    x, y = Axis("promised (%)", 0, 100), Axis("the same person (%)", 0, 100)
    told = (
        f"Fitted ({curve.kind}) to {entry['source']}; expected calibration error "
        f"{100 * found.error:.1f} %. True of these test vectors only where the network "
        "is the one that made them: the same step, kind and dimension."
    )
    return figure(title, line_chart(lines, x, y, "reliability diagram"), note(told))


def _reliability(curve: Calibration, pairs: PairDistances) -> Reliability:
    distances = np.concatenate([pairs.same_across, pairs.different_across])
    same = np.arange(len(distances)) < len(pairs.same_across)
    probabilities = curve.with_prior(_EVEN).probability(distances)
    return reliability(probabilities, same, prior=_EVEN)
