"""Connections to Milvus, and to files of Milvus Lite, which one process can open."""

import contextlib
import hashlib
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import filelock

from jreid.cache_folder import cache_folder
from jreid.search.extra import pymilvus

TOKEN = "MILVUS_TOKEN"  # of the environment: "user:password", or an API key
_LITE = "gallery"  # the name of the collection in a file


def connect(place: str, *, create: bool = False) -> tuple[Any, str, Any]:
    """A client, the collection's name, and the lock of a file of Milvus Lite."""
    library = pymilvus()
    if "://" not in place:
        if not (create or os.path.exists(place)):
            raise FileNotFoundError(
                f"there is no gallery at {place}: python -m jreid.search index IMAGES "
                f"--gallery {place} --workdir RUN makes one"
            )
        lock = _only_process(place)
        with told(place):
            return library.MilvusClient(place), _LITE, lock
    parts = urlsplit(place)
    name = parts.path.strip("/")
    if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]{0,254}", name):
        raise ValueError(
            f"{place} names the collection {name!r}; write http://host:19530/name, "
            "with letters, digits and _"
        )
    with told(place):
        uri, token = f"{parts.scheme}://{parts.netloc}", os.environ.get(TOKEN, "")
        return library.MilvusClient(uri, token=token), name, None


def _only_process(place: str) -> filelock.BaseFileLock:
    """The lock of a file that one process can open, though as often as it likes."""
    lock = filelock.FileLock(lock_path(place, "process"), is_singleton=True)
    try:
        lock.acquire(timeout=0)
    except filelock.Timeout:
        raise OSError(
            f"{place} is open in another process, and Milvus Lite allows one: wait for "
            "its end, or use a folder or a Milvus server"
        ) from None
    return lock


def release(place: str, lock: filelock.BaseFileLock | None) -> None:
    """Lets other processes open a file; the client alone would keep its server."""
    if lock is None:
        return
    if lock.lock_counter == 1:
        from milvus_lite.server_manager import server_manager_instance

        server_manager_instance.release_server(place)
    lock.release()


def lock_path(place: str, use: str) -> Path:
    """A file in the cache folder for the locks of this place."""
    locks = cache_folder() / "locks"
    locks.mkdir(parents=True, exist_ok=True)
    place = place if "://" in place else os.path.realpath(place)
    return locks / f"{hashlib.sha256(place.encode()).hexdigest()[:16]}.{use}"


@contextlib.contextmanager
def told(place: str) -> Iterator[None]:
    """An error of Milvus becomes an OSError that names the place."""
    try:
        yield
    except pymilvus().MilvusException as error:
        raise OSError(
            f"Milvus at {place} refuses or does not answer: {error.message}"
        ) from error
