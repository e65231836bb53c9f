"""Verification: two images, one question, the same person? ROC, and FNMR at an FMR."""

from dataclasses import dataclass

import numpy as np

from jreid.shapes import Float

SURE = 30  # errors that a rate needs to be known within about 30 % (the rule of 30)


@dataclass(frozen=True)
class ErrorRates:
    """What a threshold on the distance costs, from the strictest to the most lenient.

    Attributes:
        threshold: squared distances; a pair matches if it is nearer than that.
        fmr: false match rate, the share of pairs of two people that match.
        fnmr: false non-match rate, the share of pairs of one person that do not.
    """

    threshold: Float[np.ndarray, " n"]
    fmr: Float[np.ndarray, " n"]
    fnmr: Float[np.ndarray, " n"]


@dataclass(frozen=True)
class OperatingPoint:
    """The false non-match rate where at most `fmr` of the pairs of two people match.

    `threshold` and `fnmr` are None where there are fewer than 1 / fmr such pairs: then
    no threshold can be told that keeps the rate. `sure` is whether at least `SURE`
    false matches stand behind it.
    """

    fmr: float
    threshold: float | None
    fnmr: float | None
    sure: bool


def error_rates(
    same: Float[np.ndarray, " s"],
    different: Float[np.ndarray, " d"],
    *,
    points: int = 400,
) -> ErrorRates:
    """Both rates at thresholds whose FMR are evenly spread on a logarithmic axis.

    Args:
        same: distances of pairs of one person.
        different: distances of pairs of two people.
        points: at most so many thresholds.

    Raises:
        ValueError: there are none of one kind.
    """
    same, different = _sorted(same, different)
    count = len(different)
    allowed = np.unique(np.geomspace(1, count, min(points, count)).round().astype(int))
    thresholds = np.append(different, np.inf)[np.concatenate([[0], allowed])]
    return ErrorRates(
        thresholds,
        np.searchsorted(different, thresholds) / count,
        1 - np.searchsorted(same, thresholds) / len(same),
    )


def operating_point(
    same: Float[np.ndarray, " s"], different: Float[np.ndarray, " d"], fmr: float
) -> OperatingPoint:
    """FNMR at the most lenient threshold of which the FMR is not above `fmr`.

    Raises:
        ValueError: there are no pairs of one kind, or `fmr` is not between 0 and 1.
    """
    if not 0 < fmr < 1:
        raise ValueError(f"fmr is {fmr}; allowed is a rate between 0 and 1")
    same, different = _sorted(same, different)
    # 1e-9: 0.001 of 3000 pairs is 3, not 2.9999999
    allowed = min(int(fmr * len(different) + 1e-9), len(different) - 1)
    if not allowed:
        return OperatingPoint(fmr, None, None, False)
    threshold = float(different[allowed])
    missed = 1 - np.searchsorted(same, threshold) / len(same)
    return OperatingPoint(fmr, threshold, float(missed), allowed >= SURE)


def _sorted(same, different):
    if not len(same) or not len(different):
        raise ValueError(
            f"{len(same)} pairs of one person and {len(different)} of two: at least "
            "one of each is needed"
        )
    return np.sort(same), np.sort(different)
