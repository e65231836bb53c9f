"""Deletes images from a gallery: their vectors, and all that is stored of them.

The files themselves stay. What is deleted is overwritten in the gallery's own files; a
gallery in Milvus erases it when Milvus compacts its files. Indexing the folder again
embeds again what is still in it.
"""

from dataclasses import dataclass

import tyro


@dataclass(frozen=True, slots=True)
class Options:
    """What the command line says."""

    paths: tyro.conf.Positional[tuple[str, ...]]
    """Paths of images or folders, whole or below the indexed folder."""
    gallery: str
    """A folder, http://host:19530/name of Milvus, or a file NAME.db of Milvus Lite."""
    traceback: tyro.conf.FlagCreatePairsOff[bool] = False
    """Show where an error was raised."""


def run(given: Options) -> None:
    """Removes them, and says how many there were.

    Raises ValueError if there were none.
    """
    from jreid.search.gallery import Gallery
    from jreid.search.places import is_milvus

    if not given.paths:
        raise ValueError("no path: give images or folders of the gallery")
    with Gallery.open(given.gallery) as gallery:
        removed = gallery.remove(given.paths)
        if not removed:
            raise ValueError(
                f"{gallery.store.place} holds none of these; paths are relative to "
                f"{gallery.images}"
            )
        print(f"{removed} images removed, {len(gallery)} are left")
        files = [gallery.images / gallery.name_of(path) for path in given.paths]
        if any(file.exists() for file in files):
            print(
                f"their files are still in {gallery.images}: the next `index` of it "
                "embeds them again; delete or move them too"
            )
    if is_milvus(given.gallery):
        print(
            "Milvus keeps their vectors in its files until it compacts these, if ever: "
            "where they must be gone, use a gallery in a folder"
        )
