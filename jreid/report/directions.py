"""The two directions in which a run's images are ranked for its report."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from jreid.evaluation.protocols.protocol import DIRECTIONS
from jreid.evaluation.protocols.trial import Trial, cross_modality_trial
from jreid.evaluation.query_quality import QueryQuality, quality_of_queries
from jreid.evaluation.rank_lists import RankList, rank_lists_of
from jreid.report.run_folder import ReportedRun


class Direction(NamedTuple):
    """A trial, how its queries are answered, and whether the protocol has it."""

    name: str
    trial: Trial
    quality: QueryQuality
    of_protocol: bool


def directions(run: ReportedRun) -> list[Direction]:
    """The protocol's first trial of each direction; all images where it has none.

    A direction without any match is left out.
    """
    columns = run.table
    if columns is None or columns.modality is None:
        return []
    modality = columns.modality
    try:
        trials = run.protocol.example_trials(columns, run.options)
    except ValueError:  # the images are not of this protocol
        trials = []
    of_query = {int(modality[trial.query[0]]): trial for trial in trials}
    found = []
    for name, query in DIRECTIONS.items():
        try:
            trial = of_query.get(query) or cross_modality_trial(modality, query)
            quality = quality_of_queries(
                run.headline, trial, ids=columns.ids, measure=columns.measure
            )
        except ValueError:  # one modality alone, or nobody in both
            continue
        found.append(Direction(name, trial, quality, query in of_query))
    return found


def lists_of(
    run: ReportedRun, direction: Direction, rows: Sequence[int], count: int
) -> list[RankList]:
    """The rank lists of some queries, given by their image rows."""
    assert run.table is not None
    places = {row: place for place, row in enumerate(direction.trial.query.tolist())}
    return rank_lists_of(
        run.headline,
        direction.trial,
        np.array([places[row] for row in rows], np.int64),
        measure=run.table.measure,
        count=count,
    )
