"""Where a gallery is kept: a folder, Milvus, or a file of Milvus Lite."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jreid.search.store import Store


def is_milvus(place: str) -> bool:
    """Whether the place is an address of Milvus, or a file of Milvus Lite."""
    return place.startswith(("http://", "https://")) or place.endswith(".db")


def open_store(place: str) -> Store:
    """An existing gallery; errors: see `Gallery.open`."""
    if is_milvus(place):
        from jreid.search.milvus_store import MilvusStore

        return MilvusStore(place)
    from jreid.search.folder_store import FolderStore

    return FolderStore(Path(place).expanduser())


def make_store(place: str, settings: Mapping[str, Any]) -> Store:
    """A new gallery; errors: see `Gallery.create`."""
    if is_milvus(place):
        from jreid.search.milvus_store import MilvusStore

        return MilvusStore.create(place, settings)
    from jreid.search.folder_store import FolderStore

    return FolderStore.create(Path(place).expanduser(), settings)


def exists(place: str) -> bool:
    """Whether there is a gallery."""
    try:
        open_store(place).close()
    except FileNotFoundError:
        return False
    return True
