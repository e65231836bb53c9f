"""Scores by loops over queries and ranked images, and columns of images to score."""

import json
import pathlib
from collections.abc import Sequence
from typing import Any

import numpy as np

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
