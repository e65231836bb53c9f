"""Files that are never seen half-written: what was there before, or all that is new."""

import contextlib
import os
import pathlib
import tempfile
from collections.abc import Iterator


def write_text(path: pathlib.Path, text: str) -> None:
    """Writes a file that is never seen half-written, in an existing folder.

    Raises OSError that names the file; what was there before is intact.
    """
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


@contextlib.contextmanager
def replacing(path: pathlib.Path) -> Iterator[pathlib.Path]:
    """A file of another name to write, which takes the place of `path` when complete.

    Its suffix is that of `path`. It is deleted if the block fails.

    Raises:
        OSError: it cannot be written (disk full, read-only); names `path`, where what
            was there before is intact.
    """
    try:
        number, name = tempfile.mkstemp(path.suffix, f".{path.name}.", path.parent)
        try:
            with os.fdopen(number, "rb") as written:
                if hasattr(os, "fchmod"):  # not on Windows
                    os.fchmod(number, 0o644)
                yield pathlib.Path(name)
                os.fsync(written.fileno())
            os.replace(name, path)  # Windows replaces closed files only
        except BaseException:
            os.unlink(name)
            raise
    except OSError as error:
        raise OSError(
            f"cannot write {path}: {error}. Free some space or make the folder "
            "writable."
        ) from error
