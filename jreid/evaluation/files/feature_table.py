"""Features of images beside what is known of each image, wherever they were read."""

import hashlib
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from jreid.evaluation.files import columns as of_images
from jreid.evaluation.measures import Measure, unit_rows
from jreid.shapes import Int

COLUMNS = ("ids", "cameras", "modality", "paths")


@dataclass(frozen=True)
class FeatureTable:
    """Features of images and the images' columns."""

    features: dict[str, np.ndarray]  # kind -> [n d], float32 or float64
    ids: Int[np.ndarray, " n"]
    cameras: Int[np.ndarray, " n"] | None
    modality: Int[np.ndarray, " n"] | None  # 0 visible, 1 infrared
    paths: np.ndarray | None  # str [n]
    measure: Measure = "cosine"  # if so, rows are L2-normalised
    unused: tuple[str, ...] = ()  # what was found and is of no use here
    model: Mapping[str, Any] = field(default_factory=dict)  # see `about_scores`
    junk: int = 0  # images of a negative identity, which are left out

    def without_junk(self) -> "FeatureTable":
        """Without the images of a negative identity; ValueError if none is left."""
        kept = self.ids >= 0
        if kept.all():
            return self
        if not kept.any():
            raise ValueError("every id is negative: such images are junk, left out")
        columns = {
            name: None if (column := getattr(self, name)) is None else column[kept]
            for name in COLUMNS
        }
        features = {name: rows[kept] for name, rows in self.features.items()}
        junk = int((~kept).sum())
        return replace(self, features=features, junk=junk, **columns)

    def left_out(self) -> dict[str, Any]:
        """What the head of the scores says of images that were left out."""
        if not self.junk:
            return {}
        return {"left_out": f"{self.junk} images of a negative identity (junk)"}

    def test_paths(self) -> dict[str, Any]:
        """What the head says of the images' paths: 12 hex digits, in whatever order.

        Those below their common folder count, which stay when the images are moved.
        """
        if self.paths is None:
            return {}
        parts = [path.replace("\\", "/").split("/") for path in self.paths.tolist()]
        shared = len(os.path.commonprefix([one[:-1] for one in parts]))
        names = sorted("/".join(one[shared:]) for one in parts)
        digest = hashlib.sha256("\n".join(names).encode(errors="surrogatepass"))
        return {"test_paths": digest.hexdigest()[:12]}

    def kinds(self, names: Sequence[str] = ()) -> dict[str, np.ndarray]:
        """The features of these kinds, or all; ValueError for one that is not there."""
        if missing := [name for name in names if name not in self.features]:
            raise ValueError(
                f"there is no kind of feature {', '.join(map(repr, missing))}; the file"
                f" has {', '.join(map(repr, self.features))}"
            )
        return {name: self.features[name] for name in names or self.features}


def checked_features(
    features: Mapping[str, np.ndarray], measure: Measure
) -> dict[str, np.ndarray]:
    """The same with rows of unit length, unless they are measured by another measure.

    Raises ValueError for rows that are not finite, or that are 0 and need a direction.
    """
    for name, rows in features.items():
        of_images.check_rows(name, rows, directions=measure == "cosine")
    if measure != "cosine":
        return dict(features)
    return {name: unit_rows(rows) for name, rows in features.items()}
