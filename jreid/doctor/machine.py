"""Checks of memory and disk."""

import os
from pathlib import Path

from jreid.cache_folder import cache_folder
from jreid.doctor.finding import OTHER_CACHE, OTHER_RUN, Finding, training
from jreid.machine_memory import available_memory, memory_limit, whole_memory

GIGABYTE = 1e9
LEAST_MEMORY = 3.0  # GB; a step of 8 images with ResNet-50 took 2.1 (docs/benchmark.md)
BESIDE = 1.0  # GB for features, pictures, logs
CACHE = 2.2  # GB: compiled programs (at most 2 GiB) and SynVI
LEAST_CACHE = 0.1


def check_memory(needed: float = 0.0) -> Finding:
    """What this process can have.

    Args:
        needed: GB of the images that the config keeps decoded.
    """
    free, whole = available_memory() / GIGABYTE, whole_memory() / GIGABYTE
    if not free:
        return Finding("warn", "memory", "not known on this system")
    words = f"{free:.1f} of {whole:.1f} GB free"
    if limit := memory_limit():
        words += f"; a container or job limits it to {limit / GIGABYTE:.1f} GB"
    if needed and free < needed + LEAST_MEMORY:
        words += (
            f"; {needed:.1f} GB are for decoded images, and about "
            f"{LEAST_MEMORY:.0f} GB for the program"
        )
        return Finding("warn", "memory", words, training("loading.cache=False"))
    if free < LEAST_MEMORY:
        words += f"; a training needs about {LEAST_MEMORY:.0f} GB"
        return Finding("warn", "memory", words, "ps aux --sort=-rss | head")
    return Finding("ok", "memory", words)


def check_runs_disk(folder: Path, needed: float | None) -> Finding:
    """Free space where the run goes.

    Args:
        folder: the run's, or the one of all runs; may not be there yet.
        needed: GB of its checkpoints, one more than are kept; None: not known.
    """
    least = BESIDE if needed is None else needed + BESIDE
    what = "a run's scores and logs" if needed is None else "this run"
    return _disk("disk for runs", folder, least, least, what, OTHER_RUN)


def check_cache_disk() -> Finding:
    """Free space for compiled programs and SynVI; little is enough, but slow."""
    what = "compiled programs and SynVI"
    folder = cache_folder()
    return _disk("disk for cache", folder, LEAST_CACHE, CACHE, what, OTHER_CACHE)


def _disk(
    name: str, folder: Path, least: float, enough: float, what: str, other: str
) -> Finding:
    folder = folder.absolute()
    # os.path's: to pathlib's, of some Pythons, a locked folder is an error
    there = next(place for place in (folder, *folder.parents) if os.path.exists(place))
    look = f"ls -ld {there}\n"
    if not there.is_dir() or not os.access(there, os.W_OK | os.X_OK):
        return Finding("fail", name, f"{there} cannot be written", look + other)
    found = os.statvfs(there)
    free = found.f_bavail * found.f_frsize / GIGABYTE
    words = f"{free:.1f} GB free in {there}; {what} may take {enough:.1f} GB"
    remedy = f"df -h {there}\n{other}"
    if found.f_files and not found.f_favail:
        return Finding("fail", name, f"no inode is free in {there}", f"df -i {there}")
    if free < least:
        return Finding("fail", name, words, remedy)
    return Finding(
        "warn" if free < enough else "ok", name, words, remedy * (free < enough)
    )
