"""How sure a score is: bootstrap intervals and paired tests over identities.

Queries of one person stand or fall together, so identities are the units, each with all
its queries: treating images as independent would claim too much. What an interval or a
p value covers is the choice of the test identities, not of the training run; another
seed may differ by more. With few identities (under about 20) both are rough.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from jreid.shapes import Float

RESAMPLES = 10_000
_TAILS = (0.025, 0.975)
_ROUNDING = 1e-12  # of a mean fraction: far above float64's, far below one query's part
_DRAWS_AT_ONCE = 2**20  # entries of one block of resamples: 8 MiB


@dataclass(frozen=True)
class ByIdentity:
    """What each query identity adds to a score.

    The total of a metric's sums over the total of the queries is the score's mean.

    Attributes:
        identities: ascending; "17", or "3/17" for identity 17 of split 3. Only those
            with a counted query.
        queries: number of counted queries of each identity. In a mean over splits of
            unequal size, scaled so that every split weighs the same.
        sums: for each metric, its sum over these queries, mean over the trials.
        people: who each identity is, under one name in all splits; () if not known.
            Tests and intervals draw people, with all that is theirs.
    """

    identities: tuple[str, ...]
    queries: tuple[float, ...]
    sums: Mapping[str, tuple[float, ...]]
    people: tuple[str, ...] = ()


@dataclass(frozen=True)
class Difference:
    """How much larger a metric is in the second run, as a fraction."""

    value: float
    interval: tuple[float, float]  # bootstrap 95 %
    p_value: float  # two-sided

    @property
    def p_text(self) -> str:
        """The p value as tables show it, to three digits."""
        return "<0.001" if self.p_value < 0.001 else f"{self.p_value:.3f}"


def bootstrap_intervals(
    scores: Sequence[ByIdentity], *, resamples: int = RESAMPLES, seed: int = 0
) -> list[dict[str, tuple[float, float]]]:
    """95 % percentile bootstrap intervals of each metric's mean over the queries.

    Identities are drawn with replacement; the ends are the 2.5 % and 97.5 % quantiles
    of (sum of sums) / (sum of queries) over the resamples (Efron, Annals of Statistics
    1979; Efron and Tibshirani, An Introduction to the Bootstrap, 1993, chapter 13).
    The same seed draws the same identities for every score of equally many.
    """
    scores = [by_person(score) for score in scores]
    found: list[dict[str, tuple[float, float]]] = [{} for _ in scores]
    for queries, numbers in _alike(scores):
        columns = np.hstack(
            [sums_of(scores[number], scores[number].sums) for number in numbers]
        )
        ends = iter(_ratio_quantiles(queries, columns, resamples, seed).tolist())
        for number in numbers:
            for name in scores[number].sums:
                low, high = next(ends)
                found[number][name] = (low, high)
    return found


def paired_tests(
    pairs: Sequence[tuple[ByIdentity, ByIdentity]],
    *,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> list[dict[str, Difference]]:
    """For each pair of scores of the same queries, the second minus the first.

    The interval is the bootstrap's, over identities, of the difference. The p value is
    that of a randomisation test: if the two runs were exchangeable, the difference of
    an identity's sums would be as likely with the other sign, so the total is compared
    with totals after random flips of sign (Fisher; Good, Permutation Tests, 2000). The
    observed signs count as one flip, hence a p value is at least 1 / (resamples + 1)
    and the test keeps its level (Phipson and Smyth, Statistical Applications in
    Genetics and Molecular Biology 2010). Identities are assumed independent, and
    nothing else: people, where both scores know them. Means that differ by less than
    1e-12, as the order of a sum may make them, do not differ: p is 1.

    Raises:
        ValueError: the scores of a pair are of different queries or metrics.
    """
    for first, second in pairs:
        _check_same_queries(first, second)
    pairs = [
        (by_person(first), by_person(second))
        if first.people == second.people
        else (first, second)
        for first, second in pairs
    ]
    found: list[dict[str, Difference]] = [{} for _ in pairs]
    for queries, numbers in _alike([first for first, _ in pairs]):
        columns = np.hstack(
            [
                sums_of(second, first.sums) - sums_of(first, first.sums)
                for first, second in (pairs[number] for number in numbers)
            ]
        )
        rows = zip(
            (columns.sum(axis=0) / queries.sum()).tolist(),
            _ratio_quantiles(queries, columns, resamples, seed).tolist(),
            _sign_flip_p_values(queries, columns, resamples, seed).tolist(),
            strict=True,
        )
        for number in numbers:
            for name in pairs[number][0].sums:
                value, (low, high), p_value = next(rows)
                found[number][name] = Difference(value, (low, high), p_value)
    return found


def by_person(score: ByIdentity) -> ByIdentity:
    """The same with one entry for each person, in the order of their first identity."""
    if not score.people:
        return score
    names = {name: place for place, name in enumerate(dict.fromkeys(score.people))}
    places = [names[name] for name in score.people]

    def totals(column: Sequence[float]) -> tuple[float, ...]:
        return tuple(np.bincount(places, column, minlength=len(names)).tolist())

    sums = {metric: totals(column) for metric, column in score.sums.items()}
    return ByIdentity(tuple(names), totals(score.queries), sums)


def sums_of(
    by_identity: ByIdentity, metrics: Iterable[str]
) -> Float[np.ndarray, "n m"]:
    """A column for each of `metrics`."""
    return np.column_stack([by_identity.sums[name] for name in metrics])


def _check_same_queries(first: ByIdentity, second: ByIdentity) -> None:
    for name, one, other in (
        ("identities", set(first.identities), set(second.identities)),
        ("metrics", set(first.sums), set(second.sums)),
    ):
        if one != other:
            raise ValueError(
                f"the first score has {len(one)} {name}, the second {len(other)},"
                f" {len(one & other)} of them in common: a paired test needs the same"
                " test images in both"
            )
    different = [
        identity
        for identity, *counts in zip(
            first.identities, first.queries, second.queries, strict=True
        )
        if counts[0] != counts[1]
    ]
    if first.identities != second.identities or different:
        raise ValueError(
            f"the scores count different queries of {len(different)} of"
            f" {len(first.identities)} identities, such as {different[:3]}: a paired"
            " test needs the same test images in both"
        )


def _alike(
    scores: Sequence[ByIdentity],
) -> Iterator[tuple[Float[np.ndarray, " n"], list[int]]]:
    """Scores of the same queries, as (queries, places): they share the resamples."""
    groups: dict[tuple[float, ...], list[int]] = {}
    for number, score in enumerate(scores):
        groups.setdefault(tuple(score.queries), []).append(number)
    for queries, numbers in groups.items():
        yield np.array(queries, np.float64), numbers


def _ratio_quantiles(
    queries: Float[np.ndarray, " n"],
    sums: Float[np.ndarray, "n m"],
    resamples: int,
    seed: int,
) -> Float[np.ndarray, "m 2"]:
    """The tails of each sum / queries when identities are drawn with replacement."""
    generator = np.random.default_rng(seed)
    identities = len(queries)
    ratios = []
    for rows in _blocks(resamples, identities):
        drawn = generator.integers(0, identities, (rows, identities))
        drawn += identities * np.arange(rows)[:, None]
        times = np.bincount(drawn.ravel(), minlength=drawn.size)
        times = times.reshape(drawn.shape).astype(np.float64)
        ratios.append((times @ sums) / (times @ queries)[:, None])
    return np.quantile(np.concatenate(ratios), _TAILS, axis=0).T


def _sign_flip_p_values(
    queries: Float[np.ndarray, " n"],
    differences: Float[np.ndarray, "n m"],
    resamples: int,
    seed: int,
) -> Float[np.ndarray, " m"]:
    # Sums of fractions are rounded on the scale of the queries, and so are differences
    # of such sums, however small: totals that are closer than this count as equal.
    threshold = np.abs(differences.sum(axis=0)) - _ROUNDING * queries.sum()
    generator = np.random.default_rng(seed)
    reached = np.ones(differences.shape[1])
    for rows in _blocks(resamples, len(differences)):
        signs = 2.0 * generator.integers(0, 2, (rows, len(differences))) - 1
        reached += (np.abs(signs @ differences) >= threshold).sum(axis=0)
    return reached / (resamples + 1)


def _blocks(resamples: int, identities: int) -> Iterator[int]:
    """Sizes of blocks of resamples that fit into memory whatever the identities."""
    rows = max(1, _DRAWS_AT_ONCE // identities)
    for start in range(0, resamples, rows):
        yield min(rows, resamples - start)
