"""Which CMC curves tell something: those that can be told apart."""

from collections.abc import Sequence

import numpy as np

from jreid.evaluation.score import Score

APART = 0.02  # of the queries, at any rank


def telling_curves(scores: Sequence[Score]) -> tuple[list[Score], list[Score]]:
    """Of one setting's scores, those to draw, and those that lie on one of them.

    The first feature is drawn; any other one only where it is `APART` from every curve
    drawn so far that is re-ranked as it is.
    """
    drawn: list[Score] = []
    alike: list[Score] = []
    for score in scores:
        near = (
            np.abs(np.subtract(score.cmc, other.cmc)).max(initial=0) < APART
            for other in drawn
            if other.reranked == score.reranked
        )
        (alike if any(near) else drawn).append(score)
    return drawn, alike
