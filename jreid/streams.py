"""Standard output and error whose reader, a terminal or a pipe, may have gone.

What a program has worked for is worth more than what it says of it.
"""

import contextlib
import io
import os
import sys
from collections.abc import Iterator
from typing import TextIO

Stream = TextIO | io.TextIOBase


def say(text: str, stream: Stream | None = None, end: str = "\n") -> None:
    """Prints a line on `stream`, by default standard error, if that can be written."""
    with contextlib.suppress(OSError, ValueError):
        out = sys.stderr if stream is None else stream
        print(text, end=end, file=out, flush=True)


@contextlib.contextmanager
def perhaps_unread(stream: Stream) -> Iterator[None]:
    """The block only prints on `stream`: it ends where nobody can read that."""
    try:
        yield
    except OSError:
        _send_nowhere(stream)
    drop_unread(stream)


def drop_unread(stream: Stream | None) -> None:
    """Flushes `stream`; what cannot be written is dropped, now and from now on.

    Python would try again at its end, and make the exit code 120.
    """
    if stream is None:  # closed before the program was started
        return
    try:
        stream.flush()
    except (OSError, ValueError):
        _send_nowhere(stream)


def _send_nowhere(stream: Stream) -> None:
    with (
        contextlib.suppress(OSError, ValueError),
        open(os.devnull, "w") as nowhere,
    ):
        os.dup2(nowhere.fileno(), stream.fileno())
