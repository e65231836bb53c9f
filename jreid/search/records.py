"""What a gallery knows of its images, what a search finds, and what it may look at."""

import hashlib
import math
import os
import re
from collections.abc import Set
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal

from jreid.data.datasets import MODALITY_NAMES

TimeKind = Literal["numbers", "dates"]


class TimeKindError(ValueError):
    """A number is compared with dates, or a date with numbers."""


@dataclass(frozen=True, slots=True)
class Record:
    """An image of a gallery."""

    path: str
    """Below the indexed folder, with slashes."""
    content: str
    """32 hex digits of the file's SHA-256."""
    modality: str
    """visible or infrared."""
    camera: str | None = None
    time: str | None = None
    """A number, or ISO 8601 as `normal_time` writes it."""
    track: str | None = None
    """A tracker's number for a person's images in one camera."""
    identity: str | None = None

    @property
    def key(self) -> str:
        """16 hex digits that name the image in its gallery, whatever it shows."""
        return key_of(self.path)


@dataclass(frozen=True, slots=True)
class Hit:
    """An image that a search has found."""

    key: str
    """Of the image in its gallery."""
    path: str
    """Below the indexed folder, with slashes."""
    distance: float
    """Squared Euclidean, of vectors of length 1: 0 to 4."""
    probability: float | None
    """That it shows the person of the query; None where nothing is known of that."""
    camera: str | None
    time: str | None
    track: str | None
    modality: str
    identity: str | None


@dataclass(frozen=True, slots=True)
class Where:
    """Which images of a gallery are looked at; by default all.

    Of what is asked for, an image must know its own: one without a time is not "after".
    """

    cameras: tuple[str, ...] = ()
    """Of these cameras."""
    after: datetime | float | str | None = None
    """At this time or later: ISO 8601, or a number where the gallery has numbers."""
    before: datetime | float | str | None = None
    """Before this time."""
    modality: str | None = None
    """Visible or infrared ones only."""
    tracks: tuple[str, ...] = ()
    """Of these tracks."""

    def check(self) -> None:
        """Raises ValueError for a time that is none, or another modality."""
        for value in (self.after, self.before):
            if value is not None:
                seconds(value)
        if self.modality not in (None, *MODALITY_NAMES):
            raise ValueError(
                f"the modality is {self.modality!r}; allowed are "
                f"{', '.join(MODALITY_NAMES)}"
            )

    def check_times(self, known: Set[TimeKind]) -> None:
        """Raises TimeKindError for a time of another kind than those of a gallery."""
        for value in (self.after, self.before):
            if value is None or not known - {kind_of_time(value)}:
                continue
            if len(known) > 1:
                raise TimeKindError(
                    f"the time {value} cannot be compared with the gallery's, which "
                    "are dates of some images and numbers of others: index them again "
                    "with times of one kind"
                )
            what, remedy = _OF_OTHER_KIND[kind_of_time(value)]
            raise TimeKindError(f"the time {value} is {what}: give {remedy}")


_OF_OTHER_KIND = {
    "numbers": (
        "a number, and the gallery's times are dates",
        "ISO 8601, as 2026-11-27T14:05:29 or 2026-11-27",
    ),
    "dates": (
        "a date, and the gallery's times are numbers, as of seconds or frames",
        "a number (if they are seconds since 1970, that of the date: date -d DATE +%s)",
    ),
}
EVERYWHERE = Where()
_KEY = re.compile("[0-9a-f]{16}")


def key_of(path: str) -> str:
    """The key of the image at this path below the indexed folder."""
    return hashlib.sha256(os.fsencode(path)).hexdigest()[:16]


def is_key(text: str) -> bool:
    """Whether it has the form of a key."""
    return _KEY.fullmatch(text) is not None


def content_of(contents: bytes) -> str:
    """What a record keeps of a file's bytes, to notice that they changed."""
    return hashlib.sha256(contents).hexdigest()[:32]


def seconds(time: datetime | float | str) -> float:
    """A time as one number: itself, or seconds since 1970 of a date.

    Raises ValueError for a text that is neither.
    """
    if isinstance(time, datetime):
        return (time if time.tzinfo else time.replace(tzinfo=UTC)).timestamp()
    try:
        value = float(time)
    except ValueError:
        try:
            return seconds(datetime.fromisoformat(str(time)))
        except ValueError:
            value = math.nan
    if not math.isfinite(value):
        raise ValueError(
            f"the time is {time!r}; allowed is ISO 8601, as 2026-11-27T14:05:29, or a "
            "number, as of seconds or frames"
        )
    return value


def kind_of_time(time: datetime | float | str) -> TimeKind:
    """What `seconds` takes a time for: 2027 and 20270131 are numbers."""
    if isinstance(time, datetime):
        return "dates"
    try:
        float(time)
    except ValueError:
        return "dates"
    return "numbers"


def normal_time(text: str) -> str:
    """A time as records keep it: a number as given, a date in ISO 8601, with its T.

    What is said of a time zone is brought to UTC; else a time is taken as it is.
    """
    value = seconds(text)
    if kind_of_time(text) == "numbers":
        return text
    return datetime.fromtimestamp(value, UTC).replace(tzinfo=None).isoformat()
