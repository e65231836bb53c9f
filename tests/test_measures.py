"""Cosine, product and Euclidean distance against plain loops over pairs."""

import numpy as np
import pytest
from naive_scores import as_columns, naive_metrics, scores_by

from jreid.evaluation.camera_matrix import camera_matrix
from jreid.evaluation.files.features_file import read_features, score_file
from jreid.evaluation.measures import sides, unit_rows
from jreid.evaluation.protocols.protocol import GalleryOptions
from jreid.evaluation.protocols.regdb import RegDBProtocol
from jreid.evaluation.protocols.trial import cross_modality_trial
from jreid.evaluation.query_quality import quality_of_queries
from jreid.evaluation.rank_lists import example_rank_lists
from jreid.evaluation.score import METRICS

IDS = np.repeat(np.arange(9), 8)
COLUMNS = {"ids": IDS, "modality": np.tile([0, 1], 36)}


def features_of_any_length(seed=0):
    """Lengths differ, so that no two measures rank alike."""
    generator = np.random.default_rng(seed)
    rows = generator.normal(size=(9, 6))[IDS] + generator.normal(size=(72, 6))
    return rows * generator.uniform(0.2, 3, (72, 1))


def naive_distances(query, gallery, measure):
    found = np.empty((len(query), len(gallery)))
    for row, one in enumerate(query):
        for column, other in enumerate(gallery):
            cosine = one @ other / np.linalg.norm(one) / np.linalg.norm(other)
            found[row, column] = {
                "cosine": -cosine,
                "product": -(one @ other),
                "euclidean": np.linalg.norm(one - other),
            }[measure]
    return found


@pytest.mark.parametrize("measure", ["cosine", "product", "euclidean"])
def test_scores_agree_with_loops(measure):
    features = features_of_any_length()
    kinds = {"one": features}
    scores = scores_by("regdb", kinds, COLUMNS, measure=measure, reranking=False)
    for score, modality in zip(scores, (0, 1), strict=True):
        query = features[COLUMNS["modality"] == modality]
        gallery = features[COLUMNS["modality"] != modality]
        ids = IDS[::2]
        nothing = np.zeros((36, 36), bool)
        distances = naive_distances(query, gallery, measure)
        expected, _ = naive_metrics(distances, ids, ids, nothing, False)
        np.testing.assert_allclose([score.mean[m] for m in METRICS], expected)


def test_the_measures_differ_here():
    kinds = {"one": features_of_any_length()}
    found = {
        scores_by("regdb", kinds, COLUMNS, measure=m, reranking=False)[0].mean["mAP"]
        for m in ("cosine", "product", "euclidean")
    }
    assert len(found) == 3


def test_lists_are_ranked_by_the_measure():
    features = features_of_any_length()
    (trial, _) = RegDBProtocol().example_trials(as_columns(COLUMNS), GalleryOptions())
    lists = example_rank_lists(features, trial, ids=IDS, measure="product")
    for ranked in lists:
        products = features[trial.gallery] @ features[ranked.query]
        expected = trial.gallery[np.argsort(-products)[:10]]
        assert ranked.nearest.tolist() == expected.tolist()


def test_products_are_not_reranked():
    kinds = {"one": features_of_any_length()}
    with pytest.raises(ValueError, match="no distances to re-rank: .*--no-rerank"):
        scores_by("regdb", kinds, COLUMNS, measure="product")


def test_euclidean_distances_are_reranked_as_they_are():
    scores = scores_by(
        "regdb", {"one": features_of_any_length()}, COLUMNS, measure="euclidean"
    )
    unit = scores_by("regdb", {"one": features_of_any_length()}, COLUMNS)
    assert [s.reranked for s in scores] == [False, True] * 2
    assert scores[1].mean != unit[1].mean


def test_unit_rows_and_rows_of_zeros_stay():
    rows = unit_rows(features_of_any_length().astype(np.float32))
    np.testing.assert_allclose(np.linalg.norm(rows, axis=1), 1, atol=1e-6)
    assert sides(rows).query is rows
    rows[3] = 0
    assert not unit_rows(2 * rows)[3].any()


def test_a_features_file_has_its_measure(tmp_path):
    features = features_of_any_length()
    path = tmp_path / "f.npz"
    np.savez(path, features=features, measure=np.array("product"), **COLUMNS)
    table = read_features(path)
    assert (table.measure, table.unused) == ("product", ())
    np.testing.assert_array_equal(table.features["features"], features)
    expected = scores_by(
        "regdb", {"features": features}, COLUMNS, measure="product", reranking=False
    )
    assert score_file(path, "regdb", reranking=False) == expected
    np.savez(path, features=features, measure=np.array("hamming"), **COLUMNS)
    with pytest.raises(ValueError, match="measure is 'hamming'; allowed are cosine"):
        read_features(path)
    np.savez(path, features=features, measure=np.arange(72), **COLUMNS)
    assert read_features(path).unused == ("measure",)


@pytest.mark.parametrize("measure", ["product", "euclidean"])
def test_queries_and_cameras_are_ranked_by_the_measure(measure):
    x, modality = features_of_any_length(), COLUMNS["modality"]
    trial = cross_modality_trial(modality, 0)
    far = naive_distances(x[trial.query], x[trial.gallery], measure)
    ranked = IDS[trial.gallery][np.argsort(far, axis=1)]
    first = (ranked == IDS[trial.query][:, None]).argmax(axis=1) + 1
    found = quality_of_queries(x, trial, ids=IDS, measure=measure)
    assert found.first_hit.tolist() == first.tolist()
    matrix = camera_matrix(
        x, ids=IDS, cameras=modality + 1, modality=modality, measure=measure
    )
    assert matrix.rank1[0, 1] == np.mean(first == 1)


def test_rows_after_many_of_length_1_are_brought_to_it_too():
    rows = unit_rows(features_of_any_length())
    rows = np.concatenate([rows, 3 * rows])
    np.testing.assert_allclose(np.linalg.norm(unit_rows(rows), axis=1), 1)
