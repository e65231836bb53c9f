"""The gallery that a command line names, and the network that it was made with."""

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from jreid.search.embedder import Embedder
    from jreid.search.gallery import Gallery


def open_with_network(
    place: str, workdir: Path | None, step: int | None, config: Path | None
) -> "Gallery":
    """A gallery with the network of a run, by default of that which it remembers.

    Raises:
        FileNotFoundError: there is no gallery, no run, or no such checkpoint.
        ValueError: another network than the gallery was made with.
    """
    from jreid.search.gallery import Gallery

    with Gallery.open(place) as gallery:  # is there before a network is restored
        run, model = gallery.run, gallery.model
    if workdir is None and run is None:
        raise ValueError(
            f"{place} remembers no run: give the one it was made with, --workdir RUN"
        )
    if workdir is None and step is None:
        step = model.get("step")
    embedder = embedder_of(workdir or Path(str(run)), step, model.get("kind"), config)
    return Gallery.open(place, embedder)


def embedder_of(
    workdir: Path, step: int | None, kind: str | None, config: Path | None
) -> "Embedder":
    """The network of a run, see `Embedder.from_run`."""
    from jreid.search.embedder import Embedder

    return Embedder.from_run(workdir, step, kind or "fused", config)
