"""What explains a gallery's matches, where that can be had."""

from collections.abc import Callable
from typing import Any


def explainer_of(embedder: Any) -> tuple[Callable[..., Any] | None, str]:
    """`jreid.explanation.explain` and "", or None and why matches are not explained.

    Args:
        embedder: that of the gallery, see `jreid.search.Embedder`.
    """
    if embedder.frozen is None:
        return None, (
            "The vectors are those of an exported file, or shortened ones, which have "
            "no maps to explain a match by: give the server the run, --workdir RUN, "
            "and a gallery of whole vectors"
        )
    try:
        from jreid.explanation import explain
    except ImportError as error:
        return None, (
            f"Matches are not explained, as {error.name} is not installed: install "
            "jreid with all that it depends on"
        )
    return explain, ""
