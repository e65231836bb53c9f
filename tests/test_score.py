"""What a score keeps of each identity, and means over splits."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from naive_scores import features_of, scores_by, small_columns
from search import examples

from jreid.evaluation.mean_of_scores import mean_over_seeds, mean_over_splits
from jreid.evaluation.score import METRICS
from jreid.evaluation.statistics import sums_of


def regdb_split(number, identities=12, images=3, noise=1.5):
    ids = np.repeat(np.arange(identities), 2 * images)
    modality = np.tile([0, 1], len(ids) // 2)
    features = features_of({"ids": ids}, seed=number, noise=noise)
    columns = {"ids": ids, "modality": modality}
    return scores_by("regdb", {"fused": features}, columns, split=number)


def assert_consistent(score):
    """The sums over identities are the mean, and the interval holds it."""
    kept = score.by_identity
    total = sums_of(kept, METRICS).sum(axis=0) / sum(kept.queries)
    np.testing.assert_allclose(total, list(score.mean.values()), atol=1e-12)
    for name, (low, high) in score.interval.items():
        assert -1e-12 <= low <= score.mean[name] + 1e-12
        assert score.mean[name] - 1e-12 <= high <= 1 + 1e-12
    assert tuple(score.interval) == tuple(score.mean) == METRICS
    assert len(kept.identities) == len(kept.queries) == len(set(kept.identities))


@pytest.mark.slow
@examples(15)
@given(
    seed=st.integers(0, 99),
    identities=st.integers(2, 9),
    images=st.integers(1, 4),
    trials=st.integers(1, 3),
)
def test_sums_over_identities_are_the_mean(seed, identities, images, trials):
    columns = small_columns(identities, images)
    features = {"fused": features_of(columns, seed, noise=1.5)}
    scores = scores_by("sysu", features, columns, trials=trials, reranking=False)
    for score in scores:
        assert_consistent(score)
        kept = score.by_identity
        assert kept.identities == tuple(map(str, range(1, identities + 1)))
        assert sum(kept.queries) == score.counted
        of_cameras = 2 * images  # cameras 3 and 6
        assert kept.queries == (of_cameras,) * identities
    alike = [score.by_identity.queries for score in scores]
    assert len(set(alike)) == 1


def test_identities_without_a_match_are_left_out():
    columns = small_columns()
    seen = (columns["ids"] != 3) | ~np.isin(columns["cameras"], (1, 2))
    columns = {name: column[seen] for name, column in columns.items()}
    features = {"fused": features_of(columns)}
    outdoors, indoors = scores_by(
        "sysu", features, columns, shots=(1,), trials=2, reranking=False
    )
    assert outdoors.by_identity.identities == tuple("12345678")
    assert indoors.by_identity.identities == tuple("1245678")


def test_mean_over_splits():
    splits = [regdb_split(number) for number in (1, 2, 7)]
    for found, *of_splits in zip(mean_over_splits(splits), *splits, strict=True):
        values = np.array([list(score.mean.values()) for score in of_splits])
        got = list(found.mean.values())
        np.testing.assert_allclose(got, values.mean(axis=0), atol=1e-12)
        np.testing.assert_allclose(
            list(found.std.values()), values.std(axis=0), atol=1e-12
        )
        np.testing.assert_allclose(
            found.cmc, np.mean([score.cmc for score in of_splits], axis=0)
        )
        assert found.splits == (1, 2, 7)
        assert (found.trials, found.counted, found.gallery) == (1, 36, 36)
        assert found.by_identity.identities[:2] == ("1/0", "1/1")
        assert found.by_identity.identities[-1] == "7/11"
        assert_consistent(found)
        # Three times the identities: a narrower interval than that of one split.
        width, narrow = (
            high - low
            for low, high in (of_splits[0].interval["mAP"], found.interval["mAP"])
        )
        assert narrow < width


def test_splits_of_unequal_size_weigh_the_same():
    splits = [regdb_split(1, identities=4), regdb_split(2, identities=20)]
    for found, *of_splits in zip(mean_over_splits(splits), *splits, strict=True):
        expected = np.mean([score.mean["mAP"] for score in of_splits])
        assert found.mean["mAP"] == pytest.approx(expected)
        assert_consistent(found)
        assert found.counted == 36  # of 12 and 60
    unknown = [
        [dataclasses.replace(score, splits=()) for score in scores] for scores in splits
    ]
    assert mean_over_splits(unknown)[0].splits == (1, 2)


def test_one_split_is_its_own_mean():
    split = regdb_split(4)
    for found, score in zip(mean_over_splits([split]), split, strict=True):
        assert found.mean == pytest.approx(score.mean)
        assert set(found.std.values()) == {0.0}
        assert found.interval["mAP"] == pytest.approx(score.interval["mAP"])


def test_splits_that_do_not_belong_together():
    first, second = regdb_split(1), regdb_split(2)
    with pytest.raises(ValueError, match="no splits were given"):
        mean_over_splits([])
    with pytest.raises(ValueError, match=r"splits \[1, 1\] are given: .* second run"):
        mean_over_splits([first, first])
    with pytest.raises(ValueError, match="number 2 has nothing where .* RegDB"):
        mean_over_splits([first, second[:-1]])
    other = [dataclasses.replace(score, draw="other") for score in second]
    with pytest.raises(ValueError, match="'other', .* score all with the same"):
        mean_over_splits([first, other])


def seed_run(seed, identities=12):
    """A model's scores on the same images as those of every other seed."""
    columns = small_columns(identities)
    features = {"fused": features_of(columns, seed, noise=2.0)}
    return scores_by("sysu", features, columns, trials=2)


def test_mean_over_seeds():
    seeds = (3, 0, 4)
    runs = [seed_run(seed) for seed in seeds]
    for found, *of_seeds in zip(mean_over_seeds(runs, seeds), *runs, strict=True):
        values = np.array([list(score.mean.values()) for score in of_seeds])
        np.testing.assert_allclose(list(found.mean.values()), values.mean(axis=0))
        np.testing.assert_allclose(list(found.std.values()), values.std(axis=0))
        assert (found.seeds, found.splits, found.trials) == (seeds, (), 2)
        assert found.counted == of_seeds[0].counted
        # The same people in every run: they count once.
        assert found.by_identity.identities == of_seeds[0].by_identity.identities
        assert_consistent(found)


def test_seeds_that_do_not_belong_together():
    first, second = seed_run(0), seed_run(1)
    with pytest.raises(ValueError, match=r"seeds \[1, 1\] are given: .* second run"):
        mean_over_seeds([first, second], (1, 1))
    with pytest.raises(ValueError, match="the seeds have different rows"):
        mean_over_seeds([first, second[:-1]], (0, 1))
    with pytest.raises(ValueError, match="scored on different test images"):
        mean_over_seeds([first, seed_run(1, identities=11)], (0, 1))
