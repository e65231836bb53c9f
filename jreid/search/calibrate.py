"""Fits a run's calibrations: to its held-out people, or to labelled pairs of a file."""

import csv
import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from jreid.data.datasets import MODALITY_NAMES, Images
from jreid.data.modality_words import MODALITY_WORDS
from jreid.data.single_image import pixels_of
from jreid.evaluation.distances import squared_distances
from jreid.search.calibration import Calibration, Kind
from jreid.search.calibrations import PAIRS, Calibrations, pair_of
from jreid.search.embedder import Embedder
from jreid.search.guard import recognise
from jreid.search.reliability import reliability
from jreid.shapes import Bool, Float, Float32

_AT_ONCE = 512  # images read and embedded at once
_SAME = {"1": True, "true": True, "yes": True, "0": False, "false": False, "no": False}
_FORM = """The first line names the columns:
  distance,same                      squared Euclidean distances, of visible-infrared
                                     pairs, or of what a column `pair` says
  first,second,same                  images, relative to the file's folder; their
                                     modality is recognised, or in the columns
                                     first_modality and second_modality
same is 1 or 0"""
HELD_OUT = (
    "hold people out of the training, as data.train_on_val=False of SYSU-MM01 and a "
    "folder `val` of one's own do, or give labelled pairs of your own: --pairs FILE"
)


@dataclass(frozen=True)
class Pairs:
    """Distances of pairs of images, of one pair of modalities."""

    distances: Float[np.ndarray, " n"]
    same: Bool[np.ndarray, " n"]


def calibrate(
    embedder: Embedder,
    pairs: Path | None = None,
    kind: Kind = "logistic",
    prior: float | None = None,
) -> tuple[Calibrations, dict[str, Pairs]]:
    """Fits curves; on a run's own people they are tested on its test identities.

    Args:
        embedder: of a run; of any network where `pairs` are given.
        pairs: a CSV file of labelled pairs instead of the run's held-out people.
        kind, prior: see `Calibration.fit`.

    Returns the calibrations, which are not yet kept, and the pairs they are tested on.

    Raises:
        ValueError: nobody was held out, with what to do; or no pair of modalities has
            pairs enough.
    """
    if pairs is not None:
        found, source = read_pairs(pairs, embedder), f"the pairs of {pairs.name}"
        tests: dict[str, Pairs] = {}
    else:
        held_out, test = held_out_people(embedder)
        found = pairs_of(embed_images(embedder, held_out), held_out)
        count = len(np.unique(held_out.ids))
        source = f"{count} people held out of the training"
        tests = pairs_of(embed_images(embedder, test), test) if len(test) else {}
    curves, missing = {}, {}
    for name in PAIRS:
        try:
            own = found[name]
            curves[name] = Calibration.fit(own.distances, own.same, kind, prior)
        except KeyError:
            missing[name] = "there are no such pairs"
        except ValueError as error:
            missing[name] = str(error)
    if not curves:
        raise ValueError(
            "; ".join(f"{name}: {why}" for name, why in missing.items())
        )
    tested = {
        name: test_of(curves[name], own) for name, own in tests.items() if name in curves
    }
    fingerprint = embedder.fingerprint
    return Calibrations(fingerprint, source, curves, missing, tested), tests


def test_of(curve: Calibration, pairs: Pairs) -> dict[str, float]:
    """What a curve is worth on other pairs: errors, and rates at its thresholds.

    "ece" weighs pairs as the curve's prior has them, "ece_balanced" assumes that half
    of the pairs are of the same person, in both the probability and the weights.
    """
    same, told = pairs.same, {}
    for word, own in (("ece", curve), ("ece_balanced", curve.with_prior(0.5))):
        probabilities = own.probability(pairs.distances)
        told[word] = reliability(probabilities, same, prior=own.prior).error
    told |= {"same_pairs": int(same.sum()), "different_pairs": int((~same).sum())}
    for rate in (0.1, 0.01, 0.001):
        if rate * curve.different_pairs >= 1:
            match = pairs.distances <= curve.threshold(rate)
            told[f"false_match_rate_at_{rate:g}"] = float(match[~same].mean())
            told[f"true_match_rate_at_{rate:g}"] = float(match[same].mean())
    return told


def held_out_people(embedder: Embedder) -> tuple[Images, Images]:
    """A run's validation images, none of a person it was trained on, and test images.

    Raises ValueError if there are none, with what to do.
    """
    from jreid import parts
    from jreid.run.people import contents_of, require_untrained
    from jreid.run.workdir import read_config

    run = embedder.workdir
    if run is None:
        raise ValueError(f"this network is of no run that is here: {HELD_OUT}")
    config: Any = parts.from_json(read_config(run))
    dataset = config.data.read()
    has_some = getattr(config.data, "has_validation", bool)()
    if not has_some or not len(dataset.val):
        raise ValueError(
            f"{run} holds nobody out of its training to fit probabilities to: "
            f"{HELD_OUT}"
        )
    require_untrained(config, run, dataset, dataset.val, contents_of(dataset.val))
    return dataset.val, dataset.test


def embed_images(embedder: Embedder, images: Images) -> Float32[np.ndarray, "n d"]:
    """Vectors of length 1 of a data set's images."""
    vectors = np.empty((len(images), embedder.dim), np.float32)
    for start in range(0, len(images), _AT_ONCE):
        part = slice(start, start + _AT_ONCE)
        vectors[part] = embedder(
            [images.read(path) for path in images.paths[part].tolist()],
            [MODALITY_NAMES[m] for m in images.modality[part]],
        )
    return vectors


def pairs_of(
    vectors: Float[np.ndarray, "n d"], images: Images
) -> dict[str, Pairs]:
    """All pairs of the images, by modalities.

    Without those of one person in one camera, which hardly differ: protocols leave them
    out as well.
    """
    distances = squared_distances(vectors, vectors)
    same = images.ids[:, None] == images.ids
    alike = same & (images.cameras[:, None] == images.cameras)
    counted = np.tri(len(images), k=-1, dtype=bool) & ~alike
    found = {}
    for first, second in itertools.combinations_with_replacement((0, 1), 2):
        here = np.isin(images.modality, first)[:, None] & (images.modality == second)
        rows = counted & (here | here.T)
        if rows.any():
            name = pair_of(MODALITY_NAMES[first], MODALITY_NAMES[second])
            found[name] = Pairs(distances[rows], same[rows])
    return found


def read_pairs(file: Path, embedder: Embedder) -> dict[str, Pairs]:
    """The labelled pairs of a CSV file, by modalities.

    Raises:
        FileNotFoundError: the file, or an image, is missing.
        ValueError: other columns, or a line that is not as they say.
    """
    with open(file, newline="") as opened:
        reader = csv.DictReader(opened)
        columns = set(reader.fieldnames or ())
        rows = [(reader.line_num, row) for row in reader]
    if not ({"distance", "same"} <= columns or {"first", "second", "same"} <= columns):
        raise ValueError(f"{file} has the columns {sorted(columns)}.\n{_FORM}")
    try:
        parse = _of_distances if "distance" in columns else _of_images
        names, distances = parse(file, rows, embedder)
    except KeyError as error:
        raise ValueError(f"{file}: {error} is not allowed.\n{_FORM}") from None
    same = np.array([_is_same(file, line, row) for line, row in rows], bool)
    return {
        name: Pairs(distances[names == name], same[names == name])
        for name in dict.fromkeys(names.tolist())
    }


def _is_same(file: Path, line: int, row: dict[str, str]) -> bool:
    word = (row["same"] or "").strip().lower()
    if word not in _SAME:
        raise ValueError(f"{file}, line {line}: same is {row['same']!r}.\n{_FORM}")
    return _SAME[word]


def _of_distances(file: Path, rows: Sequence, embedder: Embedder):
    names, distances = [], []
    for line, row in rows:
        names.append(row.get("pair") or "visible-infrared")
        try:
            distances.append(float(row["distance"]))
        except (TypeError, ValueError):
            raise ValueError(
                f"{file}, line {line}: the distance is {row['distance']!r}.\n{_FORM}"
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
            word = (row.get(f"{side}_modality") or "").strip().lower()
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
