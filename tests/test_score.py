"""What a score keeps of each identity, and means over splits."""

import dataclasses
import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from naive_scores import features_of, scores_by, small_columns
from search import examples

from jreid.evaluation.files.results_file import results_json
from jreid.evaluation.mean_of_scores import mean_over_seeds, mean_over_splits
from jreid.evaluation.score import METRICS
from jreid.evaluation.statistics import by_person, paired_tests, sums_of
from jreid.evaluation.table import format_table


def regdb_split(number, identities=12, images=3, noise=1.5, *, people=False):
    ids = np.repeat(np.arange(identities), 2 * images)
    modality = np.tile([0, 1], len(ids) // 2)
    features = features_of({"ids": ids}, seed=number, noise=noise)
    columns = {"ids": ids, "modality": modality}
    if people:
        numbered = zip(ids, modality, strict=True)
        paths = [f"{m}/p{i}/{n}.bmp" for n, (i, m) in enumerate(numbered)]
        columns["paths"] = np.array(paths)
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


def test_a_person_of_several_splits_counts_once():
    """Ten splits of the same people tell no more of the choice of people than one."""
    one = regdb_split(1, people=True)
    again = [
        [dataclasses.replace(score, splits=(split,)) for score in one]
        for split in range(1, 11)
    ]
    for found, score in zip(mean_over_splits(again), one, strict=True):
        people = by_person(found.by_identity).identities
        assert people == tuple(f"p{i}" for i in range(12))
        for name, interval in score.interval.items():
            assert found.interval[name] == pytest.approx(interval)
        assert_consistent(found)
    unknown = [
        [
            dataclasses.replace(
                score, by_identity=dataclasses.replace(score.by_identity, people=())
            )
            for score in scores
        ]
        for scores in again
    ]
    narrow, score = mean_over_splits(unknown)[0], one[0]
    low, high = np.subtract(narrow.interval["mAP"], score.interval["mAP"])
    assert low > 0 > high and len(narrow.by_identity.identities) == 120
    assert "120 pairs of split and identity" in format_table([narrow])
    assert "counts as several" in format_table([narrow])
    assert "over 12 identities" in format_table(mean_over_splits(again))


def test_a_test_of_means_draws_people_only_where_both_know_them():
    """A mean of features without paths is tested by pairs of split and identity."""
    known, other = (
        mean_over_splits([regdb_split(n, people=True, noise=x) for n in (1, 2)])[0]
        for x in (1.5, 1.9)
    )
    alone = dataclasses.replace(other.by_identity, people=())
    people, pairs, expected = (
        paired_tests([pair])[0]["mAP"]
        for pair in (
            (known.by_identity, other.by_identity),
            (known.by_identity, alone),
            (dataclasses.replace(known.by_identity, people=()), alone),
        )
    )
    assert pairs == expected != people
    assert pairs.value == pytest.approx(people.value)
    low, high = people.interval
    assert high - low > pairs.interval[1] - pairs.interval[0]


def test_people_of_two_splits_are_summed_by_name():
    splits = [regdb_split(1, people=True), regdb_split(2, identities=8, people=True)]
    for found, *of_splits in zip(mean_over_splits(splits), *splits, strict=True):
        queries, total = dict.fromkeys(range(12), 0.0), dict.fromkeys(range(12), 0.0)
        for score in of_splits:
            kept, share = score.by_identity, 30 / sum(score.by_identity.queries)
            for row, person in enumerate(kept.people):
                queries[int(person[1:])] += share * kept.queries[row]
                total[int(person[1:])] += share * kept.sums["mAP"][row]
        kept = by_person(found.by_identity)
        np.testing.assert_allclose(kept.queries, [*queries.values()])
        np.testing.assert_allclose(kept.sums["mAP"], [*total.values()])
        assert_consistent(found)


@pytest.mark.parametrize(
    ("paths", "people"),
    [
        (["V/p4/1.bmp", "T/p4/1.bmp", "V/p7/1.bmp", "T/p7/1.bmp"], ("p4", "p7")),
        (["V\\p4\\1", "T\\p4\\1", "V\\p7\\1", "T\\p7\\1"], ("p4", "p7")),
        (["V/1.bmp", "T/1.bmp", "V/2.bmp", "T/2.bmp"], ()),  # by modality
        (["V/p/1.bmp", "T/p/1.bmp", "V/p/2.bmp", "T/p/2.bmp"], ()),
        (["1.bmp", "2.bmp", "3.bmp", "4.bmp"], ()),
    ],
)
def test_paths_tell_people_where_each_has_a_folder(paths, people):
    columns = {
        "ids": np.array([0, 0, 1, 1]),
        "modality": np.array([0, 1, 0, 1]),
        "paths": np.array(paths),
    }
    features = {"fused": np.eye(4, dtype=np.float32)}
    for score in scores_by("regdb", features, columns, reranking=False):
        assert score.by_identity.people == people
        text = results_json([score], {"name": "x"})
        assert json.loads(text)["scores"][0]["by_identity"]["people"] == list(people)


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


def test_a_mean_has_the_mean_share_of_ties():
    splits = [
        [dataclasses.replace(score, tied=tied) for score in regdb_split(number)]
        for number, tied in ((1, 0.25), (2, 0.75), (3, 0.5))
    ]
    assert {score.tied for score in mean_over_splits(splits)} == {0.5}
