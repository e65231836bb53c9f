"""RegDB: all test images of one of ten splits, in both directions."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from jreid.evaluation.protocols.protocol import (
    Columns,
    Options,
    Setting,
    check_no_legacy,
    check_one_draw,
    every_image,
)
from jreid.evaluation.protocols.trial import Trial

SPLITS = tuple(range(1, 11))


@dataclass(frozen=True, slots=True)
class RegDBProtocol:
    """RegDB's: all test images of a split in both directions; ranks count images.

    The published numbers are means over ten splits, each with a model of its own: see
    `mean_over_splits`.
    """

    key: ClassVar[str] = "regdb"
    name: ClassVar[str] = "RegDB"
    options: ClassVar[tuple[str, ...]] = ("split",)
    count_identities: ClassVar[bool] = False

    split: int = 0  # 1 to 10; 0: not known

    @property
    def splits(self) -> tuple[int, ...]:
        """The split, if it is known."""
        return (self.split,) if self.split else ()

    def check(self, options: Options) -> None:
        """See `Protocol`."""
        if self.split not in (0, *SPLITS):
            raise ValueError(f"split is {self.split}; RegDB has the splits 1 to 10")
        check_one_draw(self.name, options)
        check_no_legacy(self.name, options)

    def settings(self, columns: Columns, options: Options) -> list[Setting]:
        """See `Protocol`."""
        self.check(options)
        people = people_of(columns)
        return [x._replace(people=people) for x in every_image(columns, self)]

    def example_trials(self, columns: Columns, options: Options) -> list[Trial]:
        """See `Protocol`."""
        return [setting.trials[0] for setting in every_image(columns, self)]


def people_of(columns: Columns) -> dict[int, str]:
    """Who each identity is: the folder that all of its images are in, and no other's.

    Identities are numbered anew in each split, in which about half of the 412 people
    are tested; RegDB has a folder for each of them. Empty where paths do not tell.
    """
    if columns.paths is None:
        return {}
    folders = [re.split(r"[\\/]", path)[-2:-1] for path in columns.paths.tolist()]
    pairs = {(i, *x) for i, x in zip(columns.ids.tolist(), folders, strict=True)}
    found = {pair[0]: pair[-1] for pair in pairs if len(pair) == 2}
    if len(pairs) == len(found) == len(set(found.values())):
        return found
    return {}


def mean_title(splits: Sequence[int]) -> str:
    """What a mean over these splits is, and which of the protocol's are missing."""
    missing = [str(split) for split in SPLITS if split not in splits]
    if not missing:
        return "mean of all ten splits"
    return (
        f"mean of {len(splits)} splits ({', '.join(map(str, splits))}), not the "
        f"published protocol, which takes all ten: {', '.join(missing)} missing"
    )
