"""How far probabilities are from the shares that they promise."""

from dataclasses import dataclass

import numpy as np

from jreid.shapes import Bool, Float

BINS = 15


@dataclass(frozen=True)
class Reliability:
    """Probabilities in bins of equal width; bins without a pair are left out.

    Attributes:
        probability: mean of each bin.
        share: of the bin's pairs that are of the same person.
        weight: share of all pairs that lie in the bin.
        pairs: how many those are.
    """

    probability: Float[np.ndarray, " bins"]
    share: Float[np.ndarray, " bins"]
    weight: Float[np.ndarray, " bins"]
    pairs: np.ndarray

    @property
    def error(self) -> float:
        """The expected calibration error."""
        return float(self.weight @ np.abs(self.probability - self.share))


def reliability(
    probabilities: Float[np.ndarray, " n"],
    same: Bool[np.ndarray, " n"],
    bins: int = BINS,
    prior: float | None = None,
) -> Reliability:
    """The reliability of probabilities of pairs (Niculescu-Mizil, Caruana, ICML 2005).

    Args:
        probabilities: of the same person.
        same: which pairs are of the same person.
        bins: of equal width in [0, 1].
        prior: pairs are weighed so that this share of them is of the same person, as
            the probabilities assume; None: every pair weighs the same.

    Raises ValueError where there is no pair of one of the kinds.
    """
    share = same.mean() if len(same) else 0.0
    if not 0 < share < 1:
        raise ValueError("pairs of the same person and of different ones are needed")
    weights = np.full(len(same), 1 / len(same))
    if prior is not None:
        kinds = np.where(same, prior / share, (1 - prior) / (1 - share))
        weights = weights * kinds
    places = np.minimum((probabilities * bins).astype(int), bins - 1)
    mass = np.bincount(places, weights, minlength=bins)
    full = mass > 0
    sums = (
        np.bincount(places, weights * values, minlength=bins)[full] / mass[full]
        for values in (probabilities, same)
    )
    pairs = np.bincount(places, minlength=bins)[full]
    return Reliability(*sums, mass[full], pairs)


def expected_calibration_error(
    probabilities: Float[np.ndarray, " n"],
    same: Bool[np.ndarray, " n"],
    bins: int = BINS,
    prior: float | None = None,
) -> float:
    """The mean gap between probability and share, over bins (Naeini et al., AAAI 2015).

    Arguments and errors: see `reliability`.
    """
    return reliability(probabilities, same, bins, prior).error
