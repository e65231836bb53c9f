"""Scores by loops over queries and ranked images, and columns of images to score."""

import json
import pathlib
import types
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from jreid.evaluation.protocols.by_key import make_protocol
from jreid.evaluation.score import Score
from jreid.evaluation.score_features import score_features

PUBLISHED = json.loads(
    (pathlib.Path(__file__).parent / "data" / "sysu_mm01_test.json").read_text()
)


def columns_of(images) -> dict[str, Any]:
    """Columns for {camera: {identity: number of images}}."""
    rows = [
        (identity, camera, f"cam{camera}/{identity:04d}/{number:04d}.jpg")
        for camera, of_camera in images.items()
        for identity, count in of_camera.items()
        for number in range(1, count + 1)
    ]
    ids, cameras, paths = zip(*rows, strict=True)
    return {
        "ids": np.array(ids),
        "cameras": np.array(cameras),
        "paths": np.array(paths),
    }


def published_columns() -> dict[str, Any]:
    return columns_of(
        {
            int(camera): dict(zip(PUBLISHED["ids"], counts, strict=True))
            for camera, counts in PUBLISHED["images"].items()
        }
    )


def small_columns(
    identities=8, images=4, cameras: Sequence[int] = (1, 2, 3, 4, 5, 6)
) -> dict[str, Any]:
    return columns_of(
        {camera: dict.fromkeys(range(1, identities + 1), images) for camera in cameras}
    )


def features_of(columns, seed=0, noise=0.8):
    generator = np.random.default_rng(seed)
    centres = generator.standard_normal((columns["ids"].max() + 1, 16))
    rows = centres[columns["ids"]]
    rows = rows + noise * generator.standard_normal(rows.shape)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    return rows.astype(np.float32)


def take(columns, rows) -> dict[str, Any]:
    return {name: column[rows] for name, column in columns.items()}


def naive_metrics(distances, ids_q, ids_g, excluded, count_identities):
    values, skipped = [], 0
    for row in range(len(ids_q)):
        order = np.argsort(distances[row], kind="stable")
        ranked = ids_g[order[~excluded[row, order]]].tolist()
        hits = [place + 1 for place, one in enumerate(ranked) if one == ids_q[row]]
        if not hits:
            skipped += 1
            continue
        listed = list(dict.fromkeys(ranked)) if count_identities else ranked
        first = listed.index(ids_q[row]) + 1
        precision = np.mean([(k + 1) / hit for k, hit in enumerate(hits)])
        within = [first <= r for r in (1, 5, 10, 20)]
        values.append([*within, precision, len(hits) / hits[-1]])
    return np.mean(values, axis=0), skipped


def naive_rerank(query, gallery, k1, k2, original_weight):
    """The published steps one image at a time on dense float64 matrices."""
    features = np.concatenate([query, gallery]).astype(np.float64)
    gaps = [((features - one) ** 2).sum(axis=1) for one in features]
    original = np.array(gaps)
    # Equal pairs are equal: summation noise must not decide ties.
    original = np.round(original, 9)
    original = (original / original.max(axis=0)).T
    order = np.argsort(original, axis=1, kind="stable")

    def reciprocal(image, k):
        forward = order[image, : k + 1]
        return [j for j in forward if image in order[j, : k + 1]]

    vectors = np.zeros_like(original)
    for image in range(len(features)):
        members = reciprocal(image, k1)
        expanded = set(members)
        for member in members:
            candidates = reciprocal(member, int(np.around(k1 / 2)))
            common = set(candidates) & set(members)
            if len(common) > 2 / 3 * len(candidates):
                expanded |= set(candidates)
        expanded = sorted(expanded)
        weights = np.exp(-original[image, expanded])
        vectors[image, expanded] = weights / weights.sum()
    vectors = np.array([vectors[near[:k2]].mean(axis=0) for near in order])
    queries = len(query)
    result = np.empty((queries, len(gallery)))
    for row in range(queries):
        shared = np.minimum(vectors[row], vectors[queries:]).sum(axis=1)
        jaccard = 1 - shared / (2 - shared)
        result[row] = (1 - original_weight) * jaccard
        result[row] += original_weight * original[row, queries:]
    return result


def as_columns(columns: Mapping[str, Any]) -> Any:
    """Arrays by name as attributes, None for those that are not there."""
    names = ("ids", "cameras", "modality", "paths")
    return types.SimpleNamespace(**{name: columns.get(name) for name in names})


def scores_by(
    protocol: str,
    features: Mapping[str, np.ndarray],
    columns: Mapping[str, Any],
    *,
    reranking: bool = True,
    progress: Any = None,
    measure: Any = "cosine",
    **options: Any,
) -> list[Score]:
    """Scores by a protocol's word, with options as on the command line."""
    made, galleries = make_protocol(protocol, options)
    return score_features(
        features,
        as_columns(columns),
        made,
        galleries,
        reranking=reranking,
        progress=progress,
        measure=measure,
    )
