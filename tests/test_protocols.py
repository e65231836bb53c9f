"""Published draws and counts, and scores against a loop over trials and queries."""

import subprocess
import sys
import tracemalloc

import jaxtyping
import numpy as np
import pytest
from naive_scores import (
    PUBLISHED,
    columns_of,
    features_of,
    naive_metrics,
    published_columns,
    scores_by,
    small_columns,
    take,
)

from jreid.evaluation.distances import squared_distances
from jreid.evaluation.protocols.sysu_mm01 import sysu_trial
from jreid.evaluation.rank_lists import all_rank_lists, example_rank_lists
from jreid.evaluation.rerank.blocks import rerank
from jreid.evaluation.score import METRICS

GALLERY_CAMERAS = {"all": (1, 2, 4, 5), "indoor": (1, 2)}


@pytest.mark.parametrize("mode", ["all", "indoor"])
def test_single_shot_galleries_are_the_published_draw(mode):
    columns = published_columns()
    slots = [
        (camera, identity)
        for place, identity in enumerate(PUBLISHED["ids"])
        for camera in GALLERY_CAMERAS[mode]
        if PUBLISHED["images"][str(camera)][place]
    ]
    for trial in range(10):
        gallery = sysu_trial(**columns, mode=mode, trial=trial).gallery
        expected = [
            f"cam{camera}/{identity:04d}/{index + 1:04d}.jpg"
            for (camera, identity), index in zip(
                slots, PUBLISHED[mode][trial], strict=True
            )
        ]
        assert columns["paths"][gallery].tolist() == expected


@pytest.mark.parametrize(
    ("mode", "shots", "gallery", "without_match"),
    [
        ("all", 1, 301, 0),
        ("all", 10, 3010, 0),
        ("indoor", 1, 112, 1595),
        ("indoor", 10, 1120, 1595),
    ],
)
def test_published_counts(mode, shots, gallery, without_match):
    columns = published_columns()
    trial = sysu_trial(**columns, mode=mode, shots=shots, trial=3)
    assert len(trial.query) == 3803
    assert len(trial.gallery) == len(np.unique(trial.gallery)) == gallery
    ids = columns["ids"]
    matches = ids[trial.query][:, None] == ids[trial.gallery]
    matches &= ~trial.excluded
    assert (~matches.any(axis=1)).sum() == without_match


def test_camera_3_never_meets_camera_2():
    columns = small_columns()
    trial = sysu_trial(**columns, trial=0)
    cameras = columns["cameras"]
    for row, query in enumerate(trial.query):
        for column, image in enumerate(trial.gallery):
            same_room = cameras[query] == 3 and cameras[image] == 2
            assert trial.excluded[row, column] == same_room


@pytest.mark.parametrize("shots", [1, 10])
def test_draw_does_not_depend_on_the_order_of_rows(shots):
    columns = published_columns()
    rows = np.random.default_rng(0).permutation(len(columns["ids"]))
    shuffled = take(columns, rows)
    trial = sysu_trial(**columns, trial=4, shots=shots)
    other = sysu_trial(**shuffled, trial=4, shots=shots)
    expected = columns["paths"][trial.gallery].tolist()
    assert shuffled["paths"][other.gallery].tolist() == expected


def test_multi_shot_takes_all_images_where_there_are_fewer_than_ten():
    columns = columns_of({1: {1: 4, 2: 12}, 3: {1: 1, 2: 1}})
    gallery = sysu_trial(**columns, trial=0, shots=10).gallery
    ids = columns["ids"][gallery]
    assert ids.tolist() == [1] * 4 + [2] * 10
    assert len(np.unique(gallery)) == 14


def assert_scores(score, per_trial, skipped, counted):
    expected = np.array(per_trial)
    got = [score.mean[name] for name in METRICS]
    np.testing.assert_allclose(got, expected.mean(axis=0), atol=1e-6)
    got = [score.std[name] for name in METRICS]
    np.testing.assert_allclose(got, expected.std(axis=0), atol=1e-6)
    assert (score.skipped, score.counted) == (skipped, counted)
    assert score.cmc[0] == pytest.approx(score.mean["R-1"])
    assert score.cmc[19] == pytest.approx(score.mean["R-20"])


def test_sysu_scores_agree_with_naive_loops():
    columns = small_columns()
    # Identities 1 and 2 were seen outdoors only: without a match in indoor-search.
    outdoors = (columns["ids"] > 2) | ~np.isin(columns["cameras"], (1, 2))
    columns = take(columns, outdoors)
    kinds = {"v1": features_of(columns, 1), "v2": features_of(columns, 2)}
    scores = scores_by("sysu", kinds, columns, trials=3)
    assert len(scores) == 2 * 2 * 2 * 2
    names = {"all": "all-search", "indoor": "indoor-search"}
    for score in scores:
        mode = next(m for m, name in names.items() if score.setting.startswith(name))
        shots = 10 if "multi" in score.setting else 1
        per_trial, skipped = [], 0
        for number in range(3):
            trial = sysu_trial(**columns, mode=mode, shots=shots, trial=number)
            query, gallery = (
                kinds[score.feature][rows].astype(np.float64)
                for rows in (trial.query, trial.gallery)
            )
            distances = ((query[:, None] - gallery) ** 2).sum(axis=-1)
            if score.reranked:
                distances = rerank(query, gallery)
            ids = columns["ids"]
            values, skipped = naive_metrics(
                distances, ids[trial.query], ids[trial.gallery], trial.excluded, True
            )
            per_trial.append(values)
        assert_scores(score, per_trial, skipped, counted=64 - skipped)
        assert skipped == (16 if mode == "indoor" else 0)
        assert score.trials == 3 and score.protocol == "SYSU-MM01"


@pytest.mark.long
def test_a_large_set_is_scored_in_blocks():
    """One matrix of all distances would take 800 MB, and several were held."""
    identities = np.arange(20_000) // 20
    features = {"fused": features_of({"ids": identities})}
    columns = {"ids": identities, "modality": np.arange(20_000) % 2}
    tracemalloc.start()
    try:
        scores_by("custom", features, columns, reranking=False)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 400e6


def test_progress_within_a_large_table():
    identities = np.arange(1200) // 20
    features = {"fused": features_of({"ids": identities})}
    columns = {"ids": identities, "modality": np.arange(1200) % 2}
    shares = []
    scores_by(
        "custom", features, columns, progress=lambda _, share: shares.append(share)
    )
    direction = shares[: len(shares) // 2]
    assert direction == sorted(direction) and len(direction) > 3
    assert direction[0] == 0 and direction[-1] == 1


def test_order_of_scores():
    columns = small_columns()
    kinds = {"fused": features_of(columns), "v1": features_of(columns)}
    steps = []
    scores = scores_by(
        "sysu", kinds, columns, trials=1, progress=lambda *step: steps.append(step)
    )
    found = [(s.setting, s.feature, s.reranked) for s in scores[:5]]
    assert found == [
        ("all-search single-shot", "fused", False),
        ("all-search single-shot", "fused", True),
        ("all-search single-shot", "v1", False),
        ("all-search single-shot", "v1", True),
        ("all-search multi-shot", "fused", False),
    ]
    begun = [table for table, share in steps if share == 0]
    assert len(begun) == len(set(begun)) == 8
    assert begun[0] == "fused, all-search single-shot"
    assert steps[1] == (begun[0], 1.0)
    plain = scores_by("sysu", kinds, columns, trials=1, reranking=False)
    assert plain == [score for score in scores if not score.reranked]


def test_regdb_scores_agree_with_naive_loops():
    ids = np.repeat(np.arange(12), 6)
    modality = np.tile([0, 1], 36)
    features = features_of({"ids": ids})
    scores = scores_by("regdb", {"fused": features}, {"ids": ids, "modality": modality})
    settings = ["visible to infrared"] * 2 + ["infrared to visible"] * 2
    assert [score.setting for score in scores] == settings
    for score in scores:
        source = 0 if score.setting.startswith("visible") else 1
        query, gallery = features[modality == source], features[modality != source]
        query, gallery = query.astype(np.float64), gallery.astype(np.float64)
        distances = ((query[:, None] - gallery) ** 2).sum(axis=-1)
        if score.reranked:
            distances = rerank(query, gallery)
        values, _ = naive_metrics(
            distances,
            ids[modality == source],
            ids[modality != source],
            np.zeros((36, 36), bool),
            False,
        )
        assert_scores(score, [values], 0, 36)


def test_both_directions_of_regdb_use_one_similarity():
    ids, modality = np.repeat(np.arange(9), 8), np.tile([0, 1], 36)
    features = features_of({"ids": ids})
    visible, infrared = features[modality == 0], features[modality == 1]
    distances = squared_distances(visible, infrared)
    assert (squared_distances(infrared, visible) == distances.T).all()
    scores = scores_by(
        "regdb",
        {"fused": features},
        {"ids": ids, "modality": modality},
        reranking=False,
    )
    nothing = np.zeros(distances.shape, bool)
    for score, rows in zip(scores, (distances, distances.T), strict=True):
        values, _ = naive_metrics(rows, ids[::2], ids[1::2], nothing, False)
        assert_scores(score, [values], 0, 36)


def test_order_and_precision_of_rows_do_not_matter():
    columns = small_columns()
    features = features_of(columns)
    rows = np.random.default_rng(1).permutation(len(features))
    scores = scores_by("sysu", {"fused": features}, columns, trials=2)
    shuffled = scores_by(
        "sysu", {"fused": features[rows]}, take(columns, rows), trials=2
    )
    wide = scores_by("sysu", {"fused": features.astype(np.float64)}, columns, trials=2)
    for score, *others in zip(scores, shuffled, wide, strict=True):
        for other in others:
            for name in METRICS:
                assert other.mean[name] == pytest.approx(score.mean[name], abs=1e-9)
                assert other.std[name] == pytest.approx(score.std[name], abs=1e-9)


def test_small_set_with_four_cameras():
    columns = small_columns(identities=2, images=3, cameras=(1, 2, 3, 6))
    scores = scores_by("sysu", {"fused": features_of(columns)}, columns)
    assert len(scores) == 8
    by_setting = {(s.setting, s.reranked): s.mean for s in scores}
    for shots in ("single-shot", "multi-shot"):
        for reranked in (False, True):
            everywhere = by_setting[f"all-search {shots}", reranked]
            assert by_setting[f"indoor-search {shots}", reranked] == everywhere


def test_setting_without_gallery_or_match():
    columns = small_columns(cameras=(3, 4, 6))
    with pytest.raises(
        ValueError, match=r"indoor-search has 64 query .* and 0 gallery"
    ):
        scores_by("sysu", {"fused": features_of(columns)}, columns, modes=("indoor",))
    columns = columns_of({1: {1: 3}, 3: {2: 3}})
    with pytest.raises(ValueError, match=r"all-search single-shot: none of 3 query"):
        scores_by("sysu", {"fused": features_of(columns)}, columns)
    with pytest.raises(ValueError, match=r"0 query images of modality 0"):
        scores_by(
            "regdb",
            {"fused": np.ones((3, 2))},
            {"ids": np.arange(3), "modality": np.ones(3, int)},
        )


def test_bad_options_and_features(monkeypatch):
    columns = small_columns()
    features = features_of(columns)
    with pytest.raises(ValueError, match="mode='outdoor'"):
        sysu_trial(**columns, trial=0, mode="outdoor")
    with pytest.raises(ValueError, match="shots=0"):
        sysu_trial(**columns, trial=0, shots=0)
    with pytest.raises(ValueError, match="trials is 0; allowed is at least 1"):
        scores_by("sysu", {"fused": features}, columns, trials=0)
    with pytest.raises(ValueError, match="at least one kind of feature"):
        scores_by("sysu", {}, columns)
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)
    with pytest.raises(ValueError, match="'fused' has 191 rows for 192 ids"):
        scores_by("sysu", {"fused": features[1:]}, columns)
    with pytest.raises(ValueError, match="191 ids, 192 cameras and 192 paths"):
        sysu_trial(**columns | {"ids": columns["ids"][1:]}, trial=0)
    with pytest.raises(ValueError, match="191 ids and 192 modality"):
        unequal = {"ids": columns["ids"][1:], "modality": columns["ids"]}
        scores_by("regdb", {"v1": features}, unequal)
    features[5, 3] = np.inf
    with pytest.raises(ValueError, match="'fused' holds NaN or infinity in 1 of 192"):
        scores_by("sysu", {"fused": features}, columns)


def test_example_rank_lists():
    columns = small_columns()
    features = features_of(columns)
    trial = sysu_trial(**columns, trial=0)
    lists = example_rank_lists(features, trial, ids=columns["ids"], queries=3, count=5)
    assert columns["ids"][[ranked.query for ranked in lists]].tolist() == [1, 4, 8]
    for ranked in lists:
        allowed = trial.gallery
        if columns["cameras"][ranked.query] == 3:
            allowed = allowed[columns["cameras"][allowed] != 2]
        distances = ((features[allowed] - features[ranked.query]) ** 2).sum(axis=1)
        expected = allowed[np.argsort(distances, kind="stable")[:5]]
        assert ranked.nearest.tolist() == expected.tolist()


def test_import_needs_numpy_and_scipy_only():
    program = """
import sys
import jreid.evaluation.cmc_plot, jreid.run.rank_sheet
import jreid.evaluation.score_features
import jreid.evaluation.protocols.by_key
import jreid.evaluation.compare, jreid.evaluation.table
heavy = {"jax", "tensorflow", "matplotlib", "PIL", "torch"} & set(sys.modules)
assert not heavy, heavy
"""
    subprocess.run([sys.executable, "-c", program], check=True)


def test_all_rank_lists_are_those_of_a_loop():
    columns = small_columns()
    features, trial = features_of(columns), sysu_trial(**columns, trial=0)
    lists = [*all_rank_lists(features, trial, count=7)]
    assert [ranked.query for ranked in lists] == trial.query.tolist()
    for ranked in lists:
        allowed = trial.gallery
        if columns["cameras"][ranked.query] == 3:
            allowed = allowed[columns["cameras"][allowed] != 2]
        far = ((features[allowed] - features[ranked.query]) ** 2).sum(axis=1)
        order = np.argsort(far, kind="stable")[:7]
        assert ranked.nearest.tolist() == allowed[order].tolist()
        assert ranked.distances is not None
        np.testing.assert_allclose(ranked.distances, far[order], atol=1e-5)


def test_example_queries_are_the_middle_ones_of_identities_with_a_match():
    columns = small_columns(identities=5)
    gone = (columns["ids"] == 2) & ~np.isin(columns["cameras"], (3, 6))
    columns = {name: column[~gone] for name, column in columns.items()}
    trial = sysu_trial(**columns, trial=0)
    lists = example_rank_lists(
        features_of(columns), trial, ids=columns["ids"], queries=9
    )
    own = [trial.query[columns["ids"][trial.query] == i] for i in (1, 3, 4, 5)]
    assert [ranked.query for ranked in lists] == [rows[len(rows) // 2] for rows in own]
