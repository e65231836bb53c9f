"""One process at a time writes a gallery."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

import filelock


@contextlib.contextmanager
def only_writer(path: Path, place: str) -> Iterator[None]:
    """Holds the lock of a gallery's writer, which ends with the process.

    Raises OSError if another process has it, or the place is not to be written.
    """
    lock = filelock.FileLock(path, timeout=0)
    try:
        lock.acquire()
    except PermissionError as error:
        raise PermissionError(
            f"{place} cannot be written ({error.strerror}), though it can be searched: "
            "have it made writable, or give another --gallery"
        ) from error
    except filelock.Timeout:
        raise OSError(
            f"{place} is being written by another process: wait for its end"
        ) from None
    try:
        yield
    finally:
        lock.release()
