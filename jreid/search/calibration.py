"""P(same person) from the distance of two vectors, and thresholds of distances."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np

from jreid.search.extra import scikit_learn
from jreid.search.reliability import expected_calibration_error
from jreid.shapes import Bool, Float

__all__ = ["KINDS", "Calibration", "Kind", "expected_calibration_error"]

Kind = Literal["logistic", "isotonic"]
KINDS = ("logistic", "isotonic")

FEWEST = 10  # pairs of the same person, and of different ones, to fit to
_KEPT = 100  # lowest distances of different persons that are all kept, then fewer
_NOT_LOWER = (
    "distances of the same person are not lower than those of different ones: the "
    "network tells nobody from anybody, or the labels are wrong"
)


@dataclass(frozen=True)
class Calibration:
    """A curve from squared Euclidean distance to P(same person).

    Pairs are extremely unbalanced: of n people hardly one pair in n is of the same
    person. So the curve is fitted with both kinds weighing the same, which gives how
    much likelier a distance is of the same person than of different ones, and `prior`
    turns that into a probability by Bayes' rule: the share of pairs that are of the
    same person before their distance is looked at.
    """

    kind: Kind
    distances: tuple[float, ...]
    """Of the curve's knots, ascending; it is straight between them, and flat outside
    if isotonic."""
    log_odds: tuple[float, ...]
    """At the knots, where both kinds of pairs are as frequent; descending."""
    prior: float
    same_pairs: int
    different_pairs: int
    lowest: tuple[tuple[float, int], ...]
    """Some of the lowest distances of different persons, and how many pairs have at
    most that; ascending."""

    @classmethod
    def fit(
        cls,
        distances: Float[np.ndarray, " n"],
        same: Bool[np.ndarray, " n"],
        kind: Kind = "logistic",
        prior: float | None = None,
    ) -> "Calibration":
        """Fits a curve to pairs of images (scikit-learn).

        Args:
            distances: squared Euclidean, of unit vectors.
            same: which pairs are of the same person.
            kind: "logistic" has two parameters, and is right where the log-odds fall
                evenly; "isotonic" falls as the pairs do (Zadrozny and Elkan, KDD 2002),
                and needs many.
            prior: see the class; None: the share of these pairs.

        Raises:
            ValueError: too few pairs, a prior that is none, distances that are not
                finite, or that are not lower of the same person.
        """
        _check(distances, same, kind)
        fit = _logistic if kind == "logistic" else _isotonic
        knots, log_odds = fit(distances.astype(np.float64), same)
        if log_odds[-1] >= log_odds[0]:  # as where some pairs of one person lie far off
            raise ValueError(_NOT_LOWER)
        others = np.sort(distances[~same].astype(np.float64))
        made = cls(
            kind=kind,
            distances=tuple(knots.tolist()),
            log_odds=tuple(log_odds.tolist()),
            prior=float(same.mean()),
            same_pairs=int(same.sum()),
            different_pairs=len(others),
            lowest=_lowest(others),
        )
        return made if prior is None else made.with_prior(prior)

    def with_prior(self, prior: float) -> "Calibration":
        """The same curve under another prior."""
        if not 0 < prior < 1:
            raise ValueError(
                f"the prior is {prior}; it must lie between 0 and 1, as 0.01 where one "
                "image in a hundred of a gallery shows the person"
            )
        return replace(self, prior=float(prior))

    def probability(
        self, distances: Float[np.ndarray, " n"] | float
    ) -> Float[np.ndarray, " n"]:
        """P(same person) of each distance, under the prior."""
        given = np.atleast_1d(np.asarray(distances, np.float64))
        knots, log_odds = np.array(self.distances), np.array(self.log_odds)
        odds = np.interp(given, knots, log_odds)
        if self.kind == "logistic":
            slope = (log_odds[-1] - log_odds[0]) / (knots[-1] - knots[0])
            odds = log_odds[0] + slope * (given - knots[0])
        odds = odds + math.log(self.prior / (1 - self.prior))
        return 0.5 * (1 + np.tanh(0.5 * odds))  # the logistic function, no overflow

    def even(self) -> float:
        """The distance at which P is one half, or the nearest of the curve's ends."""
        knots, log_odds = np.array(self.distances), np.array(self.log_odds)
        wanted = -math.log(self.prior / (1 - self.prior))
        if self.kind == "logistic":
            slope = (log_odds[-1] - log_odds[0]) / (knots[-1] - knots[0])
            return float(knots[0] + (wanted - log_odds[0]) / slope)
        return float(np.interp(-wanted, -log_odds, knots))

    def threshold(self, false_match_rate: float) -> float:
        """The largest known distance to which so many different persons match at most.

        A pair matches at this distance or below. The rate is measured on the pairs of
        the fit, of a few persons: another crowd may look more alike.

        Raises ValueError for a rate below that of one pair, which they cannot show.
        """
        if not 0 < false_match_rate < 1:
            raise ValueError(
                f"the false-match rate is {false_match_rate}; it must lie between 0 "
                "and 1, as 0.01"
            )
        # Of a share that is a whole number of pairs but for the rounding of floats.
        allowed = math.floor(false_match_rate * self.different_pairs * (1 + 1e-12))
        below = [distance for distance, count in self.lowest if count <= allowed]
        if not below:
            least = self.lowest[0][1] / self.different_pairs
            raise ValueError(
                f"a false-match rate of {false_match_rate:g} cannot be told from "
                f"{self.different_pairs} pairs of different persons: give at least "
                f"{math.ceil(least * 1e6) / 1e6:g}, or calibrate with more people"
            )
        return below[-1]

    def to_json(self) -> dict[str, Any]:
        """Values that JSON can hold."""
        return {name: getattr(self, name) for name in self.__dataclass_fields__}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> "Calibration":
        """Of what `to_json` gave. Raises KeyError, TypeError or ValueError."""
        made = cls(
            kind=values["kind"],
            distances=tuple(map(float, values["distances"])),
            log_odds=tuple(map(float, values["log_odds"])),
            prior=float(values["prior"]),
            same_pairs=int(values["same_pairs"]),
            different_pairs=int(values["different_pairs"]),
            lowest=tuple((float(d), int(count)) for d, count in values["lowest"]),
        )
        knots, log_odds = made.distances, made.log_odds
        if made.kind not in KINDS or len(knots) != len(log_odds) or len(knots) < 2:
            raise ValueError("no curve")
        if log_odds[-1] >= log_odds[0]:
            raise ValueError("its curve does not fall with the distance")
        return made.with_prior(made.prior)


def _check(distances: np.ndarray, same: np.ndarray, kind: str) -> None:
    if kind not in KINDS:
        raise ValueError(f"the kind is {kind!r}; allowed are {', '.join(KINDS)}")
    counts = int(same.sum()), int((~same).sum())
    if min(counts) < FEWEST:
        raise ValueError(
            f"{counts[0]} pairs of the same person and {counts[1]} of different ones "
            f"are too few: a curve needs {FEWEST} of each"
        )
    if not np.isfinite(distances).all():
        raise ValueError("distances hold NaN or infinity: look at the embeddings")
    if np.median(distances[same]) >= np.median(distances[~same]):
        raise ValueError(_NOT_LOWER)


def _balanced(same: Bool[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
    """Weights under which both kinds weigh as much; n in all."""
    share = same.mean()
    return np.where(same, 0.5 / share, 0.5 / (1 - share))


def _logistic(distances: np.ndarray, same: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Two knots of a straight line, one standard deviation apart."""
    middle, spread = distances.mean(), distances.std()
    # Its penalty keeps the slope finite where the two kinds do not overlap.
    model = scikit_learn("linear_model").LogisticRegression()
    model.fit(((distances - middle) / spread)[:, None], same, _balanced(same))
    slope, height = float(model.coef_[0, 0]), float(model.intercept_[0])
    return np.array([middle, middle + spread]), np.array([height, height + slope])


def _isotonic(distances: np.ndarray, same: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The knots of falling steps, never surer than the number of pairs allows."""
    model = scikit_learn("isotonic").IsotonicRegression(
        increasing=False,
        y_min=1 / ((~same).sum() + 2),
        y_max=1 - 1 / (same.sum() + 2),
    )
    model.fit(distances, same, sample_weight=_balanced(same))
    share = model.y_thresholds_
    return model.X_thresholds_, np.log(share / (1 - share))


def _lowest(ascending: Float[np.ndarray, " n"]) -> tuple[tuple[float, int], ...]:
    """All of the lowest `_KEPT`, then 100 for each factor of ten."""
    count = len(ascending)
    wide = np.geomspace(1, count, 1 + int(_KEPT * (1 + math.log10(count))))
    ranks = np.unique([*range(1, min(_KEPT, count) + 1), *wide.astype(int)])
    kept = np.unique(ascending[ranks - 1])
    counts = np.searchsorted(ascending, kept, side="right")
    return tuple(zip(kept.tolist(), counts.tolist(), strict=True))
