"""Checks of a data set's folder: there, complete, its files whole."""

import contextlib
import logging
import os
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from jreid.data.data_sets import DATA_SETS
from jreid.data.datasets import Dataset
from jreid.data.image_file import UnreadableImageError, read_pixels
from jreid.data.synvi import synvi_folder
from jreid.doctor.finding import OTHER_CACHE, Finding, training
from jreid.doctor.permission import no_permission, opening
from jreid.doctor.published import counts_of, differences, published_for

TRIED = 200  # images that are decoded, evenly spread over the data set
SHOWN = 3


def check_data_set(part: Any) -> tuple[list[Finding], Dataset | None]:
    """What a config's data set says of itself, and the data set if it can be read.

    Args:
        part: one of `jreid.data.data_sets`, or a user's own.
    """
    name = f"data set {part.key}"
    if not _source(part):
        words = "the config names no folder"
        return [Finding("warn", name, words, training("data.root=FOLDER"))], None
    try:
        with _warnings() as warned:
            dataset = part.read()
    except (ValueError, OSError) as error:
        return [_not_read(name, part, error)], None
    findings = [_count(name, part, dataset), *_whole(name, part, dataset)]
    if warned:
        findings.append(Finding("warn", name, "; ".join(warned), _mend(part)))
    return findings, dataset


def part_for(root: Path) -> Any:
    """The data set that a folder looks like, to be read from it.

    "synvi" is the embedded one, as in a config, unless a folder has that name.
    """
    if str(root) == "synvi" and not root.exists():
        return DATA_SETS["sysu_mm01"](root="synvi")
    for key, sign in (
        ("sysu_mm01", ("cam*", "exp")),
        ("regdb", ("Visible", "Thermal", "idx")),
        ("llcm", ("idx/train_nir.txt", "test_nir", "test_vis")),
    ):
        found = sum(any(root.glob(pattern)) for pattern in sign)
        if found == len(sign) or (found and found == len(sign) - 1 and key != "llcm"):
            return DATA_SETS[key](root=str(root))
    return DATA_SETS["folder"](root=str(root))


def _not_read(name: str, part: Any, error: ValueError | OSError) -> Finding:
    if isinstance(error, OSError) and _is_embedded(part):  # of the cache, or its disk
        return Finding("fail", name, str(error), OTHER_CACHE)
    if isinstance(error, PermissionError):
        return no_permission(name, Path(error.filename or _source(part)))
    return Finding("fail", name, str(error), _mend(part))


@contextlib.contextmanager
def _warnings() -> Iterator[list[str]]:
    """What readers warn of, instead of printing it."""
    told: list[str] = []

    class _Keeping(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            told.append(record.getMessage().splitlines()[0])

    logger, handler = logging.getLogger("absl"), _Keeping()
    before = logger.handlers[:], logger.propagate
    logger.handlers, logger.propagate = [handler], False
    try:
        yield told
    finally:
        logger.handlers, logger.propagate = before


def _count(name: str, part: Any, dataset: Dataset) -> Finding:
    told = "; ".join(
        f"{title} {people} people, {visible} visible and {infrared} infrared images"
        for title in ("train", "val", "test")
        if (images := getattr(dataset, title)) is not None and len(images)
        for people, visible, infrared in [counts_of(images)]
    )
    published = published_for(part)
    if published is None:
        return Finding("ok", name, told)
    if not _is_meant(part, published):
        words = f"{told}. Its lists are not {published.name}'s: no numbers to compare"
        return Finding("ok", name, words)
    if differ := differences(published, dataset):
        words = f"half copied? {'; '.join(differ)} ({published.source})"
        return Finding("fail", name, words, _mend(part))
    return Finding("ok", name, f"{told}: as published ({published.source})")


def _is_meant(part: Any, published: Any) -> bool:
    if not part.root:
        return True
    root = synvi_folder() if part.root == "synvi" else Path(part.root).expanduser()
    with contextlib.suppress(OSError, ValueError):
        return published.is_meant(root)
    return False


def _whole(name: str, part: Any, dataset: Dataset) -> Iterator[Finding]:
    """Empty files of all, and images that cannot be read among some."""
    if getattr(part, "tfds", ""):
        return
    parts = [x for x in (dataset.train, dataset.val, dataset.test) if len(x)]
    paths = sorted({str(path) for images in parts for path in images.paths.tolist()})
    if locked := [path for path in paths if not _is_open(path)]:
        words = f"this user may not read {len(locked)} files, as {locked[0]}"
        yield Finding("fail", name, words, opening(part.root))
        return
    bad = [f"{path}: empty or missing" for path in paths if not _size(path)]
    tried = [
        paths[i] for i in np.unique(np.linspace(0, len(paths) - 1, TRIED, dtype=int))
    ]
    bad += [why for path in tried if _size(path) and (why := _unreadable(path))]
    words = f"{len(paths)} files have contents, {len(tried)} of them were decoded"
    if bad:
        more = f" and {len(bad) - SHOWN} more" if len(bad) > SHOWN else ""
        words = f"{len(bad)} unreadable: {'; '.join(bad[:SHOWN])}{more}"
    yield Finding("fail" if bad else "ok", name, words, _mend(part) if bad else "")


def _is_open(path: str) -> bool:
    return os.access(path, os.R_OK) or not os.path.lexists(path)


def _size(path: str) -> int:
    try:
        return os.path.getsize(path)
    except OSError:
        return 0


def _unreadable(path: str) -> str:
    """Why a training would leave the file out, "" if it would not."""
    try:
        read_pixels(Path(path).read_bytes())
    except (OSError, UnreadableImageError) as error:
        return f"{path}: {error}"
    return ""


def _mend(part: Any) -> str:
    """Copies anew what is missing or of another size."""
    if _is_embedded(part):
        return f"rm -r {shlex.quote(str(synvi_folder()))}"
    return f"rsync -a --info=progress2 SOURCE/ {shlex.quote(_source(part))}/"


def _source(part: Any) -> str:
    """The folder that the config names, "" if none."""
    return str(getattr(part, "tfds", "") or part.root)


def _is_embedded(part: Any) -> bool:
    """Whether it is SynVI, read from the cache folder."""
    return _source(part) == "synvi"
