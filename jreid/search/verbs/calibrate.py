"""Fits the probability that two images show one person, and keeps it with the run.

It is fitted to people that were held out of the run's training (validation identities),
for each pair of modalities, and tested on the run's test identities; or to labelled
pairs of your own. From then on, queries with this network print a probability.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import tyro

if TYPE_CHECKING:
    from jreid.search.calibrations import Calibrations
    from jreid.search.labelled_pairs import Pairs


@dataclass(frozen=True, slots=True)
class Options:
    """What the command line says."""

    workdir: Path
    """The run's folder."""
    pairs: Path | None = None
    """A CSV file of labelled pairs: distance,same or first,second,same."""
    curve: Literal["logistic", "isotonic"] = "logistic"
    """What is fitted: two parameters, or falling steps, which need many pairs."""
    prior: float | None = None
    """The share of pairs that are of one person, before their distance is looked at;
    by default that of the pairs fitted to."""
    picture: Path | None = None
    """A PNG file to write: the reliability diagram of the test identities."""
    step: int | None = None
    """The checkpoint to use instead of the newest."""
    kind: str = "fused"
    """Which embedding: fused, plain where the run has it, or a branch's name."""
    dim: int | None = None
    """Of smaller embeddings, as given to `index`."""
    config: Path | None = None
    """A file of your own whose parts the run uses."""
    traceback: tyro.conf.FlagCreatePairsOff[bool] = False
    """Show where an error was raised."""


def run(given: Options) -> None:
    """Fits, keeps and prints it."""
    from jreid.search.calibrate import calibrate
    from jreid.search.verbs.opening import embedder_of
    from jreid.search.verbs.picture import check_picture

    check_picture(given.picture)
    if given.picture is not None and given.pairs is not None:
        raise ValueError("--picture shows the test identities, which --pairs has not")
    embedder = embedder_of(
        given.workdir, given.step, given.kind, given.config, given.dim
    )
    found, tests = calibrate(embedder, given.pairs, given.curve, given.prior)
    _print(found, tests)
    print(f"kept: {found.write(given.workdir)}")
    if given.picture is not None:
        _draw(given.picture, found, tests)


def _print(found: "Calibrations", tests: "Mapping[str, Pairs]") -> None:
    print(f"fitted to {found.source}")
    for name, curve in found.curves.items():
        print(
            f"{name}: {curve.same_pairs:,} pairs of one person, "
            f"{curve.different_pairs:,} of two; prior {curve.prior:.3g}, P is 0.5 at "
            f"a distance of {curve.even():.3f}"
        )
        if name in found.tested:
            _print_test(found.tested[name])
        elif name in tests:
            same = int(tests[name].same.sum())
            print(
                f"  not tested: of the test identities there are {same:,} pairs of one "
                f"person and {len(tests[name].same) - same:,} of two; both are needed"
            )
    for name, why in found.missing.items():
        print(f"{name}: no probability: {why}")


def _print_test(told: "Mapping[str, float]") -> None:
    print(
        f"  on the test identities ({told['same_pairs']:,.0f} and "
        f"{told['different_pairs']:,.0f} pairs): expected calibration error "
        f"{told['ece']:.4f}, {told['ece_balanced']:.4f} at a prior of 0.5"
    )
    rates = [name for name in told if name.startswith("false_match_rate_at_")]
    for name in rates:
        asked = name.rpartition("_")[-1]
        print(
            f"  threshold of a false-match rate of {asked}: {told[name]:.4f} there, "
            f"and {told[f'true_match_rate_at_{asked}']:.3f} of one person's pairs match"
        )


def _draw(path: Path, found: "Calibrations", tests: "Mapping[str, Pairs]") -> None:
    from jreid.search.reliability import reliability
    from jreid.search.reliability_diagram import save_reliability_diagram
    from jreid.whole_files import replacing

    made = {}
    for name in found.tested:
        p = found.curves[name].with_prior(0.5).probability(tests[name].distances)
        made[name] = reliability(p, tests[name].same, prior=0.5)
    if not made:
        raise ValueError(
            f"{path} was not drawn: it shows pairs of test identities, and there are "
            "none; give the command without --picture"
        )
    with replacing(path) as temporary:
        save_reliability_diagram(temporary, made)
    print(f"picture: {path}")
