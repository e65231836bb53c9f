"""Memory of this machine, or of the container or job that this process is in."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

PROC, CGROUPS = Path("/proc"), Path("/sys/fs/cgroup")
# Of a control group: its limit, its use, and in memory.stat the cached files of it that
# the kernel drops first where memory is short.
V2 = ("memory.max", "memory.current", "inactive_file")
V1 = ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")


def available_memory() -> int:
    """Bytes that can be had without swapping; 0 where that is not known.

    A container's or job's limit counts, where it leaves less than the machine has.
    """
    free = _meminfo("MemAvailable")
    left = [max(limit - used, 0) for limit, used in _limits()]
    return min([free, *left]) if free else 0


def whole_memory() -> int:
    """Bytes of the machine, or the limit, where there is one; 0: not known."""
    whole = _meminfo("MemTotal")
    if not whole:
        with contextlib.suppress(AttributeError, ValueError, OSError):  # Windows
            whole = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return min([whole, *(limit for limit, _ in _limits())]) if whole else 0


def memory_limit() -> int:
    """The least limit of a control group that this process is in; 0: there is none."""
    whole = _meminfo("MemTotal")
    return min((limit for limit, _ in _limits() if limit < whole), default=0)


def _meminfo(name: str) -> int:
    with contextlib.suppress(OSError, ValueError, IndexError):
        lines = (PROC / "meminfo").read_text().splitlines()
        found = [line.split() for line in lines if line.startswith(f"{name}:")]
        return int(found[0][1]) * 1024
    return 0


def _limits() -> Iterator[tuple[int, int]]:
    """Limit and use of each control group on the way to this process's own.

    Cached files that nothing uses are left out: they make way for a program.
    """
    with contextlib.suppress(OSError):
        for line in (PROC / "self" / "cgroup").read_text().splitlines():
            _, controllers, path = line.split(":", 2)
            if controllers and "memory" not in controllers.split(","):
                continue
            limit_name, use_name, cached = V1 if controllers else V2
            root = CGROUPS / "memory" if controllers else CGROUPS
            inside = Path(path.lstrip("/"))
            # A container sees its own group as the root, under a path of the host's.
            for group in {root / inside, *(root / p for p in inside.parents), root}:
                with contextlib.suppress(OSError, ValueError):
                    limit = int((group / limit_name).read_text())
                    used = int((group / use_name).read_text())
                    yield limit, max(used - _stat(group, cached), 0)


def _stat(group: Path, name: str) -> int:
    """A number of bytes in the group's memory.stat; 0 where it is not told."""
    with contextlib.suppress(OSError, ValueError):
        lines = (group / "memory.stat").read_text().splitlines()
        return int(dict(line.split() for line in lines).get(name, 0))
    return 0
