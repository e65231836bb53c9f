"""Intervals and p values against SciPy's, and their coverage on simulated data."""

import numpy as np
import pytest
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st
from search import examples

from jreid.evaluation.statistics import (
    ByIdentity,
    bootstrap_intervals,
    paired_tests,
)


def by_identity(queries, sums, names=None) -> ByIdentity:
    names = names or tuple(str(number) for number in range(len(queries)))
    return ByIdentity(
        names,
        tuple(np.asarray(queries, float).tolist()),
        {
            key: tuple(np.asarray(column, float).tolist())
            for key, column in sums.items()
        },
    )


def simulated(generator, identities, shift=0.0):
    """Queries and hits of identities that differ in how well they are found."""
    queries = generator.integers(5, 60, identities)
    rates = generator.beta(2, 3, identities)
    hits = generator.binomial(queries, np.clip(rates + shift, 0, 1))
    return queries, hits


def test_interval_agrees_with_scipy():
    queries, hits = simulated(np.random.default_rng(0), 60)
    (found,) = bootstrap_intervals([by_identity(queries, {"R-1": hits, "x": queries})])
    expected = scipy.stats.bootstrap(
        (hits, queries),
        lambda sums, counts, axis: sums.sum(axis=axis) / counts.sum(axis=axis),
        paired=True,
        vectorized=True,
        n_resamples=10_000,
        method="percentile",
        rng=1,
    ).confidence_interval
    assert found["R-1"] == pytest.approx((expected.low, expected.high), abs=0.004)
    assert found["x"] == pytest.approx((1.0, 1.0))


def test_interval_covers_the_true_value():
    """The rate of an endless supply of identities, 400 times."""
    generator = np.random.default_rng(2)
    scores = [by_identity(*_as_hits(simulated(generator, 96))) for _ in range(400)]
    found = [
        bootstrap_intervals([score], resamples=1000, seed=number)[0]["R-1"]
        for number, score in enumerate(scores)
    ]
    covered = np.mean([low <= 0.4 <= high for low, high in found])
    assert 0.915 <= covered <= 0.98  # a beta(2, 3) rate has the mean 0.4
    # Images as units would claim too much: the binomial interval covers far less.
    binomial = [_binomial_interval(score) for score in scores]
    assert np.mean([low <= 0.4 <= high for low, high in binomial]) < 0.7


def _as_hits(queries_and_hits):
    queries, hits = queries_and_hits
    return queries, {"R-1": hits}


def _binomial_interval(score):
    count, hits = sum(score.queries), sum(score.sums["R-1"])
    rate = hits / count
    half = 1.96 * np.sqrt(rate * (1 - rate) / count)
    return rate - half, rate + half


def test_p_value_agrees_with_scipy():
    generator = np.random.default_rng(3)
    queries = np.full(40, 20)
    first, second = generator.binomial(20, 0.5, 40), generator.binomial(20, 0.54, 40)
    pair = [by_identity(queries, {"R-1": sums}) for sums in (first, second)]
    (found,) = paired_tests([(pair[0], pair[1])])
    expected = scipy.stats.permutation_test(
        (second, first),
        lambda one, other, axis: (one - other).sum(axis=axis),
        permutation_type="samples",
        vectorized=True,
        n_resamples=20_000,
        rng=0,
    )
    difference = found["R-1"]
    assert difference.p_value == pytest.approx(expected.pvalue, abs=0.015)
    assert 0.005 < difference.p_value < 0.5
    assert difference.value == pytest.approx((second - first).sum() / 800)
    low, high = difference.interval
    assert low < difference.value < high
    (back,) = paired_tests([(pair[1], pair[0])])
    assert back["R-1"].value == -difference.value
    assert back["R-1"].p_value == pytest.approx(difference.p_value, abs=1e-9)


@pytest.mark.parametrize("scale", [1.0, 1e-3, 1e-9])
def test_p_value_of_few_identities_agrees_with_all_sign_flips(scale):
    differences = np.array([3.0, 1.0, 2.0, -1.0, 4.0])
    flips = np.array(np.meshgrid(*[(-1, 1)] * 5)).reshape(5, -1)
    exact = np.mean(np.abs(differences @ flips) >= differences.sum())
    queries = np.full(5, 9)
    half = by_identity(queries, {"m": queries / 2})
    other = by_identity(queries, {"m": queries / 2 + scale * differences})
    (found,) = paired_tests([(half, other)])
    assert found["m"].p_value == pytest.approx(exact, abs=0.015)


@pytest.mark.parametrize("size", [5e-324, 1.1750449244834456e-157, 1e-16, 1e-14])
@pytest.mark.parametrize("identities", [1, 2, 40])
def test_what_rounding_makes_is_no_difference(size, identities):
    """All of one sign: of real differences, 40 such would have p = 1e-4."""
    queries = np.full(identities, 3)
    sums = {"low": queries * 0, "high": queries * 1}
    more = {"low": queries * size, "high": queries * (1 - size)}
    pair = by_identity(queries, sums), by_identity(queries, more)
    (found,) = paired_tests([pair])
    assert {name: one.p_value for name, one in found.items()} == {"low": 1, "high": 1}


def test_another_order_of_a_sum_is_no_difference():
    precisions = np.random.default_rng(5).random((60, 30))
    queries = np.full(60, 30)
    forward = np.add.accumulate(precisions, axis=1)[:, -1]
    backward = np.add.accumulate(precisions[:, ::-1], axis=1)[:, -1]
    more, less = np.maximum(forward, backward), np.minimum(forward, backward)
    assert (more > less).sum() > 20
    pair = by_identity(queries, {"mAP": less}), by_identity(queries, {"mAP": more})
    (found,) = paired_tests([pair])
    assert found["mAP"].p_value == 1


def test_no_difference_is_found_where_there_is_none():
    """The test holds its level: p below 0.05 in about 5 % of pairs that are alike."""
    generator = np.random.default_rng(4)
    pairs = []
    queries = generator.integers(5, 40, 60)
    for _ in range(500):
        rates = generator.beta(2, 3, 60)
        sums = [generator.binomial(queries, rates) for _ in range(2)]
        pairs.append(tuple(by_identity(queries, {"m": column}) for column in sums))
    found = [one["m"].p_value for one in paired_tests(pairs, resamples=999)]
    assert 0.03 <= np.mean(np.array(found) <= 0.05) <= 0.075
    same = pairs[0][0]
    (alike,) = paired_tests([(same, same)])
    assert (alike["m"].value, alike["m"].p_value) == (0.0, 1.0)


# Fractions that differ by much more than rounding, or by no more than it.
FRACTIONS = st.integers(0, 1000).map(lambda n: n / 1000) | st.floats(0, 1e-16)


@examples(40)
@given(
    st.lists(
        st.tuples(st.integers(1, 30), FRACTIONS, FRACTIONS),
        min_size=1,
        max_size=12,
    ),
    st.integers(1, 5),
)
def test_batches_and_repetitions_change_nothing(rows, copies):
    queries, first, second = np.array(rows).T
    scores = [
        by_identity(queries, {"m": queries * rates, "n": queries * (1 - rates)})
        for rates in (first, second)
    ]
    alone = [bootstrap_intervals([score], resamples=200)[0] for score in scores]
    batched = bootstrap_intervals(scores * copies, resamples=200)
    for found, expected in zip(batched, alone * copies, strict=True):
        for name, (low, high) in expected.items():
            assert found[name] == pytest.approx((low, high), abs=1e-12)
            assert -1e-12 <= low <= high <= 1 + 1e-12
    (difference,) = paired_tests([(scores[0], scores[1])], resamples=200)
    total = queries @ (second - first) / queries.sum()
    assert difference["m"].value == pytest.approx(total, abs=1e-12)
    # Ranks and their complements differ by the same amount the other way round.
    assert difference["m"].p_value == difference["n"].p_value
    assert 1 / 201 <= difference["m"].p_value <= 1


def test_many_identities_do_not_need_memory_for_all_resamples():
    queries = np.ones(30_000)
    score = by_identity(queries, {"m": queries / 2})
    (found,) = bootstrap_intervals([score], resamples=50)
    assert found["m"] == pytest.approx((0.5, 0.5))


def test_scores_of_other_queries_are_refused():
    base = by_identity([3, 4], {"m": [1, 2]})
    for other, match in (
        (by_identity([3], {"m": [1]}), "2 identities, the second 1, 1 of them"),
        (by_identity([3, 5], {"m": [1, 2]}), r"different queries of 1 of 2 .*\['1'\]"),
        (by_identity([3, 4], {"m": [1, 2]}, ("1", "0")), "different queries of"),
        (by_identity([3, 4], {"n": [1, 2]}), "1 metrics, the second 1, 0 of them"),
    ):
        with pytest.raises(ValueError, match=match):
            paired_tests([(base, other)])
