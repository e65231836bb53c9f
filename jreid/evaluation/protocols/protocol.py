"""What a protocol lays out: tables of trials, of the columns of some images."""

import typing
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import ClassVar, Literal, NamedTuple

import numpy as np

from jreid.evaluation.protocols.trial import (
    Trial,
    check_lengths,
    cross_modality_trial,
)

VISIBLE, INFRARED = 0, 1
DIRECTIONS = {"visible to infrared": VISIBLE, "infrared to visible": INFRARED}
_SHOWN = 10  # rows named in a message


@dataclass(frozen=True, slots=True)
class GalleryOptions:
    """How galleries are drawn, where a protocol leaves a choice; the published way.

    A run's `config.evaluation` has the same fields.
    """

    trials: int = 10
    draw: Literal["agw", "official"] = "agw"
    permutations: str = ""
    legacy: bool = False


@typing.runtime_checkable
class Options(typing.Protocol):
    """What a protocol reads of `GalleryOptions`, or of a run's `config.evaluation`."""

    @property
    def trials(self) -> int: ...
    @property
    def draw(self) -> str: ...
    @property
    def permutations(self) -> str: ...
    @property
    def legacy(self) -> bool: ...


@typing.runtime_checkable
class Columns(typing.Protocol):
    """The images' columns: `Images` of a data set, or a features file, has them.

    `ids` [n], `cameras` [n] and `modality` [n] (0 visible, 1 infrared) are integers,
    `paths` [n] is str. A column that the protocol does not need may be None.
    """

    @property
    def ids(self) -> np.ndarray: ...
    @property
    def cameras(self) -> np.ndarray | None: ...
    @property
    def modality(self) -> np.ndarray | None: ...
    @property
    def paths(self) -> np.ndarray | None: ...


class Setting(NamedTuple):
    """One table of a protocol: its name, what its draw is called, and its trials."""

    name: str  # "all-search single-shot", "visible to infrared"
    draw: str  # "agw", "official", "every image", ...
    trials: list[Trial]
    people: Mapping[int, str] = MappingProxyType({})  # who an id is, in every split


@typing.runtime_checkable
class Protocol(typing.Protocol):
    """What an evaluation asks of a data set's protocol."""

    key: ClassVar[str]
    """The word for it on the command line."""
    name: ClassVar[str]
    """Its name above a table."""
    options: ClassVar[tuple[str, ...]]
    """Which options of the command line it takes."""
    count_identities: ClassVar[bool]
    """Whether the CMC counts each identity of the gallery once, not each image."""

    @property
    def splits(self) -> tuple[int, ...]:
        """The split of the data set that is scored, where it has numbered ones."""
        ...

    def check(self, options: Options) -> None:
        """Raises ValueError, beginning with the field's name, for what it cannot do."""
        ...

    def settings(self, columns: Columns, options: Options) -> list[Setting]:
        """All tables with their trials; ValueError if there is no query or gallery."""
        ...

    def example_trials(self, columns: Columns, options: Options) -> list[Trial]:
        """The first trial of each direction, for pictures."""
        ...


def needed(columns: Columns, name: str, protocol: Protocol) -> np.ndarray:
    """The column of this name; ValueError if there is none."""
    values = getattr(columns, name)
    if values is None:
        raise ValueError(
            f"there is no array {name!r}, which the protocol {protocol.key!r} needs: "
            "one value for each image"
        )
    return values


def check_trials(options: Options) -> None:
    """Raises ValueError for fewer than one trial."""
    if options.trials < 1:
        raise ValueError(f"trials is {options.trials}; allowed is at least 1")


def check_one_draw(name: str, options: Options) -> None:
    """Raises ValueError for options of SYSU-MM01's draws."""
    if options.draw != "agw":
        raise ValueError(
            f"draw is {options.draw!r}: {name} has one draw only, leave it at 'agw'"
        )
    if options.permutations:
        raise ValueError(
            f"permutations is {options.permutations!r}, which only the official draw "
            "of SYSU-MM01 reads: leave it empty"
        )


def check_no_legacy(name: str, options: Options) -> None:
    """Raises ValueError for the option `legacy`."""
    if options.legacy:
        raise ValueError(
            f"legacy is set, but the protocol is {name}'s: LLCM alone has a legacy "
            "protocol"
        )


def every_image(columns: Columns, protocol: Protocol) -> list[Setting]:
    """Both directions of all against all."""
    modality = needed(columns, "modality", protocol)
    check_lengths(ids=columns.ids, modality=modality)
    return [
        Setting(direction, "every image", [cross_modality_trial(modality, query)])
        for direction, query in DIRECTIONS.items()
    ]


def rows_in_words(rows: np.ndarray) -> str:
    """`row 3`, or `5 rows (0, 3, 4, ..., counted from 0)`."""
    if len(rows) == 1:
        return f"row {rows[0]} (counted from 0)"
    shown = ", ".join(map(str, rows[:_SHOWN].tolist()))
    more = ", ..." if len(rows) > _SHOWN else ""
    return f"{len(rows)} rows ({shown}{more}, counted from 0)"
