"""Another path to a folder where its own would be read as a pattern or a URI.

Orbax and what it stands on search with the path in their patterns, without escaping it,
and take UTF-8 alone: checkpoints under other paths could never be read again.
"""

import os
import pathlib
import re
import tempfile

import jax

PLAIN = re.compile(r"[\w/.,@+=~ -]+", re.ASCII)  # paths that mean nothing else anywhere


class PlainPath:
    """The path itself where it is plain, else that of a link to the folder."""

    def __init__(self, folder: pathlib.Path):
        self._folder = folder
        self._links: tempfile.TemporaryDirectory | None = None

    def made(self) -> pathlib.Path:
        """The plain path, for as long as it is not forgotten.

        Raises:
            ValueError: several processes, which all need the same path.
        """
        if PLAIN.fullmatch(os.fspath(self._folder)):
            return self._folder
        if jax.process_count() > 1:
            raise ValueError(
                f"the path {str(self._folder)!r} has characters that several processes "
                "cannot share: give a --workdir of letters, digits and -_.,@+=~"
            )
        self._links = tempfile.TemporaryDirectory(prefix="jreid-")
        link = pathlib.Path(self._links.name) / "checkpoints"
        link.symlink_to(self._folder, target_is_directory=True)
        return link

    def forget(self) -> None:
        """Removes the link."""
        if self._links is not None:
            self._links.cleanup()
