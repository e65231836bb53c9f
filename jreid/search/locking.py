"""One process at a time writes a gallery."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

import filelock


@contextlib.contextmanager
def only_writer(path: Path, place: str) -> Iterator[None]:
    """Holds the lock of a gallery's writer, which ends with the process.

    Raises OSError if another process has it.
    """
    try:
        with filelock.FileLock(path, timeout=0):
            yield
    except filelock.Timeout:
        raise OSError(
            f"{place} is being written by another process: wait for its end"
        ) from None
