"""The gallery that a command line names, and the network that it was made with."""

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from jreid.search.embedder import Embedder
    from jreid.search.gallery import Gallery


def open_with_network(
    place: str,
    workdir: Path | None,
    step: int | None,
    config: Path | None,
    model: Path | None = None,
    kind: str | None = None,
) -> "Gallery":
    """A gallery with the network of a run, by default of that which it remembers.

    Of that run, which may have been trained on, it is the network of the step that the
    gallery was made with. Or it is that of `model`, an ONNX file, which needs no JAX.

    Raises:
        FileNotFoundError: there is no gallery, no run, or no such checkpoint.
        ValueError: another network, or `kind` of vectors, than the gallery was made
            with; or `model` and what belongs to a run.
    """
    from jreid.search.gallery import Gallery

    with Gallery.open(place) as gallery:  # is there before a network is restored
        run, known = gallery.run, gallery.model
    own = known.get("kind") or "fused"
    if kind not in (None, own):
        raise ValueError(
            f"--kind is {kind!r}, and {place} is there and has {own!r}: leave --kind "
            "out, or give another --gallery"
        )
    if model is not None:
        return Gallery.open(place, exported(model, workdir, step=step, config=config))
    if workdir is None and run is None:
        raise ValueError(
            f"{place} remembers no run: give the one it was made with, --workdir RUN, "
            "or its exported file, --model FILE.onnx"
        )
    workdir = workdir or Path(str(run))
    if step is None and run is not None and workdir.resolve() == Path(run).resolve():
        step = known.get("step")
    embedder = embedder_of(
        workdir,
        step,
        own,
        config,
        known.get("projected"),
    )
    return Gallery.open(place, embedder)


def embedder_of(
    workdir: Path,
    step: int | None,
    kind: str,
    config: Path | None,
    dim: int | None = None,
) -> "Embedder":
    """The network of a run, see `Embedder.from_run`; with vectors of `dim` numbers."""
    from jreid.search.embedder import Embedder

    embedder = Embedder.from_run(workdir, step, kind, config)
    if dim is None:
        return embedder
    from jreid.search.projection import projection_of_run, with_projection

    return with_projection(embedder, projection_of_run(embedder, dim))


def exported(model: Path, workdir: Path | None, **of_runs: object) -> "Embedder":
    """The network of an ONNX file, see `Embedder.from_onnx`.

    Raises ValueError for a run beside it, or an option that only runs have.
    """
    from jreid.search.embedder import Embedder

    if workdir is not None:
        raise ValueError("--model and --workdir are both given; give one")
    given = [f"--{name}" for name, value in of_runs.items() if value is not None]
    if given:
        raise ValueError(
            f"--model and {' and '.join(given)} are given: an exported file is "
            "one network as it is; give the run, --workdir, or --model alone"
        )
    return Embedder.from_onnx(model)
