"""CPU seconds of ranking, re-ranking and the SYSU-MM01 table beside naive loops.

    OPENBLAS_NUM_THREADS=1 python tools/benchmark_evaluation.py [--skip-table]

With one thread, CPU seconds are those of the work: several wait for each other busily.
Features are seeded and shaped as SYSU-MM01's test set: 3,803 queries and 6,775 images
to draw galleries from.
"""

import time
import types
from collections.abc import Callable
from typing import Any

import numpy as np
import tyro

from jreid.evaluation.distances import squared_distances
from jreid.evaluation.protocols.sysu_mm01 import SysuProtocol, sysu_trial
from jreid.evaluation.protocols.trial import Trial
from jreid.evaluation.ranking import rank
from jreid.evaluation.rerank.galleries import rerank_galleries
from jreid.evaluation.score_features import score_features

IDENTITIES = range(1, 97)
# Images per identity of each camera, so that the sums are SYSU-MM01's.
CAMERA_IMAGES = {1: 1211, 2: 1194, 3: 1883, 4: 2182, 5: 2188, 6: 1920}
INDOOR = range(1, 57)  # identities seen by cameras 1 and 2


def main(skip_table: bool = False) -> None:
    """Prints one line per measurement.

    Args:
        skip_table: Ratios only.
    """
    columns = make_columns()
    v1, v2 = (make_features(columns, seed, 2048) for seed in (1, 2))
    fused = np.concatenate([v1, v2], axis=1) / np.sqrt(np.float32(2))
    trials = [sysu_trial(**columns, trial=number) for number in range(10)]
    compare_ranking(fused, columns["ids"], trials[0])
    compare_reranking(fused, trials)
    if not skip_table:
        kinds = {"fused": fused, "v1": v1, "v2": v2}
        images = types.SimpleNamespace(**columns, modality=None)
        seconds, _ = timed(lambda: score_features(kinds, images, SysuProtocol()))
        print(f"whole table, 3 features, 4 settings, 10 trials: {seconds:.1f} CPU s")


def make_columns() -> dict[str, Any]:
    """Columns of a test set as large as SYSU-MM01's."""
    rows = []
    for camera, images in CAMERA_IMAGES.items():
        identities = INDOOR if camera in (1, 2) else IDENTITIES
        for number in range(images):
            identity = identities[number % len(identities)]
            path = f"cam{camera}/{identity:04d}/{number // len(identities):04d}.jpg"
            rows.append((identity, camera, path))
    ids, cameras, paths = zip(*rows, strict=True)
    return {
        "ids": np.array(ids),
        "cameras": np.array(cameras),
        "paths": np.array(paths),
    }


def make_features(columns: dict[str, Any], seed: int, size: int) -> np.ndarray:
    """Sums of identity, camera, modality and noise; float32, L2-normalised."""
    generator = np.random.default_rng(seed)
    identity = generator.standard_normal((len(IDENTITIES) + 1, 64))
    camera = 0.4 * generator.standard_normal((7, 64))
    modality = 0.6 * generator.standard_normal((2, 64))
    infrared = np.isin(columns["cameras"], (3, 6)).astype(int)
    rows = identity[columns["ids"]] + camera[columns["cameras"]] + modality[infrared]
    rows = rows + 1.2 * generator.standard_normal(rows.shape)
    rows = rows @ generator.standard_normal((64, size)) / 8
    rows += 0.3 * generator.standard_normal(rows.shape)
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def compare_ranking(features: np.ndarray, ids: np.ndarray, trial: Trial) -> None:
    """One single-shot trial."""
    distances = squared_distances(features[trial.query], features[trial.gallery])
    excluded = trial.excluded
    ids_q, ids_g = ids[trial.query], ids[trial.gallery]

    def fast():
        ranking = rank(
            distances, ids_q, ids_g, excluded=excluded, count_identities=True
        )
        return ranking.cmc(1)[0], ranking.mean_average_precision

    slow_seconds, expected = timed(
        lambda: naive_rank(distances, ids_q, ids_g, excluded)
    )
    fast_seconds, got = min((timed(fast) for _ in range(5)), key=lambda pair: pair[0])
    np.testing.assert_allclose(got, expected, atol=1e-6)
    report(f"ranking {distances.shape}", slow_seconds, fast_seconds)


def compare_reranking(features: np.ndarray, trials: list[Trial]) -> None:
    """One single-shot trial alone, and the mean of ten that share their queries."""
    query = features[trials[0].query]
    one = features[trials[0].gallery]
    slow_seconds, expected = timed(lambda: naive_rerank(query, one))

    def fast(selected: list[Trial]) -> np.ndarray:
        drawn = np.unique(np.concatenate([trial.gallery for trial in selected]))
        galleries = [np.searchsorted(drawn, trial.gallery) for trial in selected]
        pool = features[drawn]
        between = squared_distances(query, pool)
        ((_, first), *_) = rerank_galleries(query, pool, between, galleries)
        return first

    name = f"re-ranking {len(query) + len(one)} images"
    alone_seconds, got = timed(lambda: fast(trials[:1]))
    np.testing.assert_allclose(got, expected, atol=1e-5)
    report(f"{name}, one trial", slow_seconds, alone_seconds)
    shared_seconds, got = timed(lambda: fast(trials))
    np.testing.assert_allclose(got, expected, atol=1e-5)
    report(f"{name}, each of ten", slow_seconds, shared_seconds / len(trials))


def naive_rank(distances, query_ids, gallery_ids, excluded) -> tuple[float, float]:
    """R-1 and mAP by walking down the list of one query at a time."""
    hits, precisions = [], []
    for row, identity in enumerate(query_ids):
        order = np.argsort(distances[row], kind="stable")
        ranked = [gallery_ids[column] for column in order if not excluded[row, column]]
        seen, found, precision = [], 0, 0.0
        for place, other in enumerate(ranked, start=1):
            if other not in seen:
                seen.append(other)
            if other == identity:
                found += 1
                precision += found / place
        if found:
            hits.append(seen.index(identity) == 0)
            precisions.append(precision / found)
    return float(np.mean(hits)), float(np.mean(precisions))


def naive_rerank(query, gallery, k1=20, k2=6, original_weight=0.3) -> np.ndarray:
    """The published steps on dense matrices, one image at a time."""
    features = np.concatenate([query, gallery]).astype(np.float64)
    original = squared_distances(features, features)
    original = (original / original.max(axis=0)).T
    order = np.argsort(original, axis=1, kind="stable")

    def reciprocal(image: int, count: int) -> np.ndarray:
        forward = order[image, : count + 1]
        return forward[(order[forward, : count + 1] == image).any(axis=1)]

    vectors = np.zeros_like(original)
    for image in range(len(features)):
        members = expanded = reciprocal(image, k1)
        for member in members:
            candidates = reciprocal(member, int(np.around(k1 / 2)))
            if 3 * np.intersect1d(candidates, members).size > 2 * candidates.size:
                expanded = np.append(expanded, candidates)
        expanded = np.unique(expanded)
        weights = np.exp(-original[image, expanded])
        vectors[image, expanded] = weights / weights.sum()
    vectors = np.stack([vectors[near[:k2]].mean(axis=0) for near in order])
    holders = [np.flatnonzero(column) for column in vectors.T]
    result = original_weight * original[: len(query), len(query) :]
    for row in range(len(query)):
        shared = np.zeros(len(features))
        for column in np.flatnonzero(vectors[row]):
            rows = holders[column]
            shared[rows] += np.minimum(vectors[row, column], vectors[rows, column])
        jaccard = 1 - shared / (2 - shared)
        result[row] += (1 - original_weight) * jaccard[len(query) :]
    return result


def timed(function: Callable[[], Any]) -> tuple[float, Any]:
    """CPU seconds of all threads, and what the function returned."""
    start = time.process_time()
    result = function()
    return time.process_time() - start, result


def report(name: str, slow_seconds: float, fast_seconds: float) -> None:
    """One line: both times and their ratio."""
    print(
        f"{name}: naive {slow_seconds:.2f}, here {fast_seconds:.3f} CPU s,"
        f" {slow_seconds / fast_seconds:.0f} times faster"
    )


if __name__ == "__main__":
    tyro.cli(main)
