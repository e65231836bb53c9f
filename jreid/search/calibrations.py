"""The calibrations of a run, one for each pair of modalities, in RUN/calibration.json.

A network's distances mean something of its own, so each network (step, weights, kind of
vectors, smaller dimension) has its own entry in the file, under its fingerprint.
"""

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from jreid.search.calibration import Calibration
from jreid.shapes import Bool, Float

NAME = "calibration.json"
PAIRS = ("visible-visible", "infrared-infrared", "visible-infrared")


def pair_of(first: str, second: str) -> str:
    """The name of a pair of modalities, in whatever order."""
    return "visible-infrared" if first != second else f"{first}-{second}"


@dataclass(frozen=True)
class Calibrations:
    """The curves of one network."""

    fingerprint: str
    """Of the network, see `Embedder`."""
    source: str
    """Which pairs they are fitted to, for a message."""
    curves: Mapping[str, Calibration]
    """By the name of a pair of modalities; see `pair_of`."""
    missing: Mapping[str, str] = field(default_factory=dict)
    """Why there is none for the other pairs."""
    tested: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    """What was measured on other pairs than the fit's, by pair of modalities."""

    @classmethod
    def from_run(
        cls, run: str | os.PathLike[str] | None, fingerprint: str
    ) -> "tuple[Calibrations | None, str]":
        """What RUN/calibration.json has of a network, or None and the reason.

        Raises ValueError if the file is damaged.
        """
        if run is None:
            return None, (
                "no probability: an exported network has no calibration; give its run, "
                "--workdir RUN"
            )
        path = Path(run) / NAME
        entries = _read(path)
        command = f"python -m jreid.search calibrate --workdir {run}"
        if not entries:
            return None, f"no probability: {command} fits it"
        if fingerprint not in entries:
            return None, (
                f"no probability: {path} is of another step, kind or dimension of "
                f"vectors ({', '.join(entries)}) than this ({fingerprint}): {command} "
                "with its --step, --kind and --dim fits it"
            )
        try:
            return _from_json(fingerprint, entries[fingerprint]), ""
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise _damaged(path, error) from error

    def write(self, run: str | os.PathLike[str]) -> Path:
        """Keeps them with the run, beside those of other networks; returns the file."""
        from jreid.whole_files import write_text

        path = Path(run) / NAME
        entries = _read(path)
        entries.pop(self.fingerprint, None)  # the newest stands last
        entries[self.fingerprint] = {
            "source": self.source,
            "curves": {name: one.to_json() for name, one in self.curves.items()},
            "missing": dict(self.missing),
            "tested": {name: dict(one) for name, one in self.tested.items()},
        }
        write_text(path, json.dumps(entries, indent=1) + "\n")
        return path

    def with_prior(self, prior: float) -> "Calibrations":
        """The same curves under another prior; see `Calibration`."""
        curves = {name: one.with_prior(prior) for name, one in self.curves.items()}
        return Calibrations(
            self.fingerprint, self.source, curves, self.missing, self.tested
        )

    def probabilities(
        self,
        distances: Float[np.ndarray, "q n"],
        queries: Sequence[str],
        gallery: Sequence[str],
    ) -> list[float | None]:
        """P(same person) of each gallery image with the one person of all queries.

        Of several query images the log-odds are averaged: pictures of one person are
        not independent, so that their sum would be too sure.

        Args:
            distances: squared Euclidean, of unit vectors.
            queries, gallery: modalities, of rows and columns.

        Returns None where a pair of modalities has no curve.
        """
        return [
            self._probability(distances[:, column], queries, modality)
            for column, modality in enumerate(gallery)
        ]

    def _probability(
        self, distances: np.ndarray, queries: Sequence[str], modality: str
    ) -> float | None:
        curves = [self.curves.get(pair_of(query, modality)) for query in queries]
        if None in curves:
            return None
        p = np.concatenate(
            [
                curve.probability(d)
                for curve, d in zip(curves, distances, strict=True)
                if curve is not None
            ]
        )
        p = np.clip(p, 1e-12, 1 - 1e-12)
        odds = np.log(p / (1 - p)).mean()
        return float(1 / (1 + np.exp(-odds)))

    def matches(
        self,
        distances: Float[np.ndarray, "q n"],
        queries: Sequence[str],
        gallery: Sequence[str],
        false_match_rate: float,
    ) -> Bool[np.ndarray, " n"]:
        """Which gallery images lie within the thresholds of a false-match rate.

        Of several query images, those that do so on the average. Where all are False,
        nobody of the gallery is the person.

        Raises ValueError for a rate that the pairs cannot show, or where a pair of
        modalities has no curve.
        """
        names = {pair_of(query, own) for query in queries for own in gallery}
        for name in names - self.curves.keys():
            raise ValueError(
                f"there is no threshold for {name} pairs: "
                f"{self.missing.get(name, 'they are not calibrated')}; calibrate with "
                "such pairs, or look at images of the other modality only "
                "(--gallery_modality)"
            )
        known = {name: self.curves[name].threshold(false_match_rate) for name in names}
        limits = np.array(
            [[known[pair_of(q, own)] for own in gallery] for q in queries]
        )
        return (distances - limits.reshape(distances.shape)).mean(axis=0) <= 0


def _read(path: Path) -> dict[str, Any]:
    try:
        entries = json.loads(path.read_text())
    except FileNotFoundError:
        return {}
    except ValueError as error:
        raise _damaged(path, error) from error
    if not isinstance(entries, dict):
        raise _damaged(path, "it holds no networks")
    return entries


def _from_json(fingerprint: str, values: Mapping[str, Any]) -> Calibrations:
    curves = {n: Calibration.from_json(one) for n, one in values["curves"].items()}
    return Calibrations(
        fingerprint, values["source"], curves, values["missing"], values["tested"]
    )


def _damaged(path: Path, why: object) -> ValueError:
    return ValueError(f"{path} is damaged ({why}): delete it and calibrate again")
