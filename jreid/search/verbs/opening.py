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
) -> "Gallery":
    """A gallery with the network of a run, by default of that which it remembers.

    Or with that of `model`, an ONNX file, which needs no JAX.

    Raises:
        FileNotFoundError: there is no gallery, no run, or no such checkpoint.
        ValueError: another network than the gallery was made with.
    """
    from jreid.search.gallery import Gallery

    with Gallery.open(place) as gallery:  # is there before a network is restored
        run, known = gallery.run, gallery.model
    if model is not None:
        return Gallery.open(place, exported(model, workdir))
    if workdir is None and run is None:
        raise ValueError(
            f"{place} remembers no run: give the one it was made with, --workdir RUN, "
            "or its exported file, --model FILE.onnx"
        )
    if workdir is None and step is None:
        step = known.get("step")
    embedder = embedder_of(
        workdir or Path(str(run)),
        step,
        known.get("kind"),
        config,
        known.get("projected"),
    )
    return Gallery.open(place, embedder)


def embedder_of(
    workdir: Path,
    step: int | None,
    kind: str | None,
    config: Path | None,
    dim: int | None = None,
) -> "Embedder":
    """The network of a run, see `Embedder.from_run`; with vectors of `dim` numbers."""
    from jreid.search.embedder import Embedder

    embedder = Embedder.from_run(workdir, step, kind or "fused", config)
    if dim is None:
        return embedder
    from jreid.search.projection import projection_of_run, with_projection

    return with_projection(embedder, projection_of_run(embedder, dim))


def exported(model: Path, workdir: Path | None) -> "Embedder":
    """The network of an ONNX file, see `Embedder.from_onnx`."""
    from jreid.search.embedder import Embedder

    if workdir is not None:
        raise ValueError("--model and --workdir are both given; give one")
    return Embedder.from_onnx(model)
