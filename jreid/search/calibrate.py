"""Fits a run's calibrations: to its held-out people, or to labelled pairs of a file."""

import itertools
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from jreid.data.datasets import MODALITY_NAMES, Images
from jreid.evaluation.distances import squared_distances
from jreid.evaluation.one_camera import leaves_out_across, of_one_camera
from jreid.evaluation.protocols.protocol import Options, Protocol
from jreid.progress import Progress
from jreid.search.calibration import FEWEST, Calibration, Kind
from jreid.search.calibrations import PAIRS, Calibrations, pair_of
from jreid.search.embedder import Embedder
from jreid.search.labelled_pairs import Pairs, read_pairs
from jreid.search.reliability import reliability
from jreid.shapes import Float, Float32

_AT_ONCE = 256  # images read and embedded at once
HELD_OUT = (
    "hold people out of the training, as data.train_on_val=False of SYSU-MM01 and a "
    "folder `val` of one's own do, or give labelled pairs of your own: --pairs FILE"
)


class HeldOut(NamedTuple):
    """A run's validation images, its test images, and how the latter are ranked."""

    people: Images
    test: Images
    protocol: Protocol
    options: Options


def calibrate(
    embedder: Embedder,
    pairs: Path | None = None,
    kind: Kind = "logistic",
    prior: float | None = None,
) -> tuple[Calibrations, dict[str, Pairs]]:
    """Fits curves; on a run's own people they are tested on its test identities.

    A curve is tested where these have pairs of one person and pairs of two.

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
        held_out = held_out_people(embedder)
        found = _embedded_pairs(embedder, held_out.people, "held-out", held_out)
        count = len(np.unique(held_out.people.ids))
        source = f"{count} people held out of the training"
        tests = {}
        if len(held_out.test):
            tests = _embedded_pairs(embedder, held_out.test, "test", held_out)
    curves, missing = {}, {}
    for name in PAIRS:
        try:
            own = found[name]
            curves[name] = Calibration.fit(own.distances, own.same, kind, prior)
        except KeyError:
            missing[name] = "there are no such pairs"
        except ValueError as error:
            missing[name] = f"{error}{_left_out(found[name])}"
    if not curves:
        raise ValueError("; ".join(f"{name}: {why}" for name, why in missing.items()))
    tested = {
        name: test_of(curves[name], own)
        for name, own in tests.items()
        if name in curves and 0 < own.same.sum() < len(own.same)
    }
    fingerprint = embedder.fingerprint
    return Calibrations(fingerprint, source, curves, missing, tested), tests


def _left_out(pairs: Pairs) -> str:
    """Where too few pairs of one person are left: how many there were."""
    if not pairs.left_out or pairs.same.sum() >= FEWEST:
        return ""
    return (
        f" ({pairs.left_out:,} more of the same person are of one camera and do not "
        "count, see docs/calibration.md: number cameras apart, or give --pairs FILE)"
    )


def _embedded_pairs(
    embedder: Embedder, images: Images, label: str, run: HeldOut
) -> dict[str, Pairs]:
    two_cameras = leaves_out_across(run.protocol, images, run.options)
    return pairs_of(embed_images(embedder, images, label), images, two_cameras)


def test_of(curve: Calibration, pairs: Pairs) -> dict[str, float]:
    """What a curve is worth on other pairs: errors, and rates at its thresholds.

    "ece" weighs pairs as the curve's prior has them, "ece_balanced" assumes that half
    of the pairs are of the same person, in both the probability and the weights. Rates
    that the curve's pairs cannot show are left out.

    Raises ValueError where there is no pair of one of the kinds.
    """
    same, told = pairs.same, {}
    for word, own in (("ece", curve), ("ece_balanced", curve.with_prior(0.5))):
        probabilities = own.probability(pairs.distances)
        told[word] = reliability(probabilities, same, prior=own.prior).error
    told |= {"same_pairs": int(same.sum()), "different_pairs": int((~same).sum())}
    for rate in (0.1, 0.01, 0.001):
        try:
            match = pairs.distances <= curve.threshold(rate)
        except ValueError:  # too few pairs for this rate, or too many equal ones
            continue
        told[f"false_match_rate_at_{rate:g}"] = float(match[~same].mean())
        told[f"true_match_rate_at_{rate:g}"] = float(match[same].mean())
    return told


def held_out_people(embedder: Embedder) -> HeldOut:
    """Validation images, none of a person that the run was trained on, and the others.

    Raises ValueError if there are none, with what to do.
    """
    from jreid.config_json import from_json
    from jreid.run.fingerprints import contents_of
    from jreid.run.trained_people import require_untrained
    from jreid.run.workdir import read_config

    run = embedder.workdir
    if run is None:
        raise ValueError(f"this network is of no run that is here: {HELD_OUT}")
    config: Any = from_json(read_config(run))
    dataset = config.data.read()
    has_some = getattr(config.data, "has_validation", bool)()
    if not has_some or not len(dataset.val):
        raise ValueError(
            f"{run} holds nobody out of its training to fit probabilities to: "
            f"{HELD_OUT}"
        )
    require_untrained(config, run, dataset, dataset.val, contents_of(dataset.val))
    protocol, options = config.data.protocol, config.evaluation
    return HeldOut(dataset.val, dataset.test, protocol, options)


def embed_images(
    embedder: Embedder, images: Images, label: str
) -> Float32[np.ndarray, "n d"]:
    """Vectors of length 1 of a data set's images, with a progress bar."""
    vectors = np.empty((len(images), embedder.dim), np.float32)
    with Progress(len(images), f"embed {label} images", unit="images") as bar:
        for start in range(0, len(images), _AT_ONCE):
            part = slice(start, start + _AT_ONCE)
            vectors[part] = embedder(
                [images.read(path) for path in images.paths[part].tolist()],
                [MODALITY_NAMES[m] for m in images.modality[part]],
            )
            bar.update(min(part.stop, len(images)))
    return vectors


def pairs_of(
    vectors: Float[np.ndarray, "n d"], images: Images, two_cameras: bool = False
) -> dict[str, Pairs]:
    """All pairs of the images, by modalities.

    Without those of one person in one camera and one modality, which hardly differ.

    Args:
        two_cameras: whether those in one camera and two modalities are left out as
            well; see `leaves_out_across`.
    """
    distances = squared_distances(vectors, vectors)
    same = images.ids[:, None] == images.ids
    every = slice(None)
    columns = images.ids, images.cameras, images.modality
    alike = of_one_camera(columns, every, every, across=two_cameras)
    once = np.tri(len(images), k=-1, dtype=bool)
    found = {}
    for first, second in itertools.combinations_with_replacement((0, 1), 2):
        here = np.isin(images.modality, first)[:, None] & (images.modality == second)
        here = once & (here | here.T)
        if here.any():
            rows = here & ~alike
            name = pair_of(MODALITY_NAMES[first], MODALITY_NAMES[second])
            left_out = int((here & alike).sum())
            found[name] = Pairs(distances[rows], same[rows], left_out)
    return found
