"""Search: which images of a gallery show the person of a query image.

from jreid.search import Embedder, Gallery

gallery = Gallery.open("gallery", Embedder.from_run("runs/demo"))
hits = gallery.query("crop.jpg", "infrared", k=10)
"""

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from jreid.search.embedder import Embedder
    from jreid.search.gallery import Gallery
    from jreid.search.records import Hit, Where

__all__ = ["Embedder", "Gallery", "Hit", "Where"]

_HOMES = {
    "Embedder": "embedder",
    "Gallery": "gallery",
    "Hit": "records",
    "Where": "records",
}


def __getattr__(name: str):
    """Imported when it is first asked for: a program's help needs none of it."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
