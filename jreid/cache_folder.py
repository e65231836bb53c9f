"""Where jreid keeps what it can make again: data sets unpacked, programs compiled."""

import os
import pathlib


def cache_folder() -> pathlib.Path:
    """`$JREID_CACHE`, or `~/.cache/jreid`; it may not be there yet."""
    return pathlib.Path(os.environ.get("JREID_CACHE") or "~/.cache/jreid").expanduser()
