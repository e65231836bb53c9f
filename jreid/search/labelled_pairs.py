"""Pairs of images of which it is known whether they show one person."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from jreid.data.datasets import MODALITY_NAMES
from jreid.data.modality_words import MODALITY_WORDS
from jreid.data.single_image import pixels_of
from jreid.search.calibrations import PAIRS, pair_of
from jreid.search.csv_rows import CsvRows
from jreid.search.embedder import Embedder
from jreid.search.guard import recognise
from jreid.shapes import Bool, Float

_SAME = {"1": True, "true": True, "yes": True, "0": False, "false": False, "no": False}
_FORM = """The first line names the columns, separated by commas, semicolons or tabs:
  distance,same                      squared Euclidean distances, of visible-infrared
                                     pairs, or of what a column `pair` says
  first,second,same                  images, relative to the file's folder; their
                                     modality is recognised, or in the columns
                                     first_modality and second_modality
same is 1 or 0"""


@dataclass(frozen=True)
class Pairs:
    """Distances of pairs of images, of one pair of modalities.

    Attributes:
        left_out: how many further pairs are of one person in one camera.
    """

    distances: Float[np.ndarray, " n"]
    same: Bool[np.ndarray, " n"]
    left_out: int = 0


def read_pairs(file: Path, embedder: Embedder) -> dict[str, Pairs]:
    """The labelled pairs of a CSV file, by modalities.

    Raises:
        FileNotFoundError: the file, or an image, is missing.
        ValueError: no text, other columns, or a line that is not as they say.
    """
    lines = CsvRows(file)
    columns = {*lines.columns}
    if not ({"distance", "same"} <= columns or {"first", "second", "same"} <= columns):
        raise ValueError(f"{file} has the columns {sorted(columns)}.\n{_FORM}")
    rows = [*lines]
    try:
        parse = _of_distances if "distance" in columns else _of_images
        names, distances = parse(file, rows, embedder)
    except KeyError as error:
        raise ValueError(f"{file}: {error} is not allowed.\n{_FORM}") from None
    same = np.array([_is_same(where, row) for where, row in rows], bool)
    return {
        name: Pairs(distances[names == name], same[names == name])
        for name in dict.fromkeys(names.tolist())
    }


def _is_same(where: str, row: dict[str, str]) -> bool:
    word = row["same"].lower()
    if word not in _SAME:
        raise ValueError(f"{where}: same is {row['same']!r}.\n{_FORM}")
    return _SAME[word]


def _of_distances(file: Path, rows: Sequence, embedder: Embedder):
    names, distances = [], []
    for where, row in rows:
        names.append(row.get("pair") or "visible-infrared")
        try:
            distances.append(float(row["distance"]))
        except ValueError:
            raise ValueError(
                f"{where}: the distance is {row['distance']!r}.\n{_FORM}"
            ) from None
    if others := {*names} - {*PAIRS}:
        raise ValueError(
            f"{file}: the pair is {others.pop()!r}; allowed are {', '.join(PAIRS)}"
        )
    return np.array(names), np.array(distances)


def _of_images(file: Path, rows: Sequence, embedder: Embedder):
    """Each image is embedded once."""
    modalities: dict[str, str] = {}
    for _, row in rows:
        for side in ("first", "second"):
            word = row.get(f"{side}_modality", "").lower()
            if word:
                modalities[row[side]] = MODALITY_NAMES[MODALITY_WORDS[word]]
            elif row[side] not in modalities:
                pixels = pixels_of(file.parent / row[side])
                modalities[row[side]] = recognise(pixels).modality
    place = {path: number for number, path in enumerate(modalities)}
    paths = [file.parent / path for path in modalities]
    vectors = embedder(paths, [*modalities.values()])
    sides = [[place[row[side]] for _, row in rows] for side in ("first", "second")]
    gaps = vectors[sides[0]] - vectors[sides[1]]
    names = [
        pair_of(modalities[row["first"]], modalities[row["second"]]) for _, row in rows
    ]
    return np.array(names), np.vecdot(gaps, gaps).astype(np.float64)
