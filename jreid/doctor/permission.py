"""What this user may not read, and the commands that change it."""

import os
import shlex
from pathlib import Path

from jreid.doctor.finding import Finding


def denied(name: str, folder: Path) -> Finding | None:
    """A finding where a folder is there, or may be, and cannot be read."""
    try:
        os.listdir(folder)
    except PermissionError:
        return no_permission(name, folder)
    except OSError:  # it is missing, or no folder: others tell
        pass
    return None


def no_permission(name: str, path: Path) -> Finding:
    """The finding of a file or folder that cannot be read."""
    path = path.absolute()
    above = [place for place in reversed(path.parents) if not os.access(place, os.X_OK)]
    place = next(iter(above), path)
    quoted = shlex.quote(str(place))
    remedy = f"sudo chmod a+rx {quoted}" if above else opening(place)
    words = f"this user, number {os.getuid()}, may not read {place}"
    return Finding("fail", name, words, f"ls -ld {quoted}\n{remedy}")


def opening(folder: Path | str) -> str:
    """The command that lets all users read what is in a folder."""
    return f"sudo chmod -R a+rX {shlex.quote(str(folder))}"
