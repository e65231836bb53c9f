"""How well each query of a trial is answered."""

from dataclasses import dataclass

import numpy as np

from jreid.evaluation.distances import query_blocks
from jreid.evaluation.measures import Measure, sides
from jreid.evaluation.protocols.trial import Trial
from jreid.evaluation.ranking import join_parts, rank_part
from jreid.shapes import Float, Int


@dataclass(frozen=True)
class QueryQuality:
    """Of the n queries with a match, in the trial's order.

    Attributes:
        query: image rows.
        first_hit: 1-based rank of the first image of the person.
        average_precision: in [0, 1].
    """

    query: Int[np.ndarray, " n"]
    first_hit: Int[np.ndarray, " n"]
    average_precision: Float[np.ndarray, " n"]

    def telling(
        self, ids: Int[np.ndarray, " images"], each: int
    ) -> dict[str, Int[np.ndarray, " k"]]:
        """Places of the best, typical and worst queries by precision.

        Of a kind, up to `each` of different identities; typical are those nearest to
        the median. No query is in two kinds.
        """
        precision = self.average_precision
        orders = {
            "best": np.argsort(-precision, kind="stable"),
            "typical": np.argsort(
                np.abs(precision - np.median(precision)), kind="stable"
            ),
            "worst": np.argsort(precision, kind="stable"),
        }
        chosen: dict[str, Int[np.ndarray, " k"]] = {}
        taken: set[int] = set()
        for kind, order in orders.items():
            people: dict[int, int] = {}
            for place in order.tolist():
                person = int(ids[self.query[place]])
                if len(people) < each and person not in people and place not in taken:
                    people[person] = place
            taken |= set(people.values())
            chosen[kind] = np.array(list(people.values()), np.int64)
        return chosen


def quality_of_queries(
    features: Float[np.ndarray, "n d"],
    trial: Trial,
    *,
    ids: Int[np.ndarray, " n"],
    measure: Measure = "cosine",
) -> QueryQuality:
    """Ranks the gallery for every query of the trial.

    Raises:
        ValueError: no query has a match.
    """
    query, gallery = sides(features, measure)
    gallery_ids = ids[trial.gallery]
    ranking = join_parts(
        [
            rank_part(
                distances,
                ids[trial.query[block]],
                gallery_ids,
                excluded=trial.excluded_of(block),
            )
            for block, distances in query_blocks(
                query[trial.query], gallery[trial.gallery]
            )
        ],
        len(gallery_ids),
    )
    rows = trial.query[ranking.query]
    return QueryQuality(rows, ranking.first_hit, ranking.average_precision)
