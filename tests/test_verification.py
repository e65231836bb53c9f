"""Error rates, pairs, cameras and queries, against counting in loops."""

import collections
import dataclasses
import itertools

import numpy as np
import pytest

from jreid.evaluation.camera_matrix import camera_matrix
from jreid.evaluation.embedding_map import embedding_map
from jreid.evaluation.files.feature_table import FeatureTable
from jreid.evaluation.one_camera import leaves_out_across
from jreid.evaluation.pair_distances import distances_of_pairs
from jreid.evaluation.protocols.by_key import make_protocol
from jreid.evaluation.protocols.llcm import LLCMProtocol
from jreid.evaluation.protocols.protocol import GalleryOptions
from jreid.evaluation.protocols.trial import cross_modality_trial
from jreid.evaluation.query_quality import QueryQuality, quality_of_queries
from jreid.evaluation.spread import spread_over_people
from jreid.evaluation.verification import error_rates, operating_point


@pytest.fixture
def columns(rng):
    """40 images of five people, four cameras, of which the last two are infrared."""
    cameras = rng.integers(1, 5, 40)
    features = rng.normal(size=(40, 6)).astype(np.float32)
    ids = rng.integers(0, 5, 40)
    features += 1.5 * rng.normal(size=(5, 6))[ids]
    features /= np.linalg.norm(features, axis=1, keepdims=True)
    return features, {"ids": ids, "cameras": cameras, "modality": 1 * (cameras > 2)}


def test_rates_at_a_threshold_are_counts_of_pairs(rng):
    same, different = rng.normal(1, 0.3, 50), rng.normal(2, 0.4, 3000)
    rates = error_rates(same, different)
    assert (rates.fmr[0], rates.fnmr[-1]) == (0, 0)
    for threshold, fmr, fnmr in zip(
        rates.threshold, rates.fmr, rates.fnmr, strict=True
    ):
        assert fmr == sum(d < threshold for d in different) / 3000
        assert fnmr == pytest.approx(sum(s >= threshold for s in same) / 50)


@pytest.mark.parametrize("fmr", [0.1, 0.01, 0.001])
def test_the_operating_point_is_the_most_lenient_that_keeps_the_rate(rng, fmr):
    same, different = rng.normal(1, 0.5, 80), rng.normal(2, 0.4, 3000)
    point = operating_point(same, different, fmr)
    missed = [np.mean(same >= t) for t in different if np.mean(different < t) <= fmr]
    assert point.fnmr == pytest.approx(min(missed))
    assert np.mean(different < point.threshold) <= fmr
    assert point.sure == (fmr * 3000 >= 30)


def test_a_rate_that_too_few_pairs_can_show_is_not_told(rng):
    point = operating_point(np.zeros(5), np.ones(9999), 1e-4)
    assert (point.threshold, point.fnmr, point.sure) == (None, None, False)
    assert operating_point(np.zeros(5), np.ones(10000), 1e-4).fnmr == 0
    with pytest.raises(ValueError, match="0 pairs of one person and 3 of two"):
        operating_point(np.zeros(0), np.ones(3), 0.1)
    with pytest.raises(ValueError, match="fmr is 1"):
        operating_point(np.zeros(1), np.ones(3), 1.0)


def test_pairs_are_sorted_by_what_they_show(columns):
    features, about = columns
    found = distances_of_pairs(features, **about)
    expected = {}
    for i, j in itertools.combinations(range(40), 2):
        same, across, own = (
            about[name][i] == about[name][j] for name in ("ids", "modality", "cameras")
        )
        across = not across
        name = f"{'same' if same else 'different'}_{'across' if across else 'within'}"
        if not (same and own):
            distance = float(((features[i] - features[j]) ** 2).sum())
            expected.setdefault(name, []).append(distance)
    for name, distances in expected.items():
        np.testing.assert_allclose(
            np.sort(getattr(found, name)), np.sort(distances), atol=1e-5
        )
    assert (found.images, found.left_out, found.own_camera) == (40, 0, False)


def test_pairs_of_one_camera_in_two_modalities_are_left_out_as_by_the_protocol(rng):
    """Against the pairs that LLCM's own trials exclude; the other two exclude none."""
    ids, cameras, modality = (rng.integers(0, n, 60) for n in (4, 3, 2))
    paths = np.array([f"{row:02}.png" for row in range(60)])
    images = FeatureTable({}, ids, cameras, modality, paths)
    features = rng.normal(size=(60, 6))
    for key, leaves_out in (("llcm", True), ("custom", False), ("regdb", False)):
        protocol, options = make_protocol(key, {})
        assert leaves_out_across(protocol, images, options) == leaves_out
        dropped = {
            (ids[q], cameras[q])
            for trial in protocol.example_trials(images, options)
            for q, g in itertools.product(trial.query, trial.gallery)
            if trial.excluded[trial.query == q, trial.gallery == g]
        }
        expected = [
            ((features[i] - features[j]) ** 2).sum()
            for i, j in itertools.combinations(range(60), 2)
            if ids[i] == ids[j] and modality[i] != modality[j]
            if cameras[i] != cameras[j] or (ids[i], cameras[i]) not in dropped
        ]
        found = distances_of_pairs(
            features,
            ids=ids,
            cameras=cameras,
            modality=modality,
            measure="euclidean",
            two_cameras=leaves_out,
        )
        np.testing.assert_allclose(
            np.sort(found.same_across), np.sort(expected), rtol=1e-4
        )
    unknown = dataclasses.replace(images, cameras=None)
    assert not leaves_out_across(LLCMProtocol(), unknown, GalleryOptions())
    sysu, options = make_protocol("sysu", {})
    of_sysu = dataclasses.replace(
        images, cameras=np.where(modality, 3, cameras % 2 + 1)
    )
    for others in (images, of_sysu):  # which it refuses, and which it ranks
        assert not leaves_out_across(sysu, others, options)


def test_of_many_images_a_part_is_paired_and_the_rest_told(rng):
    """One image of each person in each modality, where every second is of one."""
    ids, modality = np.repeat(np.arange(30), 2), np.tile([0, 1], 30)
    about = {"ids": ids, "modality": modality, "cameras": modality}
    found = distances_of_pairs(rng.normal(size=(60, 4)), **about, most=31)
    assert (found.images, found.left_out) == (30, 30)  # 15 people
    assert (len(found.same_across), len(found.different_across)) == (15, 15 * 14)


@pytest.mark.parametrize("most", [40, 39, 60, 25, 12, 5])
def test_of_a_part_whole_people_are_left_out_before_their_modalities(rng, most):
    """Against the views of each person, counted in a loop."""
    ids, views = rng.integers(0, 6, 40), rng.integers(0, 3, 40)
    rows = spread_over_people(ids, views, most)
    assert np.array_equal(rows, np.unique(rows))
    assert len(rows) == 40 if most >= 40 else 0 < len(rows) <= max(most, 6)
    kept, all_of = [
        collections.Counter(zip(ids[part].tolist(), views[part].tolist(), strict=True))
        for part in (rows, np.arange(40))
    ]
    most_of_a_view = max(kept.values())
    for view, count in all_of.items():
        expected = min(count, most_of_a_view) if view[0] in ids[rows] else 0
        assert kept[view] == expected
    assert most_of_a_view >= 2


def test_the_part_of_a_view_is_evenly_spread():
    ids, views = np.zeros(20, int), np.tile([0, 1], 10)
    assert spread_over_people(ids, views, 10).tolist() == [
        *(0, 1, 4, 5, 8, 9, 12, 13, 16, 17)
    ]


def test_one_camera_of_a_modality_is_paired_with_itself(columns):
    features, about = columns
    about["cameras"] = about["modality"] + 1
    found = distances_of_pairs(features, **about)
    assert found.own_camera and len(found.same_within)


def test_the_camera_matrix_is_nearest_neighbours_in_a_loop(columns):
    features, about = columns
    ids, cameras = about["ids"], about["cameras"]
    matrix = camera_matrix(features, **about)
    assert matrix.cameras == ((1, 0), (2, 0), (3, 1), (4, 1))
    for i, j in itertools.permutations(range(4), 2):
        there = np.flatnonzero(cameras == j + 1)
        hits = []
        for query in np.flatnonzero(cameras == i + 1):
            if ids[query] in ids[there]:
                distances = ((features[there] - features[query]) ** 2).sum(axis=1)
                hits.append(ids[there[distances.argmin()]] == ids[query])
        assert matrix.queries[i, j] == len(hits)
        assert matrix.rank1[i, j] == pytest.approx(np.mean(hits))
    assert np.isnan(np.diag(matrix.rank1)).all()


def test_telling_queries_are_the_best_typical_and_worst_of_different_people(columns):
    features, about = columns
    ids = about["ids"]
    trial = cross_modality_trial(about["modality"], 0)
    found = quality_of_queries(features, trial, ids=ids)
    precision = found.average_precision
    telling = found.telling(ids, 2)
    assert precision[telling["best"][0]] == precision.max()
    assert precision[telling["worst"][0]] == precision.min()
    assert list(telling) == ["best", "typical", "worst"]
    for places in telling.values():
        assert len(set(ids[found.query[places]])) == len(places) == 2
    every = np.concatenate(list(telling.values()))
    assert len(set(every.tolist())) == 6


def test_the_plane_of_principal_components_keeps_a_flat_cloud(rng):
    points = rng.normal(size=(30, 2)) * (3, 1)
    turned = points @ np.linalg.qr(rng.normal(size=(7, 7)))[0][:2]
    found = embedding_map(turned.astype(np.float32))
    exact, drawn = (
        np.linalg.norm(x[:, None] - x, axis=-1) for x in (points, found.astype(float))
    )
    np.testing.assert_allclose(drawn, exact, atol=1e-4)


def test_equal_distances_do_not_match_at_their_threshold(rng):
    same = rng.integers(0, 6, 50).astype(float)
    different = rng.integers(3, 12, 300).astype(float)
    rates = error_rates(same, different)
    for threshold, fmr, fnmr in zip(
        rates.threshold, rates.fmr, rates.fnmr, strict=True
    ):
        assert fmr == sum(d < threshold for d in different) / 300
        assert fnmr == pytest.approx(sum(s >= threshold for s in same) / 50)
    point = operating_point(same, different, 0.05)
    assert point.threshold is not None and point.fnmr
    assert point.fnmr == pytest.approx(np.mean(same >= point.threshold))


def test_pairs_are_the_same_in_blocks(columns, monkeypatch):
    monkeypatch.setattr("jreid.evaluation.pair_distances._ROWS", 7)
    test_pairs_are_sorted_by_what_they_show(columns)


def test_typical_queries_are_nearest_to_the_median():
    precision = np.array([0.0, 0.0, 0.1, 0.3, 1.0])  # mean 0.28
    found = QueryQuality(np.arange(5), np.ones(5, int), precision).telling(
        np.arange(5), 1
    )
    assert {kind: places.tolist() for kind, places in found.items()} == {
        "best": [4],
        "typical": [2],
        "worst": [0],
    }


def test_a_rate_of_nearly_1_leaves_a_pair_out():
    point = operating_point(np.zeros(3), np.arange(5.0), 1 - 1e-11)
    assert point.threshold == 4
