"""Images of people with names of any kind, split by identity and made a Dataset."""

import hashlib
import os
import re
from collections.abc import Iterable, Sequence
from typing import Literal, NamedTuple

from absl import logging

from jreid.data.datasets import (
    INFRARED,
    MODALITY_NAMES,
    VISIBLE,
    Dataset,
    images_from_rows,
    some,
)

SPLITS = ("train", "val", "test")
SplitBy = Literal["name", "count"]


class Entry(NamedTuple):
    """One image of a custom data set."""

    path: str
    identity: str  # any text
    modality: int
    camera: str  # any text; "" if it is not known
    split: str  # one of SPLITS; "" to have the identities split


def dataset_from_entries(
    entries: Sequence[Entry],
    *,
    source: str,
    test_fraction: float,
    split_by: SplitBy = "name",
) -> Dataset:
    """A Dataset whose ids and cameras are numbers, with the identities' names.

    Images of a negative identity, junk in Market-1501's convention, are left out with a
    warning. Identities and cameras named by integers, all different, keep these as
    their numbers; other names are numbered 0, 1, ... as they sort. An unknown camera is
    1 for visible and 2 for infrared images.

    Args:
        entries: at least one; all with a split, or none.
        source: where they were read, for messages.
        test_fraction, split_by: see `split_identities`, where no split is given.
            With a fraction of 0 nobody needs to be tested on.

    Raises:
        ValueError: a modality has no image, an identity is in two splits, or the
            images are too few to be split.
    """
    entries = _without_junk(entries, source)
    for modality, name in enumerate(MODALITY_NAMES):
        if not any(entry.modality == modality for entry in entries):
            raise ValueError(
                f"{source} has no {name} image; visible and infrared images of the "
                "same people are needed"
            )
    if not any(entry.split for entry in entries):
        entries = _split(entries, source, test_fraction, split_by)
    _check_splits(entries, source, ("train", "test")[: 2 if test_fraction else 1])
    ids = _numbers(entry.identity for entry in entries)
    cameras = _numbers(entry.camera for entry in entries if entry.camera)
    rows = {split: [] for split in SPLITS}
    for entry in entries:
        camera = cameras[entry.camera] if entry.camera else entry.modality + 1
        row = entry.path, ids[entry.identity], camera, entry.modality
        rows[entry.split].append(row)
    parts = {split: images_from_rows(part) for split, part in rows.items()}
    names = {number: name for name, number in ids.items()}
    return Dataset("folder", parts["train"], parts["val"], parts["test"], names)


def split_identities(
    names: Iterable[str], test_fraction: float, split_by: SplitBy = "name"
) -> set[str]:
    """The identities to test on: at least one, leaving at least one; none of 0.

    A name's place is its SHA-256 as a fraction of 1, which looks random and is the same
    on every machine. By "name", those in a place below `test_fraction` are tested on:
    nobody moves when others come or go, unless a part would be empty. By "count", the
    rule of runs from before there was a choice, as many as the fraction says, from the
    lowest place.
    """
    place = {name: _place(name) for name in names}
    ordered = sorted(place, key=place.__getitem__)
    if not test_fraction:
        return set()
    count = round(test_fraction * len(ordered))
    if split_by == "name":
        count = sum(place[name] < test_fraction for name in ordered)
    return set(ordered[: min(max(count, 1), len(ordered) - 1)])


def _place(name: str) -> float:
    """In [0, 1)."""
    return int.from_bytes(hashlib.sha256(os.fsencode(name)).digest()) / 2**256


def _without_junk(entries: Sequence[Entry], source: str) -> Sequence[Entry]:
    kept = [e for e in entries if not re.fullmatch(r"-\d+", e.identity)]
    if len(kept) < len(entries):
        logging.warning(
            "%s: %d images of a negative identity are left out, as junk images are",
            source,
            len(entries) - len(kept),
        )
    return kept


def _split(
    entries: Sequence[Entry], source: str, test_fraction: float, split_by: SplitBy
) -> Sequence[Entry]:
    """The images of identities seen in both modalities, each with a split."""
    seen = [{e.identity for e in entries if e.modality == m} for m in (0, 1)]
    paired = seen[VISIBLE] & seen[INFRARED]
    if unpaired := sorted(seen[VISIBLE] ^ seen[INFRARED]):
        logging.warning(
            "%s: %d of %d identities have images of one modality only and are left "
            "out: %s",
            source,
            len(unpaired),
            len(unpaired) + len(paired),
            some(unpaired),
        )
    if len(paired) < 2:
        raise ValueError(
            f"{source}: identities with visible and infrared images: {len(paired)}; "
            "at least two are needed, one to train and one to test on (an identity "
            "must have the same name in both modalities)"
        )
    test = split_identities(paired, test_fraction, split_by)
    return [
        entry._replace(split="test" if entry.identity in test else "train")
        for entry in entries
        if entry.identity in paired
    ]


def _check_splits(entries: Sequence[Entry], source: str, needed: Sequence[str]) -> None:
    split_of: dict[str, str] = {}
    for entry in entries:
        first = split_of.setdefault(entry.identity, entry.split)
        if first != entry.split:
            raise ValueError(
                f"{source} has the identity {entry.identity!r} in the splits {first} "
                f"and {entry.split}; every identity must be in one, or the test "
                "people would be known from training"
            )
    for split in needed:
        if split not in split_of.values():
            raise ValueError(f"{source} has no image in the split {split}")


def _numbers(names: Iterable[str]) -> dict[str, int]:
    """A number for each name."""
    ordered = sorted(set(names))
    if all(name.isascii() and name.isdecimal() for name in ordered):
        numbers = [int(name) for name in ordered]
        if len(set(numbers)) == len(numbers) and max(numbers, default=0) < 2**31:
            return dict(zip(ordered, numbers, strict=True))
    return {name: number for number, name in enumerate(ordered)}
