"""LLCM's protocol and one's own images against loops over queries."""

import random
from typing import Any

import jaxtyping
import numpy as np
import pytest
from naive_scores import features_of, naive_metrics, scores_by, take

from jreid.evaluation.protocols.llcm import llcm_trial
from jreid.evaluation.rerank.blocks import rerank
from jreid.evaluation.score import METRICS

VISIBLE, INFRARED = 0, 1


def llcm_columns(identities=9, shuffle=False) -> dict[str, Any]:
    """Cameras 1 to 9 visible, 3 never infrared; not everybody is seen everywhere."""
    generator = np.random.default_rng(7)
    rows = []
    for identity in range(5, 5 + identities):
        for camera in range(1, 10):
            for modality in (VISIBLE, INFRARED):
                seen = generator.random() < 0.4 and not (modality and camera == 3)
                for number in range(int(generator.integers(1, 5)) if seen else 0):
                    folder = f"test_{('vis', 'nir')[modality]}/cam{camera}"
                    path = f"{folder}/{identity:04d}/{number:03d}.jpg"
                    rows.append((identity, camera, modality, path))
    if shuffle:
        generator.shuffle(rows)
    ids, cameras, modality, paths = zip(*rows, strict=True)
    return {
        "ids": np.array(ids),
        "cameras": np.array(cameras),
        "modality": np.array(modality),
        "paths": np.array(paths),
    }


def drawn_images(columns, modality, trial):
    """Rows of the released draw: `random.choice` of the sorted file names."""
    random.seed(trial)
    rows = []
    for identity in sorted(set(columns["ids"].tolist())):
        for camera in range(1, 10):
            here = (columns["ids"] == identity) & (columns["cameras"] == camera)
            names = columns["paths"][here & (columns["modality"] == modality)]
            if names.size:
                name = random.choice(sorted(names.tolist()))
                rows.append(int(np.flatnonzero(columns["paths"] == name)[0]))
    return np.array(rows)


@pytest.mark.parametrize("legacy", [False, True])
@pytest.mark.parametrize("shuffle", [False, True])
def test_llcm_agrees_with_plain_loops(legacy, shuffle):
    columns = llcm_columns(shuffle=shuffle)
    features = features_of(columns)
    scores = scores_by("llcm", {"one": features}, columns, trials=3, legacy=legacy)
    names = [(score.setting, score.reranked) for score in scores]
    both = ("visible to infrared", "infrared to visible")
    assert names == [(name, reranked) for name in both for reranked in (False, True)]
    ids, cameras = columns["ids"], columns["cameras"]
    for score in scores:
        source = VISIBLE if score.setting == both[0] else INFRARED
        swapped = legacy and source == VISIBLE
        found, skipped = [], 0
        for trial in range(3):
            query = np.flatnonzero(columns["modality"] == source)
            gallery = drawn_images(columns, 1 - source, trial)
            if swapped:
                query, gallery = gallery, query
            wide = features.astype(np.float64)
            distances = ((wide[query][:, None] - wide[gallery]) ** 2).sum(axis=-1)
            if score.reranked:
                distances = rerank(features[query], features[gallery])
            excluded = (ids[query][:, None] == ids[gallery]) & (
                cameras[query][:, None] == cameras[gallery]
            )
            values, skipped = naive_metrics(
                distances, ids[query], ids[gallery], excluded, True
            )
            found.append(values)
            counts = (score.counted, score.skipped, score.gallery)
            assert counts == (len(query) - skipped, skipped, len(gallery))
        got = [score.mean[name] for name in METRICS]
        np.testing.assert_allclose(got, np.mean(found, axis=0), atol=1e-6)
        got = [score.std[name] for name in METRICS]
        np.testing.assert_allclose(got, np.std(found, axis=0), atol=1e-6)
        assert ("swapped" in score.draw) == swapped
        assert (score.protocol, score.trials) == ("LLCM", 3)


def test_llcm_draw_needs_no_paths_where_files_are_sorted():
    columns = llcm_columns()
    without: dict[str, Any] = {
        name: columns[name] for name in ("ids", "cameras", "modality")
    }
    for swapped in (False, True):
        options: dict[str, Any] = {"trial": 4, "query_modality": 1, "swapped": swapped}
        one, other = llcm_trial(**columns, **options), llcm_trial(**without, **options)
        assert one.gallery.tolist() == other.gallery.tolist()
        assert one.query.tolist() == other.query.tolist()


def test_llcm_errors():
    columns = llcm_columns()
    features = {"one": features_of(columns)}
    with pytest.raises(ValueError, match="trials is 0"):
        scores_by("llcm", features, columns, trials=0)
    visible = take(columns, columns["modality"] == VISIBLE)
    with pytest.raises(ValueError, match="and 0 gallery images of the other"):
        scores_by("llcm", {"one": features_of(visible)}, visible)
    # One camera alone: all matches are of the query's own camera.
    same = take(columns, columns["cameras"] == 4)
    with pytest.raises(ValueError, match="LLCM, visible to infrared: none of"):
        scores_by("llcm", {"one": features_of(same)}, same)


def test_custom_is_regdb_by_another_name(monkeypatch):
    columns = llcm_columns()
    features = {"one": features_of(columns)}
    chosen: dict[str, Any] = {name: columns[name] for name in ("ids", "modality")}
    own = scores_by("custom", features, chosen | {"cameras": columns["cameras"]})
    other = scores_by("regdb", features, chosen, split=4)
    assert [score.setting for score in own[::2]] == [
        "visible to infrared",
        "infrared to visible",
    ]
    for one, two in zip(own, other, strict=True):
        assert (one.mean, one.interval) == (two.mean, two.interval)
        assert (one.protocol, one.splits) == ("custom", ())
        assert (two.protocol, two.splits) == ("RegDB", (4,))
    visible = columns["modality"] == VISIBLE
    excluded = np.zeros((visible.sum(), (~visible).sum()), bool)
    ids, wide = columns["ids"], features["one"].astype(np.float64)
    distances = ((wide[visible][:, None] - wide[~visible]) ** 2).sum(axis=-1)
    values, _ = naive_metrics(distances, ids[visible], ids[~visible], excluded, False)
    got = [own[0].mean[name] for name in METRICS]
    np.testing.assert_allclose(got, values, atol=1e-6)
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)
    with pytest.raises(ValueError, match="ids and 3 cameras: one of each"):
        scores_by("custom", features, chosen | {"cameras": np.arange(3)})
